/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The TLB of a guest with its kernel in ring 3: cpu/ring3.h.
 *
 * What the TLB, the list of walks and the code map hold is always what a walk from the root that is
 * loaded would find, but for changes that other processors made and that are still to be told.
 */
#include "cpu/mmu.h"
#include "cpu/ring3.h"

void ring3_walked(struct cpu *c, u64 table, u64 lin, unsigned shift)
{
    const struct pv *pv = &c->vm->pv;
    u64 region = align_down(lin, BIT64(shift)) | 1, *walked, now;

    if (table >> PAGE_SHIFT >= pv->frames)
        return;
    walked = &pv->walked[table >> PAGE_SHIFT];
    now = __atomic_load_n(walked, __ATOMIC_SEQ_CST);
    if (likely(now == region || now == RING3_OFTEN))
        return;
    if (now != RING3_NEVER || !__atomic_compare_exchange_n(walked, &now, region, false,
                                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        __atomic_store_n(walked, now == region ? region : RING3_OFTEN, __ATOMIC_SEQ_CST);
}

static bool lies_in(u64 tag, u64 start, unsigned shift)
{
    return (tag ^ start) >> shift == 0;
}

/* Entry n, if it is of the region.  A tag that matches nothing is of no region either: its address
 * is not canonical. */
static void drop_place(struct tlb *t, unsigned n, u64 start, unsigned shift)
{
    const struct tlb_entry *e = &t->e[n];

    if (lies_in(e->tag[TLB_READ], start, shift) || lies_in(e->tag[TLB_WRITE], start, shift) ||
        lies_in(e->tag[TLB_EXEC], start, shift))
        tlb_entry_clear(t, n);
}

/* Of the lower half nothing is global: what is in use is in the list. */
static void drop_lower(struct cpu *c, u64 start, unsigned shift)
{
    struct code_map *m = &c->code_map;

    for (unsigned i = 0; i < MMU_SLOW; i++) {
        struct tlb *t = &c->tlbs[i];
        for (u32 k = 0; k < t->used; k++)
            drop_place(t, t->list[k], start, shift);
    }
    for (u32 k = 0; k < m->used; k++)
        if (lies_in((u64)m->number[m->list[k]] << PAGE_SHIFT, start & (BIT64(44) - 1), shift))
            m->page[m->list[k]] = 0;
    if (shift == 21)
        mmu_walk_slot(c, start)->epoch = 0;
    else
        c->walk_epoch[0]++;
}

void ring3_drop(struct cpu *c, u64 lin, unsigned shift)
{
    u64 start = align_down(lin, BIT64(shift));

    if (shift > 21 && lin >> 63) {
        mmu_flush(c, true);
        return;
    }
    mmu_before_flush(c);
    mmu_drop_pcids(c);
    c->tlb_epoch++;
    if (shift > 12 && !(lin >> 63)) {
        drop_lower(c, start, shift);
        return;
    }
    for (u64 page = start; page != start + BIT64(shift); page += PAGE_SIZE) {
        code_map_drop(&c->code_map, page);
        for (unsigned i = 0; i < MMU_SLOW; i++)
            drop_place(&c->tlbs[i], tlb_index(page), page, PAGE_SHIFT);
    }
    if (shift == 21)
        mmu_walk_slot(c, start)->epoch = 0;
}

void ring3_new_root(struct cpu *c, bool kernel, bool same_upper, u64 from, u64 to)
{
    unsigned idx = kernel ? MMU_KERNEL : MMU_USER;

    if (!same_upper && kernel) {
        mmu_flush(c, true);
        return;
    }
    mmu_before_flush(c);
    c->tlb_epoch++;
    c->walk_epoch[0]++;
    mmu_put_root_aside(c, from, idx);
    if (!kernel)
        code_map_flush(&c->code_map, false);
    tlb_flush(&c->tlbs[idx], false);
    mmu_put_root_back(c, to, idx);
}
