/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Doing a request on this thread, with whatever it takes: reading metadata, inflating, allocating
 * and copying, zeroing, flushing.  The rules of order are at the head of img.h.
 */
#include "base/trace.h"
#include "disk/disk_int.h"
#include "disk/img_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 64, CHUNK_MAX = 4 << 20, COPY_BUF = 256 << 10, EXPECT_UNIT = 64 << 10 };

/* Bytes pos..pos+len of iov, to or from a file. */
static int file_iov(struct file *f, enum blk_op op, u64 off, const struct iovec *iov, int niov,
                    u64 pos, u64 len)
{
    while (len) {
        struct iovec w[WINDOW];
        struct blk_req r = {.op = op, .offset = off, .iov = w};
        int k;

        r.niov = disk_iov_slice(w, WINDOW, iov, niov, pos, len);
        for (int i = 0; i < r.niov; i++)
            r.len += w[i].iov_len;
        BUG_ON(!r.len);
        k = file_execute(f, &r);
        if (k)
            return k;
        off += r.len;
        pos += r.len;
        len -= r.len;
    }
    return 0;
}

/* --------------------------------------------------------------------- reading -- */

static int read_compressed(struct img *im, u64 off, const struct extent *x, const struct iovec *iov,
                           int niov, u64 pos)
{
    struct img_io *io = im->io;
    u64 in = off % im->unit, len = x->len;
    int r = 0;

    pthread_mutex_lock(&io->zlock);
    if (!io->unit)
        io->unit = malloc(im->unit);
    if (!io->unit) {
        r = -ENOMEM;
    } else if (!io->unit_valid || io->unit_offset != x->offset || io->unit_stored != x->stored) {
        io->unit_valid = false;
        r = im->fmt->inflate(im, off, x, io->unit);
        io->unit_offset = x->offset;
        io->unit_stored = x->stored;
        io->unit_valid = !r;
    }
    if (!r) {
        for (u64 k = 0; k < len;) {
            struct iovec w;

            disk_iov_slice(&w, 1, iov, niov, pos + k, len - k);
            memcpy(w.iov_base, io->unit + in + k, w.iov_len);
            k += w.iov_len;
        }
    }
    pthread_mutex_unlock(&io->zlock);
    return r;
}

static int read_iov(struct img *im, u64 off, const struct iovec *iov, int niov, u64 pos, u64 len)
{
    while (len) {
        struct img *from;
        struct extent x;
        int r = img_map_chain(im, off, len, false, &x, &from);

        if (r)
            return r;
        if (x.kind == EXTENT_COMPRESSED) {
            x.len = min(x.len, from->unit - off % from->unit);
            r = read_compressed(from, off, &x, iov, niov, pos);
        } else if (x.kind == EXTENT_DATA) {
            r = file_iov(x.file, BLK_READ, x.offset, iov, niov, pos, x.len);
        } else {
            iov_zero(iov, niov, pos, x.len);
        }
        if (r)
            return r;
        off += x.len;
        pos += x.len;
        len -= x.len;
    }
    return 0;
}

int img_read(struct img *im, u64 off, void *buf, u64 len)
{
    struct iovec iov = {buf, len};
    u32 epoch = img_enter(im);
    int r = read_iov(im, off, &iov, 1, 0, len);

    img_leave(im, epoch);
    return r;
}

int img_map(struct img *im, u64 off, u64 len, struct extent *x, struct img **from)
{
    return img_map_chain(im, off, len, false, x, from);
}

/* ------------------------------------------------------------------- writing -- */

static void range_take(struct img *im, struct range *mine)
{
    struct img_io *io = im->io;
    struct range *r;

    pthread_mutex_lock(&io->rlock);
    do {
        for (r = io->ranges; r && (r->end <= mine->start || r->start >= mine->end);)
            r = r->next;
        if (r)
            pthread_cond_wait(&io->ranges_changed, &io->rlock);
    } while (r);
    mine->next = io->ranges;
    io->ranges = mine;
    pthread_mutex_unlock(&io->rlock);
}

