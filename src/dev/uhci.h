/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The USB host controller of the PIIX3: UHCI 1.1 (Intel, 1996), two ports, PCI 8086:7020.
 */
#ifndef WIRT_DEV_UHCI_H
#define WIRT_DEV_UHCI_H

#include "base/clock.h"
#include "dev/pci.h"
#include "dev/usb.h"

enum { UHCI_PORTS = 2 };

/* Endpoint 0 of a device, packet by packet. */
struct uhci_control {
    u8 setup[USB_SETUP_LEN];
    u8 data[USB_CONTROL_MAX];
    u16 len, at; /* of data; at: moved so far */
    u8 stage;    /* 0 none, 1 data or status is next, 2 carried out */
    u8 address;  /* to be taken when the status stage is done */
};

struct uhci {
    struct pci_dev pci; /* first; its lock guards all of this and the devices */
    struct clock *clock;
    struct timer frame;
    u64 next; /* virtual time of the next frame */
    u16 cmd, sts, intr, frnum;
    u32 flbase;
    u8 sofmod;
    u16 port[UHCI_PORTS];
    u8 intr_causes; /* bit 0: completion or short packet, bit 1: error */
    struct uhci_control ctl[UHCI_PORTS];
    struct usb_dev *dev[UHCI_PORTS]; /* NULL = nothing plugged in */
    struct region io;
};

int uhci_init(struct uhci *u, struct pci_bus *b, unsigned devfn, struct clock *c);
void uhci_destroy(struct uhci *u);
/* Before the machine runs.  -ENOSPC: both ports are taken. */
int uhci_plug(struct uhci *u, struct usb_dev *d);

extern const struct state_desc uhci_state; /* beside pci_dev_state */

#endif
