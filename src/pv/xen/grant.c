/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Grant tables, versions 1 and 2 (grant_table.h).
 *
 * The table lies in pages of ours that the guest maps where it likes, and it may write any entry at
 * any time.  An entry is believed once, at the moment when the mark "in use" goes into it by one
 * compare-and-exchange; from then to the last unmap the page is the one that was found then.
 *
 * Frames are the guest's own physical frames and must be RAM.  The guest has nobody whose grants it
 * could map; copy works between its own pages and grants to itself.
 */
#include "pv/xen/grant.h"

#include "pv/xen/pv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FRAMES_MAX = 64, REFS_MAX = FRAMES_MAX * PAGE_SIZE / sizeof(struct xen_grant_v1) };
enum { STATUS_FRAMES = 8, TRIES = 8, OPS_TURN = 64 };
_Static_assert(STATUS_FRAMES *PAGE_SIZE / 2 == FRAMES_MAX * PAGE_SIZE / sizeof(struct xen_grant_v2),
               "a status of 16 bits for each entry of version 2");

struct active {
    u8 *hva;
    u32 reads, writes; /* how often it is mapped */
};

struct grants {
    pthread_mutex_t lock; /* after back ends' locks */
    u8 version;
    u32 nframes;
    u8 *page[FRAMES_MAX], *at[FRAMES_MAX]; /* ours, and where the guest sees it */
    u8 *status_page[STATUS_FRAMES], *status_at[STATUS_FRAMES];
    struct region region[FRAMES_MAX], status_region[STATUS_FRAMES];
    struct active active[REFS_MAX];
    u32 nactive;
};

/* ------------------------------------------------------------- entries -- */

static u32 refs(const struct grants *g)
{
    return g->nframes * PAGE_SIZE /
           (g->version == 1 ? sizeof(struct xen_grant_v1) : sizeof(struct xen_grant_v2));
}

static u8 *entry(const struct grants *g, u32 ref)
{
    u32 size = g->version == 1 ? sizeof(struct xen_grant_v1) : sizeof(struct xen_grant_v2);
    u32 per = PAGE_SIZE / size;

    return g->at[ref / per] + ref % per * size;
}

static u16 *status_of(const struct grants *g, u32 ref)
{
    return (u16 *)g->status_at[ref / (PAGE_SIZE / 2)] + ref % (PAGE_SIZE / 2);
}

/* Marks the entry as in use by dom; what it grants then, or GNTST_*. */
static int take(struct xen *x, u32 ref, u16 dom, bool write, u64 *frame)
{
    struct grants *g = x->grants;
    u8 *e = entry(g, ref);
    u32 mark = GTF_reading | (write ? GTF_writing : 0);
    u32 w = __atomic_load_n((u32 *)e, __ATOMIC_SEQ_CST); /* flags, domid */

    for (unsigned i = 0; i < TRIES; i++) {
        if ((w & GTF_type_mask) != GTF_permit_access || w >> 16 != dom || w & GTF_sub_page)
            return GNTST_bad_gntref;
        if (write && w & GTF_readonly)
            return GNTST_permission_denied;
        if (g->version == 2) {
            __atomic_fetch_or(status_of(g, ref), (u16)mark, __ATOMIC_SEQ_CST);
            *frame = __atomic_load_n(&((struct xen_grant_v2 *)e)->frame, __ATOMIC_SEQ_CST);
            u32 again = __atomic_load_n((u32 *)e, __ATOMIC_SEQ_CST);
            if (again == w)
                return GNTST_okay;
            w = again; /* it was revoked before it saw the mark */
            __atomic_fetch_and(status_of(g, ref), (u16)~mark, __ATOMIC_SEQ_CST);
        } else if (__atomic_compare_exchange_n((u32 *)e, &w, w | mark, false, __ATOMIC_SEQ_CST,
                                               __ATOMIC_SEQ_CST)) {
            *frame = __atomic_load_n(&((struct xen_grant_v1 *)e)->frame, __ATOMIC_SEQ_CST);
            return GNTST_okay;
        }
    }
    return GNTST_eagain;
}

