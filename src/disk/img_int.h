/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between img_io.c (requests, threads) and img_rw.c (doing one on a worker's thread).
 */
#ifndef WIRT_DISK_IMG_INT_H
#define WIRT_DISK_IMG_INT_H

#include "disk/img.h"

enum { IMG_WORKERS = 4 };

/* Room that was given up, and when. */
struct freed {
    u64 offset, len;
    u32 epoch;
    bool flushed; /* nothing on the disk refers to it any more */
    struct freed *next;
};

/* A part of the guest's disk whose map one worker is changing; lives on its stack. */
struct range {
    u64 start, end;
    struct range *next;
};

struct img_io {
    /* The queue. */
    pthread_mutex_t qlock; /* a leaf */
    pthread_cond_t work;
    struct blk_req *head, **tail;
    pthread_t thread[IMG_WORKERS];
    unsigned threads, sleeping;
    bool stop;
    u32 in_flight; /* atomic: requests */

    /* Grace for freed room: requests under way that began in an even or odd epoch.  All atomic;
     * the epoch advances with writer and lock held. */
    u32 epoch, under_way[2];
    struct freed *freed; /* [lock] */

    bool begun;        /* atomic: begin_write() was called */
    bool writethrough; /* each write is flushed */

    pthread_mutex_t rlock; /* guards ranges; a leaf */
    pthread_cond_t ranges_changed;
    struct range *ranges;

    pthread_mutex_t zlock; /* guards the last inflated unit; a leaf but for reading the file */
    u8 *unit;              /* NULL = nothing yet */
    u64 unit_offset, unit_stored;
    bool unit_valid;
};

u32 img_enter(struct img *im);
void img_leave(struct img *im, u32 epoch);

/* map() through the chain, each level's lock taken; a HOLE comes back as ZERO.  -EAGAIN: nowait,
 * and a lock is taken or metadata not at hand. */
int img_map_chain(struct img *im, u64 off, u64 len, bool nowait, struct extent *x,
                  struct img **from);

void iov_zero(const struct iovec *iov, int niov, u64 off, u64 len);

#endif
