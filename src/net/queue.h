/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bounded queue of frames, each a copy of its own, and the way to a card that goes through one.
 */
#ifndef WIRT_NET_QUEUE_H
#define WIRT_NET_QUEUE_H

#include "base/trace.h"
#include "core/backend.h"

#include <pthread.h>

struct net_frame {
    struct net_frame *next;
    struct nic_offload offload;
    u32 len;
    u8 data[];
};

struct net_queue {
    pthread_mutex_t lock; /* a leaf lock */
    struct net_frame *head, **tail;
    unsigned count;
    u64 dropped;
};

void net_queue_init(struct net_queue *q);
void net_queue_destroy(struct net_queue *q);
/* Copies a frame to the end; o may be NULL.  False: the queue is full (NET_QUEUE_MAX), the frame
 * is longer than NIC_FRAME_MAX, or there is no memory; it is dropped and counted. */
bool net_queue_push(struct net_queue *q, const struct iovec *iov, int niov,
                    const struct nic_offload *o);
/* The first frame, to be freed with free(); NULL = empty. */
struct net_frame *net_queue_pop(struct net_queue *q);
bool net_queue_empty(struct net_queue *q);
/* Puts a frame back in front. */
void net_queue_unpop(struct net_queue *q, struct net_frame *f);

/*
 * The way to the card, on the loop's thread: frames that it has no buffer for wait; frames with
 * offload that it does not take are finished (offload.h).  A front that is NULL takes nothing.
 */
void net_to_card(struct net_queue *q, struct nic_frontend *front, const u8 *frame, size_t len,
                 const struct nic_offload *o);
/* Hands out what waits; true = the queue is empty now. */
bool net_queue_flush(struct net_queue *q, struct nic_frontend *front);

#endif
