/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHDX: the block allocation table and sector bitmaps.  [MS-VHDX] 2.4, 2.5.
 *
 * A payload block is wholly in this file (FULL), by its bits (PARTIAL, with a parent), zeros, or
 * not here.  A block of a disk without a parent is made of zeros and is FULL at once.
 */
#include "disk/vhdx.h"

#include <errno.h>
#include <string.h>

u64 vhdx_entry_at(const struct vhdx *s, u64 block)
{
    return s->bat + (block + block / s->ratio) * 8;
}

u64 vhdx_bitmap_at(const struct vhdx *s, u64 chunk)
{
    return s->bat + (chunk * (s->ratio + 1) + s->ratio) * 8;
}

/* A number of 8 bytes in the pages. */
static int get(struct img *im, u64 at, bool nowait, u64 *v)
{
    struct vhdx *s = im->s;
    u8 *page;
    int r = tcache_get(s->pages, align_down(at, VHDX_PAGE), nowait, &page);

    if (!r)
        *v = le64_get(page + at % VHDX_PAGE);
    return r;
}

static int put(struct img *im, u64 at, u64 v)
{
    u8 wire[8];

    le64_put(wire, v);
    return vhdx_change(im, at, wire, sizeof(wire));
}

static u64 room_of(u64 entry)
{
    return entry >> 20 << 20;
}

/* Is what an entry points to in the file? */
static bool room_ok(const struct img *im, u64 entry, u64 len)
{
    const struct vhdx *s = im->s;
    u64 at = room_of(entry);

    return at >= VHDX_MB && range_within(at, len, 0, max(file_size(im->file), s->last));
}

static bool has_room(u64 entry)
{
    return (entry & VHDX_ENTRY_STATE) >= BLOCK_FULL;
}

static int wrong_entry(struct img *im, u64 block, u64 v)
{
    return vhdx_corrupt(im, "BAT entry of block %llu is 0x%llx", (unsigned long long)block,
                        (unsigned long long)v);
}

/* ---------------------------------------------------------------- sector bitmaps -- */

/* The file offset of the page with the bit for off, and the bit's number there. */
static int find_bit(struct img *im, u64 off, bool nowait, u64 *page, u32 *bit)
{
    struct vhdx *s = im->s;
    u64 chunk_size = VHDX_CHUNK_BITS * s->sector, n = off % chunk_size / s->sector, v;
    int r = get(im, vhdx_bitmap_at(s, off / chunk_size), nowait, &v);

    if (r)
        return r;
    if ((v & VHDX_ENTRY_STATE) != BLOCK_FULL || !room_ok(im, v, VHDX_MB))
        return vhdx_corrupt(im, "the bitmap's BAT entry for %llu is 0x%llx",
                            (unsigned long long)off, (unsigned long long)v);
    *page = room_of(v) + align_down(n / 8, VHDX_PAGE);
    *bit = (u32)(n % (VHDX_PAGE * 8));
    return 0;
}

/* How many bits from `from` on are like it, at most `most`. */
static u32 same_bits(const u8 *map, u32 from, u32 most)
{
    bool set = map[from / 8] >> from % 8 & 1;
    u8 all = set ? 0xff : 0;
    u32 n = 0;

    while (n < most) {
        u32 i = from + n;

        if (i % 8 == 0 && most - n >= 8 && map[i / 8] == all) {
            n += 8;
            continue;
        }
        if ((map[i / 8] >> i % 8 & 1) != set)
            break;
        n++;
    }
    return n;
}

static int map_bits(struct img *im, u64 off, bool nowait, struct extent *x)
{
    struct vhdx *s = im->s;
    u64 at, left = s->block - off % s->block;
    u32 bit, n;
    u8 *page;
    int r = find_bit(im, off, nowait, &at, &bit);

    if (!r)
        r = tcache_get(s->pages, at, nowait, &page);
    if (r)
        return r;
    n = same_bits(page, bit,
                  (u32)min((u64)VHDX_PAGE * 8 - bit, (left + s->sector - 1) / s->sector));
    x->kind = page[bit / 8] >> bit % 8 & 1 ? EXTENT_DATA : EXTENT_HOLE;
    x->in_place = x->kind == EXTENT_DATA;
    x->len = (u64)n * s->sector - off % s->sector;
    return 0;
}

