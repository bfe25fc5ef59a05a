/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw images: the file is the disk.  Offsets go through as they are.
 */
#include "disk/disk_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct raw {
    struct blk b; /* first */
    struct disk_file f;
    struct aio *aio;
};

static bool raw_refuses(const struct raw *w, struct blk_req *r)
{
    int result = 0;

    if (r->op == BLK_FLUSH)
        return false;
    if ((r->offset | r->len) % DISK_SECTOR || !range_within(r->offset, r->len, 0, w->b.size))
        result = -EINVAL;
    else if (r->op != BLK_READ && w->b.readonly)
        result = -EROFS;
    else if (r->len)
        return false;
    r->done(r, result);
    return true;
}

static void raw_submit(struct blk *b, struct blk_req *r)
{
    struct raw *w = (struct raw *)b;

    if (w->f.trace)
        trace(w->f.trace, block, "%s op %d at %llu + %llu", b->path, r->op,
              (unsigned long long)r->offset, (unsigned long long)r->len);
    if (!raw_refuses(w, r))
        aio_submit(w->aio, r);
}

static void raw_close(struct blk *b)
{
    struct raw *w = (struct raw *)b;
    struct blk_req end = {.op = BLK_FLUSH};

    aio_close(w->aio);
    aio_execute(&w->f, &end);
    disk_file_close(&w->f);
    free(w);
}

static const struct blk_ops raw_ops = {.submit = raw_submit, .close = raw_close};

static int raw_open(struct blk **b, const struct disk_file *f, const struct disk_options *o,
                    struct err *e)
{
    struct raw *w = calloc(1, sizeof(*w));

    if (w) {
        w->f = *f;
        w->aio = aio_open(&w->f, o->no_uring, e);
    } else {
        err_set(e, ENOMEM, "out of memory");
    }
    if (!w || !w->aio) {
        struct disk_file copy = *f;

        free(w);
        disk_file_close(&copy);
        return e ? -e->code : -ENOMEM;
    }
    w->b = (struct blk){
        .ops = &raw_ops, .size = f->size, .block_size = f->block_size, .readonly = f->readonly};
    snprintf(w->b.path, sizeof(w->b.path), "%s", f->path);
    w->f.path = w->b.path;
    *b = &w->b;
    return 0;
}

const struct disk_format disk_raw = {.name = "raw", .open = raw_open};
