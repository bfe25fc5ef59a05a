/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct boot: the video card in text mode 3 (80 x 25, 16 colours), as the VGA BIOS leaves it, so
 * that kernels find a text screen.  Register values are those of the IBM VGA (IBM PS/2 Hardware
 * Interface Technical Reference, Video Subsystem); the font is the one in the card's VGA BIOS.
 */
#include "base/endian.h"
#include "board/pc.h"
#include "board/pc_map.h"

#include <string.h>

enum { GLYPHS = 256, GLYPH_ROWS = 16, GLYPH_ROOM = 32 };

static void out(struct pc *pc, u16 port, u8 v)
{
    bus_write(&pc->vm->pio, port, 1, v);
}

static void out_index(struct pc *pc, u16 port, u8 index, u8 v)
{
    out(pc, port, index);
    out(pc, port + 1, v);
}

/* CP437's 8 x 16 font: found by its second glyph, the smiling face. */
static const u8 *find_font(const struct pc *pc)
{
    static const u8 face[GLYPH_ROWS] = {0,    0,    0x7e, 0x81, 0xa5, 0x81, 0x81, 0xbd,
                                        0x99, 0x81, 0x81, 0x7e, 0,    0,    0,    0};
    const u8 *rom = pc->vga_rom ? pc->vga_rom->hva : NULL;
    if (!rom)
        return NULL;
    for (u64 at = GLYPH_ROWS; at + (GLYPHS - 1) * GLYPH_ROWS <= pc->vga_rom->size; at++)
        if (!memcmp(rom + at, face, sizeof(face)))
            return rom + at - GLYPH_ROWS;
    return NULL;
}

static void load_font(struct pc *pc, const u8 *font)
{
    out_index(pc, 0x3c4, 2, 0x04); /* write plane 2 only, in order */
    out_index(pc, 0x3c4, 4, 0x07);
    out_index(pc, 0x3ce, 5, 0x00);
    out_index(pc, 0x3ce, 6, 0x04);
    for (unsigned g = 0; g < GLYPHS; g++)
        for (unsigned row = 0; row < GLYPH_ROWS; row++)
            bus_write(&pc->vm->mmio, MAP_LOW_TOP + g * GLYPH_ROOM + row, 1,
                      font[g * GLYPH_ROWS + row]);
}

static void set_palette(struct pc *pc)
{
    out(pc, 0x3c6, 0xff);
    out(pc, 0x3c8, 0);
    for (unsigned i = 0; i < 64; i++) { /* rgbRGB, as on the EGA */
        out(pc, 0x3c9, (u8)((i >> 2 & 1) * 0x2a + (i >> 5 & 1) * 0x15));
        out(pc, 0x3c9, (u8)((i >> 1 & 1) * 0x2a + (i >> 4 & 1) * 0x15));
        out(pc, 0x3c9, (u8)((i & 1) * 0x2a + (i >> 3 & 1) * 0x15));
    }
}

static void set_registers(struct pc *pc)
{
    static const u8 seq[] = {0x03, 0x00, 0x03, 0x00, 0x02};
    static const u8 crtc[] = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00,
                              0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e,
                              0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff};
    static const u8 gc[] = {0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x0f, 0xff};
    static const u8 attr[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a,
                              0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00};
    out(pc, 0x3c2, 0x67);
    for (unsigned i = 0; i < sizeof(seq); i++)
        out_index(pc, 0x3c4, (u8)i, seq[i]);
    out_index(pc, 0x3d4, 0x11, 0x0e); /* unlock 0-7 */
    for (unsigned i = 0; i < sizeof(crtc); i++)
        out_index(pc, 0x3d4, (u8)i, crtc[i]);
    for (unsigned i = 0; i < sizeof(gc); i++)
        out_index(pc, 0x3ce, (u8)i, gc[i]);
    bus_read(&pc->vm->pio, 0x3da, 1); /* the next write to 3c0 is an index */
    for (unsigned i = 0; i < sizeof(attr); i++) {
        out(pc, 0x3c0, (u8)i);
        out(pc, 0x3c0, attr[i]);
    }
    out(pc, 0x3c0, 0x20); /* palette on */
}

/* The BIOS data area: what is read of it by kernels that ask no BIOS. */
static void fill_bda(struct pc *pc, bool text)
{
    u8 *bda = pc->vm->mem.hva + 0x400;
    memset(bda, 0, 0x100);
    for (unsigned i = 0; i < pc->cfg.nserials; i++)
        le16_put(bda + i * 2, serial_port[i]);
    le16_put(bda + 0x0e, MAP_EBDA >> 4);
    le16_put(bda + 0x13, MAP_EBDA >> 10);
    if (!text)
        return;
    bda[0x49] = 3;
    le16_put(bda + 0x4a, 80);
    le16_put(bda + 0x4c, 0x1000);
    le16_put(bda + 0x60, 0x0d0e);
    le16_put(bda + 0x63, 0x3d4);
    bda[0x84] = 24;
    le16_put(bda + 0x85, 16);
}

void pc_direct_text(struct pc *pc)
{
    const u8 *font = pc->cfg.vga ? find_font(pc) : NULL;
    fill_bda(pc, font);
    if (!font)
        return;
    set_registers(pc);
    load_font(pc, font);
    set_registers(pc); /* load_font() changed the way to memory */
    set_palette(pc);
    for (unsigned i = 0; i < 80 * 25; i++)
        bus_write(&pc->vm->mmio, 0xb8000 + i * 2, 2, 0x0720);
}

bool pc_has_text(const struct pc *pc)
{
    return pc->cfg.vga && find_font(pc);
}