/* Sets or clears the bits of off..off+len. */
static int mark(struct img *im, u64 off, u64 len, bool set)
{
    struct vhdx *s = im->s;

    while (len) {
        u64 at, n = len / s->sector;
        u32 bit;
        u8 *page;
        int r = find_bit(im, off, false, &at, &bit);

        if (!r)
            r = tcache_get(s->pages, at, false, &page);
        if (r)
            return r;
        n = min(n, (u64)VHDX_PAGE * 8 - bit);
        for (u64 i = bit; i < bit + n; i++) {
            if (i % 8 == 0 && bit + n - i >= 8) {
                page[i / 8] = set ? 0xff : 0;
                i += 7;
            } else if (set) {
                page[i / 8] |= (u8)(1 << i % 8);
            } else {
                page[i / 8] &= (u8) ~(1 << i % 8);
            }
        }
        tcache_dirty(s->pages, page, 0);
        im->dirty = true;
        off += n * s->sector;
        len -= n * s->sector;
    }
    return 0;
}

/* The chunk with off has a block for its bits, all of them clear at first. */
static int need_bitmap(struct img *im, u64 off)
{
    struct vhdx *s = im->s;
    u64 entry = vhdx_bitmap_at(s, off / (VHDX_CHUNK_BITS * s->sector)), v, at;
    bool zeroed;
    int r = get(im, entry, false, &v);

    if (r || (v & VHDX_ENTRY_STATE) == BLOCK_FULL)
        return r;
    r = vhdx_take_room(im, VHDX_MB, &at, &zeroed);
    if (r)
        return r;
    tcache_drop(s->pages, at, VHDX_MB);
    if (!zeroed)
        r = file_zero(im->file, at, VHDX_MB);
    if (!r)
        r = put(im, entry, at | BLOCK_FULL);
    if (r)
        vhdx_free(im, at, VHDX_MB);
    return r;
}

/* -------------------------------------------------------------------------- map -- */

/* More blocks on from here that are nowhere, as far as that is at hand. */
static void more_holes(struct img *im, u64 block, u64 len, struct extent *x)
{
    struct vhdx *s = im->s;
    u64 v;

    while (x->len < len && ++block < s->blocks && !get(im, vhdx_entry_at(s, block), true, &v) &&
           (v & VHDX_ENTRY_STATE) == BLOCK_NOT_PRESENT)
        x->len += s->block;
}

int vhdx_map(struct img *im, u64 off, u64 len, bool nowait, struct extent *x)
{
    struct vhdx *s = im->s;
    u64 block = off / s->block, in = off % s->block, v;
    int r = get(im, vhdx_entry_at(s, block), nowait, &v);

    if (r)
        return r;
    *x = (struct extent){.kind = EXTENT_ZERO, .len = s->block - in};
    switch (v & VHDX_ENTRY_STATE) {
    case BLOCK_NOT_PRESENT:
        x->kind = EXTENT_HOLE;
        more_holes(im, block, len, x);
        return 0;
    case BLOCK_UNDEFINED:
    case BLOCK_ZERO:
    case BLOCK_UNMAPPED:
        return 0;
    case BLOCK_PARTIAL:
        if (!s->has_parent)
            return wrong_entry(im, block, v);
        /* fall through */
    case BLOCK_FULL:
        if (!room_ok(im, v, in + 1))
            return wrong_entry(im, block, v);
        x->kind = EXTENT_DATA;
        x->in_place = true;
        x->file = im->file;
        x->offset = room_of(v) + in;
        return (v & VHDX_ENTRY_STATE) == BLOCK_PARTIAL ? map_bits(im, off, nowait, x) : 0;
    default:
        return wrong_entry(im, block, v);
    }
}

/* ---------------------------------------------------------------- allocate, link -- */

/* Does a new block, of which off..off+len is written, need bits? */
static bool needs_bits(const struct vhdx *s, u64 entry, u64 off, u64 len)
{
    return s->has_parent && (entry & VHDX_ENTRY_STATE) == BLOCK_NOT_PRESENT &&
           (off % s->block || len < s->block);
}

