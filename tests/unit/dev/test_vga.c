/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VGA: registers, the window's data path, and what appears on the screen.
 */
#include "dev/stdvga.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "vguest.h"

enum { DEVFN = 2 << 3, PORTS = 0x3c0, WINDOW = 0x10000000 /* RAM is below */ };

struct fixture {
    struct vguest g;
    struct stdvga s;
    struct vga *v;
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
    assert_int_equal(stdvga_init(&f->s, &f->g.pci, DEVFN, &f->g.mem, f->c,
                                 &(struct edid_config){1280, 800, 2560, 1600}, "\x55\xaa", 2),
                     0);
    f->v = &f->s.vga;
    display_init(&f->d, &f->v->display);
    assert_int_equal(bus_map(&f->g.pio, &f->v->ports, PORTS), 0);
    assert_int_equal(bus_map(&f->g.pio, &f->v->dispi, 0x1ce), 0);
    assert_int_equal(bus_map(&f->g.mmio, &f->v->window, WINDOW), 0);
    pci_config_write(&f->g.pci, DEVFN, 0x10, 4, 0xe0000000);
    pci_config_write(&f->g.pci, DEVFN, 0x18, 4, 0xe1000000);
    pci_config_write(&f->g.pci, DEVFN, 0x30, 4, 0xe2000001);
    pci_config_write(&f->g.pci, DEVFN, 0x04, 2, 3);
}

/* Looks at the screen; how many parts changed. */
static unsigned look(struct fixture *f)
{
    return display_look(&f->d, &f->view, f->rect, ARRAY_SIZE(f->rect));
}

static void end(struct fixture *f)
{
    display_view_free(&f->view);
    display_destroy(&f->d);
    vga_destroy(f->v);
    vg_close(&f->g);
    clock_free(f->c);
}

static void out(struct fixture *f, u16 port, u8 v)
{
    bus_write(&f->g.pio, port, 1, v);
}

static u8 in(struct fixture *f, u16 port)
{
    return (u8)bus_read(&f->g.pio, port, 1);
}

static void idx(struct fixture *f, u16 port, u8 index, u8 v)
{
    bus_write(&f->g.pio, port, 2, (u16)(v << 8 | index));
}

static void attr(struct fixture *f, u8 index, u8 v)
{
    in(f, 0x3da);
    out(f, 0x3c0, index);
    out(f, 0x3c0, v);
}

static void wr(struct fixture *f, u32 off, u8 v)
{
    bus_write(&f->g.mmio, WINDOW + off, 1, v);
}

static u8 rd(struct fixture *f, u32 off)
{
    return (u8)bus_read(&f->g.mmio, WINDOW + off, 1);
}

/* The registers of mode 3, as a video BIOS sets them; the palette: colour i = grey i. */
static void text_mode(struct fixture *f)
{
    out(f, 0x3c2, 0x67);
    idx(f, 0x3c4, 1, 1);
    idx(f, 0x3c4, 2, 3);
    idx(f, 0x3c4, 4, 2);
    idx(f, 0x3ce, 5, 0x10);
    idx(f, 0x3ce, 6, 0x0e);
    idx(f, 0x3ce, 8, 0xff);
    idx(f, 0x3d4, 0x11, 0);
    idx(f, 0x3d4, 1, 79);
    idx(f, 0x3d4, 7, 0x1f);
    idx(f, 0x3d4, 9, 0x4f);
    idx(f, 0x3d4, 0x0a, 0x20);
    idx(f, 0x3d4, 0x12, 0x8f);
    idx(f, 0x3d4, 0x13, 0x28);
    for (u8 i = 0; i < 16; i++) {
        attr(f, i, i);
        out(f, 0x3c8, i);
        for (int k = 0; k < 3; k++)
            out(f, 0x3c9, i * 4);
    }
    attr(f, 0x10, 0x0c);
    attr(f, 0x12, 0x0f);
    in(f, 0x3da);
    out(f, 0x3c0, 0x20);
}

static void test_registers(void **state)
{
    static struct fixture f;

    begin(&f);
    assert_int_equal(in(&f, 0x3d4), 0xff); /* monochrome after reset */
    out(&f, 0x3c2, 0x67);
    assert_int_equal(in(&f, 0x3cc), 0x67);
    idx(&f, 0x3d4, 3, 0x82);
    assert_int_equal(in(&f, 0x3d5), 0x82);
    idx(&f, 0x3d4, 0x11, 0x80);
    idx(&f, 0x3d4, 3, 0x11);
    assert_int_equal(in(&f, 0x3d5), 0x82); /* locked */
    attr(&f, 5, 0xff);
    in(&f, 0x3da);
    out(&f, 0x3c0, 5);
    assert_int_equal(in(&f, 0x3c1), 0x3f);
    out(&f, 0x3c8, 7);
    out(&f, 0x3c9, 1);
    out(&f, 0x3c9, 2);
    out(&f, 0x3c9, 0xff);
    out(&f, 0x3c7, 7);
    assert_int_equal(in(&f, 0x3c9), 1);
    assert_int_equal(in(&f, 0x3c9), 2);
    assert_int_equal(in(&f, 0x3c9), 0x3f);
    assert_int_equal(bus_read(&f.g.mmio, 0xe2000000, 2), 0xaa55);
    /* Retrace comes and goes. */
    bool on = false, off = false;

    for (int i = 0; i < 100; i++) {
        clock_advance(f.c, 1000000);
        if (in(&f, 0x3da) & 8)
            on = true;
        else
            off = true;
    }
    assert_true(on && off);
    end(&f);
}

