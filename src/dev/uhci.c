/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Universal Host Controller Interface 1.1.
 *
 * Each millisecond the controller walks a list in memory: transfer descriptors (TD, 3.2) and queue
 * heads (QH, 3.3) from the frame's entry of the frame list on.  A TD is one packet.  The walk is
 * bounded: a frame moves as many bytes as a frame of the wire would at most times a few, and
 * follows so many links.
 *
 * Left out: isochronous transfers beyond treating them as others, resume signalling, legacy
 * keyboard emulation (register C0h answers as if it were off).
 */
#include "dev/uhci.h"

#include "base/endian.h"

#include <errno.h>
#include <string.h>

enum {
    R_CMD = 0x00,
    R_STS = 0x02,
    R_INTR = 0x04,
    R_FRNUM = 0x06,
    R_FLBASE = 0x08,
    R_SOFMOD = 0x0c,
    R_PORT = 0x10,

    CMD_RS = 1 << 0,
    CMD_HCRESET = 1 << 1,
    CMD_GRESET = 1 << 2,
    CMD_EGSM = 1 << 3,
    STS_USBINT = 1 << 0,
    STS_ERROR = 1 << 1,
    STS_RESUME = 1 << 2,
    STS_HSE = 1 << 3,
    STS_HCPE = 1 << 4,
    STS_HALTED = 1 << 5,
    INTR_CRC = 1 << 0,
    INTR_RESUME = 1 << 1,
    INTR_IOC = 1 << 2,
    INTR_SHORT = 1 << 3,

    PORT_CCS = 1 << 0,
    PORT_CSC = 1 << 1,
    PORT_PE = 1 << 2,
    PORT_PEC = 1 << 3,
    PORT_RD = 1 << 6,
    PORT_ONE = 1 << 7,
    PORT_LOW = 1 << 8,
    PORT_PR = 1 << 9,
    PORT_SUSPEND = 1 << 12,

    LINK_T = 1,
    LINK_QH = 2,
    LINK_DEPTH = 4,

    TD_ACTIVE = 1 << 23,
    TD_STALLED = 1 << 22,
    TD_BABBLE = 1 << 20,
    TD_NAK = 1 << 19,
    TD_TIMEOUT = 1 << 18,
    TD_IOC = 1 << 24,
    TD_SPD = 1 << 29,

    PID_IN = 0x69,
    PID_OUT = 0xe1,
    PID_SETUP = 0x2d,

    FRAME_BYTES = 1280 * 8,
    FRAME_LINKS = 512,
    FRAMES_BEHIND = 16, /* more are skipped */
    TD_DATA_MAX = 1280,
    CAUSE_DONE = 1,
    CAUSE_ERROR = 2,
};
#define FRAME_NS 1000000ull

static void update_irq(struct uhci *u)
{
    bool level = (u->sts & STS_USBINT && u->intr & (INTR_IOC | INTR_SHORT)) ||
                 (u->sts & STS_ERROR && u->intr & INTR_CRC) ||
                 (u->sts & STS_RESUME && u->intr & INTR_RESUME) || u->sts & (STS_HSE | STS_HCPE);

    pci_set_intx(&u->pci, level);
}

/* ----------------------------------------------------------------- endpoint 0 -- */

static int control_setup(struct uhci_control *c, const u8 *buf, u32 len)
{
    if (len != USB_SETUP_LEN)
        return USB_STALL;
    memcpy(c->setup, buf, USB_SETUP_LEN);
    c->len = c->at = 0;
    c->stage = 1;
    return (int)len;
}

/* Carries the request out once its data are there.  SET_ADDRESS counts from the status stage on. */
static int control_run(struct uhci_control *c, struct usb_dev *d)
{
    u8 before = d->address;
    int n = usb_control(d, c->setup, c->data);

    c->stage = n < 0 ? 0 : 2;
    c->address = d->address;
    d->address = before;
    if (n >= 0 && c->setup[0] & 0x80)
        c->len = (u16)n;
    return n;
}

