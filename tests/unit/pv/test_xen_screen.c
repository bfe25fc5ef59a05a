/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vfb and vkbd: a front end by hand, honest and not.
 */
#include "domain.h"

#include "base/endian.h"
#include "core/display.h"
#include "pv/xen/xenbus.h"

#include <linux/input-event-codes.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { ARG = 0x1000, PAGE = 0x300, LIST = 0x301, PIXELS = 0x310 }; /* gfns */
enum { W = 64, H = 48, LINE = 300, NPAGES = 4, EVENT = 40 };

struct fixture {
    struct domain d;
    struct display screen;
    struct display_view view;
    struct input_sink input;
    u16 port;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct xen_config c = {.screen = &f->screen, .input = &f->input, .width = 1000, .height = 500};

    display_init(&f->screen, NULL);
    domain_open(&f->d, 1, &c);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    display_view_free(&f->view);
    domain_close(&f->d);
    display_destroy(&f->screen);
    free(f);
    return 0;
}

static u8 *page(struct fixture *f, u64 gfn)
{
    return f->d.vm.mem.hva + (gfn << PAGE_SHIFT);
}

static void node(struct fixture *f, const char *dev, const char *name, const char *value)
{
    char path[XS_PATH_MAX];

    snprintf(path, sizeof(path), "/local/domain/1/device/%s/0/%s", dev, name);
    xenstore_lock(f->d.x->store);
    xs_write(f->d.x->store, path, "%s", value);
    xenstore_unlock(f->d.x->store);
}

static unsigned state_of(struct fixture *f, const char *dev)
{
    char path[XS_PATH_MAX];
    u64 v = 0;

    snprintf(path, sizeof(path), "/local/domain/0/backend/%s/1/0/state", dev);
    xenstore_lock(f->d.x->store);
    assert_true(xs_read_number(f->d.x->store, path, 9, &v));
    xenstore_unlock(f->d.x->store);
    return (unsigned)v;
}

static void connect(struct fixture *f, const char *dev)
{
    struct {
        u16 dom, remote_dom;
        u32 port;
    } a = {DOMID_SELF, XEN_DOMID_BACKEND, 0};
    char num[16];

    domain_put(&f->d, ARG, &a, sizeof(a));
    assert_int_equal(
        domain_call(&f->d, HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, ARG, 0), 0);
    f->port = (u16)domain_u32(&f->d, ARG + 4);
    snprintf(num, sizeof(num), "%u", f->port);
    node(f, dev, "event-channel", num);
    snprintf(num, sizeof(num), "%u", (unsigned)PAGE);
    node(f, dev, "page-ref", num);
    node(f, dev, "protocol", "x86_64-abi");
    node(f, dev, "state", "1");
    node(f, dev, "state", "3");
}

/* A picture whose lines are longer than they are wide, and cross pages. */
static void make_picture(struct fixture *f)
{
    u8 *p = page(f, PAGE);

    memset(p, 0, PAGE_SIZE);
    le32_put(p + 16, W);
    le32_put(p + 20, H);
    le32_put(p + 24, LINE);
    le32_put(p + 28, NPAGES * PAGE_SIZE);
    p[32] = 32;
    le64_put(p + 40, LIST);
    for (unsigned i = 0; i < NPAGES; i++) /* in another order than they lie */
        le64_put(page(f, LIST) + i * 8, PIXELS + NPAGES - 1 - i);
}

static void paint(struct fixture *f, unsigned x, unsigned y, u32 colour)
{
    u32 at = y * LINE + x * 4;

    for (unsigned i = 0; i < 4; i++, at++)
        page(f, PIXELS + NPAGES - 1 - at / PAGE_SIZE)[at % PAGE_SIZE] = (u8)(colour >> 8 * i);
}

static u32 seen(struct fixture *f, unsigned x, unsigned y)
{
    struct display_rect r[8];

    display_look(&f->screen, &f->view, r, 8);
    return f->view.s.pixels[y * f->view.s.stride + x];
}