static void range_drop(struct img *im, struct range *mine)
{
    struct img_io *io = im->io;
    struct range **p = &io->ranges;

    pthread_mutex_lock(&io->rlock);
    while (*p != mine)
        p = &(*p)->next;
    *p = mine->next;
    pthread_cond_broadcast(&io->ranges_changed);
    pthread_mutex_unlock(&io->rlock);
}

static void lock_both(struct img *im)
{
    pthread_mutex_lock(&im->writer);
    pthread_mutex_lock(&im->lock);
}

static void unlock_both(struct img *im)
{
    pthread_mutex_unlock(&im->lock);
    pthread_mutex_unlock(&im->writer);
}

static int begin_write(struct img *im)
{
    struct img_io *io = im->io;
    int r = 0;

    if (__atomic_load_n(&io->begun, __ATOMIC_ACQUIRE))
        return 0;
    lock_both(im);
    if (!io->begun) {
        r = im->fmt->begin_write(im);
        if (!r)
            __atomic_store_n(&io->begun, true, __ATOMIC_RELEASE);
    }
    unlock_both(im);
    return r;
}

/* What the guest sees at from..to goes to the file, where new room is. */
static int copy_old(struct img *im, const struct extent *room, u64 base, u64 from, u64 to)
{
    u8 *buf = NULL;
    int r = 0;

    while (from < to && !r) {
        u64 at = room->offset + (from - base);
        u64 n = min(to - from, (u64)COPY_BUF);
        struct extent x;

        /* The guest's disk may end within its last granule. */
        if (from >= im->b.size) {
            x = (struct extent){.kind = EXTENT_ZERO, .len = to - from};
        } else {
            r = img_map_chain(im, from, min(n, im->b.size - from), false, &x, NULL);
            if (r)
                break;
        }
        if (x.kind == EXTENT_ZERO) {
            if (!room->zeroed)
                r = file_zero(room->file, at, x.len);
        } else {
            struct iovec iov;

            if (!buf)
                buf = malloc(COPY_BUF);
            if (!buf)
                return -ENOMEM;
            iov = (struct iovec){buf, x.len};
            r = read_iov(im, from, &iov, 1, 0, x.len);
            if (!r)
                r = file_write(room->file, at, buf, x.len);
        }
        from += x.len;
    }
    free(buf);
    return r;
}

/* off..off+len, all in one extent that cannot be written in place.  *did: bytes that were. */
static int write_new(struct img *im, u64 off, u64 len, bool whole, const struct iovec *iov,
                     int niov, u64 pos, u64 *did)
{
    u64 g = whole ? im->unit : im->granule;
    u64 start = align_down(off, g), end = align_up(off + len, g);
    struct extent room;
    int r;

    lock_both(im);
    r = im->fmt->allocate(im, start, end - start, &room);
    unlock_both(im);
    if (r)
        return r;
    BUG_ON(!room.len || room.len % g);
    end = min(end, start + room.len);
    len = off + len > end ? end - off : len;
    /* A tool's target grows without a stop.  In large units what is not written is to be a hole: no
     * more than what is written now is taken then. */
    if (iov && room.zeroed && im->opt.cache == DISK_UNSAFE && room.file->ops->expect) {
        if (im->unit <= EXPECT_UNIT)
            room.file->ops->expect(room.file, room.offset, end - start, true);
        else
            room.file->ops->expect(room.file, room.offset + (off - start), len, false);
    }
    if (iov)
        r = file_iov(room.file, BLK_WRITE, room.offset + (off - start), iov, niov, pos, len);
    else /* also where zeros are there already: the file must not end before its data does */
        r = file_zero(room.file, room.offset + (off - start), len);
    if (!r)
        r = copy_old(im, &room, start, start, off);
    if (!r)
        r = copy_old(im, &room, start, off + len, end);
    lock_both(im);
    if (!r)
        r = im->fmt->link(im, start, &room);
    if (r)
        im->fmt->cancel(im, start, &room);
    unlock_both(im);
    *did = len;
    return r;
}

