/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Bochs VBE extensions: a pair of ports at 0x1ce for modes of any size with a linear frame
 * buffer.  QEMU put them, the VGA's own registers, the monitor's EDID and a switch for the byte
 * order of pixels behind a memory BAR, which the Linux driver `bochs` uses.  Bochs
 * vbe_display_api.txt; QEMU docs/specs/standard-vga.
 */
#include "dev/vga.h"

#include <errno.h>
#include <string.h>

enum { VBE_ID0 = 0xb0c0, VBE_ID5 = 0xb0c5 };
/* Inside the memory BAR. */
enum {
    MMIO_EDID = 0x000, /* up to 0x400 */
    MMIO_VGA = 0x400,  /* ports 0x3c0-0x3df */
    MMIO_DISPI = 0x500,
    MMIO_EXT = 0x600, /* size of these registers, byte order */
    EXT_SIZE = 8,
};
#define LITTLE_ENDIAN_PIXELS 0x1e1e1e1eu
#define BIG_ENDIAN_PIXELS    0xbebebebeu

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
        trace(v->trace, vga, "VBE mode %ux%u, %u bits", v->vbe[VBE_XRES], v->vbe[VBE_YRES],
              v->vbe[VBE_BPP]);
    }
    v->vbe[VBE_ENABLE] = val & (VBE_ENABLED | VBE_GETCAPS | VBE_8BIT_DAC | VBE_LFB | VBE_NOCLEAR);
}

static u16 vbe_read(struct vga *v)
{
    bool caps = v->vbe[VBE_ENABLE] & VBE_GETCAPS;

    switch (v->vbe_index) {
    case VBE_XRES:
        return caps ? VGA_WIDTH_MAX : v->vbe[VBE_XRES];
    case VBE_YRES:
        return caps ? VGA_HEIGHT_MAX : v->vbe[VBE_YRES];
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

    trace(v->trace, vga, "VBE register %u <- %04x", v->vbe_index, val);
    v->redraw = true;
    switch (v->vbe_index) {
    case VBE_ID:
        if (val >= VBE_ID0 && val <= VBE_ID5)
            v->vbe[VBE_ID] = val;
        break;
    case VBE_XRES:
        if (!on && val && val <= VGA_WIDTH_MAX)
            v->vbe[VBE_XRES] = max(val & ~7, 8);
        break;
    case VBE_YRES:
        if (!on && val && val <= VGA_HEIGHT_MAX)
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

    if (off >= MMIO_EXT && off < MMIO_EXT + EXT_SIZE) {
        u64 ext = (u64)(v->big_endian ? BIG_ENDIAN_PIXELS : LITTLE_ENDIAN_PIXELS) << 32 | EXT_SIZE;

        out = ext >> 8 * (off - MMIO_EXT);
    } else if (off >= MMIO_DISPI && off < MMIO_DISPI + 2 * VGA_VBE_REGS) {
        u16 saved = v->vbe_index;

        v->vbe_index = (u16)((off - MMIO_DISPI) / 2);
        out = vbe_read(v) >> 8 * (off & 1);
        v->vbe_index = saved;
    } else if (off >= MMIO_VGA && off < MMIO_VGA + 0x20) {
        for (unsigned i = 0; i < size && off + i < MMIO_VGA + 0x20; i++)
            out |= (u64)vga_port_read(v, (unsigned)(off - MMIO_VGA) + i, !(v->misc & 1)) << 8 * i;
    } else if (off < EDID_SIZE) {
        for (unsigned i = 0; i < size && off + i < EDID_SIZE; i++)
            out |= (u64)v->edid[off + i] << 8 * i;
    }
    return out;
}

static void mmio_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct vga *v = opaque;

    if (off == MMIO_EXT + 4 && size == 4) {
        v->big_endian = val == BIG_ENDIAN_PIXELS;
        v->redraw = true;
    } else if (off >= MMIO_DISPI && off < MMIO_DISPI + 2 * VGA_VBE_REGS && size == 2) {
        u16 saved = v->vbe_index;

        v->vbe_index = (u16)((off - MMIO_DISPI) / 2);
        vbe_write(v, (u16)val);
        v->vbe_index = saved;
    } else if (off >= MMIO_VGA && off < MMIO_VGA + 0x20) {
        for (unsigned i = 0; i < size && off + i < MMIO_VGA + 0x20; i++)
            vga_port_write(v, (unsigned)(off - MMIO_VGA) + i, !(v->misc & 1), (u8)(val >> 8 * i));
    }
}

static const struct region_ops dispi_ops = {
    .read = dispi_read, .write = dispi_write, .min_width = 1, .max_width = 2};
static const struct region_ops mmio_ops = {
    .read = mmio_read, .write = mmio_write, .min_width = 1, .max_width = 4, .aligned = true};

void vga_dispi_regions(struct vga *v)
{
    v->dispi = (struct region){
        .name = "vga dispi", .size = 4, .ops = &dispi_ops, .opaque = v, .lock = v->lock};
    v->mmio = (struct region){
        .name = "vga mmio", .size = VGA_MMIO_SIZE, .ops = &mmio_ops, .opaque = v, .lock = v->lock};
}

void vga_dispi_reset(struct vga *v)
{
    memset(v->vbe, 0, sizeof(v->vbe));
    v->vbe_index = 0;
    v->big_endian = false;
    v->vbe[VBE_ID] = VBE_ID5;
    v->vbe[VBE_XRES] = v->vbe[VBE_VIRT_WIDTH] = 640;
    v->vbe[VBE_YRES] = 480;
    v->vbe[VBE_BPP] = 8;
}

int vga_dispi_loaded(struct vga *v, struct err *e)
{
    u16 bpp = v->vbe[VBE_BPP];

    if (bpp != 4 && bpp != 8 && bpp != 15 && bpp != 16 && bpp != 24 && bpp != 32)
        return err_set(e, EINVAL, "%u bits a pixel", bpp);
    if (!v->vbe[VBE_XRES] || v->vbe[VBE_XRES] > VGA_WIDTH_MAX || !v->vbe[VBE_YRES] ||
        v->vbe[VBE_YRES] > VGA_HEIGHT_MAX || v->vbe[VBE_VIRT_WIDTH] < v->vbe[VBE_XRES])
        return err_set(e, EINVAL, "a VBE mode of %ux%u", v->vbe[VBE_XRES], v->vbe[VBE_YRES]);
    return 0;
}
