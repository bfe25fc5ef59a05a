/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memory_op: which frames the guest has, its memory map, and where it wants shared pages
 * (memory.h).
 *
 * The guest's frame numbers are physical addresses; there are no machine frames beside them.  A
 * frame that it gives back (decrease_reservation) goes back to the host, and is zero when the guest
 * takes it again or touches it.  A shared page that the guest puts over RAM becomes that RAM page;
 * put elsewhere it is mapped there.
 */
#include "pv/xen/grant.h"
#include "pv/xen/pv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* A turn, after which the vCPU looks at its events, has room for the largest extent. */
enum { ORDER_MAX = XENMEM_ORDER_MAX, FRAMES_TURN = 1 << ORDER_MAX };

/* ---------------------------------------------------------------- frames -- */

/* The guest's RAM page gfn as an index into `populated`; false: no RAM. */
static bool ram_index(const struct xen *x, u64 gfn, u64 *index)
{
    const u8 *p = guest_page((struct xen *)x, gfn);

    if (!p)
        return false;
    *index = (u64)(p - x->vm->mem.hva) >> PAGE_SHIFT;
    return *index < x->ram_frames;
}

static bool has(const struct xen *x, u64 index)
{
    return x->populated[index / 64] >> (index % 64) & 1;
}

static void give_back(struct xen *x, u64 index)
{
    off_t at = (off_t)(index << PAGE_SHIFT);

    x->populated[index / 64] &= ~BIT64(index % 64);
    x->current_pages--;
    if (fallocate(x->vm->mem.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, PAGE_SIZE))
        memset(x->vm->mem.hva + at, 0, PAGE_SIZE);
    guest_wrote(x, x->vm->mem.hva + at, PAGE_SIZE);
}

/* One extent of 2^order frames from gfn on; false: not possible, nothing was changed. */
static bool change_extent(struct xen *x, u64 gfn, unsigned order, bool populate)
{
    u64 index, n = 1ull << order;

    if (gfn >> 40)
        return false;
    for (u64 i = 0; i < n; i++)
        if (!ram_index(x, gfn + i, &index) || has(x, index) == populate)
            return false;
    for (u64 i = 0; i < n; i++) {
        ram_index(x, gfn + i, &index);
        if (populate) {
            x->populated[index / 64] |= BIT64(index % 64);
            x->current_pages++;
        } else {
            give_back(x, index);
        }
    }
    return true;
}

s64 memory_each_extent(struct xen_call *k, memory_extent_fn *one)
{
    struct xen_reservation a;
    u64 done = k->a[0] >> XENMEM_CMD_BITS, turn = 0;

    if (!guest_read(k, k->a[1], &a, sizeof(a)))
        return (s64)done;
    if (!is_self(a.domid) || a.extent_order > ORDER_MAX ||
        a.nr_extents > UINT64_MAX >> XENMEM_CMD_BITS)
        return (s64)done;
    for (; done < a.nr_extents; done++) {
        u64 frame, at = a.extent_start + done * 8;

        if (turn++ == (u64)FRAMES_TURN >> a.extent_order) {
            k->a[0] = (k->a[0] & XENMEM_CMD_MASK) | done << XENMEM_CMD_BITS;
            k->result = PV_AGAIN;
            return 0;
        }
        if (!guest_read(k, at, &frame, sizeof(frame)) || !one(k, at, frame, a.extent_order))
            break;
    }
    return (s64)done;
}

static bool change(struct xen_call *k, u64 gfn, unsigned order, bool populate)
{
    pthread_mutex_lock(&k->x->lock);
    bool ok = change_extent(k->x, gfn, order, populate);
    pthread_mutex_unlock(&k->x->lock);
    return ok;
}

static bool populate(struct xen_call *k, u64 at, u64 gfn, unsigned order)
{
    return change(k, gfn, order, true);
}

static bool decrease(struct xen_call *k, u64 at, u64 gfn, unsigned order)
{
    return change(k, gfn, order, false);
}

/* --------------------------------------------------------- shared pages -- */

