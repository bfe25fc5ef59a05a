/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's memory as hypercalls reach it: by linear address through the caller's page tables,
 * and by frame number.
 */
#include "pv/xen/pv.h"

/* Inside one page, which is no page table while it is written, whatever a TLB remembers. */
static bool write_pv(struct xen_call *k, u64 gva, const u8 *p, u64 n)
{
    struct xen_pv *pv = k->x->pv;
    u64 gpa;

    pv_lock(pv);
    bool ok = k->p->translate(k->p, gva, true, &gpa);
    u64 mfn = gpa >> PAGE_SHIFT;
    if (ok && mfn < pv->frames)
        ok = pv->page[mfn].uses && pv->page[mfn].type == PT_WRITABLE;
    ok = ok && mem_write(&k->x->vm->dma, gpa, p, n);
    pv_unlock(pv);
    return ok;
}

/* buf NULL is not possible here; reads and writes differ in one call. */
static bool copy(struct xen_call *k, u64 gva, void *buf, u64 len, bool write)
{
    u8 *p = buf;
    u64 gpa;

    while (len) {
        u64 n = min(len, PAGE_SIZE - (gva & PAGE_MASK));

        if (write && k->x->pv) {
            if (!write_pv(k, gva, p, n))
                return false;
        } else if (!k->p->translate(k->p, gva, write, &gpa)) {
            return false;
        } else if (!(write ? mem_write(&k->x->vm->dma, gpa, p, n)
                           : mem_read(&k->x->vm->dma, gpa, p, n))) {
            return false;
        }
        gva += n;
        p += n;
        len -= n;
    }
    return true;
}

bool guest_read(struct xen_call *k, u64 gva, void *buf, u64 len)
{
    return copy(k, gva, buf, len, false);
}

bool guest_write(struct xen_call *k, u64 gva, const void *buf, u64 len)
{
    return copy(k, gva, (void *)buf, len, true);
}

u8 *guest_page(struct xen *x, u64 gfn)
{
    u64 len = PAGE_SIZE;

    if (gfn >> 40 || x->pv) /* a PV guest's pages are got and put */
        return NULL;
    u8 *p = mem_map(&x->vm->dma, gfn << PAGE_SHIFT, &len, true);
    return p && len == PAGE_SIZE ? p : NULL;
}

u8 *guest_page_get(struct xen *x, u64 gfn, bool write)
{
    struct xen_pv *pv = x->pv;

    if (!pv)
        return guest_page(x, gfn);
    if (gfn >= pv->frames)
        return NULL;
    pv_lock(pv);
    int r = write ? pv_type_get(pv, gfn, PT_WRITABLE) : pv_ref_get(pv, gfn);
    pv_unlock(pv);
    return r ? NULL : pv_frame(pv, gfn);
}

void guest_page_put(struct xen *x, const u8 *page, bool write)
{
    struct xen_pv *pv = x->pv;

    if (!pv)
        return;
    u64 gfn = (u64)(page - x->vm->mem.hva) >> PAGE_SHIFT;
    pv_lock(pv);
    if (write)
        pv_type_put(pv, gfn);
    else
        pv_ref_put(pv, gfn);
    pv_unlock(pv);
}

u8 *guest_page_hold(struct xen *x, u64 gfn)
{
    return guest_page_get(x, gfn, true);
}
