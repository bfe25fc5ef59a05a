/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2: internal snapshots, and the size of the disk.
 *
 * A snapshot is a copy of the L1 table; what it leads to has one more reference.  The order of each
 * operation: references go up and COPIED flags away first, then one write of the header switches
 * the image over, then references go down.  A crash leaks clusters at worst.
 */
#include "disk/qcow2.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ENTRY_FIXED = 40, EXTRA_LEN = 16 };

/* -------------------------------------------------------------------- the table -- */

static void cut(char *out, size_t room, const u8 *p, u32 len)
{
    snprintf(out, room, "%.*s", (int)min((size_t)len, room - 1), (const char *)p);
}

static int parse(struct qcow2_snapshot *s, const struct qcow2 *q, const u8 *p, u64 left)
{
    u64 len;

    if (left < ENTRY_FIXED)
        return -EINVAL;
    s->l1_offset = be64_get(p);
    s->l1_size = be32_get(p + 8);
    s->id_len = be16_get(p + 12);
    s->name_len = be16_get(p + 14);
    s->sec = be32_get(p + 16);
    s->nsec = be32_get(p + 20);
    s->clock_ns = be64_get(p + 24);
    s->vm_size = be32_get(p + 32);
    s->extra_len = be32_get(p + 36);
    if (s->extra_len > 1024)
        return -EINVAL;
    len = align_up((u64)ENTRY_FIXED + s->extra_len + s->id_len + s->name_len, 8);
    /* The last one's padding may be missing. */
    if (len - 7 > left)
        return -EINVAL;
    s->disk_size = q->size;
    if (s->extra_len >= 8)
        s->vm_size = be64_get(p + 40);
    if (s->extra_len >= 16)
        s->disk_size = be64_get(p + 48);
    s->raw_len = (u32)len;
    s->raw = calloc(1, len);
    if (!s->raw)
        return -ENOMEM;
    memcpy(s->raw, p, min(len, left));
    p += ENTRY_FIXED + s->extra_len;
    cut(s->id, sizeof(s->id), p, s->id_len);
    cut(s->name, sizeof(s->name), p + s->id_len, s->name_len);
    return 0;
}

int qcow2_snapshots_load(struct img *im, struct err *e)
{
    struct qcow2 *q = im->s;
    u32 n = be32_get(q->header + QH_SNAPSHOT_COUNT);
    u64 at = 0, len;
    u8 *table;
    int r;

    q->snapshots_offset = be64_get(q->header + QH_SNAPSHOTS);
    if (!n)
        return 0;
    if (n > QCOW2_SNAPSHOTS_MAX)
        return err_set(e, EINVAL, "nb_snapshots %u is more than %d", n, QCOW2_SNAPSHOTS_MAX);
    if (q->snapshots_offset % q->cluster || !q->snapshots_offset ||
        q->snapshots_offset >= file_size(im->file))
        return err_set(e, EINVAL, "snapshots_offset");
    len = min(file_size(im->file) - q->snapshots_offset, (u64)QCOW2_SNAPSHOT_TABLE_MAX);
    len = min(len, n * 2048ull + 64 * KIB);
    table = malloc(len);
    q->snap = calloc(n, sizeof(*q->snap));
    r = table && q->snap ? file_read(im->file, q->snapshots_offset, table, len) : -ENOMEM;
    for (u32 i = 0; i < n && !r; i++) {
        if (at > len)
            r = -EINVAL;
        if (!r)
            r = parse(&q->snap[i], q, table + at, len - at);
        if (r)
            break;
        q->snapshots = i + 1;
        at += q->snap[i].raw_len;
    }
    free(table);
    q->snapshots_len = at;
    if (r == -EINVAL)
        return err_set(e, EINVAL, "snapshot table: entry %u", q->snapshots);
    return r ? err_set(e, -r, "cannot read its snapshots: %s", strerror(-r)) : 0;
}

int qcow2_snapshots(struct img *im, struct disk_snapshot **list, unsigned *n, struct err *e)
{
    struct qcow2 *q = im->s;

    *list = calloc(max(q->snapshots, 1u), sizeof(**list));
    if (!*list)
        return err_set(e, ENOMEM, "out of memory");
    *n = q->snapshots;
    for (u32 i = 0; i < q->snapshots; i++) {
        const struct qcow2_snapshot *s = &q->snap[i];
        struct disk_snapshot *d = &(*list)[i];

        snprintf(d->id, sizeof(d->id), "%s", s->id);
        snprintf(d->name, sizeof(d->name), "%s", s->name);
        d->seconds = s->sec;
        d->nanoseconds = s->nsec;
        d->vm_state_size = s->vm_size;
        d->vm_clock_ns = s->clock_ns;
        d->disk_size = s->disk_size;
    }
    return 0;
}