static void clear_marks(struct xen *x, u32 ref, u16 marks)
{
    struct grants *g = x->grants;

    if (g->version == 2)
        __atomic_fetch_and(status_of(g, ref), (u16)~marks, __ATOMIC_SEQ_CST);
    else
        __atomic_fetch_and((u16 *)entry(g, ref), (u16)~marks, __ATOMIC_SEQ_CST);
}

/* One more use of a page that is in use. */
static u8 *guest_page_again(struct xen *x, const u8 *page, bool write)
{
    return x->pv ? guest_page_get(x, (u64)(page - x->vm->mem.hva) >> PAGE_SHIFT, write)
                 : (u8 *)page;
}

static int map_for(struct xen *x, u32 ref, u16 dom, bool write, u8 **hva)
{
    struct grants *g = x->grants;
    u64 frame;

    if (ref >= refs(g))
        return GNTST_bad_gntref;
    struct active *a = &g->active[ref];
    if (a->reads + a->writes == UINT16_MAX)
        return GNTST_general_error;
    int r = take(x, ref, dom, write, &frame);
    if (r)
        return r;
    /* all but the first get the same page, whatever the entry says by then */
    u8 *page = a->hva ? guest_page_again(x, a->hva, write) : guest_page_get(x, frame, write);
    if (!page) {
        if (!a->hva)
            clear_marks(x, ref, GTF_reading | GTF_writing);
        else if (!a->writes)
            clear_marks(x, ref, GTF_writing);
        return GNTST_bad_page;
    }
    if (!a->hva)
        g->nactive++;
    a->hva = page;
    if (write)
        a->writes++;
    else
        a->reads++;
    *hva = a->hva;
    return GNTST_okay;
}

static void unmap(struct xen *x, u32 ref, bool write)
{
    struct grants *g = x->grants;
    struct active *a = &g->active[ref];

    BUG_ON(write ? !a->writes : !a->reads);
    if (write)
        a->writes--;
    else
        a->reads--;
    guest_page_put(x, a->hva, write);
    if (!a->reads && !a->writes) {
        a->hva = NULL;
        g->nactive--;
        clear_marks(x, ref, GTF_reading | GTF_writing);
    } else if (!a->writes) {
        clear_marks(x, ref, GTF_writing);
    }
}

int grant_map(struct xen *x, u32 ref, bool write, u8 **hva)
{
    pthread_mutex_lock(&x->grants->lock);
    int r = map_for(x, ref, XEN_DOMID_BACKEND, write, hva);
    pthread_mutex_unlock(&x->grants->lock);
    if (r)
        trace(x->trace, xen, "grant %u: %d", ref, r);
    return r;
}

void grant_unmap(struct xen *x, u32 ref, bool write)
{
    pthread_mutex_lock(&x->grants->lock);
    unmap(x, ref, write);
    pthread_mutex_unlock(&x->grants->lock);
}

/* ---------------------------------------------------------------- copy -- */

struct copy_ptr {
    u64 ref_or_gmfn;
    u16 domid, offset, pad[2];
};

struct copy_op {
    struct copy_ptr source, dest;
    u16 len, flags;
    s16 status, pad;
};
_Static_assert(sizeof(struct copy_op) == 40, "gnttab_copy");

static int copy_side(struct xen *x, const struct copy_ptr *p, bool gref, bool write, u8 **hva)
{
    if (!is_self(p->domid))
        return GNTST_bad_domain;
    if (gref)
        return map_for(x, (u32)p->ref_or_gmfn, XEN_DOMID_GUEST, write, hva);
    *hva = guest_page_get(x, p->ref_or_gmfn, write);
    return *hva ? GNTST_okay : GNTST_bad_page;
}

