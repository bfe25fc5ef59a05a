/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linear memory: the TLB's slow side, MMIO, page crossings.
 *
 * A TLB entry is made only for whole pages of RAM or ROM, and only for the kinds of access that
 * need nothing more: no right to check, no A or D bit to set, nobody to be told.  Everything else
 * comes here each time.
 *
 * MTRRs and PAT are kept for the guest to read; caching does not show in a software processor.
 */
#include "cpu/mmu_walk.h"

#include "cpu/ring3.h"
#include "cpu/stops.h"

#include <string.h>

/* Writes to this page must be told: no writable TLB entry. */
static bool page_told(struct cpu *c, const u8 *hva)
{
    const struct mem *m = &c->vm->mem;

    if (!mem_owns(m, hva))
        return false;
    return __atomic_load_n(&m->page_flags[(u64)(hva - m->hva) >> PAGE_SHIFT], __ATOMIC_SEQ_CST) &
           (PAGE_CODE | PAGE_WATCH);
}

/* The error code of #PF; error: what mmu_walk() gave. */
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
        w->dirty && p->whva == p->hva && mmu_allows(c, w, PF_W, idx) && !page_told(c, p->hva);

    if (e->tag[TLB_READ] != page && e->tag[TLB_WRITE] != page && e->tag[TLB_EXEC] != page)
        tlb_note(&c->tlbs[idx], tlb_index(lin), w->global || ring3_stays(c, lin, idx));
    e->host = p->hva - (lin & PAGE_MASK);
    bool watched =
        unlikely(c->debug & CPU_WATCHES) &&
        debug_watches(&c->vm->debug, page, PAGE_SIZE, BIT(DEBUG_READ) | BIT(DEBUG_WRITE));
    e->tag[TLB_READ] = mmu_allows(c, w, 0, idx) && !watched ? page : none;
    e->tag[TLB_WRITE] = write && !watched ? page : none;
    e->tag[TLB_EXEC] = mmu_allows(c, w, PF_I, idx) ? page : none;
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
    int rc = mmu_walk(c, lin, acc, idx, true, &w);
    if (unlikely(rc != WALK_OK))
        page_fault(c, lin, (u32)rc, acc, idx);
    struct place p = mmu_place(c, w.gpa);
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
        mmu_wrote(c, p->whva, size);
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
        mmu_wrote(c, p->whva, len);
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
        mmu_wrote(c, hva, size);
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
    int rc = mmu_walk(c, lin, acc, c->mmu_idx, true, &w);
    if (rc != WALK_OK) {
        c->fill_error = fault_error(c, (u32)rc, acc, c->mmu_idx);
        return false;
    }
    struct place p = mmu_place(c, w.gpa);
    if (!p.hva)
        return false;
    tlb_fill(c, lin, c->mmu_idx, &w, &p);
    return tlb_lookup(&c->tlbs[c->mmu_idx], lin, 1, a) != NULL;
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
