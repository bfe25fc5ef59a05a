/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "pv_domain.h"

#include <errno.h>

enum { ARGS = 0x10000, SPARE = 32 }; /* a page for arguments, and the first frame for the test */

static int open_domain(void **state)
{
    struct domain *d = malloc(sizeof(*d));

    pv_domain_open(d, 2);
    *state = d;
    return 0;
}

static int close_domain(void **state)
{
    struct domain *d = *state;

    assert_true(pv_audit(d, false));
    assert_true(pv_audit_tlb(d));
    domain_close(d);
    free(d);
    return 0;
}

static u64 pte(u64 mfn, u64 flags)
{
    return mfn << PAGE_SHIFT | PTE_PRESENT | PTE_USER | PTE_ACCESSED | flags;
}

static s64 remap(struct domain *d, u64 va_page, u64 e)
{
    return pv_do(d, HYPERVISOR_update_va_mapping, va_page << PAGE_SHIFT, e, UVMF_INVLPG, 0);
}

static s64 readonly(struct domain *d, u64 mfn)
{
    return remap(d, mfn, pte(mfn, 0));
}

static s64 ext(struct domain *d, u32 cmd, u64 arg1, u64 arg2)
{
    struct mmuext_op op = {cmd, 0, arg1, arg2};

    domain_put(d, ARGS, &op, sizeof(op));
    return pv_do(d, HYPERVISOR_mmuext_op, ARGS, 1, 0, DOMID_SELF);
}

static s64 update(struct domain *d, u64 ptr, u64 val)
{
    struct mmu_update u = {ptr, val};

    domain_put(d, ARGS, &u, sizeof(u));
    return pv_do(d, HYPERVISOR_mmu_update, ARGS, 1, 0, DOMID_SELF);
}

static u64 at(u64 mfn, unsigned index)
{
    return mfn << PAGE_SHIFT | index * 8;
}

static void test_builder(void **state)
{
    struct domain *d = *state;
    const struct xen_pv *pv = d->x->pv;

    assert_true(pv_audit(d, false));
    assert_int_equal(pv->page[PV_ROOT].type, PT_L4);
    assert_int_equal(pv->page[PV_ROOT].uses, 2); /* pinned, and the processor's */
    assert_int_equal(pv->page[PV_L1].type, PT_L1);
    assert_int_equal(pv->page[SPARE].type, PT_WRITABLE);
    assert_int_equal(pv->page[PV_L1].refs, 2); /* as a table, and its read-only mapping */
    assert_int_equal(pv->m2p[17], 17);
}

/* What a mapping may lead to. */
static void test_frames(void **state)
{
    struct domain *d = *state;
    const struct xen_pv *pv = d->x->pv;

    assert_int_equal(remap(d, SPARE, pte(PV_RAM_FRAMES, 0)), -XEN_EPERM);
    assert_int_equal(remap(d, SPARE, pte(BIT64(39), PTE_RW)), -XEN_EPERM);
    assert_int_equal(remap(d, SPARE, PTE_FRAME | PTE_PRESENT), -XEN_EINVAL);
    assert_int_equal(remap(d, SPARE, pte(pv->table_frame, 0)), -XEN_EBUSY);
    assert_int_equal(remap(d, SPARE, pte(pv->m2p_frame, 0)), -XEN_EBUSY);
    assert_int_equal(remap(d, SPARE, pte(PV_L1, PTE_RW)), -XEN_EBUSY);
    assert_int_equal(remap(d, SPARE, pte(PV_ROOT, PTE_RW)), -XEN_EBUSY);
    assert_int_equal(remap(d, SPARE, pte(SPARE, PTE_RW | PTE_GLOBAL)), 0);
    assert_int_equal(pv_table_of(d, PV_L1)[SPARE], pte(SPARE, PTE_RW)); /* nothing is global */
    assert_int_equal(remap(d, SPARE, PTE_GLOBAL), 0); /* the guest's own bit there: PROT_NONE */
    assert_int_equal(pv_table_of(d, PV_L1)[SPARE], PTE_GLOBAL);
    assert_int_equal(remap(d, SPARE, pte(PV_ROOT, 0)), 0);
    assert_int_equal(remap(d, SPARE, pte(pv->heap_frame, PTE_RW)), 0);
    assert_int_equal(remap(d, SPARE, 0), 0);
    assert_int_equal(remap(d, 2 * PV_RAM_FRAMES, 0), -XEN_EINVAL); /* no table there */
    assert_int_equal(remap(d, SPARE, pte(SPARE, PTE_RW)), 0);
}

