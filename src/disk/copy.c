/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copying between images.  A piece is read as the maps say, zeros are found in what was read, and
 * the rest is written in runs as long as they come.  The grain at which zeros are left out is the
 * target's own where that is coarser than what was asked for: a cluster that must be stored anyhow
 * is stored whole, in one write.  Pieces are read by several threads at once and written in order:
 * threads that write one file only wait for each other, and a target in order is read faster.
 *
 * Where both are raw files of one file system that can share blocks, nothing is copied at all.
 */
#include "disk/copy.h"
#include "disk/formats.h"
#include "disk/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Writes of 2 MiB: what a host's page cache takes in one folio at most.  Packing keeps a processor
 * busy with less. */
enum { CHUNK = 2 << 20, CHUNK_PACKING = 1 << 20, JOBS = 4, JOBS_PACKING = 8 };
enum { GRAIN_MAX = 64 << 10, AHEAD = 1 << 30 };

bool mem_is_zero(const u8 *p, u64 len)
{
    u64 head = min(len, (u64)16);

    for (u64 i = 0; i < head; i++)
        if (p[i])
            return false;
    return len <= 16 || !memcmp(p, p + 16, len - 16);
}

/* -------------------------------------------------------------------- reading -- */

static int read_failed(struct img *im, u64 off, int r, struct err *e)
{
    return err_set(e, -r, "%s: cannot read at %llu: %s", im->path, (unsigned long long)off,
                   strerror(-r));
}

static int write_failed(struct disk_copy *c, u64 off, int r, struct err *e)
{
    return err_set(e, -r, "%s: cannot write at %llu: %s", c->to_name ? c->to_name : c->to->path,
                   (unsigned long long)off, strerror(-r));
}

/* A whole packed unit goes straight to where it is wanted, and many threads can do that at once. */
static int read_extent(struct img *im, struct img *from, u64 off, struct extent *x, u8 *buf)
{
    switch (x->kind) {
    case EXTENT_DATA:
        return file_read(x->file, x->offset, buf, x->len);
    case EXTENT_COMPRESSED:
        if (off % from->unit == 0 && x->len >= from->unit) {
            x->len = from->unit;
            return from->fmt->inflate(from, off, x, buf);
        }
        return img_read(im, off, buf, x->len);
    default:
        memset(buf, 0, x->len);
        return 0;
    }
}

/* Fills buf; *any = something in it may be other than zero.  Behind the disk's end are zeros. */
static int read_piece(struct img *im, u64 off, u64 len, u8 *buf, bool *any, struct err *e)
{
    *any = false;
    while (len) {
        struct extent x = {.kind = EXTENT_ZERO, .len = len};
        struct img *from = im;
        int r = 0;

        if (off < im->b.size)
            r = img_status(im, off, min(len, im->b.size - off), &x, &from);
        if (!r)
            r = read_extent(im, from, off, &x, buf);
        if (r)
            return read_failed(im, off, r, e);
        *any |= x.kind != EXTENT_ZERO;
        off += x.len;
        buf += x.len;
        len -= x.len;
    }
    return 0;
}

/* Zeros from off on, in whole chunks; 0 = fewer than one. */
static u64 zeros_ahead(struct img *im, u64 off, u64 size, u64 chunk)
{
    u64 pos = off;

    while (pos < size && pos - off < AHEAD) {
        struct extent x = {.kind = EXTENT_ZERO, .len = size - pos};
        struct img *from;

        /* An error shows again when it is read. */
        if (pos < im->b.size && img_status(im, pos, min((u64)AHEAD, im->b.size - pos), &x, &from))
            break;
        if (x.kind != EXTENT_ZERO)
            break;
        pos += x.len;
    }
    return pos >= size                    ? size - off
           : align_down(pos, chunk) > off ? align_down(pos, chunk) - off
                                          : 0;
}

/* -------------------------------------------------------------------- writing -- */

static int write_zeros(struct disk_copy *c, u64 off, u64 len, struct err *e)
{
    struct blk_req q = {.op = BLK_WRITE_ZEROES, .offset = off, .len = len, .unmap = c->sparse};
    int r = img_execute(c->to, &q);

    return r ? write_failed(c, off, r, e) : 0;
}

