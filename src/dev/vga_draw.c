/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VGA graphics modes as pictures: four planes (modes 0Dh to 12h), the two CGA layouts (4 to 6), 256
 * colours (13h and its unchained kin), and the linear modes of VBE.  Lines that the CRT controller
 * repeats are drawn once: mode 13h is 320x200.
 */
#include "dev/vga.h"

#include "base/endian.h"

#include <stdlib.h>

bool vga_surface(struct surface *s, u32 w, u32 h)
{
    if (s->width != w || s->height != h || s->stride != w || !s->pixels) {
        u32 *p = realloc(s->pixels, max((size_t)w * h * sizeof(u32), sizeof(u32)));

        if (!p)
            return false;
        *s = (struct surface){.width = w, .height = h, .stride = w, .pixels = p};
    }
    return true;
}

u32 vga_start(const struct vga *v)
{
    return (u32)(v->crtc[0x0c] << 8 | v->crtc[0x0d]);
}

u32 vga_color(const struct vga *v, u8 index)
{
    const u8 *c = v->dac[index & v->dac_mask];
    u32 out = 0;

    for (unsigned i = 0; i < 3; i++) {
        u32 part = c[i];

        if (!(v->vbe[VBE_ENABLE] & VBE_8BIT_DAC))
            part = (part & 0x3f) << 2 | (part & 0x3f) >> 4;
        out = out << 8 | part;
    }
    return out;
}

u32 vga_attr_color(const struct vga *v, u8 index)
{
    u8 pal = v->attr[index & v->attr[0x12] & 0xf];

    if (v->attr[0x10] & 0x80)
        pal = (u8)((pal & 0x0f) | (v->attr[0x14] & 0x0f) << 4);
    else
        pal = (u8)((pal & 0x3f) | (v->attr[0x14] & 0x0c) << 4);
    return vga_color(v, pal);
}

/* What a line is made of. */
struct layout {
    u32 width, height;
    u32 start, stride; /* in the units of the mode: addresses of planes, or bytes */
    u32 split;         /* from this line on the picture starts over at address 0 */
    u32 color[256];
    u32 ncolors;
};

static const u8 *vram_at(const struct vga *v, u32 index)
{
    return v->vram + (index & (VGA_VRAM_SIZE - 1));
}

/* Address of a line's first pixel. */
static u32 line_address(const struct layout *l, u32 y)
{
    return y < l->split ? l->start + y * l->stride : (y - l->split) * l->stride;
}

/* CGA layouts: odd lines are 0x2000 bytes behind even ones. */
static u32 cga_address(const struct layout *l, u32 y)
{
    return l->start + (y >> 1) * l->stride + (y & 1) * 0x2000;
}

static void line_planar(const struct vga *v, const struct layout *l, u32 y, u32 *out)
{
    u32 at = line_address(l, y);

    for (u32 x = 0; x < l->width; x += 8, at++) {
        const u8 *p = vram_at(v, at * 4);

        for (u32 i = 0; i < 8 && x + i < l->width; i++) {
            u32 s = 7 - i;

            out[x + i] = l->color[(p[0] >> s & 1) | (p[1] >> s & 1) << 1 | (p[2] >> s & 1) << 2 |
                                  (p[3] >> s & 1) << 3];
        }
    }
}

/* Two bits a pixel; the bytes alternate between planes 0 and 1. */
static void line_cga4(const struct vga *v, const struct layout *l, u32 y, u32 *out)
{
    u32 at = cga_address(l, y);

    for (u32 x = 0; x < l->width; x++) {
        u32 a = at + x / 4;
        u8 val = *vram_at(v, (a & ~1u) << 1 | (a & 1));

        out[x] = l->color[val >> (6 - x % 4 * 2) & 3];
    }
}

static void line_cga2(const struct vga *v, const struct layout *l, u32 y, u32 *out)
{
    u32 at = cga_address(l, y);

    for (u32 x = 0; x < l->width; x++)
        out[x] = l->color[*vram_at(v, (at + x / 8) * 4) >> (7 - x % 8) & 1];
}

static void line_256(const struct vga *v, const struct layout *l, u32 y, u32 *out)
{
    u32 at = line_address(l, y);

    for (u32 x = 0; x < l->width; x++)
        out[x] = l->color[*vram_at(v, at + x)];
}

static u32 expand(u32 c, unsigned bits)
{
    return c << (8 - bits) | c >> (2 * bits - 8);
}

