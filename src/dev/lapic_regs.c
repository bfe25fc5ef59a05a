/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC's registers: in its page (xAPIC), as MSRs (x2APIC), and as another hypervisor's
 * interface has them.  Intel SDM volume 3, 11.4 to 11.12.
 */
#include "dev/lapic_internal.h"

enum {
    REG_ID = 0x02,
    REG_VERSION = 0x03,
    REG_TPR = 0x08,
    REG_APR = 0x09,
    REG_PPR = 0x0a,
    REG_EOI = 0x0b,
    REG_RRD = 0x0c,
    REG_LDR = 0x0d,
    REG_DFR = 0x0e,
    REG_SVR = 0x0f,
    REG_ISR = 0x10,
    REG_TMR = 0x18,
    REG_IRR = 0x20,
    REG_ESR = 0x28,
    REG_ICR = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_LVT = 0x32,
    REG_TIMER_ICR = 0x38,
    REG_TIMER_CCR = 0x39,
    REG_TIMER_DCR = 0x3e,
    REG_SELF_IPI = 0x3f,

    VERSION = 0x14 | (LVT_COUNT - 1) << 16,
};

/* Both modes' registers; false = not there. */
static bool read_register(struct lapic *l, unsigned reg, u32 *v)
{
    *v = 0;
    switch (reg) {
    case REG_ID:
        *v = lapic_x2apic(l) ? l->index : l->index << 24;
        return true;
    case REG_VERSION:
        *v = VERSION;
        return true;
    case REG_TPR:
        *v = l->tpr;
        return true;
    case REG_APR:
    case REG_RRD:
    case REG_EOI:
        return !lapic_x2apic(l);
    case REG_PPR:
        *v = lapic_ppr(l);
        return true;
    case REG_LDR:
        *v = l->ldr;
        return true;
    case REG_DFR:
        *v = l->dfr;
        return !lapic_x2apic(l);
    case REG_SVR:
        *v = l->svr;
        return true;
    case REG_ISR ... REG_ISR + 7:
        *v = l->isr[reg - REG_ISR];
        return true;
    case REG_TMR ... REG_TMR + 7:
        *v = l->tmr[reg - REG_TMR];
        return true;
    case REG_IRR ... REG_IRR + 7:
        *v = l->irr[reg - REG_IRR];
        return true;
    case REG_ESR:
        *v = l->esr;
        return true;
    case REG_ICR:
        *v = l->icr_low;
        return true;
    case REG_ICR_HIGH:
        *v = l->icr_high;
        return !lapic_x2apic(l);
    case REG_LVT ... REG_LVT + LVT_COUNT - 1:
        *v = l->lvt[reg - REG_LVT];
        return true;
    case REG_TIMER_ICR:
        *v = l->timer_initial;
        return true;
    case REG_TIMER_CCR:
        *v = lapic_timer_current(l);
        return true;
    case REG_TIMER_DCR:
        *v = l->timer_divide;
        return true;
    default:
        return false;
    }
}

static void end_of_interrupt(struct lapic *l, struct lapic_effect *fx)
{
    int v = lapic_highest(l->isr);

    if (v < 0)
        return;
    lapic_clear_bit(l->isr, v);
    if (lapic_test_bit(l->tmr, v)) {
        fx->eoi = true;
        fx->eoi_vector = v;
    }
    lapic_update_intr(l);
}

