/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Standard VGA with the Bochs VBE extensions, without what it sits on: stdvga and virtio_vga put it
 * on PCI.  IBM VGA Technical Reference; Bochs VBE (dispi) interface 0xb0c5.
 */
#ifndef WIRT_DEV_VGA_H
#define WIRT_DEV_VGA_H

#include "base/clock.h"
#include "base/trace.h"
#include "core/bus.h"
#include "core/display.h"
#include "core/mem.h"
#include "core/state.h"
#include "dev/edid.h"

enum { VGA_VRAM_SIZE = 16 << 20, VGA_VBE_REGS = 16, VGA_MMIO_SIZE = 0x1000 };

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
    pthread_mutex_t *lock; /* the function's; guards all of this */
    struct trace *trace;
    struct clock *clock;

    /* The board maps these. */
    struct region ports;     /* 0x3c0-0x3df */
    struct region mono_crtc; /* 0x3b4-0x3b5 */
    struct region mono_stat; /* 0x3ba */
    struct region dispi;     /* 0x1ce-0x1d1 */
    struct region window;    /* 0xa0000-0xbffff */
    /* The function puts these behind BARs. */
    struct region lfb;
    struct region mmio; /* EDID, VGA and dispi registers, byte order */

    struct mem *mem;
    u8 *vram; /* four planes interleaved: plane p of address a is vram[a * 4 + p] */
    u8 edid[EDID_SIZE];

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
    bool big_endian; /* the frame buffer's pixels */

    bool redraw; /* a register changed what is to be seen */
    u64 blink;   /* the half period of the cursor that was drawn last */
    u32 *line;   /* scratch: one line of the picture */
    u8 *dirty;   /* scratch: a byte a page of video memory */

    struct display_source display;
};

/* lock guards the device; edid is what a driver may read.  -ENOMEM. */
int vga_init(struct vga *v, struct mem *m, struct clock *c, pthread_mutex_t *lock, struct trace *t,
             const struct edid_config *edid);
void vga_destroy(struct vga *v); /* also of one that is all zero */
void vga_reset(struct vga *v);   /* with the lock held */

extern const struct state_desc vga_state;

/* ---- between vga*.c, all with the lock held ---- */

enum { VGA_WIDTH_MAX = 4096, VGA_HEIGHT_MAX = 3072, VGA_BLINK_NS = 266000000 };

enum vga_mode { VGA_BLANK, VGA_TEXT, VGA_PLANAR, VGA_CGA4, VGA_256, VGA_LINEAR };

enum vga_mode vga_mode(const struct vga *v);
static inline bool vga_vbe_on(const struct vga *v)
{
    return v->vbe[VBE_ENABLE] & VBE_ENABLED;
}
static inline u8 *vga_at(const struct vga *v, u32 index)
{
    return v->vram + (index & (VGA_VRAM_SIZE - 1));
}

/* vga_mem.c: the window; off below 0x20000. */
u8 vga_mem_read(struct vga *v, u32 off);
void vga_mem_write(struct vga *v, u32 off, u8 val);

/* vga.c */
u8 vga_port_read(struct vga *v, unsigned port, bool mono); /* port: offset from 0x3c0 */
void vga_port_write(struct vga *v, unsigned port, bool mono, u8 val);

/* vga_dispi.c */
void vga_dispi_reset(struct vga *v);
void vga_dispi_regions(struct vga *v);
int vga_dispi_loaded(struct vga *v, struct err *e);

/* vga_draw.c */
u32 vga_color(const struct vga *v, u8 index);               /* through the DAC */
u32 vga_attr_color(const struct vga *v, u8 index);          /* through the palette, then the DAC */
void vga_update(void *opaque, struct display *d, bool all); /* takes the lock */

/* vga_text.c */
enum { VGA_COLS_MAX = 256, VGA_ROWS_MAX = 512 };
char *vga_text(void *opaque); /* takes the lock */

/* How the CRT controller walks through memory, line by line. */
struct vga_scan {
    u32 lines;       /* scan lines of the picture */
    u32 split;       /* the line from which on it starts over at address 0 */
    u32 start, next; /* address of the first row; from one row to the next */
    u32 row_lines;   /* scan lines of a row, 1 to 32 */
    u32 repeat;      /* each line is shown so often */
    u32 first_line;  /* of the first row (preset row scan) */
    u32 pan;         /* pixels to the left */
    bool split_pan;  /* below the split too */
};
struct vga_scan vga_scan(const struct vga *v);

/* Where line y (of the picture, repeats not counted) is: the address of its row and the scan line
 * in it; *pan: pixels to the left. */
u32 vga_scan_line(const struct vga_scan *s, u32 y, u32 *row_line, u32 *pan);

struct vga_text_style {
    u32 width, height; /* of a cell */
    u32 cols;
    u32 font[2]; /* offsets in plane 2: attribute bit 3 clear, set */
    u32 color[16];
    u8 mode;
    bool blink_off;                /* blinking characters are not shown just now */
    u32 cursor;                    /* its address */
    u32 cursor_first, cursor_last; /* its lines; first > last: none */
};
struct vga_text_style vga_text_style(const struct vga *v);
/* Has the row at addr something that comes and goes by itself: the cursor, or blinking cells? */
bool vga_text_blinks(const struct vga *v, const struct vga_text_style *t, u32 addr);
/* Line y of a text picture: cols cells and, when panned, part of one more. */
void vga_text_line(const struct vga *v, const struct vga_text_style *t, const struct vga_scan *s,
                   u32 y, u32 *out);

#endif
