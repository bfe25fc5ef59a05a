/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two levels of tables without reference counts: see twolevel.h.
 */
#include "disk/twolevel.h"
#include "base/trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ZERO_CLUSTER = 1 };

#define PACKED BIT64(63)

static int corrupt(struct img *im, const char *what, u64 v)
{
    if (im->opt.trace)
        trace(im->opt.trace, block, "%s: damaged: %s %llu", im->b.path, what,
              (unsigned long long)v);
    return -EIO;
}

static u64 wire_get(const struct twolevel *t, const void *p)
{
    return t->big_endian ? be64_get(p) : le64_get(p);
}

static void wire_put(const struct twolevel *t, void *p, u64 v)
{
    if (t->big_endian)
        be64_put(p, v);
    else
        le64_put(p, v);
}

int twolevel_open(struct img *im, struct err *e)
{
    struct twolevel *t = im->s;
    u64 covers = t->l2_count << t->cluster_bits;
    u64 piece = min(BIT64(t->cluster_bits), 4096ull);
    int r;

    t->cluster = BIT64(t->cluster_bits);
    if (!t->size || t->size > (u64)INT64_MAX - covers)
        return err_set(e, EINVAL, "size %llu", (unsigned long long)t->size);
    t->l1_size = (t->size + covers - 1) / covers;
    if (t->l1_size * 8 > TWOLEVEL_L1_MAX)
        return err_set(e, EINVAL, "size %llu is too big for its clusters",
                       (unsigned long long)t->size);
    if (!t->l1_offset || t->l1_offset % 8 ||
        !range_within(t->l1_offset, t->l1_size * 8, 0, im->file->size))
        return err_set(e, EINVAL, "l1_table_offset %llu", (unsigned long long)t->l1_offset);
    t->piece = (u32)min(t->l2_count * 8, piece);
    t->l1 = malloc(t->l1_size * 8);
    t->l1_dirty = calloc(t->l1_size, 1);
    t->l2c = tcache_new(
        im->file, t->piece,
        (unsigned)min((t->size >> t->cluster_bits) * 8 / t->piece + 64, 16 * MIB / t->piece));
    if (!t->l1 || !t->l1_dirty || !t->l2c)
        return err_set(e, ENOMEM, "out of memory");
    r = file_read(im->file, t->l1_offset, t->l1, t->l1_size * 8);
    if (r)
        return err_set(e, -r, "cannot read the L1 table: %s", strerror(-r));
    for (u64 i = 0; i < t->l1_size; i++)
        t->l1[i] = wire_get(t, &t->l1[i]);
    t->next = align_up(im->file->size, t->cluster);
    im->b.size = align_up(t->size, DISK_SECTOR);
    im->unit = im->granule = (u32)t->cluster;
    return 0;
}

void twolevel_close(struct img *im)
{
    struct twolevel *t = im->s;

    tcache_free(t->l2c);
    free(t->l1);
    free(t->l1_dirty);
}

/* ------------------------------------------------------------------------- map -- */

static u64 l1_index(const struct twolevel *t, u64 off)
{
    return (off >> t->cluster_bits) / t->l2_count;
}

/* The piece with the entry for off, whose L1 entry is not 0; *p is the entry. */
static int get_entry(struct img *im, u64 off, bool nowait, u8 **piece, u8 **p)
{
    struct twolevel *t = im->s;
    u64 table = t->l1[l1_index(t, off)], at = (off >> t->cluster_bits) % t->l2_count * 8;
    int r;

    if (table % t->piece || table >= max(t->next, file_size(im->file)))
        return corrupt(im, "L1 entry", table);
    r = tcache_get(t->l2c, table + at / t->piece * t->piece, nowait, piece);
    if (!r)
        *p = *piece + at % t->piece;
    return r;
}

static int classify(struct img *im, u64 v, u64 off, struct extent *x)
{
    struct twolevel *t = im->s;
    u64 in = off & (t->cluster - 1);
    unsigned shift = 63 - t->cluster_bits;

    *x = (struct extent){.kind = EXTENT_HOLE, .len = t->cluster - in};
    if (!v)
        return 0;
    if (t->zeroes && v == ZERO_CLUSTER) {
        x->kind = EXTENT_ZERO;
        return 0;
    }
    if (t->packs && v & PACKED) {
        x->kind = EXTENT_COMPRESSED;
        x->whole = true;
        x->offset = v & (BIT64(shift) - 1);
        x->stored = v >> shift & (t->cluster - 1);
        return 0;
    }
    if (v % 512 || v >= max(t->next, file_size(im->file)))
        return corrupt(im, "L2 entry", v);
    x->kind = EXTENT_DATA;
    x->in_place = true;
    x->file = im->file;
    x->offset = v + in;
    return 0;
}

int twolevel_map(struct img *im, u64 off, u64 len, bool nowait, struct extent *x)
{
    struct twolevel *t = im->s;
    u64 covers = t->l2_count << t->cluster_bits;
    u8 *piece, *p;
    int r;

    if (!t->l1[l1_index(t, off)]) {
        *x = (struct extent){.kind = EXTENT_HOLE, .len = covers - off % covers};
        return 0;
    }
    r = get_entry(im, off, nowait, &piece, &p);
    if (!r)
        r = classify(im, wire_get(t, p), off, x);
    while (!r && x->len < len && x->kind != EXTENT_COMPRESSED) {
        struct extent more;

        p += 8;
        if (p == piece + t->piece || classify(im, wire_get(t, p), off + x->len, &more) ||
            more.kind != x->kind || (x->kind == EXTENT_DATA && more.offset != x->offset + x->len))
            break;
        x->len += more.len;
    }
    return r;
}

