/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2, versions 2 and 3: opening and the header.  Source: QEMU's docs/interop/qcow2.txt.
 *
 * Order on the disk (stages of write_back(), disk/img.h): stage 0 writes refcounts and L2 tables
 * that no L1 entry on the disk refers to yet, together with the guest's data; stage 1 writes L1
 * entries and the L2 tables that were there before.  Refcounts go up before anything refers to a
 * cluster and down after nothing does, so a crash leaks clusters at worst.
 *
 * Not used when writing: lazy refcounts (there is no need, the refcounts are always right), AES and
 * LUKS encryption (refused).
 */
#include "disk/qcow2.h"
#include "base/trace.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int qcow2_corrupt(struct img *im, const char *fmt, ...)
{
    char line[128];
    va_list ap;

    if (!im->opt.trace)
        return -EIO;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    trace(im->opt.trace, block, "%s: damaged: %s", im->b.path, line);
    return -EIO;
}

static bool qcow2_probe(const struct probe *p)
{
    u32 version = be32_get(p->head + QH_VERSION);

    return be32_get(p->head) == QCOW2_MAGIC && version >= 2;
}

/* ------------------------------------------------------------------- header -- */

static int read_header(struct img *im, struct err *e)
{
    struct qcow2 *q = im->s;
    u8 h[QCOW2_V3_HEADER + 8];
    u32 bits;
    int r = file_read(im->file, 0, h, sizeof(h));

    if (r)
        return err_set(e, -r, "cannot read the header: %s", strerror(-r));
    if (be32_get(h) != QCOW2_MAGIC)
        return err_set(e, EINVAL, "is no qcow2 image");
    q->version = be32_get(h + QH_VERSION);
    if (q->version != 2 && q->version != 3)
        return err_set(e, EINVAL, "qcow2 version %u is not known", q->version);
    bits = be32_get(h + QH_CLUSTER_BITS);
    if (bits < QCOW2_BITS_MIN || bits > QCOW2_BITS_MAX)
        return err_set(e, EINVAL, "cluster_bits %u is not within 9..21", bits);
    q->cluster_bits = bits;
    q->cluster = BIT64(bits);
    q->header_len = q->version == 2 ? QCOW2_V2_HEADER : be32_get(h + QH_LENGTH);
    if (q->version == 3 && (q->header_len < QCOW2_V3_HEADER || q->header_len % 8))
        return err_set(e, EINVAL, "header_length %u", q->header_len);
    if (q->header_len > q->cluster)
        return err_set(e, EINVAL, "header_length %u is more than a cluster", q->header_len);
    q->header = malloc(q->cluster);
    if (!q->header)
        return err_set(e, ENOMEM, "out of memory");
    r = file_read(im->file, 0, q->header, q->cluster);
    return r ? err_set(e, -r, "cannot read the header: %s", strerror(-r)) : 0;
}

/* The name of a feature bit, as the image's own table has it. */
static void feature_name(const struct qcow2 *q, u32 at, u32 len, unsigned bit, char *out,
                         size_t room)
{
    snprintf(out, room, "bit %u", bit);
    for (u32 i = 0; i + 48 <= len; i += 48) {
        const u8 *t = q->header + at + i;

        if (t[0] == 0 && t[1] == bit)
            snprintf(out, room, "\"%.46s\" (bit %u)", (const char *)t + 2, bit);
    }
}

static int refuse_features(const struct qcow2 *q, u32 table, u32 table_len, struct err *e)
{
    u64 unknown = q->incompatible & ~QI_KNOWN;
    char name[80];

    if (!unknown)
        return 0;
    feature_name(q, table, table_len, (unsigned)__builtin_ctzll(unknown), name, sizeof(name));
    for (char *c = name; *c; c++)
        if ((u8)*c < ' ' || (u8)*c > '~')
            *c = '?';
    return err_set(e, EINVAL, "uses the incompatible feature %s, which Wirt does not know", name);
}

static int read_string(char *out, size_t room, const u8 *p, u32 len, const char *what,
                       struct err *e)
{
    if (len >= room || memchr(p, 0, len))
        return err_set(e, EINVAL, "%s: not a name", what);
    memcpy(out, p, len);
    out[len] = 0;
    return 0;
}

