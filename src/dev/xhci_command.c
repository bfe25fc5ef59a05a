/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xHCI: the command ring (4.6) and the contexts that it works on (6.2).  Contexts are 32 bytes;
 * the device context at DCBAA[slot] belongs to the controller, which keeps it up to date, and the
 * input context is the driver's wish.
 */
#include "dev/xhci.h"

#include "base/endian.h"

#include <string.h>

enum {
    CMD_ENABLE_SLOT = 9,
    CMD_DISABLE_SLOT,
    CMD_ADDRESS_DEVICE,
    CMD_CONFIGURE_EP,
    CMD_EVALUATE,
    CMD_RESET_EP,
    CMD_STOP_EP,
    CMD_SET_DEQUEUE,
    CMD_RESET_DEVICE,
    CMD_NOOP = 23,

    COMMANDS_MAX = 64, /* in one go; a driver waits for far fewer */
    CTX = 32,
};

static void command_event(struct xhci *x, u64 where, enum xhci_code code, unsigned slot)
{
    struct xhci_trb t = {
        .param = where, .status = (u32)code << 24, .control = TRB_EV_COMMAND << 10 | slot << 24};

    xhci_event(x, &t);
}

/* ------------------------------------------------------------------- contexts -- */

static void write_slot_state(struct xhci *x, struct xhci_slot *s, unsigned address)
{
    static const u8 code[] = {0, 1, 2, 3};
    u8 raw[4];

    le32_put(raw, address | (u32)code[s->state] << 27);
    pci_dma_write(&x->pci, s->ctx + 12, raw, 4);
}

static u64 ep_ctx(const struct xhci_slot *s, unsigned ep)
{
    return s->ctx + CTX * (ep + 1ull);
}

void xhci_set_ep_state(struct xhci *x, unsigned slot, unsigned ep, enum xhci_ep_state state)
{
    struct xhci_slot *s = &x->slot[slot];
    struct xhci_ep *e = &s->ep[ep];
    u8 raw[12];

    e->state = (u8)state;
    if (!pci_dma_read(&x->pci, ep_ctx(s, ep), raw, 4))
        return;
    le32_put(raw, (le32_get(raw) & ~7u) | state);
    pci_dma_write(&x->pci, ep_ctx(s, ep), raw, 4);
    le64_put(raw, e->deq | e->ccs);
    pci_dma_write(&x->pci, ep_ctx(s, ep) + 8, raw, 8);
}

/* An endpoint as the driver's context describes it; it runs from now on. */
static enum xhci_code open_ep(struct xhci *x, unsigned slot, unsigned ep, u64 from)
{
    struct xhci_slot *s = &x->slot[slot];
    u8 raw[CTX];

    if (!pci_dma_read(&x->pci, from, raw, sizeof(raw)))
        return XCC_PARAMETER;
    s->ep[ep] = (struct xhci_ep){.state = XEP_RUNNING,
                                 .type = raw[4] >> 3 & 7,
                                 .packet = le16_get(raw + 6),
                                 .deq = le64_get(raw + 8) & ~0xfull,
                                 .ccs = raw[8] & 1};
    if (!s->ep[ep].type || !s->ep[ep].packet) {
        s->ep[ep].state = XEP_DISABLED;
        return XCC_PARAMETER;
    }
    raw[0] = (raw[0] & ~7u) | XEP_RUNNING;
    pci_dma_write(&x->pci, ep_ctx(s, ep), raw, sizeof(raw));
    return XCC_SUCCESS;
}

static void close_ep(struct xhci *x, unsigned slot, unsigned ep)
{
    xhci_set_ep_state(x, slot, ep, XEP_DISABLED);
    x->slot[slot].ep[ep] = (struct xhci_ep){0};
    x->woken[slot] &= ~BIT(ep);
}

/* ------------------------------------------------------------------- commands -- */

static enum xhci_code enable_slot(struct xhci *x, unsigned *slot)
{
    unsigned most = min(x->config, (u32)XHCI_SLOTS);

    for (unsigned i = 0; i < most; i++) {
        if (x->slot[i].used)
            continue;
        x->slot[i] = (struct xhci_slot){.used = 1};
        *slot = i + 1;
        return XCC_SUCCESS;
    }
    return XCC_NO_SLOTS;
}

