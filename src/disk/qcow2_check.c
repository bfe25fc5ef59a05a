/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2: check and repair.
 *
 * 1. Every reference is counted: from L1 tables to L2 tables first, then what each L2 table refers
 *    to, as often as the table itself is referred to; then the image's own structures.
 * 2. The counts are compared with the refcounts.  Too high is a leak, too low an error (somebody
 *    could be given a cluster that is in use).  Where the refcount structure itself is damaged, a
 *    repair writes a new one behind everything.
 * 3. COPIED flags of the active tables must say whether the count is 1.
 *
 * Bounded: memory by the size of the file, time by the number of its clusters.
 */
#include "disk/qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CLUSTERS_MAX = 1 << 29, L1_TOTAL_MAX = 1 << 26 };

struct check {
    struct img *im;
    struct qcow2 *q;
    struct disk_check *c;
    u32 *refs; /* of each cluster */
    u64 clusters;
    bool rebuild; /* the refcount structure is damaged */
    bool missing; /* a refcount block that is needed is not there */
    u64 l1_total;
};

static bool repair(const struct check *k)
{
    return k->c->repair_all && !k->im->b.readonly;
}

/* Counts n references to each cluster that off..off+len touches. */
static bool count(struct check *k, u64 off, u64 len, u32 n)
{
    u64 first = off >> k->q->cluster_bits, last = (off + len - 1) >> k->q->cluster_bits;

    if (!len)
        return true;
    if (off > (u64)INT64_MAX - len || last >= k->clusters)
        return false;
    for (u64 i = first; i <= last; i++)
        k->refs[i] = k->refs[i] > UINT32_MAX - n ? UINT32_MAX : k->refs[i] + n;
    return true;
}

/* ------------------------------------------------------------------ references -- */

/* Bits that an L1 entry must not have. */
static bool bad_l1_entry(const struct qcow2 *q, u64 e)
{
    return e & ~(L1_OFFSET | ENTRY_COPIED) || (e & L1_OFFSET) % q->cluster;
}

static int count_l1(struct check *k, u64 *l1, u32 entries, bool active)
{
    k->l1_total += entries;
    if (k->l1_total > L1_TOTAL_MAX)
        return -EFBIG;
    for (u32 i = 0; i < entries; i++) {
        u64 at = l1[i] & L1_OFFSET;
        bool bad = bad_l1_entry(k->q, l1[i]);
        bool twice = active && !bad && at && at >> k->q->cluster_bits < k->clusters &&
                     k->refs[at >> k->q->cluster_bits];

        if (!l1[i])
            continue;
        if (!bad && !twice && at && count(k, at, k->q->cluster, 1))
            continue;
        /* Without its table the guest's data there is lost already. */
        check_error(k->c, active && repair(k), "L1 entry %u (%llx) %s", i,
                    (unsigned long long)l1[i], twice ? "has another one's table" : "is damaged");
        if (active && repair(k)) {
            l1[i] = 0;
            k->q->l1_dirty[i] = 1;
            k->q->l1_any = k->im->dirty = true;
        }
    }
    return 0;
}

static int count_all_l1(struct check *k, struct err *e)
{
    struct qcow2 *q = k->q;
    int r = count_l1(k, q->l1, q->l1_size, true);

    for (u32 i = 0; i < q->snapshots && !r; i++) {
        u64 *l1;

        r = qcow2_read_l1(k->im, &l1, q->snap[i].l1_offset, q->snap[i].l1_size);
        if (r == -EINVAL) {
            check_error(k->c, false, "snapshot %s: its L1 table is damaged", q->snap[i].id);
            r = 0;
        } else if (!r) {
            r = count_l1(k, l1, q->snap[i].l1_size, false);
        }
        free(l1);
    }
    return r ? err_set(e, -r, "cannot read its tables: %s", strerror(-r)) : 0;
}

/* One entry of an L2 table that n L1 entries refer to; false = it is damaged. */
static bool count_entry(struct check *k, const u8 *p, u32 n)
{
    struct qcow2 *q = k->q;
    u64 e = be64_get(p), at = e & L2_OFFSET, len;
    u64 allowed = L2_OFFSET | ENTRY_COPIED | (q->version >= 3 && !q->sub ? L2_ZERO : 0);

    if (e & L2_COMPRESSED) {
        if (e & ENTRY_COPIED || q->external)
            return false;
        k->c->compressed++;
        k->c->allocated++;
        qcow2_compressed_at(q, e, &at, &len);
        return count(k, at, len, n);
    }
    if (e & ~allowed)
        return false;
    if (q->sub) {
        u64 bitmap = be64_get(p + 8);

        if (bitmap & bitmap >> 32 & UINT32_MAX || (bitmap & UINT32_MAX && !at && !q->external))
            return false;
    }
    if (q->external) {
        k->c->allocated += e >> 63;
        return at % q->cluster == 0;
    }
    if (!at)
        return true;
    k->c->allocated++;
    return at % q->cluster == 0 && count(k, at, q->cluster, n);
}

