/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parallels' expandable image: a header, a table of clusters (BAT) right behind it, clusters.
 *
 * in_use is set while we write and cleared at close.  After a crash it says so, but our order on
 * the disk leaves an image that is right: who finds it set looks through the table and goes on.
 * Clearing it as 0 says that the format extension (dirty bitmaps) does not count any more.
 */
#include "disk/parallels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FEATURES_MAX = 1024 };                /* of a format extension */
#define FEATURE_BITMAP 0x20385fae252cb34aull /* which is dropped */

bool hds_is(const u8 *head)
{
    return !memcmp(head, HDS_MAGIC_OLD, 16) || !memcmp(head, HDS_MAGIC_NEW, 16);
}

/* ------------------------------------------------------------------ opening -- */

static int check_header(struct hds *h, const u8 *p, struct err *e)
{
    bool old = !memcmp(p, HDS_MAGIC_OLD, 16);
    u32 version = le32_get(p + HH_VERSION), tracks = le32_get(p + HH_TRACKS);
    u32 in_use = le32_get(p + HH_IN_USE);
    u64 sectors = old ? le32_get(p + HH_SECTORS) : le64_get(p + HH_SECTORS), end;

    if (!hds_is(p))
        return err_set(e, EINVAL, "is no Parallels image");
    if (version != 2)
        return err_set(e, EINVAL, "version %u is not known", version);
    if (!tracks || tracks > HDS_TRACKS_MAX)
        return err_set(e, EINVAL, "tracks %u is not within 1..%u", tracks, HDS_TRACKS_MAX);
    if (in_use && in_use != HDS_IN_USE && in_use != HDS_EXTENDED)
        return err_set(e, EINVAL, "in_use 0x%x is not known", in_use);
    h->unclean = in_use == HDS_IN_USE;
    h->cluster = (u64)tracks * HDS_SECTOR;
    h->factor = old ? HDS_SECTOR : h->cluster;
    h->entries = le32_get(p + HH_ENTRIES);
    if (h->entries > HDS_ENTRIES_MAX)
        return err_set(e, EINVAL, "nb_bat_entries %u is more than %u", h->entries, HDS_ENTRIES_MAX);
    if (!sectors || sectors > (u64)h->entries * tracks)
        return err_set(e, EINVAL, "nb_sectors %llu is 0 or more than its clusters hold",
                       (unsigned long long)sectors);
    h->size = sectors * HDS_SECTOR;
    end = align_up(HH_BAT + (u64)h->entries * 4, HDS_SECTOR);
    h->data = (u64)le32_get(p + HH_DATA) * HDS_SECTOR;
    if (!h->data && old)
        h->data = end;
    if (h->data < end || (!old && h->data % h->cluster))
        return err_set(e, EINVAL, "data_off %u", le32_get(p + HH_DATA));
    h->head_len = end;
    return 0;
}

/* What of the extension must be known by who changes the image.  It fills a cluster, which may be
 * large: only the features' headers are read. */
static int check_extension(struct hds *h, struct err *e)
{
    u64 at = le64_get(h->head + HH_EXTENSION);

    if (!at || le32_get(h->head + HH_IN_USE) != HDS_EXTENDED)
        return 0;
    if (at > (u64)INT64_MAX / HDS_SECTOR - h->cluster || h->cluster < 48)
        return err_set(e, EINVAL, "ext_off %llu", (unsigned long long)at);
    u64 pos = 24;
    for (unsigned n = 0; pos + 24 <= h->cluster; n++) {
        u8 p[24];
        int r = file_read(h->file, at * HDS_SECTOR + pos, p, sizeof(p));

        if (r)
            return err_set(e, -r, "cannot read the format extension: %s", strerror(-r));
        if (!le64_get(p))
            return 0;
        if (n == FEATURES_MAX)
            return err_set(e, EINVAL, "its format extension has more than %u parts", FEATURES_MAX);
        if (le64_get(p + 8) & 1 && le64_get(p) != FEATURE_BITMAP)
            return err_set(e, EROFS,
                           "its extension 0x%llx must be kept, and Wirt does not know it "
                           "(\"readonly\" or \"snapshot\" would do)",
                           (unsigned long long)le64_get(p));
        pos += 24 + align_up((u64)le32_get(p + 16), 8);
    }
    return 0;
}

int hds_count(struct hds *h)
{
    u64 size = file_size(h->file), there = size > h->data ? (size - h->data) / h->cluster : 0;
    u8 *used;

    h->limit = min(max((u64)h->entries, there + 1), (u64)2 * HDS_ENTRIES_MAX);
    used = calloc((h->limit + 7) / 8, 1);
    if (!used)
        return -ENOMEM;
    free(h->used);
    h->used = used;
    h->damaged = false;
    h->high = h->first_free = 0;
    for (u32 i = 0; i < h->entries; i++) {
        u32 entry = hds_entry(h, i);
        u64 at = hds_offset(h, entry), n = (at - h->data) / h->cluster;

        if (!entry)
            continue;
        if (at < h->data || (at - h->data) % h->cluster || n >= h->limit ||
            used[n / 8] & 1 << n % 8) {
            h->damaged = true;
            continue;
        }
        used[n / 8] |= (u8)(1 << n % 8);
        h->high = max(h->high, n + 1);
    }
    return 0;
}

