/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Local APICs in the kernel (KVM_CAP_SPLIT_IRQCHIP); I/O APIC, PICs and all timers but the local
 * APICs' stay Wirt's.  Linux: Documentation/virt/kvm/api.rst; Intel SDM volume 3, chapter 11.
 *
 * The registers are in one of two places, for all processors at once: in KVM from the first entry
 * of any vCPU until the machine is parked (`inside`), else in struct lapic, where they are saved,
 * loaded and reset, and where another engine finds them.  The bus's lock is held while they move,
 * so that no message falls in between; a vCPU that runs could send one too, so they come back only
 * while all are parked.
 *
 * Messages go in by KVM_SIGNAL_MSI.  The end of a level-triggered one comes out as
 * KVM_EXIT_IOAPIC_EOI, if it is of a vector that a route of the first 24 has: those are the I/O
 * APIC's inputs (KVM_SET_GSI_ROUTING).  The PIC's interrupt is given to KVM as without all this.
 *
 * irqfd is not used: every device is in this process, where a message is one system call either
 * way.
 */
#include "dev/lapic.h"
#include "kvm/kvm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

enum {
    MSR_APIC_BASE = 0x1b,
    MSR_TSC_DEADLINE = 0x6e0,

    /* offsets in the register page */
    REG_ID = 0x20,
    REG_TPR = 0x80,
    REG_LDR = 0xd0,
    REG_DFR = 0xe0,
    REG_SVR = 0xf0,
    REG_ISR = 0x100,
    REG_TMR = 0x180,
    REG_IRR = 0x200,
    REG_ESR = 0x280,
    REG_ICR = 0x300,
    REG_ICR_HIGH = 0x310,
    REG_LVT = 0x320,
    REG_TIMER_ICR = 0x380,
    REG_TIMER_CCR = 0x390,
    REG_TIMER_DCR = 0x3e0,

    MESSAGE_INIT = 5 << 8 | 1 << 14,
    MESSAGE_SIPI = 6 << 8 | 1 << 14,
};
#define MESSAGE_TO(n) (0xfee00000u | (n) << 12)

static u32 get(const struct kvm_lapic_state *s, unsigned reg)
{
    u32 v;

    memcpy(&v, s->regs + reg, sizeof(v));
    return v;
}

static void put(struct kvm_lapic_state *s, unsigned reg, u32 v)
{
    memcpy(s->regs + reg, &v, sizeof(v));
}

static struct lapic *lapic_of(struct engine *en, unsigned n)
{
    return en->vm->vcpu[n].intc.opaque;
}

static int failed(unsigned cpu, const char *what)
{
    int code = errno;

    fprintf(stderr, "wirt: vCPU %u: KVM refuses %s: %s\n", cpu, what, strerror(code));
    return -code;
}

static int set_msr(struct engine_vcpu *k, u32 msr, u64 v)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } m = {.head.nmsrs = 1, .entry = {.index = msr, .data = v}};

    return ioctl(k->fd, KVM_SET_MSRS, &m) == 1 ? 0 : failed(k->c.vcpu->index, "the APIC's MSRs");
}

static int get_msr(struct engine_vcpu *k, u32 msr, u64 *v)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } m = {.head.nmsrs = 1, .entry = {.index = msr}};

    if (ioctl(k->fd, KVM_GET_MSRS, &m) != 1)
        return failed(k->c.vcpu->index, "to give the APIC's MSRs");
    *v = m.entry.data;
    return 0;
}

/* ------------------------------------------------------------- registers -- */

static int give(struct engine_vcpu *k, struct lapic *l)
{
    struct kvm_lapic_state s = {0};
    u64 deadline = lapic_give(l);

    put(&s, REG_ID, l->index << 24);
    put(&s, REG_TPR, l->tpr);
    put(&s, REG_LDR, l->ldr);
    put(&s, REG_DFR, l->dfr);
    put(&s, REG_SVR, l->svr);
    for (unsigned i = 0; i < 8; i++) {
        put(&s, REG_ISR + 16 * i, l->isr[i]);
        put(&s, REG_TMR + 16 * i, l->tmr[i]);
        put(&s, REG_IRR + 16 * i, l->irr[i]);
    }
    put(&s, REG_ESR, l->esr);
    put(&s, REG_ICR, l->icr_low);
    put(&s, REG_ICR_HIGH, l->icr_high);
    for (unsigned i = 0; i < LVT_COUNT; i++)
        put(&s, REG_LVT + 16 * i, l->lvt[i]);
    /* a one-shot timer that has run out: KVM would fire it again */
    put(&s, REG_TIMER_ICR, l->timer_left ? l->timer_initial : 0);
    put(&s, REG_TIMER_CCR, l->timer_left);
    put(&s, REG_TIMER_DCR, l->timer_divide);
    int r = set_msr(k, MSR_APIC_BASE, l->base);
    if (!r && ioctl(k->fd, KVM_SET_LAPIC, &s))
        r = failed(l->index, "the local APIC");
    if (!r && deadline)
        r = set_msr(k, MSR_TSC_DEADLINE, deadline);
    return r;
}

