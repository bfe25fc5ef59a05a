/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow, version 1 (QEMU before 2007; some clouds' first images).  Source: QEMU's block/qcow.c
 * header structure and the article "The QCOW Image Format" (Mark McLoughlin); numbers are
 * big-endian.
 *
 * Not here: AES encryption (refused), packing clusters (unpacking is here), resize, which no
 * program has for it.
 */
#include "disk/twolevel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

enum {
    QCOW_HEADER = 48,
    QCOW_MAGIC = 0x514649fb,
    Q1_VERSION = 4,
    Q1_BACKING = 8,
    Q1_BACKING_LEN = 16,
    Q1_MTIME = 20,
    Q1_SIZE = 24,
    Q1_CLUSTER_BITS = 32,
    Q1_L2_BITS = 33,
    Q1_CRYPT = 36,
    Q1_L1 = 40,
};

struct qcow {
    struct twolevel t; /* first */
    char backing[1024];
};

static bool qcow_probe(const struct probe *p)
{
    return be32_get(p->head) == QCOW_MAGIC && be32_get(p->head + Q1_VERSION) == 1;
}

static int read_backing(struct img *im, const u8 *h, struct err *e)
{
    struct qcow *q = im->s;
    u64 at = be64_get(h + Q1_BACKING);
    u32 len = be32_get(h + Q1_BACKING_LEN);
    int r;

    if (!at)
        return 0;
    if (!len || len >= sizeof(q->backing) || !range_within(at, len, 0, im->file->size))
        return err_set(e, EINVAL, "backing_file_offset or backing_file_size %u", len);
    r = file_read(im->file, at, q->backing, len);
    if (r)
        return err_set(e, -r, "cannot read the backing file's name: %s", strerror(-r));
    return img_open_parent(im, q->backing, NULL, e);
}

static int qcow_open(struct img *im, struct err *e)
{
    struct qcow *q = im->s = calloc(1, sizeof(*q));
    u8 h[QCOW_HEADER];
    int r = file_read(im->file, 0, h, sizeof(h));

    if (!q)
        return err_set(e, ENOMEM, "out of memory");
    if (r)
        return err_set(e, -r, "cannot read the header: %s", strerror(-r));
    if (be32_get(h) != QCOW_MAGIC || be32_get(h + Q1_VERSION) != 1)
        return err_set(e, EINVAL, "is no qcow image of version 1");
    if (h[Q1_CLUSTER_BITS] < 9 || h[Q1_CLUSTER_BITS] > 16)
        return err_set(e, EINVAL, "cluster_bits %u is not within 9..16", h[Q1_CLUSTER_BITS]);
    if (h[Q1_L2_BITS] < 6 || h[Q1_L2_BITS] > 13)
        return err_set(e, EINVAL, "l2_bits %u is not within 6..13", h[Q1_L2_BITS]);
    if (be32_get(h + Q1_CRYPT))
        return err_set(e, EINVAL, "is encrypted, which Wirt does not read");
    q->t.big_endian = q->t.packs = true;
    q->t.cluster_bits = h[Q1_CLUSTER_BITS];
    q->t.l2_count = BIT64(h[Q1_L2_BITS]);
    q->t.size = be64_get(h + Q1_SIZE);
    q->t.l1_offset = be64_get(h + Q1_L1);
    r = twolevel_open(im, e);
    return r ? r : read_backing(im, h, e);
}

static void qcow_close(struct img *im)
{
    if (!im->s)
        return;
    twolevel_close(im);
    free(im->s);
}

/* Raw deflate, a window of 4 KiB. */
static int qcow_inflate(struct img *im, u64 off, const struct extent *x, u8 *out)
{
    struct qcow *q = im->s;
    z_stream z = {.next_out = out, .avail_out = (u32)q->t.cluster};
    u8 *in = malloc(x->stored + 1);
    int r = in ? file_read(im->file, x->offset, in, x->stored) : -ENOMEM;

    if (!r) {
        z.next_in = in;
        z.avail_in = (u32)x->stored;
        r = inflateInit2(&z, -12) == Z_OK ? 0 : -ENOMEM;
    }
    if (!r) {
        int k = inflate(&z, Z_FINISH);

        if (z.avail_out || (k != Z_STREAM_END && k != Z_BUF_ERROR))
            r = -EIO;
        inflateEnd(&z);
    }
    free(in);
    return r;
}

/* ------------------------------------------------------------------- create -- */

static const struct create_option qcow_options[] = {{0}};

static int write_image(const struct disk_create *c, struct file *f, struct err *e)
{
    /* As QEMU has it: over a backing file, clusters of a sector. */
    u32 cluster_bits = c->backing ? 9 : 12, l2_bits = c->backing ? 12 : 9;
    size_t backing = c->backing ? strlen(c->backing) : 0;
    u64 covers = 1ull << (cluster_bits + l2_bits), l1 = (c->size + covers - 1) / covers * 8;
    u64 l1_offset = align_up(QCOW_HEADER + backing, 512);
    u8 *h;
    int r;

    if (backing > 1023)
        return err_set(e, ENAMETOOLONG, "backing file: too long a name");
    if (l1 > TWOLEVEL_L1_MAX)
        return err_set(e, EFBIG, "too big for qcow");
    h = calloc(1, l1_offset + l1);
    if (!h)
        return err_set(e, ENOMEM, "out of memory");
    be32_put(h, QCOW_MAGIC);
    be32_put(h + Q1_VERSION, 1);
    if (backing) {
        be64_put(h + Q1_BACKING, QCOW_HEADER);
        be32_put(h + Q1_BACKING_LEN, (u32)backing);
        memcpy(h + QCOW_HEADER, c->backing, backing);
    }
    be32_put(h + Q1_MTIME, (u32)time(NULL));
    be64_put(h + Q1_SIZE, align_up(c->size, DISK_SECTOR));
    h[Q1_CLUSTER_BITS] = (u8)cluster_bits;
    h[Q1_L2_BITS] = (u8)l2_bits;
    be64_put(h + Q1_L1, l1_offset);
    r = file_write(f, 0, h, l1_offset + l1);
    if (!r)
        r = file_flush(f);
    free(h);
    return r ? err_set(e, -r, "cannot write it: %s", strerror(-r)) : 0;
}

static int qcow_create(const struct disk_create *c, struct err *e)
{
    struct file *f;
    int r = file_open(&f, c->path, FILE_CREATE, &c->io, e);

    if (r)
        return r;
    r = write_image(c, f, e);
    file_close(f);
    return r;
}

static void qcow_info(struct img *im, struct disk_info *i)
{
    const struct qcow *q = im->s;

    i->number(i, "cluster-size", q->t.cluster);
    if (q->backing[0])
        i->text(i, "backing-filename", q->backing);
}

const struct format format_qcow = {
    .name = "qcow",
    .title = "qcow (version 1)",
    .caps = DISK_CAN_WRITE | DISK_CAN_CREATE | DISK_CAN_BACKING | DISK_BACKING_URL,
    .options = qcow_options,
    .probe = qcow_probe,
    .open = qcow_open,
    .close = qcow_close,
    .map = twolevel_map,
    .allocate = twolevel_allocate,
    .link = twolevel_link,
    .cancel = twolevel_cancel,
    .unmap = twolevel_unmap,
    .write_back = twolevel_write_back,
    .write_back_done = twolevel_write_back_done,
    .inflate = qcow_inflate,
    .create = qcow_create,
    .info = qcow_info,
};
