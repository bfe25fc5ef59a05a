/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * eXtensible Host Controller Interface 1.0: registers, ports, event ring.  Section numbers are that
 * specification's.  xhci_command.c has the command ring, xhci_transfer.c the endpoints.
 *
 * Nothing runs by itself: a doorbell, or a device that has data, wakes an endpoint; so an idle
 * keyboard costs nothing.  Work that a guest could make endless is cut into pieces by a timer.
 *
 * Left out: streams, isochronous transfers, bandwidth (every endpoint fits), interrupt moderation,
 * more than one interrupter, resume by the device.
 */
#include "dev/xhci.h"

#include "base/endian.h"

#include <errno.h>
#include <string.h>

enum {
    CAP_LEN = 0x40,
    OPER = CAP_LEN,
    PORTS = OPER + 0x400,
    RUNTIME = 0x1000,
    INTERRUPTER = RUNTIME + 0x20,
    DOORBELLS = 0x2000,
    MMIO_LEN = 0x4000,

    CMD_RS = 1 << 0,
    CMD_HCRST = 1 << 1,
    CMD_INTE = 1 << 2,
    STS_HCH = 1 << 0,
    STS_HSE = 1 << 2,
    STS_EINT = 1 << 3,
    STS_PCD = 1 << 4,
    STS_HCE = 1 << 12,

    IMAN_IP = 1 << 0,
    IMAN_IE = 1 << 1,
    ERDP_EHB = 1 << 3,
    CRCR_RCS = 1 << 0,
    CRCR_CS = 1 << 1,
    CRCR_CA = 1 << 2,
    CRCR_CRR = 1 << 3,

    PORT_CCS = 1 << 0,
    PORT_PED = 1 << 1,
    PORT_PR = 1 << 4,
    PORT_PLS = 0xf << 5,
    PORT_PP = 1 << 9,
    PORT_SPEED = 0xf << 10,
    PORT_LWS = 1 << 16,
    PORT_CSC = 1 << 17,
    PORT_PEC = 1 << 18,
    PORT_PRC = 1 << 21,
    PORT_PLC = 1 << 22,
    PORT_CHANGES = 0x7f << 17,
    PORT_WAKE = 7 << 25,

    PLS_U0 = 0,
    PLS_U3 = 3,
    PLS_RX_DETECT = 5,
    PLS_POLLING = 7,
    PLS_RESUME = 15,

    SERVICE_MAX = 256, /* looks at endpoints in one go */
    LINKS_MAX = 8,
};
#define PORT_WPR 0x80000000u
#define MORE_NS  20000

/* -------------------------------------------------------------------- events -- */

static void update_irq(struct xhci *x, bool edge)
{
    bool on = x->iman & IMAN_IP && x->iman & IMAN_IE && x->cmd & CMD_INTE;

    if (!pci_msix_enabled(&x->pci)) {
        pci_set_intx(&x->pci, on);
    } else if (on && edge) {
        x->iman &= ~(u32)IMAN_IP; /* 4.17.5: the message takes it along */
        pci_msix_fire(&x->pci, 0);
    }
}

static void interrupt(struct xhci *x)
{
    x->sts |= STS_EINT;
    if (x->erdp & ERDP_EHB)
        return; /* the handler is at it */
    x->erdp |= ERDP_EHB;
    x->iman |= IMAN_IP;
    update_irq(x, true);
}

/* Is there room for one more?  (One place stays free: 4.9.4.) */
static bool event_room(const struct xhci *x)
{
    u64 deq = (x->erdp & ~0xfull) - x->er_base;

    if (!x->er_size)
        return false;
    if (deq >= (u64)x->er_size * XHCI_TRB)
        deq = 0;
    return (x->er_at + 1) % x->er_size != deq / XHCI_TRB;
}