/* Writable bits of the LVT entries, 11.5.1. */
static const u32 lvt_mask[LVT_COUNT] = {
    [LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PERF] = 0x107ff,
    [LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff,   [LVT_ERROR] = 0x100ff,
};

static void write_lvt(struct lapic *l, unsigned n, u32 val)
{
    val &= lvt_mask[n];
    if (!(l->svr & SVR_ENABLE))
        val |= LVT_MASKED;
    if (n == LVT_TIMER)
        lapic_timer_write_lvt(l, val);
    else
        l->lvt[n] = val;
    lapic_update_intr(l);
}

static void write_svr(struct lapic *l, u32 val)
{
    l->svr = val & SVR_BITS;
    if (!(l->svr & SVR_ENABLE))
        for (unsigned i = 0; i < LVT_COUNT; i++)
            write_lvt(l, i, l->lvt[i] | LVT_MASKED);
    lapic_update_intr(l);
}

static void write_icr(struct lapic *l, u32 val, u32 dest, struct lapic_effect *fx)
{
    unsigned mode = val >> 8 & 7;

    l->icr_low = val & 0xccfff; /* delivery status stays 0 */
    if ((mode == DM_FIXED || mode == DM_LOWEST) && (u8)val < 16) {
        lapic_set_error(l, ESR_SEND_ILLEGAL);
        return;
    }
    if (mode == DM_SMI || mode == DM_EXTINT || mode == 3)
        return;
    fx->ipi = true;
    fx->icr = l->icr_low;
    fx->dest = dest;
}

static bool write_register(struct lapic *l, unsigned reg, u32 val, struct lapic_effect *fx)
{
    switch (reg) {
    case REG_TPR:
        l->tpr = val & 0xff;
        lapic_update_intr(l);
        return true;
    case REG_EOI:
        end_of_interrupt(l, fx);
        return true;
    case REG_LDR:
        if (lapic_x2apic(l))
            return false;
        l->ldr = val & 0xff000000;
        return true;
    case REG_DFR:
        if (lapic_x2apic(l))
            return false;
        l->dfr = val | 0x0fffffff;
        return true;
    case REG_SVR:
        write_svr(l, val);
        return true;
    case REG_ESR:
        l->esr = l->esr_pending;
        l->esr_pending = 0;
        return true;
    case REG_ICR:
        write_icr(l, val,
                  !(val & ICR_LOGICAL) && l->icr_high >> 24 == 0xff ? LAPIC_BROADCAST
                                                                    : l->icr_high >> 24,
                  fx);
        return true;
    case REG_ICR_HIGH:
        l->icr_high = val & 0xff000000;
        return true;
    case REG_LVT ... REG_LVT + LVT_COUNT - 1:
        write_lvt(l, reg - REG_LVT, val);
        return true;
    case REG_TIMER_ICR:
        lapic_timer_write_initial(l, val);
        return true;
    case REG_TIMER_DCR:
        lapic_timer_write_divide(l, val & 0xb);
        return true;
    default:
        return false;
    }
}

u64 lapic_read(struct lapic *l, enum lapic_reg r)
{
    u64 v = 0;

    pthread_mutex_lock(&l->lock);
    if (r == LAPIC_TPR)
        v = l->tpr;
    else if (r == LAPIC_ICR)
        v = l->icr_low | (u64)l->icr_high << 32;
    pthread_mutex_unlock(&l->lock);
    return v;
}

void lapic_write(struct lapic *l, enum lapic_reg r, u64 val)
{
    static const u8 number[] = {
        [LAPIC_TPR] = REG_TPR, [LAPIC_EOI] = REG_EOI, [LAPIC_ICR] = REG_ICR};
    struct lapic_effect fx = {0};

    pthread_mutex_lock(&l->lock);
    if (r == LAPIC_ICR)
        l->icr_high = lapic_x2apic(l) ? val >> 32 : val >> 32 & 0xff000000;
    if (r == LAPIC_ICR && lapic_x2apic(l))
        write_icr(l, (u32)val, val >> 32, &fx);
    else
        write_register(l, number[r], (u32)val, &fx);
    pthread_mutex_unlock(&l->lock);
    lapic_perform(l, &fx);
}

/* The calling thread's APIC; a thread that is no processor's (a debugger) gets the first one. */
static struct lapic *self(struct lapic_bus *b)
{
    pthread_t me = pthread_self();

    for (unsigned i = 0; i < b->count; i++)
        if (pthread_equal(b->lapic[i].vcpu->thread, me))
            return &b->lapic[i];
    return &b->lapic[0];
}

/* The host sees all that instructions of its own do; what is interpreted in its place finds no APIC
 * here.  No guest reaches one with an instruction that a host cannot run. */
static bool in_host(const struct lapic *l)
{
    if (!l->bus->host)
        return false;
    trace(l->bus->trace, lapic, "cpu %u: the APIC is in the host's kernel", l->index);
    return true;
}

static u64 page_read(void *opaque, u64 off, unsigned size)
{
    struct lapic *l = self(opaque);
    u32 v = UINT32_MAX;

    if (in_host(l))
        return v;
    pthread_mutex_lock(&l->lock);
    if (lapic_enabled(l) && !lapic_x2apic(l)) {
        v = 0;
        if (!(off & 0xf) && !read_register(l, off >> 4, &v))
            lapic_set_error(l, ESR_ILLEGAL_REG);
    }
    pthread_mutex_unlock(&l->lock);
    return v;
}

static void page_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct lapic *l = self(opaque);
    struct lapic_effect fx = {0};

    if (in_host(l))
        return;
    pthread_mutex_lock(&l->lock);
    if (lapic_enabled(l) && !lapic_x2apic(l) && !(off & 0xf)) {
        trace(l->bus->trace, lapic, "cpu %u: register %03x = %08x", l->index, (u32)off, (u32)val);
        if (!write_register(l, off >> 4, val, &fx))
            lapic_set_error(l, ESR_ILLEGAL_REG);
    }
    pthread_mutex_unlock(&l->lock);
    lapic_perform(l, &fx);
}

