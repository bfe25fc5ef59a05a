/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When a program runs directly.
 *
 * A turn in the process costs about twenty microseconds, more than a system call takes in the
 * translator; so only programs that stay out of their kernel for long get there, and those whose
 * turns become short, or that fault pages in all the time, go back.
 */
#include "base/clock.h"
#include "direct/internal.h"

/* Microseconds. */
enum {
    STAY_ENTER = 300, /* in the program, between two times in its kernel, to run directly */
    STAY_SHORT = 30,
    STAY_LEAVE = 100, /* and to be sent back */
    WAIT_MIN = 20000, /* for another try */
    WAIT_MAX = 2000000,
    FAULTS_MAX = 5000, /* spent with page-ins, before anybody asks what came of it */
};

/* Times in the kernel until the clock is read again; where it was found to be there often. */
enum { ENTRIES = 4, ENTRIES_SHORT = 32 };

u64 direct_cpu_time(clockid_t clock)
{
    struct timespec t = {0};

    clock_gettime(clock, &t);
    return (u64)t.tv_sec * NS_PER_SEC + (u64)t.tv_nsec;
}

/* The program that was left or entered. */
static void recognize(struct direct *d)
{
    u64 root = d->c->s.cr3 >> PAGE_SHIFT | BIT64(63);
    struct program *p = &d->known[root % KNOWN];

    if (p->root != root)
        *p = (struct program){.root = root, .wait = WAIT_MIN};
    if (d->now != p)
        d->entries = 0;
    d->now = p;
}

void when_not_before(struct direct *d, u64 us)
{
    struct program *p = d->now;

    p->until = direct_now() + us * d->per_us;
    p->stay = 0;
    d->entries = 0;
}

/* Into the kernel.  The clock is read at some times only; and when it says that they are rare, once
 * more with that of the processor's time, which does not count what others had of it. */
static void left_program(struct direct *d)
{
    bool begins = !d->entries;

    if (!begins && d->entries++ < d->sample)
        return;
    u64 t = direct_now(), us = begins ? 0 : (t - d->since) / (d->sample * d->per_us);
    if (!begins && d->exact)
        d->now->stay = (direct_cpu_time(CLOCK_THREAD_CPUTIME_ID) - d->cpu_since) / d->sample;
    d->exact = !begins && !d->exact && us >= STAY_ENTER;
    d->sample = begins || us >= STAY_SHORT ? ENTRIES : ENTRIES_SHORT;
    d->entries = 1;
    d->since = t;
    if (d->exact)
        d->cpu_since = direct_cpu_time(CLOCK_THREAD_CPUTIME_ID);
}

void direct_slept(struct direct *d)
{
    d->entries = 0;
}

bool direct_wanted(struct direct *d, bool program)
{
    if (!program) {
        if (d->in_program) {
            d->in_program = false;
            left_program(d);
        }
        return false;
    }
    if (!d->in_program) {
        d->in_program = true;
        if (unlikely(!d->per_us))
            d->per_us = clock_tsc_hz(d->c->vm->clock) / 1000000;
        recognize(d);
    }
    if (unlikely(d->always))
        return !d->off;
    if (likely(d->now->stay < STAY_ENTER * NS_PER_US) || d->off)
        return false;
    return direct_now() > d->now->until;
}

/* Faults that bring pages in cost more than the program's own speed gains? */
static void look_back(struct direct *d)
{
    struct program *p = d->now;
    u64 some = FAULTS_MAX * d->per_us;

    if (p->faulting < some && p->ran < 16 * some)
        return;
    if (p->faulting > p->ran / 2) {
        when_not_before(d, p->wait);
        p->wait = min(2 * p->wait, (u64)WAIT_MAX);
    } else {
        p->wait = WAIT_MIN;
    }
    p->ran = p->faulting = 0;
}

void when_turned(struct direct *d, u64 ns)
{
    struct program *p = d->now;

    p->stay = (3 * p->stay + ns) / 4;
    if (p->stay < STAY_LEAVE * NS_PER_US)
        when_not_before(d, WAIT_MIN);
    look_back(d);
}

void when_unfit(struct direct *d)
{
    when_not_before(d, WAIT_MIN);
}

enum direct_turn when_refused(struct direct *d)
{
    enum { TIMES = 64, MICROSECONDS = 2000 };

    if (++d->waits <= TIMES)
        return DIRECT_SOON;
    d->waits = 0;
    d->now->until = direct_now() + MICROSECONDS * d->per_us;
    return DIRECT_SOFT;
}
