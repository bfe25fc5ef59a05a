/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2: reference counts and finding free clusters.
 *
 * A refcount block that is missing stands for clusters that are all free.  When one is needed it
 * takes the first of those clusters itself; it is written and synced before the table refers to it.
 * The table grows in the same way, into the range that it could not cover.
 */
#include "disk/qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int grow_table(struct img *im, u64 bi);

static u64 per_block(const struct qcow2 *q)
{
    return q->cluster * 8 >> q->refcount_order;
}

static u64 field_get(const struct qcow2 *q, const u8 *block, u64 i)
{
    switch (q->refcount_order) {
    case 3:
        return block[i];
    case 4:
        return be16_get(block + i * 2);
    case 5:
        return be32_get(block + i * 4);
    case 6:
        return be64_get(block + i * 8);
    default: { /* fields of 1, 2, 4 bits, from the lowest bit on */
        unsigned bits = 1u << q->refcount_order;

        return block[i * bits / 8] >> (i * bits % 8) & ((1u << bits) - 1);
    }
    }
}

static u64 count_limit(const struct qcow2 *q)
{
    return q->refcount_order == 6 ? UINT64_MAX : BIT64(1u << q->refcount_order) - 1;
}

bool qcow2_field_put(const struct qcow2 *q, u8 *block, u64 i, u64 v)
{
    if (v > count_limit(q))
        return false;
    switch (q->refcount_order) {
    case 3:
        block[i] = (u8)v;
        break;
    case 4:
        be16_put(block + i * 2, (u16)v);
        break;
    case 5:
        be32_put(block + i * 4, (u32)v);
        break;
    case 6:
        be64_put(block + i * 8, v);
        break;
    default: {
        unsigned bits = 1u << q->refcount_order, shift = i * bits % 8;
        u8 *p = &block[i * bits / 8];

        *p = (u8)((*p & ~(((1u << bits) - 1) << shift)) | v << shift);
        break;
    }
    }
    return true;
}

/* Where in a block's slice the count of a cluster is. */
struct place {
    u8 *slice;
    u64 index;
};

/* False in *there: the block is missing. */
static int find_place(struct img *im, u64 cluster, struct place *p, bool *there)
{
    struct qcow2 *q = im->s;
    u64 per = per_block(q), bi = cluster / per, i = cluster % per;
    u32 slice = (u32)min(q->cluster, (u64)QCOW2_SLICE);
    u64 in_slice = (u64)slice * 8 >> q->refcount_order;
    u64 block;

    *there = false;
    if (bi >= q->rt_size || !q->rt[bi])
        return 0;
    block = q->rt[bi];
    if (block % q->cluster || block > (u64)INT64_MAX)
        return qcow2_corrupt(im, "refcount table entry %llu is not aligned",
                             (unsigned long long)bi);
    *there = true;
    p->index = i % in_slice;
    return tcache_get(q->rbc, block + i / in_slice * slice, false, &p->slice);
}

int qcow2_refcount_get(struct img *im, u64 cluster, u64 *count)
{
    struct place p;
    bool there;
    int r = find_place(im, cluster, &p, &there);

    *count = !r && there ? field_get(im->s, p.slice, p.index) : 0;
    return r;
}

/* ------------------------------------------------------------- blocks, table -- */

static int write_rt_entry(struct img *im, u64 bi)
{
    struct qcow2 *q = im->s;
    u8 sector[512];
    u64 first = align_down(bi, 64);

    for (u64 i = 0; i < 64; i++)
        be64_put(sector + 8 * i, first + i < q->rt_size ? q->rt[first + i] : 0);
    return file_write(im->file, q->rt_offset + first * 8, sector,
                      min(q->rt_size - first, (u64)64) * 8);
}

