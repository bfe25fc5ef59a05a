/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * USB: devices by themselves, and a small driver for each of the two controllers.
 */
#include "dev/uhci.h"
#include "dev/usb_hid.h"
#include "dev/usb_storage.h"
#include "dev/xhci.h"

#include <errno.h>
#include <linux/input-event-codes.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "vguest.h"

enum { DEVFN = 4 << 3, SECTORS = 300, MMIO = 0x10000000, MSIX = 0x10010000 };
enum {
    CMD_RING = 0x100000,
    EVENT_RING = 0x101000,
    ERST = 0x102000,
    DCBAA = 0x103000,
    INPUT = 0x104000,
    CONTEXT = 0x105000,
    EP0 = 0x106000,
    IN = 0x107000,
    OUT = 0x108000,
    DATA = 0x200000,
};

struct fixture {
    struct vguest g;
    struct clock *c;
    struct xhci x;
    struct uhci u;
    struct usb_hid tablet, keyboard;
    struct usb_storage disk;
    struct blk blk;
    u8 sectors[SECTORS * 512];
    struct blk_req *held; /* a request that the disk has not done yet */
    bool hold;
    u32 cmd_at, ep0_at, in_at, out_at, event_at;
};

static struct fixture f;

static void submit(struct blk *b, struct blk_req *r)
{
    u8 *p = f.sectors + r->offset;

    assert_true(range_within(r->offset, r->len, 0, sizeof(f.sectors)));
    for (int i = 0; i < r->niov; p += r->iov[i++].iov_len) {
        if (r->op == BLK_READ)
            memcpy(r->iov[i].iov_base, p, r->iov[i].iov_len);
        else if (r->op == BLK_WRITE)
            memcpy(p, r->iov[i].iov_base, r->iov[i].iov_len);
    }
    if (f.hold)
        f.held = r;
    else
        r->done(r, 0);
}

static const struct blk_ops blk_ops = {.submit = submit};

static void begin(bool xhci)
{
    pthread_mutex_t *lock = xhci ? &f.x.pci.lock : &f.u.pci.lock;

    memset(&f, 0, sizeof(f));
    vg_open(&f.g);
    f.c = clock_new_manual();
    f.blk = (struct blk){.ops = &blk_ops, .size = sizeof(f.sectors), .block_size = 512};
    for (unsigned i = 0; i < sizeof(f.sectors); i++)
        f.sectors[i] = (u8)(i / 512 + i);
    assert_int_equal(
        xhci ? xhci_init(&f.x, &f.g.pci, DEVFN, f.c) : uhci_init(&f.u, &f.g.pci, DEVFN, f.c), 0);
    usb_hid_init(&f.tablet, USB_HID_TABLET, lock, &f.g.trace);
    usb_hid_init(&f.keyboard, USB_HID_KEYBOARD, lock, &f.g.trace);
    usb_storage_init(&f.disk, &f.blk, "42", xhci, lock, &f.g.trace);
    pci_config_write(&f.g.pci, DEVFN, 0x10, 4, MMIO);
    pci_config_write(&f.g.pci, DEVFN, 0x14, 4, 0);
    pci_config_write(&f.g.pci, DEVFN, 0x18, 4, MSIX);
    pci_config_write(&f.g.pci, DEVFN, 0x20, 4, 0xc000);
    pci_config_write(&f.g.pci, DEVFN, 0x04, 2, 7);
}

static void end(void)
{
    if (f.x.pci.bus)
        xhci_destroy(&f.x);
    if (f.u.pci.bus)
        uhci_destroy(&f.u);
    vg_close(&f.g);
    clock_free(f.c);
}

/* -------------------------------------------------------------- a driver's xHCI -- */

static void reg(u32 off, u32 v)
{
    bus_write(&f.g.mmio, MMIO + off, 4, v);
}

static u32 get(u32 off)
{
    return (u32)bus_read(&f.g.mmio, MMIO + off, 4);
}

static void trb(u32 ring, u32 *at, u64 param, u32 status, u32 control)
{
    u8 *p = vg_hva(&f.g, ring + *at);

    le64_put(p, param);
    le32_put(p + 8, status);
    le32_put(p + 12, control | 1);
    *at += 16;
}

