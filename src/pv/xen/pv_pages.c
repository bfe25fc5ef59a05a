/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames, what they are used as, and how often: the rule by which a guest may own the page tables
 * that its processors walk.
 *
 * A frame has one type at a time: page table of level 1 to 4, descriptor table, writable.  Its type
 * changes only while nobody uses it as what it was, and after every TLB that may remember that has
 * forgotten it (pv_tlb.c).  To use a frame as a page table means that each of its entries was
 * checked: an entry of level 1 refers to the frame that it maps, and uses it as writable if it lets
 * it be written; an entry of level n uses the frame below as a table of level n - 1.  So a frame
 * that is a table is mapped nowhere for writing, and no table leads to a frame that the guest has
 * not got.
 *
 * A change checks the new entry first, writes it, and lets go of the old one.  Checking recurses
 * over four levels; each frame is checked once however often it is named, so one call is bounded by
 * the size of the guest's memory.
 *
 * Left out: linear page tables (a table that names itself; Xen has them as an option), pages of 2
 * MiB, call gates, and access to other domains' frames.  U bits stay as the guest writes them: a
 * kernel in ring 3 has a supervisor's rights here (cpu/ring3.h).
 */
#include "pv/xen/pv.h"

#include <string.h>

enum {
    USES_MAX = 1u << 31,
};

/* What an entry above level 1 may not have.  In one of level 1 G is taken and means nothing. */
#define LX_DISALLOWED ((u64)(PTE_GLOBAL | PTE_PSE | PTE_PWT | PTE_PCD))

static u64 frame_of(u64 e)
{
    return (e & PTE_FRAME) >> PAGE_SHIFT;
}

static bool is_table(u8 type)
{
    return type >= PT_L1 && type <= PT_L4;
}

/* ------------------------------------------------------------ references -- */

int pv_ref_get(struct xen_pv *pv, u64 mfn)
{
    struct pv_page *p = pv_page(pv, mfn);

    if (!p || p->refs >= USES_MAX)
        return -XEN_EINVAL;
    p->refs++;
    return 0;
}

/* A frame that the guest gave back and that nothing leads to any more. */
static void discard(struct xen_pv *pv, u64 mfn)
{
    u8 *p = pv_frame(pv, mfn);

    mem_discard(&pv->x->vm->mem, mfn << PAGE_SHIFT, PAGE_SIZE);
    guest_wrote(pv->x, p, PAGE_SIZE);
}

void pv_ref_put(struct xen_pv *pv, u64 mfn)
{
    struct pv_page *p = &pv->page[mfn];

    BUG_ON(!p->refs);
    if (!--p->refs && p->given)
        discard(pv, mfn);
}

/* --------------------------------------------------------------- entries -- */

/* Takes what an entry of a table of this level needs. */
static int entry_get(struct xen_pv *pv, enum pv_type level, u64 e)
{
    u64 mfn = frame_of(e);

    if (!(e & PTE_PRESENT))
        return 0;
    if (level > PT_L1)
        return e & LX_DISALLOWED ? -XEN_EINVAL : pv_type_get(pv, mfn, level - 1);
    if (mfn >= pv->heap_frame && mfn < pv->heap_frame + PV_HEAP_FRAMES)
        return 0; /* shared with the guest for good */
    if (mfn >= pv->table_frame && mfn < pv->m2p_frame + pv->m2p_frames)
        return -XEN_EBUSY; /* Xen's */
    if (mfn >= pv->frames)
        return mfn == PTE_FRAME >> PAGE_SHIFT ? -XEN_EINVAL : -XEN_EPERM;
    int r = e & PTE_RW ? pv_type_get(pv, mfn, PT_WRITABLE) : pv_ref_get(pv, mfn);
    return r ? -XEN_EBUSY : 0;
}

static void entry_put(struct xen_pv *pv, enum pv_type level, u64 e)
{
    u64 mfn = frame_of(e);

    if (!(e & PTE_PRESENT) || mfn >= pv->frames)
        return;
    if (level > PT_L1 || e & PTE_RW)
        pv_type_put(pv, mfn);
    else
        pv_ref_put(pv, mfn);
}

static bool is_guest_slot(enum pv_type level, unsigned index)
{
    return level != PT_L4 || index < PV_L4_FIRST_XEN || index > PV_L4_LAST_XEN;
}

/* The bit is another one, the guest's own, where nothing is present. */
static u64 without_global(enum pv_type level, u64 e)
{
    return level == PT_L1 && e & PTE_PRESENT ? e & ~(u64)PTE_GLOBAL : e;
}

/* ----------------------------------------------------------------- types -- */

enum { RUN = 8 }; /* entries that are looked at together: most tables are nearly empty */

static bool run_is_empty(const u64 *t)
{
    u64 any = 0;

    for (unsigned i = 0; i < RUN; i++)
        any |= t[i];
    return !(any & PTE_PRESENT);
}

static void entries_put(struct xen_pv *pv, u64 mfn, enum pv_type level, unsigned n)
{
    const u64 *t = (const u64 *)pv_frame(pv, mfn);

    for (unsigned k = 0; k < n; k += RUN) {
        if (run_is_empty(&t[k]))
            continue;
        for (unsigned i = k; i < min(k + RUN, n); i++)
            if (is_guest_slot(level, i))
                entry_put(pv, level, t[i]);
    }
}