/* By name, then by id. */
static struct qcow2_snapshot *find(const struct qcow2 *q, const char *name)
{
    for (u32 i = 0; i < q->snapshots; i++)
        if (!strcmp(q->snap[i].name, name))
            return &q->snap[i];
    for (u32 i = 0; i < q->snapshots; i++)
        if (!strcmp(q->snap[i].id, name))
            return &q->snap[i];
    return NULL;
}

/* Writes the first n of `snap` (without `but`) to a new place and switches the header over. */
static int write_table(struct img *im, const struct qcow2_snapshot *snap, u32 n,
                       const struct qcow2_snapshot *but)
{
    struct qcow2 *q = im->s;
    u64 len = 0, at = 0, clusters, new = 0, old = q->snapshots_offset, old_len = q->snapshots_len;
    u32 old_n = q->snapshots, count = 0;
    u8 *table;
    int r = 0;

    for (u32 i = 0; i < n; i++)
        len += &snap[i] == but ? 0 : snap[i].raw_len;
    if (len > QCOW2_SNAPSHOT_TABLE_MAX)
        return -EFBIG;
    table = malloc(len + 1);
    if (!table)
        return -ENOMEM;
    for (u32 i = 0; i < n; i++) {
        if (&snap[i] == but)
            continue;
        memcpy(table + at, snap[i].raw, snap[i].raw_len);
        at += snap[i].raw_len;
        count++;
    }
    clusters = (len + q->cluster - 1) >> q->cluster_bits;
    if (clusters)
        r = qcow2_alloc(im, &clusters, true, &new);
    if (!r)
        r = file_write(im->file, new, table, len);
    free(table);
    if (!r)
        r = qcow2_sync(im);
    if (!r)
        r = file_flush(im->file);
    if (r)
        return r;
    q->snapshots_offset = new;
    q->snapshots_len = len;
    q->snapshots = count;
    r = qcow2_write_header(im);
    if (r) {
        q->snapshots_offset = old;
        q->snapshots_len = old_len;
        q->snapshots = old_n;
        return r;
    }
    if (old_len)
        qcow2_free(im, old, old_len);
    return 0;
}

/* ------------------------------------------------------------ walking through tables -- */

/* Adds delta to the references of what an L2 table leads to. */
static int add_l2(struct img *im, u64 table, int delta, u8 *buf)
{
    struct qcow2 *q = im->s;
    int r = file_read(im->file, table, buf, q->cluster);

    for (u64 i = 0; i < q->l2_count && !r; i++) {
        u64 e = be64_get(buf + i * q->l2_entry), at = e & L2_OFFSET, len = q->cluster;

        if (e & L2_COMPRESSED)
            qcow2_compressed_at(q, e, &at, &len);
        else if (!at)
            continue;
        if (delta < 0)
            qcow2_free(im, at, len);
        else
            r = qcow2_refcount_add(im, at, len, delta);
        if (!r && im->full)
            r = qcow2_sync(im);
    }
    return r;
}

static int add_all(struct img *im, const u64 *l1, u32 n, int delta)
{
    struct qcow2 *q = im->s;
    u8 *buf = malloc(q->cluster);
    int r = buf ? 0 : -ENOMEM;

    for (u32 i = 0; i < n && !r; i++) {
        u64 table = l1[i] & L1_OFFSET;

        if (!table)
            continue;
        if (table % q->cluster) {
            r = qcow2_corrupt(im, "L1 entry %u is not aligned", i);
            break;
        }
        r = add_l2(im, table, delta, buf);
        if (r)
            break;
        if (delta < 0)
            qcow2_free(im, table, q->cluster);
        else
            r = qcow2_refcount_add(im, table, q->cluster, delta);
    }
    free(buf);
    return r ? r : qcow2_sync(im);
}

