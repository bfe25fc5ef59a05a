/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "simfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SECTOR = 512, PAGE = 4096 };

static const u8 zeros[PAGE];

struct sim_file {
    struct file f; /* first */
    struct sim *s;
    struct sim_data *d;
};

void sim_init(struct sim *s);

/* Bytes from..to may differ from the origin's now. */
static void touch(struct sim_data *d, u64 from, u64 to)
{
    if (!d->touched)
        return;
    for (u64 page = from / PAGE; page * PAGE < to; page++)
        d->touched[page / 64] |= BIT64(page % 64);
}

/* Still as it is in the origin, and that has nothing there? */
static bool is_blank(const struct sim_data *d, u64 page)
{
    return d->touched && page * PAGE >= d->origin->size &&
           !(d->touched[page / 64] & BIT64(page % 64));
}

static void grow(struct sim_data *d, u64 size)
{
    u64 room = d->room ? d->room : 65536;

    if (size <= d->room)
        return;
    while (room < size)
        room *= 2;
    if (d->room && !d->durable) {
        d->now = mremap(d->now, d->room, room, MREMAP_MAYMOVE);
        BUG_ON(d->now == MAP_FAILED);
        free(d->touched); /* not to be used again */
        d->touched = NULL;
        d->room = room;
        return;
    }
    d->now = realloc(d->now, room);
    d->durable = realloc(d->durable, room);
    BUG_ON(!d->now || !d->durable);
    memset(d->now + d->room, 0, room - d->room);
    memset(d->durable + d->room, 0, room - d->room);
    d->room = room;
}

static void forget(struct sim_data *d)
{
    while (d->first) {
        struct sim_write *w = d->first;

        d->first = w->next;
        free(w->data);
        free(w);
    }
    d->last = &d->first;
}

struct sim_data *sim_find(struct sim *s, const char *name)
{
    for (unsigned i = 0; i < s->files; i++)
        if (!strcmp(s->file[i]->name, name))
            return s->file[i];
    return NULL;
}

static struct sim_data *add(struct sim *s, const char *name)
{
    struct sim_data *d = calloc(1, sizeof(*d));

    BUG_ON(!d || s->files == SIM_FILES);
    snprintf(d->name, sizeof(d->name), "%s", name);
    d->last = &d->first;
    s->file[s->files++] = d;
    return d;
}

/* One that cannot crash, with nothing in it. */
static struct sim_data *add_mapped(struct sim *s, const char *name, u64 room)
{
    struct sim_data *d = add(s, name);

