/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Standard VGA: its registers.  They are those of the IBM VGA Technical Reference (1992), chapter
 * 2: sequencer, CRT controller, graphics controller, attribute controller and DAC behind ports
 * 0x3b4-0x3df.  vga_dispi.c is what Bochs added, vga_mem.c the data path of the window at 0xa0000,
 * vga_text.c and vga_draw.c make pictures.
 *
 * Left out: the vertical interrupt, the light pen and the diagnostic bits of input status 1, which
 * PCs of today leave out too; a border around the picture (its colour is shown when the palette
 * is switched off, as the border then covers everything).
 */
#include "dev/vga.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Offsets from port 0x3c0. */
enum {
    P_ATTR = 0x00,
    P_ATTR_READ = 0x01,
    P_MISC = 0x02, /* write; read: input status 0 */
    P_SEQ_INDEX = 0x04,
    P_SEQ = 0x05,
    P_DAC_MASK = 0x06,
    P_DAC_READ = 0x07, /* write: index to read; read: state */
    P_DAC_WRITE = 0x08,
    P_DAC = 0x09,
    P_FEATURE = 0x0a,
    P_MISC_READ = 0x0c,
    P_GC_INDEX = 0x0e,
    P_GC = 0x0f,
    P_CRTC_INDEX = 0x14, /* 0x3d4; 0x3b4 in monochrome modes */
    P_CRTC = 0x15,
    P_STATUS = 0x1a, /* 0x3da, 0x3ba: input status 1, feature control */
};

enum { MISC_COLOR = 1, CRTC_LOCK = 0x80, CRTC_COUNT = 25, ATTR_COUNT = 21 };
enum { CRTC_LATCH = 0x22, CRTC_ATTR_STATE = 0x24 }; /* read only; undocumented by IBM */

/* -------------------------------------------------------------------- status -- */

/* How long a frame is, in dots (pixel clocks), and when nothing is displayed. */
struct timing {
    u32 hz;          /* of dots */
    u32 line, shown; /* dots */
    u32 lines, rows, sync_from, sync_to;
};

static struct timing timing(const struct vga *v)
{
    const u8 *c = v->crtc;
    u32 chars = v->seq[1] & 1 ? 8 : 9;
    struct timing t = {
        .hz = (v->misc >> 2 & 3) == 1 ? 28322000 : 25175000,
        .line = (c[0] + 5u) * chars,
        .shown = (c[1] + 1u) * chars,
        .lines = (c[6] | (c[7] & 0x01u) << 8 | (c[7] & 0x20u) << 4) + 2,
        .rows = (c[0x12] | (c[7] & 0x02u) << 7 | (c[7] & 0x40u) << 3) + 1,
        .sync_from = c[0x10] | (c[7] & 0x04u) << 6 | (c[7] & 0x80u) << 2,
    };

    if (v->seq[1] & 8) /* each dot lasts two clocks */
        t.hz /= 2;
    if (vga_vbe_on(v) || t.line < 200 || t.lines < 100 || t.sync_from >= t.lines)
        t = (struct timing){
            .hz = 25175000, .line = 800, .shown = 640, .lines = 525, .rows = 480, .sync_from = 490};
    /* The end register has four bits: the line at which the counter's low bits match. */
    t.sync_to = t.sync_from + (((c[0x11] & 0xfu) - t.sync_from - 1) & 0xf) + 1;
    return t;
}

/* Input status 1: programs wait for retrace to begin and end, so it has to come and go as often
 * and as long as the registers say. */
static u8 read_status(struct vga *v)
{
    struct timing t = timing(v);
    u64 dot = muldiv64(clock_now(v->clock), t.hz, NS_PER_SEC) % ((u64)t.line * t.lines);
    u32 row = (u32)(dot / t.line), col = (u32)(dot % t.line);
    bool vsync = row >= t.sync_from && row < t.sync_to;
    bool blank = row >= t.rows || col >= t.shown;

    v->attr_data = false;
    return (u8)(vsync << 3 | (blank || vsync));
}

/* ----------------------------------------------------------------------- DAC -- */

