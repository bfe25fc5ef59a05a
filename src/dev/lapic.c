/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC, one a processor: registers, priorities, and the messages among them.  Intel SDM
 * volume 3, chapter 11 (references below are to its sections).  The timer is dev/lapic_timer.c's.
 *
 * What the processor sees of it is one bit, VCPU_INTR, recomputed as a level after each change:
 * "a vector in IRR outranks the processor priority, or the PIC's INTR comes through LINT0".  The
 * vector is chosen when the processor asks (intc.ack).
 *
 * Locks: each APIC has its own.  Nobody holds two of them, or one of them while calling the PIC or
 * the I/O APIC; a register write that has an effect outside (IPI, EOI broadcast) notes it in a
 * struct effect and performs it after the lock is dropped.
 *
 * All processors share the page at its usual address; which APIC is meant follows from the calling
 * thread.  IA32_APIC_BASE keeps another address if a guest writes one, but the page does not move:
 * no guest is known that moves it.  The xAPIC ID register is read-only, as on newer processors.
 * Left out: CMCI, thermal and performance interrupts (their LVT entries hold what is written),
 * EOI-broadcast suppression, SMI.
 *
 * LINT0 of the boot processor comes out of reset as unmasked ExtINT ("virtual wire"), as firmware
 * leaves it; a kernel started without firmware may rely on the PIC before it knows of APICs.
 */
#include "dev/lapic.h"

#include "dev/i8259.h"
#include "dev/lapic_internal.h"

#include <string.h>

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

#define DEFAULT_BASE 0xfee00000u
#define BROADCAST    0xffffffffu

/* What a register write does outside of its own APIC, once the lock is dropped. */
struct effect {
    bool ipi;
    u32 icr, dest;
    bool eoi; /* broadcast of a level-triggered vector's end */
    u8 eoi_vector;
};

static bool enabled(const struct lapic *l)
{
    return l->base & BASE_ENABLE;
}

static bool x2apic(const struct lapic *l)
{
    return (l->base & (BASE_ENABLE | BASE_X2APIC)) == (BASE_ENABLE | BASE_X2APIC);
}

/* ------------------------------------------------------------- priorities -- */

static int highest(const u32 *bits)
{
    for (int i = 7; i >= 0; i--)
        if (bits[i])
            return 32 * i + 31 - __builtin_clz(bits[i]);
    return -1;
}

static void set_bit(u32 *bits, u8 v)
{
    bits[v / 32] |= BIT(v % 32);
}

static void clear_bit(u32 *bits, u8 v)
{
    bits[v / 32] &= ~BIT(v % 32);
}

static bool test_bit(const u32 *bits, u8 v)
{
    return bits[v / 32] >> (v % 32) & 1;
}

/* 11.8.3.1 */
static u8 ppr(const struct lapic *l)
{
    int isrv = highest(l->isr);

    if (isrv < 0 || (l->tpr & 0xf0) >= (unsigned)(isrv & 0xf0))
        return l->tpr;
    return isrv & 0xf0;
}

/* The vector to deliver, or -1. */
static int pending_vector(const struct lapic *l)
{
    int v = highest(l->irr);

    return v >= 0 && enabled(l) && (v & 0xf0) > (ppr(l) & 0xf0) ? v : -1;
}

/* Does the PIC's interrupt come through?  With the APIC off, LINT0 is the INTR pin. */
static bool extint_pending(const struct lapic *l)
{
    u32 lvt = l->lvt[LVT_LINT0];

    if (!l->lint0)
        return false;
    return !enabled(l) || (!(lvt & LVT_MASKED) && (lvt >> 8 & 7) == DM_EXTINT);
}

void lapic_update_intr(struct lapic *l)
{
    bool raised = vcpu_events(l->vcpu) & VCPU_INTR;
    bool want = pending_vector(l) >= 0 || extint_pending(l) || l->direct;

    if (l->bus->host) /* it knows the rest; the PIC's reaches the boot processor alone */
        want = l->lint0 && l->index == 0;

    if (want && !raised)
        vcpu_raise(l->vcpu, VCPU_INTR);
    else if (!want && raised)
        vcpu_lower(l->vcpu, VCPU_INTR);
}

