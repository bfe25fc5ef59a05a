/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio GPU: commands, pictures, wrong commands; and the input devices.
 */
#include "dev/virtio_gpu.h"
#include "dev/virtio_input.h"

#include <errno.h>
#include <linux/input-event-codes.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "vguest.h"

enum { DEVFN = 2 << 3, REQ = VG_BUFFERS, REPLY = VG_BUFFERS + 0x1000, PIXELS = 0x400000 };

struct fixture {
    struct vguest g;
    struct virtio_gpu gpu;
    struct clock *c;
    struct display d;
    struct display_view view;
    struct display_rect rect[8];
};

static void begin(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    vg_open(&f->g);
    f->c = clock_new_manual();
    assert_int_equal(virtio_gpu_init(&f->gpu, &f->g.pci, DEVFN, &f->g.mem, f->c, NULL, 0, 0, 0), 0);
    display_init(&f->d, &f->gpu.display);
    vg_place(&f->g, DEVFN);
    pci_config_write(&f->g.pci, DEVFN, 0x10, 4, 0xe0000000);
    assert_true(vg_start(&f->g, vg_features(&f->g)));
}

static void end(struct fixture *f)
{
    display_view_free(&f->view);
    display_destroy(&f->d);
    virtio_gpu_destroy(&f->gpu);
    vg_close(&f->g);
    clock_free(f->c);
}

static unsigned look(struct fixture *f)
{
    return display_look(&f->d, &f->view, f->rect, ARRAY_SIZE(f->rect));
}

/* A command of n words behind its header on queue q; the type of the reply. */
static u32 command(struct fixture *f, unsigned q, u32 type, const u32 *words, unsigned n)
{
    u8 *p = vg_hva(&f->g, REQ);
    struct vseg s[2] = {{REQ, 24 + 4 * n, false}, {REPLY, 0x800, true}};

    memset(p, 0, 24);
    le32_put(p, type);
    le32_put(p + 4, 1); /* fence */
    le64_put(p + 8, 77);
    for (unsigned i = 0; i < n; i++)
        le32_put(p + 24 + 4 * i, words[i]);
    memset(vg_hva(&f->g, REPLY), 0, 0x800);
    vg_add(&f->g, q, s, 2);
    vg_kick(&f->g, q);
    assert_true(vg_used(&f->g, q, false, NULL, NULL));
    if (!q)
        assert_int_equal(le64_get(vg_hva(&f->g, REPLY) + 8), 77);
    return le32_get(vg_hva(&f->g, REPLY));
}
#define CMD(f, type, ...)                                                                          \
    command(f, 0, type, (u32[]){__VA_ARGS__}, sizeof((u32[]){__VA_ARGS__}) / sizeof(u32))

static void test_picture(void **state)
{
    static struct fixture f;

    begin(&f);
    assert_int_equal(CMD(&f, 0x100, 0), 0x1101);
    assert_int_equal(le32_get(vg_hva(&f.g, REPLY) + 24 + 8), 1280);
    assert_int_equal(le32_get(vg_hva(&f.g, REPLY) + 24 + 16), 1);
    assert_int_equal(CMD(&f, 0x10a, 0, 0), 0x1104);
    assert_memory_equal(vg_hva(&f.g, REPLY) + 32, "\0\xff\xff\xff\xff\xff\xff\0", 8);
    /* 100x50, two pieces of backing. */
    assert_int_equal(CMD(&f, 0x101, 5, 2, 100, 50), 0x1100);
    assert_int_equal(CMD(&f, 0x106, 5, 2, PIXELS, 0, 8192, 0, PIXELS + 0x10000, 0, 12000, 0),
                     0x1100);
    for (u32 i = 0; i < 5000; i++)
        le32_put(vg_hva(&f.g, i < 2048 ? PIXELS + 4 * i : PIXELS + 0x10000 + 4 * (i - 2048)), i);
    assert_int_equal(CMD(&f, 0x103, 0, 0, 100, 50, 0, 5), 0x1100);
    look(&f);
    assert_int_equal(f.view.s.width, 100);
    assert_int_equal(f.view.s.pixels[4999], 0); /* nothing transferred yet */
    assert_int_equal(CMD(&f, 0x105, 0, 0, 100, 50, 0, 0, 5, 0), 0x1100);
    assert_int_equal(look(&f), 0); /* nor flushed */
    assert_int_equal(CMD(&f, 0x104, 0, 0, 100, 50, 5, 0), 0x1100);
    assert_int_equal(look(&f), 1);
    for (u32 i = 0; i < 5000; i++)
        assert_int_equal(f.view.s.pixels[i], i);
    assert_int_equal(look(&f), 0);
    /* A part: one line, its bytes at an offset in the backing. */
    le32_put(vg_hva(&f.g, PIXELS + 4 * (100 * 3 + 70)), 0xabcdef);
    assert_int_equal(CMD(&f, 0x105, 70, 3, 1, 1, 4 * 370, 0, 5, 0), 0x1100);
    assert_int_equal(CMD(&f, 0x104, 70, 3, 1, 1, 5, 0), 0x1100);
    assert_int_equal(look(&f), 1);
    assert_int_equal(f.view.s.pixels[370], 0xabcdef);
    /* Without the resource the VGA is back. */
    assert_int_equal(CMD(&f, 0x102, 5, 0), 0x1100);
    look(&f);
    assert_int_not_equal(f.view.s.pixels[0] + f.view.s.pixels[99], 99);
    assert_int_equal(f.gpu.scanout, 0);
    end(&f);
}

