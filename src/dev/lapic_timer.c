/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC's timer: one-shot, periodic and TSC-deadline mode.  Intel SDM volume 3, 11.5.4.
 *
 * It counts at 1 GHz before the divider, so that a tick is a nanosecond of the virtual clock, and
 * everything is computed from the time at which the initial count was written: no error adds up.
 * Before a register changes, expiries that are due under the old setting are delivered (sync), so
 * that none is lost between the deadline and the callback on the loop's thread.
 *
 * A guest may ask for a period of a few nanoseconds; the callback does not come more often than
 * every MIN_INTERVAL, and expiries in between merge, as they do in IRR.
 */
#include "dev/lapic_internal.h"

enum {
    MODE_ONE_SHOT = 0,
    MODE_PERIODIC = 1,
    MODE_TSC = 2,

    MIN_INTERVAL = 20000, /* ns */
};

static unsigned mode_of(u32 lvt)
{
    return lvt >> 17 & 3;
}

static bool counts(const struct lapic *l)
{
    return mode_of(l->lvt[LVT_TIMER]) <= MODE_PERIODIC && l->timer_initial;
}

/* ns a tick */
static u64 divider(const struct lapic *l)
{
    unsigned v = (l->timer_divide & 3) | (l->timer_divide >> 1 & 4);

    return 1u << ((v + 1) & 7);
}

static void arm(struct lapic *l, u64 deadline)
{
    l->timer_deadline = deadline;
    if (deadline)
        timer_set(l->bus->clock, &l->timer, deadline);
    else if (timer_armed(&l->timer))
        timer_del(l->bus->clock, &l->timer);
}

/* The next expiry after `now` that can raise an interrupt. */
static void arm_next(struct lapic *l, u64 now)
{
    u64 period, next = 0;

    if (l->lvt[LVT_TIMER] & LVT_MASKED) {
        arm(l, 0);
    } else if (mode_of(l->lvt[LVT_TIMER]) == MODE_TSC) {
        next = l->tsc_deadline ? clock_tsc_to_ns(l->bus->clock, l->tsc_deadline) : 0;
        arm(l, next);
    } else if (counts(l)) {
        period = l->timer_initial * divider(l);
        next = l->timer_start + period;
        if (mode_of(l->lvt[LVT_TIMER]) == MODE_PERIODIC && next <= now) {
            next += (now - next) / period * period + period;
            if (period < MIN_INTERVAL)
                next = max(next, now + MIN_INTERVAL);
        }
        arm(l, next > now ? next : 0);
    } else {
        arm(l, 0);
    }
}

/* Delivers what is due. */
static void sync(struct lapic *l, u64 now)
{
    if (!l->timer_deadline || now < l->timer_deadline)
        return;
    l->timer_deadline = 0;
    if (mode_of(l->lvt[LVT_TIMER]) == MODE_TSC)
        l->tsc_deadline = 0;
    if (!(l->lvt[LVT_TIMER] & LVT_MASKED))
        lapic_accept(l, l->lvt[LVT_TIMER], false);
    arm_next(l, now);
}

static void fire(void *opaque)
{
    struct lapic *l = opaque;

    pthread_mutex_lock(&l->lock);
    sync(l, clock_now(l->bus->clock));
    pthread_mutex_unlock(&l->lock);
}

void lapic_timer_init(struct lapic *l)
{
    l->timer = (struct timer){.fn = fire, .opaque = l};
}

void lapic_timer_stop(struct lapic *l)
{
    l->timer_start = 0;
    arm(l, 0);
}

void lapic_timer_rearm(struct lapic *l)
{
    arm_next(l, clock_now(l->bus->clock));
}

u32 lapic_timer_current(struct lapic *l)
{
    u64 now = clock_now(l->bus->clock);
    u64 elapsed = (now - l->timer_start) / divider(l);

    if (!counts(l))
        return 0;
    if (mode_of(l->lvt[LVT_TIMER]) == MODE_PERIODIC)
        return l->timer_initial - elapsed % l->timer_initial;
    return elapsed < l->timer_initial ? l->timer_initial - elapsed : 0;
}

void lapic_timer_write_lvt(struct lapic *l, u32 val)
{
    u64 now = clock_now(l->bus->clock);

    sync(l, now);
    /* Going into or out of TSC-deadline mode disarms the timer. */
    if ((mode_of(l->lvt[LVT_TIMER]) == MODE_TSC) != (mode_of(val) == MODE_TSC)) {
        l->tsc_deadline = 0;
        l->timer_initial = 0;
    }
    l->lvt[LVT_TIMER] = val;
    arm_next(l, now);
}

void lapic_timer_write_initial(struct lapic *l, u32 val)
{
    u64 now = clock_now(l->bus->clock);

    if (mode_of(l->lvt[LVT_TIMER]) == MODE_TSC)
        return;
    sync(l, now);
    l->timer_initial = val;
    l->timer_start = now;
    arm_next(l, now);
}

/* The count goes on from where it is, at the new speed. */
void lapic_timer_write_divide(struct lapic *l, u32 val)
{
    u64 now = clock_now(l->bus->clock);
    u64 elapsed;

    sync(l, now);
    elapsed = counts(l) ? l->timer_initial - lapic_timer_current(l) : 0;
    l->timer_divide = val;
    if (counts(l))
        l->timer_start = now - min(now, elapsed * divider(l));
    arm_next(l, now);
}

void lapic_timer_leave(struct lapic *l)
{
    sync(l, clock_now(l->bus->clock));
    l->timer_left = lapic_timer_current(l);
    arm(l, 0);
}

/* A one-shot timer that has run out is due once more: whether its interrupt was seen is not known,
 * and a guest rather takes two than none. */
void lapic_timer_enter(struct lapic *l)
{
    u64 now = clock_now(l->bus->clock), gone;

    if (counts(l)) {
        l->timer_left = max(min(l->timer_left, l->timer_initial), 1u);
        gone = (u64)(l->timer_initial - l->timer_left) * divider(l);
        l->timer_start = now - min(now, gone);
    }
}

u64 lapic_timer_tsc_deadline(struct lapic *l)
{
    return mode_of(l->lvt[LVT_TIMER]) == MODE_TSC ? l->tsc_deadline : 0;
}

void lapic_timer_write_tsc_deadline(struct lapic *l, u64 val)
{
    u64 now = clock_now(l->bus->clock);

    if (mode_of(l->lvt[LVT_TIMER]) != MODE_TSC)
        return;
    sync(l, now);
    l->tsc_deadline = val;
    arm_next(l, now);
    sync(l, now); /* a deadline in the past expires at once */
}
