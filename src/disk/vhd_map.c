/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHD: where the guest's bytes are, and room for new ones.
 *
 * New blocks go to the end of the file, over the footer, whose copy at the head stands in until the
 * next flush.  Order (stages of write_back(), disk/img.h): 0 writes the bitmaps of new blocks and
 * the footer behind them, 1 the BAT's sectors and the bitmaps of blocks that were there before.
 */
#include "base/trace.h"
#include "disk/vhd.h"

#include <errno.h>
#include <string.h>

/* ------------------------------------------------------------------------- map -- */

static bool is_full(const struct vhd *s, u64 b)
{
    return s->full[b / 8] >> b % 8 & 1;
}

/* How many bits from `from` on are like it, at most `most`. */
static u32 same_bits(const u8 *map, u32 from, u32 most)
{
    bool set = map[from / 8] >> (7 - from % 8) & 1;
    u8 all = set ? 0xff : 0;
    u32 n = 0;

    while (n < most) {
        u32 i = from + n;

        if (i % 8 == 0 && most - n >= 8 && map[i / 8] == all) {
            n += 8;
            continue;
        }
        if ((map[i / 8] >> (7 - i % 8) & 1) != set)
            break;
        n++;
    }
    return n;
}

static int find_block(struct img *im, u64 b, u64 *at)
{
    struct vhd *s = im->s;

    *at = (u64)s->bat[b] * 512;
    if (*at >= s->start && *at < s->trusted)
        return 0;
    if (im->opt.trace)
        trace(im->opt.trace, block, "%s: damaged: table entry %llu is %u", im->b.path,
              (unsigned long long)b, s->bat[b]);
    return -EIO;
}

/* The part of an allocated block at off that is here or in the parent alike. */
static int map_bits(struct img *im, u64 at, u64 off, bool nowait, struct extent *x)
{
    struct vhd *s = im->s;
    u64 b = off / s->block, in = off % s->block, piece = in / (512 * 4096);
    u32 first = (u32)(in / 512 % 4096), most = min(s->block / 512, 4096u), n;
    u8 *map;
    int r = tcache_get(s->bits, at + piece * 512, nowait, &map);

    if (r)
        return r;
    if (s->bitmap == 512 && same_bits(map, 0, most) == most && map[0] & 0x80)
        s->full[b / 8] |= (u8)(1 << b % 8);
    n = same_bits(map, first, most - first);
    x->kind = map[first / 8] >> (7 - first % 8) & 1 ? EXTENT_DATA : EXTENT_HOLE;
    x->in_place = x->kind == EXTENT_DATA;
    x->len = (u64)n * 512;
    return 0;
}

int vhd_map(struct img *im, u64 off, u64 len, bool nowait, struct extent *x)
{
    struct vhd *s = im->s;
    u64 b, in, at;
    int r;

    if (s->type == VHD_FIXED) {
        *x = (struct extent){
            .kind = EXTENT_DATA, .in_place = true, .file = im->file, .offset = off, .len = len};
        return 0;
    }
    b = off / s->block;
    in = off % s->block;
    if (s->bat[b] == (u32)VHD_UNUSED) {
        *x = (struct extent){.kind = EXTENT_HOLE, .len = s->block - in};
        while (x->len < len && ++b < s->entries && s->bat[b] == (u32)VHD_UNUSED)
            x->len += s->block;
        return 0;
    }
    r = find_block(im, b, &at);
    if (r)
        return r;
    *x = (struct extent){.kind = EXTENT_DATA,
                         .in_place = true,
                         .file = im->file,
                         .offset = at + s->bitmap + in,
                         .len = s->block - in};
    return is_full(s, b) ? 0 : map_bits(im, at, off, nowait, x);
}

/* --------------------------------------------------------------- allocate, link -- */

int vhd_allocate(struct img *im, u64 off, u64 len, struct extent *x)
{
    struct vhd *s = im->s;
    u64 b = off / s->block, in = off % s->block, at;
    int r = 0;

    *x = (struct extent){
        .kind = EXTENT_DATA, .in_place = true, .file = im->file, .len = min(len, s->block - in)};
    if (s->bat[b] != (u32)VHD_UNUSED) {
        r = find_block(im, b, &at);
        x->offset = at + s->bitmap + in;
        return r;
    }
    /* The data on a border of 4 KiB, as Windows 8 and later has it. */
    at = align_up(s->next + s->bitmap, 4096) - s->bitmap;
    if ((at + s->bitmap + s->block) / 512 >= (u32)VHD_UNUSED)
        return -ENOSPC;
    x->zeroed = at + s->bitmap >= s->touched;
    if (!x->zeroed && s->type != VHD_DIFFERENCING) {
        r = file_zero(im->file, at + s->bitmap, s->block);
        x->zeroed = true;
    }
    if (r)
        return r;
    s->next = at + s->bitmap + s->block;
    s->trusted = max(s->trusted, s->next);
    x->offset = at + s->bitmap + in;
    return 0;
}

