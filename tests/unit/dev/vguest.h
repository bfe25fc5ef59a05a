/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's side of virtio for tests: memory, buses, one PCI function, and a small driver that
 * lays out its queues at fixed places.
 */
#ifndef WIRT_TESTS_VGUEST_H
#define WIRT_TESTS_VGUEST_H

#include "base/endian.h"
#include "dev/virtio_pci.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    VG_RAM = 8 << 20,
    VG_LEGACY = 0xc000,
    VG_MSIX = 0x10000000,
    VG_MODERN = 0x10010000,
    VG_BUFFERS = 0x200000, /* free for the test, up to the end of RAM */
    VG_NOTIFY = 0x3000,
    VG_DEVICE = 0x2000,
    VG_ISR = 0x1000,
    VG_QUEUE_AT = 0x10000, /* times queue + 1 */
};

struct vguest {
    struct trace trace;
    struct mem mem;
    struct bus pio, mmio;
    struct region ram;
    struct pci_bus pci;
    unsigned msis, intx_edges;
    u32 last_msi;
    bool intx;
    struct {
        u16 size, next_desc, avail, used;
    } q[VIRTIO_QUEUES];
};

static inline void vg_msi(void *opaque, u64 addr, u32 data)
{
    struct vguest *g = opaque;

    g->msis++;
    g->last_msi = data;
}

static inline void vg_intx(void *opaque, unsigned devfn, unsigned pin, bool level)
{
    struct vguest *g = opaque;

    g->intx = level;
    g->intx_edges += level;
}

/* Everything but the memory, which is open and zero. */
static inline void vg_open_around(struct vguest *g)
{
    struct dma dma = {.mmio = &g->mmio, .mem = &g->mem};

    trace_init(&g->trace);
    bus_init(&g->pio, "pio", 16, &g->trace);
    bus_init(&g->mmio, "mmio", 52, &g->trace);
    g->ram = (struct region){.name = "ram", .size = VG_RAM, .hva = g->mem.hva, .whva = g->mem.hva};
    BUG_ON(bus_map(&g->mmio, &g->ram, 0));
    pci_bus_init(&g->pci, &g->trace, &g->pio, dma);
    g->pci.msi = (struct msi_sink){.send = vg_msi, .opaque = g};
    g->pci.intx = vg_intx;
    g->pci.opaque = g;
}

static inline void vg_open(struct vguest *g)
{
    memset(g, 0, sizeof(*g));
    BUG_ON(mem_open(&g->mem, VG_RAM, NULL));
    vg_open_around(g);
}

static inline void vg_close_around(struct vguest *g)
{
    bus_destroy(&g->pio);
    bus_destroy(&g->mmio);
    trace_destroy(&g->trace);
}

static inline void vg_close(struct vguest *g)
{
    vg_close_around(g);
    mem_close(&g->mem);
}

/* For fuzzing: as vg_open() and vg_close(), with memory that is made once and wiped between. */
static inline void vg_begin(struct vguest *g)
{
    struct mem m = g->mem;

    if (!m.hva) {
        vg_open(g);
        return;
    }
    memset(g, 0, sizeof(*g));
    BUG_ON(madvise(m.hva, m.used, MADV_REMOVE));
    memset(m.page_flags, 0, m.used >> PAGE_SHIFT);
    m.used = m.ram_size;
    g->mem = m;
    vg_open_around(g);
}

static inline void vg_end(struct vguest *g)
{
    vg_close_around(g);
}

/* Puts the function's BARs in place and switches everything on. */
static inline void vg_place(struct vguest *g, unsigned devfn)
{
    pci_config_write(&g->pci, devfn, 0x10, 4, VG_LEGACY);
    pci_config_write(&g->pci, devfn, 0x14, 4, VG_MSIX);
    pci_config_write(&g->pci, devfn, 0x20, 4, VG_MODERN);
    pci_config_write(&g->pci, devfn, 0x24, 4, 0);
    pci_config_write(&g->pci, devfn, 0x04, 2, 7);
}

static inline u8 *vg_hva(struct vguest *g, u64 gpa)
{
    return g->mem.hva + gpa;
}

static inline void vg_w(struct vguest *g, u64 off, unsigned size, u64 v)
{
    bus_write(&g->mmio, VG_MODERN + off, size, v);
}

static inline u64 vg_r(struct vguest *g, u64 off, unsigned size)
{
    return bus_read(&g->mmio, VG_MODERN + off, size);
}

static inline u64 vg_features(struct vguest *g)
{
    u64 f;

    vg_w(g, 0, 4, 0);
    f = vg_r(g, 4, 4);
    vg_w(g, 0, 4, 1);
    return f | vg_r(g, 4, 4) << 32;
}