int hds_open(struct img *im, struct hds *h, bool write, struct err *e)
{
    u8 first[HDS_SECTOR];
    int r = file_read(h->file, 0, first, sizeof(first));

    if (!r)
        r = check_header(h, first, e);
    else
        err_set(e, -r, "cannot read the header: %s", strerror(-r));
    if (r)
        return r;
    if (HH_BAT + (u64)h->entries * 4 > file_size(h->file))
        return err_set(e, EINVAL, "nb_bat_entries %u: the table is longer than the file",
                       h->entries);
    h->head = calloc(h->head_len, 1);
    h->head_dirty = calloc(h->head_len / HDS_SECTOR, 1);
    if (!h->head || !h->head_dirty)
        return err_set(e, ENOMEM, "out of memory");
    r = file_read(h->file, 0, h->head, h->head_len);
    if (r)
        return err_set(e, -r, "cannot read the table of clusters: %s", strerror(-r));
    if (le32_get(h->head + HH_FLAGS) & HDS_EMPTY)
        memset(h->head + HH_BAT, 0, h->head_len - HH_BAT);
    if (!write && !im->opt.for_check)
        return 0;
    if (write && !is_pow2(h->cluster))
        return err_set(e, EROFS,
                       "tracks %llu: Wirt only reads clusters that are no power of two "
                       "(\"readonly\" or \"snapshot\" would do)",
                       (unsigned long long)(h->cluster / HDS_SECTOR));
    if (hds_count(h))
        return err_set(e, ENOMEM, "out of memory");
    if (h->damaged && !im->opt.for_check)
        return err_set(e, EIO,
                       "BAT: entries share a cluster or lie outside: check and repair it first "
                       "(or \"readonly\")");
    return write ? check_extension(h, e) : 0;
}

void hds_close(struct hds *h)
{
    u64 end = h->data + h->high * h->cluster;

    /* Nobody used it any more, and nothing is left to write. */
    if (h->marked && !h->any_dirty) {
        if (!h->file->is_device && h->high && file_size(h->file) > h->data &&
            file_size(h->file) < end)
            file_truncate(h->file, end);
        le32_put(h->head + HH_IN_USE, 0);
        if (!file_flush(h->file) && !file_write(h->file, 0, h->head, HDS_SECTOR))
            file_flush(h->file);
    }
    free(h->head);
    free(h->head_dirty);
    free(h->used);
}

/* ------------------------------------------------------------------ changing -- */

void hds_set_entry(struct img *im, struct hds *h, u64 i, u32 entry)
{
    u64 at = HH_BAT + 4 * i;

    le32_put(h->head + at, entry);
    h->head_dirty[at / HDS_SECTOR] = 1;
    h->any_dirty = im->dirty = true;
}

static bool is_used(const struct hds *h, u64 n)
{
    return h->used[n / 8] & 1 << n % 8;
}

int hds_take(struct hds *h, u64 *n, u64 *offset)
{
    u64 want = *n, first;

    while (h->first_free < h->entries && is_used(h, h->first_free))
        h->first_free++;
    first = h->first_free;
    for (*n = 0; *n < want && first + *n < h->entries && !is_used(h, first + *n); ++*n) {
        if ((h->data + (first + *n) * h->cluster) / h->factor > UINT32_MAX)
            break;
        h->used[(first + *n) / 8] |= (u8)(1 << (first + *n) % 8);
    }
    if (!*n)
        return -ENOSPC;
    h->high = max(h->high, first + *n);
    *offset = h->data + first * h->cluster;
    return 0;
}

void hds_give_back(struct hds *h, u64 offset, u64 n)
{
    u64 first = (offset - h->data) / h->cluster;

    for (u64 i = first; i < first + n; i++)
        h->used[i / 8] &= (u8) ~(1 << i % 8);
    h->first_free = min(h->first_free, first);
    while (h->high && !is_used(h, h->high - 1))
        h->high--;
}

/* The header's sector is written last: an image that was empty then has its table already. */
int hds_mark_in_use(struct hds *h)
{
    int r = 0;

    if (h->marked)
        return 0;
    if (le32_get(h->head + HH_FLAGS) & HDS_EMPTY) {
        r = file_write(h->file, HDS_SECTOR, h->head + HDS_SECTOR, h->head_len - HDS_SECTOR);
        if (!r)
            r = file_flush(h->file);
        le32_put(h->head + HH_FLAGS, le32_get(h->head + HH_FLAGS) & ~(u32)HDS_EMPTY);
    }
    le32_put(h->head + HH_IN_USE, HDS_IN_USE);
    le64_put(h->head + HH_EXTENSION, 0);
    if (!r)
        r = file_write(h->file, 0, h->head, HDS_SECTOR);
    if (!r)
        r = file_flush(h->file);
    h->marked = !r;
    return r;
}

int hds_write_back(struct hds *h, unsigned stage)
{
    u64 sectors = h->head_len / HDS_SECTOR;

    for (u64 s = 0; stage && s < sectors && h->any_dirty; s++) {
        int r;

        if (h->head_dirty[s] != 1)
            continue;
        r = file_write(h->file, s * HDS_SECTOR, h->head + s * HDS_SECTOR, HDS_SECTOR);
        if (r)
            return r;
        h->head_dirty[s] = 2;
    }
    return 0;
}

void hds_done(struct hds *h, bool ok)
{
    u64 sectors = h->any_dirty ? h->head_len / HDS_SECTOR : 0;

    for (u64 s = 0; s < sectors; s++)
        if (h->head_dirty[s])
            h->head_dirty[s] = !ok;
    if (ok)
        h->any_dirty = false;
}
