/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who calls fn?  `state` decides between the two sides without a lock of its own: the submitter
 * moves it from SUBMITTING to PENDING after blk_ops.submit() has returned, done() moves it to DONE.
 * If done() comes first, the submitter (who has the device's lock) finds DONE and calls fn itself;
 * otherwise done() takes the lock and calls it.
 */
#include "dev/blkio.h"

enum { BLKIO_IDLE, BLKIO_SUBMITTING, BLKIO_PENDING, BLKIO_DONE };

static void blkio_done(struct blk_req *r, int result)
{
    struct blkio *io = r->opaque;

    io->result = result;
    if (__atomic_exchange_n(&io->state, BLKIO_DONE, __ATOMIC_ACQ_REL) == BLKIO_SUBMITTING)
        return;
    pthread_mutex_lock(io->lock);
    io->state = BLKIO_IDLE;
    io->fn(io->opaque, result);
    pthread_cond_broadcast(&io->idle);
    pthread_mutex_unlock(io->lock);
}

void blkio_init(struct blkio *io, pthread_mutex_t *lock, void (*fn)(void *opaque, int result),
                void *opaque)
{
    *io = (struct blkio){.lock = lock, .fn = fn, .opaque = opaque};
    pthread_cond_init(&io->idle, NULL);
}

void blkio_submit(struct blkio *io, struct blk *b, enum blk_op op, u64 offset, void *buf, u64 len,
                  bool fua)
{
    u32 expected = BLKIO_SUBMITTING;

    BUG_ON(io->state != BLKIO_IDLE);
    io->iov = (struct iovec){.iov_base = buf, .iov_len = len};
    io->req = (struct blk_req){
        .op = op,
        .offset = offset,
        .len = len,
        .iov = buf ? &io->iov : NULL,
        .niov = buf ? 1 : 0,
        .fua = fua,
        .done = blkio_done,
        .opaque = io,
    };
    __atomic_store_n(&io->state, BLKIO_SUBMITTING, __ATOMIC_RELEASE);
    b->ops->submit(b, &io->req);
    if (__atomic_compare_exchange_n(&io->state, &expected, BLKIO_PENDING, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return;
    io->state = BLKIO_IDLE;
    io->fn(io->opaque, io->result);
}

void blkio_wait(struct blkio *io)
{
    while (__atomic_load_n(&io->state, __ATOMIC_ACQUIRE) != BLKIO_IDLE)
        pthread_cond_wait(&io->idle, io->lock);
}
