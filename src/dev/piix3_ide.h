/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 82371SB (PIIX3) function 1: two IDE channels at the legacy ports, with bus-master DMA.
 */
#ifndef WIRT_DEV_PIIX3_IDE_H
#define WIRT_DEV_PIIX3_IDE_H

#include "dev/ata.h"
#include "dev/pci.h"

/* The bus-master registers of one channel and where its PRD table stands. */
struct piix3_bm {
    u8 command, status;
    u32 table;      /* as written */
    u32 next;       /* address of the next descriptor */
    u32 addr, left; /* the current descriptor's */
    u8 last;        /* it is the end of the table */
    u32 entries;    /* fetched since start, to bound a walk */
    struct piix3_ide *ide;
};

struct piix3_ide {
    struct pci_dev pci; /* first */
    struct ata_channel ch[2];
    struct piix3_bm bm[2];
    struct region bm_region; /* BAR 4, 16 ports */
};

/*
 * drives: primary master, primary slave, secondary master, secondary slave.  irq: IRQ 14 and 15.
 * The board maps ch[i].cmd (1f0, 170) and ch[i].ctl (3f6, 376) on the port bus.
 * -EBUSY when devfn is taken.
 */
int piix3_ide_init(struct piix3_ide *s, struct pci_bus *b, unsigned devfn,
                   const struct ata_drive_config drives[4], const struct irq irq[2]);

extern const struct state_desc piix3_ide_state; /* of struct piix3_ide, without its channels */

#endif
