/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bus: one registration for ports and for physical memory.  A machine has two, `pio` (16 bits)
 * and `mmio` (52 bits); RAM and ROM are regions of `mmio` too.
 *
 * A region lives inside its device.  The bus splits and merges accesses to the widths that the
 * region takes, fills unclaimed reads with ones, drops unclaimed writes, and rejects overlap.
 * Look-up takes no lock: there are two copies of the sorted table and a sequence counter.
 */
#ifndef WIRT_CORE_BUS_H
#define WIRT_CORE_BUS_H

#include "base/err.h"
#include "base/trace.h"
#include "base/types.h"

#include <pthread.h>

struct region_ops {
    /* size is 1, 2, 4 or 8, within [min_width, max_width], off aligned to it if `aligned`. */
    u64 (*read)(void *opaque, u64 off, unsigned size);
    void (*write)(void *opaque, u64 off, unsigned size, u64 val);
    u8 min_width, max_width; /* 0 = 1 and 4 */
    bool aligned;            /* unaligned accesses are split into bytes of min_width */
};

/* A place in a region where a write means "look at queue n" and no more.  An engine that can
 * (engine_ops.doorbells) writes to the eventfd instead of calling the region. */
struct doorbell {
    u64 off;
    u16 value; /* counts only with `match`: a write of 2 bytes with this value rings; else any does
                */
    bool match;
    int fd;
};

struct region {
    const char *name;
    u64 size;
    const struct region_ops *ops; /* NULL: memory */
    void *opaque;
    pthread_mutex_t *lock;       /* held around ops, NULL = none */
    u8 *hva;                     /* memory: where reads go, NULL = they read as ones */
    u8 *whva;                    /* memory: where writes go, NULL = dropped (ROM) */
    const struct doorbell *bell; /* nbells of them; they stay as long as the machine */
    unsigned nbells;
    bool late; /* writes may arrive late, in order and before any other access: like memory */
    u64 base;  /* valid while mapped */
    bool mapped;
};

enum { BUS_REGIONS_MAX = 256 };

struct bus_table {
    u32 count;
    struct bus_range {
        u64 base, last;
        struct region *region;
    } range[BUS_REGIONS_MAX];
};

struct bus {
    const char *name;
    struct trace *trace;
    u64 limit; /* first address past the bus */
    struct bus_table table[2];
    u32 seq;              /* atomic; readers use table[seq & 1] */
    pthread_mutex_t lock; /* writers; order: after every device lock */
    /* Told after each change with the range that changed (CPUs flush their TLBs). */
    void (*changed)(void *opaque, u64 base, u64 size);
    void *changed_opaque;
};

void bus_init(struct bus *b, const char *name, unsigned addr_bits, struct trace *t);
void bus_destroy(struct bus *b);

/* -EBUSY: overlaps a mapped region; -ERANGE: outside the bus or size 0; -ENOSPC: table full. */
int bus_map(struct bus *b, struct region *r, u64 base);
/* Does nothing for a region that is not mapped.  A callback under way on another thread may still
 * be running when this returns; regions stay allocated as long as the machine. */
void bus_unmap(struct bus *b, struct region *r);

/* The region that holds addr, or NULL. */
struct region *bus_find(struct bus *b, u64 addr);

/* One access of 1, 2, 4 or 8 bytes, any alignment. */
u64 bus_read(struct bus *b, u64 addr, unsigned size);
void bus_write(struct bus *b, u64 addr, unsigned size, u64 val);

#endif