static void test_text(void **state)
{
    static struct fixture f;
    const char *words = "Hello \x80\xdb";
    char *text;

    begin(&f);
    text_mode(&f);
    for (u32 i = 0; i < 80 * 25; i++) {
        wr(&f, 0x18000 + 2 * i, ' ');
        wr(&f, 0x18001 + 2 * i, 0x17);
    }
    for (u32 i = 0; words[i]; i++)
        wr(&f, 0x18000 + 160 + 2 * i, (u8)words[i]);
    assert_int_equal(rd(&f, 0x18000 + 160), 'H');
    assert_int_equal(rd(&f, 0x18001 + 160), 0x17);
    assert_int_equal(rd(&f, 0), 0xff); /* not in this map */
    text = display_text(&f.d);
    assert_non_null(text);
    assert_int_equal(strncmp(text, "\nHello \xc3\x87\xe2\x96\x88\n\n", 14), 0);
    free(text);

    /* A font: line 3 of 'H' is 0x81. */
    idx(&f, 0x3c4, 2, 4);
    idx(&f, 0x3c4, 4, 6);
    idx(&f, 0x3ce, 5, 0);
    idx(&f, 0x3ce, 6, 4);
    idx(&f, 0x3ce, 8, 0xff);
    wr(&f, 'H' * 32 + 3, 0x81);
    text_mode(&f);
    look(&f);
    assert_int_equal(f.view.s.width, 640);
    assert_int_equal(f.view.s.height, 400);
    u32 *line = f.view.s.pixels + 19 * f.view.s.stride;

    assert_int_equal(line[0], 0x717171);
    assert_int_equal(line[1], 0x101010);
    assert_int_equal(line[7], line[0]);
    assert_int_equal(line[f.view.s.stride], 0x101010);
    /* Start address moves the picture up. */
    idx(&f, 0x3d4, 0x0d, 80);
    text = display_text(&f.d);
    assert_int_equal(strncmp(text, "Hello", 5), 0);
    free(text);
    end(&f);
}

/* The cursor and blinking cells come and go; the other rows are not even drawn for it. */
static void test_blink(void **state)
{
    static struct fixture f;

    begin(&f);
    text_mode(&f);
    for (u32 i = 0; i < 80 * 25; i++) {
        wr(&f, 0x18000 + 2 * i, 0);
        wr(&f, 0x18001 + 2 * i, 0x17);
    }
    wr(&f, 0x18001 + 160 * 3, 0x97); /* blinks, in row 3, with a glyph's line */
    idx(&f, 0x3c4, 2, 4);
    idx(&f, 0x3c4, 4, 6);
    idx(&f, 0x3ce, 5, 0);
    idx(&f, 0x3ce, 6, 4);
    wr(&f, 5, 0xff);
    text_mode(&f);
    idx(&f, 0x3d4, 0x0a, 14);
    idx(&f, 0x3d4, 0x0b, 15);
    idx(&f, 0x3d4, 0x0e, 0);
    idx(&f, 0x3d4, 0x0f, 80 + 9); /* row 1 */
    look(&f);
    const u32 *cursor = &f.view.s.pixels[31 * f.view.s.stride + 9 * 8];
    const u32 *blinking = &f.view.s.pixels[(3 * 16 + 5) * f.view.s.stride];
    u32 *other = &f.d.s.pixels[(20 * 16 + 5) * f.d.s.stride];
    *other = 0xabcdef;
    for (unsigned i = 0; i < 9; i++) {
        assert_int_equal(*cursor, i & 1 ? 0x101010 : 0x717171);
        assert_int_equal(*blinking, i >> 1 & 1 ? 0x101010 : 0x717171);
        clock_advance(f.c, VGA_BLINK_NS);
        assert_int_equal(look(&f), i & 1 ? 2 : 1);
    }
    assert_int_equal(*other, 0xabcdef);
    idx(&f, 0x3d4, 0x0a, 13);
    look(&f);
    assert_int_equal(*other, 0x717171);
    end(&f);
}