static void put_event(struct xhci *x, const struct xhci_trb *t)
{
    u8 raw[XHCI_TRB];

    le64_put(raw, t->param);
    le32_put(raw + 8, t->status);
    le32_put(raw + 12, (t->control & ~(u32)TRB_C) | x->er_pcs);
    u64 at = x->er_base + (u64)x->er_at * XHCI_TRB;
    /* The cycle bit last: the driver polls it. */
    pci_dma_write(&x->pci, at, raw, 12);
    pci_dma_write(&x->pci, at + 12, raw + 12, 4);
    if (++x->er_at == x->er_size) {
        x->er_at = 0;
        x->er_pcs ^= 1;
    }
}

static void flush_events(struct xhci *x)
{
    bool any = false;

    while (x->ev_count && event_room(x)) {
        put_event(x, &x->ev[x->ev_head]);
        x->ev_head = (x->ev_head + 1) % XHCI_WAITING_EVENTS;
        x->ev_count--;
        any = true;
    }
    if (any)
        interrupt(x);
}

void xhci_event(struct xhci *x, const struct xhci_trb *t)
{
    if (x->ev_count == XHCI_WAITING_EVENTS) {
        xhci_halt(x); /* the driver has forgotten us */
        return;
    }
    x->ev[(x->ev_head + x->ev_count++) % XHCI_WAITING_EVENTS] = *t;
    flush_events(x);
}

void xhci_halt(struct xhci *x)
{
    x->sts |= STS_HCE | STS_HCH;
    x->cmd &= ~(u32)CMD_RS;
}

/* The event ring's segment table, of which the first entry counts (ERSTSZ 1). */
static void load_event_ring(struct xhci *x)
{
    u8 raw[16];

    x->er_size = x->er_at = 0;
    x->er_pcs = 1;
    if (!x->erstsz || !pci_dma_read(&x->pci, x->erstba, raw, sizeof(raw)))
        return;
    x->er_base = le64_get(raw) & ~0x3full;
    x->er_size = le32_get(raw + 8) & 0xffff;
    if (x->er_size < 16 || x->er_size > 4096)
        x->er_size = 0;
}

bool xhci_fetch(struct xhci *x, u64 *at, u8 *ccs, struct xhci_trb *t, u64 *where)
{
    u8 raw[XHCI_TRB];

    for (unsigned links = 0; links < LINKS_MAX; links++) {
        if (!pci_dma_read(&x->pci, *at, raw, sizeof(raw)))
            return false;
        *t = (struct xhci_trb){le64_get(raw), le32_get(raw + 8), le32_get(raw + 12)};
        if ((t->control & TRB_C) != *ccs)
            return false;
        if (xhci_type(t) != TRB_LINK) {
            *where = *at;
            *at += XHCI_TRB;
            return true;
        }
        *at = t->param & ~0xfull;
        if (t->control & TRB_TC)
            *ccs ^= 1;
    }
    return false;
}

/* ------------------------------------------------------------------- service -- */

static bool anything_woken(const struct xhci *x)
{
    for (unsigned s = 0; s < XHCI_SLOTS; s++)
        if (x->woken[s])
            return true;
    return false;
}

void xhci_service(struct xhci *x)
{
    unsigned left = SERVICE_MAX;

    if (x->busy || !(x->cmd & CMD_RS))
        return;
    x->busy = true;
    while (left && anything_woken(x)) {
        for (unsigned s = 0; left && s < XHCI_SLOTS; s++) {
            u32 now = x->woken[s];

            x->woken[s] = 0;
            for (; now && left; now &= now - 1, left--)
                if (xhci_run_ep(x, s, (unsigned)__builtin_ctz(now)))
                    x->woken[s] |= now & -now;
            x->woken[s] |= now; /* what is left of it */
        }
    }
    x->busy = false;
    if (anything_woken(x))
        timer_set(x->clock, &x->more, clock_now(x->clock) + MORE_NS);
}

static void on_more(void *opaque)
{
    struct xhci *x = opaque;

    pthread_mutex_lock(&x->pci.lock);
    xhci_service(x);
    pthread_mutex_unlock(&x->pci.lock);
}

