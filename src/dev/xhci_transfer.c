/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xHCI: transfer rings (4.9, 4.10, 4.11).  A transfer descriptor (TD) is a chain of TRBs, read
 * whole before it is begun; one that the device cannot finish stays at the head of its ring with
 * the count of bytes moved, and is read again when the device wakes the endpoint.
 */
#include "dev/xhci.h"

#include "base/endian.h"

#include <string.h>

enum { TDS_MAX = 16, PIECE = 4096 };

struct td {
    unsigned n; /* of x->td[] */
    u32 total;  /* bytes */
    u64 end;    /* behind it */
    u8 ccs;
};

enum read_td { TD_NONE, TD_READ, TD_BAD };

static bool has_data(const struct xhci_trb *t)
{
    return xhci_type(t) == TRB_NORMAL || xhci_type(t) == TRB_DATA;
}

static u32 trb_len(const struct xhci_trb *t)
{
    return has_data(t) ? t->status & 0x1ffff : 0;
}

static enum read_td read_td(struct xhci *x, const struct xhci_ep *e, struct td *td)
{
    *td = (struct td){.end = e->deq, .ccs = e->ccs};
    do {
        if (td->n == XHCI_TD_TRBS)
            return TD_BAD;
        struct xhci_td_trb *t = &x->td[td->n];

        if (!xhci_fetch(x, &td->end, &td->ccs, &t->t, &t->at))
            return TD_NONE;
        td->total += trb_len(&t->t);
        td->n++;
    } while (x->td[td->n - 1].t.control & TRB_CH);
    return TD_READ;
}

/* Moves bytes [at, at+len) of the TD's buffers to (in) or from buf. */
static void copy_td(struct xhci *x, const struct td *td, u32 at, u8 *buf, u32 len, bool in)
{
    for (unsigned i = 0; i < td->n && len; i++) {
        const struct xhci_trb *t = &x->td[i].t;
        u32 have = trb_len(t), n;

        if (at >= have) {
            at -= have;
            continue;
        }
        n = min(have - at, len);
        if (t->control & TRB_IDT) { /* the data are in the TRB, eight bytes at most */
            u8 raw[8];

            le64_put(raw, t->param);
            memset(buf, 0, n);
            if (!in && at < 8)
                memcpy(buf, raw + at, min(n, 8 - at));
        } else if (in) {
            pci_dma_write(&x->pci, t->param + at, buf, n);
        } else if (!pci_dma_read(&x->pci, t->param + at, buf, n)) {
            memset(buf, 0xff, n);
        }
        buf += n;
        len -= n;
        at = 0;
    }
}

/* -------------------------------------------------------------------- events -- */

static void transfer_event(struct xhci *x, unsigned slot, unsigned ep, u64 ptr, enum xhci_code code,
                           u32 len, bool event_data)
{
    struct xhci_trb t = {.param = ptr,
                         .status = (len & 0xffffff) | (u32)code << 24,
                         .control = TRB_EV_TRANSFER << 10 | (slot + 1) << 24 | (ep + 1) << 16 |
                                    (event_data ? 4 : 0)};

    xhci_event(x, &t);
}

/* A TD came to its end after `done` bytes: tells what the driver wants to know (4.10.1, 4.11.5.2).
 */
static void report(struct xhci *x, unsigned slot, unsigned ep, const struct td *td,
                   enum xhci_code code, u32 done)
{
    u32 at = 0;
    bool ended = false, told = false;

    for (unsigned i = 0; i < td->n; i++) {
        const struct xhci_trb *t = &x->td[i].t;
        u32 len = trb_len(t), left = at + len - min(done, at + len);
        bool last = i + 1 == td->n, ioc = t->control & TRB_IOC;
        bool here = !ended && (last || (code != XCC_SUCCESS && at + len > done));

        if (xhci_type(t) == TRB_EVENT_DATA) {
            if (ioc)
                transfer_event(x, slot, ep, t->param, code, done, true);
        } else if (code == XCC_SUCCESS
                       ? ioc
                       : !told && (ended || here) &&
                             (ioc || code != XCC_SHORT || (here && t->control & TRB_ISP))) {
            transfer_event(x, slot, ep, x->td[i].at, code, left, false);
            told = true;
        }
        ended |= here;
        if (ended && code != XCC_SUCCESS && code != XCC_SHORT)
            return;
        at += len;
    }
}

static void consume(struct xhci_ep *e, const struct td *td)
{
    e->deq = td->end;
    e->ccs = td->ccs;
    e->done = 0;
    e->waits = 0;
}

/* The endpoint halts at this TD. */
static void halt(struct xhci *x, unsigned slot, unsigned ep, const struct td *td,
                 enum xhci_code code, u32 done)
{
    struct xhci_ep *e = &x->slot[slot].ep[ep];

    e->waits = 0;
    xhci_set_ep_state(x, slot, ep, XEP_HALTED);
    report(x, slot, ep, td, code, done);
}

/* ---------------------------------------------------------------- endpoint 0 -- */

static void end_control(struct xhci *x, unsigned slot, const struct td *td, enum xhci_code code,
                        u32 done)
{
    if (code != XCC_SUCCESS && code != XCC_SHORT) {
        x->slot[slot].stage = 0;
        halt(x, slot, 0, td, code, done);
        return;
    }
    consume(&x->slot[slot].ep[0], td);
    report(x, slot, 0, td, code, done);
}

