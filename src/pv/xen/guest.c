/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's memory as hypercalls reach it: by linear address through the caller's page tables,
 * and by frame number.
 */
#include "pv/xen/internal.h"

/* buf NULL is not possible here; reads and writes differ in one call. */
static bool copy(struct xen_call *k, u64 gva, void *buf, u64 len, bool write)
{
    u8 *p = buf;
    u64 gpa;

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

    if (gfn >> 40)
        return NULL;
    u8 *p = mem_map(&x->vm->dma, gfn << PAGE_SHIFT, &len, true);
    return p && len == PAGE_SIZE ? p : NULL;
}
