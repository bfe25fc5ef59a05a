/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory: one memfd, mapped whole, that holds RAM first and then what devices ask for
 * (ROMs, video memory).  A position in it is a `ram offset`.  Where RAM appears in the guest's
 * physical address space is the board's business (core/bus.h).
 *
 * Whatever reads or writes guest memory for a device goes through mem_read(), mem_write() and
 * mem_map(), which check ranges and tell the CPUs of writes to pages that hold translated code.
 */
#ifndef WIRT_CORE_MEM_H
#define WIRT_CORE_MEM_H

#include "base/err.h"
#include "base/types.h"

struct bus;

enum {
    PAGE_SHIFT = 12,
    PAGE_SIZE = 1 << PAGE_SHIFT,
    PAGE_MASK = PAGE_SIZE - 1,
};

/* Bits of mem.page_flags[ram offset >> PAGE_SHIFT]; atomic. */
enum {
    PAGE_CODE = 1, /* an engine has decoded or translated code of this page: writes must be told */
    /* Not written since mem_watch() looked: CPUs keep no writable TLB entry for it, and the first
     * write, by whomever, clears the bit. */
    PAGE_WATCH = 2,
};

struct mem {
    int fd;
    bool shared;    /* hva shows the memfd, not a private copy (core/lazymem.h: clones) */
    u8 *hva;        /* the whole memfd; the page after its end is not mapped */
    u64 ram_size;   /* bytes of RAM, a multiple of 4 KiB */
    u64 size;       /* RAM and everything else */
    u64 used;       /* end of the last mem_alloc() */
    u8 *page_flags; /* one byte a page of the memfd */
    u32 *page_gen;  /* one a page: raised after each write to a PAGE_CODE page; atomic */
    /* Called by mem_code_wrote() with no lock; the translator registers it, NULL = nobody. */
    void (*code_written)(void *opaque, u64 ram_off, u64 len);
    void *code_opaque;
    struct lazy *lazy; /* memory that is still in a file (core/lazymem.h); NULL = all is here */
    struct lazy *lazy_owner; /* lazymem's own */
    /* Called by mem_watch() around its look at the flags; NULL = nobody.  `before`: an engine with
     * a dirty log of its own clears PAGE_WATCH of what the guest wrote.  `armed`: pages got
     * PAGE_WATCH: CPUs must give up writable TLB entries for such pages, clearing the bit of those
     * that they may have written to since (mmu_sync_code()). */
    void (*watch_before)(void *opaque, u64 ram_off, u64 len);
    void (*watch_armed)(void *opaque);
    void *watch_opaque;
};

enum { MEM_EXTRA = 96 << 20 }; /* room for ROMs and video memory behind RAM */

int mem_open(struct mem *m, u64 ram_size, struct err *e);
void mem_close(struct mem *m);
/* size bytes behind RAM, page-aligned, zero; NULL when MEM_EXTRA is used up. */
u8 *mem_alloc(struct mem *m, u64 size);

/* Gives whole pages of RAM back to the host; what the guest reads there next is undefined. */
void mem_discard(struct mem *m, u64 ram_off, u64 len);

static inline bool mem_owns(const struct mem *m, const u8 *hva)
{
    return (u64)(hva - m->hva) < m->size;
}

/* To be called after bytes at hva (inside the memfd) were written by a device. */
void mem_wrote(struct mem *m, const u8 *hva, u64 len);

/*
 * For displays: which pages of [hva, hva+len) may have been written since the last call for them?
 * dirty[i] for each page, beginning with that of hva, is set to 1 if so and left alone if not.
 * True when there was any.  To be called before the bytes are read: what is written meanwhile
 * counts for the next call.  A page costs the guest nothing until it is looked at, then one slow
 * write a look.  From any thread.
 */
bool mem_watch(struct mem *m, const u8 *hva, u64 len, u8 *dirty);

/* Bytes of a page that has PAGE_CODE were written, by a device (mem_wrote() calls it) or by a CPU:
 * raises page_gen and tells code_written.  From any thread. */
void mem_code_wrote(struct mem *m, u64 ram_off, u64 len);

/*
 * What a device sees of memory by DMA: RAM and ROM of the mmio bus, nothing else (DMA to device
 * registers is not supported: reads give ones, writes are dropped).
 */
struct dma {
    struct bus *mmio;
    struct mem *mem;
};

/* False when some byte was not memory (reads: those bytes are 0xff; writes: dropped). */
bool mem_read(const struct dma *d, u64 gpa, void *buf, u64 len);
bool mem_write(const struct dma *d, u64 gpa, const void *buf, u64 len);

/* Little-endian loads and stores of guest structures; naturally aligned ones are single accesses
 * with acquire/release order, as virtio's rings need. */
u16 mem_read16(const struct dma *d, u64 gpa);
u32 mem_read32(const struct dma *d, u64 gpa);
u64 mem_read64(const struct dma *d, u64 gpa);
void mem_write16(const struct dma *d, u64 gpa, u16 v);
void mem_write32(const struct dma *d, u64 gpa, u32 v);
void mem_write64(const struct dma *d, u64 gpa, u64 v);

/*
 * Direct access for bulk data: the host address of gpa and in *len (in: wanted) how many bytes are
 * contiguous there; NULL when gpa is not RAM.  `write`: the caller will write, and calls
 * mem_wrote() when it has.  The guest may change the bytes at any time.
 */
void *mem_map(const struct dma *d, u64 gpa, u64 *len, bool write);

#endif
