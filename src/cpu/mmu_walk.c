/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page walks of every paging mode.  SDM volume 3, chapter 4.
 *
 * PDPTEs of PAE paging are read from memory at each walk, not held in registers from the last MOV
 * CR3; no guest was seen that depends on the difference.
 */
#include "cpu/mmu_walk.h"

#include "cpu/ring3.h"

enum {
    PTE_P = 1 << 0,
    PTE_W = 1 << 1,
    PTE_U = 1 << 2,
    PTE_A = 1 << 5,
    PTE_D = 1 << 6,
    PTE_PS = 1 << 7,
    PTE_G = 1 << 8,
    PDE_PAT = 1 << 12,
};
#define PTE_NX   BIT64(63)
#define PTE_ADDR 0x000ffffffffff000ull

/* ------------------------------------------------ physical memory -- */

static struct ram_range *ram_find(struct cpu *c, u64 gpa)
{
    for (unsigned i = 0; i < ARRAY_SIZE(c->ram); i++) {
        if (gpa - c->ram[i].base < c->ram[i].size)
            return &c->ram[i];
    }
    struct region *r = bus_find(&c->vm->mmio, gpa);
    if (!r || r->ops || !r->hva)
        return NULL;
    u64 rbase = r->base;
    u64 first = align_up(rbase, PAGE_SIZE), end = align_down(rbase + r->size, PAGE_SIZE);
    if (gpa < first || gpa >= end || ((uintptr_t)r->hva - rbase) & PAGE_MASK)
        return NULL;
    c->ram[1] = c->ram[0];
    c->ram[0] = (struct ram_range){
        .base = first,
        .size = end - first,
        .hva = r->hva + (first - rbase),
        .whva = r->whva ? r->whva + (first - rbase) : NULL,
    };
    return &c->ram[0];
}

/* The A20 gate: what address lines leave the processor. */
static u64 a20(const struct cpu *c, u64 gpa)
{
    return gpa & __atomic_load_n(&c->vm->a20_mask, __ATOMIC_RELAXED);
}

struct place mmu_place(struct cpu *c, u64 gpa)
{
    gpa = a20(c, gpa);
    struct place p = {.gpa = gpa};
    struct ram_range *r = ram_find(c, gpa);
    if (likely(r)) {
        p.hva = r->hva + (gpa - r->base);
        p.whva = r->whva ? r->whva + (gpa - r->base) : NULL;
    }
    return p;
}

void mmu_wrote(struct cpu *c, u8 *hva, u64 len)
{
    struct mem *m = &c->vm->mem;

    if (!mem_owns(m, hva))
        return;
    u8 flags = __atomic_load_n(&m->page_flags[(u64)(hva - m->hva) >> PAGE_SHIFT], __ATOMIC_RELAXED);
    if (likely(!flags))
        return;
    mem_wrote(m, hva, len);
    if (flags & PAGE_CODE) {
        c->code_changed = true;
        c->leave = true;
    }
}

/* ------------------------------------------------ page walks -- */

static u64 pte_load(struct cpu *c, u64 gpa, unsigned size)
{
    struct ram_range *r = ram_find(c, gpa);
    if (unlikely(!r))
        return bus_read(&c->vm->mmio, gpa, size);
    const u8 *p = r->hva + (gpa - r->base);
    return size == 8 ? __atomic_load_n((const u64 *)p, __ATOMIC_ACQUIRE)
                     : __atomic_load_n((const u32 *)p, __ATOMIC_ACQUIRE);
}

