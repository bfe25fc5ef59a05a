/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Standard VGA with the Bochs VBE extensions as a PCI function (1234:1111), as SeaBIOS's
 * vgabios-stdvga drives it.  IBM VGA Technical Reference; Bochs VBE (dispi) interface 0xb0c5.
 */
#ifndef WIRT_DEV_VGA_H
#define WIRT_DEV_VGA_H

#include "base/clock.h"
#include "core/display.h"
#include "dev/pci.h"

enum { VGA_VRAM_SIZE = 16 << 20, VGA_VBE_REGS = 16, VGA_BLINK_NS = 266000000 };

/* Bochs VBE register indices. */
enum {
    VBE_ID,
    VBE_XRES,
    VBE_YRES,
    VBE_BPP,
    VBE_ENABLE,
    VBE_BANK,
    VBE_VIRT_WIDTH,
    VBE_VIRT_HEIGHT,
    VBE_X_OFFSET,
    VBE_Y_OFFSET,
    VBE_VIDEO_MEMORY_64K,
};

enum { VBE_ENABLED = 1, VBE_GETCAPS = 2, VBE_8BIT_DAC = 0x20, VBE_LFB = 0x40, VBE_NOCLEAR = 0x80 };

struct vga {
    struct pci_dev pci; /* first; its lock guards all of this */
    struct clock *clock;

    /* The board maps these; BARs map themselves. */
    struct region ports;     /* 0x3c0-0x3df */
    struct region mono_crtc; /* 0x3b4-0x3b5 */
    struct region mono_stat; /* 0x3ba */
    struct region dispi;     /* 0x1ce-0x1d1 */
    struct region window;    /* 0xa0000-0xbffff */
    struct region lfb, mmio, rom;

    struct mem *mem;
    u8 *vram; /* four planes interleaved: plane p of address a is vram[a * 4 + p] */

    u8 misc, feature;
    u8 seq_index, seq[8];
    u8 gc_index, gc[16];
    u8 crtc_index, crtc[32];
    u8 attr_index, attr[32]; /* attr_index bit 5: palette on */
    bool attr_data;          /* the next write to 0x3c0 is data */
    u8 dac_mask, dac_state, dac_read, dac_write, dac_comp;
    u8 dac_cache[3];
    u8 dac[256][3]; /* as written, 6 or 8 bits a component */
    u8 latch[4];
    u16 vbe_index, vbe[VGA_VBE_REGS];

    bool redraw; /* a register changed what is to be seen */
    u64 blink;   /* the half period of the cursor that was drawn last */
    struct surface shown;

    struct display_source display;
};

/* rom: the VGA BIOS image (copied into memory behind RAM), NULL and 0 for none.  -errno. */
int vga_init(struct vga *v, struct pci_bus *b, unsigned devfn, struct mem *m, struct clock *c,
             const void *rom, u64 rom_size);
void vga_destroy(struct vga *v);
void vga_reset(struct vga *v); /* with the lock held */

extern const struct state_desc vga_state;

/* ---- between vga.c, vga_mem.c, vga_text.c and vga_draw.c, all with the lock held ---- */

enum vga_mode { VGA_BLANK, VGA_TEXT, VGA_PLANAR, VGA_CGA4, VGA_CGA2, VGA_256, VGA_LINEAR };

enum vga_mode vga_mode(const struct vga *v);
u8 vga_mem_read(struct vga *v, u32 off);
void vga_mem_write(struct vga *v, u32 off, u8 val);
u32 vga_color(const struct vga *v, u8 index);      /* through the DAC */
u32 vga_attr_color(const struct vga *v, u8 index); /* through the palette, then the DAC */
u32 vga_start(const struct vga *v);                /* CRTC start address */
void vga_text_size(const struct vga *v, u32 *cols, u32 *rows);
bool vga_text_draw(struct vga *v, struct surface *s);
char *vga_text_utf8(struct vga *v);
bool vga_graphics_draw(struct vga *v, struct surface *s);
/* Sizes *s to w x h, stride w; false when memory is short. */
bool vga_surface(struct surface *s, u32 w, u32 h);

#endif