/* The next event; its completion code. */
static unsigned event(unsigned type, u32 *len, u64 *ptr)
{
    u8 *p = vg_hva(&f.g, EVENT_RING + f.event_at);
    u32 control = le32_get(p + 12);

    assert_int_equal(control & 1, 1);
    assert_int_equal(control >> 10 & 0x3f, type);
    if (len)
        *len = le32_get(p + 8) & 0xffffff;
    if (ptr)
        *ptr = le64_get(p);
    f.event_at += 16;
    reg(0x1038, (EVENT_RING + f.event_at) | 8);
    return le32_get(p + 8) >> 24;
}

static bool no_event(void)
{
    return !(vg_hva(&f.g, EVENT_RING + f.event_at)[12] & 1);
}

static unsigned command(u64 param, u32 control)
{
    trb(CMD_RING, &f.cmd_at, param, 0, control);
    reg(0x2000, 0);
    return event(33, NULL, NULL);
}

static void ep_context(unsigned ep, unsigned type, u32 packet, u32 ring)
{
    u8 *c = vg_hva(&f.g, INPUT + 32 + 32 * ep);

    le32_put(c + 4, packet << 16 | type << 3);
    le64_put(c + 8, ring | 1);
}

/* Until the device on port 1 is configured with endpoints 3 (in 1) and 4 (out 2). */
static void start_xhci(struct usb_dev *d, u32 packet, unsigned in_type)
{
    assert_int_equal(xhci_plug(&f.x, d), 0);
    assert_int_equal(get(0) & 0xff, 0x40);
    assert_int_equal(get(0x440) & 0x20001, 0x20001); /* connected, and that is news */
    le64_put(vg_hva(&f.g, ERST), EVENT_RING);
    le32_put(vg_hva(&f.g, ERST + 8), 256);
    reg(0x78, 4);
    reg(0x70, DCBAA);
    reg(0x58, CMD_RING | 1);
    reg(0x1028, 1);
    reg(0x1030, ERST);
    reg(0x1034, 0);
    reg(0x1038, EVENT_RING);
    reg(0x1020, 2);
    reg(0x40, 5);
    assert_int_equal(event(34, NULL, NULL), 1);
    assert_true(f.g.intx);
    reg(0x1020, 3);
    assert_false(f.g.intx);
    reg(0x440, 0x210); /* reset of the port */
    assert_int_equal(event(34, NULL, NULL), 1);
    assert_int_equal(get(0x440) & 0x3, 3);
    assert_int_equal(command(0, 9 << 10), 1);
    le64_put(vg_hva(&f.g, DCBAA + 8), CONTEXT);
    le32_put(vg_hva(&f.g, INPUT + 4), 3);
    le32_put(vg_hva(&f.g, INPUT + 32), 1u << 27);
    le32_put(vg_hva(&f.g, INPUT + 36), 1 << 16);
    ep_context(1, 4, 64, EP0);
    assert_int_equal(command(INPUT, 1 << 24 | 11 << 10), 1);
    assert_int_equal(le32_get(vg_hva(&f.g, CONTEXT + 12)), 2u << 27 | 1);
    le32_put(vg_hva(&f.g, INPUT + 4), 0x19);
    ep_context(3, in_type, packet, IN);
    ep_context(4, 2, packet, OUT);
    assert_int_equal(command(INPUT, 1 << 24 | 12 << 10), 1);
    assert_int_equal(le32_get(vg_hva(&f.g, CONTEXT + 32 * 3)) & 7, 1);
}

/* A control transfer on endpoint 0; the code of its last event. */
static unsigned control(u64 setup, u32 len, u32 *moved)
{
    bool in = setup & 0x80;
    u32 left = 0;
    unsigned code;

    trb(EP0, &f.ep0_at, setup, 8, 2 << 10 | 0x40);
    if (len)
        trb(EP0, &f.ep0_at, DATA, len, 3 << 10 | (in ? 1 << 16 : 0) | 4);
    trb(EP0, &f.ep0_at, 0, 0, 4 << 10 | 0x20 | (in ? 0 : 1 << 16));
    reg(0x2004, 1);
    code = event(32, &left, NULL);
    if (code == 13) /* the short packet; then the status stage */
        code = event(32, NULL, NULL);
    if (moved)
        *moved = len - left;
    return code;
}