/* SET_ADDRESS is the controller's own (Address Device): from the driver it is an error. */
static int carry_out(struct xhci_slot *s, struct usb_dev *d)
{
    u8 address = d->address;
    int n = usb_control(d, s->setup, s->ctl_data);

    d->address = address;
    s->stage = n < 0 ? 0 : 2;
    s->ctl_len = n < 0 ? 0 : (u16)n;
    return n;
}

static void control_td(struct xhci *x, unsigned slot, const struct td *td)
{
    struct xhci_slot *s = &x->slot[slot];
    struct usb_dev *d = x->dev[s->port];
    const struct xhci_trb *t = &x->td[0].t;
    bool in = s->setup[0] & 0x80;
    u32 n;

    switch (xhci_type(t)) {
    case TRB_SETUP:
        le64_put(s->setup, t->param);
        s->stage = 1;
        end_control(x, slot, td, XCC_SUCCESS, 0);
        break;
    case TRB_DATA:
        n = min(td->total, (u32)USB_CONTROL_MAX);
        if (!s->stage || in != !!(t->control & TRB_DIR_IN)) {
            end_control(x, slot, td, XCC_TRB, 0);
        } else if (!in) {
            copy_td(x, td, 0, s->ctl_data, n, false);
            end_control(x, slot, td, carry_out(s, d) < 0 ? XCC_STALL : XCC_SUCCESS, n);
        } else if (carry_out(s, d) < 0) {
            end_control(x, slot, td, XCC_STALL, 0);
        } else {
            n = min(n, (u32)s->ctl_len);
            copy_td(x, td, 0, s->ctl_data, n, true);
            end_control(x, slot, td, n < td->total ? XCC_SHORT : XCC_SUCCESS, n);
        }
        break;
    case TRB_STATUS:
        if (!s->stage)
            end_control(x, slot, td, XCC_STALL, 0);
        else if (s->stage == 1 && carry_out(s, d) < 0)
            end_control(x, slot, td, XCC_STALL, 0);
        else
            end_control(x, slot, td, XCC_SUCCESS, 0);
        s->stage = 0;
        break;
    case TRB_NOOP:
    case TRB_EVENT_DATA: /* alone, as Windows puts it behind a stage */
        end_control(x, slot, td, XCC_SUCCESS, 0);
        break;
    default:
        end_control(x, slot, td, XCC_TRB, 0);
        break;
    }
}

/* ------------------------------------------------------------ other endpoints -- */

/* Moves what the device has or takes; false: it is to be waited for. */
static bool data_td(struct xhci *x, unsigned slot, unsigned ep, const struct td *td)
{
    struct xhci_ep *e = &x->slot[slot].ep[ep];
    struct usb_dev *d = x->dev[x->slot[slot].port];
    bool in = (ep + 1) & 1;
    u8 number = (u8)((ep + 1) / 2), buf[PIECE];
    u32 packet = max(e->packet & 0x7ffu, 1u);

    e->waits = 1; /* a device may wake us while it is being asked */
    for (;;) {
        u32 left = td->total - min(e->done, td->total), len = min(left, (u32)PIECE);
        int n;

        if (!in)
            copy_td(x, td, e->done, buf, len, false);
        if (in && !len && e->done == td->total)
            n = 0;
        else
            n = in ? usb_in(d, number, buf, len) : usb_out(d, number, buf, len);
        if (n == USB_NAK || (!in && n >= 0 && !n && len))
            return false;
        if (n < 0) {
            halt(x, slot, ep, td, XCC_STALL, e->done);
            return true;
        }
        if (in)
            copy_td(x, td, e->done, buf, (u32)n, true);
        e->done += (u32)n;
        if (e->done >= td->total || (in && (!n || (u32)n % packet)))
            break;
    }
    u32 done = e->done;
    consume(e, td);
    report(x, slot, ep, td, done < td->total ? XCC_SHORT : XCC_SUCCESS, done);
    return true;
}

bool xhci_run_ep(struct xhci *x, unsigned slot, unsigned ep)
{
    struct xhci_slot *s = &x->slot[slot];
    struct xhci_ep *e = &s->ep[ep];
    struct td td;

    if (!s->used || s->state == XSLOT_ENABLED || !x->dev[s->port])
        return false;
    if (e->state == XEP_STOPPED) /* a doorbell starts it again */
        xhci_set_ep_state(x, slot, ep, XEP_RUNNING);
    for (unsigned i = 0; i < TDS_MAX; i++) {
        if (e->state != XEP_RUNNING)
            return false;
        switch (read_td(x, e, &td)) {
        case TD_NONE:
            return false;
        case TD_BAD:
            halt(x, slot, ep, &(struct td){.n = 1}, XCC_TRB, 0);
            return false;
        default:
            break;
        }
        if (!ep)
            control_td(x, slot, &td);
        else if (!data_td(x, slot, ep, &td))
            return false;
    }
    return true;
}

void xhci_stop_ep(struct xhci *x, unsigned slot, unsigned ep)
{
    struct xhci_ep *e = &x->slot[slot].ep[ep];
    struct td td;

    if (e->waits && read_td(x, e, &td) == TD_READ)
        report(x, slot, ep, &td, XCC_STOPPED, e->done);
}