static void wakeup(void *opaque, struct usb_dev *d, u8 ep)
{
    struct xhci *x = opaque;
    unsigned id = (ep & 0xfu) * 2 + !!(ep & 0x80) - 1;

    for (unsigned s = 0; s < XHCI_SLOTS; s++) {
        struct xhci_slot *slot = &x->slot[s];

        if (slot->used && slot->state != XSLOT_ENABLED && x->dev[slot->port] == d &&
            slot->ep[id].waits)
            x->woken[s] |= BIT(id);
    }
    xhci_service(x);
}

static void doorbell(struct xhci *x, unsigned n, u32 val)
{
    unsigned ep = val & 0xff;

    if (!(x->cmd & CMD_RS))
        return;
    if (!n)
        xhci_commands(x);
    else if (n <= XHCI_SLOTS && ep >= 1 && ep <= XHCI_EPS && x->slot[n - 1].used)
        x->woken[n - 1] |= BIT(ep - 1);
    xhci_service(x);
}

/* ---------------------------------------------------------------------- ports -- */

static void port_changed(struct xhci *x, unsigned i, u32 change)
{
    struct xhci_trb t = {
        .param = (u64)(i + 1) << 24, .status = XCC_SUCCESS << 24, .control = TRB_EV_PORT << 10};

    if (x->portsc[i] & change)
        return; /* it was told */
    x->portsc[i] |= change;
    x->sts |= STS_PCD;
    if (x->cmd & CMD_RS)
        xhci_event(x, &t);
}

static void set_link(struct xhci *x, unsigned i, u32 state)
{
    x->portsc[i] = (x->portsc[i] & ~(u32)PORT_PLS) | state << 5;
}

static void connect_port(struct xhci *x, unsigned i)
{
    struct usb_dev *d = i < XHCI_PORTS2 ? x->dev[i] : NULL;

    x->portsc[i] = PORT_PP;
    set_link(x, i, PLS_RX_DETECT);
    if (d) {
        x->portsc[i] |= PORT_CCS | PORT_CSC | (u32)d->speed << 10;
        set_link(x, i, PLS_POLLING);
        usb_reset(d);
    }
}

static void reset_port(struct xhci *x, unsigned i)
{
    if (i >= XHCI_PORTS2 || !x->dev[i])
        return;
    usb_reset(x->dev[i]);
    x->portsc[i] |= PORT_PED;
    set_link(x, i, PLS_U0);
    port_changed(x, i, PORT_PRC);
}

static void write_portsc(struct xhci *x, unsigned i, u32 val)
{
    u32 old = x->portsc[i], link = (val & PORT_PLS) >> 5, was = (old & PORT_PLS) >> 5;

    x->portsc[i] = (old & ~(u32)PORT_WAKE) | (val & PORT_WAKE);
    x->portsc[i] &= ~(val & PORT_CHANGES);
    if (val & (PORT_PR | PORT_WPR)) {
        reset_port(x, i);
        return;
    }
    if (val & PORT_PED) {
        x->portsc[i] &= ~(u32)PORT_PED;
        return;
    }
    if (!(val & PORT_LWS) || !(old & PORT_PED))
        return;
    if (link == PLS_U3 || link == PLS_RESUME) {
        set_link(x, i, link);
    } else if (link == PLS_U0) {
        set_link(x, i, PLS_U0);
        if (was != PLS_U0)
            port_changed(x, i, PORT_PLC);
    }
}

/* ------------------------------------------------------------------ registers -- */

static void set_low(u64 *r, u32 v)
{
    *r = (*r & ~0xffffffffull) | v;
}

static void set_high(u64 *r, u32 v)
{
    *r = (u32)*r | (u64)v << 32;
}

static void reset_controller(struct xhci *x)
{
    x->cmd = 0;
    x->sts = STS_HCH;
    x->dnctrl = x->config = 0;
    x->crcr = x->dcbaap = 0;
    x->cmd_ccs = x->cmd_running = 0;
    x->iman = x->erstsz = 0;
    x->imod = 4000;
    x->erstba = x->erdp = x->er_base = 0;
    x->er_size = x->er_at = 0;
    x->er_pcs = 1;
    x->ev_head = x->ev_count = 0;
    memset(x->slot, 0, sizeof(x->slot));
    memset(x->woken, 0, sizeof(x->woken));
    timer_del(x->clock, &x->more);
    for (unsigned i = 0; i < XHCI_PORTS; i++)
        connect_port(x, i);
    update_irq(x, false);
}

