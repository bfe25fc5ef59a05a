/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Time as the guest computes it from its TSC (xen.h: vcpu_time_info) and the wall clock in
 * shared_info.  System time is the machine's virtual clock, and the TSC is that clock in ticks, so
 * one pair of numbers stays right for good; it is written anew when the page moves.
 */
#include "pv/xen/internal.h"

#include <string.h>

void time_scale(u64 hz, u32 *mul, s8 *shift)
{
    u64 scaled = hz;

    *shift = 0;
    /* ns = (ticks << shift) * mul >> 32 with mul of 32 bits, its highest set */
    while (scaled > 2 * NS_PER_SEC) {
        scaled >>= 1;
        (*shift)--;
    }
    while (scaled <= NS_PER_SEC) {
        scaled <<= 1;
        (*shift)++;
    }
    *mul = (u32)(((unsigned __int128)NS_PER_SEC << 32) / scaled);
}

static void write_time(struct xen_vcpu *v, struct xen_vcpu_time_info *t)
{
    struct clock *c = v->x->vm->clock;
    u64 tsc = clock_tsc(c);
    struct xen_vcpu_time_info now = {
        .tsc_timestamp = tsc + (u64)v->tsc_offset,
        .system_time = clock_tsc_to_ns(c, tsc),
        .flags = XEN_PVCLOCK_TSC_STABLE_BIT,
    };
    u32 version = __atomic_load_n(&t->version, __ATOMIC_RELAXED) | 1;

    time_scale(clock_tsc_hz(c), &now.tsc_to_system_mul, &now.tsc_shift);
    now.version = version;
    __atomic_store_n(&t->version, version, __ATOMIC_SEQ_CST);
    memcpy(t, &now, sizeof(now));
    __atomic_store_n(&t->version, version + 1, __ATOMIC_SEQ_CST);
    guest_wrote(v->x, t, sizeof(*t));
}

void time_update(struct xen_vcpu *v)
{
    write_time(v, &v->info->time);
    if (v->time_area)
        write_time(v, v->time_area);
}

void time_wallclock(struct xen *x)
{
    struct xen_shared_info *s = x->shared;
    u32 version = s->wc_version | 1;

    __atomic_store_n(&s->wc_version, version, __ATOMIC_SEQ_CST);
    s->wc_sec = (u32)x->cfg.wallclock;
    s->wc_sec_hi = (u32)((u64)x->cfg.wallclock >> 32);
    s->wc_nsec = 0;
    __atomic_store_n(&s->wc_version, version + 1, __ATOMIC_SEQ_CST);
}