static void test_pin(void **state)
{
    struct domain *d = *state;

    assert_int_equal(ext(d, MMUEXT_PIN_L1_TABLE, SPARE, 0),
                     -XEN_EINVAL); /* it is mapped writable */
    assert_int_equal(readonly(d, SPARE), 0);
    assert_int_equal(ext(d, MMUEXT_PIN_L1_TABLE, SPARE, 0), 0);
    assert_int_equal(ext(d, MMUEXT_PIN_L1_TABLE, SPARE, 0), -XEN_EINVAL);
    assert_int_equal(ext(d, MMUEXT_PIN_L4_TABLE, SPARE, 0), -XEN_EINVAL);
    assert_int_equal(remap(d, SPARE, pte(SPARE, PTE_RW)), -XEN_EBUSY);
    assert_true(pv_audit(d, false));
    assert_int_equal(ext(d, MMUEXT_UNPIN_TABLE, SPARE, 0), 0);
    assert_int_equal(ext(d, MMUEXT_UNPIN_TABLE, SPARE, 0), -XEN_EINVAL);
    assert_int_equal(ext(d, MMUEXT_UNPIN_TABLE, PV_RAM_FRAMES, 0), -XEN_EINVAL);
    assert_int_equal(ext(d, MMUEXT_PIN_L1_TABLE, UINT64_MAX, 0), -XEN_EINVAL);
    assert_int_equal(remap(d, SPARE, pte(SPARE, PTE_RW)), 0);
}

/* Tables of each level, one below the other, and what does not fit. */
static void test_levels(void **state)
{
    struct domain *d = *state;
    enum { A = SPARE, B, C, D };

    pv_table_of(d, A)[5] = pte(SPARE + 8, PTE_RW);
    pv_table_of(d, B)[6] = pte(A, PTE_RW);
    pv_table_of(d, C)[7] = pte(B, PTE_RW);
    pv_table_of(d, D)[8] = pte(C, PTE_RW);
    pv_table_of(d, D)[PV_L4_FIRST_XEN] = pte(PV_RAM_FRAMES + 5, PTE_RW); /* is overwritten */
    for (u64 m = A; m <= D; m++)
        assert_int_equal(readonly(d, m), 0);
    assert_int_equal(ext(d, MMUEXT_PIN_L1_TABLE + 1, D, 0), -XEN_EINVAL);
    assert_true(pv_audit(d, false));
    assert_int_equal(ext(d, MMUEXT_PIN_L4_TABLE, D, 0), 0);
    assert_true(pv_audit(d, false));
    assert_int_equal(d->x->pv->page[A].type, PT_L1);
    assert_int_equal(d->x->pv->page[SPARE + 8].uses, 2);
    assert_int_equal(pv_table_of(d, D)[PV_L4_FIRST_XEN] >> PAGE_SHIFT, d->x->pv->table_frame);
    assert_int_equal(update(d, at(D, PV_L4_FIRST_XEN), 0), -XEN_EINVAL);
    assert_int_equal(update(d, at(D, PV_L4_LAST_XEN), 0), -XEN_EINVAL);
    assert_int_equal(update(d, at(D, 9), pte(D, 0)), -XEN_EINVAL); /* itself */
    assert_int_equal(update(d, at(D, 9), pte(B, 0)), -XEN_EINVAL); /* another level */
    assert_int_equal(update(d, at(C, 9), pte(C, 0)), -XEN_EINVAL);
    assert_int_equal(update(d, at(B, 9), pte(SPARE + 8, 0)), -XEN_EINVAL); /* writable */
    assert_int_equal(update(d, at(B, 9), pte(0, PTE_RW | PTE_PSE)), -XEN_EINVAL);
    assert_int_equal(update(d, at(A, 9), pte(PV_RAM_FRAMES, 0)), -XEN_EPERM);
    assert_int_equal(update(d, at(A, 9), pte(A, PTE_RW)), -XEN_EBUSY);
    assert_int_equal(update(d, at(A, 9), pte(A, 0)), 0);
    assert_int_equal(update(d, at(A, 5), pte(SPARE + 8, 0)), 0);
    assert_int_equal(d->x->pv->page[SPARE + 8].uses, 1);
    assert_int_equal(ext(d, MMUEXT_NEW_USER_BASEPTR, D, 0), 0);
    assert_int_equal(ext(d, MMUEXT_NEW_USER_BASEPTR, C, 0), -XEN_EINVAL);
    assert_int_equal(ext(d, MMUEXT_NEW_BASEPTR, SPARE + 9, 0), -XEN_EINVAL);
    assert_int_equal(readonly(d, 0), 0);
    assert_int_equal(ext(d, MMUEXT_NEW_BASEPTR, 0, 0), -XEN_EINVAL);
    assert_int_equal(ext(d, MMUEXT_UNPIN_TABLE, D, 0), 0);
    assert_true(pv_audit(d, false));
    assert_int_equal(ext(d, MMUEXT_NEW_USER_BASEPTR, 0, 0), 0);
    assert_true(pv_audit(d, false));
    assert_int_equal(d->x->pv->page[A].uses, 0);
}

