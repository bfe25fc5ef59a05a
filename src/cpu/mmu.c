/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linear memory: page walks, the TLB's slow side, MMIO, page crossings.  SDM volume 3, chapter 4.
 *
 * A TLB entry is made only for whole pages of RAM or ROM, and only for the kinds of access that
 * need nothing more: no right to check, no A or D bit to set, nobody to be told.  Everything else
 * comes here each time.  PDPTEs of PAE paging are read from memory at each walk, not held in
 * registers from the last MOV CR3; no guest was seen that depends on the difference.
 *
 * MTRRs and PAT are kept for the guest to read; caching does not show in a software processor.
 */
#include "cpu/mmu.h"

#include "cpu/ring3.h"
#include "cpu/stops.h"

#include <string.h>

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

/* What a walk found out about one page. */
struct walk {
    u64 gpa;       /* of the byte asked for */
    bool user;     /* U in every level */
    bool write;    /* W in every level */
    bool nx;       /* NX in any level */
    bool global;   /* G in the leaf, and CR4.PGE */
    bool dirty;    /* the leaf's D bit, after this access */
    bool accessed; /* its A bit, before it (not from walk_short(), which asks for it) */
    u8 page_shift; /* 12, 21, 22 or 30 */
};

/* Where one page's bytes are for the host; both NULL: MMIO. */
struct place {
    u64 gpa;
    u8 *hva, *whva; /* of the byte asked for */
};

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

static struct place place_of(struct cpu *c, u64 gpa)
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

/* len bytes at hva, inside one page, were written by this CPU. */
static void wrote(struct cpu *c, u8 *hva, u64 len)
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

/* Writes to this page must be told: no writable TLB entry. */
static bool page_told(struct cpu *c, const u8 *hva)
{
    const struct mem *m = &c->vm->mem;

    if (!mem_owns(m, hva))
        return false;
    return __atomic_load_n(&m->page_flags[(u64)(hva - m->hva) >> PAGE_SHIFT], __ATOMIC_SEQ_CST) &
           (PAGE_CODE | PAGE_WATCH);
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
        wrote(c, p, size);
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

/* Whether the access is allowed by what the walk collected. */
static bool rights_ok(const struct cpu *c, const struct walk *w, u32 acc, unsigned idx)
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

enum { WALK_OK = -1, WALK_AGAIN = -2 };

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
    if (!rights_ok(c, w, acc, idx))
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
        return (w->dirty || !(acc & PF_W)) && rights_ok(c, w, acc, idx);
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
    return rights_ok(c, w, acc, idx);
}

/* The same with paging off, and with entries that change under the walk. */
static int walk(struct cpu *c, u64 lin, u32 acc, unsigned idx, bool update, struct walk *w)
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

/* The error code of #PF; error: what walk() gave. */
static u32 fault_error(const struct cpu *c, u32 error, u32 acc, unsigned idx)
{
    error |= acc & PF_W;
    if (idx == MMU_USER)
        error |= PF_U;
    bool nx_on = (c->s.efer & EFER_NXE) && (c->s.cr4 & CR4_PAE);
    if ((acc & PF_I) && (nx_on || (c->s.cr4 & CR4_SMEP)))
        error |= PF_I;
    return error;
}

static _Noreturn void page_fault(struct cpu *c, u64 lin, u32 error, u32 acc, unsigned idx)
{
    c->s.cr2 = lin;
    cpu_raise(c, EXC_PF, fault_error(c, error, acc, idx));
}

static unsigned large_hash(u64 lin)
{
    return (lin >> 21 ^ lin >> 33) & 4095;
}

void mmu_before_flush(struct cpu *c)
{
    if (unlikely(vcpu_events(c->vcpu) & VCPU_CODE))
        mmu_sync_code(c);
}