static enum xhci_code address_device(struct xhci *x, unsigned n, const struct xhci_trb *t)
{
    struct xhci_slot *s = &x->slot[n];
    u64 in = t->param & ~0xfull;
    u8 raw[CTX], flags[8], where[8];
    enum xhci_code code;
    unsigned port;

    if (!pci_dma_read(&x->pci, in, flags, sizeof(flags)) ||
        !pci_dma_read(&x->pci, in + CTX, raw, sizeof(raw)) ||
        !pci_dma_read(&x->pci, x->dcbaap + 8 * (n + 1ull), where, sizeof(where)))
        return XCC_TRB;
    port = raw[6];
    if ((le32_get(flags + 4) & 3) != 3 || !port || port > XHCI_PORTS2 || le32_get(raw) & 0xfffff)
        return XCC_PARAMETER;
    if (s->state > XSLOT_DEFAULT || (s->state == XSLOT_DEFAULT && t->control & TRB_BSR))
        return XCC_CONTEXT_STATE;
    if (!x->dev[port - 1] || !(x->portsc[port - 1] & 2))
        return XCC_TRANSACTION;
    s->ctx = le64_get(where) & ~0x3full;
    s->port = (u8)(port - 1);
    s->stage = 0;
    pci_dma_write(&x->pci, s->ctx, raw, sizeof(raw));
    code = open_ep(x, n, 0, in + 2 * CTX);
    if (code != XCC_SUCCESS)
        return code;
    s->state = t->control & TRB_BSR ? XSLOT_DEFAULT : XSLOT_ADDRESSED;
    x->dev[s->port]->address = t->control & TRB_BSR ? 0 : (u8)(n + 1);
    write_slot_state(x, s, x->dev[s->port]->address);
    return XCC_SUCCESS;
}

static enum xhci_code configure(struct xhci *x, unsigned n, const struct xhci_trb *t)
{
    struct xhci_slot *s = &x->slot[n];
    u64 in = t->param & ~0xfull;
    bool off = t->control & TRB_BSR; /* deconfigure */
    u32 drop = ~3u, add = 0;
    enum xhci_code code = XCC_SUCCESS;
    u8 flags[8], raw[4], out[4];

    if (s->state < XSLOT_ADDRESSED)
        return XCC_CONTEXT_STATE;
    if (!off) {
        if (!pci_dma_read(&x->pci, in, flags, sizeof(flags)) ||
            !pci_dma_read(&x->pci, in + CTX, raw, sizeof(raw)))
            return XCC_TRB;
        drop = le32_get(flags);
        add = le32_get(flags + 4);
        if (drop & 3 || (add & 3) != 1)
            return XCC_PARAMETER;
    }
    for (unsigned i = 2; i <= XHCI_EPS; i++) {
        if ((drop | add) & BIT(i))
            close_ep(x, n, i - 1);
        if (add & BIT(i) && code == XCC_SUCCESS)
            code = open_ep(x, n, i - 1, in + CTX * (i + 1ull));
    }
    if (code != XCC_SUCCESS)
        return code;
    if (pci_dma_read(&x->pci, s->ctx, out, sizeof(out))) { /* context entries */
        u32 entries = off ? 1u << 27 : le32_get(raw) & 0xf8000000;

        le32_put(out, (le32_get(out) & 0x07ffffff) | entries);
        pci_dma_write(&x->pci, s->ctx, out, sizeof(out));
    }
    s->state = off ? XSLOT_ADDRESSED : XSLOT_CONFIGURED;
    write_slot_state(x, s, x->dev[s->port]->address);
    return XCC_SUCCESS;
}

static enum xhci_code evaluate(struct xhci *x, unsigned n, const struct xhci_trb *t)
{
    struct xhci_slot *s = &x->slot[n];
    u64 in = t->param & ~0xfull;
    u8 flags[8], raw[2];