/* A and D bits stay where the guest asks for it. */
static void test_preserve(void **state)
{
    struct domain *d = *state;
    u64 *e = &pv_table_of(d, PV_L1)[SPARE];

    *e |= PTE_DIRTY;
    u64 plain = SPARE << PAGE_SHIFT | PTE_PRESENT | PTE_RW;
    assert_int_equal(update(d, at(PV_L1, SPARE) | MMU_PT_UPDATE_PRESERVE_AD, plain), 0);
    assert_int_equal(*e, plain | PTE_DIRTY | PTE_ACCESSED);
    assert_int_equal(update(d, at(PV_L1, SPARE), plain), 0);
    assert_int_equal(*e, plain);
    assert_int_equal(update(d, at(PV_L1, SPARE) | 5, plain), -XEN_ENOSYS);
    assert_int_equal(update(d, at(SPARE, 3), 77), 0); /* an ordinary page */
    assert_int_equal(pv_table_of(d, SPARE)[3], 77);
    assert_int_equal(update(d, at(SPARE, 0) | MMU_MACHPHYS_UPDATE, 99), 0);
    assert_int_equal(d->x->pv->m2p[SPARE], 99);
    assert_int_equal(update(d, at(PV_RAM_FRAMES, 0) | MMU_MACHPHYS_UPDATE, 99), -XEN_EINVAL);
    assert_int_equal(update(d, at(PV_RAM_FRAMES, 0), 0), -XEN_EINVAL);
}

/* Lists stop at the first error and say how far they came. */
static void test_lists(void **state)
{
    struct domain *d = *state;
    struct mmu_update u[600];
    const u64 list = 200 << PAGE_SHIFT, done = 210 << PAGE_SHIFT;

    for (unsigned i = 0; i < ARRAY_SIZE(u); i++)
        u[i] = (struct mmu_update){at(SPARE, i % 512), i};
    domain_put(d, list, u, sizeof(u));
    assert_int_equal(pv_do(d, HYPERVISOR_mmu_update, list, 600, done, DOMID_SELF), 0);
    assert_int_equal(domain_u32(d, done), 600);
    u[300].ptr = at(PV_RAM_FRAMES, 0);
    domain_put(d, list, u, sizeof(u));
    assert_int_equal(pv_do(d, HYPERVISOR_mmu_update, list, 600, done, DOMID_SELF), -XEN_EINVAL);
    assert_int_equal(domain_u32(d, done), 300);
    assert_int_equal(pv_do(d, HYPERVISOR_mmu_update, list, 600, done, 5), -XEN_ESRCH);
    assert_int_equal(pv_do(d, HYPERVISOR_mmu_update, list, 600, done, 6 << 16 | DOMID_SELF),
                     -XEN_ESRCH);
    assert_int_equal(pv_do(d, HYPERVISOR_mmu_update, BIT64(47), 1, 0, DOMID_SELF), -XEN_EFAULT);
    assert_int_equal(pv_do(d, HYPERVISOR_mmu_update, list, 1, PV_L1 << PAGE_SHIFT, DOMID_SELF),
                     0); /* the counter in a page table: it is lost */
    assert_int_equal(*(u32 *)pv_table_of(d, PV_L1), (u32)pte(0, PTE_RW | PTE_DIRTY));
}