static void set_error(struct lapic *l, u32 bit)
{
    u32 lvt = l->lvt[LVT_ERROR];

    l->esr_pending |= bit;
    if (!(lvt & LVT_MASKED) && (u8)lvt >= 16)
        lapic_accept(l, lvt, false);
}

void lapic_accept(struct lapic *l, u8 vector, bool level)
{
    if (!enabled(l) || !(l->svr & SVR_ENABLE))
        return;
    if (vector < 16) {
        set_error(l, ESR_RECV_ILLEGAL);
        return;
    }
    set_bit(l->irr, vector);
    if (level)
        set_bit(l->tmr, vector);
    else
        clear_bit(l->tmr, vector);
    lapic_update_intr(l);
}

void lapic_inject(struct lapic *l, u8 vector, bool direct)
{
    pthread_mutex_lock(&l->lock);
    if (direct) {
        l->direct = vector;
    } else {
        set_bit(l->irr, vector);
        clear_bit(l->tmr, vector);
    }
    lapic_update_intr(l);
    pthread_mutex_unlock(&l->lock);
}

void lapic_auto_eoi(struct lapic *l, const u32 vectors[8])
{
    pthread_mutex_lock(&l->lock);
    memcpy(l->auto_eoi, vectors, sizeof(l->auto_eoi));
    pthread_mutex_unlock(&l->lock);
}

/* --------------------------------------------------------------- messages -- */

static void deliver_to(struct lapic *l, unsigned mode, u8 vector, bool level)
{
    switch (mode) {
    case DM_FIXED:
    case DM_LOWEST:
        pthread_mutex_lock(&l->lock);
        lapic_accept(l, vector, level);
        pthread_mutex_unlock(&l->lock);
        break;
    case DM_NMI:
        vcpu_raise(l->vcpu, VCPU_NMI);
        break;
    case DM_INIT:
        vcpu_raise(l->vcpu, VCPU_INIT);
        break;
    case DM_SIPI:
        __atomic_store_n(&l->vcpu->sipi_vector, vector, __ATOMIC_RELEASE);
        vcpu_raise(l->vcpu, VCPU_SIPI);
        break;
    default: /* SMI: there is no SMM; ExtINT comes by the LINT0 line only */
        trace(l->bus->trace, lapic, "cpu %u: message of mode %u dropped", l->index, mode);
        break;
    }
}

/* 11.6.2.2; read without the lock: destinations are set up long before they are used. */
static bool matches_logical(const struct lapic *l, u32 dest)
{
    u32 id;

    if (x2apic(l))
        return dest >> 16 == l->ldr >> 16 && (dest & l->ldr & 0xffff);
    if (dest == BROADCAST)
        return true;
    id = l->ldr >> 24;
    if (l->dfr >> 28 == 0xf)
        return id & dest & 0xff;
    return (id >> 4 == (dest >> 4 & 0xf) || (dest >> 4 & 0xf) == 0xf) && (id & dest & 0xf);
}

/* One of those in set, in turn. */
static unsigned lowest_priority(struct lapic_bus *b, u64 set)
{
    unsigned turn = __atomic_fetch_add(&b->lowest_turn, 1, __ATOMIC_RELAXED) % LAPIC_MAX;
    u64 after = set >> turn << turn;

    return __builtin_ctzll(after ? after : set);
}

static u64 all(const struct lapic_bus *b)
{
    return b->count == 64 ? UINT64_MAX : BIT64(b->count) - 1;
}

static u64 destinations(struct lapic_bus *b, u32 dest, bool logical)
{
    u64 set = 0;

    if (!logical)
        return dest == BROADCAST ? all(b) : dest < b->count ? BIT64(dest) : 0;
    for (unsigned i = 0; i < b->count; i++)
        if (matches_logical(&b->lapic[i], dest))
            set |= BIT64(i);
    return set;
}

static void deliver(struct lapic_bus *b, u64 set, unsigned mode, u8 vector, bool level)
{
    if (mode == DM_LOWEST && (set & (set - 1)))
        set = BIT64(lowest_priority(b, set));
    while (set) {
        unsigned i = __builtin_ctzll(set);
        set &= set - 1;
        deliver_to(&b->lapic[i], mode, vector, level);
    }
}

