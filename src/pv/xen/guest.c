/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's memory as hypercalls reach it: by linear address through the caller's page tables,
 * and by frame number.
 */
#include "pv/xen/pv.h"

#include "cpu/mmu.h"

#include <string.h>

/* Inside one page. */
static bool copy_pv(struct cpu *c, u64 lin, void *buf, u64 n, bool write)
{
    const struct xen_pv *pv = ((struct xen *)c->vm->pv.opaque)->pv;
    enum tlb_access a = write ? TLB_WRITE : TLB_READ;
    u64 gpa;

    if (!canonical(lin))
        return false;
    void *at = tlb_lookup(&c->tlbs[MMU_KERNEL], lin, (unsigned)n, a);
    if (!at && c->mmu_idx == MMU_KERNEL && mmu_fill(c, lin, a))
        at = tlb_lookup(&c->tlbs[MMU_KERNEL], lin, (unsigned)n, a);
    if (likely(at)) {
        memcpy(write ? at : buf, write ? buf : at, n);
        return true;
    }
    if (!mmu_probe(c, lin, write, &gpa))
        return false;
    u64 mfn = gpa >> PAGE_SHIFT;
    if (!write)
        return mem_read(&c->vm->dma, gpa, buf, n);
    if (mfn < pv->frames && (!pv->page[mfn].uses || pv->page[mfn].type != PT_WRITABLE))
        return false;
    return mem_write(&c->vm->dma, gpa, buf, n);
}

bool pv_copy(struct cpu *c, u64 lin, void *buf, u64 len, bool write)
{
    struct xen_pv *pv = ((struct xen *)c->vm->pv.opaque)->pv;
    u8 *p = buf;
    bool ok = true;

    if (write) {
        pv_lock(pv);
        if (unlikely(vcpu_events(c->vcpu) & VCPU_FLUSH)) {
            vcpu_lower(c->vcpu, VCPU_FLUSH);
            mmu_flush_all(c);
        }
    }
    while (ok && len) {
        u64 n = min(len, PAGE_SIZE - (lin & PAGE_MASK));
        ok = copy_pv(c, lin, p, n, write);
        lin += n;
        p += n;
        len -= n;
    }
    if (write)
        pv_unlock(pv);
    return ok;
}

/* buf NULL is not possible here; reads and writes differ in one call. */
static bool copy(struct xen_call *k, u64 gva, void *buf, u64 len, bool write)
{
    u8 *p = buf;
    u64 gpa;

    if (k->x->pv)
        return pv_copy(pv_cpu(k), gva, buf, len, write);
    while (len) {
        u64 n = min(len, PAGE_SIZE - (gva & PAGE_MASK));

        if (!k->p->translate(k->p, gva, write, &gpa))
            return false;
        if (!(write ? mem_write(&k->x->vm->dma, gpa, p, n) : mem_read(&k->x->vm->dma, gpa, p, n)))
            return false;
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