/* Makes the COPIED flags of the active tables say whether there is one reference. */
static int set_flags(struct img *im)
{
    struct qcow2 *q = im->s;
    u8 *buf = malloc(q->cluster);
    int r = buf ? 0 : -ENOMEM;

    for (u32 i = 0; i < q->l1_size && !r; i++) {
        u64 table = q->l1[i] & L1_OFFSET, n;
        bool changed = false;

        if (!table)
            continue;
        r = qcow2_refcount_get(im, table >> q->cluster_bits, &n);
        if (!r && (q->l1[i] >> 63) != (n == 1)) {
            q->l1[i] ^= ENTRY_COPIED;
            q->l1_dirty[i] = 1;
            q->l1_any = im->dirty = true;
        }
        if (!r)
            r = file_read(im->file, table, buf, q->cluster);
        for (u64 j = 0; j < q->l2_count && !r; j++) {
            u64 e = be64_get(buf + j * q->l2_entry);

            if (e & L2_COMPRESSED || !(e & L2_OFFSET))
                continue;
            r = qcow2_refcount_get(im, (e & L2_OFFSET) >> q->cluster_bits, &n);
            if (!r && (e >> 63) != (n == 1)) {
                be64_put(buf + j * q->l2_entry, e ^ ENTRY_COPIED);
                changed = true;
            }
        }
        if (!r && changed) {
            tcache_drop(q->l2c, table, q->cluster);
            r = file_write(im->file, table, buf, q->cluster);
        }
    }
    free(buf);
    return r ? r : qcow2_sync(im);
}

/* Writes an L1 table of n entries to clusters of its own. */
static int write_new_l1(struct img *im, const u64 *l1, u32 n, u64 *at)
{
    struct qcow2 *q = im->s;
    u64 clusters = (max(n, 1u) * 8ull + q->cluster - 1) >> q->cluster_bits;
    u8 *buf = calloc(clusters, q->cluster);
    int r = buf ? qcow2_alloc(im, &clusters, true, at) : -ENOMEM;

    for (u32 i = 0; i < n && !r; i++)
        be64_put(buf + 8ull * i, l1[i]);
    if (!r)
        r = file_write(im->file, *at, buf, clusters << q->cluster_bits);
    free(buf);
    return r;
}

/* ------------------------------------------------------------------ the operations -- */

static int refuse(struct img *im, struct err *e)
{
    struct qcow2 *q = im->s;
    int r;

    if (q->external)
        return err_set(e, EOPNOTSUPP, "images with an external data file have no snapshots");
    r = im->fmt->begin_write(im);
    return r ? err_set(e, -r, "%s", strerror(-r)) : 0;
}

static int fill_entry(struct img *im, struct qcow2_snapshot *s, const char *name, struct err *e)
{
    struct qcow2 *q = im->s;
    unsigned long id = 0;
    struct timespec now;
    u8 *p;

    for (u32 i = 0; i < q->snapshots; i++)
        id = max(id, strtoul(q->snap[i].id, NULL, 10));
    snprintf(s->id, sizeof(s->id), "%lu", id + 1);
    snprintf(s->name, sizeof(s->name), "%s", name);
    clock_gettime(CLOCK_REALTIME, &now);
    s->raw_len = (u32)align_up(ENTRY_FIXED + EXTRA_LEN + strlen(s->id) + strlen(name), 8);
    p = s->raw = calloc(1, s->raw_len);
    if (!p)
        return err_set(e, ENOMEM, "out of memory");
    s->sec = (u32)now.tv_sec;
    s->nsec = (u32)now.tv_nsec;
    s->disk_size = q->size;
    be64_put(p, s->l1_offset);
    be32_put(p + 8, s->l1_size);
    be16_put(p + 12, (u16)strlen(s->id));
    be16_put(p + 14, (u16)strlen(name));
    be32_put(p + 16, s->sec);
    be32_put(p + 20, s->nsec);
    be32_put(p + 36, EXTRA_LEN);
    be64_put(p + 48, q->size);
    memcpy(p + ENTRY_FIXED + EXTRA_LEN, s->id, strlen(s->id));
    memcpy(p + ENTRY_FIXED + EXTRA_LEN + strlen(s->id), name, strlen(name));
    return 0;
}