static inline u64 vg_queue_at(unsigned q)
{
    return VG_QUEUE_AT * (q + 1ull);
}

/* Reset and initialization of a modern driver (3.1.1); false = features refused. */
static inline bool vg_start(struct vguest *g, u64 features)
{
    unsigned n;

    vg_w(g, 20, 1, 0);
    vg_w(g, 20, 1, 1);
    vg_w(g, 20, 1, 3);
    vg_w(g, 8, 4, 0);
    vg_w(g, 12, 4, (u32)features);
    vg_w(g, 8, 4, 1);
    vg_w(g, 12, 4, features >> 32);
    vg_w(g, 20, 1, 11);
    if (!(vg_r(g, 20, 1) & 8))
        return false;
    n = min((unsigned)vg_r(g, 18, 2), (unsigned)VIRTIO_QUEUES); /* all ones: BAR off */
    for (unsigned i = 0; i < n; i++) {
        u64 at = vg_queue_at(i);

        memset(vg_hva(g, at), 0, VG_QUEUE_AT);
        vg_w(g, 22, 2, i);
        g->q[i].size = (u16)vg_r(g, 24, 2);
        g->q[i].next_desc = g->q[i].avail = g->q[i].used = 0;
        vg_w(g, 32, 4, at);
        vg_w(g, 36, 4, 0);
        vg_w(g, 40, 4, at + 0x4000);
        vg_w(g, 44, 4, 0);
        vg_w(g, 48, 4, at + 0x6000);
        vg_w(g, 52, 4, 0);
        vg_w(g, 26, 2, i + 1);
        vg_w(g, 28, 2, 1);
    }
    vg_w(g, 16, 2, 0);
    vg_w(g, 20, 1, 15);
    return true;
}

/* MSI-X with vector n sending data n. */
static inline void vg_msix_on(struct vguest *g, struct pci_dev *d)
{
    for (unsigned i = 0; i < d->msix.vectors; i++) {
        bus_write(&g->mmio, VG_MSIX + 16 * i, 4, 0xfee00000);
        bus_write(&g->mmio, VG_MSIX + 16 * i + 8, 4, i);
        bus_write(&g->mmio, VG_MSIX + 16 * i + 12, 4, 0);
    }
    pci_config_write(&g->pci, d->devfn, d->msix.cap + 2u, 2, 0x8000);
}

struct vseg {
    u64 gpa;
    u32 len;
    bool write;
};

static inline void vg_desc(struct vguest *g, u64 at, u64 gpa, u32 len, u16 flags, u16 next)
{
    u8 *p = vg_hva(g, at);

    le64_put(p, gpa);
    le32_put(p + 8, len);
    le16_put(p + 12, flags);
    le16_put(p + 14, next);
}

static inline void vg_publish(struct vguest *g, unsigned q, u16 head)
{
    u8 *avail = vg_hva(g, vg_queue_at(q) + 0x4000);

    le16_put(avail + 4 + 2 * (g->q[q].avail % g->q[q].size), head);
    g->q[q].avail++;
    __atomic_store_n((u16 *)(avail + 2), g->q[q].avail, __ATOMIC_RELEASE);
}

/* Adds a chain; its head.  The test keeps to fewer descriptors than the queue has. */
static inline u16 vg_add(struct vguest *g, unsigned q, const struct vseg *s, unsigned n)
{
    u16 head = g->q[q].next_desc;

    for (unsigned i = 0; i < n; i++) {
        u16 at = g->q[q].next_desc;
        u16 next = (u16)((at + 1) % g->q[q].size);

        vg_desc(g, vg_queue_at(q) + 16ull * at, s[i].gpa, s[i].len,
                (u16)((s[i].write ? 2 : 0) | (i + 1 < n ? 1 : 0)), next);
        g->q[q].next_desc = next;
    }
    vg_publish(g, q, head);
    return head;
}

static inline void vg_kick(struct vguest *g, unsigned q)
{
    vg_w(g, VG_NOTIFY + 4 * q, 2, q);
}

/* The next used entry; waits up to five seconds when `wait`. */
static inline bool vg_used(struct vguest *g, unsigned q, bool wait, u32 *id, u32 *len)
{
    u8 *used = vg_hva(g, vg_queue_at(q) + 0x6000);

    for (unsigned i = 0; wait && i < 50000; i++) {
        if (__atomic_load_n((u16 *)(used + 2), __ATOMIC_ACQUIRE) != g->q[q].used)
            break;
        usleep(100);
    }
    if (__atomic_load_n((u16 *)(used + 2), __ATOMIC_ACQUIRE) == g->q[q].used)
        return false;
    used += 4 + 8 * (g->q[q].used++ % g->q[q].size);
    if (id)
        *id = le32_get(used);
    if (len)
        *len = le32_get(used + 4);
    return true;
}

#endif