static void test_planes(void **state)
{
    static struct fixture f;

    begin(&f);
    text_mode(&f);
    idx(&f, 0x3c4, 2, 0x0f);
    idx(&f, 0x3c4, 4, 6);
    idx(&f, 0x3ce, 6, 5);
    idx(&f, 0x3ce, 8, 0xff);
    idx(&f, 0x3ce, 5, 2); /* write mode 2: a colour */
    wr(&f, 100, 0x5);
    idx(&f, 0x3ce, 5, 0);
    for (u8 p = 0; p < 4; p++) {
        idx(&f, 0x3ce, 4, p);
        assert_int_equal(rd(&f, 100), p % 2 ? 0 : 0xff);
    }
    /* Write mode 1 copies the latches. */
    idx(&f, 0x3ce, 5, 1);
    wr(&f, 200, 0);
    idx(&f, 0x3ce, 5, 8); /* read mode 1: compare */
    idx(&f, 0x3ce, 2, 5);
    idx(&f, 0x3ce, 7, 0x0f);
    assert_int_equal(rd(&f, 200), 0xff);
    /* Bit mask and XOR. */
    idx(&f, 0x3ce, 5, 0);
    idx(&f, 0x3ce, 3, 0x18);
    idx(&f, 0x3ce, 8, 0x0f);
    rd(&f, 200);
    wr(&f, 200, 0xff);
    idx(&f, 0x3ce, 4, 0);
    assert_int_equal(rd(&f, 200), 0xf0);
    idx(&f, 0x3ce, 4, 1);
    assert_int_equal(rd(&f, 200), 0x0f);
    /* Write mode 3 with set/reset, rotated. */
    idx(&f, 0x3ce, 3, 4);
    idx(&f, 0x3ce, 8, 0xff);
    idx(&f, 0x3ce, 0, 0x0f);
    idx(&f, 0x3ce, 5, 3);
    rd(&f, 300);
    wr(&f, 300, 0x03);
    idx(&f, 0x3ce, 5, 0);
    idx(&f, 0x3ce, 4, 3);
    assert_int_equal(rd(&f, 300), 0x30);
    /* 640x480, 16 colours. */
    idx(&f, 0x3d4, 7, 0x3e);
    idx(&f, 0x3d4, 9, 0x40);
    idx(&f, 0x3d4, 0x12, 0xdf);
    idx(&f, 0x3d4, 0x17, 0xe3);
    idx(&f, 0x3d4, 0x18, 0xff);
    look(&f);
    assert_int_equal(f.view.s.width, 640);
    assert_int_equal(f.view.s.height, 480);
    assert_int_equal(f.view.s.pixels[640 + (100 - 80) * 8], 0x515151);
    assert_null(display_text(&f.d));
    end(&f);
}

static void dispi(struct fixture *f, u16 index, u16 v)
{
    bus_write(&f->g.pio, 0x1ce, 2, index);
    bus_write(&f->g.pio, 0x1cf, 2, v);
}

static void test_vbe(void **state)
{
    static struct fixture f;

    begin(&f);
    bus_write(&f.g.pio, 0x1ce, 2, VBE_ID);
    assert_int_equal(bus_read(&f.g.pio, 0x1cf, 2), 0xb0c5);
    bus_write(&f.g.pio, 0x1ce, 2, VBE_VIDEO_MEMORY_64K);
    assert_int_equal(bus_read(&f.g.pio, 0x1d0, 2), 256);
    dispi(&f, VBE_XRES, 800);
    dispi(&f, VBE_YRES, 600);
    dispi(&f, VBE_BPP, 32);
    dispi(&f, VBE_ENABLE, VBE_ENABLED | VBE_LFB);
    mem_write32(&f.g.pci.dma, 0xe0000000 + (800 * 2 + 3) * 4, 0xff123456);
    look(&f);
    assert_int_equal(f.view.s.width, 800);
    assert_int_equal(f.view.s.height, 600);
    assert_int_equal(f.view.s.pixels[800 * 2 + 3], 0x123456);
    dispi(&f, VBE_Y_OFFSET, 2);
    look(&f);
    assert_int_equal(f.view.s.pixels[3], 0x123456);
    /* Behind the end of memory: less picture, no crash. */
    dispi(&f, VBE_Y_OFFSET, 0xffff);
    dispi(&f, VBE_X_OFFSET, 0xffff);
    look(&f);
    /* The same registers in memory; a bank of the window. */
    assert_int_equal(bus_read(&f.g.mmio, 0xe1000502, 2), 800);
    bus_write(&f.g.mmio, 0xe1000508, 2, 0);
    dispi(&f, VBE_BPP, 16);
    dispi(&f, VBE_ENABLE, VBE_ENABLED | VBE_NOCLEAR);
    dispi(&f, VBE_BANK, 1);
    idx(&f, 0x3ce, 6, 5);
    wr(&f, 4, 0x1f);
    assert_int_equal(f.v->vram[0x10004], 0x1f);
    end(&f);
}

