/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One disk request of a device whose state is guarded by one lock.
 *
 * A back end may complete a request inside blk_submit(), which the device calls with its lock
 * held, or later on a thread of its own, where the lock must be taken first.  blkio tells the two
 * apart and calls fn once, with the lock held, either way.
 */
#ifndef WIRT_DEV_BLKIO_H
#define WIRT_DEV_BLKIO_H

#include "base/err.h"
#include "core/backend.h"

#include <pthread.h>

struct blkio {
    pthread_mutex_t *lock;                /* the device's */
    void (*fn)(void *opaque, int result); /* with *lock held; may submit again */
    void *opaque;
    struct blk_req req;
    struct iovec iov;
    int result;
    u32 state;           /* atomic */
    pthread_cond_t idle; /* state fell to idle */
};

void blkio_init(struct blkio *io, pthread_mutex_t *lock, void (*fn)(void *opaque, int result),
                void *opaque);

/* With the lock held, and not while one is under way.  offset and len in bytes, multiples of 512;
 * buf is NULL for what carries no data.  fn may be called before this returns. */
void blkio_submit(struct blkio *io, struct blk *b, enum blk_op op, u64 offset, void *buf, u64 len,
                  bool fua);

/* With the lock held, which it gives up meanwhile: returns when no request is under way and fn has
 * submitted no other. */
void blkio_wait(struct blkio *io);

#endif