static void copy_side_done(struct xen *x, const struct copy_ptr *p, bool gref, bool write,
                           const u8 *hva)
{
    if (gref)
        unmap(x, (u32)p->ref_or_gmfn, write);
    else
        guest_page_put(x, hva, write);
}

static int copy_one(struct xen *x, const struct copy_op *op)
{
    bool sref = op->flags & GNTCOPY_source_gref, dref = op->flags & GNTCOPY_dest_gref;
    u8 *from, *to;

    if (op->len > PAGE_SIZE || op->source.offset > PAGE_SIZE - op->len ||
        op->dest.offset > PAGE_SIZE - op->len)
        return GNTST_bad_copy_arg;
    int r = copy_side(x, &op->source, sref, false, &from);
    if (r)
        return r;
    r = copy_side(x, &op->dest, dref, true, &to);
    if (!r) {
        memmove(to + op->dest.offset, from + op->source.offset, op->len);
        guest_wrote(x, to + op->dest.offset, op->len);
        copy_side_done(x, &op->dest, dref, true, to);
    }
    copy_side_done(x, &op->source, sref, false, from);
    return r;
}

/* ------------------------------------------------------------ the table -- */

static s64 grow(struct grants *g, u32 n)
{
    if (n > FRAMES_MAX)
        return -XEN_EINVAL;
    g->nframes = max(g->nframes, n);
    return 0;
}

s64 grant_place(struct xen *x, u64 idx, u64 gfn)
{
    struct grants *g = x->grants;
    bool status = idx & XENMAPIDX_grant_table_status;
    u64 n = idx & ~XENMAPIDX_grant_table_status;
    s64 r = 0;

    if (n >= (status ? STATUS_FRAMES : FRAMES_MAX))
        return -XEN_EINVAL;
    pthread_mutex_lock(&g->lock);
    if (status && g->version != 2)
        r = -XEN_EINVAL;
    else if (!status)
        r = grow(g, (u32)n + 1);
    if (!r) {
        u8 **at = status ? &g->status_at[n] : &g->at[n];
        u8 *page = status ? g->status_page[n] : g->page[n];
        if (*at != page)
            memcpy(page, *at, PAGE_SIZE);
        u8 *now = memory_share(x, status ? &g->status_region[n] : &g->region[n], page, gfn);
        *at = now ? now : page;
        r = now ? 0 : -XEN_EINVAL;
    }
    pthread_mutex_unlock(&g->lock);
    return r;
}

/* version u32 in and out */
static s64 set_version(struct xen_call *k)
{
    struct grants *g = k->x->grants;
    u32 v;
    s64 r = 0;

    if (!guest_read(k, k->a[1], &v, sizeof(v)))
        return -XEN_EFAULT;
    if (v != 1 && v != 2)
        return -XEN_EINVAL;
    pthread_mutex_lock(&g->lock);
    if (v != g->version && g->nactive) {
        r = -XEN_EBUSY;
    } else if (v != g->version) {
        g->version = (u8)v;
        for (u32 i = 0; i < g->nframes; i++)
            memset(g->at[i], 0, PAGE_SIZE);
        for (u32 i = 0; i < STATUS_FRAMES; i++)
            memset(g->status_at[i], 0, PAGE_SIZE);
    }
    v = g->version;
    pthread_mutex_unlock(&g->lock);
    if (!guest_write(k, k->a[1], &v, sizeof(v)))
        return -XEN_EFAULT;
    return r;
}

/* dom u16, pad u16, version u32 (out) */
static s64 get_version(struct xen_call *k)
{
    struct {
        u16 dom, pad;
        u32 version;
    } a;

    if (!guest_read(k, k->a[1], &a, sizeof(a)))
        return -XEN_EFAULT;
    if (!is_self(a.dom))
        return -XEN_EPERM;
    a.version = k->x->grants->version;
    return guest_write(k, k->a[1], &a, sizeof(a)) ? 0 : -XEN_EFAULT;
}