int vhdx_allocate(struct img *im, u64 off, u64 len, struct extent *x)
{
    struct vhdx *s = im->s;
    u64 block = off / s->block, in = off % s->block, v, at;
    int r = get(im, vhdx_entry_at(s, block), false, &v);

    if (r)
        return r;
    *x = (struct extent){
        .kind = EXTENT_DATA, .in_place = true, .file = im->file, .len = min(len, s->block - in)};
    if (has_room(v)) {
        if (!room_ok(im, v, s->block))
            return wrong_entry(im, block, v);
        x->offset = room_of(v) + in;
        return 0;
    }
    if (needs_bits(s, v, off, x->len))
        r = need_bitmap(im, off);
    if (!r)
        r = vhdx_take_room(im, s->block, &at, &x->zeroed);
    if (r)
        return r;
    if (!x->zeroed && !needs_bits(s, v, off, x->len)) {
        r = file_zero(im->file, at, s->block);
        x->zeroed = true;
    }
    if (r)
        vhdx_free(im, at, s->block);
    x->offset = at + in;
    return r;
}

void vhdx_cancel(struct img *im, u64 off, const struct extent *x)
{
    struct vhdx *s = im->s;
    u64 at = x->offset - off % s->block, v;

    if (get(im, vhdx_entry_at(s, off / s->block), false, &v) || (has_room(v) && room_of(v) == at))
        return;
    vhdx_free(im, at, s->block);
}

int vhdx_link(struct img *im, u64 off, const struct extent *x)
{
    struct vhdx *s = im->s;
    u64 block = off / s->block, in = off % s->block, at = x->offset - in, v;
    u64 entry = vhdx_entry_at(s, block);
    int r = get(im, entry, false, &v);

    if (r)
        return r;
    if (has_room(v))
        return (v & VHDX_ENTRY_STATE) == BLOCK_PARTIAL ? mark(im, off, x->len, true) : 0;
    if (!needs_bits(s, v, off, x->len)) {
        r = put(im, entry, at | BLOCK_FULL);
        /* These states may keep room that nobody reads. */
        if (!r && (v & VHDX_ENTRY_STATE) != BLOCK_NOT_PRESENT &&
            (v & VHDX_ENTRY_STATE) != BLOCK_ZERO && room_of(v) && room_ok(im, v, s->block))
            img_free_later(im, room_of(v), s->block);
        return r;
    }
    /* Bits of an older block at this place may be left. */
    r = mark(im, off - in, s->block, false);
    if (!r)
        r = mark(im, off, x->len, true);
    return r ? r : put(im, entry, at | BLOCK_PARTIAL);
}

/* ------------------------------------------------------------------------ unmap -- */

static int unmap_block(struct img *im, u64 off, u64 len, enum unmap_how how)
{
    struct vhdx *s = im->s;
    u64 entry = vhdx_entry_at(s, off / s->block), v;
    bool whole = off % s->block == 0 && (len == s->block || off + len >= im->b.size);
    int r = get(im, entry, false, &v);

    if (r)
        return r;
    switch (v & VHDX_ENTRY_STATE) {
    case BLOCK_UNDEFINED:
    case BLOCK_ZERO:
    case BLOCK_UNMAPPED:
        return 0; /* it is zeros already */
    case BLOCK_NOT_PRESENT:
        if (!s->has_parent)
            return 0;
        break;
    default:
        if (how == UNMAP_KEEP || s->leave_allocated || !room_ok(im, v, s->block))
            return -EOPNOTSUPP;
    }
    if (!whole)
        return -EOPNOTSUPP;
    r = put(im, entry, BLOCK_ZERO);
    if (!r && has_room(v))
        img_free_later(im, room_of(v), s->block);
    return r;
}

int vhdx_unmap(struct img *im, u64 off, u64 len, enum unmap_how how, u64 *done)
{
    struct vhdx *s = im->s;

    while (*done < len) {
        u64 at = off + *done, n = min(len - *done, s->block - at % s->block);
        int r = at < im->b.size ? unmap_block(im, at, n, how) : 0;

        if (r)
            return r;
        *done += n;
    }
    return 0;
}