static int count_l2(struct check *k, u64 table, u32 n, u8 *buf, struct err *e)
{
    struct qcow2 *q = k->q;
    bool changed = false;
    int r = file_read(k->im->file, table, buf, q->cluster);

    for (u64 i = 0; i < q->l2_count && !r; i++) {
        u8 *p = buf + i * q->l2_entry;

        if (count_entry(k, p, n))
            continue;
        check_error(k->c, repair(k), "L2 table at %llu, entry %llu (%llx) is damaged",
                    (unsigned long long)table, (unsigned long long)i,
                    (unsigned long long)be64_get(p));
        if (repair(k)) { /* reads as zeros; what was there is not known */
            be64_put(p, q->version >= 3 && !q->sub ? L2_ZERO : 0);
            if (q->sub)
                be64_put(p + 8, 0xffffffff00000000ull);
            changed = true;
        }
    }
    if (!r && changed) {
        tcache_drop(q->l2c, table, q->cluster);
        r = file_write(k->im->file, table, buf, q->cluster);
    }
    return r ? err_set(e, -r, "an L2 table: %s", strerror(-r)) : 0;
}

/* What all L2 tables refer to; refs holds just the references to them. */
static int count_tables(struct check *k, struct err *e)
{
    u64 tables = 0, n = 0;
    struct {
        u64 at;
        u32 refs;
    } * list;
    u8 *buf = malloc(k->q->cluster);
    int r = 0;

    for (u64 i = 0; i < k->clusters; i++)
        tables += k->refs[i] != 0;
    list = malloc(max(tables, 1ull) * sizeof(*list));
    if (!buf || !list)
        r = err_set(e, ENOMEM, "out of memory");
    for (u64 i = 0; i < k->clusters && !r; i++) {
        if (!k->refs[i])
            continue;
        list[n].at = i << k->q->cluster_bits;
        list[n++].refs = k->refs[i];
    }
    for (u64 i = 0; i < n && !r; i++)
        r = count_l2(k, list[i].at, list[i].refs, buf, e);
    free(list);
    free(buf);
    return r;
}

static void count_own(struct check *k)
{
    struct qcow2 *q = k->q;

    count(k, 0, q->cluster, 1);
    if (!count(k, q->l1_offset, q->l1_size * 8ull, 1))
        check_error(k->c, false, "the L1 table lies behind the end of the file");
    if (q->snapshots && !count(k, q->snapshots_offset, q->snapshots_len, 1))
        check_error(k->c, false, "the snapshot table lies behind the end of the file");
    for (u32 i = 0; i < q->snapshots; i++)
        if (!count(k, q->snap[i].l1_offset, q->snap[i].l1_size * 8ull, 1))
            check_error(k->c, false, "snapshot %s: its L1 table lies behind the end of the file",
                        q->snap[i].id);
}

/* Counts off..off+len once more, unless somebody else has it. */
static bool count_alone(struct check *k, u64 off, u64 len)
{
    struct qcow2 *q = k->q;

    if (off % q->cluster || off > (u64)INT64_MAX - len)
        return false;
    for (u64 i = off >> q->cluster_bits; i << q->cluster_bits < off + len; i++)
        if (i >= k->clusters || k->refs[i])
            return false;
    return count(k, off, len, 1);
}

/* The refcount structure.  Where it is damaged and will be made anew, it is not counted. */
static int count_refcounts(struct check *k)
{
    struct qcow2 *q = k->q;
    u8 *counted = calloc(q->rt_size, 1);
    bool table = count_alone(k, q->rt_offset, q->rt_size * 8);

    if (!counted)
        return -ENOMEM;
    if (!table) {
        check_error(k->c, repair(k), "the refcount table is damaged");
        k->rebuild = true;
    }
    for (u64 i = 0; i < q->rt_size; i++) {
        u64 at = q->rt[i];

        counted[i] = at && count_alone(k, at, q->cluster);
        if (at && !counted[i]) {
            check_error(k->c, repair(k), "refcount block %llu at %llx is damaged",
                        (unsigned long long)i, (unsigned long long)at);
            k->rebuild = true;
        }
    }
    for (u64 i = 0; i < q->rt_size && k->rebuild && repair(k); i++)
        if (counted[i])
            k->refs[q->rt[i] >> q->cluster_bits] = 0;
    if (table && k->rebuild && repair(k))
        memset(&k->refs[q->rt_offset >> q->cluster_bits], 0,
               ((q->rt_size * 8 + q->cluster - 1) >> q->cluster_bits) * sizeof(*k->refs));
    free(counted);
    return 0;
}

