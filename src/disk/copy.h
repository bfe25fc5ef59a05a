/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copying what one image's disk holds into another image, and comparing two.
 */
#ifndef WIRT_DISK_COPY_H
#define WIRT_DISK_COPY_H

#include "disk/img.h"

struct disk_copy {
    struct img *from, *to; /* to: not smaller than from */
    const char *to_name;   /* for messages, NULL = its path */
    bool fresh;            /* `to` was just made: it holds nothing yet */
    bool compress;         /* store packed clusters, in the order of the disk */
    u64 sparse;            /* bytes: runs of zeros of this size, aligned, are not stored; a power of
                              two; 0 = everything is stored */
    unsigned jobs;         /* threads, 0 = choose */
    bool (*tick)(void *opaque, u64 done); /* walk.h */
    void *opaque;

    u64 grain, chunk; /* copy.c's own */
};

/* Flushes at the end.  The caller opens `to` with its parent; what that has already is not stored
 * again. */
int disk_copy(struct disk_copy *c, struct err *e);

struct disk_diff {
    struct img *a, *b;
    unsigned jobs;
    bool (*tick)(void *opaque, u64 done);
    void *opaque;

    bool differ;
    u64 at; /* the first byte that differs; where one disk is longer, its rest is to be zeros */
};

int disk_diff(struct disk_diff *d, struct err *e);

/* Is it all zeros? */
bool mem_is_zero(const u8 *p, u64 len);

#endif
