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

/* ---------------------------------------------------------------- exchange -- */

/* Frames for as many others, in a row where their order says so. */
struct exchange {
    struct xen_reservation in, out;
    u64 done; /* extents of `in` */
};

/* So many frames at a time; what they were, in case that the others are not to be had. */
struct chunk {
    unsigned order, n;
    u64 mfn[1 << XENMEM_ORDER_MAX], gpfn[1 << XENMEM_ORDER_MAX];
};

/* From the guest: frames that nothing leads to. */
static s64 chunk_take(struct xen_call *k, const struct xen_reservation *r, u64 first,
                      struct chunk *c)
{
    struct xen_pv *pv = k->x->pv;
    u64 per = BIT64(r->extent_order), mfn = 0;

    for (c->n = 0; c->n < BIT64(c->order); c->n++) {
        u64 at = r->extent_start + (first + c->n / per) * 8;
        if (!(c->n % per) && !guest_read(k, at, &mfn, sizeof(mfn)))
            return -XEN_EFAULT;
        u64 m = mfn + c->n % per;
        struct pv_page *p = mfn >> 40 ? NULL : pv_page(pv, m);
        if (!p || p->refs)
            return -XEN_EINVAL;
        c->mfn[c->n] = m;
        c->gpfn[c->n] = pv->m2p[m];
        p->given = true;
        pv->m2p[m] = INVALID_M2P;
        pv->x->current_pages--;
    }
    return 0;
}

static void chunk_untake(struct xen_pv *pv, const struct chunk *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        pv->page[c->mfn[i]].given = false;
        pv->m2p[c->mfn[i]] = c->gpfn[i];
        pv->x->current_pages++;
    }
}

/* The guest's list says what they shall be known as, and then which they are. */
static s64 chunk_give(struct xen_call *k, const struct xen_reservation *r, u64 first,
                      unsigned order, bool *given)
{
    struct xen_pv *pv = k->x->pv;
    u64 n = BIT64(order - r->extent_order), at = r->extent_start + first * 8, gpfn, i;
    u64 new[1 << XENMEM_ORDER_MAX];
    s64 ret = 0;

    for (i = 0; i < n && !ret; i++) {
        if (!guest_read(k, at + i * 8, &gpfn, sizeof(gpfn)))
            ret = -XEN_EFAULT;
        else if ((new[i] = populate(pv, gpfn, BIT64(r->extent_order))) == UINT64_MAX)
            ret = -XEN_ENOMEM;
    }
    if (ret) {
        while (--i)
            give_back(pv, new[i - 1], BIT64(r->extent_order));
        return ret;
    }
    *given = true;
    return guest_write(k, at, new, n * sizeof(*new)) ? 0 : -XEN_EFAULT;
}

/* The frames from extent `done` of the guest's list on; pv.lock held. */
static s64 exchange_chunk(struct xen_call *k, const struct exchange *e, unsigned order)
{
    struct xen_pv *pv = k->x->pv;
    struct chunk c = {.order = order};
    s64 r = chunk_take(k, &e->in, e->done, &c);
    bool given = false;

    if (!r)
        r = chunk_give(k, &e->out, e->done << e->in.extent_order >> e->out.extent_order, order,
                       &given);
    if (!given)
        chunk_untake(pv, &c);
    return r;
}

static s64 exchange(struct xen_call *k)
{
    struct exchange e;
    struct xen_pv *pv = k->x->pv;
    s64 r = 0;

    if (!guest_read(k, k->a[1], &e, sizeof(e)))
        return -XEN_EFAULT;
    unsigned in = e.in.extent_order, out = e.out.extent_order, order = max(in, out);
    if (e.in.domid != e.out.domid || !is_self(e.in.domid))
        return -XEN_EINVAL;
    if (order > XENMEM_ORDER_MAX)
        return -XEN_EPERM;
    u64 frames = e.in.nr_extents << in;
    if (e.in.nr_extents > UINT32_MAX || e.out.nr_extents > UINT32_MAX ||
        frames != e.out.nr_extents << out || frames & (BIT64(order) - 1) ||
        e.done > e.in.nr_extents || (e.done << in) & (BIT64(order) - 1))
        return -XEN_EINVAL;
    for (unsigned turn = 0; !r && e.done < e.in.nr_extents; turn += BIT(order)) {
        if (turn >= BIT(XENMEM_ORDER_MAX)) { /* `done` tells how far it has come */
            k->result = PV_AGAIN;
            return 0;
        }
        pv_lock(pv);
        r = exchange_chunk(k, &e, order);
        pv_unlock(pv);
        e.done += r ? 0 : BIT64(order - in);
        if (!guest_write(k, k->a[1] + offsetof(struct exchange, done), &e.done, sizeof(e.done)))
            r = -XEN_EFAULT;
    }
    return r;
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
    case XENMEM_exchange:
        return exchange(k);
    case XENMEM_machphys_mapping:
        return machphys_mapping(k);
    case XENMEM_add_to_physmap:
    case XENMEM_add_to_physmap_batch:
        return -XEN_EINVAL; /* its frames are where it maps them */
    default:
        return -XEN_ENOSYS;
    }
}
