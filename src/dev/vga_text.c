/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VGA text modes: as lines of a picture with the fonts of plane 2, and as UTF-8 lines.
 *
 * A cell is a character in plane 0 and an attribute in plane 1; its glyph is 32 bytes in plane 2.
 * IBM VGA Technical Reference, "Attribute Controller" and "Alphanumeric modes".
 */
#include "dev/vga.h"

#include <stdlib.h>

enum { GLYPH_BYTES = 32, CELL_WIDTH_MAX = 9 };
enum { MODE_MONO = 2, MODE_LINE_GRAPHICS = 4, MODE_BLINK = 8 };

/* Code page 437, the characters of the PC's own font. */
static const u16 cp437[256] = {
    0x0020, 0x263a, 0x263b, 0x2665, 0x2666, 0x2663, 0x2660, 0x2022, 0x25d8, 0x25cb, 0x25d9, 0x2642,
    0x2640, 0x266a, 0x266b, 0x263c, 0x25ba, 0x25c4, 0x2195, 0x203c, 0x00b6, 0x00a7, 0x25ac, 0x21a8,
    0x2191, 0x2193, 0x2192, 0x2190, 0x221f, 0x2194, 0x25b2, 0x25bc, 0x0020, 0x0021, 0x0022, 0x0023,
    0x0024, 0x0025, 0x0026, 0x0027, 0x0028, 0x0029, 0x002a, 0x002b, 0x002c, 0x002d, 0x002e, 0x002f,
    0x0030, 0x0031, 0x0032, 0x0033, 0x0034, 0x0035, 0x0036, 0x0037, 0x0038, 0x0039, 0x003a, 0x003b,
    0x003c, 0x003d, 0x003e, 0x003f, 0x0040, 0x0041, 0x0042, 0x0043, 0x0044, 0x0045, 0x0046, 0x0047,
    0x0048, 0x0049, 0x004a, 0x004b, 0x004c, 0x004d, 0x004e, 0x004f, 0x0050, 0x0051, 0x0052, 0x0053,
    0x0054, 0x0055, 0x0056, 0x0057, 0x0058, 0x0059, 0x005a, 0x005b, 0x005c, 0x005d, 0x005e, 0x005f,
    0x0060, 0x0061, 0x0062, 0x0063, 0x0064, 0x0065, 0x0066, 0x0067, 0x0068, 0x0069, 0x006a, 0x006b,
    0x006c, 0x006d, 0x006e, 0x006f, 0x0070, 0x0071, 0x0072, 0x0073, 0x0074, 0x0075, 0x0076, 0x0077,
    0x0078, 0x0079, 0x007a, 0x007b, 0x007c, 0x007d, 0x007e, 0x2302, 0x00c7, 0x00fc, 0x00e9, 0x00e2,
    0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8, 0x00ef, 0x00ee, 0x00ec, 0x00c4, 0x00c5,
    0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9, 0x00ff, 0x00d6, 0x00dc, 0x00a2,
    0x00a3, 0x00a5, 0x20a7, 0x0192, 0x00e1, 0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa, 0x00ba,
    0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb, 0x2591, 0x2592, 0x2593, 0x2502,
    0x2524, 0x2561, 0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b, 0x2510,
    0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f, 0x255a, 0x2554, 0x2569, 0x2566,
    0x2560, 0x2550, 0x256c, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553, 0x256b,
    0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580, 0x03b1, 0x00df, 0x0393, 0x03c0,
    0x03a3, 0x03c3, 0x00b5, 0x03c4, 0x03a6, 0x0398, 0x03a9, 0x03b4, 0x221e, 0x03c6, 0x03b5, 0x2229,
    0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248, 0x00b0, 0x2219, 0x00b7, 0x221a,
    0x207f, 0x00b2, 0x25a0, 0x00a0};

/* Planes 0 to 3 of the cell at an address. */
static const u8 *cell(const struct vga *v, u32 addr)
{
    return v->vram + (addr & 0xffff) * 4;
}

static u32 font_offset(u8 select)
{
    return (select & 3u) * 0x4000 + (select >> 2 & 1u) * 0x2000;
}

struct vga_text_style vga_text_style(const struct vga *v)
{
    u8 s = v->seq[3];
    struct vga_text_style t = {
        .width = v->seq[1] & 1 ? 8 : 9,
        .cols = v->crtc[1] + 1u,
        .font = {font_offset((u8)((s & 3) | (s >> 2 & 4))),       /* map B */
                 font_offset((u8)((s >> 2 & 3) | (s >> 3 & 4)))}, /* map A */
        .mode = v->attr[0x10],
        .blink_off = v->blink >> 1 & 1,
        .cursor = (u32)(v->crtc[0x0e] << 8 | v->crtc[0x0f]) + (v->crtc[0x0b] >> 5 & 3u),
        .cursor_first = v->crtc[0x0a] & 0x1f,
        .cursor_last = v->crtc[0x0b] & 0x1f,
    };