/* dom u16; nr_frames u32, max_nr_frames u32, status s16 (out) */
static s64 query_size(struct xen_call *k)
{
    struct {
        u16 dom, pad;
        u32 nr, max;
        s16 status, pad2;
    } a;

    if (!guest_read(k, k->a[1], &a, sizeof(a)))
        return -XEN_EFAULT;
    if (!is_self(a.dom)) {
        a.status = GNTST_bad_domain;
    } else {
        a.nr = k->x->grants->nframes;
        a.max = FRAMES_MAX;
        a.status = GNTST_okay;
    }
    return guest_write(k, k->a[1], &a, sizeof(a)) ? 0 : -XEN_EFAULT;
}

/* dom u16, nr_frames u32; status s16 (out), frame_list: where a PV guest finds the table. */
static s64 setup_table(struct xen_call *k)
{
    struct {
        u16 dom, pad;
        u32 nr;
        s16 status, pad2[3];
        u64 list;
    } a;
    struct xen *x = k->x;

    if (!guest_read(k, k->a[1], &a, sizeof(a)))
        return -XEN_EFAULT;
    a.status = GNTST_okay;
    if (!is_self(a.dom))
        a.status = GNTST_bad_domain;
    else if (a.nr > FRAMES_MAX)
        a.status = GNTST_general_error;
    pthread_mutex_lock(&x->grants->lock);
    if (!a.status && grow(x->grants, a.nr))
        a.status = GNTST_general_error;
    pthread_mutex_unlock(&x->grants->lock);
    for (u32 i = 0; !a.status && i < a.nr; i++) {
        u64 frame = pv_grant_frame(x, i);
        if (!guest_write(k, a.list + i * 8ull, &frame, sizeof(frame)))
            return -XEN_EFAULT;
    }
    return guest_write(k, k->a[1], &a, sizeof(a)) ? 0 : -XEN_EFAULT;
}

/* nr_frames u32, dom u16, status s16 (out), frame_list */
static s64 get_status_frames(struct xen_call *k)
{
    struct {
        u32 nr;
        u16 dom;
        s16 status;
        u64 list;
    } a;

    if (!guest_read(k, k->a[1], &a, sizeof(a)))
        return -XEN_EFAULT;
    a.status = GNTST_okay;
    if (!is_self(a.dom))
        a.status = GNTST_bad_domain;
    else if (a.nr > STATUS_FRAMES || k->x->grants->version != 2)
        a.status = GNTST_general_error;
    for (u32 i = 0; !a.status && i < a.nr; i++) {
        u64 frame = pv_status_frame(k->x, i);
        if (!guest_write(k, a.list + i * 8ull, &frame, sizeof(frame)))
            return -XEN_EFAULT;
    }
    return guest_write(k, k->a[1], &a, sizeof(a)) ? 0 : -XEN_EFAULT;
}

/* The operations on lists: the entry's size, where its status lies, and what to do. */
static s64 one_copy(struct xen_call *k, u64 gva)
{
    struct grants *g = k->x->grants;
    struct copy_op op;

    if (!guest_read(k, gva, &op, sizeof(op)))
        return -XEN_EFAULT;
    pthread_mutex_lock(&g->lock);
    op.status = (s16)copy_one(k->x, &op);
    pthread_mutex_unlock(&g->lock);
    u64 at = gva + offsetof(struct copy_op, status);
    return guest_write(k, at, &op.status, sizeof(op.status)) ? 0 : -XEN_EFAULT;
}

/* map: host_addr, flags, ref, dom; status s16 at 20 of 32.  Nobody has granted it anything. */
static s64 one_map(struct xen_call *k, u64 gva)
{
    s16 status = GNTST_bad_domain;

    return guest_write(k, gva + 20, &status, sizeof(status)) ? 0 : -XEN_EFAULT;
}

/* unmap: host_addr, dev_bus_addr, handle; status s16 at 20 of 24. */
static s64 one_unmap(struct xen_call *k, u64 gva)
{
    s16 status = GNTST_bad_handle;

    return guest_write(k, gva + 20, &status, sizeof(status)) ? 0 : -XEN_EFAULT;
}