    d->room = align_up(room, 65536);
    d->now = mmap(NULL, d->room, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    BUG_ON(d->now == MAP_FAILED);
    return d;
}

void sim_put(struct sim *s, const char *name, const void *data, u64 size)
{
    struct sim_data *d = sim_find(s, name);

    if (!d)
        d = add(s, name);
    forget(d);
    grow(d, max(size, 1ull));
    touch(d, 0, max(d->size, size));
    memset(d->now, 0, d->size); /* behind the end are zeros */
    if (data)
        memcpy(d->now, data, size);
    if (d->durable)
        memcpy(d->durable, d->now, d->room);
    d->size = d->durable_size = size;
}

/* ------------------------------------------------------------------- a change -- */

static void apply(struct sim_data *d, u8 *to, u64 *size, const struct sim_write *w, u64 from,
                  u64 len)
{
    if (w->truncate) {
        if (w->off < *size)
            memset(to + w->off, 0, *size - w->off);
        *size = w->off;
        return;
    }
    if (w->data)
        memcpy(to + w->off + from, w->data + from, len);
    else
        memset(to + w->off + from, 0, len);
    if (w->data && w->off + from + len > *size)
        *size = w->off + from + len;
}

static void change(struct sim_data *d, u64 off, u64 len, u8 *data, bool truncate)
{
    struct sim_write *w = malloc(sizeof(*w));

    BUG_ON(!w);
    *w = (struct sim_write){.off = off, .len = len, .data = data, .truncate = truncate};
    grow(d, off + len);
    apply(d, d->now, &d->size, w, 0, len);
    *d->last = w;
    d->last = &w->next;
}

/* The same for what cannot crash: at once, and no memory is looked at that need not be. */
static void change_now(struct sim_data *d, u64 off, u64 len, const struct blk_req *from)
{
    u64 at = off, end = off + len;

    grow(d, end);
    if (from) {
        for (int i = 0; i < from->niov && at < end; i++) {
            u64 n = min((u64)from->iov[i].iov_len, end - at);

            memcpy(d->now + at, from->iov[i].iov_base, n);
            at += n;
        }
        touch(d, off, end);
        d->size = max(d->size, end);
        return;
    }
    while (at < end) {
        u64 n = min(end - at, PAGE - at % PAGE);

        if (!is_blank(d, at / PAGE)) {
            memset(d->now + at, 0, n);
            touch(d, at, at + n);
        }
        at += n;
    }
}

static void flush(struct sim_data *d)
{
    for (struct sim_write *w = d->first; w; w = w->next)
        apply(d, d->durable, &d->durable_size, w, 0, w->len);
    forget(d);
}

/* 0, or the error that this call has; for SIM_SHORT *len shrinks. */
static int fault(struct sim *s, enum blk_op op, const struct sim_data *d, u64 off, u64 *len)
{
    u64 n = op == BLK_READ ? s->reads++ : s->calls++;

    if (s->limit && op != BLK_FLUSH && op != BLK_READ && (off > s->limit || *len > s->limit - off))
        return -ENOSPC;
    if ((op == BLK_READ) != (s->fault == SIM_READ))
        return 0;
    if (s->fault == SIM_NONE || n < s->fault_at || n >= s->fault_at + s->fault_count)
        return 0;
    switch (s->fault) {
    case SIM_ENOSPC:
        return op == BLK_WRITE && off + *len > d->size ? -ENOSPC : 0;
    case SIM_SHORT:
        *len = op == BLK_WRITE ? *len / 2 / SECTOR * SECTOR : 0;
        return -EIO;
    default:
        return -EIO;
    }
}

static u8 *gather(const struct blk_req *r, u64 len)
{
    u8 *p = malloc(len + 1);
    u64 n = 0;

    BUG_ON(!p);
    for (int i = 0; i < r->niov && n < len; i++) {
        u64 k = min((u64)r->iov[i].iov_len, len - n);

        memcpy(p + n, r->iov[i].iov_base, k);
        n += k;
    }
    return p;
}

static void scatter(const struct sim_data *d, const struct blk_req *r)
{
    u64 at = r->offset;

    for (int i = 0; i < r->niov; i++) {
        u64 k = r->iov[i].iov_len, there = at < d->size ? min(d->size - at, k) : 0;

        if (there)
            memcpy(r->iov[i].iov_base, d->now + at, there);
        memset((u8 *)r->iov[i].iov_base + there, 0, k - there);
        at += k;
    }
}

static int sim_execute(struct file *f, const struct blk_req *r)
{
    struct sim *s = ((struct sim_file *)f)->s;
    struct sim_data *d = ((struct sim_file *)f)->d;
    u64 len = r->len;
    int k = 0;

    if (r->op != BLK_READ && s->hook)
        s->hook(s, s->opaque);
    pthread_mutex_lock(&s->lock);
    k = fault(s, r->op, d, r->offset, &len);
    switch (r->op) {
    case BLK_READ:
        if (!k)
            scatter(d, r);
        break;
    case BLK_WRITE:
        if ((k && (s->fault != SIM_SHORT || k == -ENOSPC)) || !len)
            break;
        if (d->durable)
            change(d, r->offset, len, gather(r, len), false);
        else
            change_now(d, r->offset, len, r);
        if (!k && r->fua)
            flush(d);
        break;
    case BLK_FLUSH:
        if (!k)
            flush(d);
        break;
    default:
        if (k || r->offset >= d->size)
            break;
        len = min(len, d->size - r->offset);
        if (d->durable)
            change(d, r->offset, len, NULL, false);
        else
            change_now(d, r->offset, len, NULL);
        break;
    }
    pthread_mutex_unlock(&s->lock);
    return k;
}

static void sim_submit(struct file *f, struct blk_req *r)
{
    r->done(r, sim_execute(f, r));
}

static int sim_truncate(struct file *f, u64 size)
{
    struct sim *s = ((struct sim_file *)f)->s;
    struct sim_data *d = ((struct sim_file *)f)->d;
    u64 len = 0;
    int k;

    if (s->hook)
        s->hook(s, s->opaque);
    pthread_mutex_lock(&s->lock);
    k = fault(s, BLK_WRITE, d, size, &len);
    if (!k && d->durable) {
        change(d, size, 0, NULL, true);
    } else if (!k) {
        grow(d, size);
        if (size < d->size)
            change_now(d, size, d->size - size, NULL);
        d->size = size;
    }
    pthread_mutex_unlock(&s->lock);
    return k;
}

static void sim_close(struct file *f)
{
    struct sim_file *sf = (struct sim_file *)f;

    sf->d->users--;
    free(f->path);
    free(sf);
}

static const struct file_ops sim_ops = {
    .execute = sim_execute, .submit = sim_submit, .truncate = sim_truncate, .close = sim_close};

static int sim_open(struct disk_io *io, struct file **f, const char *path, unsigned flags,
                    const struct disk_options *o, struct err *e)
{
    struct sim *s = (struct sim *)io;
    struct sim_file *sf;
    struct sim_data *d;

    if (!strncmp(path, "./", 2))
        path += 2;
    d = sim_find(s, path);
    if (!d && !(flags & FILE_CREATE))
        return err_set(e, ENOENT, "%s", strerror(ENOENT));
    if (d && !d->size && !(flags & (FILE_CREATE | FILE_EMPTY_OK)))
        return err_set(e, EINVAL, "is empty");
    if (!d) {
        d = add(s, path);
        grow(d, 1);
    }
    sf = calloc(1, sizeof(*sf));
    BUG_ON(!sf);
    if (flags & FILE_CREATE)
        sim_put(s, path, NULL, 0);
    sf->s = s;
    sf->d = d;
    d->users++;
    sf->f = (struct file){.ops = &sim_ops,
                          .size = d->size,
                          .block_size = 512,
                          .readonly = !(flags & (FILE_WRITE | FILE_CREATE)),
                          .dev = 1,
                          .ino = (ino_t)(uintptr_t)d,
                          .path = strdup(path)};
    *f = &sf->f;
    return 0;
}

void sim_init(struct sim *s)
{
    *s = (struct sim){.io = {.open = sim_open}};
    pthread_mutex_init(&s->lock, NULL);
}

static void data_free(struct sim_data *d)
{
    if (!d)
        return;
    data_free(d->spare);
    forget(d);
    if (d->durable)
        free(d->now);
    else
        munmap(d->now, d->room);
    free(d->durable);
    free(d->touched);
    free(d);
}

/* A clone becomes its origin's spare, with the origin's contents. */
static bool keep(struct sim_data *d)
{
    struct sim_data *o = d->origin;

    if (!d->touched || o->spare)
        return false;
    for (u64 w = 0; w * 64 * PAGE < d->room; w++) {
        for (u64 bits = d->touched[w]; bits; bits &= bits - 1) {
            u64 at = (w * 64 + (u64)__builtin_ctzll(bits)) * PAGE, n = 0;

            if (at < o->size)
                n = min(o->size - at, (u64)PAGE);
            memcpy(d->now + at, o->now + at, n);
            memset(d->now + at + n, 0, min(d->room - at, (u64)PAGE) - n);
        }
        d->touched[w] = 0;
    }
    d->size = o->size;
    o->spare = d;
    return true;
}

void sim_destroy(struct sim *s)
{
    for (unsigned i = 0; i < s->files; i++) {
        BUG_ON(s->file[i]->users);
        if (!keep(s->file[i]))
            data_free(s->file[i]);
    }
    pthread_mutex_destroy(&s->lock);
}

/* What is not touched costs nothing. */
static void copy_used(u8 *to, const u8 *from, u64 size)
{
    for (u64 at = 0; at < size; at += PAGE) {
        u64 n = min(size - at, (u64)PAGE);

        if (memcmp(from + at, zeros, n))
            memcpy(to + at, from + at, n);
    }
}

void sim_crash(struct sim *s, struct sim *out, u64 *random, unsigned keep)
{
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->files; i++) {
        struct sim_data *d = s->file[i], *o = add_mapped(out, d->name, d->room);

        copy_used(o->now, d->durable, d->durable_size);
        o->size = d->durable_size;
        for (struct sim_write *w = d->first; w; w = w->next) {
            /* Some writes as a whole, some sector by sector. */
            bool whole = sim_random(random) & 1;
            bool yes = sim_random(random) % 256 < keep;

            for (u64 k = 0; k < w->len || (w->truncate && !k);) {
                u64 n = min(w->len - k, SECTOR - (w->off + k) % SECTOR);

                if (!whole)
                    yes = sim_random(random) % 256 < keep;
                if (yes)
                    apply(o, o->now, &o->size, w, k, n);
                k += max(n, 1ull);
            }
        }
    }
    pthread_mutex_unlock(&s->lock);
}

void sim_clone(struct sim *s, struct sim *out, u64 limit)
{
    out->limit = limit;
    for (unsigned i = 0; i < s->files; i++) {
        struct sim_data *o = s->file[i], *d = o->spare;

        BUG_ON(o->size > limit);
        if (d) {
            o->spare = NULL;
            out->file[out->files++] = d;
            continue;
        }
        d = add_mapped(out, o->name, limit + SECTOR);
        copy_used(d->now, o->now, o->size);
        d->size = o->size;
        d->origin = o;
        d->touched = calloc((d->room / PAGE + 63) / 64, 8);
        BUG_ON(!d->touched);
    }
}

void sim_patch(struct sim_data *d, u64 at, const void *data, u64 len)
{
    if (data)
        memcpy(d->now + at, data, len);
    touch(d, at, at + len);
}

int sim_save(struct sim *s, const char *name, const char *path)
{
    struct sim_data *d = sim_find(s, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    bool ok = d && fd >= 0 && write(fd, d->now, d->size) == (ssize_t)d->size;

    if (fd >= 0)
        close(fd);
    return ok ? 0 : -EIO;
}
