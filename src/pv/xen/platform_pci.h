/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Xen's platform device: the PCI function 5853:0001 by which a full PC's guest knows that it may
 * use PV drivers, and the ports by which it asks for the emulated devices to go.
 */
#ifndef WIRT_PV_XEN_PLATFORM_PCI_H
#define WIRT_PV_XEN_PLATFORM_PCI_H

#include "dev/pci.h"
#include "pv/xen/xen.h"

/* What a guest asks to be unplugged. */
enum {
    XEN_UNPLUG_IDE_DISKS = 1 << 0,
    XEN_UNPLUG_NICS = 1 << 1,
    XEN_UNPLUG_AUX_IDE_DISKS = 1 << 2, /* all but the primary master */
};

struct xen_platform {
    struct pci_dev pci; /* first */
    struct xen *x;
    struct region io, mmio;                 /* BARs 0 and 1 */
    struct region ports;                    /* 0x10-0x13; the board maps it */
    void (*unplug)(void *opaque, u16 what); /* on the vCPU's thread, no lock held */
    void *opaque;
};

/* BAR 1 is a place without memory where guests put grant table frames.  -EBUSY: devfn is taken. */
int xen_platform_init(struct xen_platform *p, struct xen *x, struct pci_bus *b, unsigned devfn,
                      void (*unplug)(void *opaque, u16 what), void *opaque);

#endif