static void say(struct fixture *f, u8 type, s32 a, s32 b, s32 c, s32 d, s32 e)
{
    u8 *p = page(f, PAGE);
    u32 prod = le32_get(p + 12);
    u8 *at = p + 2048 + prod % 51 * EVENT;
    s32 v[] = {a, b, c, d, e};

    at[0] = type;
    memcpy(at + 4, v, sizeof(v));
    le32_put(p + 12, prod + 1);
    PUT(&f->d, ARG, (u32)f->port);
    assert_int_equal(domain_call(&f->d, HYPERVISOR_event_channel_op, EVTCHNOP_send, ARG, 0), 0);
    assert_int_equal(le32_get(p + 8), prod + 1);
}

static void test_picture(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(state_of(f, "vfb"), XenbusStateInitWait);
    make_picture(f);
    paint(f, 3, 5, 0xff123456);
    paint(f, 63, 47, 0x00abcdef);
    connect(f, "vfb");
    assert_int_equal(state_of(f, "vfb"), XenbusStateConnected);
    assert_int_equal(seen(f, 3, 5), 0x123456);
    assert_int_equal(f->view.s.width, W);
    assert_int_equal(f->view.s.height, H);
    assert_int_equal(seen(f, 63, 47), 0xabcdef);
    paint(f, 10, 20, 0x111111);
    paint(f, 10, 30, 0x222222);
    say(f, 2, 0, 20, W, 1, 0); /* only that line was drawn */
    assert_int_equal(seen(f, 10, 20), 0x111111);
    assert_int_equal(seen(f, 10, 30), 0);
    say(f, 2, -5, -1000, 1 << 30, INT32_MAX, 0);
    assert_int_equal(seen(f, 10, 30), 0x222222);
    say(f, 3, 32, 16, LINE, 32, LINE * 2); /* a part of it is the picture from now on */
    assert_int_equal(seen(f, 3, 3), 0x123456);
    assert_int_equal(f->view.s.width, 32);
    say(f, 3, 64, 64, LINE, 32, 0); /* does not fit into the pages */
    assert_int_equal(seen(f, 3, 3), 0x123456);
    le32_put(page(f, PAGE) + 12, 0x7fff0000); /* an index from nowhere */
    PUT(&f->d, ARG, (u32)f->port);
    domain_call(&f->d, HYPERVISOR_event_channel_op, EVTCHNOP_send, ARG, 0);
    assert_int_equal(le32_get(page(f, PAGE) + 8), 0x7fff0000);
    node(f, "vfb", "state", "5");
    display_look(&f->screen, &f->view, (struct display_rect[1]){{0}}, 1);
    assert_int_equal(f->view.s.width, 640);
}

static void refused(struct fixture *f, unsigned off, u64 value, unsigned size)
{
    make_picture(f);
    memcpy(page(f, PAGE) + off, &value, size);
    connect(f, "vfb");
    assert_int_equal(state_of(f, "vfb"), XenbusStateClosed);
}

static void test_bad_pictures(void **state)
{
    struct fixture *f = *state;

    refused(f, 16, 0, 4);
    refused(f, 16, 100000, 4);
    refused(f, 20, 4096, 4);
    refused(f, 24, W * 4 - 4, 4);
    refused(f, 24, 0xfffffffc, 4);
    refused(f, 24, W * 4 + 1, 4);
    refused(f, 28, 0, 4);
    refused(f, 28, UINT32_MAX, 4);
    refused(f, 28, PAGE_SIZE, 4);
    refused(f, 32, 16, 1);
    refused(f, 40, UINT64_MAX, 8);
    make_picture(f);
    le64_put(page(f, LIST) + 8, 1ull << 50);
    connect(f, "vfb");
    assert_int_equal(state_of(f, "vfb"), XenbusStateClosed);
    make_picture(f);
    connect(f, "vfb");
    assert_int_equal(state_of(f, "vfb"), XenbusStateConnected);
    xen_reset(f->d.x);
    assert_int_equal(state_of(f, "vfb"), XenbusStateInitWait);
}