static s64 list(struct xen_call *k, s64 (*one)(struct xen_call *, u64), u64 size)
{
    for (unsigned turn = 0; (u32)k->a[2]; turn++) {
        if (turn == OPS_TURN) {
            k->result = PV_AGAIN;
            return 0;
        }
        s64 r = one(k, k->a[1]);
        if (r)
            return r;
        k->a[1] += size;
        k->a[2] = (u32)k->a[2] - 1;
    }
    return 0;
}

s64 xen_grant_table_op(struct xen_call *k)
{
    u32 op = (u32)k->a[0];

    if (op == GNTTABOP_copy)
        return list(k, one_copy, sizeof(struct copy_op));
    if (op == GNTTABOP_map_grant_ref)
        return list(k, one_map, 32);
    if (op == GNTTABOP_unmap_grant_ref)
        return list(k, one_unmap, 24);
    if ((u32)k->a[2] != 1)
        return -XEN_EINVAL;
    switch (op) {
    case GNTTABOP_query_size:
        return query_size(k);
    case GNTTABOP_set_version:
        return set_version(k);
    case GNTTABOP_get_version:
        return get_version(k);
    case GNTTABOP_setup_table: /* for guests without a physmap, as the next */
        return k->x->pv ? setup_table(k) : -XEN_ENOSYS;
    case GNTTABOP_get_status_frames:
        return k->x->pv ? get_status_frames(k) : -XEN_ENOSYS;
    default:
        return -XEN_ENOSYS;
    }
}

/* ------------------------------------------------------------------ life -- */

static bool give_page(struct xen *x, u8 **page, struct region *r, const char *name)
{
    *page = mem_alloc(&x->vm->mem, PAGE_SIZE);
    *r = (struct region){.name = name, .size = PAGE_SIZE, .hva = *page, .whva = *page};
    return *page;
}

int grant_open(struct xen *x, struct err *e)
{
    struct grants *g = x->grants = calloc(1, sizeof(*g));
    bool ok = g;

    for (unsigned i = 0; ok && i < FRAMES_MAX; i++)
        ok = give_page(x, &g->page[i], &g->region[i], "Xen grant table");
    for (unsigned i = 0; ok && i < STATUS_FRAMES; i++)
        ok = give_page(x, &g->status_page[i], &g->status_region[i], "Xen grant status");
    if (g)
        pthread_mutex_init(&g->lock, NULL);
    return ok ? 0 : err_set(e, ENOMEM, "Xen grant table: no memory");
}

void grant_reset(struct xen *x)
{
    struct grants *g = x->grants;

    for (unsigned i = 0; i < FRAMES_MAX; i++) {
        bus_unmap(&x->vm->mmio, &g->region[i]);
        memset(g->page[i], 0, PAGE_SIZE);
        g->at[i] = g->page[i];
    }
    for (unsigned i = 0; i < STATUS_FRAMES; i++) {
        bus_unmap(&x->vm->mmio, &g->status_region[i]);
        memset(g->status_page[i], 0, PAGE_SIZE);
        g->status_at[i] = g->status_page[i];
    }
    memset(g->active, 0, sizeof(g->active));
    g->nactive = 0;
    g->version = 1;
    g->nframes = 1;
}

void grant_show(struct xen *x)
{
    struct grants *g = x->grants;

    for (unsigned i = 0; i < FRAMES_MAX; i++)
        bus_map(&x->vm->mmio, &g->region[i], pv_grant_frame(x, i) << PAGE_SHIFT);
    for (unsigned i = 0; i < STATUS_FRAMES; i++)
        bus_map(&x->vm->mmio, &g->status_region[i], pv_status_frame(x, i) << PAGE_SHIFT);
}

void grant_close(struct xen *x)
{
    if (x->grants)
        pthread_mutex_destroy(&x->grants->lock);
    free(x->grants);
}
