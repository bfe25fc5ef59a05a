/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2: new images.  Layout: the header, the refcount table, its first blocks, the L1 table.
 */
#include "disk/qcow2.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct create_option qcow2_options[] = {
    {"compat", "0.10 (version 2) or 1.1 (version 3, default)"},
    {"cluster_size", "512 to 2M (default 64K)"},
    {"refcount_bits", "1 to 64 (default 16)"},
    {"compression_type", "zlib (default) or zstd"},
    {"extended_l2", "subclusters (default off)"},
    {"lazy_refcounts", "on or off (default)"},
    {"data_file", "a raw file that holds the guest's data"},
    {"data_file_raw", "keep that file readable as a raw image (default off)"},
    {"preallocation", "off (default), metadata, falloc or full"},
    {0},
};

struct plan {
    const struct disk_create *c;
    u32 version, cluster_bits, refcount_order;
    u64 cluster, rt_clusters, blocks, l1_clusters, l1_entries, size;
    bool zstd, sub, lazy, data_raw;
    char data_file[1024];
    enum { PRE_OFF, PRE_METADATA, PRE_FALLOC, PRE_FULL } preallocation;
};

static int read_options(struct plan *p, struct err *e)
{
    static const char *const versions[] = {"0.10", "1.1", "v2", "v3", NULL};
    static const char *const compressions[] = {"zlib", "zstd", NULL};
    static const char *const preallocations[] = {"off", "metadata", "falloc", "full", NULL};
    const struct disk_create *c = p->c;
    u64 cluster = 64 * KIB, bits = 16;
    unsigned version = 1, zstd = 0, preallocation = PRE_OFF;
    int r = create_size(c, "cluster_size", &cluster, e);

    if (!r)
        r = create_size(c, "refcount_bits", &bits, e);
    if (!r)
        r = create_bool(c, "extended_l2", &p->sub, e);
    if (!r)
        r = create_bool(c, "lazy_refcounts", &p->lazy, e);
    if (!r)
        r = create_bool(c, "data_file_raw", &p->data_raw, e);
    if (!r)
        r = create_choice(c, "compat", versions, &version, e);
    if (!r)
        r = create_choice(c, "compression_type", compressions, &zstd, e);
    if (!r)
        r = create_choice(c, "preallocation", preallocations, &preallocation, e);
    if (!r)
        r = create_text(c, "data_file", p->data_file, sizeof(p->data_file), e);
    if (r)
        return r;
    p->version = version & 1 ? 3 : 2;
    p->zstd = zstd;
    p->preallocation = preallocation;
    if (!is_pow2(cluster) || cluster < 512 || cluster > 2 * MIB)
        return err_set(e, EINVAL, "cluster_size must be a power of two from 512 to 2M");
    if (!is_pow2(bits) || bits > 64)
        return err_set(e, EINVAL, "refcount_bits must be a power of two from 1 to 64");
    p->cluster = cluster;
    p->cluster_bits = (u32)__builtin_ctzll(cluster);
    p->refcount_order = (u32)__builtin_ctzll(bits);
    if (p->sub && cluster < 16 * KIB)
        return err_set(e, EINVAL, "extended_l2 needs clusters of at least 16K");
    if (p->version == 2 && (p->zstd || p->sub || p->lazy || p->data_file[0] || bits != 16))
        return err_set(e, EINVAL,
                       "compat=0.10 has only zlib and 16 refcount_bits, and neither "
                       "extended_l2, lazy_refcounts nor data_file");
    if (p->data_raw && (!p->data_file[0] || c->backing))
        return err_set(e, EINVAL, "data_file_raw needs data_file, and no backing file");
    /* The image may be made in another folder than the one where it shall be. */
    if (p->data_file[0] != '/' && strchr(p->data_file, '/'))
        return err_set(e, EINVAL, "data_file=%s: a name beside the image or an absolute path",
                       p->data_file);
    if (p->preallocation != PRE_OFF && c->backing)
        return err_set(e, EINVAL, "preallocation would hide the backing file");
    return 0;
}

