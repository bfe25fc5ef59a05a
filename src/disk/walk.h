/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Going over a whole disk with several threads: copying an image, comparing two.
 */
#ifndef WIRT_DISK_WALK_H
#define WIRT_DISK_WALK_H

#include "disk/img.h"

enum { WALK_JOBS_MAX = 16 };

/* A part of the disk that one thread does. */
struct walk_piece {
    u64 off, len; /* bytes */
    u64 index;    /* 0, 1, 2... in the order of off */
    bool zero;    /* next() said so */
    u8 *buf;      /* the thread's own, walk.room bytes, aligned for O_DIRECT */
};

struct walk {
    u64 size;      /* bytes to go over */
    u64 chunk;     /* bytes of a piece, but for the last one and those that next() makes */
    size_t room;   /* bytes of a thread's buffer */
    unsigned jobs; /* threads, at most WALK_JOBS_MAX */
    /* How much from off on can be done as one, and may then be more than chunk: sets *zero and
     * returns the bytes, a multiple of chunk or up to size; 0 = nothing special.  Called by one
     * thread at a time. */
    u64 (*next)(void *opaque, u64 off, bool *zero);
    /* -errno ends the walk, with the message in *e. */
    int (*piece)(void *opaque, struct walk *w, struct walk_piece *p, struct err *e);
    /* Ten times a second on the caller's thread; false ends the walk with -ECANCELED.  May be
     * NULL. */
    bool (*tick)(void *opaque, u64 done);
    void *opaque;
    struct walk_state *s; /* walk.c's own */
};

/* 0, or the first thing that went wrong. */
int walk_run(struct walk *w, struct err *e);

/* For piece(): waits until all pieces before p are done; -ECANCELED because the walk ends. */
int walk_turn(struct walk *w, const struct walk_piece *p);
/* Nothing from off on needs to be looked at any more. */
void walk_cut(struct walk *w, u64 off);

/* Like img_map(), but finds holes of the host's file too. */
int img_status(struct img *im, u64 off, u64 len, struct extent *x, struct img **from);

#endif
