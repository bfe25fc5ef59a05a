/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VGA's window at 0xa0000: from a byte of the processor to the four planes and back.
 * IBM VGA Technical Reference, "Graphics Controller" and "Sequencer".
 *
 * Plane p at address a is vram[a * 4 + p].  So a 32-bit word holds the four planes of an address,
 * and memory in chain-4 order (a & 3 is the plane) is simply linear, as VBE modes want it. Odd/even
 * addressing puts the pair of bytes 2k, 2k+1 (a character and its attribute) into planes 0 and 1
 * of address k.
 */
#include "dev/vga.h"

#include "base/endian.h"

/* Where the window's byte is, in the units of the addressing in force; false = not in the map that
 * register 6 of the graphics controller selects. */
static bool map_address(const struct vga *v, u32 off, u32 *addr)
{
    u32 bank = (u32)v->vbe[VBE_BANK] << 16;

    switch (v->gc[6] >> 2 & 3) {
    case 0:
        *addr = off + bank;
        return true;
    case 1:
        *addr = off + bank;
        return off < 0x10000;
    case 2:
        *addr = off - 0x10000;
        return off >= 0x10000 && off < 0x18000;
    default:
        *addr = off - 0x18000;
        return off >= 0x18000;
    }
}

static bool is_linear(const struct vga *v)
{
    return v->seq[4] & 8 || (v->vbe[VBE_ENABLE] & VBE_ENABLED && v->vbe[VBE_BPP] != 4);
}

/* Each of the low four bits becomes a byte of ones or zeros. */
static u32 spread(u8 bits)
{
    u32 m = 0;

    for (unsigned p = 0; p < 4; p++)
        if (bits >> p & 1)
            m |= 0xffu << 8 * p;
    return m;
}

static u32 in_all(u8 byte)
{
    return byte * 0x01010101u;
}

static u8 *at(const struct vga *v, u32 index)
{
    return v->vram + (index & (VGA_VRAM_SIZE - 1));
}

static u32 odd_even_index(u32 addr)
{
    return (addr & ~1u) << 1;
}

u8 vga_mem_read(struct vga *v, u32 off)
{
    u32 addr, planes;

    if (!map_address(v, off, &addr))
        return 0xff;
    if (is_linear(v))
        return *at(v, addr);
    if (v->gc[5] & 0x10)
        return *at(v, odd_even_index(addr) | (v->gc[4] & 2) | (addr & 1));
    planes = le32_get(at(v, addr * 4));
    le32_put(v->latch, planes);
    if (!(v->gc[5] & 8))
        return v->latch[v->gc[4] & 3];
    /* Read mode 1: a one for each pixel that has the compared colour in the planes of interest. */
    planes = (planes ^ spread(v->gc[2])) & spread(v->gc[7]);
    planes |= planes >> 16;
    planes |= planes >> 8;
    return (u8)~planes;
}

/* Write modes 0, 2 and 3: what goes to the planes before the bit mask. */
static u32 combine(const struct vga *v, u8 val, u8 *mask)
{
    u32 latch = le32_get(v->latch);
    u8 rotate = v->gc[3] & 7;
    u8 rotated = (u8)(val >> rotate | val << (8 - rotate));
    u32 enabled = spread(v->gc[1]), data;

    *mask = v->gc[8];
    switch (v->gc[5] & 3) {
    case 0:
        data = (in_all(rotated) & ~enabled) | (spread(v->gc[0]) & enabled);
        break;
    case 2:
        data = spread(val);
        break;
    default:
        *mask &= rotated;
        data = spread(v->gc[0]);
        break;
    }
    switch (v->gc[3] >> 3 & 3) {
    case 1:
        return data & latch;
    case 2:
        return data | latch;
    case 3:
        return data ^ latch;
    }
    return data;
}

static void put_byte(struct vga *v, u32 index, u8 val)
{
    *at(v, index) = val;
    mem_wrote(v->mem, at(v, index), 1);
}

void vga_mem_write(struct vga *v, u32 off, u8 val)
{
    u32 addr, latch = le32_get(v->latch), data = latch, planes = spread(v->seq[2]);
    u8 *p, mask;

    if (!map_address(v, off, &addr))
        return;
    if (is_linear(v)) {
        if (v->seq[2] >> (addr & 3) & 1 || v->vbe[VBE_ENABLE] & VBE_ENABLED)
            put_byte(v, addr, val);
        return;
    }
    if (v->gc[5] & 0x10) {
        if (v->seq[2] >> (addr & 1) & 1)
            put_byte(v, odd_even_index(addr) | (addr & 1), val);
        return;
    }
    if ((v->gc[5] & 3) != 1) {
        data = combine(v, val, &mask);
        data = (data & in_all(mask)) | (latch & ~in_all(mask));
    }
    p = at(v, addr * 4);
    le32_put(p, (data & planes) | (le32_get(p) & ~planes));
    mem_wrote(v->mem, p, 4);
}