/* The processors that a message's address names. */
static u64 msi_destinations(struct lapic_bus *b, u64 addr)
{
    u32 dest = (addr >> 12 & 0xff) | (addr >> 5 & 0x7f) << 8;
    bool logical = addr >> 2 & 1;

    if ((addr & 0xfff00000) != DEFAULT_BASE || addr >> 32)
        return 0;
    if (!logical && dest == 0xff)
        dest = BROADCAST;
    return destinations(b, dest, logical);
}

void lapic_msi(void *opaque, u64 addr, u32 data)
{
    struct lapic_bus *b = opaque;

    trace(b->trace, lapic, "message %08x to %08x", data, (u32)addr);
    if ((data & ICR_LEVEL) && !(data & ICR_ASSERT))
        return; /* level deassert: nothing to do */
    pthread_mutex_lock(&b->lock);
    if (b->host)
        b->host->send(b->host_opaque, addr, data);
    else
        deliver(b, msi_destinations(b, addr), data >> 8 & 7, data, data & ICR_LEVEL);
    pthread_mutex_unlock(&b->lock);
}

bool lapic_msi_pending(void *opaque, u64 addr, u32 data)
{
    struct lapic_bus *b = opaque;
    u64 set = msi_destinations(b, addr);
    unsigned mode = data >> 8 & 7;
    bool waits = set && !b->host && (mode == DM_FIXED || mode == DM_LOWEST);

    for (; set && waits; set &= set - 1) {
        struct lapic *l = &b->lapic[__builtin_ctzll(set)];
        pthread_mutex_lock(&l->lock);
        waits = test_bit(l->irr, data);
        pthread_mutex_unlock(&l->lock);
    }
    return waits;
}

/* 11.6.1 */
static void send_ipi(struct lapic *l, u32 icr, u32 dest)
{
    struct lapic_bus *b = l->bus;
    unsigned mode = icr >> 8 & 7;
    u64 set;

    trace(b->trace, lapic, "cpu %u: IPI %08x to %x", l->index, icr, dest);
    if (mode == DM_INIT && (icr & ICR_LEVEL) && !(icr & ICR_ASSERT))
        return; /* INIT level deassert */
    switch (icr >> 18 & 3) {
    case 0:
        set = destinations(b, dest, icr & ICR_LOGICAL);
        break;
    case 1:
        set = BIT64(l->index);
        break;
    case 2:
        set = all(b);
        break;
    default:
        set = all(b) & ~BIT64(l->index);
        break;
    }
    deliver(b, set, mode, icr, false);
}

static void perform(struct lapic *l, const struct effect *fx)
{
    if (fx->eoi && l->bus->eoi)
        l->bus->eoi(l->bus->eoi_opaque, fx->eoi_vector);
    if (fx->ipi)
        send_ipi(l, fx->icr, fx->dest);
}

/* -------------------------------------------------------------- registers -- */