static u32 from_16(u32 c, bool green6)
{
    if (green6)
        return expand(c >> 11 & 31, 5) << 16 | expand(c >> 5 & 63, 6) << 8 | expand(c & 31, 5);
    return expand(c >> 10 & 31, 5) << 16 | expand(c >> 5 & 31, 5) << 8 | expand(c & 31, 5);
}

static void line_linear(const struct vga *v, const struct layout *l, u32 y, u32 *out)
{
    u32 bpp = v->vbe[VBE_BPP];
    const u8 *p = v->vram + l->start + (u64)y * l->stride;

    switch (bpp) {
    case 8:
        for (u32 x = 0; x < l->width; x++)
            out[x] = l->color[p[x]];
        break;
    case 15:
    case 16:
        for (u32 x = 0; x < l->width; x++)
            out[x] = from_16(le16_get(p + 2 * x), bpp == 16);
        break;
    case 24:
        for (u32 x = 0; x < l->width; x++)
            out[x] = p[3 * x] | (u32)p[3 * x + 1] << 8 | (u32)p[3 * x + 2] << 16;
        break;
    default:
        for (u32 x = 0; x < l->width; x++)
            out[x] = le32_get(p + 4 * x) & 0xffffff;
        break;
    }
}

/* The size of a VBE mode, cut to what video memory holds. */
static void vbe_layout(const struct vga *v, struct layout *l)
{
    u32 bytes = (v->vbe[VBE_BPP] + 7u) / 8;
    u64 line = (u64)v->vbe[VBE_VIRT_WIDTH] * bytes;
    u64 start = v->vbe[VBE_Y_OFFSET] * line + (u64)v->vbe[VBE_X_OFFSET] * bytes;

    l->width = v->vbe[VBE_XRES];
    l->height = v->vbe[VBE_YRES];
    l->stride = (u32)line;
    l->split = UINT32_MAX;
    if (v->vbe[VBE_BPP] == 4) {
        l->stride = v->vbe[VBE_VIRT_WIDTH] / 8u;
        l->start = v->vbe[VBE_Y_OFFSET] * l->stride + v->vbe[VBE_X_OFFSET] / 8u;
        return;
    }
    if (start >= VGA_VRAM_SIZE)
        start = 0;
    l->start = (u32)start;
    l->height = (u32)min((u64)l->height, line ? (VGA_VRAM_SIZE - start) / line : 0);
}

static void crtc_layout(const struct vga *v, enum vga_mode mode, struct layout *l)
{
    u32 lines = (v->crtc[0x12] | (v->crtc[7] & 0x02u) << 7 | (v->crtc[7] & 0x40u) << 3) + 1;
    u32 split = (v->crtc[0x18] | (v->crtc[7] & 0x10u) << 4 | (v->crtc[9] & 0x40u) << 3) + 1;
    u32 times = v->crtc[9] & 0x80 ? 2 : 1;
    bool cga = mode == VGA_CGA2 || mode == VGA_CGA4;

    if (!cga)
        times *= (v->crtc[9] & 0x1fu) + 1;
    l->width = (v->crtc[1] + 1u) * (mode == VGA_256 ? 4 : 8);
    l->height = max(lines / times, 1u);
    l->split = split / times;
    l->start = vga_start(v);
    l->stride = v->crtc[0x13] * 2u;
    if (mode == VGA_256) {
        l->start *= 4;
        l->stride *= 4;
    } else if (mode == VGA_CGA4) {
        l->start *= 2;
    }
}

bool vga_graphics_draw(struct vga *v, struct surface *s)
{
    static void (*const line[])(const struct vga *, const struct layout *, u32, u32 *) = {
        [VGA_PLANAR] = line_planar, [VGA_CGA4] = line_cga4,     [VGA_CGA2] = line_cga2,
        [VGA_256] = line_256,       [VGA_LINEAR] = line_linear,
    };
    enum vga_mode mode = vga_mode(v);
    struct layout l = {0};

    if (v->vbe[VBE_ENABLE] & VBE_ENABLED)
        vbe_layout(v, &l);
    else
        crtc_layout(v, mode, &l);
    l.ncolors = mode == VGA_256 || mode == VGA_LINEAR ? 256 : 16;
    for (u32 i = 0; i < l.ncolors; i++)
        l.color[i] = l.ncolors == 256 ? vga_color(v, (u8)i) : vga_attr_color(v, (u8)i);
    if (!vga_surface(s, l.width, l.height))
        return false;
    for (u32 y = 0; y < l.height; y++)
        line[mode](v, &l, y, s->pixels + (size_t)y * s->stride);
    return true;
}