static void write_cmd(struct xhci *x, u32 val)
{
    bool ran = x->cmd & CMD_RS;

    if (val & CMD_HCRST) {
        reset_controller(x);
        return;
    }
    x->cmd = val & 0x0f0d;
    if (val & CMD_RS && !ran) {
        x->sts &= ~(u32)STS_HCH;
        for (unsigned i = 0; i < XHCI_PORTS; i++) { /* 4.19.2: changes from before */
            u32 changes = x->portsc[i] & PORT_CHANGES;

            x->portsc[i] &= ~changes;
            if (changes)
                port_changed(x, i, changes);
        }
        xhci_service(x);
    } else if (!(val & CMD_RS)) {
        x->sts |= STS_HCH;
        x->cmd_running = 0;
    }
    update_irq(x, false);
}

static void command_ring(struct xhci *x, u32 val)
{
    struct xhci_trb t = {.param = x->crcr & ~0x3full,
                         .status = 24u << 24, /* command ring stopped */
                         .control = TRB_EV_COMMAND << 10};

    if (val & (CRCR_CS | CRCR_CA) && x->cmd_running) {
        x->cmd_running = 0;
        xhci_event(x, &t);
    } else if (!x->cmd_running) {
        set_low(&x->crcr, val & ~0x3fu);
        x->cmd_ccs = val & CRCR_RCS;
    }
}

static void write_oper(struct xhci *x, unsigned off, u32 val)
{
    switch (off) {
    case 0x00:
        write_cmd(x, val);
        break;
    case 0x04:
        x->sts &= ~(val & (STS_HSE | STS_EINT | STS_PCD | 1u << 10));
        break;
    case 0x14:
        x->dnctrl = val & 0xffff;
        break;
    case 0x18:
        command_ring(x, val);
        break;
    case 0x1c:
        if (!x->cmd_running)
            set_high(&x->crcr, val);
        break;
    case 0x30:
        set_low(&x->dcbaap, val & ~0x3fu);
        break;
    case 0x34:
        set_high(&x->dcbaap, val);
        break;
    case 0x38:
        x->config = val & 0xff;
        break;
    default:
        break;
    }
}

static void write_interrupter(struct xhci *x, unsigned off, u32 val)
{
    switch (off) {
    case 0x00:
        x->iman &= ~(val & IMAN_IP);
        x->iman = (x->iman & ~(u32)IMAN_IE) | (val & IMAN_IE);
        update_irq(x, true);
        break;
    case 0x04:
        x->imod = val;
        break;
    case 0x08:
        x->erstsz = val & 0xffff;
        break;
    case 0x10:
        set_low(&x->erstba, val & ~0x3fu);
        break;
    case 0x14: /* the upper half comes last (Linux, Windows and the specification's order) */
        set_high(&x->erstba, val);
        load_event_ring(x);
        break;
    case 0x18:
        set_low(&x->erdp, (val & ~8u) | (val & ERDP_EHB ? 0 : (u32)x->erdp & ERDP_EHB));
        break;
    case 0x1c:
        set_high(&x->erdp, val);
        break;
    default:
        return;
    }
    if (off == 0x18 || off == 0x1c) {
        flush_events(x);
        /* Events that the handler has not seen: it is called again. */
        if (x->er_size && !(x->erdp & ERDP_EHB) &&
            x->er_base + (u64)x->er_at * XHCI_TRB != (x->erdp & ~0xfull))
            interrupt(x);
    }
}