/* iov NULL = zeros. */
static int write_locked(struct img *im, u64 off, u64 len, const struct iovec *iov, int niov,
                        u64 pos)
{
    while (len) {
        struct extent x;
        u64 did;
        int r;

        pthread_mutex_lock(&im->lock);
        r = im->fmt->map(im, off, len, false, &x);
        pthread_mutex_unlock(&im->lock);
        if (r)
            return r;
        did = min(x.len, len);
        if (x.kind == EXTENT_COMPRESSED)
            x.whole = true;
        if (x.kind == EXTENT_DATA && x.in_place)
            r = iov ? file_iov(x.file, BLK_WRITE, x.offset, iov, niov, pos, did)
                    : file_zero(x.file, x.offset, did);
        else
            r = write_new(im, off, did, x.whole, iov, niov, pos, &did);
        if (r)
            return r;
        off += did;
        pos += did;
        len -= did;
    }
    return 0;
}

static int after_write(struct img *im, bool durable)
{
    if (durable || __atomic_load_n(&im->full, __ATOMIC_RELAXED))
        return img_flush(im);
    return 0;
}

static int write_iov(struct img *im, u64 off, u64 len, const struct iovec *iov, int niov)
{
    u64 chunk = max((u64)CHUNK_MAX, (u64)im->unit), pos = 0;
    int r = 0;

    while (len && !r) {
        u64 n = min(len, chunk - off % chunk);
        struct range mine = {align_down(off, im->unit), align_up(off + n, im->unit)};

        range_take(im, &mine);
        r = write_locked(im, off, n, iov, niov, pos);
        range_drop(im, &mine);
        if (!r)
            r = after_write(im, false);
        off += n;
        pos += n;
        len -= n;
    }
    return r;
}

/* Into an image that is made of packed units only; the disk's last one may be short. */
static int write_units(struct img *im, u64 off, u64 len, const struct iovec *iov, int niov)
{
    u8 *buf = malloc(3 * (size_t)im->unit), *packed = buf + im->unit;
    int r = buf ? 0 : -ENOMEM;

    for (u64 pos = 0, n; pos < len && !r; pos += n) {
        size_t size;

        n = min(len - pos, (u64)im->unit);
        if ((off + pos) % im->unit || (n < im->unit && off + pos + n < im->b.size)) {
            r = -EOPNOTSUPP;
            break;
        }
        memset(buf + n, 0, im->unit - n);
        for (u64 k = 0; k < n;) {
            struct iovec w;

            disk_iov_slice(&w, 1, iov, niov, pos + k, n - k);
            memcpy(buf + k, w.iov_base, w.iov_len);
            k += w.iov_len;
        }
        size = im->fmt->deflate(im, buf, packed, 2 * (size_t)im->unit);
        r = size ? img_store_deflated(im, off + pos, packed, size) : -EIO;
    }
    free(buf);
    return r == -EEXIST ? -EOPNOTSUPP : r;
}

/* ----------------------------------------------------- discard and write-zeroes -- */

/* The map cannot say "zeros" here: gives up the room in place, and writes what else must be. */
static int unmap_in_place(struct img *im, u64 off, u64 len, enum unmap_how how)
{
    while (len) {
        struct extent x;
        u64 n;
        int r;

        pthread_mutex_lock(&im->lock);
        r = im->fmt->map(im, off, len, false, &x);
        pthread_mutex_unlock(&im->lock);
        if (r)
            return r;
        n = min(x.len, len);
        if (x.kind == EXTENT_DATA && x.in_place && how == UNMAP_DISCARD)
            r = file_discard(x.file, x.offset, n);
        else if (how != UNMAP_DISCARD && x.kind != EXTENT_ZERO &&
                 !(x.kind == EXTENT_HOLE && !im->parent))
            r = write_locked(im, off, n, NULL, 0, 0);
        if (r)
            return r;
        off += n;
        len -= n;
    }
    return 0;
}