static void test_descriptors(void **state)
{
    struct domain *d = *state;
    const u64 gate = 0x0000ec0000100000ull, code0 = 0x00af9b000000ffffull;
    u64 *t = pv_table_of(d, SPARE);

    domain_put(d, ARGS, &(u64){SPARE}, 8);
    assert_int_equal(pv_do(d, HYPERVISOR_set_gdt, ARGS, 32, 0, 0), -XEN_EINVAL); /* writable */
    t[1] = gate;
    t[2] = code0;
    assert_int_equal(readonly(d, SPARE), 0);
    assert_int_equal(pv_do(d, HYPERVISOR_set_gdt, ARGS, 32, 0, 0), -XEN_EINVAL); /* a gate */
    t[1] = 0;
    assert_int_equal(pv_do(d, HYPERVISOR_set_gdt, ARGS, 32, 0, 0), 0);
    assert_int_equal(t[2], code0 | 3ull << 45); /* no ring 0 */
    assert_int_equal(pv_do(d, HYPERVISOR_set_gdt, ARGS, FIRST_RESERVED_GDT_ENTRY + 1, 0, 0),
                     -XEN_EINVAL);
    assert_int_equal(remap(d, SPARE, pte(SPARE, PTE_RW)), -XEN_EBUSY);
    assert_int_equal(pv_do(d, HYPERVISOR_update_descriptor, at(SPARE, 3), gate, 0, 0), -XEN_EINVAL);
    assert_int_equal(pv_do(d, HYPERVISOR_update_descriptor, at(SPARE, 3), code0, 0, 0), 0);
    assert_int_equal(t[3], code0 | 3ull << 45);
    assert_int_equal(pv_do(d, HYPERVISOR_update_descriptor, at(PV_L1, 3), code0, 0, 0),
                     -XEN_EINVAL);
    assert_int_equal(pv_do(d, HYPERVISOR_update_descriptor, at(SPARE, 3) + 4, 0, 0, 0),
                     -XEN_EINVAL);
    assert_true(pv_audit(d, false));
    assert_int_equal(pv_do(d, HYPERVISOR_set_gdt, 0, 0, 0, 0), 0);
    assert_int_equal(ext(d, MMUEXT_SET_LDT, BIT64(47), 5), -XEN_EINVAL);
    assert_int_equal(ext(d, MMUEXT_SET_LDT, SPARE << PAGE_SHIFT, 8193), -XEN_EINVAL);
    assert_int_equal(ext(d, MMUEXT_CLEAR_PAGE, PV_L1, 0), -XEN_EINVAL);
    assert_int_equal(ext(d, MMUEXT_COPY_PAGE, PV_L1, SPARE + 1), -XEN_EINVAL);
    assert_int_equal(ext(d, MMUEXT_COPY_PAGE, SPARE + 1, PV_RAM_FRAMES), -XEN_EINVAL);
    assert_int_equal(ext(d, MMUEXT_COPY_PAGE, SPARE + 1, PV_L1), 0);
}

/* Frames that go and come by the balloon. */
static void test_balloon(void **state)
{
    struct domain *d = *state;
    struct {
        u64 extents, n;
        u32 order, flags;
        u16 domid, pad[3];
    } r = {ARGS + 64, 1, 0, 0, DOMID_SELF, {0}};
    u64 frame = SPARE;
    const u64 have = d->x->current_pages;

    domain_put(d, ARGS, &r, sizeof(r));
    domain_put(d, ARGS + 64, &frame, 8);
    assert_int_equal(pv_do(d, HYPERVISOR_memory_op, XENMEM_decrease_reservation, ARGS, 0, 0), 1);
    assert_int_equal(d->x->current_pages, have - 1);
    assert_int_equal(d->x->pv->m2p[SPARE], UINT64_MAX);
    assert_int_equal(pv_do(d, HYPERVISOR_memory_op, XENMEM_decrease_reservation, ARGS, 0, 0), 0);
    pv_table_of(d, SPARE)[0] = 5; /* it is mapped yet, and so nobody gets it */
    assert_int_equal(pv_do(d, HYPERVISOR_memory_op, XENMEM_populate_physmap, ARGS, 0, 0), 0);
    assert_int_equal(remap(d, SPARE + 1, pte(SPARE, 0)), -XEN_EBUSY);
    assert_int_equal(remap(d, SPARE, 0), 0);
    assert_int_equal(pv_table_of(d, SPARE)[0], 0);
    frame = SPARE + 700; /* as this it shall be known */
    domain_put(d, ARGS + 64, &frame, 8);
    assert_int_equal(pv_do(d, HYPERVISOR_memory_op, XENMEM_populate_physmap, ARGS, 0, 0), 1);
    assert_int_equal(domain_u64(d, ARGS + 64), SPARE);
    assert_int_equal(d->x->pv->m2p[SPARE], SPARE + 700);
    assert_int_equal(d->x->current_pages, have);
    frame = PV_RAM_FRAMES;
    domain_put(d, ARGS + 64, &frame, 8);
    assert_int_equal(pv_do(d, HYPERVISOR_memory_op, XENMEM_decrease_reservation, ARGS, 0, 0), 0);
    frame = PV_RAM_FRAMES / 2; /* the largest extent is one turn's work */
    r.order = 9;
    domain_put(d, ARGS, &r, sizeof(r));
    domain_put(d, ARGS + 64, &frame, 8);
    assert_int_equal(pv_do(d, HYPERVISOR_memory_op, XENMEM_decrease_reservation, ARGS, 0, 0), 1);
    assert_int_equal(d->x->current_pages, have - 512);
}

