/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio block device.  Virtio 1.1, 5.2.
 */
#ifndef WIRT_DEV_VIRTIO_BLK_H
#define WIRT_DEV_VIRTIO_BLK_H

#include "base/err.h"
#include "core/backend.h"
#include "dev/virtio_pci.h"

enum { VIRTIO_BLK_QUEUES = 16 };

struct virtio_blk_options {
    char serial[21]; /* what GET_ID says, up to 20 characters */
    unsigned queues; /* 0 = 1; at most VIRTIO_BLK_QUEUES */
    bool modern_only;
    bool no_discard; /* offer neither discard nor write-zeroes */
};

struct vblk_req;

struct virtio_blk {
    struct virtio_pci vp; /* first */
    struct blk *disk;
    struct virtio_blk_options opt;
    unsigned nqueues;
    bool writeback; /* config wce: false = every write reaches the disk before it is done */
    unsigned in_flight;
    pthread_cond_t idle; /* in_flight fell to 0 */
    bool batch;          /* a notification is being worked on: interrupts wait for its end */
    struct vblk_queue {
        struct vblk_req *req;  /* as many as the queue has entries */
        struct vblk_req *free; /* rows that were used and are free again */
        unsigned fresh;        /* rows from here on were never used */
    } q[VIRTIO_BLK_QUEUES];
};

/* The disk stays the caller's, and open for as long as the device.  -errno. */
int virtio_blk_init(struct virtio_blk *v, struct pci_bus *b, unsigned devfn, struct blk *disk,
                    const struct virtio_blk_options *o, struct err *e);
/* After the vCPUs have stopped; waits for requests under way. */
void virtio_blk_destroy(struct virtio_blk *v);
/* Waits until no request is under way; the guest must not run meanwhile.  Takes the lock. */
void virtio_blk_drain(struct virtio_blk *v);
/* The image behind it changed its size (disk->size).  Takes the lock. */
void virtio_blk_resized(struct virtio_blk *v);

extern const struct state_desc virtio_blk_state;

#endif
