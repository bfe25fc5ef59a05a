/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A classic PV domain without code: its memory is mapped from address 0 on by page tables of its
 * own, which the test may change by hypercalls.  pv_audit() counts again what the domain's frames
 * are used as.
 */
#ifndef WIRT_TESTS_PV_PV_DOMAIN_H
#define WIRT_TESTS_PV_PV_DOMAIN_H

#include "domain.h"

#include "cpu/mmu.h"
#include "pv/xen/pv.h"

/* Frames of the first page tables, and of the pages that Xen shares. */
enum { PV_ROOT = 1, PV_L3, PV_L2, PV_L1, PV_L1_HIGH, PV_STORE, PV_CONSOLE, PV_FREE };
enum { PV_RAM_FRAMES = DOMAIN_RAM / PAGE_SIZE };
_Static_assert(PV_RAM_FRAMES <= 1024, "two tables of level 1");

/* Its coverage is none of the fuzzer's business, and it is what fuzzing would wait for. */
#ifdef __clang__
#define PV_AUDIT_PLAIN __attribute__((no_sanitize("address", "undefined", "coverage")))
#else
#define PV_AUDIT_PLAIN
#endif

static inline u64 *pv_table_of(struct domain *d, u64 mfn)
{
    return (u64 *)(d->vm.mem.hva + mfn * PAGE_SIZE);
}

static inline struct cpu *pv_cpu_of(struct domain *d, unsigned n)
{
    return (struct cpu *)d->vm.vcpu[n].e; /* engine_interp.c: its first member */
}

static inline bool pv_domain_translate(struct pv_call *p, u64 lin, bool write, u64 *gpa)
{
    return mmu_probe(p->opaque, lin, write, gpa);
}

static inline s64 pv_call_on(struct domain *d, unsigned n, unsigned nr, u64 a, u64 b, u64 c, u64 e)
{
    u64 gpr[16] = {[RAX] = nr, [RDI] = a, [RSI] = b, [RDX] = c, [R10] = e};
    struct pv_call p = {.vcpu = &d->vm.vcpu[n],
                        .gpr = gpr,
                        .long_mode = true,
                        .translate = pv_domain_translate,
                        .opaque = pv_cpu_of(d, n)};
    unsigned turns = 0;

    do
        d->result = xen_hypercall(d->x, &p);
    while (d->result == PV_AGAIN && ++turns < DOMAIN_TURNS);
    return (s64)gpr[RAX];
}

static inline s64 pv_do(struct domain *d, unsigned nr, u64 a, u64 b, u64 c, u64 e)
{
    return pv_call_on(d, 0, nr, a, b, c, e);
}

/* Page tables as a builder makes them, and the first processor with them. */
static inline void pv_domain_start(struct domain *d)
{
    struct err e = {0};
    const u64 flags = PTE_PRESENT | PTE_RW | PTE_USER | PTE_ACCESSED | PTE_DIRTY;

    memset(d->vm.mem.hva, 0, DOMAIN_RAM);
    pv_table_of(d, PV_ROOT)[0] = PV_L3 << PAGE_SHIFT | flags;
    pv_table_of(d, PV_L3)[0] = PV_L2 << PAGE_SHIFT | flags;
    pv_table_of(d, PV_L2)[0] = PV_L1 << PAGE_SHIFT | flags;
    pv_table_of(d, PV_L2)[1] = PV_L1_HIGH << PAGE_SHIFT | flags;
    for (u64 i = 0; i < PV_RAM_FRAMES; i++) {
        bool table = i >= PV_ROOT && i <= PV_L1_HIGH;
        pv_table_of(d, PV_L1 + i / 512)[i % 512] =
            i << PAGE_SHIFT | (flags & ~(u64)(table ? PTE_RW : 0));
    }
    BUG_ON(xen_pv_start(d->x, PV_ROOT, PV_STORE, PV_CONSOLE, &e));
    for (unsigned i = 0; i < d->vm.ncpus; i++) {
        struct cpu *c = pv_cpu_of(d, i);
        cpu_state_reset(&c->s, true);
        xen_pv_state(&c->s);
        c->s.cr3 = PV_ROOT << PAGE_SHIFT;
        mmu_flush_all(c);
        cpu_derive(c);
        d->x->pv->vcpu[i].c = c;
    }
}

static inline void pv_domain_open(struct domain *d, unsigned cpus)
{
    struct xen_config c = {.pv = true};

    domain_open(d, cpus, &c);
    pv_domain_start(d);
}

/* True when every frame has the uses and references that can be found; more only where a page is
 * writable or merely referred to, by those who hold pages (`holders`). */