static void test_xhci_tablet(void **state)
{
    u32 n;

    begin(true);
    start_xhci(&f.tablet.usb, 8, 7);
    assert_false(f.tablet.input.has_pointer(&f.tablet));
    assert_int_equal(control(0x0012000001000680ull | 0x40ull << 48, 64, &n), 1);
    assert_int_equal(n, 18);
    assert_memory_equal(vg_hva(&f.g, DATA), "\x12\x01\x10\x01", 4);
    assert_int_equal(control(0x0000000000010900ull, 0, NULL), 1);
    assert_true(f.tablet.input.has_pointer(&f.tablet));
    /* A request that nobody knows halts endpoint 0. */
    assert_int_equal(control(0x00000000000077c0ull, 0, NULL), 6);
    assert_int_equal(f.x.slot[0].ep[0].state, XEP_HALTED);
    assert_int_equal(command(0, 1 << 24 | 1 << 16 | 14 << 10), 1);
    assert_int_equal(command((EP0 + f.ep0_at) | 1, 1 << 24 | 1 << 16 | 16 << 10), 1);

    trb(IN, &f.in_at, DATA, 8, 1 << 10 | 0x24);
    reg(0x2004, 3);
    assert_true(no_event()); /* nothing to report, and nothing polls */
    f.tablet.input.pointer(&f.tablet, 1000, 2000, -1, INPUT_LEFT | INPUT_SIDE);
    assert_int_equal(event(32, &n, NULL), 13);
    assert_int_equal(n, 2);
    assert_memory_equal(vg_hva(&f.g, DATA), "\x09\xe8\x03\xd0\x07\x01", 6);
    /* A press, a move, a release: three reports; moves without a press between are one. */
    f.tablet.input.pointer(&f.tablet, 1, 1, 0, 0);
    f.tablet.input.pointer(&f.tablet, 2, 2, 0, INPUT_LEFT);
    f.tablet.input.pointer(&f.tablet, 3, 3, 0, INPUT_LEFT);
    f.tablet.input.pointer(&f.tablet, 4, 4, 0, INPUT_LEFT);
    f.tablet.input.pointer(&f.tablet, 4, 4, 0, 0);
    assert_int_equal(f.tablet.count, 4);
    trb(IN, &f.in_at, DATA, 8, 1 << 10 | 0x24);
    trb(IN, &f.in_at, DATA + 16, 8, 1 << 10 | 0x24);
    reg(0x2004, 3);
    event(32, NULL, NULL);
    event(32, NULL, NULL);
    assert_memory_equal(vg_hva(&f.g, DATA), "\x00\x01\x00\x01\x00\x00", 6);
    assert_memory_equal(vg_hva(&f.g, DATA + 16), "\x01\x02\x00\x02\x00\x00", 6);
    end();
}

/* A command block; the data; the status. */
static unsigned scsi(const u8 *cdb, u32 len, bool in, u32 *residue)
{
    u8 *p = vg_hva(&f.g, DATA);
    unsigned code;

    memset(p, 0, 31);
    le32_put(p, 0x43425355);
    le32_put(p + 4, 99);
    le32_put(p + 8, len);
    p[12] = in ? 0x80 : 0;
    p[14] = 16;
    memcpy(p + 15, cdb, 16);
    trb(OUT, &f.out_at, DATA, 31, 1 << 10 | 0x20);
    reg(0x2004, 4);
    assert_int_equal(event(32, NULL, NULL), 1);
    if (len) { /* in two pieces */
        u32 ring = in ? IN : OUT, *at = in ? &f.in_at : &f.out_at;

        trb(ring, at, DATA + 0x10000, len / 2, 1 << 10 | 0x14);
        trb(ring, at, DATA + 0x40000, len - len / 2, 1 << 10 | 0x24);
        reg(0x2004, in ? 3 : 4);
        if (f.held) {
            struct blk_req *r = f.held;

            assert_true(no_event());
            f.hold = false;
            f.held = NULL;
            r->done(r, 0);
        }
        code = event(32, NULL, NULL);
        if (code == 6) { /* halted: nothing, or no more */
            unsigned ep = in ? 3 : 4;

            assert_int_equal(command(0, 1 << 24 | ep << 16 | 14 << 10), 1);
            assert_int_equal(command((ring + *at) | 1, 1 << 24 | ep << 16 | 16 << 10), 1);
            assert_int_equal(control(in ? 0x0000008100000102ull : 0x0000000200000102ull, 0, NULL),
                             1);
        }
    }
    trb(IN, &f.in_at, DATA + 0x8000, 13, 1 << 10 | 0x24);
    reg(0x2004, 3);
    assert_int_equal(event(32, NULL, NULL), 1);
    p = vg_hva(&f.g, DATA + 0x8000);
    assert_int_equal(le32_get(p), 0x53425355);
    assert_int_equal(le32_get(p + 4), 99);
    *residue = le32_get(p + 8);
    return p[12];
}

