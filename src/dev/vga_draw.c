/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From video memory to a picture, line by line.  The CRT controller (IBM VGA Technical Reference)
 * walks through memory by rows of one or more scan lines; what it fetches is text (vga_text.c),
 * four planes (modes 0Dh to 12h, 6 and 11h), CGA's two bits a pixel (4 and 5) or a byte a pixel
 * (13h and its unchained kin).  Lines and dots that it only repeats are drawn once: mode 13h is
 * 320x200.  VBE's modes are linear.
 *
 * Pages of video memory that were not written since the last look (mem_watch()) are not drawn
 * again, unless a register changed what they mean.
 */
#include "dev/vga.h"

#include "base/endian.h"

#include <string.h>

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

/* ------------------------------------------------------ the CRT controller -- */

/* The row scan counter stands in for address bits 13 and 14 (CGA, Hercules). */
static bool row_in_address(const struct vga *v)
{
    return (v->crtc[0x17] & 3) != 3;
}

static u32 pixel_pan(const struct vga *v, bool nine)
{
    u32 pan = v->attr[0x13] & 0xf;

    if (nine)
        return pan >= 8 ? 0 : pan + 1;
    return v->attr[0x10] & 0x40 ? (pan & 7) >> 1 : pan & 7;
}

static struct vga_scan crtc_scan(const struct vga *v)
{
    const u8 *c = v->crtc;
    bool text = vga_mode(v) == VGA_TEXT;
    u32 compare = c[0x18] | (c[7] & 0x10u) << 4 | (c[9] & 0x40u) << 3;
    struct vga_scan s = {
        .lines = (c[0x12] | (c[7] & 0x02u) << 7 | (c[7] & 0x40u) << 3) + 1,
        .start = (u32)(c[0x0c] << 8 | c[0x0d]) + (c[8] >> 5 & 3u),
        .next = c[0x13] * 2u,
        .row_lines = (c[9] & 0x1fu) + 1,
        .repeat = c[9] & 0x80 ? 2 : 1,
        .first_line = c[8] & 0x1fu,
        .pan = pixel_pan(v, text && !(v->seq[1] & 1)),
        .split_pan = !(v->attr[0x10] & 0x20),
    };

    if (!text && !row_in_address(v)) {
        s.repeat *= s.row_lines;
        s.row_lines = 1;
        s.first_line = 0;
    }
    s.lines = max(s.lines / s.repeat, 1u);
    s.split = (compare + s.repeat) / s.repeat;
    return s;
}

struct vga_scan vga_scan(const struct vga *v)
{
    if (!vga_vbe_on(v))
        return crtc_scan(v);
    u32 next = v->vbe[VBE_VIRT_WIDTH] / 8u; /* VBE with four planes */
    return (struct vga_scan){
        .lines = v->vbe[VBE_YRES],
        .split = UINT32_MAX,
        .start = v->vbe[VBE_Y_OFFSET] * next + v->vbe[VBE_X_OFFSET] / 8u,
        .next = next,
        .row_lines = 1,
        .repeat = 1,
        .pan = v->vbe[VBE_X_OFFSET] & 7,
    };
}

u32 vga_scan_line(const struct vga_scan *s, u32 y, u32 *row_line, u32 *pan)
{
    if (y >= s->split) {
        y -= s->split;
        *pan = s->split_pan ? s->pan : 0;
        *row_line = y % s->row_lines;
        return y / s->row_lines * s->next;
    }
    y += s->first_line;
    *pan = s->pan;
    *row_line = y % s->row_lines;
    return s->start + y / s->row_lines * s->next;
}

/* The address in the planes that the controller puts out; VBE's planar modes know no 64 KiB. */
static u32 fetch_address(const struct vga *v, u32 addr, u32 row_line)
{
    u32 bit = v->crtc[0x17] & 0x40 ? 13 : 12; /* in word mode each address is two of the CGA's */

    if (vga_vbe_on(v))
        return addr & (VGA_VRAM_SIZE / 4 - 1);
    addr &= 0xffff;
    if (!(v->crtc[0x17] & 1))
        addr = (addr & ~(1u << bit)) | (row_line & 1) << bit;
    if (!(v->crtc[0x17] & 2))
        addr = (addr & ~(2u << bit)) | (row_line >> 1 & 1) << (bit + 1);
    return addr;
}

/* ------------------------------------------------------------------ pictures -- */

struct picture {
    enum vga_mode mode;
    u32 width, height;
    u32 chars; /* fetches a line, one more than fit because of panning */
    struct vga_scan scan;
    u32 color[256];
    u64 start, stride; /* linear: bytes */
};