/* -------------------------------------------------------------------- refcounts -- */

/* A whole new refcount structure behind the last cluster in use, as refs says. */
static int rebuild(struct check *k, struct err *e)
{
    struct qcow2 *q = k->q;
    u64 per = q->cluster * 8 >> q->refcount_order, used = 0, blocks = 0, table = 0, all;
    u64 *rt = NULL;
    u8 *buf;
    int r = 0;

    for (u64 i = 0; i < k->clusters; i++)
        if (k->refs[i])
            used = i + 1;
    do {
        all = used + blocks + table;
        blocks = (all + per - 1) / per;
        table = (blocks * 8 + q->cluster - 1) / q->cluster;
    } while (used + blocks + table > all);
    buf = calloc(1, q->cluster);
    if (table * q->cluster <= QCOW2_RT_MAX)
        rt = calloc(table, q->cluster);
    if (!buf || !rt)
        r = -ENOMEM;
    for (u64 b = 0; b < blocks && !r; b++) {
        memset(buf, 0, q->cluster);
        for (u64 i = 0; i < per; i++) {
            u64 c = b * per + i;
            u64 n = c < used ? k->refs[c] : c < all;

            if (!qcow2_field_put(q, buf, i, n))
                r = -EMLINK;
        }
        rt[b] = (used + b) << q->cluster_bits;
        if (!r)
            r = file_write(k->im->file, rt[b], buf, q->cluster);
    }
    for (u64 b = 0; b < blocks && !r; b++)
        be64_put(&rt[b], rt[b]);
    if (!r)
        r = file_write(k->im->file, (used + blocks) << q->cluster_bits, rt, table * q->cluster);
    for (u64 b = 0; b < blocks && !r; b++)
        rt[b] = be64_get(&rt[b]);
    if (!r)
        r = file_flush(k->im->file);
    free(buf);
    if (r) {
        free(rt);
        return err_set(e, -r, "cannot write new refcounts: %s", strerror(-r));
    }
    tcache_drop(q->rbc, 0, UINT64_MAX);
    free(q->rt);
    q->rt = rt;
    q->rt_size = table * q->cluster / 8;
    q->rt_offset = (used + blocks) << q->cluster_bits;
    q->free_hint = 0;
    r = qcow2_write_header(k->im);
    return r ? err_set(e, -r, "cannot write the header: %s", strerror(-r)) : 0;
}

static int compare(struct check *k, struct err *e)
{
    struct qcow2 *q = k->q;
    u64 per = q->cluster * 8 >> q->refcount_order;
    bool write = !k->im->b.readonly;

    for (u64 i = 0; i < k->clusters && !k->rebuild; i++) {
        u64 stored, bi = i / per;
        bool fix;
        int r;

        /* Skips what has neither block nor references. */
        r = qcow2_refcount_get(k->im, i, &stored);
        if (r)
            return err_set(e, -r, "cannot read refcounts: %s", strerror(-r));
        if (stored == k->refs[i])
            continue;
        fix = write &&
              (stored > k->refs[i] ? k->c->repair_leaks || k->c->repair_all : k->c->repair_all);
        if (stored > k->refs[i])
            check_leak(k->c, fix, "cluster %llu: refcount %llu, references %u",
                       (unsigned long long)i, (unsigned long long)stored, k->refs[i]);
        else
            check_error(k->c, fix, "cluster %llu: refcount %llu, references %u",
                        (unsigned long long)i, (unsigned long long)stored, k->refs[i]);
        if (fix && (bi >= q->rt_size || !q->rt[bi]))
            k->missing = true;
        else if (fix)
            r = qcow2_refcount_set(k->im, i, k->refs[i]);
        if (!r && k->im->full)
            r = qcow2_sync(k->im);
        if (r)
            return err_set(e, -r, "cannot write refcounts: %s", strerror(-r));
    }
    if (k->missing && repair(k) && !k->rebuild) {
        /* A block that is not there, of clusters in use: the whole anew. */
        k->rebuild = true;
        for (u64 i = 0; i < q->rt_size; i++)
            if (q->rt[i])
                k->refs[q->rt[i] >> q->cluster_bits]--;
        for (u64 i = 0; i < (q->rt_size * 8 + q->cluster - 1) >> q->cluster_bits; i++)
            k->refs[(q->rt_offset >> q->cluster_bits) + i]--;
    }
    if (!k->rebuild || !repair(k))
        return 0;
    return rebuild(k, e);
}

