/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtual clock over CLOCK_MONOTONIC and the host's TSC, with one heap of timers and one
 * timerfd.  A manual clock has neither descriptor nor thread: tests move it.
 */
#include "base/clock.h"

#include "base/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

struct clock {
    struct loop *loop; /* NULL: manual */
    unsigned slow;     /* the host's clocks are divided by it */
    s64 base;          /* virtual = CLOCK_MONOTONIC / slow - base; manual: unused; atomic */
    u64 stands_at;     /* virtual time while `stands` */
    u64 tsc_at;        /* the guest's TSC then; manual: unused */
    bool stands;       /* paused or manual; atomic */
    u64 tsc_hz;
    u64 tsc_offset; /* guest TSC - host TSC / slow; atomic */

    pthread_mutex_t lock; /* guards the heap; a leaf lock */
    struct timer **heap;  /* 1-based; parent n/2 */
    u32 count, room;
    struct loop_fd watch;
};

static u64 monotonic_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (u64)ts.tv_sec * NS_PER_SEC + (u64)ts.tv_nsec;
}

static u64 host_ns(const struct clock *c)
{
    u64 ns = monotonic_ns();

    return c->slow == 1 ? ns : ns / c->slow;
}

static u64 host_tsc(const struct clock *c)
{
    u64 tsc = __rdtsc();

    return c->slow == 1 ? tsc : tsc / c->slow;
}

/* A pair of both clocks, read as close together as can be had in a few tries. */
static void read_pair(u64 *tsc, u64 *ns)
{
    u64 best = UINT64_MAX;

    for (int i = 0; i < 8; i++) {
        u64 t0 = __rdtsc(), n = monotonic_ns(), t1 = __rdtsc();
        if (t1 - t0 < best) {
            best = t1 - t0;
            *tsc = t0 + (t1 - t0) / 2;
            *ns = n;
        }
    }
}

static void read_host(const struct clock *c, u64 *tsc, u64 *ns)
{
    read_pair(tsc, ns);
    *tsc /= c->slow;
    *ns /= c->slow;
}

/* The host's TSC rate, measured over 10 ms: good to some ten parts in a million. */
static u64 measure_tsc_hz(void)
{
    struct timespec wait = {0, 10 * 1000 * 1000};
    u64 t0, n0, t1, n1;

    read_pair(&t0, &n0);
    nanosleep(&wait, NULL);
    read_pair(&t1, &n1);
    return muldiv64(t1 - t0, NS_PER_SEC, n1 - n0);
}

u64 clock_now(struct clock *c)
{
    if (__atomic_load_n(&c->stands, __ATOMIC_ACQUIRE))
        return __atomic_load_n(&c->stands_at, __ATOMIC_RELAXED);
    return host_ns(c) - (u64)__atomic_load_n(&c->base, __ATOMIC_RELAXED);
}

/* ---------------------------------------------------------------- the heap -- */

static void heap_put(struct clock *c, u32 pos, struct timer *t)
{
    c->heap[pos] = t;
    t->heap_pos = pos;
}

static void heap_up(struct clock *c, u32 pos)
{
    struct timer *t = c->heap[pos];

    for (; pos > 1 && c->heap[pos / 2]->deadline > t->deadline; pos /= 2)
        heap_put(c, pos, c->heap[pos / 2]);
    heap_put(c, pos, t);
}

static void heap_down(struct clock *c, u32 pos)
{
    struct timer *t = c->heap[pos];

    for (;;) {
        u32 child = pos * 2;
        if (child < c->count && c->heap[child + 1]->deadline < c->heap[child]->deadline)
            child++;
        if (child > c->count || c->heap[child]->deadline >= t->deadline)
            break;
        heap_put(c, pos, c->heap[child]);
        pos = child;
    }
    heap_put(c, pos, t);
}

static void heap_insert(struct clock *c, struct timer *t)
{
    if (c->count + 1 >= c->room) {
        c->room = c->room ? c->room * 2 : 32;
        c->heap = realloc(c->heap, c->room * sizeof(*c->heap));
        BUG_ON(!c->heap);
    }
    heap_put(c, ++c->count, t);
    heap_up(c, c->count);
}