static void test_xhci_disk(void **state)
{
    static const u8 inquiry[16] = {0x12, 0, 0, 0, 36}, capacity[16] = {0x25};
    static const u8 read[16] = {0x28, 0, 0, 0, 0, 10, 0, 0, 200};
    static const u8 write[16] = {0x2a, 0, 0, 0, 0, 20, 0, 0, 4};
    static const u8 beyond[16] = {0x28, 0, 0, 0, 1, 0, 0, 0, 200}, sense[16] = {3, 0, 0, 0, 18};
    static const u8 unknown[16] = {0xee}, sync[16] = {0x35};
    u32 n;

    begin(true);
    start_xhci(&f.disk.usb, 512, 6);
    assert_int_equal(control(0x0000000000010900ull, 0, NULL), 1);
    assert_int_equal(scsi(inquiry, 36, true, &n), 0);
    assert_int_equal(n, 0);
    assert_memory_equal(vg_hva(&f.g, DATA + 0x10008), "Wirt    US", 10);
    assert_memory_equal(vg_hva(&f.g, DATA + 0x40000), "B disk", 6);
    assert_int_equal(scsi(capacity, 8, true, &n), 0);
    assert_memory_equal(vg_hva(&f.g, DATA + 0x10000), "\0\0\x01\x2b", 4);
    /* 100 KiB, more than the buffer; the disk takes its time. */
    f.hold = true;
    assert_int_equal(scsi(read, 200 * 512, true, &n), 0);
    assert_int_equal(n, 0);
    assert_memory_equal(vg_hva(&f.g, DATA + 0x10000), f.sectors + 10 * 512, 100 * 512);
    assert_memory_equal(vg_hva(&f.g, DATA + 0x40000), f.sectors + 110 * 512, 100 * 512);
    memset(vg_hva(&f.g, DATA + 0x10000), 0x5a, 1024);
    memset(vg_hva(&f.g, DATA + 0x40000), 0xa5, 1024);
    assert_int_equal(scsi(write, 2048, false, &n), 0);
    assert_int_equal(f.sectors[20 * 512] << 8 | f.sectors[24 * 512 - 1], 0x5aa5);
    assert_int_equal(scsi(sync, 0, false, &n), 0);
    /* Errors: status, sense, and the endpoint halts when there are no data. */
    assert_int_equal(scsi(beyond, 512, true, &n), 1);
    assert_int_equal(n, 512);
    assert_int_equal(scsi(sense, 18, true, &n), 0);
    assert_int_equal(vg_hva(&f.g, DATA + 0x10002)[0], 5);
    assert_int_equal(vg_hva(&f.g, DATA + 0x40003)[0], 0x21);
    assert_int_equal(scsi(unknown, 0, false, &n), 1);
    f.blk.readonly = true;
    assert_int_equal(scsi(write, 2048, false, &n), 1);
    assert_int_equal(n, 0); /* taken and dropped */
    f.blk.readonly = false;
    end();
}

static void test_xhci_state(void **state)
{
    static u8 buf[1 << 16];
    struct err e;
    size_t n;

    begin(true);
    start_xhci(&f.tablet.usb, 8, 7);
    assert_int_equal(control(0x0000000000010900ull, 0, NULL), 1);
    trb(IN, &f.in_at, DATA, 8, 1 << 10 | 0x24);
    reg(0x2004, 3);
    n = state_size(&xhci_state);
    assert_true(n <= sizeof(buf));
    state_save(&xhci_state, &f.x, buf);
    reg(0x40, 2);
    assert_int_equal(state_load(&xhci_state, &f.x, buf, n, &e), 0);
    f.tablet.usb.config = 1;
    clock_advance(f.c, 1000000);
    f.tablet.input.pointer(&f.tablet, 7, 8, 0, 0);
    assert_int_equal(event(32, NULL, NULL), 13);
    assert_memory_equal(vg_hva(&f.g, DATA), "\0\7\0\x08\0\0", 6);
    end();
}

/* -------------------------------------------------------------------------- UHCI -- */

static void uhci_td(unsigned i, u8 pid, u8 ep, u32 len, u32 at)
{
    u8 *p = vg_hva(&f.g, 0x120000 + 32 * i);

    le32_put(p, (0x120000 + 32 * (i + 1)) | 4);
    le32_put(p + 4, 1u << 23 | 1u << 24);
    le32_put(p + 8, (len - 1) << 21 | (u32)ep << 15 | pid);
    le32_put(p + 12, at);
}