static u8 dac_next_read(struct vga *v)
{
    u8 c = v->dac[v->dac_read][v->dac_comp];

    if (++v->dac_comp == 3) {
        v->dac_comp = 0;
        v->dac_read++;
    }
    return c;
}

static void dac_next_write(struct vga *v, u8 val)
{
    v->dac_cache[v->dac_comp] = v->vbe[VBE_ENABLE] & VBE_8BIT_DAC ? val : val & 0x3f;
    if (++v->dac_comp == 3) {
        memcpy(v->dac[v->dac_write], v->dac_cache, 3);
        v->redraw = true;
        v->dac_comp = 0;
        v->dac_write++;
    }
}

/* ----------------------------------------------------------- indexed registers -- */

static void attr_write(struct vga *v, u8 val)
{
    unsigned i = v->attr_index & 0x1f;

    v->attr_data = !v->attr_data;
    if (v->attr_data) {
        v->redraw |= (v->attr_index ^ val) & 0x20;
        v->attr_index = val & 0x3f;
        return;
    }
    if (i < 16)
        v->attr[i] = val & 0x3f;
    else if (i < ATTR_COUNT)
        v->attr[i] = val;
    v->redraw = true;
}

static void seq_write(struct vga *v, u8 val)
{
    static const u8 mask[8] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0, 0, 0};

    v->redraw |= v->seq_index == 1 || v->seq_index == 3;
    v->seq[v->seq_index] = val & mask[v->seq_index];
}

static void gc_write(struct vga *v, u8 val)
{
    static const u8 mask[16] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};

    v->redraw |= v->gc_index == 5 || v->gc_index == 6;
    v->gc[v->gc_index] = val & mask[v->gc_index];
}

static void crtc_write(struct vga *v, u8 val)
{
    unsigned i = v->crtc_index;

    if (i >= CRTC_COUNT)
        return;
    if (v->crtc[0x11] & CRTC_LOCK && i <= 7) {
        /* Only the line compare bit of the overflow register stays open. */
        if (i == 7)
            v->crtc[7] = (u8)((v->crtc[7] & ~0x10) | (val & 0x10));
        v->redraw = true;
        return;
    }
    v->redraw |= v->crtc[i] != val;
    v->crtc[i] = val;
}

static u8 crtc_read(const struct vga *v)
{
    if (v->crtc_index == CRTC_LATCH)
        return v->latch[v->gc[4] & 3];
    if (v->crtc_index == CRTC_ATTR_STATE)
        return (u8)(v->attr_data << 7 | v->attr_index);
    return v->crtc_index < CRTC_COUNT ? v->crtc[v->crtc_index] : 0;
}

/* The CRT controller answers at 0x3dx or at 0x3bx, as the miscellaneous register says. */
static bool answers(const struct vga *v, unsigned port, bool mono)
{
    return port < P_CRTC_INDEX || mono == !(v->misc & MISC_COLOR);
}

u8 vga_port_read(struct vga *v, unsigned port, bool mono)
{
    if (!answers(v, port, mono)) {
        /* SeaBIOS's VGA BIOS knows only 0x3da, in mode 7 too. */
        if (port == P_STATUS)
            v->attr_data = false;
        return 0xff;
    }
    switch (port) {
    case P_ATTR:
        return v->attr_data ? 0 : v->attr_index;
    case P_ATTR_READ:
        return v->attr[v->attr_index & 0x1f];
    case P_MISC:
        return 0x10; /* switch sense: a colour monitor */
    case P_SEQ_INDEX:
        return v->seq_index;
    case P_SEQ:
        return v->seq[v->seq_index];
    case P_DAC_MASK:
        return v->dac_mask;
    case P_DAC_READ:
        return v->dac_state;
    case P_DAC_WRITE:
        return v->dac_write;
    case P_DAC:
        return dac_next_read(v);
    case P_FEATURE:
        return v->feature;
    case P_MISC_READ:
        return v->misc;
    case P_GC_INDEX:
        return v->gc_index;
    case P_GC:
        return v->gc[v->gc_index];
    case P_CRTC_INDEX:
        return v->crtc_index;
    case P_CRTC:
        return crtc_read(v);
    case P_STATUS:
        return read_status(v);
    }
    return 0xff;
}