/* Frames for others: single ones for a row of four. */
static void test_exchange(void **state)
{
    enum { IN = 300 << PAGE_SHIFT, OUT = IN + 64, N = 4 };
    struct domain *d = *state;
    struct xen_pv *pv = d->x->pv;
    struct {
        struct xen_reservation in, out;
        u64 done;
    } e = {{IN, N, 0, 0, DOMID_SELF, {0}}, {OUT, 1, 2, 0, DOMID_SELF, {0}}, 0};
    const u64 in[N] = {SPARE, SPARE + 1, SPARE + 2, SPARE + 3}, known = 7000;

    domain_put(d, ARGS, &e, sizeof(e));
    domain_put(d, IN, in, sizeof(in));
    domain_put(d, OUT, &known, sizeof(known));
    s64 r = pv_do(d, HYPERVISOR_memory_op, XENMEM_exchange, ARGS, 0, 0);
    assert_int_equal(r, -XEN_EINVAL); /* they are mapped */
    for (u64 i = 0; i < N; i++)
        assert_int_equal(remap(d, SPARE + i, 0), 0);
    assert_int_equal(pv_do(d, HYPERVISOR_memory_op, XENMEM_exchange, ARGS, 0, 0), 0);
    assert_int_equal(domain_u64(d, OUT), SPARE); /* the only row that is free */
    assert_int_equal(domain_u64(d, ARGS + offsetof(__typeof__(e), done)), N);
    for (u64 i = 0; i < N; i++)
        assert_int_equal(pv->m2p[SPARE + i], known + i);
    assert_int_equal(d->x->current_pages, PV_RAM_FRAMES);

    e.done = 0;
    domain_put(d, ARGS, &e, sizeof(e));
    domain_put(d, IN + 8, in, 8); /* one frame twice */
    assert_int_equal(pv_do(d, HYPERVISOR_memory_op, XENMEM_exchange, ARGS, 0, 0), -XEN_EINVAL);
    assert_int_equal(pv->m2p[SPARE], known);
    domain_put(d, IN, (u64[]){SPARE, SPARE + 2, SPARE + 4, SPARE + 6}, 32);
    assert_int_equal(remap(d, SPARE + 4, 0), 0);
    assert_int_equal(remap(d, SPARE + 6, 0), 0);
    assert_int_equal(pv_do(d, HYPERVISOR_memory_op, XENMEM_exchange, ARGS, 0, 0), -XEN_ENOMEM);
    assert_int_equal(pv->m2p[SPARE + 2], known + 2); /* no row: all is as it was */
    assert_int_equal(d->x->current_pages, PV_RAM_FRAMES);
    e.in.extent_order = 10;
    domain_put(d, ARGS, &e, sizeof(e));
    assert_int_equal(pv_do(d, HYPERVISOR_memory_op, XENMEM_exchange, ARGS, 0, 0), -XEN_EPERM);
    e.in.extent_order = 1;
    domain_put(d, ARGS, &e, sizeof(e));
    assert_int_equal(pv_do(d, HYPERVISOR_memory_op, XENMEM_exchange, ARGS, 0, 0), -XEN_EINVAL);
}

/* Pages that Xen writes to are no page tables, and do not become any. */
static void test_holders(void **state)
{
    struct domain *d = *state;
    struct {
        u64 mfn;
        u32 offset, pad;
    } a = {PV_L1, 0, 0};

    domain_put(d, ARGS, &a, sizeof(a));
    assert_int_equal(pv_do(d, HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, ARGS, 0),
                     -XEN_EINVAL);
    a.mfn = SPARE;
    domain_put(d, ARGS, &a, sizeof(a));
    assert_int_equal(pv_do(d, HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, ARGS, 0), 0);
    assert_int_equal(readonly(d, SPARE), 0);
    assert_int_equal(ext(d, MMUEXT_PIN_L1_TABLE, SPARE, 0), -XEN_EINVAL);
    assert_true(pv_audit(d, true));
    assert_int_equal(pv_do(d, HYPERVISOR_vcpu_op, VCPUOP_initialise, 0, ARGS, 0), -XEN_EEXIST);
    assert_int_equal(pv_do(d, HYPERVISOR_vcpu_op, VCPUOP_up, 1, 0, 0), -XEN_EINVAL);
    assert_int_equal(pv_do(d, HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, ARGS, 0), -XEN_EINVAL);
    assert_int_equal(pv_do(d, HYPERVISOR_vcpu_op, VCPUOP_is_up, 1, 0, 0), 0);
    assert_int_equal(pv_do(d, HYPERVISOR_vcpu_op, VCPUOP_is_up, 0, 0, 0), 1);
    assert_int_equal(readonly(d, PV_STORE), 0); /* nor what was shared from the start */
    assert_int_equal(readonly(d, PV_CONSOLE), 0);
    assert_int_equal(ext(d, MMUEXT_PIN_L1_TABLE, PV_STORE, 0), -XEN_EINVAL);
    assert_int_equal(ext(d, MMUEXT_PIN_L1_TABLE, PV_CONSOLE, 0), -XEN_EINVAL);
    xen_reset(d->x); /* nobody holds anything any more */
    pv_domain_start(d);
}

static int load(struct domain *d, const struct xen_pv_saved *s, const struct xen_pv_saved_vcpu *v,
                const u8 *frames, u64 len)
{
    xen_reset(d->x);
    return xen_pv_load(d->x, s, v, frames, len);
}

