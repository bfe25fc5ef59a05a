/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes that a PS/2 device has sent and the controller has not taken yet.
 */
#ifndef WIRT_DEV_PS2_QUEUE_H
#define WIRT_DEV_PS2_QUEUE_H

#include "base/types.h"

enum { PS2_QUEUE = 32 };

struct ps2_queue {
    u8 data[PS2_QUEUE];
    u8 head, count; /* head < PS2_QUEUE, count <= PS2_QUEUE */
    u8 last;        /* the byte that went out last, for "resend" */
};

static inline unsigned ps2_room(const struct ps2_queue *q)
{
    return PS2_QUEUE - q->count;
}

/* A full queue drops the byte. */
static inline void ps2_put(struct ps2_queue *q, u8 val)
{
    if (q->count < PS2_QUEUE)
        q->data[(q->head + q->count++) % PS2_QUEUE] = val;
}

/* A reply to the host goes before everything else; a full queue loses its newest byte. */
static inline void ps2_put_first(struct ps2_queue *q, u8 val)
{
    q->head = (q->head + PS2_QUEUE - 1) % PS2_QUEUE;
    q->data[q->head] = val;
    if (q->count < PS2_QUEUE)
        q->count++;
}

/* The queue must not be empty. */
static inline u8 ps2_get(struct ps2_queue *q)
{
    q->last = q->data[q->head];
    q->head = (q->head + 1) % PS2_QUEUE;
    q->count--;
    return q->last;
}

static inline void ps2_clear(struct ps2_queue *q)
{
    q->head = 0;
    q->count = 0;
}

#endif