/* Eight pixels of four planes. */
static void put_planar(const u32 *color, const u8 *p, u32 *out)
{
    for (u32 i = 0; i < 8; i++) {
        u32 s = 7 - i;

        out[i] = color[(p[0] >> s & 1) | (p[1] >> s & 1) << 1 | (p[2] >> s & 1) << 2 |
                       (p[3] >> s & 1) << 3];
    }
}

/* Two bits a pixel: planes 0 and 2 have the first four, 1 and 3 the others. */
static void put_cga4(const u32 *color, const u8 *p, u32 *out)
{
    for (u32 i = 0; i < 8; i++) {
        u32 s = 6 - i % 4 * 2;

        out[i] = color[(p[i / 4] >> s & 3) | (p[2 + i / 4] >> s & 3) << 2];
    }
}

static void put_256(const u32 *color, const u8 *p, u32 *out)
{
    for (u32 i = 0; i < 4; i++)
        out[i] = color[p[i]];
}

static void scan_line(const struct vga *v, const struct picture *p, u32 addr, u32 row_line,
                      u32 *out)
{
    static void (*const put[])(const u32 *, const u8 *, u32 *) = {
        [VGA_PLANAR] = put_planar, [VGA_CGA4] = put_cga4, [VGA_256] = put_256};
    u32 n = p->mode == VGA_256 ? 4 : 8;

    for (u32 i = 0; i < p->chars; i++)
        put[p->mode](p->color, vga_at(v, fetch_address(v, addr + i, row_line) * 4), out + i * n);
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

static void linear_line(const struct vga *v, const struct picture *pic, const u8 *p, u32 *out)
{
    u32 bpp = v->vbe[VBE_BPP], w = pic->width;
    bool be = v->big_endian;

    switch (bpp) {
    case 8:
        for (u32 x = 0; x < w; x++)
            out[x] = pic->color[p[x]];
        break;
    case 15:
    case 16:
        for (u32 x = 0; x < w; x++) {
            u16 c = le16_get(p + 2 * x);

            out[x] = from_16(be ? __builtin_bswap16(c) : c, bpp == 16);
        }
        break;
    case 24:
        for (u32 x = 0; x < w; x++, p += 3)
            out[x] = p[be ? 2 : 0] | (u32)p[1] << 8 | (u32)p[be ? 0 : 2] << 16;
        break;
    default:
        for (u32 x = 0; x < w; x++) {
            u32 c = le32_get(p + 4 * x);

            out[x] = (be ? __builtin_bswap32(c) : c) & 0xffffff;
        }
        break;
    }
}

/* A VBE mode, cut to what video memory holds. */
static void linear_picture(const struct vga *v, struct picture *p)
{
    u32 bytes = (v->vbe[VBE_BPP] + 7u) / 8;
    u64 shown;

    p->stride = (u64)v->vbe[VBE_VIRT_WIDTH] * bytes;
    p->start = v->vbe[VBE_Y_OFFSET] * p->stride + (u64)v->vbe[VBE_X_OFFSET] * bytes;
    p->width = v->vbe[VBE_XRES];
    shown = (u64)p->width * bytes;
    if (p->start + shown > VGA_VRAM_SIZE)
        p->start = 0;
    p->height = (u32)min((u64)v->vbe[VBE_YRES], (VGA_VRAM_SIZE - p->start - shown) / p->stride + 1);
}

static void make_picture(const struct vga *v, struct picture *p)
{
    u32 dots = v->seq[1] & 1 ? 8 : 9;

    p->mode = vga_mode(v);
    if (p->mode == VGA_LINEAR) {
        linear_picture(v, p);
    } else {
        p->scan = vga_scan(v);
        p->height = min(p->scan.lines, (u32)VGA_HEIGHT_MAX);
        if (vga_vbe_on(v))
            p->width = v->vbe[VBE_XRES];
        else
            p->width = (v->crtc[1] + 1u) * (p->mode == VGA_256    ? 4
                                            : p->mode == VGA_TEXT ? dots
                                                                  : 8);
        p->chars = (p->width + 7) / (p->mode == VGA_256 ? 4 : 8) + 1;
    }
    bool all = p->mode == VGA_256 || p->mode == VGA_LINEAR;
    for (u32 i = 0; i < (all ? 256 : 16); i++)
        p->color[i] = all ? vga_color(v, (u8)i) : vga_attr_color(v, (u8)i);
}

/* --------------------------------------------------------------- what changed -- */

/* Asks which pages of [from, from+len) were written; true if any.  v->dirty is by page of video
 * memory. */
static bool watch(struct vga *v, u64 from, u64 len)
{
    u64 first = from >> PAGE_SHIFT, last = (from + len - 1) >> PAGE_SHIFT;

    memset(v->dirty + first, 0, last - first + 1);
    return mem_watch(v->mem, v->vram + from, len, v->dirty + first);
}

static bool written(const struct vga *v, u64 from, u64 len)
{
    if (from + len > VGA_VRAM_SIZE)
        return true;
    for (u64 page = from >> PAGE_SHIFT; page <= (from + len - 1) >> PAGE_SHIFT; page++)
        if (v->dirty[page])
            return true;
    return false;
}

static void update_linear(struct vga *v, const struct picture *p, struct display *d, bool all)
{
    u64 shown = (u64)p->width * ((v->vbe[VBE_BPP] + 7u) / 8);

    if (!watch(v, p->start, (p->height - 1) * p->stride + shown) && !all)
        return;
    for (u32 y = 0; y < p->height; y++) {
        u64 at = p->start + y * p->stride;

        if (!all && !written(v, at, shown))
            continue;
        linear_line(v, p, v->vram + at, v->line);
        display_put(d, 0, y, v->line, p->width);
    }
}

static void update_scan(struct vga *v, const struct picture *p, struct display *d, bool all)
{
    bool vbe = vga_vbe_on(v), tangled = row_in_address(v) && !vbe;

    if (!watch(v, 0, vbe ? VGA_VRAM_SIZE : 0x40000) && !all)
        return;
    for (u32 y = 0; y < p->height; y++) {
        u32 row_line, pan, addr = vga_scan_line(&p->scan, y, &row_line, &pan);
        u32 at = fetch_address(v, addr, row_line);

        /* Where the row wraps around at 64 KiB, or its line is in its address, is not followed. */
        if (!all && !tangled && at + p->chars <= 0x10000 &&
            !written(v, (u64)at * 4, (u64)p->chars * 4))
            continue;
        scan_line(v, p, addr, row_line, v->line);
        display_put(d, 0, y, v->line + pan, p->width);
    }
}

static void update_text(struct vga *v, const struct picture *p, struct display *d, bool all)
{
    u64 blink = clock_now(v->clock) / VGA_BLINK_NS;
    bool blinks = blink != v->blink;

    /* Characters and fonts share pages: one write, and all is drawn. */
    all |= watch(v, 0, 0x40000);
    v->blink = blink;
    if (!all && !blinks)
        return;
    struct vga_text_style t = vga_text_style(v);
    u64 row = UINT64_MAX;
    bool draw = true;
    for (u32 y = 0; y < p->height; y++) {
        u32 row_line, pan, addr = vga_scan_line(&p->scan, y, &row_line, &pan);

        if (!all && addr != row)
            draw = vga_text_blinks(v, &t, addr);
        row = addr;
        if (!draw)
            continue;
        vga_text_line(v, &t, &p->scan, y, v->line);
        display_put(d, 0, y, v->line, p->width);
    }
}

static void update_blank(struct vga *v, u32 height, u32 width, struct display *d)
{
    u32 c = v->seq[1] & 0x20 ? 0 : vga_color(v, v->attr[0x11]);

    width = min(width, (u32)VGA_WIDTH_MAX);
    for (u32 x = 0; x < width; x++)
        v->line[x] = c;
    for (u32 y = 0; y < height; y++)
        display_put(d, 0, y, v->line, width);
}

static void update(struct vga *v, struct display *d, bool all)
{
    struct picture p = {0};

    all |= v->redraw;
    v->redraw = false;
    if (vga_mode(v) == VGA_BLANK) {
        if (!d->s.width)
            all |= display_size(d, 640, 400);
        if (all)
            update_blank(v, d->s.height, d->s.width, d);
        return;
    }
    make_picture(v, &p);
    all |= display_size(d, p.width, p.height);
    if (p.mode == VGA_LINEAR)
        update_linear(v, &p, d, all);
    else if (p.mode == VGA_TEXT)
        update_text(v, &p, d, all);
    else
        update_scan(v, &p, d, all);
}

void vga_update(void *opaque, struct display *d, bool all)
{
    struct vga *v = opaque;

    pthread_mutex_lock(v->lock);
    update(v, d, all);
    pthread_mutex_unlock(v->lock);
}