static int read_bitmaps_extension(struct qcow2 *q, const u8 *p, u32 len, struct err *e)
{
    if (len != 24)
        return err_set(e, EINVAL, "bitmaps extension of %u bytes", len);
    q->bitmaps_count = be32_get(p);
    q->bitmaps_size = be64_get(p + 8);
    q->bitmaps = be64_get(p + 16);
    if (!q->bitmaps || q->bitmaps % q->cluster || q->bitmaps_size > 64 * MIB)
        return err_set(e, EINVAL, "bitmaps extension: bitmap_directory_offset or _size");
    return 0;
}

static int read_extensions(struct img *im, struct err *e)
{
    struct qcow2 *q = im->s;
    u64 at = q->header_len, end = q->cluster;
    u64 backing = be64_get(q->header + QH_BACKING);
    u32 table = 0, table_len = 0;
    int r = 0;

    /* Version 2 images may have extensions too; the backing file's name ends them. */
    if (backing && backing < end)
        end = backing;
    while (!r && at + 8 <= end) {
        u32 type = be32_get(q->header + at), len = be32_get(q->header + at + 4);
        const u8 *p = q->header + at + 8;

        if (!type)
            break;
        at += 8;
        if (len > end - at)
            return err_set(e, EINVAL, "header extension 0x%x is too long", type);
        if (type == QE_BACKING_FMT)
            r = read_string(q->backing_format, sizeof(q->backing_format), p, len,
                            "backing file format", e);
        else if (type == QE_DATA_FILE)
            r = read_string(q->data_name, sizeof(q->data_name), p, len, "data file", e);
        else if (type == QE_BITMAPS)
            r = read_bitmaps_extension(q, p, len, e);
        if (type == QE_FEATURES) {
            table = (u32)at;
            table_len = len;
        }
        at += align_up(len, 8);
    }
    return r ? r : refuse_features(q, table, table_len, e);
}

static int check_crypt(const struct qcow2 *q, struct err *e)
{
    u32 method = be32_get(q->header + QH_CRYPT);

    if (!method)
        return 0;
    return err_set(e, EINVAL, "is encrypted (%s), which Wirt does not read",
                   method == 1   ? "AES"
                   : method == 2 ? "LUKS"
                                 : "crypt_method is not known");
}

static int read_features(struct img *im, struct err *e)
{
    struct qcow2 *q = im->s;
    const u8 *h = q->header;
    int r;

    q->refcount_order = 4;
    if (q->version == 3) {
        q->incompatible = be64_get(h + QH_INCOMPATIBLE);
        q->compatible = be64_get(h + QH_COMPATIBLE);
        q->autoclear = be64_get(h + QH_AUTOCLEAR);
        q->refcount_order = be32_get(h + QH_REFCOUNT_ORDER);
    }
    r = read_extensions(im, e);
    if (r)
        return r;
    if (q->refcount_order > 6)
        return err_set(e, EINVAL, "refcount_order %u is more than 6", q->refcount_order);
    if (q->incompatible & QI_COMPRESSION) {
        if (q->header_len <= QH_COMPRESSION || h[QH_COMPRESSION] != 1)
            return err_set(e, EINVAL, "compression_type %u is not known",
                           q->header_len <= QH_COMPRESSION ? 0 : h[QH_COMPRESSION]);
        q->zstd = true;
    }
    q->sub = q->incompatible & QI_EXTENDED_L2;
    if (q->sub && q->cluster_bits < 14)
        return err_set(e, EINVAL, "cluster_bits %u is too small for subclusters", q->cluster_bits);
    q->l2_entry = q->sub ? 16 : 8;
    q->l2_count = q->cluster / q->l2_entry;
    if ((q->autoclear & QA_BITMAPS) && !q->bitmaps)
        return err_set(e, EINVAL, "autoclear bit 0 without a bitmaps extension");
    if (q->incompatible & QI_CORRUPT && !im->b.readonly && !im->opt.for_check)
        return err_set(e, EIO, "is marked corrupt: check and repair it first (or \"readonly\")");
    return check_crypt(q, e);
}

