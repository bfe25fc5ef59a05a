/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw images: the file is the disk.  Offsets go through as they are; the generic layer's requests
 * are passed by, since there is nothing to map and nothing to order.
 */
#include "base/trace.h"
#include "disk/img.h"
#include "disk/live.h"

#include <errno.h>
#include <string.h>

static bool raw_refuses(const struct img *im, struct blk_req *r)
{
    int result = 0;

    if (r->op == BLK_FLUSH)
        return false;
    if ((r->offset | r->len) % DISK_SECTOR || !range_within(r->offset, r->len, 0, im->b.size))
        result = -EINVAL;
    else if (r->op != BLK_READ && im->b.readonly)
        result = -EROFS;
    else if (r->len)
        return false;
    r->done(r, result);
    return true;
}

static void raw_submit(struct blk *b, struct blk_req *r)
{
    struct img *im = (struct img *)b;

    if (im->opt.trace)
        trace(im->opt.trace, block, "%s op %d at %llu + %llu", b->path, r->op,
              (unsigned long long)r->offset, (unsigned long long)r->len);
    if (!raw_refuses(im, r))
        file_submit(im->file, r);
}

static void raw_blk_close(struct blk *b)
{
    img_close((struct img *)b);
}

static const struct blk_ops raw_ops = {
    .submit = raw_submit, .close = raw_blk_close, .snapshot = raw_snapshot};

static int raw_open(struct img *im, struct err *e)
{
    im->b.ops = &raw_ops;
    im->b.size = align_up(im->file->size, DISK_SECTOR);
    im->b.block_size = im->file->block_size;
    im->unit = im->granule = DISK_SECTOR;
    if (!im->file->size)
        return err_set(e, EINVAL, "is empty");
    return im->depth ? 0 : file_start(im->file, e);
}

static int raw_map(struct img *im, u64 off, u64 len, bool nowait, struct extent *x)
{
    *x = (struct extent){
        .kind = EXTENT_DATA, .in_place = true, .file = im->file, .offset = off, .len = len};
    return 0;
}

static int raw_create(const struct disk_create *c, struct err *e)
{
    static const char *const preallocations[] = {"off", "falloc", "full", NULL};
    struct file *f;
    unsigned preallocation = 0;
    int r = create_choice(c, "preallocation", preallocations, &preallocation, e);

    if (r)
        return r;
    if (c->backing)
        return err_set(e, EINVAL, "raw images have no backing file");
    r = file_open(&f, c->path, FILE_CREATE, &c->io, e);
    if (r)
        return r;
    if (!f->is_device || c->size > file_size(f)) {
        r = file_truncate(f, c->size);
        if (r)
            err_set(e, -r, "cannot make it %llu bytes long: %s", (unsigned long long)c->size,
                    strerror(-r));
    }
    if (!r && preallocation)
        r = file_preallocate(f, 0, c->size, e);
    file_close(f);
    return r;
}

static int raw_resize(struct img *im, u64 size, struct err *e)
{
    int r;

    if (im->file->is_device)
        return err_set(e, EINVAL, "is a device, which has the size that it has");
    r = file_truncate(im->file, size);
    if (r)
        return err_set(e, -r, "%s", strerror(-r));
    im->b.size = align_up(size, DISK_SECTOR);
    return 0;
}

static const struct create_option raw_options[] = {
    {"preallocation", "off, falloc or full"},
    {0},
};

const struct format format_raw = {.name = "raw",
                                  .title = "raw",
                                  .caps = DISK_CAN_WRITE | DISK_CAN_CREATE | DISK_CAN_RESIZE,
                                  .options = raw_options,
                                  .open = raw_open,
                                  .map = raw_map,
                                  .create = raw_create,
                                  .resize = raw_resize};
