/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Standard VGA with the Bochs VBE extensions.  The registers are those of the IBM VGA Technical
 * Reference (1992), chapter 2: sequencer, CRT controller, graphics controller, attribute controller
 * and DAC behind ports 0x3b4-0x3df.  Bochs added a pair of ports at 0x1ce for modes of any size
 * with a linear frame buffer; QEMU put both behind a memory BAR as well (offsets 0x400 and 0x500),
 * which the Linux driver `bochs` uses.
 *
 * The board maps the ports and the window at 0xa0000; video memory is BAR 0.  vga_mem.c is the
 * data path of the window, vga_text.c and vga_draw.c make pictures.
 *
 * Left out: pixel panning, EDID, the vertical interrupt; no driver of today needs them.
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
enum { MMIO_SIZE = 0x1000, MMIO_VGA = 0x400, MMIO_DISPI = 0x500 };
enum { VBE_ID0 = 0xb0c0, VBE_ID5 = 0xb0c5, VBE_MAX_X = 4096, VBE_MAX_Y = 3072 };
enum { FRAME_NS = 16666667, LINE_NS = 31778, RETRACE_NS = 1000000 };

/* -------------------------------------------------------------------- status -- */

/* Input status 1: programs wait for retrace to begin and end, so it has to come and go. */
static u8 read_status(struct vga *v)
{
    u64 now = clock_now(v->clock);
    u64 frame = now % FRAME_NS;
    bool vsync = frame >= FRAME_NS - RETRACE_NS;
    bool blank = vsync || frame % LINE_NS > LINE_NS * 4 / 5;

    v->attr_data = false;
    return (u8)(vsync << 3 | blank);
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
        v->attr_index = val & 0x3f;
        return;
    }
    if (i < 16)
        v->attr[i] = val & 0x3f;
    else if (i < ATTR_COUNT)
        v->attr[i] = val;
}

static void seq_write(struct vga *v, u8 val)
{
    static const u8 mask[8] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0, 0, 0};

    v->seq[v->seq_index] = val & mask[v->seq_index];
}

static void gc_write(struct vga *v, u8 val)
{
    static const u8 mask[16] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};

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
        return;
    }
    v->crtc[i] = val;
}

/* The CRT controller answers at 0x3dx or at 0x3bx, as the miscellaneous register says. */
static bool answers(const struct vga *v, unsigned port, bool mono)
{
    return port < P_CRTC_INDEX || mono == !(v->misc & MISC_COLOR);
}

static u8 port_read(struct vga *v, unsigned port, bool mono)
{
    if (!answers(v, port, mono))
        return 0xff;
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
        return v->crtc_index < CRTC_COUNT ? v->crtc[v->crtc_index] : 0;
    case P_STATUS:
        return read_status(v);
    }
    return 0xff;
}

