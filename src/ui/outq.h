/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes on their way out of a descriptor that may be slow: written at once where that cannot
 * block, kept in a ring otherwise, and dropped when the ring stays full for a second.
 */
#ifndef WIRT_UI_OUTQ_H
#define WIRT_UI_OUTQ_H

#include "base/loop.h"

#include <pthread.h>

enum { OUTQ_SIZE = 256 << 10 };

struct outq {
    pthread_mutex_t lock; /* a leaf lock */
    int fd;               /* -1: bytes are dropped */
    bool always;          /* a regular file: never waits */
    u32 head, len;
    u8 ring[OUTQ_SIZE];
    struct loop *loop;
    struct loop_fd watch; /* for room in fd, while len != 0 */
    struct loop_job arm;
    u64 dropped;
};

void outq_init(struct outq *q, struct loop *l);
/* On the loop's thread, or before it runs: from now on to fd (-1: nowhere); what waits is
 * dropped. */
void outq_set_fd(struct outq *q, int fd);
/* From any thread. */
void outq_write(struct outq *q, const u8 *buf, size_t len);
/* Waits at most timeout_ms for the ring to empty. */
void outq_drain(struct outq *q, int timeout_ms);
void outq_destroy(struct outq *q);

#endif
