/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The platform device and the unplug protocol (Xen: docs/misc/hvm-emulated-unplug.pandoc): read the
 * magic number at port 0x10 and the version at 0x12, write product and build number, look at the
 * magic number again (no product is refused here), write what is to go.
 */
#include "pv/xen/platform_pci.h"

#include "pv/xen/internal.h"

enum { MAGIC = 0x49d2, PROTOCOL = 1, MMIO_SIZE = 16 << 20, IO_SIZE = 256 };

static u64 ports_read(void *opaque, u64 off, unsigned size)
{
    static const u8 bytes[4] = {MAGIC & 0xff, MAGIC >> 8, PROTOCOL, 0};
    u64 v = 0;

    for (unsigned i = 0; i < size; i++)
        v |= (u64)bytes[(off + i) & 3] << (8 * i);
    return v;
}

static void ports_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct xen_platform *p = opaque;
    struct trace *t = p->x->trace;

    if (off == 0 && size == 2) {
        trace(t, xen, "unplug %#llx", (unsigned long long)val);
        p->unplug(p->opaque, (u16)val);
    } else if (off == 0 && size == 4) {
        trace(t, xen, "PV drivers of build %llu", (unsigned long long)val);
    } else if (off == 2 && size == 2) {
        trace(t, xen, "PV drivers of product %llu", (unsigned long long)val);
    } /* a byte to 0x12 is a letter of the drivers' log */
}

/* The BARs' own registers do nothing. */
static u64 bar_read(void *opaque, u64 off, unsigned size)
{
    return UINT64_MAX;
}

static void bar_write(void *opaque, u64 off, unsigned size, u64 val)
{
}

static const struct region_ops ports_ops = {
    .read = ports_read, .write = ports_write, .min_width = 1, .max_width = 4};
static const struct region_ops bar_ops = {.read = bar_read, .write = bar_write};

int xen_platform_init(struct xen_platform *p, struct xen *x, struct pci_bus *b, unsigned devfn,
                      void (*unplug)(void *opaque, u16 what), void *opaque)
{
    int r = pci_dev_init(&p->pci, b, devfn, "xen-platform", 0x5853, 0x0001, 0xff8000, 1);

    if (r)
        return r;
    pci_set_subsystem(&p->pci, 0x5853, 0x0001);
    p->pci.config[8] = 1; /* revision */
    p->x = x;
    p->unplug = unplug;
    p->opaque = opaque;
    p->io = (struct region){.name = "Xen platform I/O", .size = IO_SIZE, .ops = &bar_ops};
    p->mmio = (struct region){.name = "Xen platform", .size = MMIO_SIZE, .ops = &bar_ops};
    p->ports =
        (struct region){.name = "Xen unplug ports", .size = 4, .ops = &ports_ops, .opaque = p};
    pci_bar_init(&p->pci, 0, PCI_BAR_IO, &p->io);
    pci_bar_init(&p->pci, 1, PCI_BAR_MEM | PCI_BAR_PREFETCH, &p->mmio);
    x->hole = &p->mmio;
    return 0;
}
