/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PC's USB: a controller and what is plugged into it.
 */
#include "board/pc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEVFN_UHCI = 1 << 3 | 2 };

static pthread_mutex_t *lock_of(const struct pc_usb *u)
{
    return u->uhci ? &u->uhci->pci.lock : &u->xhci->pci.lock;
}

static int plug(struct pc_usb *u, struct usb_dev *d, struct err *e)
{
    int r = u->uhci ? uhci_plug(u->uhci, d) : xhci_plug(u->xhci, d);
    return r ? err_set(e, -r, "USB: no port is left for %s: UHCI has %d, xHCI %d", d->name,
                       UHCI_PORTS, XHCI_PORTS2)
             : 0;
}

static int open_controller(struct pc *pc, struct err *e)
{
    struct pc_usb *u = &pc->usb;
    int r = -ENOMEM;
    if (pc->cfg.usb.uhci) {
        u->uhci = calloc(1, sizeof(*u->uhci));
        if (u->uhci)
            r = uhci_init(u->uhci, &pc->pci, DEVFN_UHCI, pc->vm->clock);
    } else {
        u->xhci = calloc(1, sizeof(*u->xhci));
        if (u->xhci)
            r = xhci_init(u->xhci, &pc->pci, pc->next_slot++ << 3, pc->vm->clock);
    }
    return r ? err_set(e, -r, "USB: %s", strerror(-r)) : 0;
}

static int open_hid(struct pc *pc, struct usb_hid **h, enum usb_hid_kind kind, struct err *e)
{
    *h = calloc(1, sizeof(**h));
    if (!*h)
        return err_set(e, ENOMEM, "USB: out of memory");
    usb_hid_init(*h, kind, lock_of(&pc->usb), &pc->vm->trace);
    return plug(&pc->usb, &(*h)->usb, e);
}

static int open_disk(struct pc *pc, unsigned i, struct err *e)
{
    struct pc_usb *u = &pc->usb;
    char serial[20];
    int r = pc_open_image(pc, &u->blk[i], &pc->cfg.usb.disk[i], e);
    if (r)
        return r;
    u->disk[i] = calloc(1, sizeof(*u->disk[i]));
    if (!u->disk[i])
        return err_set(e, ENOMEM, "USB: out of memory");
    snprintf(serial, sizeof(serial), "WIRTUSB%05u", i);
    usb_storage_init(u->disk[i], u->blk[i], serial, !u->uhci, lock_of(u), &pc->vm->trace);
    return plug(u, &u->disk[i]->usb, e);
}

int pc_open_usb(struct pc *pc, struct err *e)
{
    const struct usb_config *c = &pc->cfg.usb;
    int r = c->on ? open_controller(pc, e) : 0;
    if (!r && c->tablet)
        r = open_hid(pc, &pc->usb.tablet, USB_HID_TABLET, e);
    if (!r && c->keyboard)
        r = open_hid(pc, &pc->usb.keyboard, USB_HID_KEYBOARD, e);
    for (unsigned i = 0; !r && i < c->ndisks; i++)
        r = open_disk(pc, i, e);
    return r;
}

void pc_drain_usb(struct pc *pc)
{
    for (unsigned i = 0; i < ARRAY_SIZE(pc->usb.disk); i++)
        if (pc->usb.disk[i])
            usb_storage_drain(pc->usb.disk[i]);
}

void pc_close_usb(struct pc *pc)
{
    struct pc_usb *u = &pc->usb;
    if (u->uhci && u->uhci->pci.bus)
        uhci_destroy(u->uhci);
    if (u->xhci && u->xhci->pci.bus)
        xhci_destroy(u->xhci);
    for (unsigned i = 0; i < ARRAY_SIZE(u->disk); i++) {
        if (u->blk[i])
            u->blk[i]->ops->close(u->blk[i]);
        free(u->disk[i]);
    }
    free(u->keyboard);
    free(u->tablet);
    free(u->uhci);
    free(u->xhci);
}