/* Grain by grain: is it to be stored?  In runs. */
static int write_piece(struct disk_copy *c, u64 off, const u8 *buf, u64 len, const u8 *below,
                       struct err *e)
{
    u64 g = c->grain;

    for (u64 pos = 0, n; pos < len; pos += n) {
        u64 step = min(g - (off + pos) % g, len - pos);
        bool zero = c->sparse && mem_is_zero(buf + pos, step);
        bool same = below && !memcmp(buf + pos, below + pos, step);
        int r = 0;

        for (n = step; pos + n < len; n += step) {
            step = min(g, len - pos - n);
            if ((below && !memcmp(buf + pos + n, below + pos + n, step)) != same ||
                (!same && c->sparse && mem_is_zero(buf + pos + n, step)) != zero)
                break;
        }
        if (same || (zero && c->fresh && !below))
            continue;
        if (zero)
            r = write_zeros(c, off + pos, n, e);
        else if ((r = img_write(c->to, off + pos, buf + pos, n)))
            write_failed(c, off + pos, r, e);
        if (r)
            return r;
    }
    return 0;
}

/* The units of a piece, packed by this thread and stored when it is their turn. */
static int write_packed(struct disk_copy *c, struct walk *w, struct walk_piece *p, struct err *e)
{
    u64 unit = c->to->unit, n = 0;
    u64 room = c->to->packs ? 2 * unit : unit - 512; /* it must be smaller if there is a choice */
    u8 *packed = p->buf + w->chunk;                  /* two units' room each */
    u32 len[2 * CHUNK / 512];
    int r;

    for (u64 pos = 0; pos < p->len; pos += unit, n++) {
        u8 *in = p->buf + pos;

        if (p->len - pos < unit)
            memset(in + (p->len - pos), 0, unit - (p->len - pos));
        len[n] = mem_is_zero(in, unit)
                     ? UINT32_MAX
                     : (u32)c->to->fmt->deflate(c->to, in, packed + 2 * pos, room);
    }
    r = walk_turn(w, p);
    n = 0;
    for (u64 pos = 0; pos < p->len && !r; pos += unit, n++) {
        if (len[n] == UINT32_MAX)
            continue;
        if (len[n])
            r = img_store_deflated(c->to, p->off + pos, packed + 2 * pos, len[n]);
        if (!len[n] || r == -EEXIST)
            r = img_write(c->to, p->off + pos, p->buf + pos, min(unit, p->len - pos));
        if (r)
            write_failed(c, p->off + pos, r, e);
    }
    return r;
}

/* ---------------------------------------------------------------------- walking -- */

static u64 copy_next(void *opaque, u64 off, bool *zero)
{
    struct disk_copy *c = opaque;
    u64 n = c->sparse ? zeros_ahead(c->from, off, c->to->b.size, c->chunk) : 0;

    *zero = n;
    return n;
}

static int copy_piece(void *opaque, struct walk *w, struct walk_piece *p, struct err *e)
{
    struct disk_copy *c = opaque;
    u8 *below = c->to->parent ? p->buf + w->chunk : NULL;
    bool any = false, any_below = false;
    int r = 0;

    if (p->zero && !below) {
        if (!c->fresh)
            r = write_zeros(c, p->off, p->len, e);
        return r;
    }
    if (p->zero) /* over a parent: what is not zero there */
        return zeros_ahead(c->to->parent, p->off, p->off + p->len, 1) >= p->len
                   ? 0
                   : write_zeros(c, p->off, p->len, e);
    r = read_piece(c->from, p->off, p->len, p->buf, &any, e);
    if (!r && below)
        r = read_piece(c->to->parent, p->off, p->len, below, &any_below, e);
    if (r)
        return r;
    if (c->compress)
        return write_packed(c, w, p, e);
    if (!any && !any_below && c->fresh && c->sparse)
        return 0;
    r = walk_turn(w, p);
    return r ? r : write_piece(c, p->off, p->buf, p->len, below, e);
}

