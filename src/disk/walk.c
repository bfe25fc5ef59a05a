/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that take one piece of a disk after the other.  With plain synchronous calls in each of
 * them, several reads and writes are under way at once, and what costs processor time (inflating,
 * deflating, looking for zeros) is spread.
 *
 * Locks: walk_state.lock; a leaf but for what next() takes.
 */
#include "disk/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BUFFER_ALIGN = 4096, TICK_MS = 100, AHEAD_MAX = 64 };

struct walk_state {
    pthread_mutex_t lock;
    pthread_cond_t mine[AHEAD_MAX]; /* the turn of the piece with this index, modulo; or stop */
    pthread_cond_t room;            /* pieces ended, or stop */
    pthread_cond_t over;            /* a thread ended, or stop */
    u64 off, end, index;            /* what comes next */
    u64 turn;                       /* index of the first that did not end */
    u64 ended;                      /* a bit for each of the AHEAD_MAX from there on */
    u64 done;                       /* bytes */
    unsigned running;
    bool stop;
    int result;
    struct err err;
};

static bool take(struct walk *w, struct walk_piece *p)
{
    struct walk_state *s = w->s;
    u64 special = 0;

    pthread_mutex_lock(&s->lock);
    while (s->index - s->turn >= AHEAD_MAX && !s->stop)
        pthread_cond_wait(&s->room, &s->lock);
    if (s->stop || s->off >= s->end) {
        pthread_mutex_unlock(&s->lock);
        return false;
    }
    p->zero = false;
    if (w->next)
        special = w->next(w->opaque, s->off, &p->zero);
    p->off = s->off;
    p->len = min(special ? special : w->chunk - s->off % w->chunk, w->size - s->off);
    p->index = s->index++;
    s->off += p->len;
    pthread_mutex_unlock(&s->lock);
    return true;
}

/* With the lock held. */
static void stop(struct walk_state *s)
{
    s->stop = true;
    for (unsigned i = 0; i < AHEAD_MAX; i++)
        pthread_cond_broadcast(&s->mine[i]);
    pthread_cond_broadcast(&s->room);
    pthread_cond_broadcast(&s->over);
}

static void fail(struct walk *w, int result, const struct err *e)
{
    struct walk_state *s = w->s;

    pthread_mutex_lock(&s->lock);
    if (!s->result) {
        s->result = result;
        s->err = *e;
    }
    stop(s);
    pthread_mutex_unlock(&s->lock);
}

int walk_turn(struct walk *w, const struct walk_piece *p)
{
    struct walk_state *s = w->s;
    int r;

    pthread_mutex_lock(&s->lock);
    while (s->turn != p->index && !s->stop)
        pthread_cond_wait(&s->mine[p->index % AHEAD_MAX], &s->lock);
    r = s->stop ? -ECANCELED : 0;
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* Who never waited for a turn goes on at once: the turn passes over that piece when it comes. */
static void end_turn(struct walk *w, const struct walk_piece *p)
{
    struct walk_state *s = w->s;

    pthread_mutex_lock(&s->lock);
    s->ended |= BIT64(p->index - s->turn);
    if (s->ended & 1) {
        for (; s->ended & 1; s->ended >>= 1)
            s->turn++;
        pthread_cond_signal(&s->mine[s->turn % AHEAD_MAX]);
        pthread_cond_broadcast(&s->room);
    }
    pthread_mutex_unlock(&s->lock);
}

static void *worker(void *opaque)
{
    struct walk *w = opaque;
    struct walk_state *s = w->s;
    struct walk_piece p = {.buf = aligned_alloc(BUFFER_ALIGN, align_up(w->room, BUFFER_ALIGN))};
    struct err e = {0};

    if (!p.buf)
        fail(w, err_set(&e, ENOMEM, "out of memory"), &e);
    while (p.buf && take(w, &p)) {
        int r = w->piece(w->opaque, w, &p, &e);

        if (r)
            fail(w, r, &e);
        else
            end_turn(w, &p);
        __atomic_add_fetch(&s->done, p.len, __ATOMIC_RELAXED);
    }
    free(p.buf);
    pthread_mutex_lock(&s->lock);
    s->running--;
    pthread_cond_signal(&s->over);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

void walk_cut(struct walk *w, u64 off)
{
    struct walk_state *s = w->s;

    pthread_mutex_lock(&s->lock);
    s->end = min(s->end, off);
    pthread_mutex_unlock(&s->lock);
}

/* Until all threads ended. */
static void watch(struct walk *w)
{
    struct walk_state *s = w->s;

    pthread_mutex_lock(&s->lock);
    while (s->running) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_nsec += TICK_MS * 1000000;
        t.tv_sec += t.tv_nsec / 1000000000;
        t.tv_nsec %= 1000000000;
        if (pthread_cond_timedwait(&s->over, &s->lock, &t) != ETIMEDOUT || !w->tick)
            continue;
        pthread_mutex_unlock(&s->lock);
        if (!w->tick(w->opaque, __atomic_load_n(&s->done, __ATOMIC_RELAXED))) {
            struct err e = {0};

            fail(w, err_set(&e, ECANCELED, "interrupted"), &e);
        }
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
}

int walk_run(struct walk *w, struct err *e)
{
    struct walk_state s = {.end = w->size};
    pthread_t thread[WALK_JOBS_MAX];
    pthread_condattr_t monotonic;
    unsigned n = 0, jobs = min(max(w->jobs, 1u), (unsigned)WALK_JOBS_MAX);

    w->s = &s;
    pthread_mutex_init(&s.lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s.over, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&s.room, NULL);
    for (unsigned i = 0; i < AHEAD_MAX; i++)
        pthread_cond_init(&s.mine[i], NULL);
    for (; n < jobs; n++) {
        pthread_mutex_lock(&s.lock);
        s.running++;
        pthread_mutex_unlock(&s.lock);
        if (pthread_create(&thread[n], NULL, worker, w) == 0)
            continue;
        pthread_mutex_lock(&s.lock);
        s.running--;
        pthread_mutex_unlock(&s.lock);
        break;
    }
    if (n)
        watch(w);
    else
        s.result = err_set(&s.err, EAGAIN, "cannot start a thread");
    for (unsigned i = 0; i < n; i++)
        pthread_join(thread[i], NULL);
    pthread_mutex_destroy(&s.lock);
    pthread_cond_destroy(&s.over);
    pthread_cond_destroy(&s.room);
    for (unsigned i = 0; i < AHEAD_MAX; i++)
        pthread_cond_destroy(&s.mine[i]);
    w->s = NULL;
    if (s.result && e)
        *e = s.err;
    return s.result;
}

int img_status(struct img *im, u64 off, u64 len, struct extent *x, struct img **from)
{
    int r = img_map(im, off, len, x, from);
    u64 end = 0, hole;

    if (r || x->kind != EXTENT_DATA || !x->file->ops->hole)
        return r;
    hole = x->file->ops->hole(x->file, x->offset, &end);
    if (hole) {
        x->kind = EXTENT_ZERO;
        x->len = min(x->len, hole);
    } else if (end > x->offset) {
        x->len = min(x->len, end - x->offset);
    }
    return 0;
}