static void test_edid(void **state)
{
    static struct fixture f;
    u8 sum = 0;

    begin(&f);
    assert_int_equal(bus_read(&f.g.mmio, 0xe1000000, 4), 0xffffff00);
    assert_int_equal(bus_read(&f.g.mmio, 0xe1000004, 4), 0x00ffffff);
    for (u32 i = 0; i < EDID_SIZE; i++)
        sum += (u8)bus_read(&f.g.mmio, 0xe1000000 + i, 1);
    assert_int_equal(sum, 0);
    /* Preferred: 1280x800 at 60 Hz, 71.00 MHz (CVT with reduced blanking). */
    assert_int_equal(bus_read(&f.g.mmio, 0xe1000000 + 54, 2), 7100);
    assert_int_equal(f.v->edid[54 + 2] | (f.v->edid[54 + 4] & 0xf0) << 4, 1280);
    assert_int_equal(f.v->edid[54 + 5] | (f.v->edid[54 + 7] & 0xf0) << 4, 800);
    assert_int_equal(f.v->edid[54 + 6], 23);
    assert_int_equal(bus_read(&f.g.mmio, 0xe1000604, 4), 0x1e1e1e1e);
    end(&f);
}

/* What is drawn again only where it changed. */
static void test_damage(void **state)
{
    static struct fixture f;

    begin(&f);
    dispi(&f, VBE_XRES, 1024);
    dispi(&f, VBE_YRES, 768);
    dispi(&f, VBE_BPP, 32);
    dispi(&f, VBE_ENABLE, VBE_ENABLED | VBE_LFB);
    assert_int_equal(look(&f), 1);
    assert_int_equal(look(&f), 0);
    mem_write32(&f.g.pci.dma, 0xe0000000 + (1024 * 100 + 70) * 4, 0x123456);
    assert_int_equal(look(&f), 1);
    assert_int_equal(f.rect[0].x, 64);
    assert_int_equal(f.rect[0].y, 96);
    assert_int_equal(f.rect[0].w, DISPLAY_TILE_W);
    assert_int_equal(f.rect[0].h, DISPLAY_TILE_H);
    assert_int_equal(f.view.s.pixels[1024 * 100 + 70], 0x123456);
    assert_int_equal(look(&f), 0);
    /* The same pixels once more: nothing to see. */
    mem_write32(&f.g.pci.dma, 0xe0000000 + (1024 * 100 + 70) * 4, 0x123456);
    assert_int_equal(look(&f), 0);
    end(&f);
}

/* Line compare and panning in mode 13h's kin without chain-4. */
static void test_split(void **state)
{
    static struct fixture f;

    begin(&f);
    text_mode(&f);
    idx(&f, 0x3c4, 2, 0x0f);
    idx(&f, 0x3c4, 4, 6);
    idx(&f, 0x3ce, 5, 0x40);
    idx(&f, 0x3ce, 6, 5);
    idx(&f, 0x3d4, 7, 0x0e); /* line compare: 9 bits and then bit 9 in register 9 */
    idx(&f, 0x3d4, 9, 0x00);
    idx(&f, 0x3d4, 0x17, 0xe3);
    idx(&f, 0x3d4, 0x18, 99);
    idx(&f, 0x3d4, 0x0c, 0x40); /* the upper part from 0x4000 on */
    attr(&f, 0x10, 0x41);
    attr(&f, 0x13, 2); /* one pixel */
    in(&f, 0x3da);
    out(&f, 0x3c0, 0x20);
    idx(&f, 0x3c4, 2, 1 << 1);
    wr(&f, 0x4000, 7);
    wr(&f, 0, 9);
    look(&f);
    assert_int_equal(f.view.s.width, 320);
    assert_int_equal(f.view.s.pixels[0], 0x717171);
    assert_int_equal(f.view.s.pixels[320 * 100], 0x929292);
    attr(&f, 0x10, 0x61); /* below the split, no panning */
    in(&f, 0x3da);
    out(&f, 0x3c0, 0x20);
    look(&f);
    assert_int_equal(f.view.s.pixels[0], 0x717171);
    assert_int_equal(f.view.s.pixels[320 * 100], 0);
    assert_int_equal(f.view.s.pixels[320 * 100 + 1], 0x929292);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registers), cmocka_unit_test(test_text),
        cmocka_unit_test(test_blink),     cmocka_unit_test(test_planes),
        cmocka_unit_test(test_vbe),       cmocka_unit_test(test_edid),
        cmocka_unit_test(test_damage),    cmocka_unit_test(test_split),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
