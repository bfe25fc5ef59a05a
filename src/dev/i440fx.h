/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 82441FX host bridge (8086:1237): PCI configuration mechanism 1 and the programmable
 * attribute map (PAM) that shadows the BIOS area 0xc0000-0xfffff in RAM.
 */
#ifndef WIRT_DEV_I440FX_H
#define WIRT_DEV_I440FX_H

#include "core/mem.h"
#include "dev/pci.h"

enum { I440FX_SEGMENTS = 13 };

struct i440fx {
    struct pci_dev pci;
    u32 confadd;                /* CONFADD (0xcf8); atomic */
    struct region conf_address; /* 4 ports (0xcf8) */
    struct region conf_data;    /* 4 ports (0xcfc) */
    const struct region *rcr;   /* the PIIX3's port 0xcf9, which lies inside conf_address */
    struct region pam[I440FX_SEGMENTS];
    u8 *ram;  /* RAM at 0xc0000 */
    u8 *bios; /* 128 KiB that PCI shows at 0xe0000, NULL = nothing there */
};

/*
 * Puts the bridge at devfn 0 of b and maps the area 0xc0000-0xfffff of b->mmio (256 KiB of RAM at
 * that ram offset, and the BIOS: the last 128 KiB of the firmware, or NULL).  The board maps
 * conf_address and conf_data.  -errno when something is in the way.
 */
int i440fx_init(struct i440fx *h, struct pci_bus *b, u8 *bios, const struct region *rcr,
                struct err *e);
/* What firmware does before it starts a kernel: the whole area is RAM (direct kernel boot). */
void i440fx_shadow_all(struct i440fx *h);

extern const struct state_desc i440fx_state;

#endif