int qcow2_write_header(struct img *im)
{
    struct qcow2 *q = im->s;
    u8 *h = q->header;
    int r;

    be64_put(h + QH_SIZE, q->size);
    be32_put(h + QH_L1_SIZE, q->l1_size);
    be64_put(h + QH_L1, q->l1_offset);
    be64_put(h + QH_RT, q->rt_offset);
    be32_put(h + QH_RT_CLUSTERS, (u32)(q->rt_size * 8 >> q->cluster_bits));
    be32_put(h + QH_SNAPSHOT_COUNT, q->snapshots);
    be64_put(h + QH_SNAPSHOTS, q->snapshots_offset);
    if (q->version == 3) {
        be64_put(h + QH_INCOMPATIBLE, q->incompatible);
        be64_put(h + QH_COMPATIBLE, q->compatible);
        be64_put(h + QH_AUTOCLEAR, q->autoclear);
    }
    r = file_write(im->file, 0, h, 512);
    return r ? r : file_flush(im->file);
}

/* ------------------------------------------------------------------- tables -- */

static bool bad_table(const struct img *im, u64 offset, u64 bytes)
{
    const struct qcow2 *q = im->s;

    return offset % q->cluster || offset > (u64)INT64_MAX - bytes || (bytes && !offset);
}

int qcow2_read_l1(struct img *im, u64 **l1, u64 offset, u32 entries)
{
    u64 bytes = (u64)entries * 8;
    int r;

    *l1 = NULL;
    if (bytes > QCOW2_L1_MAX || bad_table(im, offset, bytes))
        return -EINVAL;
    *l1 = malloc(max(bytes, 8ull));
    if (!*l1)
        return -ENOMEM;
    r = file_read(im->file, offset, *l1, bytes);
    for (u32 i = 0; i < entries; i++)
        (*l1)[i] = be64_get(&(*l1)[i]);
    return r;
}

static int read_tables(struct img *im, struct err *e)
{
    struct qcow2 *q = im->s;
    const u8 *h = q->header;
    u64 rt_bytes = (u64)be32_get(h + QH_RT_CLUSTERS) << q->cluster_bits;
    u64 covers = q->l2_count << q->cluster_bits;
    int r;

    q->size = be64_get(h + QH_SIZE);
    q->l1_size = be32_get(h + QH_L1_SIZE);
    q->l1_offset = be64_get(h + QH_L1);
    q->rt_offset = be64_get(h + QH_RT);
    if (q->size > (u64)INT64_MAX - covers)
        return err_set(e, EINVAL, "size %llu is too big", (unsigned long long)q->size);
    if ((q->size + covers - 1) / covers > q->l1_size)
        return err_set(e, EINVAL, "l1_size %u is too small for size %llu", q->l1_size,
                       (unsigned long long)q->size);
    if (!rt_bytes || rt_bytes > QCOW2_RT_MAX || bad_table(im, q->rt_offset, rt_bytes))
        return err_set(e, EINVAL, "refcount_table_offset or refcount_table_clusters");
    r = qcow2_read_l1(im, &q->l1, q->l1_offset, q->l1_size);
    if (r == -EINVAL)
        return err_set(e, EINVAL, "l1_size %u or l1_table_offset", q->l1_size);
    q->l1_dirty = calloc(max(q->l1_size, 1u), 1);
    q->rt = malloc(rt_bytes);
    if (!r && (!q->l1_dirty || !q->rt))
        r = -ENOMEM;
    if (!r)
        r = file_read(im->file, q->rt_offset, q->rt, rt_bytes);
    if (r)
        return err_set(e, -r, "cannot read its tables: %s", strerror(-r));
    q->rt_size = rt_bytes / 8;
    for (u64 i = 0; i < q->rt_size; i++)
        q->rt[i] = be64_get(&q->rt[i]);
    return 0;
}

static int make_caches(struct img *im, struct err *e)
{
    struct qcow2 *q = im->s;
    u32 slice = (u32)min(q->cluster, (u64)QCOW2_SLICE);
    u64 slices = (q->size >> q->cluster_bits) * q->l2_entry / slice + 64;

    /* 32 MiB hold the L2 tables of 256 GiB in clusters of 64 KiB. */
    q->l2c = tcache_new(im->file, slice, (unsigned)min(slices, 32 * MIB / slice));
    q->rbc = tcache_new(im->file, slice, (unsigned)(8 * MIB / slice));
    return q->l2c && q->rbc ? 0 : err_set(e, ENOMEM, "out of memory");
}

