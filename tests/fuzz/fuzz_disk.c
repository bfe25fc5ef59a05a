/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening an image with any head, and any sequence of requests on it, beside a model: through a
 * snapshot, where the image must stay as it was, or straight.  The first byte chooses; 64 bytes are
 * the image's head; then steps of six bytes: op, sector, sectors (16 bits each).  A head that makes
 * it an image of another format than raw has no model: then all that counts is to come through.
 */
#include "disk/img.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIZE = 96 << 10, HEAD = 64, STEP = 6, STEPS_MAX = 100 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static u8 model[SIZE], image[SIZE], buf[SIZE];
static bool raw;

#define MUST(cond) BUG_ON(!(cond) && raw)

static bool is_raw(const char *path)
{
    struct disk_options o = {.no_uring = true, .no_lock = true, .readonly = true};
    struct img *im;

    if (img_open(&im, path, &o, NULL))
        return false;
    bool r = !strcmp(im->fmt->name, "raw");
    img_close(im);
    return r;
}

static void step(struct blk *b, const u8 *p)
{
    u64 off = (u64)(p[2] | p[3] << 8) % 200 * DISK_SECTOR;
    u64 len = (u64)(p[4] | p[5] << 8) % 64 * DISK_SECTOR;
    bool fits = range_within(off, len, 0, SIZE);
    int want = fits ? 0 : -EINVAL, r;

    switch (p[0] % 5) {
    case BLK_READ:
        r = blk_sync(b, BLK_READ, off, buf, len);
        MUST(r == want);
        MUST(!fits || !memcmp(buf, model + off, len));
        break;
    case BLK_WRITE:
        memset(buf, p[1], len);
        r = blk_sync(b, BLK_WRITE, off, buf, len);
        MUST(r == want);
        if (fits)
            memset(model + off, p[1], len);
        break;
    case BLK_FLUSH:
        MUST(!blk_sync(b, BLK_FLUSH, 0, NULL, 0));
        break;
    case BLK_WRITE_ZEROES:
        r = blk_sync(b, BLK_WRITE_ZEROES, off, NULL, len);
        MUST(r == want);
        if (fits)
            memset(model + off, 0, len);
        break;
    default: /* discard: whatever it leaves there is written over */
        blk_sync(b, BLK_DISCARD, off, NULL, len);
        if (fits && len)
            MUST(!blk_sync(b, BLK_WRITE, off, model + off, len));
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct disk_options o = {.no_uring = true};
    struct blk *b;
    char path[64];
    int fd;

    if (size < 1 + HEAD)
        return 0;
    fd = memfd_create("image", 0);
    memset(model, 0x77, SIZE);
    memcpy(model, data + 1, HEAD);
    memcpy(image, model, SIZE);
    BUG_ON(write(fd, model, SIZE) != SIZE);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    o.snapshot = data[0] & 1;
    o.cache = data[0] & 2 ? DISK_WRITETHROUGH : DISK_WRITEBACK;
    o.format = data[0] & 4 ? "raw" : NULL;
    raw = o.format || is_raw(path);
    if (disk_open(&b, path, &o, NULL) == 0) {
        data += 1 + HEAD;
        size -= 1 + HEAD;
        for (unsigned i = 0; i < STEPS_MAX && size >= STEP; i++, data += STEP, size -= STEP)
            step(b, data);
        b->ops->close(b);
        BUG_ON(pread(fd, buf, SIZE, 0) != SIZE);
        if (o.snapshot || raw)
            BUG_ON(memcmp(buf, o.snapshot ? image : model, SIZE));
    }
    close(fd);
    return 0;
}