void vga_port_write(struct vga *v, unsigned port, bool mono, u8 val)
{
    if (!answers(v, port, mono))
        return;
    trace(v->trace, vga, "port %03x <- %02x", 0x3c0 + port, val);
    switch (port) {
    case P_ATTR:
        attr_write(v, val);
        break;
    case P_MISC:
        v->misc = val & ~0x10;
        v->redraw = true;
        break;
    case P_SEQ_INDEX:
        v->seq_index = val & 7;
        break;
    case P_SEQ:
        seq_write(v, val);
        break;
    case P_DAC_MASK:
        v->redraw |= v->dac_mask != val;
        v->dac_mask = val;
        break;
    case P_DAC_READ:
        v->dac_read = val;
        v->dac_comp = 0;
        v->dac_state = 3;
        break;
    case P_DAC_WRITE:
        v->dac_write = val;
        v->dac_comp = 0;
        v->dac_state = 0;
        break;
    case P_DAC:
        dac_next_write(v, val);
        break;
    case P_GC_INDEX:
        v->gc_index = val & 0xf;
        break;
    case P_GC:
        gc_write(v, val);
        break;
    case P_CRTC_INDEX:
        v->crtc_index = val & 0x3f;
        break;
    case P_CRTC:
        crtc_write(v, val);
        break;
    case P_STATUS:
        v->feature = val & 0x0b;
        break;
    }
}

/* ----------------------------------------------------------------- the regions -- */

static u64 ports_read(void *opaque, u64 off, unsigned size)
{
    return vga_port_read(opaque, (unsigned)off, false);
}

static void ports_write(void *opaque, u64 off, unsigned size, u64 val)
{
    vga_port_write(opaque, (unsigned)off, false, (u8)val);
}

static u64 mono_read(void *opaque, u64 off, unsigned size)
{
    return vga_port_read(opaque, P_CRTC_INDEX + (unsigned)off, true);
}

static void mono_write(void *opaque, u64 off, unsigned size, u64 val)
{
    vga_port_write(opaque, P_CRTC_INDEX + (unsigned)off, true, (u8)val);
}

static u64 mono_stat_read(void *opaque, u64 off, unsigned size)
{
    return vga_port_read(opaque, P_STATUS, true);
}

static void mono_stat_write(void *opaque, u64 off, unsigned size, u64 val)
{
    vga_port_write(opaque, P_STATUS, true, (u8)val);
}

static u64 window_read(void *opaque, u64 off, unsigned size)
{
    u64 out = 0;

    for (unsigned i = 0; i < size; i++)
        out |= (u64)vga_mem_read(opaque, (u32)off + i) << 8 * i;
    return out;
}

static void window_write(void *opaque, u64 off, unsigned size, u64 val)
{
    for (unsigned i = 0; i < size; i++)
        vga_mem_write(opaque, (u32)off + i, (u8)(val >> 8 * i));
}

static const struct region_ops ports_ops = {
    .read = ports_read, .write = ports_write, .min_width = 1, .max_width = 1};
static const struct region_ops mono_ops = {
    .read = mono_read, .write = mono_write, .min_width = 1, .max_width = 1};
static const struct region_ops mono_stat_ops = {
    .read = mono_stat_read, .write = mono_stat_write, .min_width = 1, .max_width = 1};
static const struct region_ops window_ops = {
    .read = window_read, .write = window_write, .min_width = 1, .max_width = 8};

enum vga_mode vga_mode(const struct vga *v)
{
    if (vga_vbe_on(v))
        return v->vbe[VBE_BPP] == 4 ? VGA_PLANAR : VGA_LINEAR;
    if (!(v->attr_index & 0x20) || v->seq[1] & 0x20 || !v->crtc[1])
        return VGA_BLANK;
    if (!(v->gc[6] & 1))
        return VGA_TEXT;
    if (v->gc[5] & 0x40)
        return VGA_256;
    return v->gc[5] & 0x20 ? VGA_CGA4 : VGA_PLANAR;
}