/* Makes n blocks that are missing, from block bi on, in the first clusters that they count. */
static int make_blocks(struct img *im, u64 bi, u64 n)
{
    struct qcow2 *q = im->s;
    u64 per = per_block(q), at = bi * per * q->cluster, len = n << q->cluster_bits;
    u8 *block;
    int r;

    if (!bi) /* its first cluster is the header's */
        return qcow2_corrupt(im, "the first refcount block is missing");
    block = calloc(n, q->cluster);
    if (!block)
        return -ENOMEM;
    for (u64 i = 0; i < n; i++)
        qcow2_field_put(q, block + i / per * q->cluster, i % per, 1);
    tcache_drop(q->rbc, at, len);
    tcache_drop(q->l2c, at, len);
    r = file_write(im->file, at, block, len);
    free(block);
    if (!r)
        r = file_flush(im->file);
    for (u64 i = 0; i < n && !r; i++) {
        q->rt[bi + i] = at + i * q->cluster;
        r = write_rt_entry(im, bi + i);
        if (r)
            q->rt[bi + i] = 0;
    }
    return r;
}

/* The block that counts `cluster`, with some more when many clusters in a row are wanted. */
static int make_room(struct img *im, u64 cluster, u64 wanted)
{
    struct qcow2 *q = im->s;
    u64 per = per_block(q), bi = cluster / per, n = 1;

    if (bi >= q->rt_size)
        return grow_table(im, bi);
    while (n * per < wanted + n && bi + n < q->rt_size && !q->rt[bi + n])
        n++;
    return make_blocks(im, bi, n);
}

/* A longer table, behind the blocks for the clusters from block `bi` on that it takes up itself. */
static int grow_table(struct img *im, u64 bi)
{
    struct qcow2 *q = im->s;
    u64 per = per_block(q), entries_per = q->cluster / 8;
    u64 size = align_up(max(bi + 2, q->rt_size + q->rt_size / 2), entries_per);
    u64 blocks = 1, table, at = bi * per * q->cluster;
    u64 *rt, *old = q->rt, old_size = q->rt_size, old_offset = q->rt_offset;
    u8 *buf;
    int r = 0;

    for (;;) { /* as many blocks as they and the table need */
        size = align_up(max(size, bi + blocks + 1), entries_per);
        table = size / entries_per;
        u64 need = (blocks + table + per - 1) / per;

        if (need <= blocks)
            break;
        blocks = need;
    }
    if (size * 8 > QCOW2_RT_MAX)
        return -EFBIG;
    rt = calloc(size, 8);
    buf = calloc(blocks + table, q->cluster);
    if (!rt || !buf) {
        free(rt);
        free(buf);
        return -ENOMEM;
    }
    memcpy(rt, old, old_size * 8);
    for (u64 i = 0; i < blocks; i++) {
        rt[bi + i] = at + i * q->cluster;
        for (u64 k = 0; k < per && i * per + k < blocks + table; k++)
            qcow2_field_put(q, buf + i * q->cluster, k, 1);
    }
    for (u64 i = 0; i < size; i++)
        be64_put(buf + blocks * q->cluster + i * 8, rt[i]);
    tcache_drop(q->rbc, at, (blocks + table) * q->cluster);
    tcache_drop(q->l2c, at, (blocks + table) * q->cluster);
    r = file_write(im->file, at, buf, (blocks + table) * q->cluster);
    free(buf);
    if (!r)
        r = file_flush(im->file);
    if (!r) {
        q->rt = rt;
        q->rt_size = size;
        q->rt_offset = at + blocks * q->cluster;
        r = qcow2_write_header(im);
    }
    if (r) {
        q->rt = old;
        q->rt_size = old_size;
        q->rt_offset = old_offset;
        free(rt);
        return r;
    }
    free(old);
    img_free_later(im, old_offset, old_size * 8);
    return 0;
}

static int set_count(struct img *im, u64 cluster, int delta, u64 *now)
{
    struct qcow2 *q = im->s;
    struct place p;
    bool there;
    u64 v;
    int r = find_place(im, cluster, &p, &there);

    if (r)
        return r;
    v = there ? field_get(q, p.slice, p.index) : 0;
    if (!there || (delta < 0 && !v))
        return qcow2_corrupt(im, "cluster %llu has no references", (unsigned long long)cluster);
    if (delta > 0 && v == count_limit(q))
        return -EMLINK;
    v += (u64)(s64)delta;
    qcow2_field_put(q, p.slice, p.index, v);
    tcache_dirty(q->rbc, p.slice, 0);
    im->dirty = true;
    if (tcache_full(q->rbc))
        im->full = true;
    *now = v;
    return 0;
}

