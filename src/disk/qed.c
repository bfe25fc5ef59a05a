/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QED (QEMU 0.14, 2010).  Source: QEMU's docs/interop/qed_spec.rst; numbers are little-endian.
 *
 * Written in an order that never needs the "need check" bit; an image where another program left it
 * set is only read.
 */
#include "disk/twolevel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    QED_HEADER = 64,
    QED_CLUSTER = 4,
    QED_TABLE = 8, /* clusters of a table */
    QED_HEADER_CLUSTERS = 12,
    QED_FEATURES = 16,
    QED_COMPAT = 24,
    QED_AUTOCLEAR = 32,
    QED_L1 = 40,
    QED_SIZE = 48,
    QED_BACKING = 56,
    QED_BACKING_LEN = 60,
    QED_F_BACKING = 1,
    QED_F_NEED_CHECK = 2,
    QED_F_RAW_BACKING = 4, /* the backing file is raw: no probing */
    QED_F_KNOWN = 7,
};

struct qed {
    struct twolevel t; /* first */
    u8 header[512];
    char backing[1024];
};

static bool qed_probe(const struct probe *p)
{
    return !memcmp(p->head, "QED", 4);
}

static int read_backing(struct img *im, struct err *e)
{
    struct qed *q = im->s;
    u32 at = le32_get(q->header + QED_BACKING), len = le32_get(q->header + QED_BACKING_LEN);
    u64 features = le64_get(q->header + QED_FEATURES);
    int r;

    if (!(features & QED_F_BACKING))
        return 0;
    if (!len || len >= sizeof(q->backing) ||
        !range_within(at, len, 0, le32_get(q->header + QED_HEADER_CLUSTERS) * (u64)q->t.cluster))
        return err_set(e, EINVAL, "backing_filename_offset %u or backing_filename_size %u", at,
                       len);
    r = file_read(im->file, at, q->backing, len);
    if (r)
        return err_set(e, -r, "cannot read the backing file's name: %s", strerror(-r));
    return img_open_parent(im, q->backing, features & QED_F_RAW_BACKING ? "raw" : NULL, e);
}

static int qed_open(struct img *im, struct err *e)
{
    struct qed *q = im->s = calloc(1, sizeof(*q));
    u32 cluster, table;
    u64 features;
    int r;

    if (!q)
        return err_set(e, ENOMEM, "out of memory");
    r = file_read(im->file, 0, q->header, sizeof(q->header));
    if (r)
        return err_set(e, -r, "cannot read the header: %s", strerror(-r));
    if (memcmp(q->header, "QED", 4))
        return err_set(e, EINVAL, "is no QED image");
    cluster = le32_get(q->header + QED_CLUSTER);
    table = le32_get(q->header + QED_TABLE);
    features = le64_get(q->header + QED_FEATURES);
    if (!is_pow2(cluster) || cluster < 4096 || cluster > 64 * MIB)
        return err_set(e, EINVAL, "cluster_size %u", cluster);
    if (!is_pow2(table) || table > 16)
        return err_set(e, EINVAL, "table_size %u", table);
    if (features & ~(u64)QED_F_KNOWN)
        return err_set(e, EINVAL, "uses the feature 0x%llx, which Wirt does not know",
                       (unsigned long long)(features & ~(u64)QED_F_KNOWN));
    if (features & QED_F_NEED_CHECK && !im->b.readonly)
        return err_set(e, EIO,
                       "was not closed and needs a check: qemu-img check -r all, or "
                       "\"readonly\"");
    q->t.zeroes = true;
    q->t.cluster_bits = (u32)__builtin_ctz(cluster);
    q->t.l2_count = (u64)cluster * table / 8;
    q->t.size = le64_get(q->header + QED_SIZE);
    q->t.l1_offset = le64_get(q->header + QED_L1);
    if (q->t.size % 512)
        return err_set(e, EINVAL, "image_size %llu", (unsigned long long)q->t.size);
    r = twolevel_open(im, e);
    return r ? r : read_backing(im, e);
}

static void qed_close(struct img *im)
{
    if (!im->s)
        return;
    twolevel_close(im);
    free(im->s);
}