int qcow2_snapshot_create(struct img *im, const char *name, struct err *e)
{
    struct qcow2 *q = im->s;
    struct qcow2_snapshot *more, s = {.l1_size = q->l1_size};
    int r = refuse(im, e);

    if (r)
        return r;
    if (!*name || strlen(name) >= sizeof(s.name))
        return err_set(e, EINVAL, "a snapshot's name has 1 to %zu bytes", sizeof(s.name) - 1);
    if (find(q, name))
        return err_set(e, EEXIST, "has a snapshot \"%s\" already", name);
    if (q->snapshots == QCOW2_SNAPSHOTS_MAX)
        return err_set(e, E2BIG, "has %d snapshots already", QCOW2_SNAPSHOTS_MAX);
    more = realloc(q->snap, (q->snapshots + 1) * sizeof(*more));
    if (!more)
        return err_set(e, ENOMEM, "out of memory");
    q->snap = more;
    r = qcow2_sync(im);
    if (!r)
        r = write_new_l1(im, q->l1, q->l1_size, &s.l1_offset);
    if (!r)
        r = add_all(im, q->l1, q->l1_size, 1);
    if (!r)
        r = set_flags(im);
    if (!r)
        r = fill_entry(im, &s, name, e);
    if (!r) {
        q->snap[q->snapshots] = s;
        r = write_table(im, q->snap, q->snapshots + 1, NULL);
    }
    if (r) {
        free(s.raw);
        /* References that are too high by now are leaks. */
        return err_set(e, -r, "cannot take a snapshot: %s", strerror(-r));
    }
    return qcow2_sync(im);
}

int qcow2_snapshot_delete(struct img *im, const char *name, struct err *e)
{
    struct qcow2 *q = im->s;
    struct qcow2_snapshot *s = find(q, name), gone;
    u64 *l1 = NULL;
    u32 n = q->snapshots;
    int r;

    if (!s)
        return err_set(e, ENOENT, "has no snapshot \"%s\"", name);
    gone = *s;
    r = refuse(im, e);
    if (!r)
        r = qcow2_read_l1(im, &l1, s->l1_offset, s->l1_size);
    if (!r)
        r = write_table(im, q->snap, n, s);
    if (!r) {
        memmove(s, s + 1, (size_t)(q->snap + n - (s + 1)) * sizeof(*s));
        free(gone.raw);
        r = add_all(im, l1, gone.l1_size, -1);
        if (!r && gone.l1_size)
            qcow2_free(im, gone.l1_offset, gone.l1_size * 8ull);
        if (!r)
            r = set_flags(im);
    }
    free(l1);
    return r ? err_set(e, -r, "cannot delete the snapshot: %s", strerror(-r)) : 0;
}

/* The L1 table of a snapshot, as long as its disk needs it now. */
static int load_l1(struct img *im, const struct qcow2_snapshot *s, u64 **l1, u32 *entries)
{
    struct qcow2 *q = im->s;
    u64 covers = q->l2_count << q->cluster_bits, need;
    int r;

    if (s->disk_size > (u64)INT64_MAX - covers)
        return -EINVAL;
    need = (s->disk_size + covers - 1) / covers;
    if (!s->disk_size || need * 8 > QCOW2_L1_MAX)
        return -EINVAL;
    r = qcow2_read_l1(im, l1, s->l1_offset, s->l1_size);
    *entries = s->l1_size;
    if (!r && need > s->l1_size) {
        u64 *more = realloc(*l1, need * 8);

        if (!more)
            return -ENOMEM;
        memset(more + s->l1_size, 0, (need - s->l1_size) * 8);
        *l1 = more;
        *entries = (u32)need;
    }
    return r;
}

static void use_l1(struct qcow2 *q, u64 *l1, u8 *dirty, u32 n)
{
    free(q->l1);
    free(q->l1_dirty);
    q->l1 = l1;
    q->l1_dirty = dirty;
    q->l1_size = n;
    q->l1_any = false;
}