/* start..stop, multiples of granule. */
static int unmap_granules(struct img *im, u64 start, u64 stop, enum unmap_how how)
{
    while (start < stop) {
        u64 done = 0, n;
        int r = -EOPNOTSUPP;

        if (im->fmt->unmap) {
            lock_both(im);
            r = im->fmt->unmap(im, start, stop - start, how, &done);
            unlock_both(im);
        }
        if (r && r != -EOPNOTSUPP)
            return r;
        start += done;
        if (!r || start >= stop)
            return 0;
        n = im->fmt->unmap ? im->unit - start % im->unit : stop - start;
        n = min(n, stop - start);
        r = start < im->b.size ? unmap_in_place(im, start, min(n, im->b.size - start), how) : 0;
        if (r)
            return r;
        start += n;
    }
    return 0;
}

static int unmap_locked(struct img *im, u64 off, u64 len, enum unmap_how how)
{
    u64 end = off + len, start = align_up(off, im->granule);
    /* The last granule may reach over the end of the disk. */
    u64 stop = end == im->b.size ? align_up(end, im->granule) : align_down(end, im->granule);
    int r;

    if (start >= stop)
        return how == UNMAP_DISCARD ? 0 : unmap_in_place(im, off, len, how);
    r = unmap_granules(im, start, stop, how);
    if (!r && how != UNMAP_DISCARD && off < start)
        r = unmap_in_place(im, off, start - off, how);
    if (!r && how != UNMAP_DISCARD && end > stop)
        r = unmap_in_place(im, stop, end - stop, how);
    return r;
}

static int unmap(struct img *im, u64 off, u64 len, enum unmap_how how)
{
    u64 chunk = max((u64)64 << 20, (u64)im->unit);
    int r = 0;

    while (len && !r) {
        u64 n = min(len, chunk - off % chunk);
        struct range mine = {align_down(off, im->unit), align_up(off + n, im->unit)};

        range_take(im, &mine);
        r = unmap_locked(im, off, n, how);
        range_drop(im, &mine);
        if (!r)
            r = after_write(im, false);
        off += n;
        len -= n;
    }
    return r;
}

/* ------------------------------------------------------------- flush and free -- */

void img_free_later(struct img *im, u64 offset, u64 len)
{
    struct img_io *io = im->io;
    struct freed *f = io->freed;

    im->dirty = true;
    if (f && !f->flushed && f->epoch == io->epoch && f->offset + f->len == offset) {
        f->len += len;
        return;
    }
    f = malloc(sizeof(*f));
    if (!f)
        return;
    *f = (struct freed){.offset = offset, .len = len, .epoch = io->epoch, .next = io->freed};
    io->freed = f;
}

/* With both locks, after a flush that went well. */
static void free_now(struct img *im)
{
    struct img_io *io = im->io;
    struct freed **p = &io->freed;
    u32 now = io->epoch;

    for (struct freed *f = io->freed; f; f = f->next)
        f->flushed = true;
    /* Twice: what no request under way can know is freed at once. */
    for (int i = 0; i < 2; i++) {
        if (__atomic_load_n(&io->under_way[(now + 1) & 1], __ATOMIC_SEQ_CST))
            break;
        __atomic_store_n(&io->epoch, ++now, __ATOMIC_SEQ_CST);
    }
    if (!*p)
        return;
    while (*p) {
        struct freed *f = *p;

        if ((s32)(now - f->epoch) < 2) {
            p = &f->next;
            continue;
        }
        *p = f->next;
        if (im->fmt->free)
            im->fmt->free(im, f->offset, f->len);
        free(f);
    }
    pthread_mutex_lock(&io->zlock);
    io->unit_valid = false;
    pthread_mutex_unlock(&io->zlock);
}