static void test_cursor(void **state)
{
    static struct fixture f;

    begin(&f);
    assert_int_equal(CMD(&f, 0x101, 1, 2, 200, 200), 0x1100);
    assert_int_equal(CMD(&f, 0x103, 0, 0, 200, 200, 0, 1), 0x1100);
    assert_int_equal(CMD(&f, 0x101, 2, 2, 64, 64), 0x1100);
    assert_int_equal(CMD(&f, 0x106, 2, 1, PIXELS, 0, 16384, 0), 0x1100);
    for (u32 i = 0; i < 4096; i++)
        le32_put(vg_hva(&f.g, PIXELS + 4 * i), i % 2 ? 0xff00ff00 : 0x80ff0000);
    assert_int_equal(CMD(&f, 0x105, 0, 0, 64, 64, 0, 0, 2, 0), 0x1100);
    look(&f);
    command(&f, 1, 0x300, (u32[]){0, 10, 20, 0, 2, 0, 0, 0}, 8);
    look(&f);
    assert_int_equal(f.view.s.pixels[20 * 200 + 10], 0x800000);
    assert_int_equal(f.view.s.pixels[20 * 200 + 11], 0x00ff00);
    assert_int_equal(f.view.s.pixels[20 * 200 + 9], 0);
    /* Half outside, at the top left. */
    command(&f, 1, 0x301, (u32[]){0, (u32)-63, (u32)-63, 0, 0, 0, 0, 0}, 8);
    look(&f);
    assert_int_equal(f.view.s.pixels[0], 0x00ff00);
    assert_int_equal(f.view.s.pixels[1], 0);
    assert_int_equal(f.view.s.pixels[20 * 200 + 11], 0);
    command(&f, 1, 0x300, (u32[]){0, 0, 0, 0, 0, 0, 0, 0}, 8);
    look(&f);
    assert_int_equal(f.view.s.pixels[0], 0);
    end(&f);
}

static void test_wrong(void **state)
{
    static struct fixture f;

    begin(&f);
    assert_int_equal(CMD(&f, 0x101, 0, 2, 100, 50), 0x1203);
    assert_int_equal(CMD(&f, 0x101, 1, 9, 100, 50), 0x1205);
    assert_int_equal(CMD(&f, 0x101, 1, 2, 8193, 50), 0x1205);
    assert_int_equal(CMD(&f, 0x101, 1, 2, 8192, 8192), 0x1201);
    assert_int_equal(CMD(&f, 0x101, 1, 2, 100, 50), 0x1100);
    assert_int_equal(CMD(&f, 0x101, 1, 2, 100, 50), 0x1203);
    assert_int_equal(CMD(&f, 0x105, 0, 0, 100, 50, 0, 0, 1, 0), 0x1203); /* no backing */
    assert_int_equal(CMD(&f, 0x106, 1, 3, PIXELS, 0, 100, 0), 0x1205);   /* a short list */
    assert_int_equal(CMD(&f, 0x106, 1, 1, PIXELS, 0, 100, 0), 0x1100);
    assert_int_equal(CMD(&f, 0x106, 1, 1, PIXELS, 0, 100, 0), 0x1200);
    assert_int_equal(CMD(&f, 0x105, 0, 0, 100, 50, 0, 0, 1, 0), 0x1205); /* a short backing */
    assert_int_equal(CMD(&f, 0x105, 1, 0, 100, 50, 0, 0, 1, 0), 0x1205);
    assert_int_equal(CMD(&f, 0x105, 0xffffffff, 0, 2, 1, 0, 0, 1, 0), 0x1205);
    assert_int_equal(CMD(&f, 0x103, 0, 0, 101, 50, 0, 1), 0x1205);
    assert_int_equal(CMD(&f, 0x103, 0, 0, 100, 50, 1, 1), 0x1202);
    assert_int_equal(CMD(&f, 0x103, 0, 0, 100, 50, 0, 9), 0x1203);
    assert_int_equal(CMD(&f, 0x104, 50, 0, 100, 50, 1, 0), 0x1205);
    assert_int_equal(CMD(&f, 0x107, 1, 0), 0x1100);
    assert_int_equal(CMD(&f, 0x999, 0), 0x1200);
    assert_int_equal(CMD(&f, 0x101, 1), 0x1200); /* cut short */
    for (u32 i = 2; i < VGPU_RESOURCES + 1; i++)
        assert_int_equal(CMD(&f, 0x101, i, 2, 8, 8), 0x1100);
    assert_int_equal(CMD(&f, 0x101, 9999, 2, 8, 8), 0x1201);
    end(&f);
}

