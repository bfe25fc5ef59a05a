/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2: persistent dirty bitmaps.  Wirt does not track changes in them.  They are kept: a check
 * counts their clusters, and before the first change to the disk those that must follow changes
 * ("auto") are marked as not up to date (in_use); the others stay as good as they are.
 */
#include "disk/qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BITMAP_TABLE_MAX = 1 << 23 }; /* entries */
enum { BITMAP_IN_USE = 1, BITMAP_AUTO = 2, BITMAP_KNOWN = 7 };

/* One entry of the directory; its length to *used. */
static int count_bitmap(struct img *im, const u8 *p, u64 left, u64 *used, struct disk_check *c,
                        struct check *k)
{
    struct qcow2 *q = im->s;
    u64 table, *entries;
    u32 n;
    int r;

    if (left < 24)
        return -EINVAL;
    table = be64_get(p);
    n = be32_get(p + 8);
    *used = align_up(24ull + be32_get(p + 20) + be16_get(p + 18), 8);
    if (*used > left || n > BITMAP_TABLE_MAX || table % q->cluster)
        return -EINVAL;
    if (!qcow2_check_count(k, table, n * 8ull))
        return -EINVAL;
    entries = malloc(max(n * 8ull, 8ull));
    r = entries ? file_read(im->file, table, entries, n * 8ull) : -ENOMEM;
    for (u32 i = 0; i < n && !r; i++) {
        u64 at = be64_get(&entries[i]) & L2_OFFSET;

        if (at && (at % q->cluster || !qcow2_check_count(k, at, q->cluster)))
            check_error(c, false, "bitmap table at %llu: entry %u is damaged",
                        (unsigned long long)table, i);
    }
    free(entries);
    return r;
}

int qcow2_bitmaps_count(struct img *im, struct disk_check *c, struct check *k, struct err *e)
{
    struct qcow2 *q = im->s;
    u64 at = 0, used = 0;
    u8 *dir;
    int r;

    if (!q->bitmaps)
        return 0;
    dir = malloc(q->bitmaps_size + 8);
    r = dir ? file_read(im->file, q->bitmaps, dir, q->bitmaps_size) : -ENOMEM;
    if (!r && !qcow2_check_count(k, q->bitmaps, q->bitmaps_size))
        r = -EINVAL;
    for (u32 i = 0; i < q->bitmaps_count && !r; i++) {
        r = count_bitmap(im, dir + at, q->bitmaps_size - at, &used, c, k);
        at += used;
    }
    free(dir);
    if (r == -EINVAL) {
        check_error(c, false, "the directory of bitmaps is damaged");
        return 0;
    }
    return r ? err_set(e, -r, "cannot read its bitmaps: %s", strerror(-r)) : 0;
}

/* Sets in_use where auto is; true: the directory is sound. */
static bool mark_all(const struct qcow2 *q, u8 *dir, bool *changed)
{
    u64 at = 0;

    for (u32 i = 0; i < q->bitmaps_count; i++) {
        u8 *p = dir + at;
        u32 flags;

        if (q->bitmaps_size - at < 24)
            return false;
        flags = be32_get(p + 12);
        if (flags & ~BITMAP_KNOWN)
            return false;
        if (flags & BITMAP_AUTO && !(flags & BITMAP_IN_USE)) {
            be32_put(p + 12, flags | BITMAP_IN_USE);
            *changed = true;
        }
        at += align_up(24ull + be32_get(p + 20) + be16_get(p + 18), 8);
        if (at > q->bitmaps_size)
            return false;
    }
    return true;
}

int qcow2_bitmaps_begin_write(struct img *im)
{
    struct qcow2 *q = im->s;
    bool changed = false;
    u8 *dir;
    int r;

    if (!(q->autoclear & QA_BITMAPS))
        return 0;
    dir = malloc(q->bitmaps_size + 8);
    r = dir ? file_read(im->file, q->bitmaps, dir, q->bitmaps_size) : -ENOMEM;
    if (!r && !mark_all(q, dir, &changed))
        q->autoclear &= ~QA_BITMAPS; /* the caller writes the header */
    else if (!r && changed)
        r = file_write(im->file, q->bitmaps, dir, q->bitmaps_size);
    free(dir);
    return r || !changed ? r : file_flush(im->file);
}