static int control_in(struct uhci_control *c, struct usb_dev *d, u8 *buf, u32 len)
{
    bool in = c->setup[0] & 0x80;
    u32 n;

    if (!c->stage || (c->stage == 1 && control_run(c, d) < 0))
        return USB_STALL;
    if (!in) { /* status */
        d->address = c->address;
        c->stage = 0;
        return 0;
    }
    n = min(len, (u32)(c->len - c->at));
    memcpy(buf, c->data + c->at, n);
    c->at += (u16)n;
    return (int)n;
}

static int control_out(struct uhci_control *c, struct usb_dev *d, const u8 *buf, u32 len)
{
    if (!c->stage)
        return USB_STALL;
    if (c->setup[0] & 0x80) { /* status */
        d->address = c->stage == 2 ? c->address : d->address;
        c->stage = 0;
        return (int)len;
    }
    if (len > (u32)USB_CONTROL_MAX - c->at)
        return USB_STALL;
    memcpy(c->data + c->at, buf, len);
    c->at += (u16)len;
    return (int)len;
}

/* -------------------------------------------------------------------- packets -- */

static int find_port(const struct uhci *u, u8 address)
{
    for (int i = 0; i < UHCI_PORTS; i++)
        if (u->dev[i] && u->port[i] & PORT_PE && !(u->port[i] & PORT_SUSPEND) &&
            u->dev[i]->address == address)
            return i;
    return -1;
}

/* One packet; len bytes at buf, room for as many.  Bytes, USB_NAK, USB_STALL, -ENODEV. */
static int packet(struct uhci *u, u32 token, u8 *buf, u32 len)
{
    int port = find_port(u, token >> 8 & 0x7f);
    u8 pid = (u8)token, ep = token >> 15 & 0xf;
    struct uhci_control *c;
    struct usb_dev *d;

    if (port < 0)
        return -ENODEV;
    d = u->dev[port];
    c = &u->ctl[port];
    switch (pid) {
    case PID_SETUP:
        return ep ? USB_STALL : control_setup(c, buf, len);
    case PID_IN:
        return ep ? usb_in(d, ep, buf, len) : control_in(c, d, buf, len);
    case PID_OUT:
        return ep ? usb_out(d, ep, buf, len) : control_out(c, d, buf, len);
    default:
        return -ENODEV;
    }
}

/* What a TD comes to. */
enum td_result { TD_NEXT, TD_AGAIN /* the queue stays where it is */, TD_FATAL };

static enum td_result run_td(struct uhci *u, u32 at, u32 *link, u32 *bytes)
{
    u8 raw[16], buf[TD_DATA_MAX];
    u32 status, token, len, done = 0x7ff;
    int n;

    if (!pci_dma_read(&u->pci, at, raw, sizeof(raw)))
        return TD_FATAL;
    *link = le32_get(raw);
    status = le32_get(raw + 4);
    token = le32_get(raw + 8);
    if (!(status & TD_ACTIVE))
        return TD_AGAIN;
    len = ((token >> 21) + 1) & 0x7ff;
    if (len > TD_DATA_MAX) {
        u->sts |= STS_HCPE | STS_HALTED;
        u->cmd &= ~CMD_RS;
        return TD_FATAL;
    }
    if ((u8)token != PID_IN && len)
        pci_dma_read(&u->pci, le32_get(raw + 12), buf, len);
    n = packet(u, token, buf, len);
    if (n == USB_NAK) {
        if (!(status & TD_NAK)) {
            le32_put(raw + 4, status | TD_NAK);
            pci_dma_write(&u->pci, at + 4, raw + 4, 4);
        }
        return TD_AGAIN;
    }
    status &= ~(u32)(TD_ACTIVE | TD_NAK | 0x7ff);
    if (n >= 0) {
        done = ((u32)n - 1) & 0x7ff;
        *bytes += (u32)n;
        if ((u8)token == PID_IN && n)
            pci_dma_write(&u->pci, le32_get(raw + 12), buf, (u32)n);
        status &= ~(3u << 27); /* no errors */
    } else {
        status |= TD_STALLED | (n == USB_STALL ? 0 : TD_TIMEOUT);
        u->intr_causes |= CAUSE_ERROR;
    }
    bool is_short = n >= 0 && (u32)n < len;
    if (status & TD_IOC || (is_short && status & TD_SPD && u->intr & INTR_SHORT))
        u->intr_causes |= CAUSE_DONE;
    le32_put(raw + 4, status | done);
    pci_dma_write(&u->pci, at + 4, raw + 4, 4);
    return n < 0 || (is_short && (u8)token == PID_IN && status & TD_SPD) ? TD_AGAIN : TD_NEXT;
}