static void port_write(struct vga *v, unsigned port, bool mono, u8 val)
{
    if (!answers(v, port, mono))
        return;
    trace(v->pci.bus->trace, vga, "port %03x <- %02x", 0x3c0 + port, val);
    v->redraw = true;
    switch (port) {
    case P_ATTR:
        attr_write(v, val);
        break;
    case P_MISC:
        v->misc = val & ~0x10;
        break;
    case P_SEQ_INDEX:
        v->seq_index = val & 7;
        break;
    case P_SEQ:
        seq_write(v, val);
        break;
    case P_DAC_MASK:
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

/* --------------------------------------------------------------- Bochs VBE -- */

static u32 vbe_bytes_a_line(const struct vga *v)
{
    u32 bpp = v->vbe[VBE_BPP];

    return bpp == 4 ? v->vbe[VBE_VIRT_WIDTH] / 8 : v->vbe[VBE_VIRT_WIDTH] * ((bpp + 7) / 8);
}

static void vbe_set_width(struct vga *v, u16 width)
{
    u32 line;

    v->vbe[VBE_VIRT_WIDTH] = max(width, v->vbe[VBE_XRES]);
    line = max(vbe_bytes_a_line(v), 1u);
    v->vbe[VBE_VIRT_HEIGHT] =
        (u16)min(VGA_VRAM_SIZE / line / (v->vbe[VBE_BPP] == 4 ? 4 : 1), 0xffffu);
}

static void vbe_enable(struct vga *v, u16 val)
{
    bool was_on = v->vbe[VBE_ENABLE] & VBE_ENABLED;

    if (val & VBE_ENABLED && !was_on) {
        v->vbe[VBE_BANK] = 0;
        v->vbe[VBE_X_OFFSET] = v->vbe[VBE_Y_OFFSET] = 0;
        vbe_set_width(v, v->vbe[VBE_XRES]);
        if (!(val & VBE_NOCLEAR)) {
            u64 size = (u64)vbe_bytes_a_line(v) * v->vbe[VBE_YRES];

            if (v->vbe[VBE_BPP] == 4)
                size *= 4;
            memset(v->vram, 0, min(size, (u64)VGA_VRAM_SIZE));
            mem_wrote(v->mem, v->vram, min(size, (u64)VGA_VRAM_SIZE));
        }
        trace(v->pci.bus->trace, vga, "VBE mode %ux%u, %u bits", v->vbe[VBE_XRES], v->vbe[VBE_YRES],
              v->vbe[VBE_BPP]);
    }
    v->vbe[VBE_ENABLE] = val & (VBE_ENABLED | VBE_GETCAPS | VBE_8BIT_DAC | VBE_LFB | VBE_NOCLEAR);
}

static u16 vbe_read(struct vga *v)
{
    bool caps = v->vbe[VBE_ENABLE] & VBE_GETCAPS;

    switch (v->vbe_index) {
    case VBE_XRES:
        return caps ? VBE_MAX_X : v->vbe[VBE_XRES];
    case VBE_YRES:
        return caps ? VBE_MAX_Y : v->vbe[VBE_YRES];
    case VBE_BPP:
        return caps ? 32 : v->vbe[VBE_BPP];
    case VBE_VIDEO_MEMORY_64K:
        return VGA_VRAM_SIZE >> 16;
    }
    return v->vbe_index < VBE_VIDEO_MEMORY_64K ? v->vbe[v->vbe_index] : 0;
}

static void vbe_write(struct vga *v, u16 val)
{
    bool on = v->vbe[VBE_ENABLE] & VBE_ENABLED;

    trace(v->pci.bus->trace, vga, "VBE register %u <- %04x", v->vbe_index, val);
    v->redraw = true;
    switch (v->vbe_index) {
    case VBE_ID:
        if (val >= VBE_ID0 && val <= VBE_ID5)
            v->vbe[VBE_ID] = val;
        break;
    case VBE_XRES:
        if (!on && val && val <= VBE_MAX_X)
            v->vbe[VBE_XRES] = val & ~7;
        break;
    case VBE_YRES:
        if (!on && val && val <= VBE_MAX_Y)
            v->vbe[VBE_YRES] = val;
        break;
    case VBE_BPP:
        if (!on && (val == 4 || val == 8 || val == 15 || val == 16 || val == 24 || val == 32))
            v->vbe[VBE_BPP] = val;
        break;
    case VBE_ENABLE:
        vbe_enable(v, val);
        break;
    case VBE_BANK:
        v->vbe[VBE_BANK] = val & ((VGA_VRAM_SIZE >> 16) - 1);
        break;
    case VBE_VIRT_WIDTH:
        vbe_set_width(v, val);
        break;
    case VBE_X_OFFSET:
    case VBE_Y_OFFSET:
        v->vbe[v->vbe_index] = val;
        break;
    }
}

/* ----------------------------------------------------------------- the regions -- */

static u64 ports_read(void *opaque, u64 off, unsigned size)
{
    return port_read(opaque, (unsigned)off, false);
}

static void ports_write(void *opaque, u64 off, unsigned size, u64 val)
{
    port_write(opaque, (unsigned)off, false, (u8)val);
}

static u64 mono_read(void *opaque, u64 off, unsigned size)
{
    return port_read(opaque, P_CRTC_INDEX + (unsigned)off, true);
}

static void mono_write(void *opaque, u64 off, unsigned size, u64 val)
{
    port_write(opaque, P_CRTC_INDEX + (unsigned)off, true, (u8)val);
}

static u64 mono_stat_read(void *opaque, u64 off, unsigned size)
{
    return port_read(opaque, P_STATUS, true);
}

static void mono_stat_write(void *opaque, u64 off, unsigned size, u64 val)
{
    port_write(opaque, P_STATUS, true, (u8)val);
}

/* 0x1ce index, 0x1cf and 0x1d0 data; words, at odd addresses too. */
static u64 dispi_read(void *opaque, u64 off, unsigned size)
{
    struct vga *v = opaque;

    return off == 0 ? v->vbe_index : vbe_read(v);
}

static void dispi_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct vga *v = opaque;

    if (off == 0)
        v->vbe_index = (u16)val;
    else
        vbe_write(v, (u16)val);
}

static u64 mmio_read(void *opaque, u64 off, unsigned size)
{
    struct vga *v = opaque;
    u64 out = 0;

    if (off >= MMIO_DISPI && off < MMIO_DISPI + 2 * VGA_VBE_REGS) {
        u16 saved = v->vbe_index;

        v->vbe_index = (u16)((off - MMIO_DISPI) / 2);
        out = vbe_read(v) >> 8 * (off & 1);
        v->vbe_index = saved;
    } else if (off >= MMIO_VGA && off < MMIO_VGA + 0x20) {
        for (unsigned i = 0; i < size && off + i < MMIO_VGA + 0x20; i++)
            out |= (u64)port_read(v, (unsigned)(off - MMIO_VGA) + i, !(v->misc & MISC_COLOR))
                   << 8 * i;
    }
    return out;
}

static void mmio_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct vga *v = opaque;

    if (off >= MMIO_DISPI && off < MMIO_DISPI + 2 * VGA_VBE_REGS && size == 2) {
        u16 saved = v->vbe_index;

        v->vbe_index = (u16)((off - MMIO_DISPI) / 2);
        vbe_write(v, (u16)val);
        v->vbe_index = saved;
    } else if (off >= MMIO_VGA && off < MMIO_VGA + 0x20) {
        for (unsigned i = 0; i < size && off + i < MMIO_VGA + 0x20; i++)
            port_write(v, (unsigned)(off - MMIO_VGA) + i, !(v->misc & MISC_COLOR),
                       (u8)(val >> 8 * i));
    }
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
static const struct region_ops dispi_ops = {
    .read = dispi_read, .write = dispi_write, .min_width = 1, .max_width = 2};
static const struct region_ops mmio_ops = {
    .read = mmio_read, .write = mmio_write, .min_width = 1, .max_width = 2, .aligned = true};
static const struct region_ops window_ops = {
    .read = window_read, .write = window_write, .min_width = 1, .max_width = 8};

/* ------------------------------------------------------------------ pictures -- */

static bool draw(struct vga *v, struct surface *s)
{
    switch (vga_mode(v)) {
    case VGA_BLANK:
        if (!vga_surface(s, 640, 400))
            return false;
        memset(s->pixels, 0, (size_t)s->stride * s->height * 4);
        return true;
    case VGA_TEXT:
        return vga_text_draw(v, s);
    default:
        return vga_graphics_draw(v, s);
    }
}

static void update(void *opaque, struct display *d, bool all)
{
    struct vga *v = opaque;
    u8 dirty[VGA_VRAM_SIZE >> PAGE_SHIFT];
    u64 blink;

    pthread_mutex_lock(&v->pci.lock);
    blink = clock_now(v->clock) / VGA_BLINK_NS;
    if (mem_watch(v->mem, v->vram, VGA_VRAM_SIZE, dirty) || v->redraw || all ||
        (blink != v->blink && vga_mode(v) == VGA_TEXT)) {
        v->redraw = false;
        v->blink = blink;
        if (draw(v, &v->shown)) {
            display_size(d, v->shown.width, v->shown.height);
            for (u32 y = 0; y < v->shown.height; y++)
                display_put(d, 0, y, v->shown.pixels + (size_t)y * v->shown.stride, v->shown.width);
        }
    }
    pthread_mutex_unlock(&v->pci.lock);
}

static char *text(void *opaque)
{
    struct vga *v = opaque;
    char *out = NULL;

    pthread_mutex_lock(&v->pci.lock);
    if (vga_mode(v) == VGA_TEXT)
        out = vga_text_utf8(v);
    pthread_mutex_unlock(&v->pci.lock);
    return out;
}

enum vga_mode vga_mode(const struct vga *v)
{
    if (v->vbe[VBE_ENABLE] & VBE_ENABLED)
        return v->vbe[VBE_BPP] == 4 ? VGA_PLANAR : VGA_LINEAR;
    if (!(v->attr_index & 0x20) || v->seq[1] & 0x20 || !v->crtc[1])
        return VGA_BLANK;
    if (!(v->gc[6] & 1))
        return VGA_TEXT;
    if (v->gc[5] & 0x40)
        return VGA_256;
    if (v->gc[5] & 0x20)
        return VGA_CGA4;
    return v->crtc[0x17] & 1 ? VGA_PLANAR : VGA_CGA2;
}

/* ---------------------------------------------------------------------- life -- */

void vga_reset(struct vga *v)
{
    v->redraw = true;
    v->misc = v->feature = 0;
    v->seq_index = v->gc_index = v->crtc_index = v->attr_index = 0;
    memset(v->seq, 0, sizeof(v->seq));
    memset(v->gc, 0, sizeof(v->gc));
    memset(v->crtc, 0, sizeof(v->crtc));
    memset(v->attr, 0, sizeof(v->attr));
    memset(v->latch, 0, sizeof(v->latch));
    memset(v->dac, 0, sizeof(v->dac));
    memset(v->dac_cache, 0, sizeof(v->dac_cache));
    memset(v->vbe, 0, sizeof(v->vbe));
    v->attr_data = false;
    v->dac_mask = 0xff;
    v->dac_state = v->dac_read = v->dac_write = v->dac_comp = 0;
    v->vbe_index = 0;
    v->vbe[VBE_ID] = VBE_ID5;
    v->vbe[VBE_XRES] = v->vbe[VBE_VIRT_WIDTH] = 640;
    v->vbe[VBE_YRES] = 480;
    v->vbe[VBE_BPP] = 8;
}

static void reset(struct pci_dev *d)
{
    struct vga *v = container_of(d, struct vga, pci);

    pthread_mutex_lock(&d->lock);
    vga_reset(v);
    pthread_mutex_unlock(&d->lock);
}

void vga_destroy(struct vga *v)
{
    free(v->shown.pixels);
}

static struct region make_region(struct vga *v, const char *name, u64 size,
                                 const struct region_ops *o)
{
    return (struct region){.name = name, .size = size, .ops = o, .opaque = v, .lock = &v->pci.lock};
}

int vga_init(struct vga *v, struct pci_bus *b, unsigned devfn, struct mem *m, struct clock *c,
             const void *rom, u64 rom_size)
{
    u8 *rom_mem = NULL;
    int r;

    memset(v, 0, sizeof(*v));
    v->clock = c;
    v->mem = m;
    v->vram = mem_alloc(m, VGA_VRAM_SIZE);
    if (rom)
        rom_mem = mem_alloc(m, rom_size);
    if (!v->vram || (rom && !rom_mem))
        return -ENOMEM;
    r = pci_dev_init(&v->pci, b, devfn, "vga", 0x1234, 0x1111, 0x030000, 0);
    if (r)
        return r;
    pci_set_subsystem(&v->pci, 0x1af4, 0x1100);
    v->pci.config[8] = 2; /* revision: has the memory BAR */
    v->pci.reset = reset;

    v->ports = make_region(v, "vga", 0x20, &ports_ops);
    v->mono_crtc = make_region(v, "vga mono", 2, &mono_ops);
    v->mono_stat = make_region(v, "vga mono status", 1, &mono_stat_ops);
    v->dispi = make_region(v, "vga dispi", 4, &dispi_ops);
    v->window = make_region(v, "vga window", 0x20000, &window_ops);
    v->mmio = make_region(v, "vga mmio", MMIO_SIZE, &mmio_ops);
    v->lfb = (struct region){
        .name = "vga memory", .size = VGA_VRAM_SIZE, .hva = v->vram, .whva = v->vram};
    pci_bar_init(&v->pci, 0, PCI_BAR_MEM | PCI_BAR_PREFETCH, &v->lfb);
    pci_bar_init(&v->pci, 2, PCI_BAR_MEM, &v->mmio);
    if (rom) {
        memcpy(rom_mem, rom, rom_size);
        v->rom = (struct region){
            .name = "vga rom", .size = align_up(rom_size, PAGE_SIZE), .hva = rom_mem};
        pci_rom_init(&v->pci, &v->rom);
    }
    v->display = (struct display_source){.update = update, .text = text, .opaque = v};
    vga_reset(v);
    return 0;
}

static int loaded(void *obj, struct err *e)
{
    struct vga *v = obj;
    u16 bpp = v->vbe[VBE_BPP];

    v->redraw = true;
    if (bpp != 4 && bpp != 8 && bpp != 15 && bpp != 16 && bpp != 24 && bpp != 32)
        return err_set(e, EINVAL, "%u bits a pixel", bpp);
    if (v->vbe[VBE_XRES] > VBE_MAX_X || v->vbe[VBE_YRES] > VBE_MAX_Y ||
        v->vbe[VBE_VIRT_WIDTH] < v->vbe[VBE_XRES])
        return err_set(e, EINVAL, "a VBE mode of %ux%u", v->vbe[VBE_XRES], v->vbe[VBE_YRES]);
    return 0;
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
};

const struct state_desc vga_state = {.name = "vga",
                                     .version = 1,
                                     .fields = vga_fields,
                                     .nfields = ARRAY_SIZE(vga_fields),
                                     .loaded = loaded};