/* What a suspended guest's frames were used as comes back, and is not taken from the file. */
static void test_saved(void **state)
{
    enum { TABLE = SPARE, AWAY, INFO, OWN_NUMBER = 5000 };
    struct domain *d = *state;
    struct xen_pv *pv = d->x->pv;
    struct pv_start_info *info = (struct pv_start_info *)pv_table_of(d, INFO);
    const struct xen_pv_saved saved = {INFO, 0};
    struct xen_pv_saved_vcpu v[2];
    u64 len;

    pv_cpu_of(d, 1)->s.wait_sipi = true;
    assert_int_equal(readonly(d, TABLE), 0);
    pv_table_of(d, TABLE)[3] = pte(SPARE + 8, PTE_RW);
    assert_int_equal(ext(d, MMUEXT_PIN_L1_TABLE, TABLE, 0), 0);
    assert_int_equal(update(d, at(PV_CONSOLE, 0) | MMU_MACHPHYS_UPDATE, OWN_NUMBER), 0);
    assert_int_equal(remap(d, AWAY, 0), 0);
    pv->page[AWAY].given = true;
    pv->m2p[AWAY] = UINT64_MAX;
    info->store_mfn = PV_STORE; /* as the guest's own numbers */
    info->console_mfn = OWN_NUMBER;
    for (unsigned i = 0; i < 2; i++)
        xen_pv_save_vcpu(d->x, i, &v[i]);
    u8 *frames = xen_pv_save_frames(d->x, &len);
    assert_non_null(frames);
    assert_int_equal(len, PV_RAM_FRAMES + 16);

    assert_int_equal(load(d, &saved, v, frames, len), 0);
    assert_true(pv_audit(d, false));
    assert_true(pv->page[TABLE].pinned && pv->page[TABLE].type == PT_L1);
    assert_true(pv->page[AWAY].given && pv->m2p[AWAY] == UINT64_MAX);
    assert_int_equal(pv->m2p[PV_CONSOLE], OWN_NUMBER);
    assert_int_equal(info->store_mfn, PV_STORE);
    assert_int_equal(info->console_mfn, PV_CONSOLE);
    assert_int_equal(info->store_evtchn, d->x->param[HVM_PARAM_STORE_EVTCHN]);
    assert_int_equal(d->x->current_pages, PV_RAM_FRAMES - 1);

    assert_int_equal(load(d, &saved, v, frames, len - 1), -EINVAL);
    frames[SPARE + 8] = PT_L1; /* what is mapped for writing is no page table */
    assert_int_equal(load(d, &saved, v, frames, len), -EINVAL);
    frames[SPARE + 8] = 0;
    pv_table_of(d, TABLE)[4] = pte(pv->table_frame, 0); /* nor may one lead there */
    assert_int_equal(load(d, &saved, v, frames, len), -EINVAL);
    pv_table_of(d, TABLE)[4] = 0;
    v[0].trap_ip[14] = BIT64(47);
    assert_int_equal(load(d, &saved, v, frames, len), -EINVAL);
    free(frames);
    xen_reset(d->x);
    pv_domain_start(d);
}

/* Page `va_page` may be read, or written, by what the first processor's TLB has of it. */
static bool in_tlb(struct domain *d, u64 va_page, enum tlb_access a)
{
    return tlb_lookup(&pv_cpu_of(d, 0)->tlbs[MMU_KERNEL], va_page << PAGE_SHIFT, 1, a);
}

static void touch(struct domain *d, u64 va_page, enum tlb_access a)
{
    assert_true(mmu_fill(pv_cpu_of(d, 0), va_page << PAGE_SHIFT, a));
    assert_true(in_tlb(d, va_page, a));
}

/* A page that was written becomes a page table: no way to write it is left, by any address; and a
 * table cut off at each level is no way to anywhere. */