int qcow2_snapshot_apply(struct img *im, const char *name, struct err *e)
{
    struct qcow2 *q = im->s;
    struct qcow2_snapshot *s = find(q, name);
    u64 *l1 = NULL, *old = NULL, at = 0, old_at = q->l1_offset, old_size = q->size;
    u8 *dirty = NULL;
    u32 n = 0, old_n = q->l1_size;
    int r;

    if (!s)
        return err_set(e, ENOENT, "has no snapshot \"%s\"", name);
    r = refuse(im, e);
    if (!r)
        r = qcow2_sync(im);
    if (!r)
        r = load_l1(im, s, &l1, &n);
    for (u32 i = 0; i < n && !r; i++)
        l1[i] &= ~ENTRY_COPIED;
    if (!r) {
        dirty = calloc(max(n, 1u), 1);
        old = malloc(max(old_n, 1u) * 8ull);
        r = dirty && old ? add_all(im, l1, n, 1) : -ENOMEM;
    }
    if (!r)
        r = write_new_l1(im, l1, n, &at);
    if (!r)
        r = qcow2_sync(im);
    if (!r)
        r = file_flush(im->file);
    if (!r) {
        memcpy(old, q->l1, old_n * 8ull);
        q->l1_offset = at;
        q->l1_size = n;
        q->size = s->disk_size;
        r = qcow2_write_header(im);
        if (r) {
            q->l1_offset = old_at;
            q->l1_size = old_n;
            q->size = old_size;
        }
    }
    if (r) {
        free(l1);
        free(dirty);
        free(old);
        return err_set(e, -r, "cannot go back to the snapshot: %s", strerror(-r));
    }
    use_l1(q, l1, dirty, n);
    im->b.size = align_up(q->size, DISK_SECTOR);
    r = add_all(im, old, old_n, -1);
    if (!r && old_n)
        qcow2_free(im, old_at, old_n * 8ull);
    free(old);
    if (!r)
        r = set_flags(im);
    return r ? err_set(e, -r, "went back, and leaked what was there: %s", strerror(-r)) : 0;
}

int qcow2_snapshot_open(struct img *im, const char *name, struct err *e)
{
    struct qcow2 *q = im->s;
    struct qcow2_snapshot *s = find(q, name);
    u64 *l1 = NULL;
    u8 *dirty;
    u32 n;
    int r;

    if (!s)
        return err_set(e, ENOENT, "has no snapshot \"%s\"", name);
    if (!im->b.readonly)
        return err_set(e, EROFS, "snapshots are only read (\"readonly\" or \"snapshot\")");
    r = load_l1(im, s, &l1, &n);
    dirty = calloc(max(n, 1u), 1);
    if (!r && !dirty)
        r = -ENOMEM;
    if (r) {
        free(l1);
        free(dirty);
        return err_set(e, -r, "snapshot \"%s\" is damaged", name);
    }
    use_l1(q, l1, dirty, n);
    q->size = s->disk_size;
    im->b.size = align_up(q->size, DISK_SECTOR);
    return 0;
}

/* ------------------------------------------------------------------------- size -- */

int qcow2_resize(struct img *im, u64 size, struct err *e)
{
    struct qcow2 *q = im->s;
    u64 covers = q->l2_count << q->cluster_bits, need = (size + covers - 1) / covers;
    u64 old_size = q->size, old_at = q->l1_offset, at = old_at;
    u32 old_n = q->l1_size;
    int r = 0;

    if (q->version < 3 && q->snapshots)
        return err_set(e, EOPNOTSUPP, "version 2 images with snapshots keep their size");
    if (need * 8 > QCOW2_L1_MAX)
        return err_set(e, EFBIG, "its clusters are too small for this size");
    if (need > old_n) {
        u64 *l1 = calloc(need, 8);
        u8 *dirty = calloc(need, 1);

        r = l1 && dirty ? qcow2_sync(im) : -ENOMEM;
        if (!r) {
            memcpy(l1, q->l1, old_n * 8ull);
            r = write_new_l1(im, l1, (u32)need, &at);
        }
        if (r) {
            free(l1);
            free(dirty);
        } else {
            use_l1(q, l1, dirty, (u32)need);
        }
    }
    if (!r)
        r = qcow2_sync(im);
    if (!r)
        r = file_flush(im->file);
    if (!r) {
        q->l1_offset = at;
        q->size = size;
        q->autoclear &= ~QA_BITMAPS;
        r = qcow2_write_header(im);
    }
    if (r) { /* the longer table in memory does no harm: its new part is empty */
        q->l1_offset = old_at;
        q->size = old_size;
        q->l1_size = old_n;
        return err_set(e, -r, "cannot resize it: %s", strerror(-r));
    }
    if (at != old_at && old_n)
        qcow2_free(im, old_at, old_n * 8ull);
    if (q->external && file_size(q->data) < size && !q->data->is_device)
        file_truncate(q->data, size);
    im->b.size = size;
    r = qcow2_sync(im);
    return r ? err_set(e, -r, "%s", strerror(-r)) : 0;
}