static int lay_out(struct plan *p, struct err *e)
{
    u64 l2_count = p->cluster / (p->sub ? 16 : 8), covers = l2_count << p->cluster_bits;
    u64 per = p->cluster * 8 >> p->refcount_order, all;

    p->size = align_up(p->c->size, DISK_SECTOR);
    p->l1_entries = (p->size + covers - 1) / covers;
    if (p->l1_entries * 8 > QCOW2_L1_MAX)
        return err_set(e, EFBIG, "clusters of %llu bytes are too small for this size",
                       (unsigned long long)p->cluster);
    p->l1_clusters = (p->l1_entries * 8 + p->cluster - 1) >> p->cluster_bits;
    p->rt_clusters = p->blocks = 1;
    do {
        all = 1 + p->rt_clusters + p->blocks + p->l1_clusters;
        p->blocks = (all + per - 1) / per;
        p->rt_clusters = (p->blocks * 8 + p->cluster - 1) >> p->cluster_bits;
    } while (1 + p->rt_clusters + p->blocks + p->l1_clusters > all);
    return 0;
}

static u64 put_extension(u8 *h, u64 at, u32 type, const void *data, size_t len)
{
    be32_put(h + at, type);
    be32_put(h + at + 4, (u32)len);
    memcpy(h + at + 8, data, len);
    return at + 8 + align_up(len, 8);
}

/* What the feature bits are called, for programs that do not know them. */
static u64 put_names(u8 *h, u64 at)
{
    static const struct {
        u8 type, bit;
        const char *name;
    } names[] = {
        {0, 0, "dirty bit"},        {0, 1, "corrupt bit"},         {0, 2, "external data file"},
        {0, 3, "compression type"}, {0, 4, "extended L2 entries"}, {1, 0, "lazy refcounts"},
        {2, 0, "bitmaps"},          {2, 1, "raw external data"}};
    u8 table[ARRAY_SIZE(names) * 48] = {0};

    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        table[i * 48] = names[i].type;
        table[i * 48 + 1] = names[i].bit;
        strcpy((char *)table + i * 48 + 2, names[i].name);
    }
    return put_extension(h, at, QE_FEATURES, table, sizeof(table));
}

static int make_header(const struct plan *p, u8 *h, struct err *e)
{
    const struct disk_create *c = p->c;
    u64 at = p->version == 2 ? QCOW2_V2_HEADER : QH_WRITTEN;
    size_t backing = c->backing ? strlen(c->backing) : 0;
    const char *bf = c->backing_format;

    be32_put(h, QCOW2_MAGIC);
    be32_put(h + QH_VERSION, p->version);
    be32_put(h + QH_CLUSTER_BITS, p->cluster_bits);
    be64_put(h + QH_SIZE, p->size);
    be32_put(h + QH_L1_SIZE, (u32)p->l1_entries);
    be64_put(h + QH_RT, p->cluster);
    be32_put(h + QH_RT_CLUSTERS, (u32)p->rt_clusters);
    be64_put(h + QH_L1, (1 + p->rt_clusters + p->blocks) << p->cluster_bits);
    if (p->version == 3) {
        be64_put(h + QH_INCOMPATIBLE, (p->data_file[0] ? QI_DATA_FILE : 0) |
                                          (p->zstd ? QI_COMPRESSION : 0) |
                                          (p->sub ? QI_EXTENDED_L2 : 0));
        be64_put(h + QH_COMPATIBLE, p->lazy ? QC_LAZY : 0);
        be64_put(h + QH_AUTOCLEAR, p->data_raw ? QA_RAW_DATA : 0);
        be32_put(h + QH_REFCOUNT_ORDER, p->refcount_order);
        be32_put(h + QH_LENGTH, QH_WRITTEN);
        h[QH_COMPRESSION] = p->zstd;
    }
    if (backing > 1023 ||
        at + 3 * 16 + backing + strlen(p->data_file) + (bf ? strlen(bf) : 0) + 8 > p->cluster)
        return err_set(e, EINVAL, "no room in the first cluster for the names of its files");
    if (bf)
        at = put_extension(h, at, QE_BACKING_FMT, bf, strlen(bf));
    if (p->data_file[0])
        at = put_extension(h, at, QE_DATA_FILE, p->data_file, strlen(p->data_file));
    if (p->version == 3 && p->cluster >= 4096)
        at = put_names(h, at);
    at += 8; /* the end of the extensions, zeros */
    if (backing) {
        be64_put(h + QH_BACKING, at);
        be32_put(h + QH_BACKING_LEN, (u32)backing);
        memcpy(h + at, c->backing, backing);
    }
    return 0;
}

