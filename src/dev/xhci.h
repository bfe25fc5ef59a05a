/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A USB 3 host controller: eXtensible Host Controller Interface 1.0, PCI 1b36:000d.  Eight ports
 * for devices of up to high speed; four SuperSpeed ports with nothing behind them.
 */
#ifndef WIRT_DEV_XHCI_H
#define WIRT_DEV_XHCI_H

#include "base/clock.h"
#include "dev/pci.h"
#include "dev/usb.h"

enum {
    XHCI_SLOTS = 16,
    XHCI_EPS = 31, /* by device context index - 1 */
    XHCI_PORTS2 = 8,
    XHCI_PORTS = 12,
    XHCI_TD_TRBS = 512,
    XHCI_WAITING_EVENTS = 128,
    XHCI_TRB = 16,
};

struct xhci_trb {
    u64 param;
    u32 status, control;
};

enum xhci_ep_state { XEP_DISABLED, XEP_RUNNING, XEP_HALTED, XEP_STOPPED, XEP_ERROR };
enum xhci_slot_state { XSLOT_ENABLED, XSLOT_DEFAULT, XSLOT_ADDRESSED, XSLOT_CONFIGURED };

struct xhci_ep {
    u8 state; /* enum xhci_ep_state */
    u8 type;  /* 4.8.2 */
    u8 ccs;   /* consumer cycle state */
    u8 waits; /* the device had nothing, or no room */
    u16 packet;
    u32 done; /* bytes of the TD at deq that were moved */
    u64 deq;
};

struct xhci_slot {
    u8 used;
    u8 state; /* enum xhci_slot_state */
    u8 port;  /* 0-based */
    u8 stage; /* of endpoint 0: 0 none, 1 set up, 2 carried out */
    u64 ctx;  /* device context */
    struct xhci_ep ep[XHCI_EPS];
    u8 setup[USB_SETUP_LEN];
    u16 ctl_len;
    u8 ctl_data[USB_CONTROL_MAX];
};

struct xhci {
    struct pci_dev pci; /* first; its lock guards all of this and the devices */
    struct clock *clock;
    struct timer more;
    u32 cmd, sts, dnctrl, config;
    u64 crcr, dcbaap; /* crcr: the command ring's dequeue pointer */
    u8 cmd_ccs, cmd_running;
    u32 portsc[XHCI_PORTS];
    u32 iman, imod, erstsz;
    u64 erstba, erdp;
    u64 er_base; /* event ring: its one segment */
    u32 er_size, er_at;
    u8 er_pcs;
    u16 ev_head, ev_count; /* events that wait for room there */
    struct xhci_trb ev[XHCI_WAITING_EVENTS];
    struct xhci_slot slot[XHCI_SLOTS]; /* slot ID - 1 */

    u32 woken[XHCI_SLOTS]; /* endpoints that are to be looked at, a bit each */
    bool busy;             /* inside xhci_service() */
    struct xhci_td_trb {
        u64 at;
        struct xhci_trb t;
    } td[XHCI_TD_TRBS]; /* scratch */
    struct usb_dev *dev[XHCI_PORTS2];
    struct region mmio;
};

int xhci_init(struct xhci *x, struct pci_bus *b, unsigned devfn, struct clock *c);
void xhci_destroy(struct xhci *x);
/* Before the machine runs.  -ENOSPC: all ports are taken. */
int xhci_plug(struct xhci *x, struct usb_dev *d);

extern const struct state_desc xhci_state; /* beside pci_dev_state */

/* ---- between xhci*.c, with the lock held ---- */

enum xhci_code {
    XCC_SUCCESS = 1,
    XCC_TRANSACTION = 4,
    XCC_TRB = 5,
    XCC_STALL = 6,
    XCC_NO_SLOTS = 9,
    XCC_SLOT_NOT_ENABLED = 11,
    XCC_EP_NOT_ENABLED = 12,
    XCC_SHORT = 13,
    XCC_PARAMETER = 17,
    XCC_CONTEXT_STATE = 19,
    XCC_STOPPED = 26,
};

enum {
    TRB_C = 1 << 0,
    TRB_TC = 1 << 1, /* link: toggle cycle */
    TRB_ISP = 1 << 2,
    TRB_CH = 1 << 4,
    TRB_IOC = 1 << 5,
    TRB_IDT = 1 << 6,
    TRB_BSR = 1 << 9, /* and DC, of commands */
    TRB_DIR_IN = 1 << 16,

    TRB_NORMAL = 1,
    TRB_SETUP = 2,
    TRB_DATA = 3,
    TRB_STATUS = 4,
    TRB_LINK = 6,
    TRB_EVENT_DATA = 7,
    TRB_NOOP = 8,
    TRB_EV_TRANSFER = 32,
    TRB_EV_COMMAND = 33,
    TRB_EV_PORT = 34,
};

static inline unsigned xhci_type(const struct xhci_trb *t)
{
    return t->control >> 10 & 0x3f;
}

/* xhci.c */
void xhci_event(struct xhci *x, const struct xhci_trb *t); /* the cycle bit is its business */
/* The next TRB that is no link, from *at with cycle state *ccs on, which then point behind it;
 * false = none yet.  *where: its address. */
bool xhci_fetch(struct xhci *x, u64 *at, u8 *ccs, struct xhci_trb *t, u64 *where);
/* Looks at what is woken.  Not from inside itself. */
void xhci_service(struct xhci *x);
void xhci_halt(struct xhci *x); /* host controller error */

/* xhci_command.c */
void xhci_commands(struct xhci *x);
void xhci_set_ep_state(struct xhci *x, unsigned slot, unsigned ep, enum xhci_ep_state state);

/* xhci_transfer.c: the TDs of an endpoint; true = there is more to do. */
bool xhci_run_ep(struct xhci *x, unsigned slot, unsigned ep);
/* Stopping: tells of a TD that is half done. */
void xhci_stop_ep(struct xhci *x, unsigned slot, unsigned ep);

#endif