u8 *memory_share(struct xen *x, struct region *r, u8 *page, u64 gfn)
{
    u64 index;

    if (ram_index(x, gfn, &index)) {
        u8 *to = x->vm->mem.hva + (index << PAGE_SHIFT);
        if (to != page)
            memcpy(to, page, PAGE_SIZE);
        guest_wrote(x, to, PAGE_SIZE);
        return to;
    }
    if (gfn >> 40)
        return NULL;
    bus_unmap(&x->vm->mmio, r);
    if (x->hole && bus_find(&x->vm->mmio, gfn << PAGE_SHIFT) == x->hole)
        bus_unmap(&x->vm->mmio, x->hole);
    return bus_map(&x->vm->mmio, r, gfn << PAGE_SHIFT) ? NULL : r->hva;
}

static s64 place_shared_info(struct xen *x, u64 gfn)
{
    s64 ret = 0;

    pthread_mutex_lock(&x->evt_lock);
    u8 *old = (u8 *)x->shared;
    if (old != x->shared_page)
        memcpy(x->shared_page, old, PAGE_SIZE);
    u8 *now = memory_share(x, &x->shared_region, x->shared_page, gfn);
    if (!now) {
        ret = -XEN_EINVAL;
    } else {
        x->shared = (struct xen_shared_info *)now;
        for (unsigned i = 0; i < x->nvcpus && i < XEN_LEGACY_MAX_VCPUS; i++)
            if (!x->vcpu[i].info_registered)
                x->vcpu[i].info = &x->shared->vcpu_info[i];
    }
    pthread_mutex_unlock(&x->evt_lock);
    return ret;
}

static s64 place(struct xen *x, u32 space, u64 idx, u64 gfn)
{
    s64 r = -XEN_ENOSYS;

    pthread_mutex_lock(&x->lock);
    if (space == XENMAPSPACE_shared_info)
        r = idx ? -XEN_EINVAL : place_shared_info(x, gfn);
    else if (space == XENMAPSPACE_grant_table)
        r = grant_place(x, idx, gfn);
    pthread_mutex_unlock(&x->lock);
    return r;
}

/* domid u16, size u16, space u32, idx u64, gpfn u64 */
static s64 add_to_physmap(struct xen_call *k)
{
    struct {
        u16 domid, size;
        u32 space;
        u64 idx, gpfn;
    } a;

    if (!guest_read(k, k->a[1], &a, sizeof(a)))
        return -XEN_EFAULT;
    if (!is_self(a.domid))
        return -XEN_ESRCH;
    return place(k->x, a.space, a.idx, a.gpfn);
}

/* domid u16, space u16, size u16, extra u16, idxs, gpfns, errs handles */
static s64 add_to_physmap_batch(struct xen_call *k)
{
    struct {
        u16 domid, space, size, extra;
        u64 idxs, gpfns, errs;
    } a;

    if (!guest_read(k, k->a[1], &a, sizeof(a)))
        return -XEN_EFAULT;
    if (!is_self(a.domid))
        return -XEN_ESRCH;
    if (a.size > 4096)
        return -XEN_E2BIG;
    for (u16 i = 0; i < a.size; i++) {
        u64 idx, gfn;

        if (!guest_read(k, a.idxs + i * 8u, &idx, 8) || !guest_read(k, a.gpfns + i * 8u, &gfn, 8))
            return -XEN_EFAULT;
        s32 r = (s32)place(k->x, a.space, idx, gfn);
        if (!guest_write(k, a.errs + i * 4u, &r, sizeof(r)))
            return -XEN_EFAULT;
    }
    return 0;
}

/* ------------------------------------------------------------------ maps -- */

/* nr_entries u32, buffer handle; entries of 20 bytes: base, length, type */
static s64 memory_map(struct xen_call *k)
{
    struct {
        u32 nr, pad;
        u64 buffer;
    } a;
    const struct xen *x = k->x;

    if (!guest_read(k, k->a[1], &a, sizeof(a)))
        return -XEN_EFAULT;
    a.nr = min(a.nr, x->cfg.nmap);
    for (u32 i = 0; i < a.nr; i++) {
        u8 e[20];
        memcpy(e, &x->map[i].base, 8);
        memcpy(e + 8, &x->map[i].len, 8);
        memcpy(e + 16, &x->map[i].type, 4);
        if (!guest_write(k, a.buffer + i * sizeof(e), e, sizeof(e)))
            return -XEN_EFAULT;
    }
    return guest_write(k, k->a[1], &a, sizeof(a)) ? 0 : -XEN_EFAULT;
}

