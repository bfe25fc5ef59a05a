/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine's one virtual clock, in nanoseconds since it was made, and timers on it.  It follows
 * CLOCK_MONOTONIC, stands still while paused, and never goes back.  The guest's TSC is the same
 * clock in the host's TSC ticks, so that every guest time source derives from here.
 *
 * Timers fire on the event loop's thread with no lock held.  They may be set, moved and deleted
 * from any thread; timer_del() from another thread does not wait for a callback under way, so a
 * callback takes its device's lock and checks its deadline again.
 */
#ifndef WIRT_BASE_CLOCK_H
#define WIRT_BASE_CLOCK_H

#include "base/err.h"
#include "base/types.h"

#define NS_PER_SEC 1000000000ull
#define NS_PER_US  1000ull

struct clock;
struct loop;

struct clock *clock_new(struct loop *l, struct err *e);
/* A clock that only clock_advance() moves, for unit tests; needs no loop. */
struct clock *clock_new_manual(void);
void clock_free(struct clock *c);

/* From now on the host's time passes for the guest n times slower, the TSC's too.  For an engine
 * that is so slow that a guest's timer would take all its time.  While no other thread uses the
 * clock; a clock slowed down has no clock_tsc_offset(). */
void clock_slow(struct clock *c, unsigned n);

u64 clock_now(struct clock *c); /* ns; no lock */
void clock_pause(struct clock *c);
void clock_resume(struct clock *c);
/* Fires every timer that is due already.  While the clock stands, on the loop's thread: what is
 * left lies in the future. */
void clock_fire_due(struct clock *c);

/* What a saved machine keeps of its clock.  To be read and set while the clock stands; setting it
 * moves timers that are armed by as much as the time jumps.  The guest's TSC goes on from `tsc`. */
struct clock_state {
    u64 now; /* ns */
    u64 tsc; /* the guest's */
};
void clock_get(struct clock *c, struct clock_state *s);
void clock_set(struct clock *c, const struct clock_state *s);

/* Manual clock only: steps to now+ns, firing each timer due on the way at its own time. */
void clock_advance(struct clock *c, u64 ns);

/* guest TSC = host TSC + clock_tsc_offset(), both at clock_tsc_hz(); while paused the guest does
 * not run, and resume changes the offset.  No lock. */
u64 clock_tsc_offset(struct clock *c);
u64 clock_tsc_hz(struct clock *c);
u64 clock_tsc(struct clock *c);
/* The virtual time at which the guest's TSC shows this value. */
u64 clock_tsc_to_ns(struct clock *c, u64 tsc);

struct timer {
    u64 deadline; /* virtual ns; valid while armed */
    void (*fn)(void *opaque);
    void *opaque;
    u32 heap_pos; /* the clock's own; 0 = not armed */
};

void timer_set(struct clock *c, struct timer *t, u64 deadline_ns);
void timer_del(struct clock *c, struct timer *t);
bool timer_armed(const struct timer *t);

/* muldiv64(ticks, NS_PER_SEC, hz) and the like: a * b / c through 128 bits. */
static inline u64 muldiv64(u64 a, u64 b, u64 c)
{
    return (u64)((unsigned __int128)a * b / c);
}

#endif