static int take(struct engine_vcpu *k, struct lapic *l)
{
    struct kvm_lapic_state s;
    u64 deadline = 0, base = 0;

    if (ioctl(k->fd, KVM_GET_LAPIC, &s))
        return failed(l->index, "to give the local APIC");
    int r = get_msr(k, MSR_TSC_DEADLINE, &deadline);
    if (!r)
        r = get_msr(k, MSR_APIC_BASE, &base);
    if (r)
        return r;
    l->base = base;
    l->tpr = get(&s, REG_TPR);
    l->ldr = get(&s, REG_LDR);
    l->dfr = get(&s, REG_DFR);
    l->svr = get(&s, REG_SVR);
    for (unsigned i = 0; i < 8; i++) {
        l->isr[i] = get(&s, REG_ISR + 16 * i);
        l->tmr[i] = get(&s, REG_TMR + 16 * i);
        l->irr[i] = get(&s, REG_IRR + 16 * i);
    }
    l->esr = get(&s, REG_ESR);
    l->icr_low = get(&s, REG_ICR);
    l->icr_high = get(&s, REG_ICR_HIGH);
    for (unsigned i = 0; i < LVT_COUNT; i++)
        l->lvt[i] = get(&s, REG_LVT + 16 * i);
    l->timer_initial = get(&s, REG_TIMER_ICR);
    l->timer_left = get(&s, REG_TIMER_CCR);
    l->timer_divide = get(&s, REG_TIMER_DCR);
    lapic_take(l, deadline);
    return 0;
}

/* ---------------------------------------------------------------- messages -- */

static void send(void *opaque, u64 addr, u32 data)
{
    struct engine *en = opaque;
    struct kvm_msi m = {.address_lo = (u32)addr, .data = data};

    ioctl(en->fd, KVM_SIGNAL_MSI, &m);
}

static void set_routes(void *opaque)
{
    struct engine *en = opaque;
    const struct lapic_bus *b = en->apics;
    struct {
        struct kvm_irq_routing head;
        struct kvm_irq_routing_entry entry[LAPIC_ROUTES];
    } t = {.head.nr = LAPIC_ROUTES};

    for (unsigned i = 0; i < LAPIC_ROUTES; i++) {
        t.entry[i].gsi = i;
        t.entry[i].type = KVM_IRQ_ROUTING_MSI;
        t.entry[i].u.msi.address_lo = (u32)b->route[i].addr;
        t.entry[i].u.msi.data = b->route[i].data;
    }
    if (ioctl(en->fd, KVM_SET_GSI_ROUTING, &t))
        failed(0, "the I/O APIC's routes");
}

static const struct lapic_host_ops host_ops = {.send = send, .routed = set_routes};

/* INIT and SIPI that came meanwhile. */
static void send_late(struct engine *en, unsigned n)
{
    struct vcpu *v = &en->vm->vcpu[n];
    u32 ev = vcpu_events(v);

    vcpu_lower(v, VCPU_INIT | VCPU_SIPI);
    if (ev & VCPU_INIT)
        send(en, MESSAGE_TO(n), MESSAGE_INIT);
    if (ev & VCPU_SIPI)
        send(en, MESSAGE_TO(n), MESSAGE_SIPI | v->sipi_vector);
}

/* ------------------------------------------------------------ there and back -- */

static int give_all(struct engine *en)
{
    struct lapic_bus *b = en->apics;
    int r = 0;

    for (unsigned i = 0; !r && i < en->vm->ncpus; i++) {
        struct engine_vcpu *k = en->vm->vcpu[i].e;
        if (k->here)
            r = kvm_put(k);
        if (!r)
            r = give(k, lapic_of(en, i));
    }
    if (r)
        return r;
    b->host_opaque = en;
    b->host = &host_ops;
    set_routes(en);
    for (unsigned i = 0; i < en->vm->ncpus; i++)
        send_late(en, i);
    return 0;
}

int kvm_apics_give(struct engine *en)
{
    if (en->apics_inside)
        return 0;
    en->apics = lapic_of(en, 0)->bus;
    pthread_mutex_lock(&en->apics->lock);
    int r = give_all(en);
    pthread_mutex_unlock(&en->apics->lock);
    en->apics_inside = !r;
    return r;
}

void kvm_apics_take(struct engine *en)
{
    struct lapic_bus *b = en->apics;
    int r = 0;

    if (!en->apics_inside)
        return;
    for (unsigned i = 0; i < en->vm->ncpus; i++)
        r |= kvm_fetch(en->vm->vcpu[i].e); /* what is half delivered has left IRR */
    pthread_mutex_lock(&b->lock);
    for (unsigned i = 0; !r && i < en->vm->ncpus; i++)
        r = take(en->vm->vcpu[i].e, lapic_of(en, i));
    b->host = NULL;
    for (unsigned i = 0; i < en->vm->ncpus; i++)
        lapic_taken(lapic_of(en, i));
    pthread_mutex_unlock(&b->lock);
    en->apics_inside = false;
}

void kvm_apics_eoi(struct engine *en, u8 vector)
{
    const struct lapic_bus *b = en->apics;

    if (b->eoi)
        b->eoi(b->eoi_opaque, vector);
}