static void tlb_fill(struct cpu *c, u64 lin, unsigned idx, const struct walk *w,
                     const struct place *p)
{
    u64 page = lin & ~(u64)PAGE_MASK, none = tlb_none(tlb_index(lin));
    struct tlb_entry *e = tlb_entry(&c->tlbs[idx], lin);
    bool write =
        w->dirty && p->whva == p->hva && rights_ok(c, w, PF_W, idx) && !page_told(c, p->hva);

    if (e->tag[TLB_READ] != page && e->tag[TLB_WRITE] != page && e->tag[TLB_EXEC] != page)
        tlb_note(&c->tlbs[idx], tlb_index(lin), w->global || ring3_stays(c, lin, idx));
    e->host = p->hva - (lin & PAGE_MASK);
    bool watched =
        unlikely(c->debug & CPU_WATCHES) &&
        debug_watches(&c->vm->debug, page, PAGE_SIZE, BIT(DEBUG_READ) | BIT(DEBUG_WRITE));
    e->tag[TLB_READ] = rights_ok(c, w, 0, idx) && !watched ? page : none;
    e->tag[TLB_WRITE] = write && !watched ? page : none;
    e->tag[TLB_EXEC] = rights_ok(c, w, PF_I, idx) ? page : none;
    if (w->page_shift > 22)
        c->tlb_huge = true;
    else if (w->page_shift > 12)
        c->tlb_large[large_hash(lin) >> 6] |= BIT64(large_hash(lin) & 63);
}

/* Finds a byte for an access; raises #PF. */
static struct place translate(struct cpu *c, u64 lin, u32 acc, unsigned idx)
{
    struct walk w;

    if (unlikely(c->divert) && align_down(lin, PAGE_SIZE) == c->divert_page && !(acc & PF_I)) {
        u8 *copy = c->divert + (lin & PAGE_MASK);
        return (struct place){.hva = copy, .whva = copy};
    }
    int rc = walk(c, lin, acc, idx, true, &w);
    if (unlikely(rc != WALK_OK))
        page_fault(c, lin, (u32)rc, acc, idx);
    struct place p = place_of(c, w.gpa);
    if (p.hva) {
        mmu_before_flush(c);
        tlb_fill(c, lin, idx, &w, &p);
    }
    return p;
}

/* ------------------------------------------------ pieces inside one page -- */

/* For lockstep; hva NULL: a device. */
static void log_write(struct cpu *c, const u8 *hva, unsigned len)
{
    struct write_log *l = c->log;

    if (!hva || len > WRITE_LOG_BYTES || l->count == WRITE_LOG_MAX) {
        l->broken = true;
        return;
    }
    struct write_entry *w = &l->entry[l->count++];
    w->hva = (u8 *)hva;
    w->len = len;
    memcpy(w->old, hva, len);
}

/* True: nothing else may be done. */
static bool logged(struct cpu *c, const u8 *hva, unsigned len, bool write)
{
    if (likely(!c->log))
        return false;
    if (write || !hva)
        log_write(c, hva, len);
    return c->log->broken;
}

static u64 place_read(struct cpu *c, const struct place *p, unsigned size)
{
    if (unlikely(logged(c, p->hva, size, false)))
        return 0;
    return p->hva ? host_load(p->hva, size) : bus_read(&c->vm->mmio, p->gpa, size);
}

static void place_write(struct cpu *c, const struct place *p, unsigned size, u64 v)
{
    if (unlikely(logged(c, p->whva, size, true)))
        return;
    if (p->whva) {
        host_store(p->whva, size, v);
        wrote(c, p->whva, size);
    } else if (!p->hva) {
        bus_write(&c->vm->mmio, p->gpa, size, v);
        c->leave = true; /* a device may have raised an interrupt or moved memory */
    }
}

static void place_read_bytes(struct cpu *c, const struct place *p, u8 *buf, unsigned len)
{
    if (unlikely(logged(c, p->hva, len, false))) {
        memset(buf, 0, len);
        return;
    }
    if (p->hva) {
        memcpy(buf, p->hva, len);
        return;
    }
    for (unsigned i = 0; i < len;) {
        unsigned n = len - i >= 8 ? 8 : len - i >= 4 ? 4 : 1;
        u64 v = bus_read(&c->vm->mmio, p->gpa + i, n);
        memcpy(buf + i, &v, n);
        i += n;
    }
}

static void place_write_bytes(struct cpu *c, const struct place *p, const u8 *buf, unsigned len)
{
    if (unlikely(logged(c, p->whva, len, true)))
        return;
    if (p->whva) {
        memcpy(p->whva, buf, len);
        wrote(c, p->whva, len);
        return;
    }
    if (p->hva)
        return;
    for (unsigned i = 0; i < len;) {
        unsigned n = len - i >= 8 ? 8 : len - i >= 4 ? 4 : 1;
        u64 v = 0;
        memcpy(&v, buf + i, n);
        bus_write(&c->vm->mmio, p->gpa + i, n, v);
        i += n;
    }
}