/* Both modes' registers; false = not there. */
static bool read_register(struct lapic *l, unsigned reg, u32 *v)
{
    *v = 0;
    switch (reg) {
    case REG_ID:
        *v = x2apic(l) ? l->index : l->index << 24;
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
        return !x2apic(l);
    case REG_PPR:
        *v = ppr(l);
        return true;
    case REG_LDR:
        *v = l->ldr;
        return true;
    case REG_DFR:
        *v = l->dfr;
        return !x2apic(l);
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
        return !x2apic(l);
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

static void end_of_interrupt(struct lapic *l, struct effect *fx)
{
    int v = highest(l->isr);

    if (v < 0)
        return;
    clear_bit(l->isr, v);
    if (test_bit(l->tmr, v)) {
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

static void write_icr(struct lapic *l, u32 val, u32 dest, struct effect *fx)
{
    unsigned mode = val >> 8 & 7;

    l->icr_low = val & 0xccfff; /* delivery status stays 0 */
    if ((mode == DM_FIXED || mode == DM_LOWEST) && (u8)val < 16) {
        set_error(l, ESR_SEND_ILLEGAL);
        return;
    }
    if (mode == DM_SMI || mode == DM_EXTINT || mode == 3)
        return;
    fx->ipi = true;
    fx->icr = l->icr_low;
    fx->dest = dest;
}

static bool write_register(struct lapic *l, unsigned reg, u32 val, struct effect *fx)
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
        if (x2apic(l))
            return false;
        l->ldr = val & 0xff000000;
        return true;
    case REG_DFR:
        if (x2apic(l))
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
                  !(val & ICR_LOGICAL) && l->icr_high >> 24 == 0xff ? BROADCAST : l->icr_high >> 24,
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
    struct effect fx = {0};

    pthread_mutex_lock(&l->lock);
    if (r == LAPIC_ICR)
        l->icr_high = x2apic(l) ? val >> 32 : val >> 32 & 0xff000000;
    if (r == LAPIC_ICR && x2apic(l))
        write_icr(l, (u32)val, val >> 32, &fx);
    else
        write_register(l, number[r], (u32)val, &fx);
    pthread_mutex_unlock(&l->lock);
    perform(l, &fx);
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
    if (enabled(l) && !x2apic(l)) {
        v = 0;
        if (!(off & 0xf) && !read_register(l, off >> 4, &v))
            set_error(l, ESR_ILLEGAL_REG);
    }
    pthread_mutex_unlock(&l->lock);
    return v;
}

static void page_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct lapic *l = self(opaque);
    struct effect fx = {0};

    if (in_host(l))
        return;
    pthread_mutex_lock(&l->lock);
    if (enabled(l) && !x2apic(l) && !(off & 0xf)) {
        trace(l->bus->trace, lapic, "cpu %u: register %03x = %08x", l->index, (u32)off, (u32)val);
        if (!write_register(l, off >> 4, val, &fx))
            set_error(l, ESR_ILLEGAL_REG);
    }
    pthread_mutex_unlock(&l->lock);
    perform(l, &fx);
}

static const struct region_ops page_ops = {
    .read = page_read, .write = page_write, .min_width = 4, .max_width = 4, .aligned = true};

/* ----------------------------------------------- the processor's side -- */

static int intc_ack(void *opaque)
{
    struct lapic *l = opaque;
    int v = -1;
    bool ext;

    pthread_mutex_lock(&l->lock);
    if (l->direct) {
        v = l->direct;
        l->direct = 0;
        lapic_update_intr(l);
        pthread_mutex_unlock(&l->lock);
        return v;
    }
    ext = (l->bus->host ? l->lint0 : extint_pending(l)) && l->bus->pic;
    if (!ext && !l->bus->host) {
        v = pending_vector(l);
        if (v >= 0) {
            clear_bit(l->irr, v);
            if (!test_bit(l->auto_eoi, v))
                set_bit(l->isr, v);
        }
        lapic_update_intr(l);
    }
    pthread_mutex_unlock(&l->lock);
    return ext ? i8259_ack(l->bus->pic) : v;
}

static u64 intc_get_base(void *opaque)
{
    struct lapic *l = opaque;

    return __atomic_load_n(&l->base, __ATOMIC_RELAXED);
}

/* 11.8, and 11.12.1 for x2APIC; what INIT and reset have in common. */
static void reset_registers(struct lapic *l)
{
    memset(l->irr, 0, sizeof(l->irr));
    memset(l->isr, 0, sizeof(l->isr));
    memset(l->tmr, 0, sizeof(l->tmr));
    l->direct = 0;
    l->tpr = 0;
    l->ldr = 0;
    l->dfr = 0xffffffff;
    l->svr = 0xff;
    l->esr = 0;
    l->esr_pending = 0;
    l->icr_low = 0;
    l->icr_high = 0;
    l->timer_initial = 0;
    l->timer_divide = 0;
    l->tsc_deadline = 0;
    for (unsigned i = 0; i < LVT_COUNT; i++)
        l->lvt[i] = LVT_MASKED;
    if (l->index == 0)
        l->lvt[LVT_LINT0] = DM_EXTINT << 8; /* see the head of this file */
    if (x2apic(l))
        l->ldr = l->index >> 4 << 16 | BIT(l->index & 15);
    lapic_timer_stop(l);
    lapic_update_intr(l);
}

static bool intc_set_base(void *opaque, u64 v)
{
    struct lapic *l = opaque;
    u64 mode = v & (BASE_ENABLE | BASE_X2APIC);
    u64 old;

    if (v & ~(BIT64(PHYS_BITS) - 0x1000 + BASE_ENABLE + BASE_X2APIC + BASE_BSP))
        return false;
    pthread_mutex_lock(&l->lock);
    old = l->base & (BASE_ENABLE | BASE_X2APIC);
    /* 11.12.5: no x2APIC without xAPIC before, and no way back but through "disabled". */
    if (mode == BASE_X2APIC || (old == 0 && mode == (BASE_ENABLE | BASE_X2APIC)) ||
        (old == (BASE_ENABLE | BASE_X2APIC) && mode == BASE_ENABLE)) {
        pthread_mutex_unlock(&l->lock);
        return false;
    }
    __atomic_store_n(&l->base, v, __ATOMIC_RELAXED);
    trace(l->bus->trace, lapic, "cpu %u: APIC base %llx", l->index, (unsigned long long)v);
    if (old && !mode)
        reset_registers(l);
    else if (x2apic(l))
        l->ldr = l->index >> 4 << 16 | BIT(l->index & 15);
    lapic_update_intr(l);
    pthread_mutex_unlock(&l->lock);
    return true;
}

static u8 intc_get_tpr(void *opaque)
{
    struct lapic *l = opaque;

    return __atomic_load_n(&l->tpr, __ATOMIC_RELAXED) >> 4;
}

static void intc_set_tpr(void *opaque, u8 v)
{
    struct lapic *l = opaque;

    pthread_mutex_lock(&l->lock);
    l->tpr = (v & 15) << 4;
    lapic_update_intr(l);
    pthread_mutex_unlock(&l->lock);
}

static bool intc_rdmsr(void *opaque, u32 msr, u64 *v)
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
    } else if (!x2apic(l) || reg > 0xff) {
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

static bool intc_wrmsr(void *opaque, u32 msr, u64 v)
{
    struct lapic *l = opaque;
    struct effect fx = {0};
    unsigned reg = msr - MSR_X2APIC;
    bool ok = true;

    if (in_host(l))
        return false;
    pthread_mutex_lock(&l->lock);
    if (msr == MSR_TSC_DEADLINE) {
        lapic_timer_write_tsc_deadline(l, v);
    } else if (!x2apic(l) || reg > 0xff || reg == REG_ICR_HIGH || x2apic_reserved(reg, v)) {
        ok = false;
    } else if (reg == REG_ICR) {
        l->icr_high = v >> 32;
        write_icr(l, v, v >> 32, &fx);
    } else if (reg == REG_SELF_IPI) {
        if ((u8)v < 16)
            set_error(l, ESR_SEND_ILLEGAL);
        else
            lapic_accept(l, v, false);
    } else {
        ok = write_register(l, reg, v, &fx);
    }
    pthread_mutex_unlock(&l->lock);
    perform(l, &fx);
    return ok;
}

/* INIT keeps IA32_APIC_BASE (and with it the mode and the ID). */
static void intc_init(void *opaque)
{
    struct lapic *l = opaque;

    pthread_mutex_lock(&l->lock);
    reset_registers(l);
    pthread_mutex_unlock(&l->lock);
    if (l->bus->after_init)
        l->bus->after_init(l->bus->after_init_opaque, l->index);
}

/* ------------------------------------------------------------------ lines -- */

static bool is_fixed(u32 lvt)
{
    return !(lvt & LVT_MASKED) && (lvt >> 8 & 7) == DM_FIXED;
}

void lapic_lint0(void *opaque, unsigned n, bool level)
{
    struct lapic_bus *b = opaque;

    for (unsigned i = 0; i < b->count; i++) {
        struct lapic *l = &b->lapic[i];
        pthread_mutex_lock(&l->lock);
        bool rises = level && !l->lint0;
        l->lint0 = level;
        if (rises && !b->host && enabled(l) && is_fixed(l->lvt[LVT_LINT0]))
            lapic_accept(l, l->lvt[LVT_LINT0], false);
        lapic_update_intr(l);
        pthread_mutex_unlock(&l->lock);
    }
}

void lapic_lint1(void *opaque, unsigned n, bool level)
{
    struct lapic_bus *b = opaque;
    struct lapic *l = &b->lapic[0];
    u32 lvt;

    if (!level)
        return;
    pthread_mutex_lock(&l->lock);
    lvt = l->lvt[LVT_LINT1];
    if (b->host || !enabled(l) || (!(lvt & LVT_MASKED) && (lvt >> 8 & 7) == DM_NMI))
        vcpu_raise(l->vcpu, VCPU_NMI);
    else if (is_fixed(lvt))
        lapic_accept(l, lvt, false);
    pthread_mutex_unlock(&l->lock);
}

/* ------------------------------------------------------------------ life -- */

void lapic_bus_reset(struct lapic_bus *b)
{
    for (unsigned i = 0; i < b->count; i++) {
        struct lapic *l = &b->lapic[i];
        pthread_mutex_lock(&l->lock);
        l->base = DEFAULT_BASE | BASE_ENABLE | (i ? 0 : BASE_BSP);
        reset_registers(l);
        pthread_mutex_unlock(&l->lock);
    }
}

void lapic_bus_init(struct lapic_bus *b, struct vcpu *vcpu, unsigned count, struct clock *c,
                    struct i8259 *pic, struct trace *t)
{
    BUG_ON(!count || count > LAPIC_MAX);
    memset(b, 0, sizeof(*b));
    b->count = count;
    b->clock = c;
    b->trace = t;
    b->pic = pic;
    pthread_mutex_init(&b->lock, NULL);
    b->region = (struct region){.name = "lapic", .size = 0x1000, .ops = &page_ops, .opaque = b};
    for (unsigned i = 0; i < count; i++) {
        struct lapic *l = &b->lapic[i];
        l->bus = b;
        l->vcpu = &vcpu[i];
        l->index = i;
        pthread_mutex_init(&l->lock, NULL);
        lapic_timer_init(l);
        vcpu[i].intc = (struct vcpu_intc){
            .ack = intc_ack,
            .get_base = intc_get_base,
            .set_base = intc_set_base,
            .get_tpr = intc_get_tpr,
            .set_tpr = intc_set_tpr,
            .rdmsr = intc_rdmsr,
            .wrmsr = intc_wrmsr,
            .init = intc_init,
            .opaque = l,
        };
    }
    lapic_bus_reset(b);
}

void lapic_bus_destroy(struct lapic_bus *b)
{
    for (unsigned i = 0; i < b->count; i++)
        timer_del(b->clock, &b->lapic[i].timer);
}

static const struct field lapic_fields[] = {
    FIELD(struct lapic, base),
    FIELD_ARRAY(struct lapic, irr),
    FIELD_ARRAY(struct lapic, isr),
    FIELD_ARRAY(struct lapic, tmr),
    FIELD_MAX(struct lapic, tpr, 0xff),
    FIELD(struct lapic, ldr),
    FIELD(struct lapic, dfr),
    FIELD_BITS(struct lapic, svr, SVR_BITS),
    FIELD(struct lapic, esr),
    FIELD(struct lapic, esr_pending),
    FIELD(struct lapic, icr_low),
    FIELD(struct lapic, icr_high),
    FIELD_ARRAY(struct lapic, lvt),
    FIELD(struct lapic, timer_initial),
    FIELD_BITS(struct lapic, timer_divide, 0xb),
    FIELD(struct lapic, timer_start),
    FIELD(struct lapic, tsc_deadline),
    FIELD_MAX(struct lapic, lint0, 1),
    FIELD(struct lapic, direct),
};

static int lapic_loaded(void *obj, struct err *e)
{
    struct lapic *l = obj;

    pthread_mutex_lock(&l->lock);
    lapic_timer_rearm(l);
    lapic_update_intr(l);
    pthread_mutex_unlock(&l->lock);
    return 0;
}

const struct state_desc lapic_state = {
    .name = "lapic",
    .version = 1,
    .fields = lapic_fields,
    .nfields = ARRAY_SIZE(lapic_fields),
    .loaded = lapic_loaded,
};