static void test_resize_and_state(void **state)
{
    static struct fixture f;
    static u8 buf[1 << 16];
    struct err e;
    u8 gen;

    begin(&f);
    vg_msix_on(&f.g, &f.gpu.vp.pci);
    gen = (u8)vg_r(&f.g, 21, 1);
    display_wish(&f.d, 1001, 700);
    assert_int_equal(f.g.msis, 1);
    assert_int_not_equal(vg_r(&f.g, 21, 1), gen);
    assert_int_equal(vg_r(&f.g, VG_DEVICE, 4), 1);
    vg_w(&f.g, VG_DEVICE + 4, 4, 1);
    assert_int_equal(vg_r(&f.g, VG_DEVICE, 4), 0);
    assert_int_equal(CMD(&f, 0x100, 0), 0x1101);
    assert_int_equal(le32_get(vg_hva(&f.g, REPLY) + 24 + 8), 1000);
    assert_int_equal(le32_get(vg_hva(&f.g, REPLY) + 24 + 12), 700);
    assert_int_equal(CMD(&f, 0x101, 1, 2, 100, 50), 0x1100);
    assert_int_equal(CMD(&f, 0x103, 0, 0, 100, 50, 0, 1), 0x1100);
    size_t n = state_size(&virtio_gpu_state);
    assert_true(n <= sizeof(buf));
    state_save(&virtio_gpu_state, &f.gpu, buf);
    assert_int_equal(CMD(&f, 0x102, 1, 0), 0x1100);
    assert_int_equal(state_load(&virtio_gpu_state, &f.gpu, buf, n, &e), 0);
    assert_int_equal(f.gpu.scanout, 1);
    look(&f);
    assert_int_equal(f.view.s.width, 100);
    f.gpu.res[0].pixels_at = VGPU_POOL - 4096;
    state_save(&virtio_gpu_state, &f.gpu, buf);
    f.gpu.res[0].pixels_at = 0;
    assert_int_equal(state_load(&virtio_gpu_state, &f.gpu, buf, n, &e), -EINVAL);
    end(&f);
}

static void test_tablet(void **state)
{
    static struct virtio_input v;
    static struct vguest g;
    u8 *p;

    vg_open(&g);
    assert_int_equal(virtio_input_init(&v, &g.pci, DEVFN, VINPUT_TABLET), 0);
    vg_place(&g, DEVFN);
    assert_false(v.input.has_pointer(&v));
    assert_true(vg_start(&g, vg_features(&g)));
    assert_true(v.input.has_pointer(&v));
    vg_w(&g, VG_DEVICE, 1, 0x12);
    vg_w(&g, VG_DEVICE + 1, 1, ABS_X);
    assert_int_equal(vg_r(&g, VG_DEVICE + 2, 1), 20);
    assert_int_equal(vg_r(&g, VG_DEVICE + 8 + 4, 4), 32767);
    vg_w(&g, VG_DEVICE, 1, 0x11);
    vg_w(&g, VG_DEVICE + 1, 1, EV_KEY);
    assert_int_equal(vg_r(&g, VG_DEVICE + 2, 1), BTN_EXTRA / 8 + 1);
    assert_int_equal(vg_r(&g, VG_DEVICE + 8 + BTN_LEFT / 8, 1), 0x1f);

    v.input.pointer(&v, 100, 40000, 1, INPUT_LEFT);
    for (u32 i = 0; i < 8; i++)
        vg_add(&g, 0, &(struct vseg){VG_BUFFERS + 8 * i, 8, true}, 1);
    vg_kick(&g, 0);
    static const struct vinput_event want[] = {{EV_ABS, ABS_X, 100},
                                               {EV_ABS, ABS_Y, 32767},
                                               {EV_KEY, BTN_LEFT, 1},
                                               {EV_REL, REL_WHEEL, (u32)-1},
                                               {EV_SYN, SYN_REPORT, 0}};
    for (u32 i = 0; i < ARRAY_SIZE(want); i++) {
        assert_true(vg_used(&g, 0, false, NULL, NULL));
        p = vg_hva(&g, VG_BUFFERS + 8 * i);
        assert_int_equal(le16_get(p), want[i].type);
        assert_int_equal(le16_get(p + 2), want[i].code);
        assert_int_equal(le32_get(p + 4), want[i].value);
    }
    assert_false(vg_used(&g, 0, false, NULL, NULL));
    /* Far more than there is room for: nothing breaks, and the release gets through. */
    for (u32 i = 0; i < 1000; i++)
        v.input.pointer(&v, i, i, 0, INPUT_LEFT);
    v.input.pointer(&v, 5, 5, 0, 0);
    assert_true(v.count <= VINPUT_EVENTS);
    assert_int_equal(v.buttons, 0);
    vg_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_picture), cmocka_unit_test(test_cursor),
        cmocka_unit_test(test_wrong),   cmocka_unit_test(test_resize_and_state),
        cmocka_unit_test(test_tablet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
