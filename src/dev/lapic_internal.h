/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What lapic.c, lapic_bus.c, lapic_regs.c and lapic_timer.c know of each other.  All with the
 * APIC's lock held, unless they say otherwise.
 */
#ifndef WIRT_DEV_LAPIC_INTERNAL_H
#define WIRT_DEV_LAPIC_INTERNAL_H

#include "dev/lapic.h"

enum {
    LVT_MASKED = 1 << 16,

    SVR_ENABLE = 1 << 8,
    SVR_BITS = 0x3ff, /* bit 9, focus check, is kept and does nothing; Xen sets it in x2APIC mode */
    BASE_BSP = 1 << 8,
    BASE_X2APIC = 1 << 10,
    BASE_ENABLE = 1 << 11,

    ICR_LOGICAL = 1 << 11,
    ICR_ASSERT = 1 << 14,
    ICR_LEVEL = 1 << 15,

    DM_FIXED = 0,
    DM_LOWEST = 1,
    DM_SMI = 2,
    DM_NMI = 4,
    DM_INIT = 5,
    DM_SIPI = 6,
    DM_EXTINT = 7,

    ESR_SEND_ILLEGAL = 1 << 5,
    ESR_RECV_ILLEGAL = 1 << 6,
    ESR_ILLEGAL_REG = 1 << 7,

    MSR_X2APIC = 0x800,
    MSR_TSC_DEADLINE = 0x6e0,
    PHYS_BITS = 52,
};

#define LAPIC_DEFAULT_BASE 0xfee00000u
#define LAPIC_BROADCAST    0xffffffffu

static inline bool lapic_enabled(const struct lapic *l)
{
    return l->base & BASE_ENABLE;
}

static inline bool lapic_x2apic(const struct lapic *l)
{
    return (l->base & (BASE_ENABLE | BASE_X2APIC)) == (BASE_ENABLE | BASE_X2APIC);
}

/* IRR, ISR and TMR: a bit a vector. */
static inline void lapic_set_bit(u32 *bits, u8 v)
{
    bits[v / 32] |= BIT(v % 32);
}

static inline void lapic_clear_bit(u32 *bits, u8 v)
{
    bits[v / 32] &= ~BIT(v % 32);
}

static inline bool lapic_test_bit(const u32 *bits, u8 v)
{
    return bits[v / 32] >> (v % 32) & 1;
}

/* The highest vector, -1 = none. */
static inline int lapic_highest(const u32 *bits)
{
    for (int i = 7; i >= 0; i--)
        if (bits[i])
            return 32 * i + 31 - __builtin_clz(bits[i]);
    return -1;
}

/* ---- lapic.c ---- */

/* Takes a vector into IRR (or reports it as illegal, or drops it while disabled). */
void lapic_accept(struct lapic *l, u8 vector, bool level);
/* Recomputes VCPU_INTR. */
void lapic_update_intr(struct lapic *l);
u8 lapic_ppr(const struct lapic *l);
void lapic_set_error(struct lapic *l, u32 bit); /* of the ESR; the LVT's error interrupt */

/* ---- lapic_bus.c ---- */

/* What a register write does outside of its own APIC, once the lock is dropped. */
struct lapic_effect {
    bool ipi;
    u32 icr, dest;
    bool eoi; /* broadcast of a level-triggered vector's end */
    u8 eoi_vector;
};
void lapic_perform(struct lapic *l, const struct lapic_effect *fx); /* no lock is held */

/* ---- lapic_regs.c; these take the lock ---- */

extern const struct region_ops lapic_page_ops;   /* opaque: the bus */
bool lapic_rdmsr(void *opaque, u32 msr, u64 *v); /* as struct vcpu_intc has them */
bool lapic_wrmsr(void *opaque, u32 msr, u64 v);

/* ---- lapic_timer.c ---- */

void lapic_timer_init(struct lapic *l);
void lapic_timer_stop(struct lapic *l);
void lapic_timer_rearm(struct lapic *l);
u32 lapic_timer_current(struct lapic *l);
void lapic_timer_write_lvt(struct lapic *l, u32 val);
void lapic_timer_write_initial(struct lapic *l, u32 val);
void lapic_timer_write_divide(struct lapic *l, u32 val);
/* Delivers what is due, and stops; timer_left is set. */
void lapic_timer_leave(struct lapic *l);
/* Goes on from timer_left. */
void lapic_timer_enter(struct lapic *l);
u64 lapic_timer_tsc_deadline(struct lapic *l);
void lapic_timer_write_tsc_deadline(struct lapic *l, u64 val);

#endif