/* ------------------------------------------------ accesses -- */

/* Outside long mode linear addresses wrap at 4 GiB. */
static u64 lin_add(const struct cpu *c, u64 lin, u64 n)
{
    return c->long_mode ? lin + n : (u32)(lin + n);
}

static unsigned bytes_in_page(u64 lin)
{
    return PAGE_SIZE - (unsigned)(lin & PAGE_MASK);
}

/* Data breakpoints and alignment checks: why c->tlb is the one that is never filled. */
static void slow_checks(struct cpu *c, u64 lin, unsigned size, bool write)
{
    if (unlikely(c->debug & CPU_WATCHES))
        stops_look_at(c, lin, size, write);
    if (c->tlb != &c->tlbs[MMU_SLOW])
        return;
    for (unsigned i = 0; i < 4; i++) {
        unsigned rw = c->s.dr[7] >> (16 + 4 * i) & 3;
        unsigned len = (c->s.dr[7] >> (18 + 4 * i) & 3);
        u64 bytes = len == 2 ? 8 : len + 1;
        u64 addr = c->s.dr[i] & ~(bytes - 1);
        if (!(c->s.dr[7] >> (2 * i) & 3) || !(rw == 3 || (rw == 1 && write)))
            continue;
        if (lin < addr + bytes && addr < lin + size) {
            c->dr6_pending |= BIT(i);
            c->leave = true;
        }
    }
    if (c->user && (c->s.rflags & FLAG_AC) && (c->s.cr0 & CR0_AM) && size <= 8 &&
        (lin & (size - 1)))
        cpu_raise(c, EXC_AC, 0);
}

static u64 read_as(struct cpu *c, u64 lin, unsigned size, unsigned idx)
{
    unsigned first = bytes_in_page(lin);
    u64 v = 0;

    if (likely(size <= first)) {
        struct place p = translate(c, lin, 0, idx);
        return place_read(c, &p, size);
    }
    struct place a = translate(c, lin, 0, idx);
    struct place b = translate(c, lin_add(c, lin, first), 0, idx);
    place_read_bytes(c, &a, (u8 *)&v, first);
    place_read_bytes(c, &b, (u8 *)&v + first, size - first);
    return v;
}

static void write_as(struct cpu *c, u64 lin, unsigned size, u64 v, unsigned idx)
{
    unsigned first = bytes_in_page(lin);

    if (likely(size <= first)) {
        struct place p = translate(c, lin, PF_W, idx);
        place_write(c, &p, size, v);
        return;
    }
    struct place a = translate(c, lin, PF_W, idx);
    struct place b = translate(c, lin_add(c, lin, first), PF_W, idx);
    place_write_bytes(c, &a, (u8 *)&v, first);
    place_write_bytes(c, &b, (u8 *)&v + first, size - first);
}

u64 mmu_read_slow(struct cpu *c, u64 lin, unsigned size)
{
    slow_checks(c, lin, size, false);
    return read_as(c, lin, size, c->mmu_idx);
}

void mmu_write_slow(struct cpu *c, u64 lin, unsigned size, u64 v)
{
    slow_checks(c, lin, size, true);
    write_as(c, lin, size, v, c->mmu_idx);
}

u64 mmu_read_sys(struct cpu *c, u64 lin, unsigned size)
{
    const void *p = tlb_lookup(&c->tlbs[MMU_KERNEL], lin, size, TLB_READ);
    return likely(p) ? host_load(p, size) : read_as(c, lin, size, MMU_KERNEL);
}

void mmu_write_sys(struct cpu *c, u64 lin, unsigned size, u64 v)
{
    void *p = tlb_lookup(&c->tlbs[MMU_KERNEL], lin, size, TLB_WRITE);
    if (likely(p))
        host_store(p, size, v);
    else
        write_as(c, lin, size, v, MMU_KERNEL);
}

