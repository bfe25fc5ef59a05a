/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UHCI and xHCI with a tablet, a keyboard and a disk: what a hostile driver may do with registers
 * and with lists in memory, which begin as a driver would set them up.  The first byte chooses the
 * controller.
 *
 * Each step is eight bytes: op, a, b (16 bits), value (32 bits).
 */
#include "dev/uhci.h"
#include "dev/usb_hid.h"
#include "dev/usb_storage.h"
#include "dev/xhci.h"

#include "../unit/dev/vguest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEVFN = 1 << 3 | 2, STEP = 8, STEPS_MAX = 600, DISK = 1 << 20, MMIO = 0x10000000 };
/* In memory. */
enum {
    CMD_RING = 0x100000,
    EVENT_RING = 0x101000,
    ERST = 0x102000,
    DCBAA = 0x103000,
    INPUT = 0x104000,
    CONTEXTS = 0x110000, /* 4 KiB a slot */
    RINGS = 0x200000,    /* 4 KiB an endpoint, 32 a slot */
    DATA = 0x300000,
    FRAMES = 0x100000, /* UHCI: frame list; TDs and queues behind it */
};

static struct vguest g;
static struct uhci uhci;
static struct xhci xhci;
static struct usb_hid tablet, keyboard;
static struct usb_storage disk;
static struct clock *ticks;
static u8 sectors[DISK];
static bool is_xhci;

static void submit(struct blk *b, struct blk_req *r)
{
    u8 *p = sectors + r->offset;
    int rc = range_within(r->offset, r->len, 0, DISK) ? 0 : -1;

    for (int i = 0; !rc && i < r->niov; p += r->iov[i++].iov_len) {
        if (r->op == BLK_READ)
            memcpy(r->iov[i].iov_base, p, r->iov[i].iov_len);
        else if (r->op == BLK_WRITE)
            memcpy(p, r->iov[i].iov_base, r->iov[i].iov_len);
    }
    r->done(r, rc);
}

static const struct blk_ops blk_ops = {.submit = submit};
static struct blk blk = {.ops = &blk_ops, .size = DISK, .block_size = 512};

static void save_and_load(const struct state_desc *d, void *obj, u32 at, u8 val)
{
    size_t n = state_size(d);
    u8 *buf = malloc(n);
    struct err e;

    if (!buf)
        return;
    state_save(d, obj, buf);
    buf[at % n] = val;
    state_load(d, obj, buf, n, &e);
    free(buf);
}

static void save_some(u8 a, u32 at, u8 val)
{
    switch (a % 5) {
    case 0:
        save_and_load(&usb_hid_state, &tablet, at, val);
        break;
    case 1:
        save_and_load(&usb_hid_state, &keyboard, at, val);
        break;
    case 2:
        save_and_load(&usb_storage_state, &disk, at, val);
        break;
    default:
        if (is_xhci)
            save_and_load(&xhci_state, &xhci, at, val);
        else
            save_and_load(&uhci_state, &uhci, at, val);
        break;
    }
}

static void reg(u32 off, u32 v)
{
    bus_write(&g.mmio, MMIO + off, 4, v);
}

static void trb(u64 at, u64 param, u32 status, u32 control)
{
    u8 *p = vg_hva(&g, at & (VG_RAM - 16));

    le64_put(p, param);
    le32_put(p + 8, status);
    le32_put(p + 12, control);
}

