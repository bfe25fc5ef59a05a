/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memory_op as it is for a PV guest, which knows machine frames: those that it gives back leave the
 * machine-to-physical table, and those that it gets are told to it (memory.h).
 */
#include "pv/xen/pv.h"

enum { EXTENT_SHIFT = 6, EXTENTS_TURN = 256, ORDER_MAX = 9 };
#define INVALID_M2P UINT64_MAX

struct reservation {
    u64 extent_start, nr_extents;
    u32 extent_order, mem_flags;
    u16 domid, pad[3];
};

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

/* a[0] carries how far a long call has come, as in Xen. */
static s64 change(struct xen_call *k, bool more)
{
    struct xen_pv *pv = k->x->pv;
    struct reservation a;
    u64 done = k->a[0] >> EXTENT_SHIFT, turn = 0;

    if (!guest_read(k, k->a[1], &a, sizeof(a)))
        return (s64)done;
    if ((a.domid != DOMID_SELF && a.domid != XEN_DOMID_GUEST) || a.extent_order > ORDER_MAX ||
        a.nr_extents > UINT64_MAX >> EXTENT_SHIFT)
        return (s64)done;
    for (; done < a.nr_extents; done++) {
        u64 frame, at = a.extent_start + done * 8, n = BIT64(a.extent_order);
        bool ok;

        if (turn++ == (u64)EXTENTS_TURN >> a.extent_order) {
            k->a[0] = (k->a[0] & (BIT(EXTENT_SHIFT) - 1)) | done << EXTENT_SHIFT;
            k->result = PV_AGAIN;
            return 0;
        }
        if (!guest_read(k, at, &frame, sizeof(frame)))
            break;
        pv_lock(pv);
        if (more) {
            frame = populate(pv, frame, n);
            ok = frame != UINT64_MAX;
        } else {
            ok = give_back(pv, frame, n);
        }
        pv_unlock(pv);
        if (!ok || (more && !guest_write(k, at, &frame, sizeof(frame))))
            break;
    }
    return (s64)done;
}

/* v_start, v_end, max_mfn */
static s64 machphys_mapping(struct xen_call *k)
{
    const struct xen_pv *pv = k->x->pv;
    const u64 a[3] = {PV_M2P_START, PV_M2P_START + pv->m2p_size, pv->m2p_size / 8 - 1};

    return guest_write(k, k->a[1], a, sizeof(a)) ? 0 : -XEN_EFAULT;
}

s64 pv_memory_op(struct xen_call *k)
{
    switch (k->a[0] & (BIT(EXTENT_SHIFT) - 1)) {
    case XENMEM_decrease_reservation:
        return change(k, false);
    case XENMEM_populate_physmap:
        return change(k, true);
    case XENMEM_machphys_mapping:
        return machphys_mapping(k);
    case XENMEM_add_to_physmap:
    case XENMEM_add_to_physmap_batch:
        return -XEN_EINVAL; /* its frames are where it maps them */
    default:
        return -XEN_ENOSYS;
    }
}
