/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VGA: bytes become accesses to its ports, its window and its BARs, and looks at the screen.
 * Each step is six bytes: op, offset (24 bits), value (16 bits).
 */
#include "dev/stdvga.h"

#include "../unit/dev/vguest.h"

enum { DEVFN = 2 << 3, WINDOW = 0x10000000, STEP = 6, STEPS_MAX = 2000, PIXELS_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A picture of any size can be asked for; the fuzzer is to be quick: so many pixels an input. */
static void look(const struct vga *v, struct display *d, struct display_view *view, u32 *pixels)
{
    struct display_rect r[4];
    u32 w = vga_vbe_on(v) ? v->vbe[VBE_XRES] : (v->crtc[1] + 1u) * 9;
    u32 h = vga_vbe_on(v) ? v->vbe[VBE_YRES] : (v->crtc[0x12] | (v->crtc[7] & 0x42u) << 3) + 1u;

    if ((u64)w * h + 256000 > *pixels)
        return;
    *pixels -= w * h + 256000;
    display_look(d, view, r, ARRAY_SIZE(r));
    free(display_text(d));
}

static void step(struct vguest *g, struct vga *v, struct clock *c, const u8 *p, struct display *d,
                 struct display_view *view, u32 *pixels)
{
    u32 off = le32_get(p) >> 8;
    u16 val = le16_get(p + 4);

    switch (p[0] % 12) {
    case 0:
        bus_write(&g->pio, 0x3c0 + off % 0x20, 1, val);
        break;
    case 1:
        bus_write(&g->pio, 0x3c4 + off % 2 * 10, 2, val);
        break;
    case 2:
        bus_write(&g->pio, 0x3d4, 2, val);
        break;
    case 3:
        bus_read(&g->pio, 0x3c0 + off % 0x20, 1);
        break;
    case 4:
        bus_write(&g->pio, 0x1ce, 2, off % 16);
        bus_write(&g->pio, 0x1cf, 2, val);
        bus_read(&g->pio, 0x1cf, 2);
        break;
    case 5:
        bus_write(&g->mmio, WINDOW + off % 0x20000, 1u << (val >> 14), val * 0x0001000100010001ull);
        break;
    case 6:
        bus_read(&g->mmio, WINDOW + off % 0x20000, 1u << (val >> 14));
        break;
    case 7:
        bus_write(&g->mmio, 0xe1000000 + off % 0x1000, 2, val);
        break;
    case 8:
        bus_read(&g->mmio, 0xe1000000 + off % 0x1000, 2);
        break;
    case 9:
        pci_config_write(&g->pci, DEVFN, off % 0x40 & ~1u, 2, val);
        break;
    case 10:
        clock_advance(c, (u64)val << 16);
        break;
    case 11:
        look(v, d, view, pixels);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vguest g;
    static struct stdvga s;
    struct display_view view = {0};
    struct display d;
    struct clock *c = clock_new_manual();
    u32 pixels = PIXELS_MAX;

    vg_begin(&g);
    BUG_ON(stdvga_init(&s, &g.pci, DEVFN, &g.mem, c, &(struct edid_config){1280, 800, 2560, 1600},
                       "\x55\xaa", 2));
    display_init(&d, &s.vga.display);
    BUG_ON(bus_map(&g.pio, &s.vga.ports, 0x3c0) || bus_map(&g.pio, &s.vga.dispi, 0x1ce) ||
           bus_map(&g.mmio, &s.vga.window, WINDOW));
    pci_config_write(&g.pci, DEVFN, 0x10, 4, 0xe0000000);
    pci_config_write(&g.pci, DEVFN, 0x18, 4, 0xe1000000);
    pci_config_write(&g.pci, DEVFN, 0x04, 2, 3);
    for (unsigned i = 0; i < STEPS_MAX && size >= STEP; i++, data += STEP, size -= STEP)
        step(&g, &s.vga, c, data, &d, &view, &pixels);
    if (pixels == PIXELS_MAX)
        look(&s.vga, &d, &view, &pixels);
    display_view_free(&view);
    display_destroy(&d);
    vga_destroy(&s.vga);
    vg_end(&g);
    clock_free(c);
    return 0;
}
