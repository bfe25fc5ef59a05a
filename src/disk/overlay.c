/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `snapshot`: what the guest writes goes to a temporary file without a name, and disappears when
 * the machine ends, however it ends.  The image below is only read.
 *
 * The temporary file is sparse and has the same offsets as the image.  A bitmap says sector by
 * sector which of the two is right, so nothing is ever copied up.  It comes in pieces of 2048
 * sectors (1 MiB of disk), made when the guest first writes there and found by a hash table: a
 * stranger's disk may be of any size.
 *
 * A sector belongs to the temporary file only once its write is done.  A read that needs both files
 * is cut into runs that are read one after the other.
 *
 * Locks: overlay.lock guards the bitmap; a leaf.
 */
#include "disk/disk_int.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_SECTORS = 2048, PIECE_BYTES = PIECE_SECTORS / 8, BUCKETS_LEAST = 256 };

/* Which sectors of a piece are in the temporary file. */
struct piece {
    struct piece *next; /* in its bucket */
    u64 index;
    u8 ours[PIECE_BYTES];
};

struct overlay {
    struct blk b; /* first */
    struct blk *base;
    struct file *top;
    pthread_mutex_t lock;
    struct piece **bucket;
    u64 buckets, pieces; /* buckets: a power of two */
};

/* A request of ours that stands for one of the guest's. */
struct part {
    struct blk_req sub; /* first */
    struct overlay *o;
    struct blk_req *whole;
    u64 done; /* bytes of a read that are there */
    struct iovec iov[];
};

static struct piece **bucket_of(const struct overlay *o, u64 index)
{
    return &o->bucket[index & (o->buckets - 1)];
}

/* NULL = nothing is written there. */
static struct piece *find_piece(const struct overlay *o, u64 index)
{
    struct piece *p = *bucket_of(o, index);

    while (p && p->index != index)
        p = p->next;
    return p;
}

/* Twice as many buckets; without memory for them it goes on with what is there. */
static void grow(struct overlay *o)
{
    struct piece **old = o->bucket, **new = calloc(2 * o->buckets, sizeof(*new));

    if (!new)
        return;
    o->bucket = new;
    o->buckets *= 2;
    for (u64 i = 0; i < o->buckets / 2; i++)
        while (old[i]) {
            struct piece *p = old[i], **to = bucket_of(o, p->index);
            old[i] = p->next;
            p->next = *to;
            *to = p;
        }
    free(old);
}

static struct piece *make_piece(struct overlay *o, u64 index)
{
    struct piece *p = calloc(1, sizeof(*p)), **to;

    if (!p)
        return NULL;
    if (o->pieces++ == o->buckets)
        grow(o);
    to = bucket_of(o, index);
    p->index = index;
    p->next = *to;
    *to = p;
    return p;
}

static bool is_ours(const struct piece *p, u64 sector)
{
    sector %= PIECE_SECTORS;
    return p && p->ours[sector / 8] >> (sector % 8) & 1;
}

/* How many of `bytes` from `offset` on are in the same file; and in which. */
static u64 run_length(struct overlay *o, u64 offset, u64 bytes, bool *in_top)
{
    u64 first = offset / DISK_SECTOR, last = first + bytes / DISK_SECTOR, s = first + 1;

    pthread_mutex_lock(&o->lock);
    const struct piece *p = find_piece(o, first / PIECE_SECTORS);
    bool ours = is_ours(p, first);

    for (; s < last; s++) {
        if (s % PIECE_SECTORS == 0)
            p = find_piece(o, s / PIECE_SECTORS);
        if (is_ours(p, s) != ours)
            break;
    }
    pthread_mutex_unlock(&o->lock);
    *in_top = ours;
    return (s - first) * DISK_SECTOR;
}

static void read_from(struct overlay *o, bool top, struct blk_req *r)
{
    if (top)
        file_submit(o->top, r);
    else
        blk_submit(o->base, r);
}

static int mark(struct overlay *o, u64 offset, u64 bytes)
{
    u64 first = offset / DISK_SECTOR, last = first + bytes / DISK_SECTOR;
    int r = 0;

    pthread_mutex_lock(&o->lock);
    for (u64 at = first; at < last && !r;) {
        u64 end = min(last, (at / PIECE_SECTORS + 1) * PIECE_SECTORS);
        struct piece *p = find_piece(o, at / PIECE_SECTORS);

        if (!p)
            p = make_piece(o, at / PIECE_SECTORS);
        if (!p)
            r = -ENOMEM;
        for (; p && at < end; at++)
            p->ours[at % PIECE_SECTORS / 8] |= (u8)(1 << at % 8);
    }
    pthread_mutex_unlock(&o->lock);
    return r;
}

static void part_end(struct part *p, int result)
{
    struct blk_req *whole = p->whole;

    free(p);
    whole->done(whole, result);
}