static void test_stale(void **state)
{
    struct domain *d = *state;
    enum { TABLE = SPARE, DATA, OTHER, ALIAS = 900 /* in the second table */ };
    const u64 flags = PTE_RW | PTE_DIRTY;

    assert_int_equal(remap(d, ALIAS, pte(TABLE, flags)), 0);
    touch(d, TABLE, TLB_WRITE);
    touch(d, ALIAS, TLB_WRITE);
    assert_int_equal(readonly(d, TABLE), 0);
    assert_false(in_tlb(d, TABLE, TLB_WRITE));
    assert_true(in_tlb(d, ALIAS, TLB_WRITE));
    assert_int_equal(ext(d, MMUEXT_PIN_L1_TABLE, TABLE, 0), -XEN_EINVAL);
    assert_int_equal(update(d, at(PV_L1_HIGH, ALIAS - 512), pte(TABLE, 0)), 0);
    assert_int_equal(ext(d, MMUEXT_PIN_L1_TABLE, TABLE, 0), 0);
    assert_false(in_tlb(d, ALIAS, TLB_WRITE));
    assert_false(mmu_fill(pv_cpu_of(d, 0), (u64)ALIAS << PAGE_SHIFT, TLB_WRITE));

    /* the table serves two addresses, and each change of it is seen at both */
    assert_int_equal(readonly(d, OTHER), 0);
    assert_int_equal(update(d, at(TABLE, 5), pte(DATA, flags)), 0);
    assert_int_equal(update(d, at(PV_L2, 2), pte(TABLE, PTE_RW)), 0);
    assert_int_equal(update(d, at(PV_L2, 3), pte(TABLE, PTE_RW)), 0);
    touch(d, 2 * 512 + 5, TLB_WRITE);
    touch(d, 3 * 512 + 5, TLB_WRITE);
    assert_int_equal(readonly(d, DATA), 0);
    assert_int_equal(update(d, at(TABLE, 5), pte(DATA, 0)), 0);
    assert_false(in_tlb(d, 2 * 512 + 5, TLB_WRITE));
    assert_false(in_tlb(d, 3 * 512 + 5, TLB_WRITE));
    assert_int_equal(ext(d, MMUEXT_PIN_L1_TABLE, DATA, 0), 0);
    assert_int_equal(ext(d, MMUEXT_UNPIN_TABLE, DATA, 0), 0);

    /* an entry of level 2 goes, and with it all that was below */
    touch(d, 2 * 512 + 5, TLB_READ);
    assert_int_equal(update(d, at(PV_L2, 2), 0), 0);
    assert_false(in_tlb(d, 2 * 512 + 5, TLB_READ));
    assert_false(mmu_fill(pv_cpu_of(d, 0), (2 * 512 + 5) * PAGE_SIZE, TLB_READ));

    /* a life as a table of another level first */
    assert_int_equal(update(d, at(PV_L2, 3), 0), 0);
    assert_int_equal(update(d, at(TABLE, 5), 0), 0);
    assert_int_equal(ext(d, MMUEXT_UNPIN_TABLE, TABLE, 0), 0);
    assert_int_equal(ext(d, MMUEXT_PIN_L1_TABLE + 1, TABLE, 0), 0);
    assert_int_equal(update(d, at(TABLE, 0), pte(PV_L1, PTE_RW)), 0);
    assert_int_equal(update(d, at(PV_L3, 7), pte(TABLE, PTE_RW)), 0);
    touch(d, (7ul << 18) + DATA, TLB_READ);
    assert_true(pv_audit_tlb(d));
    assert_int_equal(update(d, at(PV_L3, 7), 0), 0);
    assert_false(in_tlb(d, (7ul << 18) + DATA, TLB_READ));
    assert_int_equal(ext(d, MMUEXT_UNPIN_TABLE, TABLE, 0), 0);
    assert_int_equal(remap(d, DATA, pte(DATA, PTE_RW)), 0);
    assert_true(pv_audit_tlb(d));
}

/* A root table with another lower half: the program's pages are not those of the last one. */
static void test_roots(void **state)
{
    struct domain *d = *state;
    enum { ROOT = SPARE };
    struct cpu *c = pv_cpu_of(d, 0);

    memcpy(pv_table_of(d, ROOT), pv_table_of(d, PV_ROOT), PAGE_SIZE);
    assert_int_equal(update(d, at(PV_ROOT, 3), pte(PV_L3, PTE_RW)), 0);
    assert_int_equal(update(d, at(PV_ROOT, 300), pte(PV_L3, PTE_RW)), 0);
    memcpy(pv_table_of(d, ROOT), pv_table_of(d, PV_ROOT), PAGE_SIZE);
    pv_table_of(d, ROOT)[3] = 0;
    assert_int_equal(readonly(d, ROOT), 0);
    assert_int_equal(ext(d, MMUEXT_PIN_L4_TABLE, ROOT, 0), 0);
    const u64 low = 3ul << 27, high = 0xffff960000000ul;
    touch(d, low + SPARE + 1, TLB_READ);
    touch(d, high + SPARE + 1, TLB_READ);
    assert_int_equal(ext(d, MMUEXT_NEW_BASEPTR, ROOT, 0), 0);
    assert_false(in_tlb(d, low + SPARE + 1, TLB_READ));
    assert_true(in_tlb(d, high + SPARE + 1, TLB_READ));
    assert_false(mmu_fill(c, (low + SPARE + 1) << PAGE_SHIFT, TLB_READ));
    assert_true(pv_audit_tlb(d));
    assert_int_equal(ext(d, MMUEXT_NEW_BASEPTR, PV_ROOT, 0), 0);

    /* and with another upper half */
    assert_int_equal(update(d, at(ROOT, 300), 0), 0);
    touch(d, high + SPARE + 1, TLB_READ);
    assert_int_equal(ext(d, MMUEXT_NEW_BASEPTR, ROOT, 0), 0);
    assert_false(in_tlb(d, high + SPARE + 1, TLB_READ));
    assert_false(mmu_fill(c, (high + SPARE + 1) << PAGE_SHIFT, TLB_READ));
    assert_int_equal(ext(d, MMUEXT_NEW_BASEPTR, PV_ROOT, 0), 0);

    /* the program's: another table for the same addresses */
    assert_int_equal(ext(d, MMUEXT_NEW_USER_BASEPTR, PV_ROOT, 0), 0);
    ring3_switch(c, false, (u64)PV_ROOT << PAGE_SHIFT);
    assert_true(mmu_fill(c, (low + SPARE + 1) << PAGE_SHIFT, TLB_READ));
    ring3_switch(c, true, (u64)PV_ROOT << PAGE_SHIFT);
    assert_int_equal(ext(d, MMUEXT_NEW_USER_BASEPTR, ROOT, 0), 0);
    assert_null(tlb_lookup(&c->tlbs[MMU_USER], (low + SPARE + 1) << PAGE_SHIFT, 1, TLB_READ));
    assert_true(pv_audit_tlb(d));
    assert_int_equal(ext(d, MMUEXT_NEW_USER_BASEPTR, 0, 0), 0);
    assert_int_equal(ext(d, MMUEXT_UNPIN_TABLE, ROOT, 0), 0);
    assert_int_equal(update(d, at(PV_ROOT, 300), 0), 0);
    assert_int_equal(update(d, at(PV_ROOT, 3), 0), 0);
}