static void heap_remove(struct clock *c, struct timer *t)
{
    u32 pos = t->heap_pos;
    struct timer *last = c->heap[c->count--];

    t->heap_pos = 0;
    if (last == t)
        return;
    heap_put(c, pos, last);
    heap_up(c, pos);
    heap_down(c, last->heap_pos);
}

/* Sets the timerfd to the first deadline.  Lock held. */
static void arm(struct clock *c)
{
    struct itimerspec its = {0};

    if (!c->loop)
        return;
    if (c->count && !c->stands) {
        u64 first = c->heap[1]->deadline, most = (u64)INT64_MAX / 2 / c->slow;
        s64 at = ((s64)min(first, most) + c->base) * (s64)c->slow;
        if (at < 1)
            at = 1;
        its.it_value.tv_sec = at / (s64)NS_PER_SEC;
        its.it_value.tv_nsec = at % (s64)NS_PER_SEC;
    }
    timerfd_settime(c->watch.fd, TFD_TIMER_ABSTIME, &its, NULL);
}

/* Takes out the first timer that is due at `now`, or NULL. */
static struct timer *pop_due(struct clock *c, u64 now)
{
    struct timer *t = NULL;

    pthread_mutex_lock(&c->lock);
    if (c->count && c->heap[1]->deadline <= now) {
        t = c->heap[1];
        heap_remove(c, t);
    } else {
        arm(c);
    }
    pthread_mutex_unlock(&c->lock);
    return t;
}

static void on_timerfd(void *opaque, u32 revents)
{
    struct clock *c = opaque;
    struct timer *t;
    u64 n;
    ssize_t r = read(c->watch.fd, &n, sizeof(n));

    (void)r;
    while (!__atomic_load_n(&c->stands, __ATOMIC_ACQUIRE) && (t = pop_due(c, clock_now(c))))
        t->fn(t->opaque);
}

void timer_set(struct clock *c, struct timer *t, u64 deadline_ns)
{
    pthread_mutex_lock(&c->lock);
    if (t->heap_pos && t->deadline == deadline_ns) {
        pthread_mutex_unlock(&c->lock);
        return;
    }
    if (t->heap_pos)
        heap_remove(c, t);
    __atomic_store_n(&t->deadline, deadline_ns, __ATOMIC_RELAXED);
    heap_insert(c, t);
    /* A timerfd that fires too early does no harm, so a first timer that was pushed back behind
     * another costs no system call. */
    if (t->heap_pos == 1)
        arm(c);
    pthread_mutex_unlock(&c->lock);
}

void timer_del(struct clock *c, struct timer *t)
{
    pthread_mutex_lock(&c->lock);
    if (t->heap_pos)
        heap_remove(c, t);
    pthread_mutex_unlock(&c->lock);
}

bool timer_armed(const struct timer *t)
{
    return __atomic_load_n(&t->heap_pos, __ATOMIC_RELAXED) != 0;
}

/* --------------------------------------------------------------- the clock -- */

static struct clock *clock_alloc(void)
{
    struct clock *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    pthread_mutex_init(&c->lock, NULL);
    c->watch.fd = -1;
    return c;
}

struct clock *clock_new(struct loop *l, struct err *e)
{
    struct clock *c = clock_alloc();
    u64 tsc, ns;

    if (!c) {
        err_set(e, ENOMEM, "clock: out of memory");
        return NULL;
    }
    c->loop = l;
    c->tsc_hz = measure_tsc_hz();
    read_pair(&tsc, &ns);
    c->slow = 1;
    c->base = (s64)ns;
    c->tsc_offset = -tsc;
    c->watch = (struct loop_fd){.events = EPOLLIN, .fn = on_timerfd, .opaque = c};
    c->watch.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (c->watch.fd < 0) {
        err_set(e, errno, "clock: timerfd: %s", strerror(errno));
    } else if (!loop_fd_add(l, &c->watch, e)) {
        return c;
    }
    clock_free(c);
    return NULL;
}

struct clock *clock_new_manual(void)
{
    struct clock *c = clock_alloc();

    BUG_ON(!c);
    c->stands = true;
    c->tsc_hz = NS_PER_SEC;
    return c;
}

void clock_free(struct clock *c)
{
    if (!c)
        return;
    if (c->loop)
        loop_fd_del(c->loop, &c->watch);
    if (c->watch.fd >= 0)
        close(c->watch.fd);
    pthread_mutex_destroy(&c->lock);
    free(c->heap);
    free(c);
}