void mmu_read_bytes(struct cpu *c, u64 lin, void *buf, unsigned len)
{
    const void *q = tlb_lookup(c->tlb, lin, len, TLB_READ);
    if (likely(q)) {
        memcpy(buf, q, len);
        return;
    }
    unsigned first = min(len, bytes_in_page(lin));
    slow_checks(c, lin, len, false);
    struct place a = translate(c, lin, 0, c->mmu_idx), b;
    if (first < len)
        b = translate(c, lin_add(c, lin, first), 0, c->mmu_idx);
    place_read_bytes(c, &a, buf, first);
    if (first < len)
        place_read_bytes(c, &b, (u8 *)buf + first, len - first);
}

void mmu_write_bytes(struct cpu *c, u64 lin, const void *buf, unsigned len)
{
    void *q = tlb_lookup(c->tlb, lin, len, TLB_WRITE);
    if (likely(q)) {
        memcpy(q, buf, len);
        return;
    }
    unsigned first = min(len, bytes_in_page(lin));
    slow_checks(c, lin, len, true);
    struct place a = translate(c, lin, PF_W, c->mmu_idx), b;
    if (first < len)
        b = translate(c, lin_add(c, lin, first), PF_W, c->mmu_idx);
    place_write_bytes(c, &a, buf, first);
    if (first < len)
        place_write_bytes(c, &b, (const u8 *)buf + first, len - first);
}

void mmu_probe_write(struct cpu *c, u64 lin, unsigned len)
{
    unsigned first = min(len, bytes_in_page(lin));

    if (tlb_lookup(c->tlb, lin, len, TLB_WRITE))
        return;
    slow_checks(c, lin, len, true);
    translate(c, lin, PF_W, c->mmu_idx);
    if (first < len)
        translate(c, lin_add(c, lin, first), PF_W, c->mmu_idx);
}

void *mmu_rmw(struct cpu *c, u64 lin, unsigned size)
{
    void *q = tlb_lookup(c->tlb, lin, size, TLB_WRITE);

    c->rmw_hva = NULL;
    if (likely(q))
        return q;
    if (size > bytes_in_page(lin))
        return NULL;
    if (unlikely(c->debug & CPU_WATCHES))
        stops_look_at(c, lin, size, false);
    slow_checks(c, lin, size, true);
    struct place p = translate(c, lin, PF_W, c->mmu_idx);
    if (!p.hva || p.hva != p.whva)
        return NULL;
    if (unlikely(c->log))
        log_write(c, p.hva, size);
    if (page_told(c, p.hva))
        c->rmw_hva = p.hva;
    return p.hva;
}

void mmu_rmw_done(struct cpu *c, u64 lin, unsigned size)
{
    u8 *hva = c->rmw_hva;

    if (unlikely(hva)) {
        c->rmw_hva = NULL;
        wrote(c, hva, size);
    }
}

void mmu_split_lock(struct cpu *c)
{
    pthread_mutex_lock(&c->vm->split_lock);
    c->split_locked = true;
}

void mmu_split_unlock(struct cpu *c)
{
    c->split_locked = false;
    pthread_mutex_unlock(&c->vm->split_lock);
}

/* ------------------------------------------------ code -- */

const u8 *mmu_code(struct cpu *c, u64 lin, u64 *ram_off)
{
    const struct mem *m = &c->vm->mem;
    const u8 *hva = tlb_lookup(&c->tlbs[c->mmu_idx], lin, 1, TLB_EXEC);

    if (unlikely(!hva))
        hva = translate(c, lin, PF_I, c->mmu_idx).hva;
    *ram_off = hva && mem_owns(m, hva) ? (u64)(hva - m->hva) : UINT64_MAX;
    return hva;
}

u8 mmu_fetch_byte(struct cpu *c, u64 lin)
{
    struct place p = translate(c, lin, PF_I, c->mmu_idx);
    return (u8)place_read(c, &p, 1);
}

/* ------------------------------------------------ for translated code -- */

bool mmu_fill(struct cpu *c, u64 lin, enum tlb_access a)
{
    u32 acc = a == TLB_WRITE ? PF_W : a == TLB_EXEC ? PF_I : 0;
    struct walk w;

    c->fill_error = NO_ERROR_CODE;
    if (c->tlb == &c->tlbs[MMU_SLOW] && a != TLB_EXEC)
        return false;
    if (unlikely(vcpu_events(c->vcpu) & VCPU_CODE))
        return false; /* mmu_sync_code() calls what may use vector registers */
    if (c->long_mode && !canonical(lin))
        return false;
    int rc = walk(c, lin, acc, c->mmu_idx, true, &w);
    if (rc != WALK_OK) {
        c->fill_error = fault_error(c, (u32)rc, acc, c->mmu_idx);
        return false;
    }
    struct place p = place_of(c, w.gpa);
    if (!p.hva)
        return false;
    tlb_fill(c, lin, c->mmu_idx, &w, &p);
    return tlb_lookup(&c->tlbs[c->mmu_idx], lin, 1, a) != NULL;
}

