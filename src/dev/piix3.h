/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PIIX3 PCI-to-ISA bridge (8086:7000): PIRQ routing and the reset control register.  ELCR is
 * dev/i8259.c's.
 */
#ifndef WIRT_DEV_PIIX3_H
#define WIRT_DEV_PIIX3_H

#include "dev/pci.h"

enum { PIIX3_PIRQS = 4 };

struct piix3 {
    struct pci_dev pci;
    u8 rcr;                    /* reset control register */
    struct region rcr_region;  /* 1 port (0xcf9); to be handed to i440fx_init() */
    struct irq isa[16];        /* where PIRQs may be routed to */
    struct irq reset;          /* pulsed */
    u16 asserted[PIIX3_PIRQS]; /* how many functions assert each PIRQ */
    u16 isa_level;             /* what isa[] show */
    pthread_mutex_t irq_lock;  /* guards the two above; after device locks, before the PIC's */
};

/*
 * isa: 16 lines; the board ORs them with what else drives those interrupts.  Becomes the bus's
 * intx router: PIRQ = (slot - 1 + pin) & 3 for pin 0-3, as the DSDT's _PRT must have it.
 */
int piix3_init(struct piix3 *p, struct pci_bus *b, unsigned devfn, const struct irq *isa,
               struct irq reset);

extern const struct state_desc piix3_state;

#endif