static void count_clusters(const struct plan *p, u8 *blocks)
{
    u64 n = 1 + p->rt_clusters + p->blocks + p->l1_clusters;
    unsigned bits = 1u << p->refcount_order;

    for (u64 i = 0; i < n; i++) {
        if (bits >= 8)
            blocks[(i + 1) * bits / 8 - 1] = 1;
        else
            blocks[i * bits / 8] |= (u8)(1 << i * bits % 8);
    }
}

static int write_image(const struct plan *p, struct file *f, struct err *e)
{
    u64 n = 1 + p->rt_clusters + p->blocks;
    u8 *buf = calloc(n, p->cluster);
    int r;

    if (!buf)
        return err_set(e, ENOMEM, "out of memory");
    r = make_header(p, buf, e);
    if (r) {
        free(buf);
        return r;
    }
    for (u64 i = 0; i < p->blocks; i++)
        be64_put(buf + p->cluster + i * 8, (1 + p->rt_clusters + i) << p->cluster_bits);
    count_clusters(p, buf + ((1 + p->rt_clusters) << p->cluster_bits));
    r = file_truncate(f, (n + p->l1_clusters) << p->cluster_bits);
    if (!r && f->is_device)
        r = file_zero(f, n << p->cluster_bits, p->l1_clusters << p->cluster_bits);
    if (!r)
        r = file_write(f, 0, buf, n << p->cluster_bits);
    free(buf);
    return r ? err_set(e, -r, "cannot write it: %s", strerror(-r)) : 0;
}

static int create_data_file(const struct plan *p, struct err *e)
{
    const char *slash = strrchr(p->c->path, '/');
    char path[4096];
    struct file *f;
    int r;

    if (p->data_file[0] == '/' || !slash)
        snprintf(path, sizeof(path), "%s", p->data_file);
    else
        snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - p->c->path), p->c->path,
                 p->data_file);
    if (!p->c->io.io && access(path, F_OK) == 0)
        return err_set(e, EEXIST, "data_file=%s: exists already; it is not replaced", p->data_file);
    r = file_open(&f, path, FILE_CREATE, &p->c->io, e);
    if (!r) {
        r = file_truncate(f, p->size);
        if (r)
            err_set(e, -r, "%s", strerror(-r));
        file_close(f);
    }
    return r ? err_prefix(e, "%s", p->data_file) : 0;
}

/* Gives every cluster of the disk its place now. */
static int preallocate(const struct plan *p, struct err *e)
{
    struct disk_options o = p->c->io;
    struct extent x;
    struct img *im;
    u64 end = 0;
    int r;

    o.format = "qcow2";
    r = img_open(&im, p->c->path, &o, e);
    if (r)
        return r;
    pthread_mutex_lock(&im->writer);
    pthread_mutex_lock(&im->lock);
    for (u64 at = 0, all = align_up(p->size, p->cluster); at < all && !r; at += x.len) {
        r = qcow2_allocate(im, at, min(all - at, 64 * MIB), &x);
        if (!r)
            r = qcow2_link(im, at, &x);
        if (!r && im->full)
            r = qcow2_sync(im);
        end = max(end, x.offset + x.len);
        if (!r && p->preallocation != PRE_METADATA)
            r = file_preallocate(x.file, x.offset, x.len, e);
    }
    /* The file reaches as far as its last cluster. */
    if (!r && end && end > file_size(x.file))
        r = file_zero(x.file, end - 512, 512);
    if (!r)
        r = qcow2_sync(im);
    pthread_mutex_unlock(&im->lock);
    pthread_mutex_unlock(&im->writer);
    img_close(im);
    return r ? err_set(e, -r, "no room to preallocate: %s", strerror(-r)) : 0;
}

int qcow2_create(const struct disk_create *c, struct err *e)
{
    struct plan p = {.c = c};
    struct file *f;
    int r = read_options(&p, e);

    if (!r)
        r = lay_out(&p, e);
    if (!r)
        r = file_open(&f, c->path, FILE_CREATE, &c->io, e);
    if (r)
        return r;
    r = write_image(&p, f, e);
    if (!r && p.data_file[0])
        r = create_data_file(&p, e);
    if (!r) {
        r = file_flush(f);
        if (r)
            err_set(e, -r, "cannot write it: %s", strerror(-r));
    }
    file_close(f);
    if (!r && p.preallocation != PRE_OFF)
        r = preallocate(&p, e);
    return r;
}
