/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2: from guest offsets to clusters, and new entries.
 *
 * With subclusters an entry is 16 bytes, and its second half says of each of 32 parts whether it
 * is allocated or zeros; the granule is then a subcluster.
 */
#include "disk/qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* An L2 entry as we work with it. */
struct entry {
    u64 e;      /* first half */
    u64 bitmap; /* second half; made up without subclusters */
};

#define SUB_ALLOCATED(i) BIT64(i)
#define SUB_ZERO(i)      BIT64((i) + 32)
#define ALL_ALLOCATED    0x00000000ffffffffull
#define ALL_ZERO         0xffffffff00000000ull

static u64 l1_index(const struct qcow2 *q, u64 off)
{
    return (off >> q->cluster_bits) / q->l2_count;
}

/* The slice with the entry for off in the table at `table`, and the entry's index there. */
static int get_slice(struct img *im, u64 table, u64 off, bool nowait, u8 **slice, u32 *i)
{
    struct qcow2 *q = im->s;
    u32 size = (u32)min(q->cluster, (u64)QCOW2_SLICE);
    u64 at = (off >> q->cluster_bits) % q->l2_count * q->l2_entry;

    if (table % q->cluster)
        return qcow2_corrupt(im, "L1 entry %llu is not aligned",
                             (unsigned long long)l1_index(q, off));
    *i = (u32)(at % size / q->l2_entry);
    return tcache_get(q->l2c, table + at / size * size, nowait, slice);
}

static struct entry entry_get(const struct qcow2 *q, const u8 *slice, u32 i)
{
    struct entry n = {.e = be64_get(slice + i * q->l2_entry)};

    if (q->sub && !(n.e & L2_COMPRESSED))
        n.bitmap = be64_get(slice + i * q->l2_entry + 8);
    else if (n.e & L2_COMPRESSED)
        n.bitmap = ALL_ALLOCATED;
    else if (q->version >= 3 && n.e & L2_ZERO)
        n.bitmap = ALL_ZERO;
    else if (n.e & (L2_OFFSET | (q->external ? ENTRY_COPIED : 0)))
        n.bitmap = ALL_ALLOCATED;
    return n;
}

static void entry_put(const struct qcow2 *q, u8 *slice, u32 i, struct entry n)
{
    u8 *p = slice + i * q->l2_entry;

    if (q->sub) {
        be64_put(p + 8, n.e & L2_COMPRESSED ? 0 : n.bitmap);
    } else if (!(n.e & L2_COMPRESSED)) {
        n.e &= ~L2_ZERO;
        if (n.bitmap == ALL_ZERO)
            n.e |= L2_ZERO;
    }
    be64_put(p, n.e);
}

static bool has_host(const struct qcow2 *q, struct entry n)
{
    return !(n.e & L2_COMPRESSED) && (n.e & L2_OFFSET || (q->external && n.e & ENTRY_COPIED));
}

static enum extent_kind kind_at(struct entry n, unsigned sub)
{
    if (n.e & L2_COMPRESSED)
        return EXTENT_COMPRESSED;
    if (n.bitmap & SUB_ALLOCATED(sub))
        return EXTENT_DATA;
    return n.bitmap & SUB_ZERO(sub) ? EXTENT_ZERO : EXTENT_HOLE;
}

void qcow2_compressed_at(const struct qcow2 *q, u64 entry, u64 *off, u64 *len)
{
    unsigned x = 62 - (q->cluster_bits - 8);
    u64 sectors = (entry & (BIT64(62) - 1)) >> x;

    *off = entry & (BIT64(x) - 1) & ((1ull << 56) - 1);
    *len = (sectors + 1) * 512 - *off % 512;
}

/* --------------------------------------------------------------------- map -- */