static u32 uhci_status(unsigned i)
{
    return le32_get(vg_hva(&f.g, 0x120000 + 32 * i + 4));
}

static void uhci_go(unsigned n)
{
    le32_put(vg_hva(&f.g, 0x120000 + 32 * (n - 1)), 1); /* the last */
    le32_put(vg_hva(&f.g, 0x130000), 1);
    le32_put(vg_hva(&f.g, 0x130004), 0x120000);
    clock_advance(f.c, 1100000);
}

static void test_uhci(void **state)
{
    begin(false);
    assert_int_equal(uhci_plug(&f.u, &f.keyboard.usb), 0);
    assert_int_equal(uhci_plug(&f.u, &f.tablet.usb), 0);
    assert_int_equal(uhci_plug(&f.u, &f.disk.usb), -ENOSPC);
    for (unsigned i = 0; i < 1024; i++)
        le32_put(vg_hva(&f.g, 0x110000 + 4 * i), 0x130000 | 2);
    le32_put(vg_hva(&f.g, 0x130004), 1);
    bus_write(&f.g.pio, 0xc008, 4, 0x110000);
    bus_write(&f.g.pio, 0xc004, 2, 15);
    assert_int_equal(bus_read(&f.g.pio, 0xc010, 2), 0x83); /* connected, changed */
    bus_write(&f.g.pio, 0xc010, 2, 0x202);
    bus_write(&f.g.pio, 0xc010, 2, 0);
    bus_write(&f.g.pio, 0xc010, 2, 4);
    assert_int_equal(bus_read(&f.g.pio, 0xc010, 2), 0x85);
    bus_write(&f.g.pio, 0xc000, 2, 1);
    /* GET_DESCRIPTOR, 18 bytes in packets of 8. */
    memcpy(vg_hva(&f.g, DATA), "\x80\x06\0\x01\0\0\x12\0", 8);
    uhci_td(0, 0x2d, 0, 8, DATA);
    uhci_td(1, 0x69, 0, 8, DATA + 0x100);
    uhci_td(2, 0x69, 0, 8, DATA + 0x108);
    uhci_td(3, 0x69, 0, 8, DATA + 0x110);
    uhci_td(4, 0xe1, 0, 0, 0);
    uhci_go(5);
    assert_int_equal(uhci_status(3) & 0x80007ff, 1);
    assert_int_equal(uhci_status(4) & 1u << 23, 0);
    assert_memory_equal(vg_hva(&f.g, DATA + 0x100), "\x12\x01", 2);
    assert_int_equal(vg_hva(&f.g, DATA + 0x111)[0], 1);
    assert_true(f.g.intx);
    bus_write(&f.g.pio, 0xc002, 2, 1);
    assert_false(f.g.intx);
    /* SET_CONFIGURATION, then a key. */
    memcpy(vg_hva(&f.g, DATA), "\x00\x09\x01\0\0\0\0\0", 8);
    uhci_td(0, 0x2d, 0, 8, DATA);
    uhci_td(1, 0x69, 0, 0, 0);
    uhci_go(2);
    assert_int_equal(f.keyboard.usb.config, 1);
    uhci_td(0, 0x69, 1, 8, DATA + 0x200);
    uhci_go(1);
    assert_int_equal(uhci_status(0) >> 19 & 0x11, 0x11); /* still active, NAK */
    f.keyboard.input.key(&f.keyboard, KEY_LEFTSHIFT, true);
    f.keyboard.input.key(&f.keyboard, KEY_A, true);
    clock_advance(f.c, 1000000);
    assert_int_equal(uhci_status(0) & (1u << 23 | 0x7ff), 7);
    uhci_td(0, 0x69, 1, 8, DATA + 0x208);
    uhci_go(1);
    assert_memory_equal(vg_hva(&f.g, DATA + 0x200), "\x02\0\0\0\0\0\0\0\x02\0\x04\0\0\0\0\0", 16);
    /* Nobody has address 5: stalled, timed out. */
    uhci_td(0, 0x69, 0, 8, DATA);
    vg_hva(&f.g, 0x120009)[0] |= 5;
    uhci_go(1);
    assert_int_equal(uhci_status(0) & (1u << 23 | 1u << 22 | 1u << 18), 1u << 22 | 1u << 18);
    assert_int_equal(bus_read(&f.g.pio, 0xc002, 2) & 2, 2);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_xhci_tablet),
        cmocka_unit_test(test_xhci_disk),
        cmocka_unit_test(test_xhci_state),
        cmocka_unit_test(test_uhci),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