/* A driver's start: rings, a slot for each device, all endpoints. */
static void start_xhci(void)
{
    static const struct {
        u8 ep, type;
        u16 packet;
    } eps[] = {{1, 4, 64}, {3, 7, 8}, {3, 6, 512}, {4, 2, 512}};

    le64_put(vg_hva(&g, ERST), EVENT_RING);
    le32_put(vg_hva(&g, ERST + 8), 64);
    reg(0x40 + 0x38, XHCI_SLOTS);
    reg(0x40 + 0x30, DCBAA);
    reg(0x40 + 0x18, CMD_RING | 1);
    reg(0x1028, 1);
    reg(0x1030, ERST);
    reg(0x1034, 0);
    reg(0x1038, EVENT_RING);
    reg(0x1020, 2);
    reg(0x40, 5);
    for (unsigned i = 0; i < 3; i++) {
        u64 in = INPUT + 0x800 * i, cmd = CMD_RING + 16 * 3 * i;

        reg(0x440 + 16 * i, 0x210);
        le64_put(vg_hva(&g, DCBAA + 8 * (i + 1)), CONTEXTS + 0x1000 * i);
        le32_put(vg_hva(&g, in + 4), 3);
        le32_put(vg_hva(&g, in + 32), 5u << 27);
        le32_put(vg_hva(&g, in + 36), (i + 1) << 16);
        for (unsigned k = 0; k < ARRAY_SIZE(eps); k++) {
            u8 *c = vg_hva(&g, in + 32 + 32 * eps[k].ep);

            if ((k == 1 && i == 2) || (k > 1 && i < 2))
                continue;
            le32_put(c + 4, (u32)eps[k].packet << 16 | (u32)eps[k].type << 3);
            le64_put(c + 8, (RINGS + 0x1000 * (i * 32 + eps[k].ep)) | 1);
        }
        trb(cmd, 0, 0, 9 << 10 | 1);
        trb(cmd + 16, in, 0, (i + 1) << 24 | 11 << 10 | 1);
        reg(0x2000, 0);
        le32_put(vg_hva(&g, in + 4), i == 2 ? 0x19 : 0x09);
        trb(cmd + 32, in, 0, (i + 1) << 24 | 12 << 10 | 1);
        reg(0x2000, 0);
        if (xhci.dev[i])
            xhci.dev[i]->config = 1;
    }
}

/* A TRB on some ring, and maybe the doorbell. */
static void xhci_work(u8 a, u16 b, u32 v)
{
    unsigned slot = a % 3, ep = 1 + (a >> 2) % 5;
    struct xhci_ep *e = &xhci.slot[slot].ep[ep - 1];
    u64 param = DATA + (b & 0xffff);

    if (a & 0x80) { /* the device's own protocol: a command block of the disk */
        u8 *p = vg_hva(&g, DATA);

        le32_put(p, 0x43425355);
        le32_put(p + 8, b & 0x1fff);
        p[12] = v & 1 ? 0x80 : 0;
        p[13] = 0;
        p[14] = 16;
        le32_put(p + 15, v >> 8);
        slot = 2;
        ep = 4;
        e = &xhci.slot[2].ep[3];
        trb(e->deq, DATA, 31, 1 << 10 | 0x20 | e->ccs);
    } else {
        if ((v >> 10 & 0x3f) == 2)
            param = (u64)v << 32 | b;
        trb(e->deq + 16 * (b >> 14), param, v & 0x1ffff, (v & ~1u) | e->ccs);
    }
    reg(0x2000 + 4 * (slot + 1), ep);
}

static void uhci_work(u8 a, u16 b, u32 v)
{
    u32 at = FRAMES + 0x1000 + (b & 0xff) * 16;
    static const u8 pid[] = {0x69, 0xe1, 0x2d, 0x69};
    u8 *p = vg_hva(&g, at);

    le32_put(p, v & 3 ? (FRAMES + 0x1000 + (v >> 8 & 0xff) * 16) | (v & 6) : 1);
    le32_put(p + 4, 1u << 23 | (v & 0x21000000));
    le32_put(p + 8, (u32)((a & 0x3f) - 1) << 21 | (u32)(a >> 6) << 15 | (b >> 8 & 3) << 8 |
                        pid[b >> 10 & 3]);
    le32_put(p + 12, DATA + (v >> 16 & 0xff));
    le32_put(vg_hva(&g, FRAMES + (uhci.frnum & 0x3ff) * 4), at | (v >> 5 & 2));
    clock_advance(ticks, 1100000);
}

