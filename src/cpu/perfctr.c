/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The performance counters of AMD processors since the K7: AMD APM volume 2, 13.2.
 *
 * One event happens here: clock cycles (76h), counted by the time-stamp counter.  Others can be
 * chosen and count nothing, as on a processor where they do not occur.  There are no overflow
 * interrupts.
 */
#include "cpu/perfctr.h"

#include "cpu/sysinsn.h"

enum { SEL_EN = 1 << 22, SEL_EVENT = 0xff, SEL_EVENT_HI = 32, EVENT_CLOCKS = 0x76, CTR_BITS = 48 };

static bool counts(u64 sel)
{
    return sel & SEL_EN && (sel & SEL_EVENT) == EVENT_CLOCKS && !(sel >> SEL_EVENT_HI & 15);
}

bool perfctr_owns(u32 msr)
{
    return msr >= MSR_PERF_EVT_SEL0 && msr < MSR_PERF_CTR0 + PERF_COUNT;
}

u64 perfctr_count(struct cpu *c, unsigned n)
{
    u64 v = c->s.perf_ctr[n];

    if (counts(c->s.perf_sel[n]))
        v += cpu_tsc(c);
    return v & (BIT64(CTR_BITS) - 1);
}

u64 perfctr_read(struct cpu *c, u32 msr)
{
    return msr < MSR_PERF_CTR0 ? c->s.perf_sel[msr - MSR_PERF_EVT_SEL0]
                               : perfctr_count(c, msr - MSR_PERF_CTR0);
}

static void set_count(struct cpu *c, unsigned n, u64 v)
{
    c->s.perf_ctr[n] = counts(c->s.perf_sel[n]) ? v - cpu_tsc(c) : v;
}

void perfctr_write(struct cpu *c, u32 msr, u64 v)
{
    if (msr >= MSR_PERF_CTR0) {
        set_count(c, msr - MSR_PERF_CTR0, v & (BIT64(CTR_BITS) - 1));
        return;
    }
    unsigned n = msr - MSR_PERF_EVT_SEL0;
    u64 now = perfctr_count(c, n);
    c->s.perf_sel[n] = v;
    set_count(c, n, now);
}