/* What is at off, within one cluster. */
static int classify(struct img *im, struct entry n, u64 off, struct extent *x)
{
    struct qcow2 *q = im->s;
    u64 in = off & (q->cluster - 1), part = q->cluster / QCOW2_SUBCLUSTERS;
    unsigned s = q->sub ? (unsigned)(in / part) : 0, last = s;
    u64 host = n.e & L2_OFFSET;

    *x = (struct extent){.kind = kind_at(n, s), .file = q->data};
    if (q->sub && !(n.e & L2_COMPRESSED) && n.bitmap & n.bitmap >> 32 & ALL_ALLOCATED)
        return qcow2_corrupt(im, "a subcluster at %llu is both allocated and zeros",
                             (unsigned long long)off);
    if (!q->sub || x->kind == EXTENT_COMPRESSED)
        last = QCOW2_SUBCLUSTERS - 1;
    while (last < QCOW2_SUBCLUSTERS - 1 && kind_at(n, last + 1) == x->kind)
        last++;
    x->len = q->sub ? (last + 1) * part - in : q->cluster - in;
    if (x->kind == EXTENT_COMPRESSED) {
        qcow2_compressed_at(q, n.e, &x->offset, &x->stored);
        x->whole = true;
        return 0;
    }
    if (!has_host(q, n)) {
        if (x->kind == EXTENT_DATA)
            return qcow2_corrupt(im, "a subcluster at %llu has no cluster",
                                 (unsigned long long)off);
        return 0;
    }
    if (host & (q->cluster - 1) || (q->external && host != off - in))
        return qcow2_corrupt(im, "L2 entry for %llu: wrong host offset", (unsigned long long)off);
    x->offset = host + in;
    x->in_place = n.e & ENTRY_COPIED;
    x->whole = !x->in_place && q->sub;
    return 0;
}

int qcow2_map(struct img *im, u64 off, u64 len, bool nowait, struct extent *x)
{
    struct qcow2 *q = im->s;
    u64 li = l1_index(q, off), covers = q->l2_count << q->cluster_bits;
    u32 slice_size = (u32)min(q->cluster, (u64)QCOW2_SLICE);
    u8 *slice;
    u32 i;
    int r;

    if (li >= q->l1_size || !(q->l1[li] & L1_OFFSET)) {
        *x = (struct extent){.kind = EXTENT_HOLE, .len = covers - off % covers};
        return 0;
    }
    r = get_slice(im, q->l1[li] & L1_OFFSET, off, nowait, &slice, &i);
    if (!r)
        r = classify(im, entry_get(q, slice, i), off, x);
    while (!r && x->len < len && x->kind != EXTENT_COMPRESSED) {
        struct extent more;

        if ((off + x->len) & (q->cluster - 1) || ++i == slice_size / q->l2_entry)
            break;
        /* What is damaged further on is found when it is asked for. */
        if (classify(im, entry_get(q, slice, i), off + x->len, &more))
            break;
        if (more.kind != x->kind || more.in_place != x->in_place || more.whole != x->whole ||
            (x->kind == EXTENT_DATA && more.offset != x->offset + x->len))
            break;
        x->len += more.len;
    }
    return r;
}

/* ---------------------------------------------------------------- L2 tables -- */

static unsigned stage_of(const struct qcow2 *q, u64 li)
{
    return q->l1_dirty[li] ? 0 : 1;
}

static void set_l1(struct img *im, u64 li, u64 v)
{
    struct qcow2 *q = im->s;

    q->l1[li] = v;
    q->l1_dirty[li] = 1;
    q->l1_any = true;
    im->dirty = true;
}

/* A table of our own for off: new, or a copy of one that a snapshot has too. */
static int own_table(struct img *im, u64 off)
{
    struct qcow2 *q = im->s;
    u64 li = l1_index(q, off), n = 1, at, old;
    int r;

    if (li >= q->l1_size)
        return qcow2_corrupt(im, "no L1 entry for %llu", (unsigned long long)off);
    if (q->l1[li] & ENTRY_COPIED)
        return 0;
    old = q->l1[li] & L1_OFFSET;
    r = qcow2_alloc(im, &n, true, &at);
    if (r)
        return r;
    if (old) {
        u8 *copy = malloc(q->cluster);

        r = copy ? file_read(im->file, old, copy, q->cluster) : -ENOMEM;
        if (!r)
            r = file_write(im->file, at, copy, q->cluster);
        free(copy);
    } else {
        r = file_zero(im->file, at, q->cluster);
    }
    if (r) {
        qcow2_refcount_add(im, at, q->cluster, -1);
        return r;
    }
    set_l1(im, li, at | ENTRY_COPIED);
    if (old)
        img_free_later(im, old, q->cluster);
    return 0;
}