/* Takes an event out of the ring. */
static void expect(struct fixture *f, u8 type, u8 pressed, u32 a, u32 b, u32 c)
{
    u8 *p = page(f, PAGE);
    u32 cons = le32_get(p);
    const u8 *e = p + 1024 + cons % 51 * EVENT;

    assert_int_not_equal(le32_get(p + 4), cons);
    assert_int_equal(e[0], type);
    assert_int_equal(e[1], pressed);
    assert_int_equal(le32_get(e + 4), a);
    assert_int_equal(le32_get(e + 8), b);
    assert_int_equal(le32_get(e + 12), c);
    le32_put(p, cons + 1);
}

static void test_input(void **state)
{
    struct fixture *f = *state;
    struct input_sink *in = &f->input;

    in->key(in->opaque, KEY_A, true); /* nobody listens */
    assert_false(in->has_pointer(in->opaque));
    memset(page(f, PAGE), 0, PAGE_SIZE);
    node(f, "vkbd", "request-abs-pointer", "1");
    connect(f, "vkbd");
    assert_int_equal(state_of(f, "vkbd"), XenbusStateConnected);
    assert_true(in->has_pointer(in->opaque));
    in->key(in->opaque, KEY_A, true);
    in->key(in->opaque, KEY_A, false);
    expect(f, 3, 1, KEY_A, 0, 0);
    expect(f, 3, 0, KEY_A, 0, 0);
    in->pointer(in->opaque, 0, 0, 0, 0);
    in->pointer(in->opaque, INPUT_ABS_MAX, INPUT_ABS_MAX, 1, INPUT_LEFT | INPUT_MIDDLE);
    in->pointer(in->opaque, 100000, INPUT_ABS_MAX / 2, 0, INPUT_MIDDLE);
    expect(f, 4, 0, 0, 0, 0);
    expect(f, 4, 0, 999, 499, (u32)-1);
    expect(f, 3, 1, BTN_LEFT, 0, 0);
    expect(f, 3, 1, BTN_MIDDLE, 0, 0);
    expect(f, 4, 0, 999, 249, 0);
    expect(f, 3, 0, BTN_LEFT, 0, 0);
    in->mouse(in->opaque, -3, 4, 0, INPUT_MIDDLE);
    expect(f, 1, 0, (u32)-3, 4, 0);
    assert_int_equal(le32_get(page(f, PAGE) + 4), le32_get(page(f, PAGE)));
}

static void test_full_ring(void **state)
{
    struct fixture *f = *state;
    struct input_sink *in = &f->input;

    memset(page(f, PAGE), 0, PAGE_SIZE);
    connect(f, "vkbd");
    for (unsigned i = 0; i < 100; i++)
        in->key(in->opaque, KEY_B, true);
    u32 full = le32_get(page(f, PAGE) + 4);
    assert_in_range(full, 1, 50);
    in->key(in->opaque, KEY_B, false); /* for which there is room */
    assert_int_equal(le32_get(page(f, PAGE) + 4), full + 1);
    for (unsigned i = 0; i < 100; i++)
        in->key(in->opaque, KEY_B, false);
    assert_int_equal(le32_get(page(f, PAGE) + 4), 51);
    le32_put(page(f, PAGE), 0x12345678); /* nonsense: nothing more comes */
    in->key(in->opaque, KEY_B, false);
    assert_int_equal(le32_get(page(f, PAGE) + 4), 51);
    node(f, "vkbd", "state", "6");
    in->key(in->opaque, KEY_B, false);
    assert_int_equal(le32_get(page(f, PAGE) + 4), 51);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_picture),
        TEST(test_bad_pictures),
        TEST(test_input),
        TEST(test_full_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