/* ------------------------------------------------------------------ COPIED flags -- */

static bool copied_is_wrong(struct check *k, u64 entry, u64 at)
{
    u64 i = at >> k->q->cluster_bits;

    return i < k->clusters && (entry >> 63) != (k->refs[i] == 1);
}

static int check_copied(struct check *k, struct err *e)
{
    struct qcow2 *q = k->q;
    u8 *buf = malloc(q->cluster);
    int r = buf ? 0 : -ENOMEM;

    for (u32 i = 0; i < q->l1_size && !r; i++) {
        u64 table = q->l1[i] & L1_OFFSET;
        bool changed = false;

        if (!table || table % q->cluster)
            continue;
        if (copied_is_wrong(k, q->l1[i], table)) {
            check_error(k->c, repair(k), "L1 entry %u: COPIED flag", i);
            if (repair(k)) {
                q->l1[i] ^= ENTRY_COPIED;
                q->l1_dirty[i] = 1;
                q->l1_any = k->im->dirty = true;
            }
        }
        r = file_read(k->im->file, table, buf, q->cluster);
        for (u64 j = 0; j < q->l2_count && !r && !q->external; j++) {
            u8 *p = buf + j * q->l2_entry;
            u64 v = be64_get(p);

            if (v & L2_COMPRESSED || !(v & L2_OFFSET) || !copied_is_wrong(k, v, v & L2_OFFSET))
                continue;
            check_error(k->c, repair(k), "L2 table at %llu, entry %llu: COPIED flag",
                        (unsigned long long)table, (unsigned long long)j);
            be64_put(p, v ^ ENTRY_COPIED);
            changed = repair(k);
        }
        if (!r && changed) {
            tcache_drop(q->l2c, table, q->cluster);
            r = file_write(k->im->file, table, buf, q->cluster);
        }
    }
    free(buf);
    return r ? err_set(e, -r, "cannot look at L2 tables: %s", strerror(-r)) : 0;
}

/* ---------------------------------------------------------------------- the whole -- */

/* The flags that say "check me" go when there is nothing left to repair. */
static int clear_marks(struct check *k, struct err *e)
{
    struct qcow2 *q = k->q;
    int r = qcow2_sync(k->im);

    if (!r && !k->c->errors && q->incompatible & (QI_DIRTY | QI_CORRUPT)) {
        q->incompatible &= ~(QI_DIRTY | QI_CORRUPT);
        r = qcow2_write_header(k->im);
    }
    return r ? err_set(e, -r, "%s", strerror(-r)) : 0;
}

int qcow2_check(struct img *im, struct disk_check *c, struct err *e)
{
    struct qcow2 *q = im->s;
    struct check k = {.im = im, .q = q, .c = c};
    int r;

    k.clusters = (file_size(im->file) + q->cluster - 1) >> q->cluster_bits;
    if (k.clusters > CLUSTERS_MAX)
        return err_set(e, EFBIG, "too big to check: %llu clusters", (unsigned long long)k.clusters);
    k.refs = calloc(k.clusters + 1, sizeof(*k.refs));
    if (!k.refs)
        return err_set(e, ENOMEM, "out of memory");
    c->total = (q->size + q->cluster - 1) >> q->cluster_bits;
    r = count_all_l1(&k, e);
    if (!r)
        r = count_tables(&k, e);
    if (!r) {
        count_own(&k);
        r = qcow2_bitmaps_count(im, c, &k, e);
    }
    if (!r) {
        r = count_refcounts(&k);
        if (r)
            err_set(e, -r, "%s", strerror(-r));
    }
    if (!r)
        r = compare(&k, e);
    if (!r)
        r = check_copied(&k, e);
    for (u64 i = 0; i < k.clusters; i++)
        if (k.refs[i])
            c->end = (i + 1) << q->cluster_bits;
    if (!r && !im->b.readonly && (c->repair_all || c->repair_leaks))
        r = clear_marks(&k, e);
    free(k.refs);
    return r;
}

bool qcow2_check_count(struct check *k, u64 off, u64 len)
{
    return count(k, off, len, 1);
}