static int open_backing(struct img *im, struct err *e)
{
    struct qcow2 *q = im->s;
    u64 at = be64_get(q->header + QH_BACKING);
    u32 len = be32_get(q->header + QH_BACKING_LEN);
    int r;

    if (!at || !len)
        return 0;
    if (len > 1023 || !range_within(at, len, 0, q->cluster))
        return err_set(e, EINVAL, "backing_file_offset or backing_file_size");
    q->has_backing = true;
    r = read_string(q->backing_name, sizeof(q->backing_name), q->header + at, len, "backing file",
                    e);
    if (!r)
        r = img_open_parent(im, q->backing_name, q->backing_format[0] ? q->backing_format : NULL,
                            e);
    return r;
}

static int open_data_file(struct img *im, struct err *e)
{
    struct qcow2 *q = im->s;

    q->data = im->file;
    q->external = q->incompatible & QI_DATA_FILE;
    if (!q->external)
        return 0;
    if (!q->data_name[0])
        return err_set(e, EINVAL, "has an external data file, but not its name");
    return img_open_file(im, &q->data, q->data_name,
                         FILE_EMPTY_OK | (im->b.readonly ? 0 : FILE_WRITE), e);
}

/* Whoever had it open kept refcounts in memory, and died.  Readers need none. */
static int repair_at_open(struct img *im, struct err *e)
{
    struct qcow2 *q = im->s;
    struct disk_check c = {.repair_all = true};
    int r;

    if (!(q->incompatible & QI_DIRTY) || im->b.readonly || im->opt.for_check)
        return 0;
    r = qcow2_check(im, &c, e);
    if (!r && c.errors)
        r = err_set(e, EIO, "was not closed, and %llu errors in it cannot be repaired",
                    (unsigned long long)c.errors);
    return r;
}

static int qcow2_open(struct img *im, struct err *e)
{
    struct qcow2 *q = im->s = calloc(1, sizeof(*q));
    int r;

    if (!q)
        return err_set(e, ENOMEM, "out of memory");
    r = read_header(im, e);
    if (!r)
        r = read_features(im, e);
    if (!r)
        r = read_tables(im, e);
    if (!r)
        r = make_caches(im, e);
    if (!r)
        r = qcow2_snapshots_load(im, e);
    if (!r)
        r = open_data_file(im, e);
    if (!r)
        r = open_backing(im, e);
    if (r)
        return r;
    im->b.size = align_up(q->size, DISK_SECTOR);
    im->unit = (u32)q->cluster;
    im->granule = (u32)(q->sub ? q->cluster / QCOW2_SUBCLUSTERS : q->cluster);
    return repair_at_open(im, e);
}

static void qcow2_close(struct img *im)
{
    struct qcow2 *q = im->s;

    if (!q)
        return;
    tcache_free(q->l2c);
    tcache_free(q->rbc);
    for (u32 i = 0; q->snap && i < q->snapshots; i++)
        free(q->snap[i].raw);
    free(q->snap);
    free(q->header);
    free(q->l1);
    free(q->l1_dirty);
    free(q->rt);
    free(q);
}

/* ----------------------------------------------------------------- write-back -- */

/* Whole sectors that have a dirty entry: a torn sector would lose entries that were not dirty. */
static int write_l1(struct img *im)
{
    struct qcow2 *q = im->s;
    enum { PER_SECTOR = 64 };
    u8 sector[PER_SECTOR * 8];

    for (u32 i = 0; i < q->l1_size; i += PER_SECTOR) {
        u32 n = min(q->l1_size - i, (u32)PER_SECTOR);
        int r;

        if (!memchr(q->l1_dirty + i, 1, n))
            continue;
        for (u32 k = 0; k < n; k++)
            be64_put(sector + 8 * k, q->l1[i + k]);
        r = file_write(im->file, q->l1_offset + (u64)i * 8, sector, n * 8);
        if (r)
            return r;
        for (u32 k = 0; k < n; k++)
            if (q->l1_dirty[i + k])
                q->l1_dirty[i + k] = 2;
    }
    return 0;
}