int qcow2_refcount_set(struct img *im, u64 cluster, u64 v)
{
    struct qcow2 *q = im->s;
    struct place p;
    bool there;
    int r = find_place(im, cluster, &p, &there);

    if (r)
        return r;
    if (!there)
        return -EIO;
    if (!qcow2_field_put(q, p.slice, p.index, v))
        return -EMLINK;
    tcache_dirty(q->rbc, p.slice, 0);
    im->dirty = true;
    if (tcache_full(q->rbc))
        im->full = true;
    if (!v)
        q->free_hint = min(q->free_hint, cluster);
    return 0;
}

int qcow2_refcount_add(struct img *im, u64 off, u64 len, int delta)
{
    struct qcow2 *q = im->s;
    u64 first = off >> q->cluster_bits, last = (off + len - 1) >> q->cluster_bits, now;

    for (u64 c = first; c <= last; c++) {
        int r = set_count(im, c, delta, &now);

        if (r) {
            while (c-- > first)
                set_count(im, c, -delta, &now);
            return r;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------ allocation -- */

/* Damaged refcounts could make us hand out what everything hangs on. */
static bool precious(const struct qcow2 *q, u64 off, u64 len)
{
    const u64 own[][2] = {{0, 1},
                          {q->l1_offset, q->l1_size * 8ull},
                          {q->rt_offset, q->rt_size * 8},
                          {q->snapshots_offset, q->snapshots_len}};

    for (unsigned i = 0; i < ARRAY_SIZE(own); i++)
        if (own[i][1] && off < own[i][0] + own[i][1] && own[i][0] < off + len)
            return true;
    return false;
}

int qcow2_alloc(struct img *im, u64 *n, bool exact, u64 *off)
{
    struct qcow2 *q = im->s;
    u64 c = q->free_hint, first = 0, run = 0;
    int r;

    while (run < *n) {
        u64 bi = c / per_block(q), count;

        if (c > (L2_OFFSET >> q->cluster_bits))
            return -EFBIG;
        if (bi >= q->rt_size || !q->rt[bi]) {
            /* The blocks take the first clusters there: a run ends here. */
            if (run && !exact)
                break;
            run = 0;
            r = make_room(im, c, *n);
            if (r)
                return r;
        }
        r = qcow2_refcount_get(im, c, &count);
        if (r)
            return r;
        if (count && run && !exact)
            break;
        if (count && !run && c == q->free_hint)
            q->free_hint++;
        if (!count && !run)
            first = c;
        run = count ? 0 : run + 1;
        c++;
    }
    *off = first << q->cluster_bits;
    if (precious(q, *off, run << q->cluster_bits))
        return qcow2_corrupt(im, "cluster %llu is in use and has no references",
                             (unsigned long long)first);
    r = qcow2_refcount_add(im, *off, run << q->cluster_bits, 1);
    if (r)
        return r;
    if (first == q->free_hint)
        q->free_hint = first + run;
    tcache_drop(q->l2c, *off, run << q->cluster_bits);
    *n = run;
    return 0;
}

void qcow2_free(struct img *im, u64 off, u64 len)
{
    struct qcow2 *q = im->s;
    u64 first = off >> q->cluster_bits, last = (off + len - 1) >> q->cluster_bits;
    u64 start = 0, run = 0;

    for (u64 c = first; c <= last + 1; c++) {
        u64 now = 1;

        /* An error leaves it in use: a leak. */
        if (c <= last && set_count(im, c, -1, &now) == 0 && !now) {
            if (!run++)
                start = c;
            q->free_hint = min(q->free_hint, c);
            if (q->packed_end == (c + 1) << q->cluster_bits)
                q->packed = q->packed_end = 0;
            continue;
        }
        if (run)
            file_discard(im->file, start << q->cluster_bits, run << q->cluster_bits);
        run = 0;
    }
}