/* TDs of one queue, depth first as long as they say so; the next horizontal link. */
static u32 run_queue(struct uhci *u, u32 at, u32 *bytes, u32 *links)
{
    u8 raw[8];
    u32 next, element, link;

    if (!pci_dma_read(&u->pci, at, raw, sizeof(raw)))
        return LINK_T;
    next = le32_get(raw);
    element = le32_get(raw + 4);
    while (!(element & LINK_T) && *links && *bytes < FRAME_BYTES) {
        (*links)--;
        if (element & LINK_QH) {
            /* A queue in a queue: gone into, and not come back from in this frame. */
            return element;
        }
        enum td_result r = run_td(u, element & ~0xfu, &link, bytes);

        if (r != TD_NEXT)
            break;
        element = link;
        le32_put(raw + 4, element);
        pci_dma_write(&u->pci, at + 4, raw + 4, 4);
        if (!(link & LINK_DEPTH))
            break;
    }
    return next;
}

/* Queues may form a ring (full speed bandwidth reclamation): once around it without a byte moved is
 * enough.  Rings are found as Brent finds them: a marked queue that comes again. */
struct ring {
    u32 mark, bytes, steps, limit;
};

static bool idle_ring(struct ring *r, u32 at, u32 bytes)
{
    bool again = r->limit && at == r->mark;

    if (again && bytes == r->bytes)
        return true;
    if (again)
        r->bytes = bytes;
    if (r->steps++ == r->limit) {
        *r = (struct ring){.mark = at, .bytes = bytes, .limit = r->limit * 2 + 1};
    }
    return false;
}

static void run_frame(struct uhci *u)
{
    u32 bytes = 0, links = FRAME_LINKS, link, next;
    struct ring ring = {0};
    u8 raw[4];

    u->intr_causes = 0;
    if (!pci_dma_read(&u->pci, u->flbase + (u->frnum & 0x3ff) * 4u, raw, 4))
        return;
    link = le32_get(raw);
    while (!(link & LINK_T) && links && bytes < FRAME_BYTES && u->cmd & CMD_RS) {
        links--;
        if (link & LINK_QH) {
            if (idle_ring(&ring, link & ~0xfu, bytes))
                break;
            link = run_queue(u, link & ~0xfu, &bytes, &links);
        } else if (run_td(u, link & ~0xfu, &next, &bytes) == TD_FATAL) {
            break;
        } else {
            link = next;
        }
    }
    u->sts |= (u->intr_causes & CAUSE_DONE ? STS_USBINT : 0) |
              (u->intr_causes & CAUSE_ERROR ? STS_ERROR : 0);
    update_irq(u);
}

static void on_frame(void *opaque)
{
    struct uhci *u = opaque;
    u64 now;

    pthread_mutex_lock(&u->pci.lock);
    now = clock_now(u->clock);
    if (u->next + FRAMES_BEHIND * FRAME_NS < now)
        u->next = now;
    while (u->cmd & CMD_RS && u->next <= now) {
        run_frame(u);
        u->frnum = (u->frnum + 1) & 0x7ff;
        u->next += FRAME_NS;
    }
    if (u->cmd & CMD_RS)
        timer_set(u->clock, &u->frame, u->next);
    pthread_mutex_unlock(&u->pci.lock);
}

/* ------------------------------------------------------------------ registers -- */

