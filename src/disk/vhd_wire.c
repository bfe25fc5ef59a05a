/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHD: what the footer and the header say by themselves: checksums, sizes, geometries.
 */
#include "disk/vhd.h"

#include <string.h>

static u32 checksum(const u8 *p, size_t n, size_t field)
{
    u32 sum = 0;

    for (size_t i = 0; i < n; i++)
        if (i < field || i >= field + 4)
            sum += p[i];
    return ~sum;
}

bool vhd_footer_ok(const u8 *f)
{
    return !memcmp(f, VHD_COOKIE, 8) && be32_get(f + VF_VERSION) >> 16 == 1 &&
           be32_get(f + VF_CHECKSUM) == checksum(f, VHD_FOOTER, VF_CHECKSUM);
}

bool vhd_header_ok(const u8 *h)
{
    return !memcmp(h, VHD_HEADER_COOKIE, 8) && be32_get(h + VD_VERSION) >> 16 == 1 &&
           be32_get(h + VD_CHECKSUM) == checksum(h, VHD_HEADER, VD_CHECKSUM);
}

void vhd_seal_footer(u8 *f)
{
    be32_put(f + VF_CHECKSUM, checksum(f, VHD_FOOTER, VF_CHECKSUM));
}

void vhd_seal_header(u8 *h)
{
    be32_put(h + VD_CHECKSUM, checksum(h, VHD_HEADER, VD_CHECKSUM));
}

u64 vhd_chs_size(const u8 *f)
{
    return (u64)be16_get(f + VF_CYLINDERS) * f[VF_HEADS] * f[VF_SECTORS] * 512;
}

u64 vhd_geometry(u64 sectors, u16 *cylinders, u8 *heads, u8 *per_track)
{
    u64 total = min(sectors, 65535ull * 16 * 255), tracks, h, spt;

    if (total >= 65535ull * 16 * 63) {
        spt = 255;
        h = 16;
        tracks = total / spt;
    } else {
        spt = 17;
        tracks = total / spt;
        h = max((tracks + 1023) / 1024, (u64)4);
        if (tracks >= h * 1024 || h > 16) {
            spt = 31;
            h = 16;
            tracks = total / spt;
        }
        if (tracks >= h * 1024) {
            spt = 63;
            h = 16;
            tracks = total / spt;
        }
    }
    *cylinders = (u16)(tracks / h);
    *heads = (u8)h;
    *per_track = (u8)spt;
    return tracks / h * h * spt;
}

void vhd_put_size(u8 *f, u64 size)
{
    u16 cylinders;
    u8 heads, spt;

    if (vhd_geometry(size / 512, &cylinders, &heads, &spt) * 512 != size) {
        cylinders = 65535;
        heads = 16;
        spt = 255;
    }
    be64_put(f + VF_SIZE, size);
    be16_put(f + VF_CYLINDERS, cylinders);
    f[VF_HEADS] = heads;
    f[VF_SECTORS] = spt;
}

u32 vhd_bitmap_size(u32 block)
{
    return (u32)align_up((block / 512 + 7) / 8, 512);
}
