/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the two ways of lazy memory (page by page, clones) have in common.
 */
#ifndef WIRT_CORE_LAZYMEM_INT_H
#define WIRT_CORE_LAZYMEM_INT_H

#include "core/lazymem.h"

#include <pthread.h>

struct lazy {
    struct mem *m;
    const struct save_in *in;
    int uffd;  /* -1: clones */
    int pages; /* clones: the file beside */
    int stop;  /* eventfd */
    pthread_t thread;
    u8 *buf; /* one chunk */
    struct save_decoder *d;
    bool *here;   /* by chunk */
    u64 next;     /* the filler's */
    bool refused; /* a chunk was damaged: only faults elsewhere are answered */
    void (*failed)(void *opaque);
    void *opaque;

    pthread_mutex_t lock; /* guards what follows; a leaf lock */
    pthread_cond_t changed;
    bool done;
    struct err err;
};

/* NULL: no memory, told in *e. */
struct lazy *lazy_new(struct mem *m, const struct save_in *in, void (*failed)(void *opaque),
                      void *opaque, struct err *e);
void lazy_free(struct lazy *l);
/* Starts the thread and hangs l into its mem. */
int lazy_start(struct lazy *l, void *(*thread)(void *opaque), struct err *e);
int lazy_check_size(const struct mem *m, const struct save_in *in, struct err *e);
/* On the thread: tells once. */
void lazy_give_up(struct lazy *l, const struct err *why);

#endif