/* What comes back with a root table is what it had, and nothing that changed meanwhile. */
static void test_put_aside(void **state)
{
    struct domain *d = *state;
    enum { ROOT = SPARE, DATA };
    const u64 low = 3ul << 27;

    assert_int_equal(update(d, at(PV_ROOT, 3), pte(PV_L3, PTE_RW)), 0);
    memcpy(pv_table_of(d, ROOT), pv_table_of(d, PV_ROOT), PAGE_SIZE);
    assert_int_equal(readonly(d, ROOT), 0);
    assert_int_equal(ext(d, MMUEXT_PIN_L4_TABLE, ROOT, 0), 0);
    touch(d, DATA, TLB_WRITE);
    assert_int_equal(ext(d, MMUEXT_NEW_BASEPTR, ROOT, 0), 0);
    assert_false(in_tlb(d, DATA, TLB_WRITE));
    assert_int_equal(ext(d, MMUEXT_NEW_BASEPTR, PV_ROOT, 0), 0);
    assert_true(in_tlb(d, DATA, TLB_WRITE));

    /* the page is taken away, and becomes a page table, while another root is loaded */
    assert_int_equal(ext(d, MMUEXT_NEW_BASEPTR, ROOT, 0), 0);
    assert_int_equal(readonly(d, DATA), 0);
    assert_int_equal(ext(d, MMUEXT_PIN_L1_TABLE, DATA, 0), 0);
    touch(d, low + DATA, TLB_READ);
    assert_int_equal(ext(d, MMUEXT_NEW_BASEPTR, PV_ROOT, 0), 0);
    assert_false(in_tlb(d, DATA, TLB_WRITE));
    assert_true(pv_audit_tlb(d));

    /* the other root goes, and another one comes in its frame */
    assert_int_equal(ext(d, MMUEXT_UNPIN_TABLE, ROOT, 0), 0);
    pv_table_of(d, ROOT)[3] = 0;
    assert_int_equal(ext(d, MMUEXT_PIN_L4_TABLE, ROOT, 0), 0);
    assert_int_equal(ext(d, MMUEXT_NEW_BASEPTR, ROOT, 0), 0);
    assert_false(in_tlb(d, low + DATA, TLB_READ));
    assert_true(pv_audit_tlb(d));
    assert_int_equal(ext(d, MMUEXT_NEW_BASEPTR, PV_ROOT, 0), 0);
    assert_int_equal(ext(d, MMUEXT_UNPIN_TABLE, ROOT, 0), 0);
    assert_int_equal(ext(d, MMUEXT_UNPIN_TABLE, DATA, 0), 0);
    assert_int_equal(update(d, at(PV_ROOT, 3), 0), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_domain, close_domain)
    const struct CMUnitTest tests[] = {
        TEST(test_builder),   TEST(test_frames),   TEST(test_pin),         TEST(test_levels),
        TEST(test_preserve),  TEST(test_lists),    TEST(test_descriptors), TEST(test_balloon),
        TEST(test_holders),   TEST(test_saved),    TEST(test_stale),       TEST(test_roots),
        TEST(test_put_aside), TEST(test_exchange),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