/* The page is used as this already, by us. */
static int table_check(struct xen_pv *pv, u64 mfn, enum pv_type level)
{
    u64 *t = (u64 *)pv_frame(pv, mfn);

    if (level == PT_L4 && !mfn) /* as a root, 0 means that there is none */
        return -XEN_EINVAL;
    for (unsigned i = 0; i < 512; i++) {
        if (!(i % RUN) && run_is_empty(&t[i])) {
            i += RUN - 1;
            continue;
        }
        if (!is_guest_slot(level, i))
            continue;
        int r = entry_get(pv, level, t[i]);
        if (r) {
            entries_put(pv, mfn, level, i);
            return r;
        }
        if (t[i] != without_global(level, t[i]))
            t[i] = without_global(level, t[i]);
    }
    if (level == PT_L4) {
        pv->uppers++;
        memset(&t[PV_L4_FIRST_XEN], 0, (PV_L4_LAST_XEN - PV_L4_FIRST_XEN + 1) * sizeof(*t));
        t[PV_L4_FIRST_XEN] = pv->table_frame << PAGE_SHIFT | PTE_PRESENT | PTE_USER | PTE_ACCESSED;
        guest_wrote(pv->x, t, PAGE_SIZE);
    }
    return 0;
}

bool pv_descriptor_ok(u64 *d)
{
    u64 v = *d;
    unsigned type = v >> 40 & 0x1f;

    if (!(v >> 47 & 1)) /* faults always */
        return true;
    if (!(type & 0x10))
        return type == 0;             /* no gates, no TSS, no LDT: Xen has its own */
    *d = v | 3ull << 45 | 1ull << 40; /* no inner rings; accessed, so that nobody has to write */
    return true;
}

static int descriptors_check(struct xen_pv *pv, u64 mfn)
{
    u64 *t = (u64 *)pv_frame(pv, mfn);

    for (unsigned i = 0; i < 512; i++)
        if (!pv_descriptor_ok(&t[i]))
            return -XEN_EINVAL;
    guest_wrote(pv->x, t, PAGE_SIZE);
    return 0;
}

int pv_type_get(struct xen_pv *pv, u64 mfn, enum pv_type type)
{
    struct pv_page *p = pv_page(pv, mfn);
    int r = 0;

    if (!p || p->uses >= USES_MAX || p->refs >= USES_MAX || (p->uses && p->type != type))
        return -XEN_EINVAL;
    p->refs++;
    if (p->uses++)
        return 0;
    if (p->type != type) {
        if (p->type != PT_NONE)
            pv_forget(pv, p);
        p->type = (u8)type;
    }
    if (is_table((u8)type))
        r = table_check(pv, mfn, type);
    else if (type == PT_DESC)
        r = descriptors_check(pv, mfn);
    if (r) {
        p->uses--;
        p->stamp = pv->clock;
        pv_ref_put(pv, mfn);
    }
    return r;
}

void pv_type_put(struct xen_pv *pv, u64 mfn)
{
    struct pv_page *p = &pv->page[mfn];

    BUG_ON(!p->uses);
    if (p->uses == 1) {
        if (is_table(p->type)) {
            entries_put(pv, mfn, p->type, 512);
            pv_unwalked(pv, mfn);
        }
        p->stamp = pv->clock;
    }
    p->uses--;
    pv_ref_put(pv, mfn);
}

/* --------------------------------------------------------------- changes -- */

int pv_entry_set(struct xen_pv *pv, u64 mfn, unsigned index, u64 e, bool keep_ad, const u64 *seen)
{
    struct pv_page *p = &pv->page[mfn];
    u64 *at = (u64 *)pv_frame(pv, mfn) + index;
    enum pv_type level = p->type;
    const u64 ad = PTE_ACCESSED | PTE_DIRTY;

    if (!is_guest_slot(level, index))
        return -XEN_EINVAL;
    e = without_global(level, e);
    u64 old = __atomic_load_n(at, __ATOMIC_SEQ_CST), now;
    if (seen && old != *seen)
        return -XEN_EAGAIN;
    /* the same frame with the same rights: nothing to count */
    bool same = (old & e & PTE_PRESENT) && frame_of(old) == frame_of(e) && !((old ^ e) & PTE_RW) &&
                (level == PT_L1 || !(e & LX_DISALLOWED));
    int r = same ? 0 : entry_get(pv, level, e);
    if (r)
        return r;
    do { /* processors set A and D meanwhile */
        if (seen && old != *seen) {
            if (!same)
                entry_put(pv, level, e);
            return -XEN_EAGAIN;
        }
        now = e | (keep_ad && e & PTE_PRESENT ? old & ad : 0);
    } while (
        !__atomic_compare_exchange_n(at, &old, now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    guest_wrote(pv->x, at, sizeof(*at));
    if (level == PT_L4 && index > PV_L4_LAST_XEN)
        pv->uppers++;
    pv_stale(pv, level, mfn, index, old, now);
    if (!same)
        entry_put(pv, level, old);
    return 0;
}
