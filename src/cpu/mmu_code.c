/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages that hold decoded or translated code (PAGE_CODE), and video memory that a display has just
 * drawn (PAGE_WATCH): writes to them must be told, so no CPU may keep a writable TLB entry for one.
 *
 * The CPU that starts to run a page sets the flag, asks the others (VCPU_CODE), and only then reads
 * the bytes.  Another CPU may write through an old entry until it notices: when it gives the entry
 * up it tells of a write to the whole page, and it looks before any flush or refill could make it
 * forget.  So what was decoded meanwhile is looked at again.
 */
#include "cpu/mmu.h"

void mmu_protect_code(struct cpu *c, u64 ram_off)
{
    struct vm *vm = c->vm;
    const u8 *hva = vm->mem.hva + (ram_off & ~(u64)PAGE_MASK);
    u8 *flags = &vm->mem.page_flags[ram_off >> PAGE_SHIFT];

    if (__atomic_load_n(flags, __ATOMIC_RELAXED) & PAGE_CODE)
        return;
    if (__atomic_fetch_or(flags, PAGE_CODE, __ATOMIC_SEQ_CST) & PAGE_CODE)
        return;
    for (unsigned i = 0; i < MMU_SLOW; i++) {
        struct tlb *t = &c->tlbs[i];
        for (u32 k = 0, n; (n = tlb_used(t, k)) != UINT32_MAX; k++) {
            if (t->e[n].host == hva)
                t->e[n].tag[TLB_WRITE] = tlb_none(n);
        }
    }
    if (c->shadow)
        c->shadow->sync(c->shadow, ram_off >> PAGE_SHIFT);
    for (unsigned i = 0; i < vm->ncpus; i++) {
        if (&vm->vcpu[i] != c->vcpu)
            vcpu_raise(&vm->vcpu[i], VCPU_CODE);
    }
}

/* Entry n of t may have been used to write to a page that got PAGE_CODE or PAGE_WATCH meanwhile. */
static void sync_entry(struct cpu *c, struct tlb *t, unsigned n)
{
    struct mem *m = &c->vm->mem;
    struct tlb_entry *e = &t->e[n];

    if (e->tag[TLB_WRITE] == tlb_none(n) || !mem_owns(m, e->host))
        return;
    u64 off = (u64)(e->host - m->hva);
    if (!(__atomic_load_n(&m->page_flags[off >> PAGE_SHIFT], __ATOMIC_SEQ_CST) &
          (PAGE_CODE | PAGE_WATCH)))
        return;
    e->tag[TLB_WRITE] = tlb_none(n);
    mem_wrote(m, e->host, PAGE_SIZE);
}

void mmu_sync_code(struct cpu *c)
{
    vcpu_lower(c->vcpu, VCPU_CODE);
    for (unsigned i = 0; i < MMU_SLOW; i++) {
        struct tlb *t = &c->tlbs[i];
        for (u32 k = 0, n; (n = tlb_used(t, k)) != UINT32_MAX; k++)
            sync_entry(c, t, n);
    }
    if (c->shadow)
        c->shadow->sync(c->shadow, UINT64_MAX);
}

void mmu_unprotect_code(struct cpu *c, u64 ram_off)
{
    struct mem *m = &c->vm->mem;

    __atomic_fetch_and(&m->page_flags[ram_off >> PAGE_SHIFT], (u8)~PAGE_CODE, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&m->page_gen[ram_off >> PAGE_SHIFT], 1, __ATOMIC_SEQ_CST);
}