/* 5.3 and 7.2: capabilities; the two lists of ports are behind HCCPARAMS1's pointer. */
static u32 read_cap(unsigned off)
{
    static const u32 cap[] = {
        [0x00 / 4] = CAP_LEN | 0x0100 << 16,
        [0x04 / 4] = XHCI_SLOTS | 1 << 8 | XHCI_PORTS << 24,
        [0x08 / 4] = 0x0000000f,
        [0x0c / 4] = 0,
        [0x10 / 4] = 0x20 / 4 << 16 | 1, /* 64-bit addresses, 32-byte contexts */
        [0x14 / 4] = DOORBELLS,
        [0x18 / 4] = RUNTIME,
        [0x1c / 4] = 0,
        [0x20 / 4] = 0x02000000 | 0x10 / 4 << 8 | 2,
        [0x24 / 4] = 0x20425355, /* "USB " */
        [0x28 / 4] = XHCI_PORTS2 << 8 | 1,
        [0x2c / 4] = 0,
        [0x30 / 4] = 0x03000000 | 2,
        [0x34 / 4] = 0x20425355,
        [0x38 / 4] = (XHCI_PORTS - XHCI_PORTS2) << 8 | (XHCI_PORTS2 + 1),
        [0x3c / 4] = 0,
    };

    return cap[off / 4];
}

static u32 read_oper(const struct xhci *x, unsigned off)
{
    switch (off) {
    case 0x00:
        return x->cmd;
    case 0x04:
        return x->sts;
    case 0x08:
        return 1; /* 4 KiB pages */
    case 0x14:
        return x->dnctrl;
    case 0x18:
        return x->cmd_running ? CRCR_CRR : 0;
    case 0x30:
        return (u32)x->dcbaap;
    case 0x34:
        return (u32)(x->dcbaap >> 32);
    case 0x38:
        return x->config;
    default:
        return 0;
    }
}

static u32 read_interrupter(const struct xhci *x, unsigned off)
{
    switch (off) {
    case 0x00:
        return x->iman;
    case 0x04:
        return x->imod;
    case 0x08:
        return x->erstsz;
    case 0x10:
        return (u32)x->erstba;
    case 0x14:
        return (u32)(x->erstba >> 32);
    case 0x18:
        return (u32)x->erdp;
    case 0x1c:
        return (u32)(x->erdp >> 32);
    default:
        return 0;
    }
}

static u64 mmio_read(void *opaque, u64 off64, unsigned size)
{
    const struct xhci *x = opaque;
    unsigned off = (unsigned)off64;

    if (off < CAP_LEN)
        return read_cap(off);
    if (off >= PORTS && off < PORTS + 16 * XHCI_PORTS)
        return (off & 15) ? 0 : x->portsc[(off - PORTS) / 16];
    if (off < PORTS)
        return read_oper(x, off - OPER);
    if (off == RUNTIME) /* MFINDEX: microframes */
        return clock_now(x->clock) / 125000 & 0x3fff;
    if (off >= INTERRUPTER && off < INTERRUPTER + 0x20)
        return read_interrupter(x, off - INTERRUPTER);
    return 0;
}

static void mmio_write(void *opaque, u64 off64, unsigned size, u64 val)
{
    struct xhci *x = opaque;
    unsigned off = (unsigned)off64;

    trace(x->pci.bus->trace, usb, "xhci: register %04x <- %08x", off, (u32)val);
    if (off >= DOORBELLS && off < DOORBELLS + 4 * (XHCI_SLOTS + 1))
        doorbell(x, (off - DOORBELLS) / 4, (u32)val);
    else if (off >= INTERRUPTER && off < INTERRUPTER + 0x20)
        write_interrupter(x, off - INTERRUPTER, (u32)val);
    else if (off >= PORTS && off < PORTS + 16 * XHCI_PORTS && !(off & 15))
        write_portsc(x, (off - PORTS) / 16, (u32)val);
    else if (off >= OPER && off < PORTS)
        write_oper(x, off - OPER, (u32)val);
}

static const struct region_ops mmio_ops = {
    .read = mmio_read, .write = mmio_write, .min_width = 4, .max_width = 4, .aligned = true};

/* ----------------------------------------------------------------------- life -- */

