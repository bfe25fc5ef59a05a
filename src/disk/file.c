/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls on a struct file, whatever it is.
 */
#include "disk/disk_int.h"
#include "disk/tar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int file_open(struct file **f, const char *path, unsigned flags, const struct disk_options *o,
              struct err *e)
{
    if (o->io)
        return o->io->open(o->io, f, path, flags, o, e);
    if (nbd_is_url(path))
        return nbd_file_open(f, path, flags, o, e);
    if (tar_is_url(path))
        return tar_file_open(f, path, flags, o, e);
    return host_file_open(f, path, flags, o, e);
}

void file_close(struct file *f)
{
    if (f)
        f->ops->close(f);
}

void file_grew(struct file *f, u64 end)
{
    u64 now = __atomic_load_n(&f->size, __ATOMIC_RELAXED);

    while (end > now && !__atomic_compare_exchange_n(&f->size, &now, end, true, __ATOMIC_RELAXED,
                                                     __ATOMIC_RELAXED))
        ;
}

int file_execute(struct file *f, const struct blk_req *r)
{
    int k;

    if (r->op != BLK_READ && r->op != BLK_FLUSH && f->readonly)
        return -EROFS;
    if (r->op == BLK_WRITE)
        file_grew(f, r->offset + r->len);
    k = f->ops->execute(f, r);
    if (unlikely(k && r->op == BLK_WRITE))
        __atomic_store_n(&f->doubt, true, __ATOMIC_RELAXED);
    return k;
}

static int call(struct file *f, enum blk_op op, u64 off, void *buf, u64 len)
{
    struct iovec iov = {buf, len};
    struct blk_req r = {.op = op,
                        .offset = off,
                        .len = len,
                        .iov = &iov,
                        .niov = buf ? 1 : 0,
                        .unmap = op == BLK_WRITE_ZEROES};

    return file_execute(f, &r);
}

int file_read(struct file *f, u64 off, void *buf, u64 len)
{
    return len ? call(f, BLK_READ, off, buf, len) : 0;
}

int file_write(struct file *f, u64 off, const void *buf, u64 len)
{
    return len ? call(f, BLK_WRITE, off, (void *)buf, len) : 0;
}

int file_zero(struct file *f, u64 off, u64 len)
{
    u64 end = off + len, size = file_size(f);

    if (!len)
        return 0;
    /* What lies behind the end is zero as soon as the file is longer.  Not by truncate(): another
     * thread's write may be making it longer still. */
    if (unlikely(__atomic_load_n(&f->doubt, __ATOMIC_RELAXED)) || end > size) {
        int r = file_write(f, end - 1, "", 1);

        if (r || off >= size)
            return r;
        len = min(len, size - off);
    }
    return call(f, BLK_WRITE_ZEROES, off, NULL, len);
}

int file_discard(struct file *f, u64 off, u64 len)
{
    return len ? call(f, BLK_DISCARD, off, NULL, len) : 0;
}

int file_truncate(struct file *f, u64 size)
{
    int r = f->readonly ? -EROFS : f->ops->truncate(f, size);

    if (!r && !f->is_device)
        __atomic_store_n(&f->size, size, __ATOMIC_RELAXED);
    return r;
}

int file_flush(struct file *f)
{
    int r;

    if (f->readonly)
        return 0;
    if (__atomic_load_n(&f->broken, __ATOMIC_RELAXED))
        return -EIO;
    r = call(f, BLK_FLUSH, 0, NULL, 0);
    if (r)
        __atomic_store_n(&f->broken, true, __ATOMIC_RELAXED);
    return r;
}

static int write_zeros(struct file *f, u64 off, u64 len)
{
    u8 *zeros = calloc(1, MIB);
    int r = zeros ? 0 : -ENOMEM;

    for (u64 n; len && !r; off += n, len -= n) {
        n = min(len, MIB);
        r = file_write(f, off, zeros, n);
    }
    free(zeros);
    return r;
}

int file_preallocate(struct file *f, u64 off, u64 len, struct err *e)
{
    int r = f->ops->preallocate ? f->ops->preallocate(f, off, len) : -EOPNOTSUPP;

    if (r == -EOPNOTSUPP || r == -ENOSYS)
        r = write_zeros(f, off, len);
    if (r)
        return err_set(e, -r, "no room for %llu bytes: %s", (unsigned long long)len, strerror(-r));
    if (!f->is_device)
        file_grew(f, off + len);
    return 0;
}
