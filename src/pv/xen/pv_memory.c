/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memory_op as it is for a PV guest, which knows machine frames: those that it gives back leave the
 * machine-to-physical table, and those that it gets are told to it (memory.h).
 */
#include "pv/xen/pv.h"

#define INVALID_M2P UINT64_MAX

/* Nobody has it: not the guest, and nothing refers to it. */
static bool is_free(const struct xen_pv *pv, u64 mfn)
{
    return mfn < pv->frames && pv->page[mfn].given && !pv->page[mfn].refs;
}

static bool give_back(struct xen_pv *pv, u64 mfn, u64 n)
{
    if (mfn >= pv->frames || n > pv->frames - mfn)
        return false;
    for (u64 i = 0; i < n; i++)
        if (!pv_page(pv, mfn + i))
            return false;
    for (u64 i = 0; i < n; i++) {
        struct pv_page *p = &pv->page[mfn + i];
        pv->m2p[mfn + i] = INVALID_M2P;
        pv->x->current_pages--;
        p->refs++; /* so that the last one goes in one place */
        p->given = true;
        pv_ref_put(pv, mfn + i);
    }
    return true;
}

/* n free frames in a row: where the guest wants to see them if possible, else the next that are
 * found; UINT64_MAX: none. */
static u64 find_free(struct xen_pv *pv, u64 gpfn, u64 n)
{
    u64 run = 0;

    while (run < n && is_free(pv, gpfn + run))
        run++;
    if (run == n)
        return gpfn;
    if (pv->frames - pv->x->current_pages < n)
        return UINT64_MAX;
    run = 0;
    for (u64 i = 0, at = pv->next_free; i < pv->frames + n; i++, at++) {
        if (at >= pv->frames)
            at = run = 0;
        run = is_free(pv, at) ? run + 1 : 0;
        if (run == n) {
            pv->next_free = at + 1;
            return at + 1 - n;
        }
    }
    return UINT64_MAX;
}

static u64 populate(struct xen_pv *pv, u64 gpfn, u64 n)
{
    u64 mfn = gpfn >> 40 ? UINT64_MAX : find_free(pv, gpfn, n);

    for (u64 i = 0; mfn != UINT64_MAX && i < n; i++) {
        pv->page[mfn + i].given = false;
        pv->m2p[mfn + i] = gpfn + i;
        pv->x->current_pages++;
    }
    return mfn;
}

static bool populate_extent(struct xen_call *k, u64 at, u64 gpfn, unsigned order)
{
    pv_lock(k->x->pv);
    u64 mfn = populate(k->x->pv, gpfn, BIT64(order));
    pv_unlock(k->x->pv);
    return mfn != UINT64_MAX && guest_write(k, at, &mfn, sizeof(mfn));
}

static bool decrease_extent(struct xen_call *k, u64 at, u64 mfn, unsigned order)
{
    pv_lock(k->x->pv);
    bool ok = give_back(k->x->pv, mfn, BIT64(order));
    pv_unlock(k->x->pv);
    return ok;
}

/* v_start, v_end, max_mfn */
static s64 machphys_mapping(struct xen_call *k)
{
    const struct xen_pv *pv = k->x->pv;
    u64 start = pv_m2p_start(pv);
    const u64 a[3] = {start, start + pv->m2p_size, pv->m2p_size / 8 - 1};

    return guest_write(k, k->a[1], a, sizeof(a)) ? 0 : -XEN_EFAULT;
}

s64 pv_memory_op(struct xen_call *k)
{
    switch (k->a[0] & XENMEM_CMD_MASK) {
    case XENMEM_decrease_reservation:
        return memory_each_extent(k, decrease_extent);
    case XENMEM_populate_physmap:
        return memory_each_extent(k, populate_extent);
    case XENMEM_machphys_mapping:
        return machphys_mapping(k);
    case XENMEM_add_to_physmap:
    case XENMEM_add_to_physmap_batch:
        return -XEN_EINVAL; /* its frames are where it maps them */
    default:
        return -XEN_ENOSYS;
    }
}