static void read_next(struct blk_req *sub, int result)
{
    struct part *p = container_of(sub, struct part, sub);
    struct blk_req *all = p->whole;
    bool top;

    if (result == 0)
        p->done += sub->len;
    if (result || p->done == all->len) {
        part_end(p, result);
        return;
    }
    u64 at = all->offset + p->done;
    u64 len = run_length(p->o, at, all->len - p->done, &top);
    int n = disk_iov_slice(p->iov, all->niov, all->iov, all->niov, p->done, len);

    p->sub = (struct blk_req){
        .op = BLK_READ, .offset = at, .len = len, .iov = p->iov, .niov = n, .done = read_next};
    read_from(p->o, top, &p->sub);
}

static void written(struct blk_req *sub, int result)
{
    struct part *p = container_of(sub, struct part, sub);

    if (!result)
        result = mark(p->o, sub->offset, sub->len);
    part_end(p, result);
}

static struct part *part_new(struct overlay *o, struct blk_req *r, int niov)
{
    struct part *p = malloc(sizeof(*p) + (size_t)niov * sizeof(struct iovec));

    if (!p) {
        r->done(r, -ENOMEM);
        return NULL;
    }
    *p = (struct part){.o = o, .whole = r};
    return p;
}

static void overlay_submit(struct blk *b, struct blk_req *r)
{
    struct overlay *o = (struct overlay *)b;
    struct part *p;
    bool top;

    /* Nothing written here is meant to last. */
    if (r->op == BLK_FLUSH || r->op == BLK_DISCARD) {
        r->done(r, 0);
        return;
    }
    if ((r->offset | r->len) % DISK_SECTOR || !range_within(r->offset, r->len, 0, b->size)) {
        r->done(r, -EINVAL);
        return;
    }
    if (!r->len) {
        r->done(r, 0);
        return;
    }
    if (r->op == BLK_READ) {
        if (run_length(o, r->offset, r->len, &top) == r->len) {
            read_from(o, top, r);
            return;
        }
        p = part_new(o, r, r->niov);
        if (p) {
            p->sub.len = 0;
            read_next(&p->sub, 0);
        }
        return;
    }
    p = part_new(o, r, 0);
    if (!p)
        return;
    p->sub = *r;
    p->sub.done = written;
    p->sub.fua = false;
    file_submit(o->top, &p->sub);
}

static void overlay_close(struct blk *b)
{
    struct overlay *o = (struct overlay *)b;

    o->base->ops->close(o->base);
    file_close(o->top);
    for (u64 i = 0; i < o->buckets; i++)
        while (o->bucket[i]) {
            struct piece *p = o->bucket[i];
            o->bucket[i] = p->next;
            free(p);
        }
    free(o->bucket);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

static const struct blk_ops overlay_ops = {.submit = overlay_submit, .close = overlay_close};

/* A file without a name in $TMPDIR or /var/tmp. */
static int temporary_file(u64 size, struct err *e)
{
    const char *dir = getenv("TMPDIR");
    char name[4096];
    int fd;

    if (!dir || !*dir)
        dir = "/var/tmp";
    fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        snprintf(name, sizeof(name), "%s/wirt-XXXXXX", dir);
        fd = mkostemp(name, O_CLOEXEC);
        if (fd >= 0)
            unlink(name);
    }
    if (fd < 0)
        return err_set(e, errno, "snapshot: cannot make a temporary file in %s: %s", dir,
                       strerror(errno));
    if (ftruncate(fd, (off_t)size) < 0) {
        int r = err_set(e, errno, "snapshot: no sparse file of this size in %s: %s", dir,
                        strerror(errno));

        close(fd);
        return r;
    }
    return fd;
}

int overlay_open(struct blk **b, struct blk *base, const struct disk_options *opt, struct err *e)
{
    struct overlay *o = calloc(1, sizeof(*o));
    struct disk_options top_opt = {
        .cache = DISK_UNSAFE, .no_uring = opt->no_uring, .trace = opt->trace};
    int r = 0, fd;

    if (!o) {
        base->ops->close(base);
        return err_set(e, ENOMEM, "out of memory");
    }
    pthread_mutex_init(&o->lock, NULL);
    o->base = base;
    o->bucket = calloc(BUCKETS_LEAST, sizeof(*o->bucket));
    o->buckets = o->bucket ? BUCKETS_LEAST : 0;
    fd = o->bucket ? temporary_file(base->size, e) : err_set(e, ENOMEM, "out of memory");
    r = fd < 0 ? fd : host_file_from_fd(&o->top, fd, base->size, &top_opt, e);
    if (!r)
        r = file_start(o->top, e);
    if (r) {
        overlay_close(&o->b);
        return r;
    }
    o->b = *base;
    o->b.ops = &overlay_ops;
    /* What is thrown away may be written, whatever the image below allows. */
    o->b.readonly = opt->readonly;
    *b = &o->b;
    return 0;
}