bool mmu_look(struct cpu *c, u64 lin, struct mmu_page *page)
{
    struct walk w;

    if (!c->long_mode || !canonical(lin) || walk(c, lin, 0, MMU_USER, false, &w) != WALK_OK ||
        !w.accessed)
        return false;
    struct place p = place_of(c, w.gpa);
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
    return walk(c, lin, PF_I, c->mmu_idx, false, &w) == WALK_OK && w.global;
}

/* ------------------------------------------------ maintenance -- */

void mmu_flush_tlb(struct cpu *c, bool global_too)
{
    mmu_before_flush(c);
    c->tlb_epoch++;
    c->walk_epoch[0]++;
    c->walk_epoch[1]++;
    code_map_flush(&c->code_map, global_too);
    for (unsigned i = 0; i < MMU_SLOW; i++)
        tlb_flush(&c->tlbs[i], global_too);
    if (global_too) {
        memset(c->tlb_large, 0, sizeof(c->tlb_large));
        c->tlb_huge = false;
    }
}

void mmu_flush(struct cpu *c, bool global_too)
{
    mmu_drop_pcids(c);
    mmu_flush_tlb(c, global_too);
    if (c->shadow)
        c->shadow->flush(c->shadow, true);
}

void mmu_flush_loaded(struct cpu *c)
{
    mmu_flush_tlb(c, false);
    if (c->shadow)
        c->shadow->flush(c->shadow, false);
}

void mmu_flush_all(struct cpu *c)
{
    mmu_flush(c, true);
    memset(c->ram, 0, sizeof(c->ram));
}

u8 tlb_nowhere[PAGE_SIZE];

void mmu_init(struct cpu *c)
{
    c->tlb_epoch = c->walk_epoch[0] = c->walk_epoch[1] = 1;
    for (unsigned i = 0; i < MMU_IDX_COUNT; i++)
        tlb_init(&c->tlbs[i]);
}

static void drop_entry(struct cpu *c, u64 lin)
{
    for (unsigned i = 0; i < MMU_SLOW; i++)
        tlb_entry_clear(&c->tlbs[i], tlb_index(lin));
}

void mmu_flush_page(struct cpu *c, u64 lin)
{
    mmu_before_flush(c);
    c->tlb_epoch++;
    c->walk_epoch[0]++;
    c->walk_epoch[1]++;
    c->code_map.page[code_map_index(lin)] = 0;
    if (c->shadow)
        c->shadow->flush_page(c->shadow, lin);
    if (c->tlb_huge) {
        mmu_flush(c, true);
        return;
    }
    drop_entry(c, lin);
    if (c->tlb_large[large_hash(lin) >> 6] >> (large_hash(lin) & 63) & 1) {
        /* 32-bit paging's large pages are two such regions */
        code_map_flush(&c->code_map, true);
        u64 span = c->s.cr4 & CR4_PAE ? 2 * MIB : 4 * MIB;
        for (u64 l = align_down(lin, span), end = l + span; l != end; l += PAGE_SIZE)
            drop_entry(c, l);
    }
}

bool mmu_debug_translate(struct cpu *c, u64 lin, u64 *gpa)
{
    struct walk w;

    if (c->long_mode ? !canonical(lin) : lin >> 32)
        return false;
    if (walk(c, lin, 0, MMU_KERNEL_AC, false, &w) != WALK_OK)
        return false;
    *gpa = w.gpa;
    return true;
}

bool mmu_probe(struct cpu *c, u64 lin, bool write, u64 *gpa)
{
    struct walk w;

    if (c->long_mode && !canonical(lin))
        return false;
    if (walk(c, lin, write ? PF_W : 0, MMU_KERNEL_AC, true, &w) != WALK_OK)
        return false;
    *gpa = w.gpa;
    return true;
}