PV_AUDIT_PLAIN static inline bool pv_audit(struct domain *d, bool holders)
{
    struct xen_pv *pv = d->x->pv;
    static u32 refs[PV_RAM_FRAMES], uses[PV_RAM_FRAMES];

    memset(refs, 0, sizeof(refs));
    memset(uses, 0, sizeof(uses));
    for (unsigned i = 0; i < d->vm.ncpus; i++) {
        const struct pv_vcpu *v = &pv->vcpu[i];
        const u64 roots[2] = {v->kernel_l4, v->user_l4};
        for (unsigned k = 0; k < 2; k++)
            if (roots[k]) {
                refs[roots[k]]++;
                uses[roots[k]]++;
            }
        for (unsigned k = 0; k < 2 && !i; k++) { /* what Xen's side writes to */
            u64 page = (u64)(d->x->special[k] - d->vm.mem.hva) >> PAGE_SHIFT;
            refs[page]++;
            uses[page]++;
        }
        for (unsigned k = 0; k < (v->gdt_entries + 511) / 512; k++) {
            refs[v->gdt[k]]++;
            uses[v->gdt[k]]++;
        }
    }
    for (u64 m = 0; m < PV_RAM_FRAMES; m++) {
        const struct pv_page *p = &pv->page[m];
        refs[m] += p->pinned;
        uses[m] += p->pinned;
        if (!p->uses || p->type < PT_L1 || p->type > PT_L4)
            continue;
        const u64 *table = (const u64 *)(d->vm.mem.hva + m * PAGE_SIZE);
        for (unsigned i = 0; i < 512; i++) {
            u64 e = table[i], to = (e & PTE_FRAME) >> PAGE_SHIFT;
            if (!(e & PTE_PRESENT))
                continue;
            if (p->type == PT_L4 && i >= PV_L4_FIRST_XEN && i <= PV_L4_LAST_XEN)
                continue;
            if (to >= PV_RAM_FRAMES) {
                if (p->type != PT_L1 || to < pv->heap_frame ||
                    to >= pv->heap_frame + PV_HEAP_FRAMES)
                    return false;
                continue;
            }
            enum pv_type want = p->type > PT_L1 ? (enum pv_type)(p->type - 1) : PT_WRITABLE;
            refs[to]++;
            if (p->type > PT_L1 || e & PTE_RW) {
                uses[to]++;
                if (pv->page[to].type != want)
                    return false;
            }
        }
    }
    for (u64 m = 0; m < PV_RAM_FRAMES; m++) {
        const struct pv_page *p = &pv->page[m];
        bool exact = !holders || (p->uses && p->type != PT_WRITABLE);
        if (p->uses < uses[m] || (exact && p->uses != uses[m]))
            return false;
        if (p->refs < refs[m] || p->refs < p->uses || (!holders && p->refs != refs[m]))
            return false;
    }
    return true;
}

/* The last-level entry for lin below root, with the rights of all levels; 0: none. */
static inline u64 pv_lookup(struct domain *d, u64 root, u64 lin, bool upper[3])
{
    u64 table = root, e = 0;

    upper[0] = upper[1] = true;
    upper[2] = false;
    for (unsigned shift = 39; shift >= 12; shift -= 9) {
        u64 gpa = table << PAGE_SHIFT | (lin >> shift & 511) * 8;
        if (!mem_read(&d->vm.dma, gpa, &e, sizeof(e)) || !(e & PTE_PRESENT))
            return 0;
        upper[0] &= !!(e & PTE_RW);
        upper[1] &= !!(e & PTE_USER);
        upper[2] |= !!(e & PTE_NX);
        if (e & PTE_PSE && shift == 21)
            return e + (lin & (2 * MIB - 1) & ~(u64)PAGE_MASK);
        table = (e & PTE_FRAME) >> PAGE_SHIFT;
    }
    return e;
}

/* True when no TLB remembers anything that the page tables would not give it now, nor a way to
 * write what is no writable page.  (Without threads, nothing waits to be told.) */
static inline bool pv_audit_tlb(struct domain *d)
{
    const struct xen_pv *pv = d->x->pv;

    for (unsigned i = 0; i < d->vm.ncpus * 2; i++) {
        const struct pv_vcpu *v = &pv->vcpu[i / 2];
        if (!v->c)
            continue;
        const struct tlb *t = &v->c->tlbs[i & 1 ? MMU_USER : MMU_KERNEL];
        for (u32 k = 0, n; (n = tlb_used(t, k)) != UINT32_MAX; k++) {
            for (unsigned a = TLB_READ; a <= TLB_EXEC; a++) {
                u64 lin = t->e[n].tag[a];
                bool all[3];
                if (lin == tlb_none(n))
                    continue;
                u64 root = i & 1 ? v->user_l4 : v->kernel_l4;
                u64 e = root ? pv_lookup(d, root, lin, all) : 0;
                u64 mfn = (e & PTE_FRAME) >> PAGE_SHIFT;
                if (!(e & PTE_PRESENT) || (i & 1 && !all[1]) || (a == TLB_EXEC && all[2]))
                    return false;
                if (mfn < pv->frames && t->e[n].host != pv_frame(pv, mfn))
                    return false;
                if (a == TLB_WRITE && (!all[0] || !(e & PTE_DIRTY) ||
                                       (mfn < pv->frames && (!pv->page[mfn].uses ||
                                                             pv->page[mfn].type != PT_WRITABLE))))
                    return false;
            }
        }
    }
    return true;
}

#endif