/* --------------------------------------------------------------- allocate, link -- */

/* An L2 table for off, empty. */
static int need_table(struct img *im, u64 off)
{
    struct twolevel *t = im->s;
    u64 li = l1_index(t, off), at = t->next;
    u8 *p;
    int r = 0;

    if (t->l1[li])
        return 0;
    for (u64 k = 0; k < t->l2_count * 8 && !r; k += t->piece)
        r = tcache_make(t->l2c, at + k, 0, &p);
    if (r) {
        tcache_drop(t->l2c, at, t->l2_count * 8);
        return r;
    }
    t->next = align_up(at + t->l2_count * 8, t->cluster);
    t->l1[li] = at;
    t->l1_dirty[li] = 1;
    t->l1_any = im->dirty = true;
    return 0;
}

int twolevel_allocate(struct img *im, u64 off, u64 len, struct extent *x)
{
    struct twolevel *t = im->s;
    u64 covers = t->l2_count << t->cluster_bits;
    int r = need_table(im, off);

    *x = (struct extent){.kind = EXTENT_DATA,
                         .in_place = true,
                         .file = im->file,
                         .offset = t->next,
                         .len = min(len, covers - off % covers)};
    /* Packed clusters have their offsets in fewer bits, the file its end. */
    if (!r && x->offset + x->len > (1ull << 55))
        r = -EFBIG;
    if (!r)
        t->next += x->len;
    return r;
}

void twolevel_cancel(struct img *im, u64 off, const struct extent *x)
{
    struct twolevel *t = im->s;

    if (x->offset + x->len == t->next && file_size(im->file) <= x->offset)
        t->next = x->offset; /* else it is leaked */
}

/* `count` entries from off on: `first`, and on by a cluster each, or always the same. */
static int set_entries(struct img *im, u64 off, u64 count, u64 first, bool same)
{
    struct twolevel *t = im->s;
    u64 li = l1_index(t, off);

    for (u64 i = 0; i < count; i++) {
        u8 *piece, *p;
        int r = get_entry(im, off + (i << t->cluster_bits), false, &piece, &p);

        if (r)
            return r;
        wire_put(t, p, same ? first : first + (i << t->cluster_bits));
        tcache_dirty(t->l2c, piece, t->l1_dirty[li] ? 0 : 1);
    }
    im->dirty = true;
    im->full |= tcache_full(t->l2c);
    return 0;
}

int twolevel_link(struct img *im, u64 off, const struct extent *x)
{
    struct twolevel *t = im->s;

    return set_entries(im, off, x->len >> t->cluster_bits, x->offset, false);
}

int twolevel_unmap(struct img *im, u64 off, u64 len, enum unmap_how how, u64 *done)
{
    struct twolevel *t = im->s;

    while (*done < len) {
        u64 at = off + *done;
        struct extent x;
        /* One cluster: the run that it begins would be looked at again for each of its clusters. */
        int r = twolevel_map(im, at, t->cluster, false, &x);

        if (r)
            return r;
        x.len = min(x.len, len - *done);
        /* Without reference counts a cluster that is given up is lost: rather zeros in place. */
        if (x.kind == EXTENT_DATA || x.kind == EXTENT_COMPRESSED)
            return -EOPNOTSUPP;
        if (x.kind == EXTENT_HOLE && im->parent) {
            if (!t->zeroes)
                return -EOPNOTSUPP;
            x.len = min(x.len, t->cluster);
            r = need_table(im, at);
            if (!r)
                r = set_entries(im, at, 1, ZERO_CLUSTER, true);
        }
        if (r)
            return r;
        *done += x.len;
    }
    return 0;
}

/* ------------------------------------------------------------------ write-back -- */

static int write_l1(struct img *im)
{
    struct twolevel *t = im->s;

    for (u64 i = 0; i < t->l1_size; i++) {
        u8 wire[8];
        int r;

        if (t->l1_dirty[i] != 1)
            continue;
        wire_put(t, wire, t->l1[i]);
        r = file_write(im->file, t->l1_offset + i * 8, wire, sizeof(wire));
        if (r)
            return r;
        t->l1_dirty[i] = 2;
    }
    return 0;
}

int twolevel_write_back(struct img *im, unsigned stage)
{
    struct twolevel *t = im->s;
    int r = tcache_write(t->l2c, stage);

    if (!stage)
        return r ? r : t->l1_any || tcache_any(t->l2c, 1);
    return r ? r : write_l1(im);
}

void twolevel_write_back_done(struct img *im, bool ok)
{
    struct twolevel *t = im->s;

    tcache_done(t->l2c, ok);
    if (t->l1_any) {
        for (u64 i = 0; i < t->l1_size; i++)
            if (t->l1_dirty[i])
                t->l1_dirty[i] = !ok;
        t->l1_any = !ok;
    }
    im->dirty = !ok;
    im->full = tcache_full(t->l2c);
}