/* Sets bits of an entry if it still is what the walk saw; false = it changed, walk again. */
static bool pte_set(struct cpu *c, u64 gpa, unsigned size, u64 seen, u64 bits)
{
    struct ram_range *r = ram_find(c, gpa);
    bool done;

    if (!r || !r->whva)
        return true; /* tables in ROM or MMIO: the bits cannot be kept */
    u8 *p = r->whva + (gpa - r->base);
    if (size == 8) {
        u64 old = seen;
        done = __atomic_compare_exchange_n((u64 *)p, &old, seen | bits, false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_RELAXED);
    } else {
        u32 old = (u32)seen;
        done = __atomic_compare_exchange_n((u32 *)p, &old, (u32)(seen | bits), false,
                                           __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    }
    if (done)
        mmu_wrote(c, p, size);
    return done || p != r->hva + (gpa - r->base);
}

/* How a paging mode's tables look, from the top. */
struct paging {
    u8 levels;
    u8 bits;     /* index bits a level; the top level of PAE has 2 */
    u8 pte_size; /* 4 or 8 */
    u64 root;
};

static struct paging paging_mode(const struct cpu *c)
{
    if (c->long_mode)
        return (struct paging){4, 9, 8, c->s.cr3 & PTE_ADDR};
    if (c->s.cr4 & CR4_PAE)
        return (struct paging){3, 9, 8, c->s.cr3 & 0xffffffe0u};
    return (struct paging){2, 10, 4, c->s.cr3 & 0xfffff000u};
}

/* Reserved bits of an entry at this level (1 = page table). */
static u64 pte_reserved(const struct cpu *c, const struct paging *pg, unsigned level, bool large)
{
    u64 above = ~(BIT64(c->model->phys_bits) - 1);
    u64 rsvd;

    if (pg->pte_size == 4)
        return large ? BIT64(21) : 0;
    if (!c->long_mode && level == 3)
        return above | 0x1e6;
    rsvd = above & 0x000fffffffffffffull;
    if (!c->long_mode)
        rsvd |= 0x7ff0000000000000ull;
    if (!(c->s.efer & EFER_NXE))
        rsvd |= PTE_NX;
    if (level == 4)
        rsvd |= PTE_PS;
    if (level == 3 && !cpuid_has(c->model, FEAT_pdpe1gb))
        rsvd |= PTE_PS;
    if (large)
        rsvd |= level == 3 ? 0x3fffe000 : 0x001fe000;
    return rsvd;
}

static bool pte_is_leaf(const struct cpu *c, const struct paging *pg, unsigned level, u64 pte)
{
    if (level == 1)
        return true;
    if (!(pte & PTE_PS))
        return false;
    if (pg->pte_size == 4)
        return level == 2 && (c->s.cr4 & CR4_PSE);
    return level == 2 || (level == 3 && c->long_mode);
}

/* The entry of a large page of 32-bit paging carries address bits 39-32 in bits 20-13 (PSE-36). */
static u64 leaf_address(const struct paging *pg, unsigned level, u64 pte)
{
    if (pg->pte_size == 4)
        return level == 2 ? (pte & 0xffc00000u) | (pte >> 13 & 0xff) << 32 : pte & 0xfffff000u;
    return pte & PTE_ADDR;
}

bool mmu_allows(const struct cpu *c, const struct walk *w, u32 acc, unsigned idx)
{
    if (acc & PF_I) {
        if (w->nx)
            return false;
        if (idx == MMU_USER)
            return w->user;
        return !(w->user && (c->s.cr4 & CR4_SMEP));
    }
    if (idx == MMU_USER)
        return w->user && (w->write || !(acc & PF_W));
    if (w->user && idx == MMU_KERNEL && (c->s.cr4 & CR4_SMAP))
        return false;
    return w->write || !(acc & PF_W) || !(c->s.cr0 & CR0_WP);
}

enum { WALK_AGAIN = -2 };

/* Keeps what a successful walk of 4-level paging found above its last level. */
static void walk_keep(struct cpu *c, u64 lin, const struct walk *w, const struct walk *upper,
                      u64 table)
{
    struct walk_cache *k = mmu_walk_slot(c, lin);
    const struct walk *from = w->page_shift == 12 ? upper : w;

    if (w->page_shift > 21)
        return;
    *k = (struct walk_cache){
        .tag = lin >> 21 | c->walk_side,
        .epoch = *mmu_walk_epoch(c, lin),
        .gpa = align_down(w->gpa, 2 * MIB),
        .user = from->user,
        .write = from->write,
        .nx = from->nx,
        .global = w->global,
        .dirty = w->dirty,
    };
    if (w->page_shift == 12) {
        struct ram_range *r = ram_find(c, table);
        if (r)
            k->table = r->hva + (table - r->base);
        else
            k->tag = UINT64_MAX;
    }
}

/*
 * Walks for an access (PF_W, PF_I or 0) with the rights of idx.  WALK_OK, or the P and RSVD bits of
 * the error code.  `update`: sets accessed and dirty bits; WALK_AGAIN when an entry changed
 * meanwhile.
 */
static int walk_once(struct cpu *c, u64 lin, u32 acc, unsigned idx, bool update, struct walk *w)
{
    struct paging pg = paging_mode(c);
    u64 entry_gpa[4], entry[4], table = pg.root;
    unsigned level = pg.levels, shift = 12 + pg.bits * (pg.levels - 1);

    struct walk upper;

    *w = (struct walk){.user = true, .write = true};
    for (;; level--, shift -= pg.bits) {
        u64 index = lin >> shift & (BIT64(pg.bits) - 1);
        bool pdpte = !c->long_mode && level == 3;
        if (pdpte)
            index &= 3;
        if (unlikely(c->vm->pv.walked))
            ring3_walked(c, table, lin, shift + pg.bits);
        entry_gpa[level - 1] = a20(c, table + index * pg.pte_size);
        u64 pte = pte_load(c, entry_gpa[level - 1], pg.pte_size);
        entry[level - 1] = pte;
        if (!(pte & PTE_P))
            return 0;
        bool leaf = pte_is_leaf(c, &pg, level, pte);
        if (pte & pte_reserved(c, &pg, level, leaf && level > 1))
            return PF_P | PF_RSVD;
        if (leaf)
            upper = *w;
        if (!pdpte) {
            w->user &= !!(pte & PTE_U);
            w->write &= !!(pte & PTE_W);
            w->nx |= pg.pte_size == 8 && (pte & PTE_NX);
        }
        if (leaf)
            break;
        table = pg.pte_size == 8 ? pte & PTE_ADDR : pte & 0xfffff000u;
    }
    u64 in_page = BIT64(shift) - 1;
    u64 leaf_pte = entry[level - 1];
    w->page_shift = (u8)shift;
    w->gpa = (leaf_address(&pg, level, leaf_pte) & ~in_page) | (lin & in_page);
    if (!mmu_allows(c, w, acc, idx))
        return PF_P;
    if (update) {
        for (unsigned l = pg.levels; l >= level; l--) {
            u64 want = !c->long_mode && l == 3 ? 0 : PTE_A;
            if (l == level && (acc & PF_W))
                want |= PTE_D;
            if (want & ~entry[l - 1]) {
                if (!pte_set(c, entry_gpa[l - 1], pg.pte_size, entry[l - 1], want))
                    return WALK_AGAIN;
            }
        }
    }
    w->global = (leaf_pte & PTE_G) && (c->s.cr4 & CR4_PGE);
    w->dirty = (leaf_pte & PTE_D) || (acc & PF_W);
    w->accessed = leaf_pte & PTE_A;
    if (c->long_mode && update)
        walk_keep(c, lin, w, &upper, table);
    return WALK_OK;
}

/* Does the last step of a walk from what was kept; false: walk from the top.  Whatever is out of
 * the ordinary (faults, A and D bits to be set) is left to that. */
static bool walk_short(struct cpu *c, u64 lin, u32 acc, unsigned idx, struct walk *w)
{
    const struct walk_cache *k = mmu_walk_slot(c, lin);

    if (k->tag != (lin >> 21 | c->walk_side) || k->epoch != *mmu_walk_epoch(c, lin))
        return false;
    *w = (struct walk){.user = k->user, .write = k->write, .nx = k->nx};
    if (!k->table) {
        w->page_shift = 21;
        w->gpa = k->gpa | (lin & (2 * MIB - 1));
        w->global = k->global;
        w->dirty = k->dirty;
        return (w->dirty || !(acc & PF_W)) && mmu_allows(c, w, acc, idx);
    }
    u64 pte = __atomic_load_n((const u64 *)k->table + (lin >> 12 & 511), __ATOMIC_ACQUIRE);
    u64 want = PTE_P | PTE_A | (acc & PF_W ? PTE_D : 0);
    struct paging pg = {.levels = 4, .bits = 9, .pte_size = 8};
    if ((pte & want) != want || pte & pte_reserved(c, &pg, 1, false))
        return false;
    w->page_shift = 12;
    w->gpa = (pte & PTE_ADDR) | (lin & PAGE_MASK);
    w->user &= !!(pte & PTE_U);
    w->write &= !!(pte & PTE_W);
    w->nx |= !!(pte & PTE_NX);
    w->global = (pte & PTE_G) && (c->s.cr4 & CR4_PGE);
    w->dirty = !!(pte & PTE_D);
    return mmu_allows(c, w, acc, idx);
}

/* Also with paging off, and with entries that change under the walk. */
int mmu_walk(struct cpu *c, u64 lin, u32 acc, unsigned idx, bool update, struct walk *w)
{
    int rc;

    if (!(c->s.cr0 & CR0_PG)) {
        *w = (struct walk){
            .gpa = (u32)lin, .user = true, .write = true, .dirty = true, .page_shift = 12};
        return WALK_OK;
    }
    if (c->long_mode && update && walk_short(c, lin, acc, idx, w))
        return WALK_OK;
    do
        rc = walk_once(c, lin, acc, idx, update, w);
    while (rc == WALK_AGAIN);
    return rc;
}

/* ------------------------------------------------ looking -- */

bool mmu_look(struct cpu *c, u64 lin, struct mmu_page *page)
{
    struct walk w;

    if (!c->long_mode || !canonical(lin) || mmu_walk(c, lin, 0, MMU_USER, false, &w) != WALK_OK ||
        !w.accessed)
        return false;
    struct place p = mmu_place(c, w.gpa);
    if (!p.hva || !mem_owns(&c->vm->mem, p.hva))
        return false;
    *page = (struct mmu_page){
        .ram_page = (u64)(p.hva - c->vm->mem.hva) >> PAGE_SHIFT,
        .write = w.write && w.dirty && p.whva == p.hva,
        .exec = !w.nx,
        .large = w.page_shift > 12,
    };
    return true;
}

bool mmu_global(struct cpu *c, u64 lin)
{
    struct walk w;

    if (ring3_stays(c, lin, c->mmu_idx))
        return true;
    if (!(c->s.cr4 & CR4_PGE))
        return false;
    return mmu_walk(c, lin, PF_I, c->mmu_idx, false, &w) == WALK_OK && w.global;
}

bool mmu_debug_translate(struct cpu *c, u64 lin, u64 *gpa)
{
    struct walk w;

    if (c->long_mode ? !canonical(lin) : lin >> 32)
        return false;
    if (mmu_walk(c, lin, 0, MMU_KERNEL_AC, false, &w) != WALK_OK)
        return false;
    *gpa = w.gpa;
    return true;
}

bool mmu_probe(struct cpu *c, u64 lin, bool write, u64 *gpa)
{
    struct walk w;

    if (c->long_mode && !canonical(lin))
        return false;
    if (mmu_walk(c, lin, write ? PF_W : 0, MMU_KERNEL_AC, true, &w) != WALK_OK)
        return false;
    *gpa = w.gpa;
    return true;
}