/* The entry for off, to be changed. */
static int get_entry(struct img *im, u64 off, u8 **slice, u32 *i, struct entry *n)
{
    struct qcow2 *q = im->s;
    u64 li = l1_index(q, off);
    int r;

    if (li >= q->l1_size || !(q->l1[li] & L1_OFFSET)) {
        *slice = NULL;
        *n = (struct entry){0};
        return 0;
    }
    r = get_slice(im, q->l1[li] & L1_OFFSET, off, false, slice, i);
    if (!r)
        *n = entry_get(q, *slice, *i);
    return r;
}

static int set_entry(struct img *im, u64 off, struct entry n)
{
    struct qcow2 *q = im->s;
    u64 li = l1_index(q, off);
    u8 *slice;
    u32 i;
    int r = get_slice(im, q->l1[li] & L1_OFFSET, off, false, &slice, &i);

    if (r)
        return r;
    entry_put(q, slice, i, n);
    tcache_dirty(q->l2c, slice, stage_of(q, li));
    im->dirty = true;
    if (tcache_full(q->l2c))
        im->full = true;
    return 0;
}

/* Gives up what an old entry refers to. */
static void give_up(struct img *im, struct entry old)
{
    struct qcow2 *q = im->s;
    u64 at, len;

    if (old.e & L2_COMPRESSED) {
        qcow2_compressed_at(q, old.e, &at, &len);
        len = align_up(at + len, q->cluster) - align_down(at, q->cluster);
        img_free_later(im, align_down(at, q->cluster), len);
    } else if (has_host(q, old) && !q->external) {
        img_free_later(im, old.e & L2_OFFSET, q->cluster);
    }
}

/* -------------------------------------------------------------- allocate, link -- */

/* Is there a cluster of our own already, of which off's part only has to be written? */
static bool reusable(const struct qcow2 *q, struct entry n)
{
    return has_host(q, n) && n.e & ENTRY_COPIED;
}

int qcow2_allocate(struct img *im, u64 off, u64 len, struct extent *x)
{
    struct qcow2 *q = im->s;
    u64 in = off & (q->cluster - 1), n, at;
    struct entry old;
    u8 *slice;
    u32 i;
    int r = get_entry(im, off, &slice, &i, &old);

    if (!r)
        r = own_table(im, off);
    if (r)
        return r;
    *x = (struct extent){.kind = EXTENT_DATA, .in_place = true, .file = q->data};
    if (q->external) {
        u64 covers = q->l2_count << q->cluster_bits;

        x->offset = off;
        x->len = min(len, covers - off % covers);
        return 0;
    }
    if (reusable(q, old)) {
        x->offset = (old.e & L2_OFFSET) + in;
        x->len = min(len, q->cluster - in);
        return 0;
    }
    /* As many clusters on from here as have no room yet; the table is one L2 table. */
    n = 1;
    while (n < (in + len + q->cluster - 1) >> q->cluster_bits) {
        u64 next = off - in + (n << q->cluster_bits);

        if (l1_index(q, next) != l1_index(q, off))
            break;
        r = get_entry(im, next, &slice, &i, &old);
        if (r || reusable(q, old))
            break;
        n++;
    }
    r = qcow2_alloc(im, &n, false, &at);
    if (r)
        return r;
    x->offset = at + in;
    x->len = min(len, (n << q->cluster_bits) - in);
    x->zeroed = at >= file_size(im->file) && !im->file->is_device;
    n -= (in + x->len + q->cluster - 1) >> q->cluster_bits; /* more than asked for? */
    BUG_ON(n);
    return 0;
}

void qcow2_cancel(struct img *im, u64 off, const struct extent *x)
{
    struct qcow2 *q = im->s;
    struct entry old;
    u8 *slice;
    u32 i;

    if (q->external)
        return;
    /* Link may have come half way: what is in the map stays there (its data may be half written,
     * as the guest will be told), and a cluster that was there before is not ours to free. */
    for (u64 at = align_down(off, q->cluster); at < off + x->len; at += q->cluster) {
        u64 host = align_down(x->offset, q->cluster) + (at - align_down(off, q->cluster));

        if (get_entry(im, at, &slice, &i, &old) ||
            (has_host(q, old) && (old.e & L2_OFFSET) == host))
            continue;
        qcow2_free(im, host, q->cluster);
    }
}