void clock_slow(struct clock *c, unsigned n)
{
    bool stood = c->stands;

    BUG_ON(!c->loop || !n);
    clock_pause(c);
    c->slow = n;
    if (!stood)
        clock_resume(c);
}

void clock_pause(struct clock *c)
{
    pthread_mutex_lock(&c->lock);
    if (!c->stands) {
        u64 tsc, ns;

        read_host(c, &tsc, &ns);
        /* Not computed from the time: the rate is measured, and its error would add up. */
        c->tsc_at = tsc + c->tsc_offset;
        __atomic_store_n(&c->stands_at, ns - (u64)c->base, __ATOMIC_RELAXED);
        __atomic_store_n(&c->stands, true, __ATOMIC_RELEASE);
        arm(c);
    }
    pthread_mutex_unlock(&c->lock);
}

void clock_resume(struct clock *c)
{
    u64 tsc, ns;

    pthread_mutex_lock(&c->lock);
    if (c->stands && c->loop) {
        read_host(c, &tsc, &ns);
        __atomic_store_n(&c->base, (s64)(ns - c->stands_at), __ATOMIC_RELAXED);
        __atomic_store_n(&c->tsc_offset, c->tsc_at - tsc, __ATOMIC_RELAXED);
        __atomic_store_n(&c->stands, false, __ATOMIC_RELEASE);
        arm(c);
    }
    pthread_mutex_unlock(&c->lock);
}

void clock_fire_due(struct clock *c)
{
    struct timer *t;

    while ((t = pop_due(c, clock_now(c))))
        t->fn(t->opaque);
}

void clock_get(struct clock *c, struct clock_state *s)
{
    BUG_ON(!c->stands);
    s->now = c->stands_at;
    s->tsc = clock_tsc(c);
}

void clock_set(struct clock *c, const struct clock_state *s)
{
    BUG_ON(!c->stands);
    pthread_mutex_lock(&c->lock);
    for (u32 i = 1; i <= c->count; i++) { /* their order stays: the heap stays one */
        u64 at = c->heap[i]->deadline;
        u64 ahead = at > c->stands_at ? at - c->stands_at : 0;
        at = ahead > UINT64_MAX - s->now ? UINT64_MAX : s->now + ahead;
        __atomic_store_n(&c->heap[i]->deadline, at, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&c->stands_at, s->now, __ATOMIC_RELAXED);
    c->tsc_at = s->tsc;
    pthread_mutex_unlock(&c->lock);
}

void clock_advance(struct clock *c, u64 ns)
{
    u64 end = c->stands_at + ns;
    struct timer *t;

    BUG_ON(c->loop);
    for (;;) {
        pthread_mutex_lock(&c->lock);
        t = c->count && c->heap[1]->deadline <= end ? c->heap[1] : NULL;
        if (t) {
            heap_remove(c, t);
            c->stands_at = max(c->stands_at, t->deadline);
        }
        pthread_mutex_unlock(&c->lock);
        if (!t)
            break;
        t->fn(t->opaque);
    }
    c->stands_at = end;
}

u64 clock_tsc_offset(struct clock *c)
{
    return __atomic_load_n(&c->tsc_offset, __ATOMIC_RELAXED);
}

u64 clock_tsc_hz(struct clock *c)
{
    return c->tsc_hz;
}

u64 clock_tsc(struct clock *c)
{
    if (__atomic_load_n(&c->stands, __ATOMIC_ACQUIRE))
        return c->loop ? c->tsc_at : muldiv64(c->stands_at, c->tsc_hz, NS_PER_SEC);
    return host_tsc(c) + clock_tsc_offset(c);
}

u64 clock_tsc_to_ns(struct clock *c, u64 tsc)
{
    /* Relative to now: an error of the measured rate does not add up over days. */
    s64 ticks = (s64)(tsc - clock_tsc(c));
    u64 now = clock_now(c);

    if (ticks < 0) {
        u64 ago = muldiv64((u64)-ticks, NS_PER_SEC, c->tsc_hz);
        return ago > now ? 0 : now - ago;
    }
    unsigned __int128 ahead = (unsigned __int128)(u64)ticks * NS_PER_SEC / c->tsc_hz;
    return ahead > UINT64_MAX / 2 ? UINT64_MAX / 2 : now + (u64)ahead;
}
