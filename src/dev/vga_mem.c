/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VGA's window at 0xa0000: from a byte of the processor to the four planes and back.
 * IBM VGA Technical Reference, "Graphics Controller" and "Sequencer".
 *
 * Plane p at address a is vram[a * 4 + p].  So a 32-bit word holds the four planes of an address,
 * and memory in chain-4 order (a & 3 is the plane) is simply linear, as VBE modes want it. Odd/even
 * addressing puts the pair of bytes 2k, 2k+1 (a character and its attribute) into planes 0 and 1
 * of address k.  (The real one leaves addresses out instead: in chain-4 it uses each fourth one,
 * with odd/even each second, and the CRT controller does the same when it shows them, by its
 * doubleword and word modes.  Only a program that writes in one way and shows in another could
 * tell the difference.)
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

/* VBE's modes of 8 bits and more are linear, whatever the VGA's registers say. */
static bool is_linear(const struct vga *v)
{
    return vga_vbe_on(v) && v->vbe[VBE_BPP] != 4;
}

/* Each of the low four bits becomes a byte of ones or zeros. */
static u32 spread(u8 bits)
{
    u32 m = (bits & 1u) | (bits & 2u) << 7 | (bits & 4u) << 14 | (bits & 8u) << 21;

    return m * 0xff;
}

static u32 in_all(u8 byte)
{
    return byte * 0x01010101u;
}

/* The address in the planes, and which of the planes the addressing leaves open (bits 3-0):
 * chain-4 chooses one by the two low bits, odd/even a pair by the lowest. */
static u32 plane_address(const struct vga *v, u32 addr, bool odd_even, u8 *planes)
{
    if (v->seq[4] & 8) {
        *planes = (u8)(1 << (addr & 3));
        return addr >> 2;
    }
    if (odd_even) {
        *planes = addr & 1 ? 0xa : 0x5;
        return addr >> 1;
    }
    *planes = 0xf;
    return addr;
}

u8 vga_mem_read(struct vga *v, u32 off)
{
    u32 addr, planes;
    u8 open;

    if (!map_address(v, off, &addr))
        return 0xff;
    if (is_linear(v))
        return *vga_at(v, addr);
    planes = le32_get(vga_at(v, plane_address(v, addr, v->gc[5] & 0x10, &open) * 4));
    le32_put(v->latch, planes);
    if (!(v->gc[5] & 8)) {
        if (v->seq[4] & 8)
            return v->latch[addr & 3];
        if (v->gc[5] & 0x10)
            return v->latch[(v->gc[4] & 2) | (addr & 1)];
        return v->latch[v->gc[4] & 3];
    }
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

void vga_mem_write(struct vga *v, u32 off, u8 val)
{
    u32 addr, latch = le32_get(v->latch), data = latch, planes;
    u8 *p, mask, open;

    if (!map_address(v, off, &addr))
        return;
    if (is_linear(v)) {
        p = vga_at(v, addr);
        *p = val;
        mem_wrote(v->mem, p, 1);
        return;
    }
    p = vga_at(v, plane_address(v, addr, !(v->seq[4] & 4), &open) * 4);
    planes = spread(v->seq[2] & open);
    if ((v->gc[5] & 3) != 1) {
        data = combine(v, val, &mask);
        data = (data & in_all(mask)) | (latch & ~in_all(mask));
    }
    le32_put(p, (data & planes) | (le32_get(p) & ~planes));
    mem_wrote(v->mem, p, 4);
}