const struct region_ops lapic_page_ops = {
    .read = page_read, .write = page_write, .min_width = 4, .max_width = 4, .aligned = true};

bool lapic_rdmsr(void *opaque, u32 msr, u64 *v)
{
    struct lapic *l = opaque;
    unsigned reg = msr - MSR_X2APIC;
    u32 low = 0;
    bool ok = true;

    if (in_host(l))
        return false;
    pthread_mutex_lock(&l->lock);
    if (msr == MSR_TSC_DEADLINE) {
        *v = lapic_timer_tsc_deadline(l);
    } else if (!lapic_x2apic(l) || reg > 0xff) {
        ok = false;
    } else {
        ok = read_register(l, reg, &low);
        *v = low;
        if (reg == REG_ICR)
            *v |= (u64)l->icr_high << 32;
    }
    pthread_mutex_unlock(&l->lock);
    return ok;
}

/* Bits that a write to an x2APIC register must leave clear, 11.12.1.2. */
static bool x2apic_reserved(unsigned reg, u64 v)
{
    switch (reg) {
    case REG_ICR:
        return v & 0xfff32000;
    case REG_EOI:
    case REG_ESR:
        return v;
    case REG_TPR:
    case REG_SELF_IPI:
        return v >> 8;
    case REG_SVR:
        return v & ~(u64)SVR_BITS;
    case REG_LVT ... REG_LVT + LVT_COUNT - 1:
        return v & ~(u64)(lvt_mask[reg - REG_LVT] | 0x5000);
    case REG_TIMER_DCR:
        return v & ~0xbull;
    default:
        return v >> 32;
    }
}

bool lapic_wrmsr(void *opaque, u32 msr, u64 v)
{
    struct lapic *l = opaque;
    struct lapic_effect fx = {0};
    unsigned reg = msr - MSR_X2APIC;
    bool ok = true;

    if (in_host(l))
        return false;
    pthread_mutex_lock(&l->lock);
    if (msr == MSR_TSC_DEADLINE) {
        lapic_timer_write_tsc_deadline(l, v);
    } else if (!lapic_x2apic(l) || reg > 0xff || reg == REG_ICR_HIGH || x2apic_reserved(reg, v)) {
        ok = false;
    } else if (reg == REG_ICR) {
        l->icr_high = v >> 32;
        write_icr(l, v, v >> 32, &fx);
    } else if (reg == REG_SELF_IPI) {
        if ((u8)v < 16)
            lapic_set_error(l, ESR_SEND_ILLEGAL);
        else
            lapic_accept(l, v, false);
    } else {
        ok = write_register(l, reg, v, &fx);
    }
    pthread_mutex_unlock(&l->lock);
    lapic_perform(l, &fx);
    return ok;
}