static bool copy_tick(void *opaque, u64 done)
{
    struct disk_copy *c = opaque;

    return !c->tick || c->tick(c->opaque, done);
}

/* True: the target's file now shares the source's blocks. */
static bool share(struct disk_copy *c)
{
    struct file *a = c->from->file, *b = c->to->file;

    return c->fresh && c->sparse && c->from->fmt == &format_raw && c->to->fmt == &format_raw &&
           c->from->b.size == c->to->b.size && b->ops->share && b->ops == a->ops &&
           b->ops->share(b, a) == 0;
}

int disk_copy(struct disk_copy *c, struct err *e)
{
    u64 unit = c->to->unit;
    struct walk w = {.size = c->to->b.size,
                     .chunk = CHUNK,
                     .next = copy_next,
                     .piece = copy_piece,
                     .tick = copy_tick,
                     .opaque = c};
    int r;

    if (c->to->packs)
        c->compress = true;
    if (c->compress &&
        ((!(c->to->fmt->caps & DISK_CAN_COMPRESS) && !c->to->packs) || c->to->parent))
        return err_set(e, EOPNOTSUPP, "%s: compressed %s images%s cannot be made",
                       c->to_name ? c->to_name : c->to->path, c->to->fmt->title,
                       c->to->parent ? " over a backing file" : "");
    /* Packed units are read and stored as a whole. */
    if (c->compress)
        w.chunk = max((u64)CHUNK_PACKING, unit);
    if (c->from->fmt->inflate)
        w.chunk = max(w.chunk, min((u64)c->from->unit, (u64)2 * MIB));
    w.jobs = c->jobs ? c->jobs : c->compress ? JOBS_PACKING : JOBS;
    c->chunk = w.chunk;
    c->grain = max(c->sparse, min((u64)c->to->granule, (u64)GRAIN_MAX));
    w.room = 3 * w.chunk;
    r = share(c) ? 0 : walk_run(&w, e);
    if (!r && (r = img_flush(c->to)))
        write_failed(c, 0, r, e);
    return r;
}

/* -------------------------------------------------------------------- comparing -- */

static u64 diff_next(void *opaque, u64 off, bool *zero)
{
    struct disk_diff *d = opaque;
    u64 size = max(d->a->b.size, d->b->b.size), n = zeros_ahead(d->a, off, size, CHUNK);

    n = n ? min(n, zeros_ahead(d->b, off, size, CHUNK)) : 0;
    *zero = n;
    return n;
}

static void found(struct disk_diff *d, u64 at)
{
    u64 best = __atomic_load_n(&d->at, __ATOMIC_RELAXED);

    while (at < best && !__atomic_compare_exchange_n(&d->at, &best, at, true, __ATOMIC_RELAXED,
                                                     __ATOMIC_RELAXED))
        ;
}

static int diff_piece(void *opaque, struct walk *w, struct walk_piece *p, struct err *e)
{
    struct disk_diff *d = opaque;
    u8 *a = p->buf, *b = p->buf + w->chunk;
    bool any;
    int r;

    if (p->zero)
        return 0;
    r = read_piece(d->a, p->off, p->len, a, &any, e);
    if (!r)
        r = read_piece(d->b, p->off, p->len, b, &any, e);
    if (r || !memcmp(a, b, p->len))
        return r;
    while (*a == *b)
        a++, b++;
    found(d, p->off + (u64)(a - p->buf));
    walk_cut(w, p->off); /* pieces before it may still find an earlier one */
    return 0;
}

static bool diff_tick(void *opaque, u64 done)
{
    struct disk_diff *d = opaque;

    return !d->tick || d->tick(d->opaque, done);
}

int disk_diff(struct disk_diff *d, struct err *e)
{
    struct walk w = {.size = max(d->a->b.size, d->b->b.size),
                     .chunk = CHUNK,
                     .room = 2 * CHUNK,
                     .jobs = d->jobs ? d->jobs : JOBS,
                     .next = diff_next,
                     .piece = diff_piece,
                     .tick = diff_tick,
                     .opaque = d};
    int r;

    d->at = UINT64_MAX;
    r = walk_run(&w, e);
    d->differ = d->at != UINT64_MAX;
    return r;
}