static void connect(struct uhci *u, unsigned i)
{
    u->port[i] = PORT_ONE;
    if (u->dev[i]) {
        u->port[i] |= PORT_CCS | PORT_CSC | (u->dev[i]->speed == USB_SPEED_LOW ? PORT_LOW : 0);
        usb_reset(u->dev[i]);
    }
    memset(&u->ctl[i], 0, sizeof(u->ctl[i]));
}

static void reset_controller(struct uhci *u)
{
    u->cmd = 0;
    u->sts = STS_HALTED;
    u->intr = u->frnum = 0;
    u->flbase = 0;
    u->sofmod = 64;
    timer_del(u->clock, &u->frame);
    for (unsigned i = 0; i < UHCI_PORTS; i++)
        connect(u, i);
    update_irq(u);
}

static void write_cmd(struct uhci *u, u16 val)
{
    if (val & CMD_HCRESET) {
        reset_controller(u);
        return;
    }
    if (val & CMD_GRESET)
        for (unsigned i = 0; i < UHCI_PORTS; i++)
            connect(u, i);
    if (val & CMD_RS && !(u->cmd & CMD_RS)) {
        u->sts &= ~STS_HALTED;
        u->next = clock_now(u->clock) + FRAME_NS;
        timer_set(u->clock, &u->frame, u->next);
    } else if (!(val & CMD_RS)) {
        u->sts |= STS_HALTED;
        timer_del(u->clock, &u->frame);
    }
    u->cmd = val & 0xff;
}

static void write_port(struct uhci *u, unsigned i, u16 val)
{
    const u16 plain = PORT_PE | PORT_RD | PORT_PR | PORT_SUSPEND;
    u16 old = u->port[i];

    if (old & PORT_PR && !(val & PORT_PR) && u->dev[i]) {
        usb_reset(u->dev[i]);
        memset(&u->ctl[i], 0, sizeof(u->ctl[i]));
    }
    u->port[i] = (u16)((old & ~plain) | (val & plain));
    u->port[i] &= (u16) ~(val & (PORT_CSC | PORT_PEC));
    if (u->port[i] & PORT_PR || !(u->port[i] & PORT_CCS))
        u->port[i] &= ~PORT_PE;
}

static void write_reg(struct uhci *u, unsigned off, u16 val)
{
    switch (off) {
    case R_CMD:
        write_cmd(u, val);
        break;
    case R_STS:
        u->sts &= ~(val & 0x1f);
        update_irq(u);
        break;
    case R_INTR:
        u->intr = val & 0xf;
        update_irq(u);
        break;
    case R_FRNUM:
        if (!(u->cmd & CMD_RS))
            u->frnum = val & 0x7ff;
        break;
    case R_FLBASE:
        u->flbase = (u->flbase & 0xffff0000) | (val & 0xf000);
        break;
    case R_FLBASE + 2:
        u->flbase = (u->flbase & 0xffff) | (u32)val << 16;
        break;
    case R_SOFMOD:
        u->sofmod = val & 0x7f;
        break;
    case R_PORT:
    case R_PORT + 2:
        write_port(u, (off - R_PORT) / 2, val);
        break;
    default:
        break;
    }
}

static u16 read_reg(const struct uhci *u, unsigned off)
{
    switch (off) {
    case R_CMD:
        return u->cmd;
    case R_STS:
        return u->sts;
    case R_INTR:
        return u->intr;
    case R_FRNUM:
        return u->frnum;
    case R_FLBASE:
        return (u16)u->flbase;
    case R_FLBASE + 2:
        return (u16)(u->flbase >> 16);
    case R_SOFMOD:
        return u->sofmod;
    case R_PORT:
    case R_PORT + 2:
        return u->port[(off - R_PORT) / 2];
    default:
        return 0xff7f; /* no port: bit 7 clear */
    }
}

static u64 io_read(void *opaque, u64 off, unsigned size)
{
    return size == 1 ? read_reg(opaque, off & ~1u) >> 8 * (off & 1)
                     : read_reg(opaque, (unsigned)off);
}