/* What we do not keep up to date must not look as if it were. */
static int qed_begin_write(struct img *im)
{
    struct qed *q = im->s;
    int r;

    if (!le64_get(q->header + QED_AUTOCLEAR))
        return 0;
    le64_put(q->header + QED_AUTOCLEAR, 0);
    r = file_write(im->file, 0, q->header, sizeof(q->header));
    return r ? r : file_flush(im->file);
}

/* ------------------------------------------------------------------- create -- */

static const struct create_option qed_options[] = {
    {"cluster_size", "4K to 64M (default 64K)"},
    {"table_size", "clusters of a table, 1 to 16 (default 4)"},
    {0},
};

static int write_image(const struct disk_create *c, u64 cluster, u64 table, struct file *f,
                       struct err *e)
{
    size_t backing = c->backing ? strlen(c->backing) : 0;
    u8 h[QED_HEADER + 1024] = {0};
    int r;

    if (backing > 1023)
        return err_set(e, ENAMETOOLONG, "backing file: too long a name");
    memcpy(h, "QED", 4);
    le32_put(h + QED_CLUSTER, (u32)cluster);
    le32_put(h + QED_TABLE, (u32)table);
    le32_put(h + QED_HEADER_CLUSTERS, 1);
    le64_put(h + QED_L1, cluster);
    le64_put(h + QED_SIZE, align_up(c->size, DISK_SECTOR));
    if (backing) {
        bool raw = c->backing_format && !strcmp(c->backing_format, "raw");

        le64_put(h + QED_FEATURES, QED_F_BACKING | (raw ? QED_F_RAW_BACKING : 0));
        le32_put(h + QED_BACKING, QED_HEADER);
        le32_put(h + QED_BACKING_LEN, (u32)backing);
        memcpy(h + QED_HEADER, c->backing, backing);
    }
    r = file_truncate(f, cluster + cluster * table);
    if (!r && f->is_device)
        r = file_zero(f, cluster, cluster * table);
    if (!r)
        r = file_write(f, 0, h, sizeof(h));
    if (!r)
        r = file_flush(f);
    return r ? err_set(e, -r, "cannot write it: %s", strerror(-r)) : 0;
}

static int qed_create(const struct disk_create *c, struct err *e)
{
    u64 cluster = 64 * KIB, table = 4;
    struct file *f;
    int r = create_size(c, "cluster_size", &cluster, e);

    if (!r)
        r = create_size(c, "table_size", &table, e);
    if (r)
        return r;
    if (!is_pow2(cluster) || cluster < 4096 || cluster > 64 * MIB)
        return err_set(e, EINVAL, "cluster_size must be a power of two from 4K to 64M");
    if (!is_pow2(table) || table > 16)
        return err_set(e, EINVAL, "table_size must be a power of two from 1 to 16");
    /* One L1 table of table_size clusters; 4096 * 1 / 8 entries and more. */
    if ((c->size >> 6) / cluster > (cluster * table / 8) * (cluster * table / 8) >> 6)
        return err_set(e, EFBIG, "too big for clusters of %llu bytes", (unsigned long long)cluster);
    r = file_open(&f, c->path, FILE_CREATE, &c->io, e);
    if (r)
        return r;
    r = write_image(c, cluster, table, f, e);
    file_close(f);
    return r;
}

static void qed_info(struct img *im, struct disk_info *i)
{
    const struct qed *q = im->s;

    i->number(i, "cluster-size", q->t.cluster);
    i->flag(i, "dirty-flag", le64_get(q->header + QED_FEATURES) & QED_F_NEED_CHECK);
    if (q->backing[0])
        i->text(i, "backing-filename", q->backing);
}

const struct format format_qed = {
    .name = "qed",
    .title = "QED",
    .caps = DISK_CAN_WRITE | DISK_CAN_CREATE | DISK_CAN_BACKING | DISK_BACKING_URL,
    .options = qed_options,
    .probe = qed_probe,
    .open = qed_open,
    .close = qed_close,
    .map = twolevel_map,
    .allocate = twolevel_allocate,
    .link = twolevel_link,
    .cancel = twolevel_cancel,
    .unmap = twolevel_unmap,
    .write_back = twolevel_write_back,
    .write_back_done = twolevel_write_back_done,
    .begin_write = qed_begin_write,
    .create = qed_create,
    .info = qed_info,
};