/* ---------------------------------------------------------------------- life -- */

void vga_reset(struct vga *v)
{
    v->misc = v->feature = 0;
    v->seq_index = v->gc_index = v->crtc_index = v->attr_index = 0;
    memset(v->seq, 0, sizeof(v->seq));
    memset(v->gc, 0, sizeof(v->gc));
    memset(v->crtc, 0, sizeof(v->crtc));
    memset(v->attr, 0, sizeof(v->attr));
    memset(v->latch, 0, sizeof(v->latch));
    memset(v->dac, 0, sizeof(v->dac));
    memset(v->dac_cache, 0, sizeof(v->dac_cache));
    v->attr_data = false;
    v->dac_mask = 0xff;
    v->dac_state = v->dac_read = v->dac_write = v->dac_comp = 0;
    vga_dispi_reset(v);
    v->redraw = true;
}

void vga_destroy(struct vga *v)
{
    free(v->line);
    free(v->dirty);
}

static struct region make_region(struct vga *v, const char *name, u64 size,
                                 const struct region_ops *o)
{
    return (struct region){.name = name, .size = size, .ops = o, .opaque = v, .lock = v->lock};
}

int vga_init(struct vga *v, struct mem *m, struct clock *c, pthread_mutex_t *lock, struct trace *t,
             const struct edid_config *edid)
{
    memset(v, 0, sizeof(*v));
    v->clock = c;
    v->mem = m;
    v->lock = lock;
    v->trace = t;
    v->vram = mem_alloc(m, VGA_VRAM_SIZE);
    v->line = calloc(VGA_WIDTH_MAX + 32, sizeof(u32));
    v->dirty = calloc(1, VGA_VRAM_SIZE >> PAGE_SHIFT);
    if (!v->vram || !v->line || !v->dirty)
        return -ENOMEM;
    edid_make(v->edid, edid);
    v->ports = make_region(v, "vga", 0x20, &ports_ops);
    v->mono_crtc = make_region(v, "vga mono", 2, &mono_ops);
    v->mono_stat = make_region(v, "vga mono status", 1, &mono_stat_ops);
    v->window = make_region(v, "vga window", 0x20000, &window_ops);
    v->window.late = true;
    v->lfb = (struct region){
        .name = "vga memory", .size = VGA_VRAM_SIZE, .hva = v->vram, .whva = v->vram};
    vga_dispi_regions(v);
    v->display = (struct display_source){.update = vga_update, .text = vga_text, .opaque = v};
    vga_reset(v);
    return 0;
}

static int loaded(void *obj, struct err *e)
{
    struct vga *v = obj;

    v->redraw = true;
    return vga_dispi_loaded(v, e);
}

static const struct field vga_fields[] = {
    FIELD(struct vga, misc),
    FIELD(struct vga, feature),
    FIELD_MAX(struct vga, seq_index, 7),
    FIELD_ARRAY(struct vga, seq),
    FIELD_MAX(struct vga, gc_index, 15),
    FIELD_ARRAY(struct vga, gc),
    FIELD_MAX(struct vga, crtc_index, 63),
    FIELD_ARRAY(struct vga, crtc),
    FIELD_MAX(struct vga, attr_index, 63),
    FIELD_ARRAY(struct vga, attr),
    FIELD_MAX(struct vga, attr_data, 1),
    FIELD(struct vga, dac_mask),
    FIELD_MAX(struct vga, dac_state, 3),
    FIELD(struct vga, dac_read),
    FIELD(struct vga, dac_write),
    FIELD_MAX(struct vga, dac_comp, 2),
    FIELD_ARRAY(struct vga, dac_cache),
    FIELD_BYTES(struct vga, dac),
    FIELD_ARRAY(struct vga, latch),
    FIELD(struct vga, vbe_index),
    FIELD_ARRAY(struct vga, vbe),
    FIELD_MAX(struct vga, big_endian, 1),
};

const struct state_desc vga_state = {.name = "vga",
                                     .version = 1,
                                     .fields = vga_fields,
                                     .nfields = ARRAY_SIZE(vga_fields),
                                     .loaded = loaded};