    if (s->state < XSLOT_DEFAULT)
        return XCC_CONTEXT_STATE;
    if (!pci_dma_read(&x->pci, in, flags, sizeof(flags)))
        return XCC_TRB;
    /* Of the slot: latencies and the interrupter, which change nothing here.  Of endpoint 0: the
     * packet size. */
    if (le32_get(flags + 4) & 2 && pci_dma_read(&x->pci, in + 2 * CTX + 6, raw, sizeof(raw))) {
        if (!le16_get(raw))
            return XCC_PARAMETER;
        s->ep[0].packet = le16_get(raw);
        pci_dma_write(&x->pci, ep_ctx(s, 0) + 6, raw, sizeof(raw));
    }
    return XCC_SUCCESS;
}

static enum xhci_code reset_device(struct xhci *x, unsigned n)
{
    struct xhci_slot *s = &x->slot[n];

    if (s->state < XSLOT_ADDRESSED)
        return XCC_CONTEXT_STATE;
    for (unsigned i = 1; i < XHCI_EPS; i++)
        close_ep(x, n, i);
    s->state = XSLOT_DEFAULT;
    s->stage = 0;
    x->dev[s->port]->address = 0;
    write_slot_state(x, s, 0);
    return XCC_SUCCESS;
}

/* Commands to one endpoint. */
static enum xhci_code endpoint(struct xhci *x, unsigned n, const struct xhci_trb *t)
{
    unsigned id = t->control >> 16 & 0x1f, type = xhci_type(t);
    struct xhci_ep *e;

    if (!id || x->slot[n].state < XSLOT_DEFAULT)
        return XCC_TRB;
    e = &x->slot[n].ep[id - 1];
    if (e->state == XEP_DISABLED)
        return XCC_EP_NOT_ENABLED;
    if (type == CMD_RESET_EP) {
        if (e->state != XEP_HALTED)
            return XCC_CONTEXT_STATE;
        e->done = 0;
    } else if (type == CMD_STOP_EP) {
        if (e->state != XEP_RUNNING)
            return XCC_CONTEXT_STATE;
        xhci_stop_ep(x, n, id - 1);
    } else {
        if (e->state != XEP_STOPPED && e->state != XEP_ERROR)
            return XCC_CONTEXT_STATE;
        e->deq = t->param & ~0xfull;
        e->ccs = t->param & 1;
        e->done = 0;
    }
    e->waits = 0;
    xhci_set_ep_state(x, n, id - 1, XEP_STOPPED);
    return XCC_SUCCESS;
}

static enum xhci_code run(struct xhci *x, const struct xhci_trb *t, unsigned *slot)
{
    unsigned type = xhci_type(t), n = *slot - 1;

    if (type == CMD_ENABLE_SLOT)
        return enable_slot(x, slot);
    if (type == CMD_NOOP)
        return XCC_SUCCESS;
    if (type < CMD_ENABLE_SLOT || type > CMD_RESET_DEVICE)
        return XCC_TRB;
    if (n >= XHCI_SLOTS || !x->slot[n].used)
        return XCC_SLOT_NOT_ENABLED;
    switch (type) {
    case CMD_DISABLE_SLOT:
        x->slot[n] = (struct xhci_slot){0};
        x->woken[n] = 0;
        return XCC_SUCCESS;
    case CMD_ADDRESS_DEVICE:
        return address_device(x, n, t);
    case CMD_CONFIGURE_EP:
        return configure(x, n, t);
    case CMD_EVALUATE:
        return evaluate(x, n, t);
    case CMD_RESET_DEVICE:
        return reset_device(x, n);
    default:
        return endpoint(x, n, t);
    }
}

void xhci_commands(struct xhci *x)
{
    struct xhci_trb t;
    u64 where;

    x->cmd_running = 1;
    for (unsigned i = 0; i < COMMANDS_MAX && x->cmd_running; i++) {
        unsigned slot;
        enum xhci_code code;

        if (!xhci_fetch(x, &x->crcr, &x->cmd_ccs, &t, &where))
            return;
        slot = t.control >> 24;
        code = run(x, &t, &slot);
        trace(x->pci.bus->trace, usb, "xhci: command %u for slot %u: %u", xhci_type(&t), slot,
              code);
        command_event(x, where, code, slot);
    }
}
