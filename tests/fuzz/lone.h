/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A lone device under fuzzing: its regions lie one behind the other on a bus of their own, bytes
 * become a sequence of accesses, steps of the clock, and what the target adds (interrupts, input).
 * State is saved and loaded in between: what a device saves it must accept, and what it accepts it
 * must survive.
 */
#ifndef WIRT_TESTS_FUZZ_LONE_H
#define WIRT_TESTS_FUZZ_LONE_H

#include "base/clock.h"
#include "base/endian.h"
#include "base/trace.h"
#include "core/bus.h"
#include "core/irq.h"
#include "core/mem.h"
#include "core/state.h"

#include <string.h>

enum { LONE_REGIONS = 8, LONE_STATE_MAX = 4096, LONE_MOVE = 16 };

struct lone {
    struct trace trace;
    struct bus pio, mmio;
    struct mem mem; /* 2 MiB */
    struct dma dma;
    struct clock *clock;
    struct region *region[LONE_REGIONS];
    unsigned regions;
    const struct state_desc *desc; /* NULL: not saved */
    void *obj;
    /* The target's own operation; may take more bytes. */
    void (*op)(struct lone *l);
    void *opaque;
    unsigned irqs; /* lines moved and messages sent; nobody looks */
    const u8 *p;
    size_t left;
};

static inline u8 lone_u8(struct lone *l)
{
    if (!l->left)
        return 0;
    l->left--;
    return *l->p++;
}

static inline u16 lone_u16(struct lone *l)
{
    u8 low = lone_u8(l);

    return low | lone_u8(l) << 8;
}

static inline u32 lone_u32(struct lone *l)
{
    u16 low = lone_u16(l);

    return low | (u32)lone_u16(l) << 16;
}

static inline u64 lone_u64(struct lone *l)
{
    u32 low = lone_u32(l);

    return low | (u64)lone_u32(l) << 32;
}

static inline void lone_irq_set(void *opaque, unsigned n, bool level)
{
    ((struct lone *)opaque)->irqs += level;
}

static inline void lone_msi_send(void *opaque, u64 addr, u32 data)
{
    ((struct lone *)opaque)->irqs++;
}

static inline struct irq lone_irq(struct lone *l)
{
    return (struct irq){lone_irq_set, l, 0};
}

static inline struct msi_sink lone_msi(struct lone *l)
{
    return (struct msi_sink){lone_msi_send, l};
}

/* A clean world; there is one a process, as its memory is slow to make. */
static inline struct lone *lone_begin(const u8 *data, size_t size)
{
    static struct lone l;

    if (!l.mem.hva) {
        trace_init(&l.trace);
        BUG_ON(mem_open(&l.mem, 2 * MIB, NULL));
    } else {
        clock_free(l.clock);
        bus_destroy(&l.pio);
        bus_destroy(&l.mmio);
    }
    bus_init(&l.pio, "pio", 16, &l.trace);
    bus_init(&l.mmio, "mmio", 52, &l.trace);
    l.dma = (struct dma){&l.mmio, &l.mem};
    l.clock = clock_new_manual();
    l.regions = 0;
    l.desc = NULL;
    l.op = NULL;
    l.p = data;
    l.left = size;
    return &l;
}

static inline void lone_add(struct lone *l, struct region *r)
{
    BUG_ON(l->regions == LONE_REGIONS);
    l->region[l->regions++] = r;
}

static inline void lone_access(struct lone *l, bool write)
{
    u8 which = lone_u8(l);
    struct region *r = l->region[which % l->regions];
    unsigned most = r->ops->max_width ? r->ops->max_width : 4;
    unsigned least = r->ops->min_width ? r->ops->min_width : 1;
    unsigned size = least << (which >> 4) % 4;
    u64 off = lone_u16(l);

    size = size > most ? most : size;
    off %= r->size;
    if (r->ops->aligned)
        off &= ~(u64)(size - 1);
    if (off + size > r->size)
        return;
    if (r->lock)
        pthread_mutex_lock(r->lock);
    if (write)
        r->ops->write(r->opaque, off, size, lone_u64(l) & (UINT64_MAX >> (64 - 8 * size)));
    else
        r->ops->read(r->opaque, off, size);
    if (r->lock)
        pthread_mutex_unlock(r->lock);
}

/* Saves, changes a byte or none, loads. */
static inline void lone_state(struct lone *l, bool change)
{
    u8 buf[LONE_STATE_MAX];
    size_t size = state_size(l->desc);

    BUG_ON(size > sizeof(buf));
    state_save(l->desc, l->obj, buf);
    if (change)
        buf[lone_u16(l) % size] = lone_u8(l);
    BUG_ON(state_load(l->desc, l->obj, buf, size, NULL) && !change);
}

static inline void lone_run(struct lone *l)
{
    while (l->left) {
        u8 op = lone_u8(l) % LONE_MOVE;
        if (op < 6 && l->regions)
            lone_access(l, true);
        else if (op < 9 && l->regions)
            lone_access(l, false);
        else if (op == 9)
            clock_advance(l->clock, lone_u16(l));
        else if (op == 10)
            clock_advance(l->clock, (u64)lone_u16(l) << 11); /* up to 134 ms */
        else if (op == 11 && l->desc)
            lone_state(l, lone_u8(l) & 1);
        else if (l->op)
            l->op(l);
    }
    if (l->desc)
        lone_state(l, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
