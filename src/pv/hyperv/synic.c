/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The synthetic interrupt controller (TLFS, "Inter-Partition Communication"): sixteen interrupt
 * sources a processor, each with a vector and a slot for one message in a page of the guest's. Only
 * synthetic timers send messages here.  Events (SIEFP) have no sender, as there are no ports; the
 * register holds what is written.
 */
#include "pv/hyperv/internal.h"

#include <string.h>

enum { SLOT = 256 };
_Static_assert(sizeof(struct hv_message) <= SLOT, "a message fits its slot");

void synic_loaded(struct hv_vcpu *v)
{
    u32 vectors[8] = {0};

    for (unsigned i = 0; i < HV_SINTS; i++) {
        u8 vector = v->sint[i] & SINT_VECTOR;
        if (v->scontrol & SCONTROL_ENABLE && v->sint[i] & SINT_AUTO_EOI)
            vectors[vector / 32] |= BIT(vector % 32);
    }
    lapic_auto_eoi(&v->hv->lapics->lapic[v->vcpu->index], vectors);
}

void synic_reset(struct hv_vcpu *v)
{
    v->scontrol = v->siefp = v->simp = 0;
    for (unsigned i = 0; i < HV_SINTS; i++)
        v->sint[i] = SINT_MASKED;
    synic_loaded(v);
}

bool synic_post(struct hv_vcpu *v, unsigned sint, const struct hv_message *m)
{
    const struct dma *dma = &v->hv->vm->dma;
    u64 slot = (v->simp & ~(u64)PAGE_MASK) + sint * SLOT;
    u64 flags = slot + offsetof(struct hv_message, flags);
    u8 old;

    if (!(v->scontrol & SCONTROL_ENABLE) || !(v->simp & HV_PAGE_ENABLE))
        return false;
    if (mem_read32(dma, slot)) {
        if (mem_read(dma, flags, &old, 1)) {
            old |= HV_MESSAGE_PENDING;
            mem_write(dma, flags, &old, 1);
        }
        return false;
    }
    mem_write(dma, slot + 4, (const u8 *)m + 4, sizeof(*m) - 4);
    mem_write32(dma, slot, m->type); /* last: it makes the slot full */
    u64 s = v->sint[sint];
    if (!(s & (SINT_MASKED | SINT_POLLING)))
        lapic_inject(&v->hv->lapics->lapic[v->vcpu->index], s & SINT_VECTOR, false);
    return true;
}

bool synic_rdmsr(struct hv_vcpu *v, u32 msr, u64 *val)
{
    switch (msr) {
    case HV_X64_MSR_SCONTROL:
        *val = v->scontrol;
        return true;
    case HV_X64_MSR_SVERSION:
        *val = SYNIC_VERSION;
        return true;
    case HV_X64_MSR_SIEFP:
        *val = v->siefp;
        return true;
    case HV_X64_MSR_SIMP:
        *val = v->simp;
        return true;
    case HV_X64_MSR_EOM:
        *val = 0;
        return true;
    case HV_X64_MSR_SINT0 ... HV_X64_MSR_SINT15:
        *val = v->sint[msr - HV_X64_MSR_SINT0];
        return true;
    default:
        return false;
    }
}

/* Page registers: an enabled page begins empty. */
static void set_page(struct hv_vcpu *v, u64 *reg, u64 val)
{
    static const u8 none[PAGE_SIZE];

    if (val & HV_PAGE_ENABLE && *reg != val)
        mem_write(&v->hv->vm->dma, val & ~(u64)PAGE_MASK, none, sizeof(none));
    *reg = val;
}

bool synic_wrmsr(struct hv_vcpu *v, u32 msr, u64 val)
{
    switch (msr) {
    case HV_X64_MSR_SCONTROL:
        v->scontrol = val;
        break;
    case HV_X64_MSR_SIEFP:
        set_page(v, &v->siefp, val);
        return true;
    case HV_X64_MSR_SIMP:
        set_page(v, &v->simp, val);
        return true;
    case HV_X64_MSR_EOM:
        stimer_slot_free(v);
        return true;
    case HV_X64_MSR_SINT0 ... HV_X64_MSR_SINT15:
        if ((val & SINT_VECTOR) < 16 && !(val & (SINT_MASKED | SINT_POLLING)))
            return false; /* #GP */
        v->sint[msr - HV_X64_MSR_SINT0] = val;
        break;
    default:
        return false;
    }
    synic_loaded(v);
    return true;
}
