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

/* ------------------------------------------------------------- priorities -- */

/* 11.8.3.1 */
u8 lapic_ppr(const struct lapic *l)
{
    int isrv = lapic_highest(l->isr);

    if (isrv < 0 || (l->tpr & 0xf0) >= (unsigned)(isrv & 0xf0))
        return l->tpr;
    return isrv & 0xf0;
}

/* The vector to deliver, or -1. */
static int pending_vector(const struct lapic *l)
{
    int v = lapic_highest(l->irr);

    return v >= 0 && lapic_enabled(l) && (v & 0xf0) > (lapic_ppr(l) & 0xf0) ? v : -1;
}

/* Does the PIC's interrupt come through?  With the APIC off, LINT0 is the INTR pin. */
static bool extint_pending(const struct lapic *l)
{
    u32 lvt = l->lvt[LVT_LINT0];

    if (!l->lint0)
        return false;
    return !lapic_enabled(l) || (!(lvt & LVT_MASKED) && (lvt >> 8 & 7) == DM_EXTINT);
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

void lapic_set_error(struct lapic *l, u32 bit)
{
    u32 lvt = l->lvt[LVT_ERROR];

    l->esr_pending |= bit;
    if (!(lvt & LVT_MASKED) && (u8)lvt >= 16)
        lapic_accept(l, lvt, false);
}

void lapic_accept(struct lapic *l, u8 vector, bool level)
{
    if (!lapic_enabled(l) || !(l->svr & SVR_ENABLE))
        return;
    if (vector < 16) {
        lapic_set_error(l, ESR_RECV_ILLEGAL);
        return;
    }
    lapic_set_bit(l->irr, vector);
    if (level)
        lapic_set_bit(l->tmr, vector);
    else
        lapic_clear_bit(l->tmr, vector);
    lapic_update_intr(l);
}

void lapic_inject(struct lapic *l, u8 vector, bool direct)
{
    pthread_mutex_lock(&l->lock);
    if (direct) {
        l->direct = vector;
    } else {
        lapic_set_bit(l->irr, vector);
        lapic_clear_bit(l->tmr, vector);
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
            lapic_clear_bit(l->irr, v);
            if (!lapic_test_bit(l->auto_eoi, v))
                lapic_set_bit(l->isr, v);
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
    if (lapic_x2apic(l))
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
    else if (lapic_x2apic(l))
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
        if (rises && !b->host && lapic_enabled(l) && is_fixed(l->lvt[LVT_LINT0]))
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
    if (b->host || !lapic_enabled(l) || (!(lvt & LVT_MASKED) && (lvt >> 8 & 7) == DM_NMI))
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
        l->base = LAPIC_DEFAULT_BASE | BASE_ENABLE | (i ? 0 : BASE_BSP);
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
    b->region =
        (struct region){.name = "lapic", .size = 0x1000, .ops = &lapic_page_ops, .opaque = b};
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
            .rdmsr = lapic_rdmsr,
            .wrmsr = lapic_wrmsr,
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