int qcow2_link(struct img *im, u64 off, const struct extent *x)
{
    struct qcow2 *q = im->s;
    u64 part = q->cluster / QCOW2_SUBCLUSTERS;

    for (u64 at = off; at < off + x->len;) {
        u64 in = at & (q->cluster - 1), n = min(off + x->len - at, q->cluster - in);
        u64 host = x->offset + (at - off) - in;
        struct entry old, new;
        u8 *slice;
        u32 i;
        int r = get_entry(im, at, &slice, &i, &old);

        if (r)
            return r;
        new.e = host | ENTRY_COPIED;
        new.bitmap = ALL_ALLOCATED;
        if (q->sub && n < q->cluster) {
            u64 mask = (BIT64(n / part) - 1) << in / part;

            new.bitmap = (old.bitmap & ~(mask << 32)) | mask;
        }
        r = set_entry(im, at, new);
        if (r)
            return r;
        if (!has_host(q, old) || (old.e & L2_OFFSET) != host)
            give_up(im, old);
        at += n;
    }
    return 0;
}

int qcow2_set_compressed(struct img *im, u64 off, u64 entry)
{
    struct entry old;
    u8 *slice;
    u32 i;
    int r = get_entry(im, off, &slice, &i, &old);

    if (!r)
        r = own_table(im, off);
    if (!r)
        r = set_entry(im, off, (struct entry){.e = entry});
    if (!r)
        give_up(im, old);
    return r;
}

/* ---------------------------------------------------------------------- unmap -- */

/* The entry after off..off+len of its cluster was unmapped; false = nothing changes. */
static int unmap_entry(struct img *im, u64 off, u64 len, enum unmap_how how)
{
    struct qcow2 *q = im->s;
    u64 part = q->cluster / QCOW2_SUBCLUSTERS, mask = ALL_ALLOCATED;
    bool zero = how != UNMAP_DISCARD || q->has_backing;
    struct entry old, new;
    u8 *slice;
    u32 i;
    int r = get_entry(im, off, &slice, &i, &old);

    if (r)
        return r;
    if (q->sub && len < q->cluster) {
        mask = (BIT64(len / part) - 1) << (off & (q->cluster - 1)) / part;
        /* Part of what is packed or shared: copied first, by writing. */
        if (old.e & L2_COMPRESSED || (has_host(q, old) && !(old.e & ENTRY_COPIED)))
            return -EOPNOTSUPP;
    }
    new.e = has_host(q, old) && old.e &ENTRY_COPIED ? old.e : 0;
    new.bitmap = old.e &L2_COMPRESSED ? 0 : old.bitmap;
    new.bitmap &= ~(mask | mask << 32);
    if (zero)
        new.bitmap |= mask << 32;
    if (!zero && kind_at(old, 0) == EXTENT_ZERO && !q->sub)
        return 0; /* a hole would say the same */
    if (how != UNMAP_KEEP && !(new.bitmap &ALL_ALLOCATED))
        new.e = 0;
    if (q->version < 3 && zero) {
        if (!has_host(q, old) && !(old.e & L2_COMPRESSED) && !q->has_backing)
            return 0;
        if (q->has_backing || how == UNMAP_KEEP)
            return -EOPNOTSUPP;
        new.bitmap = new.e = 0;
    }
    if (new.e == old.e &&new.bitmap == old.bitmap)
        return 0;
    r = own_table(im, off);
    if (!r)
        r = set_entry(im, off, new);
    if (!r && !new.e)
        give_up(im, old);
    return r;
}

int qcow2_unmap(struct img *im, u64 off, u64 len, enum unmap_how how, u64 *done)
{
    struct qcow2 *q = im->s;

    if (q->external && q->autoclear & QA_RAW_DATA)
        return -EOPNOTSUPP;
    while (*done < len) {
        u64 at = off + *done, n = min(len - *done, q->cluster - (at & (q->cluster - 1)));
        u64 li = l1_index(q, at), covers = q->l2_count << q->cluster_bits;
        int r = 0;

        /* Where there is no table there is nothing to discard. */
        if ((how == UNMAP_DISCARD || !q->has_backing) && !(q->l1[li] & L1_OFFSET))
            n = min(len - *done, covers - at % covers);
        else
            r = unmap_entry(im, at, n, how);
        if (r)
            return r;
        if (q->external && how != UNMAP_KEEP)
            file_discard(q->data, at, n);
        *done += n;
    }
    return 0;
}