    if (v->crtc[0x0a] & 0x20 || v->blink & 1) /* off, or not to be seen just now */
        t.cursor_first = UINT32_MAX;
    for (u8 i = 0; i < 16; i++)
        t.color[i] = vga_attr_color(v, i);
    return t;
}

/* One line of one cell. */
static void put_cell(const struct vga *v, const struct vga_text_style *t, u32 addr, u32 row_line,
                     u32 *out)
{
    const u8 *c = cell(v, addr);
    u8 ch = c[0], attr = c[1], fg = attr & 0xf, bg = attr >> 4;
    u32 glyph = t->font[attr >> 3 & 1] + ch * (u32)GLYPH_BYTES + row_line;
    u32 bits = (u32)v->vram[(glyph & 0xffff) * 4 + 2] << 1;

    if (t->mode & MODE_LINE_GRAPHICS && ch >= 0xc0 && ch <= 0xdf)
        bits |= bits >> 1 & 1;
    if (t->mode & MODE_MONO && (attr & 7) == 1 && row_line == (v->crtc[0x14] & 0x1fu))
        bits = 0x1ff; /* underlined */
    if (t->font[0] != t->font[1])
        fg &= 7; /* bit 3 chooses the font */
    if (t->mode & MODE_BLINK) {
        bg &= 7;
        if (attr & 0x80 && t->blink_off)
            fg = bg;
    }
    if (addr == t->cursor && row_line >= t->cursor_first && row_line <= t->cursor_last) {
        bits = 0x1ff;
        fg = attr & 0xf;
    }
    for (u32 x = 0; x < t->width; x++)
        out[x] = t->color[bits >> (8 - x) & 1 ? fg : bg];
}

bool vga_text_blinks(const struct vga *v, const struct vga_text_style *t, u32 addr)
{
    for (u32 i = addr; i <= addr + t->cols; i++)
        if (i == t->cursor || (t->mode & MODE_BLINK && cell(v, i)[1] & 0x80))
            return true;
    return false;
}

void vga_text_line(const struct vga *v, const struct vga_text_style *t, const struct vga_scan *s,
                   u32 y, u32 *out)
{
    u32 row_line, pan, addr = vga_scan_line(s, y, &row_line, &pan);
    u32 last[CELL_WIDTH_MAX];

    if (!pan) {
        for (u32 i = 0; i < t->cols; i++, out += t->width)
            put_cell(v, t, addr + i, row_line, out);
        return;
    }
    pan = min(pan, t->width - 1);
    put_cell(v, t, addr, row_line, last);
    for (u32 x = pan; x < t->width; x++)
        *out++ = last[x];
    for (u32 i = 1; i < t->cols; i++, out += t->width)
        put_cell(v, t, addr + i, row_line, out);
    put_cell(v, t, addr + t->cols, row_line, last);
    for (u32 x = 0; x < pan; x++)
        *out++ = last[x];
}

static char *put_utf8(char *p, u32 c)
{
    if (c < 0x80) {
        *p++ = (char)c;
    } else if (c < 0x800) {
        *p++ = (char)(0xc0 | c >> 6);
        *p++ = (char)(0x80 | (c & 0x3f));
    } else {
        *p++ = (char)(0xe0 | c >> 12);
        *p++ = (char)(0x80 | (c >> 6 & 0x3f));
        *p++ = (char)(0x80 | (c & 0x3f));
    }
    return p;
}

/* One line a row, without the blanks at its end. */
static char *utf8(const struct vga *v)
{
    struct vga_scan s = vga_scan(v);
    u32 cols = v->crtc[1] + 1u, rows = min(max(s.lines / s.row_lines, 1u), (u32)VGA_ROWS_MAX);
    char *text, *p;

    text = p = malloc((size_t)rows * (cols * 3 + 1) + 1);
    if (!text)
        return NULL;
    for (u32 row = 0; row < rows; row++) {
        u32 row_line, pan, addr = vga_scan_line(&s, row * s.row_lines, &row_line, &pan);
        char *end = p;

        for (u32 col = 0; col < cols; col++) {
            u8 ch = cell(v, addr + col)[0];

            p = put_utf8(p, cp437[ch]);
            if (ch != 0 && ch != ' ')
                end = p;
        }
        p = end;
        *p++ = '\n';
    }
    *p = 0;
    return text;
}

char *vga_text(void *opaque)
{
    struct vga *v = opaque;
    char *text;

    pthread_mutex_lock(v->lock);
    text = vga_mode(v) == VGA_TEXT ? utf8(v) : NULL;
    pthread_mutex_unlock(v->lock);
    return text;
}
