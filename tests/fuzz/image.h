/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the targets of image formats share: opening an image in a simulated file system, asking
 * whether it is sound, and a request to it.
 */
#ifndef WIRT_TESTS_FUZZ_IMAGE_H
#define WIRT_TESTS_FUZZ_IMAGE_H

#include "../format/simfile.h"
#include "disk/img.h"

#include <stdlib.h>
#include <string.h>

enum { FUZZ_BUF = 5 << 20, FUZZ_STEPS = 24 };

static u8 fuzz_buf[FUZZ_BUF];

static struct img *image_open(struct sim *s, const char *format, const char *path, bool readonly,
                              bool for_check)
{
    struct disk_options o = {
        .io = &s->io, .format = format, .readonly = readonly, .for_check = for_check};
    struct img *im = NULL;

    return img_open(&im, path, &o, NULL) ? NULL : im;
}

/* True: opens, and is sound but for leaks. */
static bool image_sound(struct sim *s, const char *format, const char *path, bool repair)
{
    struct disk_check c = {.repair_all = repair, .repair_leaks = repair};
    struct img *im = image_open(s, format, path, !repair, true);
    bool ok;

    if (!im)
        return false;
    ok = im->fmt->check && disk_check(im, &c, NULL) == 0 && !c.errors;
    img_close(im);
    return ok;
}

/* A request inside the image; `what`: 0 and 1 read, 2 and 3 write, 4 zeroes, 5 flush, else discard.
 */
static void image_request(struct img *im, unsigned what, u64 off, u64 len, u8 byte)
{
    /* Not by blk_sync(): with a thread for each image a run would take twice the time. */
    struct blk_req q = {.op = what == 4 ? BLK_WRITE_ZEROES : BLK_DISCARD,
                        .offset = off,
                        .len = len,
                        .unmap = byte & 1};

    switch (what) {
    case 0:
    case 1:
        img_read(im, off, fuzz_buf, len);
        break;
    case 2:
    case 3:
        memset(fuzz_buf, byte, len);
        img_write(im, off, fuzz_buf, len);
        break;
    case 5:
        img_flush(im);
        break;
    default:
        img_execute(im, &q);
        break;
    }
}

#endif
