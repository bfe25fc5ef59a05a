/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linear memory as the software processor reaches it: TLB, page walks, MMIO, page crossings.
 * Faults leave by cpu_raise().  SDM volume 3, chapter 4.
 */
#ifndef WIRT_CPU_MMU_H
#define WIRT_CPU_MMU_H

#include "cpu/cpu.h"

/* Single loads and stores of guest memory at any alignment. */
struct host_u16 {
    u16 v;
} __attribute__((packed, may_alias));
struct host_u32 {
    u32 v;
} __attribute__((packed, may_alias));
struct host_u64 {
    u64 v;
} __attribute__((packed, may_alias));

static inline u64 host_load(const void *p, unsigned size)
{
    switch (size) {
    case 8:
        return ((const volatile struct host_u64 *)p)->v;
    case 4:
        return ((const volatile struct host_u32 *)p)->v;
    case 2:
        return ((const volatile struct host_u16 *)p)->v;
    default:
        return *(const volatile u8 *)p;
    }
}

static inline void host_store(void *p, unsigned size, u64 v)
{
    switch (size) {
    case 8:
        ((volatile struct host_u64 *)p)->v = v;
        break;
    case 4:
        ((volatile struct host_u32 *)p)->v = (u32)v;
        break;
    case 2:
        ((volatile struct host_u16 *)p)->v = (u16)v;
        break;
    default:
        *(volatile u8 *)p = (u8)v;
        break;
    }
}

/* ---- data, with the rights of the current CPL (size 1, 2, 4, 8; any alignment) ---- */

u64 mmu_read_slow(struct cpu *c, u64 lin, unsigned size);
void mmu_write_slow(struct cpu *c, u64 lin, unsigned size, u64 v);

static inline u64 mmu_read(struct cpu *c, u64 lin, unsigned size)
{
    void *p = tlb_lookup(c->tlb, lin, size, TLB_READ);
    if (unlikely(!p))
        return mmu_read_slow(c, lin, size);
    return host_load(p, size);
}

static inline void mmu_write(struct cpu *c, u64 lin, unsigned size, u64 v)
{
    void *p = tlb_lookup(c->tlb, lin, size, TLB_WRITE);
    if (unlikely(!p)) {
        mmu_write_slow(c, lin, size, v);
        return;
    }
    host_store(p, size, v);
}

/* Any length up to 4096 (vector operands, FXSAVE, descriptors); all or nothing: every page is
 * checked before the first byte moves. */
void mmu_read_bytes(struct cpu *c, u64 lin, void *buf, unsigned len);
void mmu_write_bytes(struct cpu *c, u64 lin, const void *buf, unsigned len);

/* Raises what a write of len bytes would raise; changes only accessed and dirty bits. */
void mmu_probe_write(struct cpu *c, u64 lin, unsigned len);

/*
 * For read-modify-write and LOCK: the host address when the operand is plain RAM inside one page
 * (write rights checked, pages with code included: then c->code_changed and page_gen are seen to
 * after the access by mmu_rmw_done()); NULL when it is MMIO or crosses a page: use mmu_read() and
 * mmu_write() after mmu_probe_write(), under mmu_split_lock() when LOCK is given.
 */
void *mmu_rmw(struct cpu *c, u64 lin, unsigned size);
void mmu_rmw_done(struct cpu *c, u64 lin, unsigned size);
/* A machine-wide mutex that makes split and MMIO LOCKs exclusive against each other. */
void mmu_split_lock(struct cpu *c);
void mmu_split_unlock(struct cpu *c);

/* ---- supervisor accesses whatever the CPL (descriptor tables, TSS, pushes of inner stacks) ----
 */

u64 mmu_read_sys(struct cpu *c, u64 lin, unsigned size);
void mmu_write_sys(struct cpu *c, u64 lin, unsigned size, u64 v);

/* ---- code ---- */

/* The host address of code at linear address lin (valid to the end of its page) and its position
 * in the memfd in *ram_off (UINT64_MAX: not in the memfd); NULL: MMIO, use mmu_fetch_byte().
 * Raises #PF as an instruction fetch does.  Does not set PAGE_CODE. */
const u8 *mmu_code(struct cpu *c, u64 lin, u64 *ram_off);
u8 mmu_fetch_byte(struct cpu *c, u64 lin);

/* ---- for translated code ---- */

/* Enters the TLB entry for this access when it is plain memory that needs no slow path; false: go
 * the slow way (mmu_read() ...), which faults or finds out.  Never raises, sets A and D bits as
 * the access would.  May be called while guest vector registers are in the host's: this function
 * and what it calls keep to general registers (mmu.c is built -mgeneral-regs-only, and calls no
 * memcpy or memset of libc from here). */
bool mmu_fill(struct cpu *c, u64 lin, enum tlb_access a);
/* Is the page at lin, which is mapped, a global one?  As mmu_fill() in all else. */
bool mmu_global(struct cpu *c, u64 lin);

/* ---- for direct execution (src/direct) ---- */

