/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What processors remember of a PV guest's page tables.
 *
 * A processor's TLB holds nothing but what a walk from the root tables that it has loaded would
 * find (cpu/ring3.h), but for changes by other processors that wait in pv_vcpu.stale.  That holds
 * because an entry of a page table changes in one place, pv_entry_set(), which comes here:
 *
 * - Each TLB lets go of the part of the address space that the entry was for, as walks have told of
 *   its table; if they told of more than one, of all.
 * - An entry that had no A bit was used by no walk; one that only gains rights, or A and D, leaves
 *   nothing behind, as the TLB has no refusals.
 * - A table that stops being one (pv_unwalked()) was cut off before, by a change of the entry that
 *   led to it or of the root; so nothing of it is left, and a new life begins with no walks.
 * - A root table that is loaded: ring3_new_root().  What the TLB had of the last one is put aside.
 *   Whatever takes anything out of the TLB, and the end of any table that was walked, empties what
 *   was put aside too: the next table in that frame is another one.
 *
 * So the guest's own flushes have nothing to do but to catch up with what other processors changed.
 * The same for a frame whose type changes (pv_forget()): each writable translation went when its
 * entry did, on this processor, and waits in the lists of others if it is not gone there.
 */
#include "pv/xen/pv.h"

#include "cpu/mmu.h"

enum { GONE = 0 /* instead of a shift: a table is none any more */ };

/* ------------------------------------------------------------ catching up -- */

static void drop(struct cpu *c, u64 region, unsigned shift)
{
    if (shift == GONE)
        ring3_forget(c);
    else
        ring3_drop(c, region, shift);
}

void pv_flush_own(struct pv_vcpu *v)
{
    struct cpu *c = v->c;

    if (c && v->nstale > PV_STALE_MAX)
        mmu_flush(c, true);
    for (u32 i = 0; c && v->nstale <= PV_STALE_MAX && i < v->nstale; i++)
        drop(c, v->stale[i] & ~(u64)PAGE_MASK, v->stale[i] & PAGE_MASK);
    v->nstale = 0;
    v->flushed = ++v->xv->x->pv->clock;
}

static bool is_own(const struct pv_vcpu *v)
{
    const struct vcpu *cpu = v->xv->vcpu;

    return !cpu->started || pthread_equal(cpu->thread, pthread_self());
}

void pv_flush(struct xen_pv *pv, u64 vcpus)
{
    unsigned n = pv->x->nvcpus;

    for (unsigned i = 0; i < n; i++) {
        struct pv_vcpu *v = &pv->vcpu[i];
        if (!(vcpus >> i & 1))
            continue;
        if (is_own(v) || !v->nstale) {
            if (v->nstale)
                pv_flush_own(v);
            vcpus &= ~BIT64(i);
            continue;
        }
        vcpu_raise(v->xv->vcpu, VCPU_FLUSH);
        v->nstale = 0;
        v->flushed = ++pv->clock;
    }
    vcpu_await_flush(pv->x->vm, vcpus);
}

void pv_forget(struct xen_pv *pv, const struct pv_page *p)
{
    u64 vcpus = 0;

    for (unsigned i = 0; i < pv->x->nvcpus; i++)
        if (pv->vcpu[i].nstale && pv->vcpu[i].flushed <= p->stamp)
            vcpus |= BIT64(i);
    if (vcpus)
        pv_flush(pv, vcpus);
}

/* ---------------------------------------------------------------- changes -- */

/* 2^shift bytes at `region`, GONE, or all: RING3_OFTEN. */
static void tell(struct xen_pv *pv, u64 region, unsigned shift)
{
    for (unsigned i = 0; i < pv->x->nvcpus; i++) {
        struct pv_vcpu *v = &pv->vcpu[i];
        if (!is_own(v)) {
            if (region != RING3_OFTEN && v->nstale < PV_STALE_MAX)
                v->stale[v->nstale++] = region | shift;
            else
                v->nstale = PV_STALE_MAX + 1; /* more than are remembered: all */
        } else if (v->c && region == RING3_OFTEN) {
            mmu_flush(v->c, true);
        } else if (v->c) {
            drop(v->c, region, shift);
        }
    }
}

/* Whether a translation made of `old` may be one that `now` would not give. */
static bool loses(u64 old, u64 now)
{
    const u64 rights = PTE_PRESENT | PTE_RW | PTE_USER | PTE_ACCESSED | PTE_DIRTY;

    return (old & (PTE_PRESENT | PTE_ACCESSED)) == (PTE_PRESENT | PTE_ACCESSED) &&
           (old & ~now & rights || (now & ~old & PTE_NX) || (old ^ now) & PTE_FRAME);
}

void pv_stale(struct xen_pv *pv, enum pv_type level, u64 mfn, unsigned index, u64 old, u64 now)
{
    unsigned shift = 12 + 9 * (level - PT_L1);

    if (!loses(old, now))
        return;
    u64 region = __atomic_load_n(&pv->walked[mfn], __ATOMIC_SEQ_CST);
    if (region == RING3_NEVER)
        return;
    if (level == PT_L4) /* it is walked for everything */
        region = (u64)((s64)((u64)index << 55) >> 16);
    else if (region != RING3_OFTEN)
        region = (region & ~(u64)PAGE_MASK) + ((u64)index << shift);
    tell(pv, region, shift);
}

void pv_unwalked(struct xen_pv *pv, u64 mfn)
{
    if (__atomic_exchange_n(&pv->walked[mfn], RING3_NEVER, __ATOMIC_SEQ_CST) != RING3_NEVER)
        tell(pv, 0, GONE);
}