static void step(const u8 *s)
{
    u8 a = s[1];
    u16 b = le16_get(s + 2);
    u32 v = le32_get(s + 4);

    switch (s[0] % 12) {
    case 0:
        if (is_xhci)
            reg(b & 0x3ffc, v);
        else
            bus_write(&g.pio, 0xc000 + b % 32, 1u << a % 3, v);
        break;
    case 1:
        if (is_xhci)
            bus_read(&g.mmio, MMIO + (b & 0x3ffc), 4);
        else
            bus_read(&g.pio, 0xc000 + b % 32, 1u << a % 3);
        break;
    case 2:
    case 3:
    case 4:
    case 5:
        if (is_xhci)
            xhci_work(a, b, v);
        else
            uhci_work(a, b, v);
        break;
    case 6: /* a command */
        if (is_xhci) {
            trb(xhci.crcr & ~0xfull, INPUT + 0x800 * (a % 3), v,
                (b & ~1u) << 10 | (u32)(a % 4) << 24 | (v & 0x1f0200) | xhci.cmd_ccs);
            reg(0x2000, 0);
        } else {
            memcpy(vg_hva(&g, FRAMES + b), &v, 4);
        }
        break;
    case 7:
        memcpy(vg_hva(&g, (a & 1 ? INPUT : DATA) + (b & 0x1fff)), &v, 4);
        break;
    case 8:
        tablet.input.pointer(&tablet, b, v, (s8)a, a);
        keyboard.input.key(&keyboard, b, a & 1);
        break;
    case 9:
        clock_advance(ticks, v & 0xffffff);
        break;
    case 10:
        save_some(a, b | v << 16, (u8)v);
        break;
    case 11:
        pci_config_write(&g.pci, DEVFN, a & 0xfc, 4, v);
        break;
    }
}

static void plug(struct usb_dev *d)
{
    BUG_ON(is_xhci ? xhci_plug(&xhci, d) : uhci_plug(&uhci, d));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    vg_begin(&g);
    ticks = clock_new_manual();
    is_xhci = data[0] & 1;
    BUG_ON(is_xhci ? xhci_init(&xhci, &g.pci, DEVFN, ticks)
                   : uhci_init(&uhci, &g.pci, DEVFN, ticks));
    pthread_mutex_t *lock = is_xhci ? &xhci.pci.lock : &uhci.pci.lock;
    usb_hid_init(&tablet, USB_HID_TABLET, lock, &g.trace);
    usb_hid_init(&keyboard, USB_HID_KEYBOARD, lock, &g.trace);
    usb_storage_init(&disk, &blk, "1", is_xhci, lock, &g.trace);
    if (is_xhci || data[0] & 2)
        plug(&tablet.usb);
    plug(&disk.usb);
    if (is_xhci || !(data[0] & 2))
        plug(&keyboard.usb);
    pci_config_write(&g.pci, DEVFN, 0x10, 4, MMIO);
    pci_config_write(&g.pci, DEVFN, 0x14, 4, 0);
    pci_config_write(&g.pci, DEVFN, 0x20, 4, 0xc000);
    pci_config_write(&g.pci, DEVFN, 0x04, 2, 7);
    if (is_xhci) {
        start_xhci();
    } else {
        bus_write(&g.pio, 0xc008, 4, FRAMES);
        for (unsigned i = 0; i < UHCI_PORTS; i++)
            bus_write(&g.pio, 0xc010 + 2 * i, 2, 4);
        bus_write(&g.pio, 0xc004, 2, 15);
        bus_write(&g.pio, 0xc000, 2, 1);
        disk.usb.config = 1;
        for (unsigned i = 0; i < 1024; i++)
            le32_put(vg_hva(&g, FRAMES + 4 * i), 1);
    }
    for (unsigned i = 0; i < STEPS_MAX && size > STEP; i++, size -= STEP)
        step(data + 1 + i * STEP);
    if (is_xhci)
        xhci_destroy(&xhci);
    else
        uhci_destroy(&uhci);
    clock_free(ticks);
    vg_end(&g);
    return 0;
}
