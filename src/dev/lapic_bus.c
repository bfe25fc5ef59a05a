/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bus among the local APICs: messages of the I/O APIC, of devices and of other processors, and
 * who they are for.  Intel SDM volume 3, 11.6 and 11.11.
 */
#include "dev/lapic_internal.h"

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

    if (lapic_x2apic(l))
        return dest >> 16 == l->ldr >> 16 && (dest & l->ldr & 0xffff);
    if (dest == LAPIC_BROADCAST)
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
        return dest == LAPIC_BROADCAST ? all(b) : dest < b->count ? BIT64(dest) : 0;
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

    if ((addr & 0xfff00000) != LAPIC_DEFAULT_BASE || addr >> 32)
        return 0;
    if (!logical && dest == 0xff)
        dest = LAPIC_BROADCAST;
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
        waits = lapic_test_bit(l->irr, data);
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

void lapic_perform(struct lapic *l, const struct lapic_effect *fx)
{
    if (fx->eoi && l->bus->eoi)
        l->bus->eoi(l->bus->eoi_opaque, fx->eoi_vector);
    if (fx->ipi)
        send_ipi(l, fx->icr, fx->dest);
}