static u64 last_gfn(const struct xen *x)
{
    u64 last = 0;

    for (unsigned i = 0; i < x->cfg.nmap; i++)
        last = max(last, (x->map[i].base + x->map[i].len - 1) >> PAGE_SHIFT);
    return last;
}

static s64 reservation_of(struct xen_call *k, u64 pages)
{
    u16 domid;

    if (!guest_read(k, k->a[1], &domid, sizeof(domid)))
        return -XEN_EFAULT;
    return is_self(domid) ? (s64)pages : -XEN_ESRCH;
}

s64 xen_memory_op(struct xen_call *k)
{
    if (k->x->pv) {
        s64 r = pv_memory_op(k);
        if (r != -XEN_ENOSYS)
            return r;
    }
    switch (k->a[0] & XENMEM_CMD_MASK) {
    case XENMEM_decrease_reservation:
        return memory_each_extent(k, decrease);
    case XENMEM_populate_physmap:
        return memory_each_extent(k, populate);
    case XENMEM_increase_reservation:
        return 0; /* frames without a place are of no use to a guest like this */
    case XENMEM_current_reservation:
        return reservation_of(k, k->x->current_pages);
    case XENMEM_maximum_reservation:
        return reservation_of(k, k->x->ram_frames);
    case XENMEM_maximum_ram_page:
    case XENMEM_maximum_gpfn:
        return (s64)last_gfn(k->x);
    case XENMEM_add_to_physmap:
        return add_to_physmap(k);
    case XENMEM_add_to_physmap_batch:
        return add_to_physmap_batch(k);
    case XENMEM_memory_map:
        return memory_map(k);
    default:
        return -XEN_ENOSYS;
    }
}

/* ------------------------------------------------------------------ life -- */

int memory_open(struct xen *x, struct err *e)
{
    struct mem *m = &x->vm->mem;
    u8 *special = mem_alloc(m, XEN_SPECIAL_PAGES * PAGE_SIZE);

    x->shared_page = mem_alloc(m, PAGE_SIZE);
    x->ram_frames = m->ram_size >> PAGE_SHIFT;
    x->populated = calloc(x->ram_frames / 64 + 1, sizeof(u64));
    if (!special || !x->shared_page || !x->populated)
        return err_set(e, ENOMEM, "Xen interface: no memory for its pages");
    for (unsigned i = 0; i < XEN_SPECIAL_PAGES; i++)
        x->special[i] = special + i * PAGE_SIZE;
    x->special_region = (struct region){.name = "Xen special pages",
                                        .size = XEN_SPECIAL_PAGES * PAGE_SIZE,
                                        .hva = special,
                                        .whva = special};
    x->shared_region = (struct region){.name = "Xen shared_info",
                                       .size = PAGE_SIZE,
                                       .hva = x->shared_page,
                                       .whva = x->shared_page};
    if (x->cfg.pv) /* they are pages of the guest's */
        return 0;
    int r = bus_map(&x->vm->mmio, &x->special_region, x->cfg.special_gfn << PAGE_SHIFT);
    return r ? err_set(e, -r, "Xen interface: no place for its pages at 0x%llx",
                       (unsigned long long)x->cfg.special_gfn << PAGE_SHIFT)
             : 0;
}

void memory_reset(struct xen *x)
{
    bus_unmap(&x->vm->mmio, &x->shared_region);
    memset(x->shared_page, 0, PAGE_SIZE);
    x->shared = (struct xen_shared_info *)x->shared_page;
    for (unsigned i = 0; i < XEN_SPECIAL_PAGES; i++)
        memset(x->special[i], 0, PAGE_SIZE);
    memset(x->populated, 0xff, (x->ram_frames / 64 + 1) * sizeof(u64));
    x->current_pages = x->ram_frames;
}

void memory_close(struct xen *x)
{
    free(x->populated);
}