static int sync_files(struct img *im)
{
    int r = file_flush(im->file);

    for (unsigned i = 0; i < im->nextra && !r; i++)
        r = file_flush(im->extra[i]);
    return r;
}

/* [writer] */
static int flush_writer(struct img *im)
{
    int more = 1, r = 0;
    bool map;

    pthread_mutex_lock(&im->lock);
    map = im->dirty && im->fmt->write_back;
    pthread_mutex_unlock(&im->lock);
    if (!map)
        return sync_files(im);
    for (unsigned stage = 0; more && !r; stage++) {
        pthread_mutex_lock(&im->lock);
        r = im->fmt->write_back(im, stage);
        pthread_mutex_unlock(&im->lock);
        more = r == 1;
        if (r >= 0)
            r = sync_files(im);
    }
    pthread_mutex_lock(&im->lock);
    im->fmt->write_back_done(im, !r);
    if (!r)
        free_now(im);
    pthread_mutex_unlock(&im->lock);
    return r;
}

int img_flush(struct img *im)
{
    int r;

    if (im->b.readonly)
        return 0;
    pthread_mutex_lock(&im->writer);
    r = flush_writer(im);
    pthread_mutex_unlock(&im->writer);
    return r;
}

/* --------------------------------------------------------------- the outside -- */

int img_execute(struct img *im, struct blk_req *r)
{
    bool change = r->op != BLK_READ && r->op != BLK_FLUSH;
    u32 epoch;
    int k = 0;

    if (r->op == BLK_FLUSH)
        return img_flush(im);
    if (change)
        k = im->b.readonly ? -EROFS : begin_write(im);
    if (k)
        return k;
    epoch = img_enter(im);
    switch (r->op) {
    case BLK_READ:
        k = read_iov(im, r->offset, r->iov, r->niov, 0, r->len);
        break;
    case BLK_WRITE:
        k = (im->packs ? write_units : write_iov)(im, r->offset, r->len, r->iov, r->niov);
        break;
    case BLK_DISCARD:
        k = unmap(im, r->offset, r->len, UNMAP_DISCARD);
        break;
    default:
        k = unmap(im, r->offset, r->len, r->unmap ? UNMAP_ZERO : UNMAP_KEEP);
        break;
    }
    img_leave(im, epoch);
    if (!k && change && (r->fua || im->io->writethrough))
        k = img_flush(im);
    return k;
}

int img_write(struct img *im, u64 off, const void *buf, u64 len)
{
    struct iovec iov = {(void *)buf, len};
    struct blk_req r = {.op = BLK_WRITE, .offset = off, .len = len, .iov = &iov, .niov = 1};

    return img_execute(im, &r);
}

int img_store_deflated(struct img *im, u64 off, const u8 *data, size_t len)
{
    struct range mine = {off, off + im->unit};
    struct extent x;
    int r;

    if (!im->fmt->write_deflated || off % im->unit)
        return -EOPNOTSUPP;
    r = begin_write(im);
    if (r)
        return r;
    range_take(im, &mine);
    lock_both(im);
    r = im->fmt->map(im, off, im->unit, false, &x);
    if (!r && x.kind != EXTENT_HOLE)
        r = -EEXIST;
    if (!r)
        r = im->fmt->write_deflated(im, off, data, len);
    unlock_both(im);
    range_drop(im, &mine);
    return r ? r : after_write(im, false);
}

int img_write_compressed(struct img *im, u64 off, const u8 *buf)
{
    u8 *packed;
    size_t n;
    int r = -EEXIST;

    if (!im->fmt->deflate || off % im->unit)
        return -EOPNOTSUPP;
    packed = malloc(im->unit);
    if (!packed)
        return -ENOMEM;
    n = im->fmt->deflate(im, buf, packed, im->unit - 512);
    if (n)
        r = img_store_deflated(im, off, packed, n);
    free(packed);
    return r == -EEXIST ? img_write(im, off, buf, min((u64)im->unit, im->b.size - off)) : r;
}
