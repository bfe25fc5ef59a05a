/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop: one thread that waits for file descriptors, timers (base/clock.h) and jobs that
 * other threads post.  Callbacks run on the loop's thread with no lock held.
 */
#ifndef WIRT_BASE_LOOP_H
#define WIRT_BASE_LOOP_H

#include "base/err.h"
#include "base/types.h"

struct loop;

struct loop *loop_new(struct err *e); /* NULL on error */
void loop_free(struct loop *l);

/* Runs until loop_stop(); returns at once if it was already called.  One thread only. */
void loop_run(struct loop *l);
/* One turn: waits at most timeout_ms (-1 = for ever, 0 = not at all) and runs what is due. */
void loop_turn(struct loop *l, int timeout_ms);
/* From any thread. */
void loop_stop(struct loop *l);

/* A watched descriptor; lives in its owner.  All calls on the loop's thread, or before loop_run().
 */
struct loop_fd {
    int fd;
    u32 events; /* EPOLLIN, EPOLLOUT; 0 = watched for nothing now */
    void (*fn)(void *opaque, u32 revents);
    void *opaque;
    bool added; /* the loop's own */
};

int loop_fd_add(struct loop *l, struct loop_fd *w, struct err *e);
int loop_fd_mod(struct loop *l, struct loop_fd *w, u32 events);
void loop_fd_del(struct loop *l, struct loop_fd *w);

/* A job; lives in its owner; posting one that is already queued does nothing.  From any thread. */
struct loop_job {
    void (*fn)(void *opaque);
    void *opaque;
    struct loop_job *next; /* the loop's own */
    bool queued;
};

void loop_post(struct loop *l, struct loop_job *j);
/* Takes back a queued job; on the loop's thread, or when the loop is not running. */
void loop_cancel(struct loop *l, struct loop_job *j);

#endif
