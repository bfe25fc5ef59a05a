/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PV domain's life: what Xen shows it (the machine-to-physical table, shared pages), and its
 * first processor as the domain builder left it (board/xen_pv.c).
 */
#include "pv/xen/pv.h"
#include "pv/xen/grant.h"

#include "base/endian.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HYPERCALL_SLOT = 32 };

/* ------------------------------------------------- machine to physical -- */

/* Two tables of Xen's own: one entry of level 4 leads to them, from every root. */
static void make_tables(struct xen_pv *pv)
{
    u64 *l3 = (u64 *)pv->tables, *l2 = (u64 *)(pv->tables + PAGE_SIZE);
    const u64 flags = PTE_PRESENT | PTE_USER | PTE_ACCESSED;

    memset(pv->tables, 0, PV_TABLE_FRAMES * PAGE_SIZE);
    l3[0] = (pv->table_frame + 1) << PAGE_SHIFT | flags;
    u64 n = pv->m2p_size / (2 * MIB), again = pv_m2p_start(pv) >> 21 & 511;
    for (u64 i = 0; i < n; i++)
        l2[i] = l2[again + i] =
            ((pv->m2p_frame << PAGE_SHIFT) + i * 2 * MIB) | flags | PTE_PSE | PTE_NX;
}

static int open_m2p(struct xen_pv *pv, struct err *e)
{
    struct xen *x = pv->x;
    const u64 gib_frames = GIB >> PAGE_SHIFT;

    pv->heap_frame = align_up(pv->frames, gib_frames);
    pv->table_frame = pv->heap_frame + PV_HEAP_FRAMES;
    pv->m2p_frame = pv->heap_frame + gib_frames;
    pv->m2p_size = align_up(pv->frames * sizeof(u64), 2 * MIB);
    pv->m2p_frames = pv->m2p_size >> PAGE_SHIFT;
    if (pv->m2p_size > GIB)
        return err_set(e, EINVAL, "a Xen PV guest has at most 512 GiB");
    void *m = mmap(NULL, pv->m2p_size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    pv->tables = mem_alloc(&x->vm->mem, PV_TABLE_FRAMES * PAGE_SIZE);
    if (m == MAP_FAILED || !pv->tables)
        return err_set(e, ENOMEM, "Xen interface: no memory for its tables");
    memset(m, 0xff, pv->m2p_size); /* what is no frame of the guest's stays INVALID_M2P_ENTRY */
    pv->m2p = m;
    pv->m2p_region =
        (struct region){.name = "Xen machine-to-physical table", .size = pv->m2p_size, .hva = m};
    pv->tables_region = (struct region){
        .name = "Xen page tables", .size = PV_TABLE_FRAMES * PAGE_SIZE, .hva = pv->tables};
    int r = bus_map(&x->vm->mmio, &pv->m2p_region, pv->m2p_frame << PAGE_SHIFT);
    if (!r)
        r = bus_map(&x->vm->mmio, &pv->tables_region, pv->table_frame << PAGE_SHIFT);
    return r ? err_set(e, -r, "Xen interface: no place for its tables") : 0;
}

/* ------------------------------------------------------------------ life -- */

int pv_open(struct xen *x, struct err *e)
{
    struct xen_pv *pv = x->pv = calloc(1, sizeof(*pv));
    pthread_mutexattr_t recursive;

    if (!pv)
        return err_set(e, ENOMEM, "Xen interface: no memory");
    pv->x = x;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&pv->lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    pv->frames = x->vm->mem.ram_size >> PAGE_SHIFT;
    pv->page = calloc(pv->frames, sizeof(*pv->page));
    pv->vcpu = calloc(x->nvcpus, sizeof(*pv->vcpu));
    pv->walked = calloc(pv->frames, sizeof(*pv->walked));
    if (!pv->page || !pv->vcpu || !pv->walked)
        return err_set(e, ENOMEM, "Xen interface: no memory");
    return open_m2p(pv, e);
}

void pv_share(struct xen *x)
{
    bus_map(&x->vm->mmio, &x->shared_region, (x->pv->heap_frame + PV_HEAP_SHARED) << PAGE_SHIFT);
    grant_show(x);
}

void pv_reset(struct xen *x)
{
    struct xen_pv *pv = x->pv;

    if (!pv)
        return;
    memset(pv->page, 0, pv->frames * sizeof(*pv->page));
    memset(pv->walked, 0, pv->frames * sizeof(*pv->walked));
    for (u64 i = 0; i < pv->frames; i++)
        pv->m2p[i] = i;
    make_tables(pv);
    pv->clock = 1;
    pv->next_free = 0;
    for (unsigned i = 0; i < x->nvcpus; i++) {
        struct pv_vcpu *v = &pv->vcpu[i];
        free(v->context);
        *v = (struct pv_vcpu){.xv = &x->vcpu[i], .cr4 = CR4_PAE, .flushed = 1};
    }
    pv_share(x);
}

void pv_close(struct xen *x)
{
    struct xen_pv *pv = x->pv;

    if (!pv)
        return;
    for (unsigned i = 0; pv->vcpu && i < x->nvcpus; i++)
        free(pv->vcpu[i].context);
    if (pv->m2p)
        munmap(pv->m2p, pv->m2p_size);
    pthread_mutex_destroy(&pv->lock);
    free(pv->walked);
    free(pv->vcpu);
    free(pv->page);
    free(pv);
    x->pv = NULL;
}

/* ------------------------------------------------- for the domain builder -- */

void xen_pv_info(const struct xen *x, struct xen_pv_info *i)
{
    *i = (struct xen_pv_info){
        .shared_info = x->pv->heap_frame + PV_HEAP_SHARED,
        .store_port = (u32)x->param[HVM_PARAM_STORE_EVTCHN],
        .console_port = (u32)x->param[HVM_PARAM_CONSOLE_EVTCHN],
    };
}

void xen_pv_hypercall_page(u8 *page)
{
    static const u8 call[] = {0x51, 0x41, 0x53, 0xb8, 0,    0,   0, 0,  /* push rcx, r11; mov eax */
                              0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3};      /* syscall; pop; ret */
    static const u8 iret[] = {0x51, 0x41, 0x53, 0x50, 0xb8, 0, 0, 0, 0, /* the frame begins so */
                              0x0f, 0x05};

    memset(page, 0xcc, PAGE_SIZE);
    for (unsigned n = 0; n < PAGE_SIZE / HYPERCALL_SLOT; n++) {
        u8 *p = page + n * HYPERCALL_SLOT;
        bool is_iret = n == HYPERVISOR_iret;
        memcpy(p, is_iret ? iret : call, is_iret ? sizeof(iret) : sizeof(call));
        le32_put(p + (is_iret ? 5 : 4), n);
    }
}

bool pv_share_page(struct xen *x, u64 mfn, unsigned which)
{
    u8 *p = guest_page_hold(x, mfn);

    if (p)
        x->special[which] = p;
    return p;
}

/* The builder's tables are checked like anybody's. */
int xen_pv_start(struct xen *x, u64 root, u64 store, u64 console, struct err *e)
{
    struct xen_pv *pv = x->pv;
    struct pv_vcpu *v = &pv->vcpu[0];

    pv_lock(pv);
    int r = pv_type_get(pv, root, PT_L4);
    if (!r) {
        pv->page[root].pinned = true;
        r = pv_type_get(pv, root, PT_L4);
    }
    if (!r && !(pv_share_page(x, store, XEN_SPECIAL_STORE) &&
                pv_share_page(x, console, XEN_SPECIAL_CONSOLE)))
        r = -XEN_EINVAL;
    pv_unlock(pv);
    if (r)
        return err_set(e, EINVAL, "the kernel's first page tables are refused (%d)", r);
    v->kernel_l4 = root;
    v->up = v->initialised = true;
    x->vcpu[0].info->evtchn_upcall_mask = 1;
    return 0;
}
