/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one lone device needs around it: buses, guest memory, a PCI bus, a clock that stands still
 * unless it is moved, interrupt lines that are counted, and disks in memory.
 */
#ifndef WIRT_TESTS_FAKE_PC_H
#define WIRT_TESTS_FAKE_PC_H

#include "base/clock.h"
#include "base/endian.h"
#include "core/backend.h"
#include "dev/pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FAKE_RAM = 4 << 20 };

struct fake_irq {
    bool level;
    unsigned rises;
};

struct fake_pc {
    struct trace trace;
    struct bus pio, mmio;
    struct mem mem;
    struct dma dma;
    struct clock *clock;
    struct pci_bus pci;
    struct region ram;
    struct fake_irq irq[16];
    struct fake_irq intx[4];
};

static inline void fake_irq_set(void *opaque, unsigned n, bool level)
{
    struct fake_pc *f = opaque;

    if (level && !f->irq[n].level)
        f->irq[n].rises++;
    f->irq[n].level = level;
}

static inline void fake_intx(void *opaque, unsigned devfn, unsigned pin, bool level)
{
    struct fake_pc *f = opaque;

    if (level && !f->intx[pin].level)
        f->intx[pin].rises++;
    f->intx[pin].level = level;
}

static inline struct irq fake_line(struct fake_pc *f, unsigned n)
{
    return (struct irq){.set = fake_irq_set, .opaque = f, .n = n};
}

static inline void fake_pc_init(struct fake_pc *f)
{
    memset(f, 0, sizeof(*f));
    trace_init(&f->trace);
    bus_init(&f->pio, "pio", 16, &f->trace);
    bus_init(&f->mmio, "mmio", 52, &f->trace);
    if (mem_open(&f->mem, FAKE_RAM, NULL))
        abort();
    f->ram =
        (struct region){.name = "ram", .size = FAKE_RAM, .hva = f->mem.hva, .whva = f->mem.hva};
    bus_map(&f->mmio, &f->ram, 0);
    f->dma = (struct dma){&f->mmio, &f->mem};
    f->clock = clock_new_manual();
    pci_bus_init(&f->pci, &f->trace, &f->pio, f->dma);
    f->pci.intx = fake_intx;
    f->pci.opaque = f;
}

static inline void fake_pc_destroy(struct fake_pc *f)
{
    clock_free(f->clock);
    mem_close(&f->mem);
    bus_destroy(&f->pio);
    bus_destroy(&f->mmio);
    trace_destroy(&f->trace);
}

/* A disk in memory.  With `defer` requests wait for fake_blk_run(); with `fail` they end so. */
struct fake_blk {
    struct blk b; /* first */
    u8 *data;
    bool defer;
    int fail;
    struct blk_req *waiting;
    unsigned flushes, discards;
};

static inline int fake_blk_do(struct fake_blk *k, struct blk_req *r)
{
    u64 off = r->offset;

    if (k->fail)
        return k->fail;
    if (r->op == BLK_FLUSH) {
        k->flushes++;
        return 0;
    }
    if (!range_within(r->offset, r->len, 0, k->b.size) || r->offset % 512 || r->len % 512)
        return -EINVAL;
    if (r->op == BLK_DISCARD || r->op == BLK_WRITE_ZEROES) {
        k->discards++;
        memset(k->data + off, 0, r->len);
        return 0;
    }
    for (int i = 0; i < r->niov; i++) {
        if (r->op == BLK_READ)
            memcpy(r->iov[i].iov_base, k->data + off, r->iov[i].iov_len);
        else
            memcpy(k->data + off, r->iov[i].iov_base, r->iov[i].iov_len);
        off += r->iov[i].iov_len;
    }
    return 0;
}

static inline void fake_blk_submit(struct blk *b, struct blk_req *r)
{
    struct fake_blk *k = (struct fake_blk *)b;

    if (k->defer)
        k->waiting = r;
    else
        r->done(r, fake_blk_do(k, r));
}

static inline bool fake_blk_run(struct fake_blk *k)
{
    struct blk_req *r = k->waiting;

    k->waiting = NULL;
    if (r)
        r->done(r, fake_blk_do(k, r));
    return r != NULL;
}

static inline void fake_blk_close(struct blk *b)
{
    free(((struct fake_blk *)b)->data);
}

static inline void fake_blk_init(struct fake_blk *k, u64 size)
{
    static const struct blk_ops ops = {fake_blk_submit, fake_blk_close};

    memset(k, 0, sizeof(*k));
    k->b.ops = &ops;
    k->b.size = size;
    k->b.block_size = 512;
    k->data = calloc(1, size);
}

static inline u8 inb(struct fake_pc *f, u16 port)
{
    return bus_read(&f->pio, port, 1);
}

static inline void outb(struct fake_pc *f, u16 port, u8 v)
{
    bus_write(&f->pio, port, 1, v);
}

#endif
