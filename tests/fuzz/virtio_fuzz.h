/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the virtio targets share: bytes become what a hostile driver may do to one lone function on
 * PCI: configuration, registers of both kinds, MSI-X, chains of any shape, bytes in its rings.
 *
 * Each step is eight bytes: op, a, b (16 bits), value (32 bits).
 */
#ifndef WIRT_TESTS_VIRTIO_FUZZ_H
#define WIRT_TESTS_VIRTIO_FUZZ_H

#include "../unit/dev/vguest.h"

#include <time.h>

enum { FUZZ_STEP = 8, FUZZ_STEPS_MAX = 400, FUZZ_DEVFN = 3 << 3 };

struct vfuzz {
    struct vguest g;
    struct virtio_pci *vp;
    bool msix;
    /* Something from the other side: a frame, input, time. */
    void (*event)(struct vfuzz *f, u8 a, u16 b, u32 v);
};

static inline void vfuzz_begin(struct vfuzz *f)
{
    vg_begin(&f->g);
    f->vp = NULL;
    f->msix = false;
    f->event = NULL;
}

static inline void vfuzz_chain(struct vfuzz *f, u8 a, u16 b, u32 v)
{
    unsigned q = a % VIRTIO_QUEUES, n = 1 + (b & 7);
    struct vseg s[8];

    if (!f->g.q[q].size)
        return;
    for (unsigned i = 0; i < n; i++) {
        /* Mostly well-formed: a header, data, a status. */
        s[i] = (struct vseg){.gpa = VG_BUFFERS + 0x1000ull * i + (v & 0x0f),
                             .len = i == 0                ? 16
                                    : i + 1 == n && n > 1 ? 1
                                                          : (b >> 4) * 16u,
                             .write = i >= (v >> 8 & 7)};
        if (v >> 31)
            s[i].gpa += (u64)(v & 0xffffff00) << (i * 4);
    }
    if (v & 0x10000) /* header of a block request, or of a frame */
        memcpy(vg_hva(&f->g, VG_BUFFERS + (v & 0x0f)), &v, 4);
    vg_add(&f->g, q, s, n);
    if (v & 0x20000)
        vg_kick(&f->g, q);
}

static inline void vfuzz_step(struct vfuzz *f, const u8 *p)
{
    struct vguest *g = &f->g;
    u8 op = p[0], a = p[1];
    u16 b = le16_get(p + 2);
    u32 v = le32_get(p + 4);
    static const u8 sizes[4] = {1, 2, 4, 8};
    unsigned size = sizes[a & 3];

    switch (op % 16) {
    case 0:
        size = min(size, 4u);
        pci_config_write(&g->pci, FUZZ_DEVFN, (b & 0xff) / size * size, size, v);
        break;
    case 1:
        size = min(size, 4u);
        pci_config_read(&g->pci, FUZZ_DEVFN, (b & 0xff) / size * size, size);
        break;
    case 2:
        bus_write(&g->mmio, VG_MODERN + (b & 0x3fff), size, v);
        break;
    case 3:
        bus_read(&g->mmio, VG_MODERN + (b & 0x3fff), size);
        break;
    case 4:
        bus_write(&g->pio, VG_LEGACY + (b & 0x3f), size, v);
        break;
    case 5:
        bus_read(&g->pio, VG_LEGACY + (b & 0x3f), size);
        break;
    case 6:
        bus_write(&g->mmio, VG_MSIX + (b & 0xfff), 4, v);
        break;
    case 7:
        vg_start(g, vg_features(g) & ~((u64)v << (a & 1 ? 32 : 0) & ~VIRTIO_F_VERSION_1));
        break;
    case 8:
        vg_place(g, FUZZ_DEVFN);
        break;
    case 9:
        pci_bus_reset(&g->pci);
        vg_place(g, FUZZ_DEVFN);
        break;
    case 10: /* bytes of the rings and buffers */
        memcpy(vg_hva(g, vg_queue_at(a % 6) + min((u32)b, 0xfff0u)), &v, 4);
        break;
    case 11:
        memcpy(vg_hva(g, VG_BUFFERS + b), &v, 4);
        break;
    case 12:
    case 13:
        vfuzz_chain(f, a % 5, b, v);
        break;
    case 14:
        vg_kick(g, a % 8);
        break;
    case 15:
        f->event(f, a, b, v);
        break;
    }
}

static inline void vfuzz_run(struct vfuzz *f, const u8 *data, size_t size)
{
    vg_place(&f->g, FUZZ_DEVFN);
    if (size && data[0] & 0x80) {
        vg_msix_on(&f->g, &f->vp->pci);
        vg_start(&f->g, vg_features(&f->g));
    }
    for (size_t i = 0; i < FUZZ_STEPS_MAX && size >= FUZZ_STEP;
         i++, data += FUZZ_STEP, size -= FUZZ_STEP)
        vfuzz_step(f, data);
    /* Nobody forgot it. */
    struct timespec soon;

    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_sec += 10;
    BUG_ON(pthread_mutex_timedlock(&f->vp->pci.lock, &soon));
    pthread_mutex_unlock(&f->vp->pci.lock);
}

#endif