void vhd_cancel(struct img *im, u64 off, const struct extent *x)
{
    struct vhd *s = im->s;
    u64 b = off / s->block, end = x->offset - off % s->block + s->block;

    if (s->bat[b] != (u32)VHD_UNUSED)
        return;
    s->touched = max(s->touched, end);
    if (end == s->next) /* else it is leaked */
        s->next = end - s->block - s->bitmap;
}

static void set_bits(u8 *map, u32 from, u32 n)
{
    for (; n && from % 8; from++, n--)
        map[from / 8] |= (u8)(0x80 >> from % 8);
    memset(map + from / 8, 0xff, n / 8);
    for (from += n / 8 * 8, n %= 8; n; from++, n--)
        map[from / 8] |= (u8)(0x80 >> from % 8);
}

/* The bits of sectors `from`.. of a block whose bitmap is at `at`. */
static int mark(struct vhd *s, u64 at, u64 from, u64 n)
{
    while (n) {
        u32 k = (u32)min(n, 4096 - from % 4096);
        u8 *map;
        int r = tcache_get(s->bits, at + from / 4096 * 512, false, &map);

        if (r)
            return r;
        set_bits(map, (u32)(from % 4096), k);
        tcache_dirty(s->bits, map, 1);
        from += k;
        n -= k;
    }
    return 0;
}

int vhd_link(struct img *im, u64 off, const struct extent *x)
{
    struct vhd *s = im->s;
    u64 b = off / s->block, in = off % s->block, at = x->offset - in - s->bitmap;
    bool new = s->bat[b] == (u32)VHD_UNUSED;
    /* A new block without a parent is zeros where nothing was written: all of it is here. */
    bool all = new && s->type != VHD_DIFFERENCING;
    int r = 0;
    u8 *map;

    for (u64 k = 0; k < s->bitmap && new && !r; k += 512) {
        r = tcache_make(s->bits, at + k, 0, &map);
        if (!r && all)
            memset(map, 0xff, 512);
    }
    if (!r && !all)
        r = mark(s, at, in / 512, x->len / 512);
    im->dirty = true;
    im->full |= tcache_full(s->bits);
    if (r || !new)
        return r;
    if (all)
        s->full[b / 8] |= (u8)(1 << b % 8);
    s->bat[b] = (u32)(at / 512);
    s->bat_dirty[b / 128] = 1;
    s->bat_any = true;
    return 0;
}

/* ------------------------------------------------------------------ write-back -- */

static int write_bat(struct img *im)
{
    struct vhd *s = im->s;
    u8 sector[512];

    for (u32 i = 0; i < (s->entries + 127) / 128; i++) {
        int r;

        if (s->bat_dirty[i] != 1)
            continue;
        for (u32 k = 0; k < 128; k++)
            be32_put(sector + k * 4, s->bat[i * 128 + k]);
        r = file_write(im->file, s->bat_offset + (u64)i * 512, sector, sizeof(sector));
        if (r)
            return r;
        s->bat_dirty[i] = 2;
    }
    return 0;
}

int vhd_write_back(struct img *im, unsigned stage)
{
    struct vhd *s = im->s;
    int r;

    if (stage) {
        r = tcache_write(s->bits, 1);
        return r ? r : write_bat(im);
    }
    r = tcache_write(s->bits, 0);
    if (!r && (s->footer_at != s->next || s->tail_bad)) {
        r = file_write(im->file, s->next, s->footer, VHD_FOOTER);
        s->tail_bad = r;
        s->footer_at = s->next;
    }
    return r ? r : s->bat_any || tcache_any(s->bits, 1);
}

void vhd_write_back_done(struct img *im, bool ok)
{
    struct vhd *s = im->s;

    tcache_done(s->bits, ok);
    if (s->bat_any) {
        for (u32 i = 0; i < (s->entries + 127) / 128; i++)
            if (s->bat_dirty[i])
                s->bat_dirty[i] = !ok;
        s->bat_any = !ok;
    }
    if (!ok)
        s->tail_bad = true;
    im->dirty = !ok;
    im->full = tcache_full(s->bits);
}