static void io_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct uhci *u = opaque;

    if (size == 1 && off != R_SOFMOD) { /* the other half stays, and clears nothing */
        u16 old = read_reg(u, off & ~1u) & (off == R_STS || off >= R_PORT ? 0xfff5 : 0xffff);

        val = off & 1 ? (old & 0x00ff) | val << 8 : (old & 0xff00) | val;
        off &= ~1ull;
        if (off == R_STS)
            val &= 0xff;
    }
    trace(u->pci.bus->trace, usb, "uhci: register %02x <- %04x", (unsigned)off, (u16)val);
    write_reg(u, (unsigned)off, (u16)val);
}

static const struct region_ops io_ops = {
    .read = io_read, .write = io_write, .min_width = 1, .max_width = 2, .aligned = true};

/* ----------------------------------------------------------------------- life -- */

static void reset(struct pci_dev *d)
{
    struct uhci *u = container_of(d, struct uhci, pci);

    pthread_mutex_lock(&d->lock);
    d->config[0xc0] = 0x00;
    d->config[0xc1] = 0x20;
    reset_controller(u);
    pthread_mutex_unlock(&d->lock);
}

int uhci_init(struct uhci *u, struct pci_bus *b, unsigned devfn, struct clock *c)
{
    int r;

    memset(u, 0, sizeof(*u));
    r = pci_dev_init(&u->pci, b, devfn, "uhci", 0x8086, 0x7020, 0x0c0300, 4);
    if (r)
        return r;
    pci_set_subsystem(&u->pci, 0x1af4, 0x1100);
    u->pci.config[0x60] = 0x10; /* USB 1.0 */
    u->pci.wmask[0xc0] = 0xbf;
    u->pci.wmask[0xc1] = 0x10;
    u->pci.reset = reset;
    u->clock = c;
    u->frame = (struct timer){.fn = on_frame, .opaque = u};
    u->io = (struct region){
        .name = "uhci", .size = 32, .ops = &io_ops, .opaque = u, .lock = &u->pci.lock};
    pci_bar_init(&u->pci, 4, PCI_BAR_IO, &u->io);
    reset_controller(u);
    return 0;
}

void uhci_destroy(struct uhci *u)
{
    timer_del(u->clock, &u->frame);
}

int uhci_plug(struct uhci *u, struct usb_dev *d)
{
    for (unsigned i = 0; i < UHCI_PORTS; i++) {
        if (u->dev[i])
            continue;
        u->dev[i] = d;
        connect(u, i);
        return 0;
    }
    return -ENOSPC;
}

static int loaded(void *obj, struct err *e)
{
    struct uhci *u = obj;

    for (unsigned i = 0; i < UHCI_PORTS; i++)
        if (u->ctl[i].at > USB_CONTROL_MAX || u->ctl[i].len > USB_CONTROL_MAX ||
            (u->ctl[i].setup[0] & 0x80 && u->ctl[i].at > u->ctl[i].len) ||
            !!(u->port[i] & PORT_CCS) != !!u->dev[i])
            return err_set(e, EINVAL, "port %u", i);
    u->next = clock_now(u->clock) + FRAME_NS;
    if (u->cmd & CMD_RS)
        timer_set(u->clock, &u->frame, u->next);
    else
        timer_del(u->clock, &u->frame);
    return 0;
}

static const struct field uhci_fields[] = {
    FIELD_MAX(struct uhci, cmd, 0xff), FIELD_MAX(struct uhci, sts, 0x3f),
    FIELD_MAX(struct uhci, intr, 0xf), FIELD_MAX(struct uhci, frnum, 0x7ff),
    FIELD(struct uhci, flbase),        FIELD_MAX(struct uhci, sofmod, 0x7f),
    FIELD_ARRAY(struct uhci, port),    FIELD_BYTES(struct uhci, ctl),
};
const struct state_desc uhci_state = {.name = "uhci",
                                      .version = 1,
                                      .fields = uhci_fields,
                                      .nfields = ARRAY_SIZE(uhci_fields),
                                      .loaded = loaded};