static void reset(struct pci_dev *d)
{
    struct xhci *x = container_of(d, struct xhci, pci);

    pthread_mutex_lock(&d->lock);
    reset_controller(x);
    pthread_mutex_unlock(&d->lock);
}

int xhci_init(struct xhci *x, struct pci_bus *b, unsigned devfn, struct clock *c)
{
    int r;

    memset(x, 0, sizeof(*x));
    r = pci_dev_init(&x->pci, b, devfn, "xhci", 0x1b36, 0x000d, 0x0c0330, 1);
    if (r)
        return r;
    pci_set_subsystem(&x->pci, 0x1af4, 0x1100);
    x->pci.config[8] = 1;
    x->pci.config[0x60] = 0x30; /* USB 3.0 */
    x->pci.cap_end = 0x90;
    x->pci.reset = reset;
    x->clock = c;
    x->more = (struct timer){.fn = on_more, .opaque = x};
    x->mmio = (struct region){
        .name = "xhci", .size = MMIO_LEN, .ops = &mmio_ops, .opaque = x, .lock = &x->pci.lock};
    pci_bar_init(&x->pci, 0, PCI_BAR_MEM64, &x->mmio);
    pci_msix_init(&x->pci, 1, 2);
    reset_controller(x);
    return 0;
}

void xhci_destroy(struct xhci *x)
{
    timer_del(x->clock, &x->more);
}

int xhci_plug(struct xhci *x, struct usb_dev *d)
{
    for (unsigned i = 0; i < XHCI_PORTS2; i++) {
        if (x->dev[i])
            continue;
        x->dev[i] = d;
        d->wakeup = wakeup;
        d->opaque = x;
        connect_port(x, i);
        return 0;
    }
    return -ENOSPC;
}

/* Endpoints that were at something go on with it. */
static int loaded(void *obj, struct err *e)
{
    struct xhci *x = obj;

    if (x->er_size > 4096 || (x->er_size && x->er_at >= x->er_size))
        return err_set(e, EINVAL, "event ring");
    for (unsigned s = 0; s < XHCI_SLOTS; s++) {
        if (x->slot[s].port >= XHCI_PORTS2 || x->slot[s].ctl_len > USB_CONTROL_MAX)
            return err_set(e, EINVAL, "slot %u", s + 1);
        x->woken[s] = 0;
        for (unsigned i = 0; x->slot[s].used && i < XHCI_EPS; i++)
            x->woken[s] |= x->slot[s].ep[i].state == XEP_RUNNING ? BIT(i) : 0;
    }
    timer_set(x->clock, &x->more, clock_now(x->clock) + MORE_NS);
    return 0;
}

static const struct field xhci_fields[] = {
    FIELD(struct xhci, cmd),
    FIELD(struct xhci, sts),
    FIELD(struct xhci, dnctrl),
    FIELD(struct xhci, config),
    FIELD(struct xhci, crcr),
    FIELD(struct xhci, dcbaap),
    FIELD_MAX(struct xhci, cmd_ccs, 1),
    FIELD_MAX(struct xhci, cmd_running, 1),
    FIELD_ARRAY(struct xhci, portsc),
    FIELD(struct xhci, iman),
    FIELD(struct xhci, imod),
    FIELD(struct xhci, erstsz),
    FIELD(struct xhci, erstba),
    FIELD(struct xhci, erdp),
    FIELD(struct xhci, er_base),
    FIELD(struct xhci, er_size),
    FIELD(struct xhci, er_at),
    FIELD_MAX(struct xhci, er_pcs, 1),
    FIELD_MAX(struct xhci, ev_head, XHCI_WAITING_EVENTS - 1),
    FIELD_MAX(struct xhci, ev_count, XHCI_WAITING_EVENTS),
    FIELD_BYTES(struct xhci, ev),
    FIELD_BYTES(struct xhci, slot),
};
const struct state_desc xhci_state = {.name = "xhci",
                                      .version = 1,
                                      .fields = xhci_fields,
                                      .nfields = ARRAY_SIZE(xhci_fields),
                                      .loaded = loaded};
