/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VGA as a PCI function (1234:1111), as SeaBIOS's vgabios-stdvga and the Linux driver `bochs`
 * know it.  BAR 0: video memory; BAR 2: registers and EDID.
 */
#ifndef WIRT_DEV_STDVGA_H
#define WIRT_DEV_STDVGA_H

#include "dev/pci.h"
#include "dev/vga.h"

struct stdvga {
    struct pci_dev pci; /* first */
    struct vga vga;
    struct region rom;
};

/* rom: the VGA BIOS image (copied into memory behind RAM), NULL and 0 for none.  -errno. */
int stdvga_init(struct stdvga *s, struct pci_bus *b, unsigned devfn, struct mem *m, struct clock *c,
                const struct edid_config *edid, const void *rom, u64 rom_size);

/* The expansion ROM of a video function: image behind RAM, into *r.  -ENOMEM. */
int stdvga_rom(struct pci_dev *d, struct region *r, struct mem *m, const void *rom, u64 size);

#endif