/*
 * Who maps a program's pages elsewhere is told what the TLB is told, on the vCPU's thread.  Pages
 * of a program alone: nobody else's right is looked for there.
 */
struct mmu_shadow {
    /* What is loaded is wrong; `others`: so is all that was put aside. */
    void (*flush)(struct mmu_shadow *s, bool others);
    void (*flush_page)(struct mmu_shadow *s, u64 lin);
    /* MOV to CR3 with CR4.PCIDE; keep: what is known of `to` is right. */
    void (*turn_to)(struct mmu_shadow *s, u16 to, bool keep);
    void (*drop_pcid)(struct mmu_shadow *s, u16 pcid);
    /* This vCPU gave page ram_page PAGE_CODE; UINT64_MAX: others gave some PAGE_CODE or
     * PAGE_WATCH, and writes to them are to be told (mmu_sync_code()). */
    void (*sync)(struct mmu_shadow *s, u64 ram_page);
    /* A program's CPUID or XGETBV was executed; the 0F of its opcode is at lin. */
    void (*executed)(struct mmu_shadow *s, u64 lin);
};

struct mmu_page {
    u64 ram_page; /* of the memfd */
    bool write;   /* allowed, and the D bit is set */
    bool exec;
    bool large; /* of more than 4 KiB */
};

/* What a program would find at lin without a fault or a bit to be set; false: nothing, or no page
 * of the memfd.  No side effects. */
bool mmu_look(struct cpu *c, u64 lin, struct mmu_page *page);

/* ---- for lockstep ---- */

/* While cpu.log is set (and cpu.tlb is the slow one), writes to memory are noted there, and devices
 * are not touched: `broken` then says that the instruction cannot be tried like this. */
enum { WRITE_LOG_MAX = 512, WRITE_LOG_BYTES = 64 };

struct write_log {
    bool broken;
    u32 count;
    struct write_entry {
        u8 *hva;
        u32 len;
        u8 old[WRITE_LOG_BYTES], now[WRITE_LOG_BYTES]; /* now: the log's user fills it */
    } entry[WRITE_LOG_MAX];
};

/* ---- maintenance ---- */

static inline struct walk_cache *mmu_walk_slot(struct cpu *c, u64 lin)
{
    return &c->walks[lin >> 21 & (ARRAY_SIZE(c->walks) - 1)];
}

/* A kernel in ring 3 keeps what it has of the upper half when its root table changes. */
static inline u64 *mmu_walk_epoch(struct cpu *c, u64 lin)
{
    return &c->walk_epoch[lin >> 63 && !c->walk_side];
}

/* Before entries go: they are what mmu_sync_code() looks at. */
void mmu_before_flush(struct cpu *c);

/* CR3 load without PCIDs, CR0/CR4 changes.  What is put aside of other PCIDs goes too. */
void mmu_flush(struct cpu *c, bool global_too);
/* The TLB of this vCPU alone, with nothing that was put aside. */
void mmu_flush_tlb(struct cpu *c, bool global_too);
/* Of the address space that is loaded alone, and not its global pages. */
void mmu_flush_loaded(struct cpu *c);
/* CR3 load with CR4.PCIDE; keep: what was put aside under `to` is still right (bit 63). */
void mmu_switch(struct cpu *c, u16 from, u16 to, bool keep);
/* The same by hand, of one TLB under the frame of a root table (cpu/ring3.h); the caller flushes.
 */
void mmu_put_root_aside(struct cpu *c, u64 root, unsigned idx);
void mmu_put_root_back(struct cpu *c, u64 root, unsigned idx);
/* What is put aside is wrong: of one PCID, which is not loaded, or of all. */
void mmu_drop_pcid(struct cpu *c, u16 pcid);
void mmu_drop_pcids(struct cpu *c);
void mmu_init(struct cpu *c);      /* once, before any access */
void mmu_flush_all(struct cpu *c); /* also where memory is (VCPU_FLUSH), and unused TLBs */
void mmu_flush_page(struct cpu *c, u64 lin); /* INVLPG */
/* Page ram_off now holds cached code: sets PAGE_CODE and sees that no CPU keeps a writable TLB
 * entry for it before it returns control to that CPU's next block. */
void mmu_protect_code(struct cpu *c, u64 ram_off);
/* VCPU_CODE: another CPU protected pages.  Gives up writable TLB entries for pages with code, and
 * tells of a write to each: whether one slipped through before this is not known. */
void mmu_sync_code(struct cpu *c);
/* The translators have no code of this page any more: writes need not be told.  Raises page_gen, so
 * that decoded code is looked at again (and protected again). */
void mmu_unprotect_code(struct cpu *c, u64 ram_off);

/* Linear to physical without side effects, for debuggers and traces; false = not mapped. */
bool mmu_debug_translate(struct cpu *c, u64 lin, u64 *gpa);
/* Linear to physical as the kernel would reach it (CR0.WP honoured, SMAP not); sets accessed and
 * dirty bits, never raises; false = it would fault. */
bool mmu_probe(struct cpu *c, u64 lin, bool write, u64 *gpa);

#endif