static int qcow2_write_back(struct img *im, unsigned stage)
{
    struct qcow2 *q = im->s;
    int r;

    if (stage == 0) {
        r = tcache_write(q->rbc, 0);
        if (!r)
            r = tcache_write(q->l2c, 0);
        return r ? r : q->l1_any || tcache_any(q->l2c, 1);
    }
    r = tcache_write(q->l2c, 1);
    if (!r && q->l1_any)
        r = write_l1(im);
    return r;
}

static void qcow2_write_back_done(struct img *im, bool ok)
{
    struct qcow2 *q = im->s;

    tcache_done(q->rbc, ok);
    tcache_done(q->l2c, ok);
    if (q->l1_any) {
        for (u32 i = 0; i < q->l1_size; i++)
            if (q->l1_dirty[i])
                q->l1_dirty[i] = !ok;
        q->l1_any = !ok;
    }
    im->dirty = !ok;
    im->full = tcache_full(q->l2c) || tcache_full(q->rbc);
}

int qcow2_sync(struct img *im)
{
    int more = im->dirty, r = 0;

    for (unsigned stage = 0; more && !r; stage++) {
        r = qcow2_write_back(im, stage);
        more = r == 1;
        if (r >= 0)
            r = file_flush(im->file);
    }
    if (im->dirty)
        qcow2_write_back_done(im, !r);
    return r;
}

static int qcow2_begin_write(struct img *im)
{
    struct qcow2 *q = im->s;

    u64 was = q->autoclear;
    int r = qcow2_bitmaps_begin_write(im);

    /* What we do not know must not look as if it were up to date (autoclear_features). */
    if (!r)
        q->autoclear &= QA_RAW_DATA | QA_BITMAPS;
    if (!r && q->autoclear != was)
        r = qcow2_write_header(im);
    return r;
}

static void qcow2_info(struct img *im, struct disk_info *i)
{
    struct qcow2 *q = im->s;

    i->text(i, "compat", q->version == 2 ? "0.10" : "1.1");
    i->text(i, "compression-type", q->zstd ? "zstd" : "zlib");
    i->flag(i, "lazy-refcounts", q->compatible & QC_LAZY);
    i->number(i, "refcount-bits", 1u << q->refcount_order);
    i->flag(i, "corrupt", q->incompatible & QI_CORRUPT);
    i->flag(i, "dirty-flag", q->incompatible & QI_DIRTY);
    i->flag(i, "extended-l2", q->sub);
    i->number(i, "cluster-size", q->cluster);
    if (q->backing_name[0])
        i->text(i, "backing-filename", q->backing_name);
    if (q->backing_format[0])
        i->text(i, "backing-filename-format", q->backing_format);
    if (q->external) {
        i->text(i, "data-file", q->data_name);
        i->flag(i, "data-file-raw", q->autoclear & QA_RAW_DATA);
    }
}

const struct format format_qcow2 = {
    .name = "qcow2",
    .title = "qcow2",
    .caps = DISK_CAN_WRITE | DISK_CAN_CREATE | DISK_CAN_BACKING | DISK_BACKING_URL |
            DISK_CAN_COMPRESS | DISK_CAN_RESIZE | DISK_CAN_CHECK | DISK_CAN_REPAIR |
            DISK_CAN_SNAPSHOT,
    .options = qcow2_options,
    .probe = qcow2_probe,
    .open = qcow2_open,
    .close = qcow2_close,
    .map = qcow2_map,
    .allocate = qcow2_allocate,
    .link = qcow2_link,
    .cancel = qcow2_cancel,
    .unmap = qcow2_unmap,
    .free = qcow2_free,
    .write_back = qcow2_write_back,
    .write_back_done = qcow2_write_back_done,
    .begin_write = qcow2_begin_write,
    .inflate = qcow2_inflate,
    .deflate = qcow2_deflate,
    .write_deflated = qcow2_write_deflated,
    .create = qcow2_create,
    .resize = qcow2_resize,
    .check = qcow2_check,
    .info = qcow2_info,
    .snapshots = qcow2_snapshots,
    .snapshot_create = qcow2_snapshot_create,
    .snapshot_apply = qcow2_snapshot_apply,
    .snapshot_delete = qcow2_snapshot_delete,
    .snapshot_open = qcow2_snapshot_open,
};
