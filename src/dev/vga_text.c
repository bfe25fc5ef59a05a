/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VGA text modes: as a picture with the fonts of plane 2, and as UTF-8 lines.
 *
 * A cell is a character in plane 0 and an attribute in plane 1; its glyph is 32 bytes in plane 2.
 * IBM VGA Technical Reference, "Attribute Controller" and "Alphanumeric modes".
 */
#include "dev/vga.h"

#include <stdlib.h>

enum { COLS_MAX = 256, ROWS_MAX = 128, GLYPH_BYTES = 32 };
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

static u32 cell_height(const struct vga *v)
{
    return (v->crtc[9] & 0x1fu) + 1;
}

void vga_text_size(const struct vga *v, u32 *cols, u32 *rows)
{
    u32 lines = (v->crtc[0x12] | (v->crtc[7] & 0x02u) << 7 | (v->crtc[7] & 0x40u) << 3) + 1;

    if (v->crtc[9] & 0x80)
        lines /= 2;
    *cols = min(v->crtc[1] + 1u, (u32)COLS_MAX);
    *rows = min(max(lines / cell_height(v), 1u), (u32)ROWS_MAX);
}

/* Planes 0 to 3 of a cell. */
static const u8 *cell(const struct vga *v, u32 row, u32 col)
{
    u32 stride = v->crtc[0x13] * 2u;
    u32 at = vga_start(v) + row * stride + col;

    return v->vram + (at & 0xffff) * 4;
}

struct text_style {
    u32 width, height; /* of a cell */
    u32 font[2];       /* offsets in plane 2: attribute bit 3 clear, set */
    u32 color[16];
    u8 mode;
    bool blink_off; /* blinking characters are not shown just now */
};

static u32 font_offset(u8 select)
{
    return (select & 3u) * 0x4000 + (select >> 2 & 1u) * 0x2000;
}

static void get_style(const struct vga *v, struct text_style *t)
{
    u8 s = v->seq[3];

    t->width = v->seq[1] & 1 ? 8 : 9;
    t->height = cell_height(v);
    t->font[0] = font_offset((u8)((s & 3) | (s >> 2 & 4)));      /* map B */
    t->font[1] = font_offset((u8)((s >> 2 & 3) | (s >> 3 & 4))); /* map A */
    t->mode = v->attr[0x10];
    t->blink_off = v->blink >> 1 & 1;
    for (u8 i = 0; i < 16; i++)
        t->color[i] = vga_attr_color(v, i);
}

static void draw_cell(const struct vga *v, const struct text_style *t, const u8 *c, u32 *out,
                      u32 stride)
{
    u8 ch = c[0], attr = c[1], fg = attr & 0xf, bg = attr >> 4;
    const u8 *glyph = v->vram + (t->font[attr >> 3 & 1] + ch * (u32)GLYPH_BYTES) * 4 + 2;
    bool ninth = t->mode & MODE_LINE_GRAPHICS && ch >= 0xc0 && ch <= 0xdf;
    bool underline = t->mode & MODE_MONO && (attr & 7) == 1;

    if (t->font[0] != t->font[1])
        fg &= 7; /* bit 3 chooses the font */
    if (t->mode & MODE_BLINK) {
        bg &= 7;
        if (attr & 0x80 && t->blink_off)
            fg = bg;
    }
    for (u32 y = 0; y < t->height; y++, out += stride) {
        u32 bits = glyph[y * 4] << 1;

        if (ninth)
            bits |= bits >> 1 & 1;
        if (underline && y == (v->crtc[0x14] & 0x1fu))
            bits = 0x1ff;
        for (u32 x = 0; x < t->width; x++)
            out[x] = t->color[bits >> (8 - x) & 1 ? fg : bg];
    }
}

static void draw_cursor(const struct vga *v, const struct text_style *t, u32 cols, u32 rows,
                        struct surface *s)
{
    u32 first = v->crtc[0x0a] & 0x1f, last = v->crtc[0x0b] & 0x1f;
    u32 stride = v->crtc[0x13] * 2u;
    u32 at = ((v->crtc[0x0e] << 8 | v->crtc[0x0f]) - vga_start(v)) & 0xffff;
    u32 row = stride ? at / stride : 0, col = stride ? at % stride : at;

    if (v->crtc[0x0a] & 0x20 || row >= rows || col >= cols || (v->blink & 1))
        return;
    for (u32 y = first; y <= last && y < t->height; y++) {
        u32 *out = s->pixels + (row * t->height + y) * s->stride + col * t->width;

        for (u32 x = 0; x < t->width; x++)
            out[x] = t->color[cell(v, row, col)[1] & 0xf];
    }
}

bool vga_text_draw(struct vga *v, struct surface *s)
{
    struct text_style t;
    u32 cols, rows;

    get_style(v, &t);
    vga_text_size(v, &cols, &rows);
    if (!vga_surface(s, cols * t.width, rows * t.height))
        return false;
    for (u32 row = 0; row < rows; row++)
        for (u32 col = 0; col < cols; col++)
            draw_cell(v, &t, cell(v, row, col),
                      s->pixels + row * t.height * s->stride + col * t.width, s->stride);
    draw_cursor(v, &t, cols, rows, s);
    return true;
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
char *vga_text_utf8(struct vga *v)
{
    u32 cols, rows;
    char *text, *p;

    vga_text_size(v, &cols, &rows);
    text = p = malloc(rows * (cols * 3 + 1) + 1);
    if (!text)
        return NULL;
    for (u32 row = 0; row < rows; row++) {
        char *end = p;

        for (u32 col = 0; col < cols; col++) {
            u8 ch = cell(v, row, col)[0];

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
