/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHDX (Hyper-V since 2012): opening: headers, the log, regions, metadata.  Source: [MS-VHDX].
 *
 * Not here: metadata of the user's (kept, not shown).
 */
#include "disk/vhdx.h"
#include "base/crc32c.h"
#include "base/trace.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int vhdx_corrupt(struct img *im, const char *fmt, ...)
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

bool guid_is(const u8 *guid, const char *text)
{
    char have[GUID_TEXT];

    guid_text(guid, have);
    return !strncmp(have + 1, text, 36);
}

u32 vhdx_checksum(const u8 *p, size_t len, size_t field)
{
    static const u8 zeros[4];
    u32 c = crc32c(0, p, field);

    c = crc32c(c, zeros, 4);
    return crc32c(c, p + field + 4, len - field - 4);
}

static bool vhdx_probe(const struct probe *p)
{
    return le64_get(p->head) == VHDX_SIGNATURE;
}

/* ----------------------------------------------------------------------- pages -- */

int vhdx_read(struct img *im, u64 off, void *buf, u64 len)
{
    struct vhdx *s = im->s;

    for (u64 n; len; off += n, buf = (u8 *)buf + n, len -= n) {
        u64 in = off % VHDX_PAGE;
        u8 *page;
        int r = tcache_get(s->pages, off - in, false, &page);

        if (r)
            return r;
        n = min(len, VHDX_PAGE - in);
        memcpy(buf, page + in, n);
    }
    return 0;
}

int vhdx_change(struct img *im, u64 off, const void *buf, u64 len)
{
    struct vhdx *s = im->s;

    for (u64 n; len; off += n, buf = (const u8 *)buf + n, len -= n) {
        u64 in = off % VHDX_PAGE;
        u8 *page;
        int r = tcache_get(s->pages, off - in, false, &page);

        if (r)
            return r;
        n = min(len, VHDX_PAGE - in);
        memcpy(page + in, buf, n);
        tcache_dirty(s->pages, page, 0);
        im->dirty = true;
    }
    if (tcache_full(s->pages))
        im->full = true;
    return 0;
}

/* --------------------------------------------------------------------- headers -- */

static const u64 header_at[2] = {VHDX_HEADER_1, VHDX_HEADER_2};

static int read_headers(struct img *im, struct err *e)
{
    struct vhdx *s = im->s;
    u8 h[2][VHDX_PAGE];

    for (unsigned i = 0; i < 2; i++) {
        int r = file_read(im->file, header_at[i], h[i], VHDX_PAGE);

        if (r)
            return err_set(e, -r, "cannot read the headers: %s", strerror(-r));
        s->slot_bad[i] = memcmp(h[i], "head", 4) || le32_get(h[i] + XH_CHECKSUM) !=
                                                        vhdx_checksum(h[i], VHDX_PAGE, XH_CHECKSUM);
    }
    if (s->slot_bad[0] && s->slot_bad[1])
        return err_set(e, EINVAL, "neither header has a right signature and checksum");
    s->slot = s->slot_bad[0] ||
              (!s->slot_bad[1] && le64_get(h[1] + XH_SEQUENCE) > le64_get(h[0] + XH_SEQUENCE));
    memcpy(s->header, h[s->slot], VHDX_PAGE);
    if (le16_get(s->header + XH_VERSION) != 1)
        return err_set(e, EINVAL, "version %u is not known", le16_get(s->header + XH_VERSION));
    s->log_offset = le64_get(s->header + XH_LOG_OFFSET);
    s->log_length = le32_get(s->header + XH_LOG_LENGTH);
    if (s->log_offset % VHDX_MB || s->log_length % VHDX_MB || s->log_length > VHDX_LOG_MAX ||
        (s->log_length && s->log_offset < VHDX_MB) ||
        !range_within(s->log_offset, s->log_length, 0, VHDX_FILE_MAX))
        return err_set(e, EINVAL, "log offset %llu or length %u", (unsigned long long)s->log_offset,
                       s->log_length);
    if (!s->log_length && !im->b.readonly)
        return err_set(e, EROFS, "has no log, without which it cannot be changed");
    return 0;
}

int vhdx_write_header(struct img *im, bool both)
{
    struct vhdx *s = im->s;

    for (unsigned i = 0; i <= both; i++) {
        u8 h[VHDX_PAGE];
        int r;

        memcpy(h, s->header, VHDX_PAGE);
        le64_put(h + XH_SEQUENCE, le64_get(s->header + XH_SEQUENCE) + 1);
        le32_put(h + XH_CHECKSUM, vhdx_checksum(h, VHDX_PAGE, XH_CHECKSUM));
        r = file_write(im->file, header_at[!s->slot], h, VHDX_PAGE);
        if (!r)
            r = file_flush(im->file);
        if (r)
            return r;
        s->slot = !s->slot;
        s->slot_bad[s->slot] = false;
        memcpy(s->header, h, VHDX_PAGE);
    }
    return 0;
}

int vhdx_begin(struct img *im, bool data)
{
    struct vhdx *s = im->s;
    u8 old[VHDX_PAGE];
    int r;

    memcpy(old, s->header, VHDX_PAGE);
    if (!s->begun)
        guid_random(s->header + XH_FILE_GUID);
    if (data)
        guid_random(s->header + XH_DATA_GUID);
    r = vhdx_write_header(im, true);
    if (r)
        memcpy(s->header, old, VHDX_PAGE);
    else
        s->begun = true;
    return r;
}

static int vhdx_begin_write(struct img *im)
{
    return vhdx_begin(im, true);
}

/* --------------------------------------------------------------------- regions -- */

static bool overlap(u64 a, u64 alen, u64 b, u64 blen)
{
    return a < b + blen && b < a + alen;
}

static int read_region(struct img *im, const u8 *entry, struct err *e)
{
    struct vhdx *s = im->s;
    u64 at = le64_get(entry + 16);
    u32 len = le32_get(entry + 24);
    char id[GUID_TEXT];
    bool bat = guid_is(entry, VHDX_BAT_REGION);

    guid_text(entry, id);
    if (!bat && !guid_is(entry, VHDX_METADATA_REGION)) {
        if (le32_get(entry + 28) & 1)
            return err_set(e, EINVAL, "needs the region %s, which Wirt does not know", id);
        return 0;
    }
    if (at % VHDX_MB || at < VHDX_MB || len % VHDX_MB || !len || !range_within(at, len, 0, s->last))
        return err_set(e, EINVAL, "region %s: offset %llu or length %u", id, (unsigned long long)at,
                       len);
    if (overlap(at, len, s->log_offset, s->log_length) || overlap(at, len, s->bat, s->bat_length) ||
        overlap(at, len, s->meta, s->meta_length))
        return err_set(e, EINVAL, "region %s overlaps another, or the log", id);
    if (bat) {
        s->bat = at;
        s->bat_length = len;
    } else {
        s->meta = at;
        s->meta_length = len;
    }
    return 0;
}

static int read_regions(struct img *im, struct err *e)
{
    struct vhdx *s = im->s;
    u8 *t = malloc(2 * VHDX_TABLE), *use = NULL;
    int r = t ? 0 : -ENOMEM;

    for (unsigned i = 0; i < 2 && !r; i++) {
        u8 *p = t + i * VHDX_TABLE;

        r = vhdx_read(im, i ? VHDX_REGIONS_2 : VHDX_REGIONS_1, p, VHDX_TABLE);
        s->regions_bad[i] = r || memcmp(p, "regi", 4) ||
                            le32_get(p + 4) != vhdx_checksum(p, VHDX_TABLE, 4) ||
                            le32_get(p + 8) > VHDX_TABLE_MAX;
        if (!s->regions_bad[i] && !use)
            use = p;
    }
    if (r)
        err_set(e, -r, "cannot read the region tables: %s", strerror(-r));
    else if (!use)
        r = err_set(e, EINVAL, "neither region table has a right signature and checksum");
    for (u32 i = 0; !r && i < le32_get(use + 8); i++)
        r = read_region(im, use + 16 + i * 32, e);
    if (!r && (!s->bat_length || !s->meta_length))
        r = err_set(e, EINVAL, "no %s region", s->bat_length ? "metadata" : "BAT");
    free(t);
    return r;
}

/* -------------------------------------------------------------------- metadata -- */

/* What is wanted of the items. */
struct items {
    u8 params[8], size[8], id[16], logical[4], physical[4];
    unsigned found; /* a bit each */
    struct {
        u32 at, len;
    } place[6];
};

/* Of two items in the same bytes one would change with the other. */
static bool overlaps(const struct items *it, u32 at, u32 len)
{
    for (unsigned i = 0; i < ARRAY_SIZE(it->place); i++)
        if (it->found & BIT(i) && at < it->place[i].at + it->place[i].len &&
            it->place[i].at < at + len)
            return true;
    return false;
}

static int read_item(struct img *im, const u8 *entry, struct items *it, struct err *e)
{
    struct vhdx *s = im->s;
    u32 at = le32_get(entry + 16), len = le32_get(entry + 20), flags = le32_get(entry + 24);
    const struct {
        const char *id;
        u8 *to;
        u32 len;
    } known[] = {{VHDX_FILE_PARAMETERS, it->params, 8},
                 {VHDX_DISK_SIZE, it->size, 8},
                 {VHDX_DISK_ID, it->id, 16},
                 {VHDX_LOGICAL_SECTOR, it->logical, 4},
                 {VHDX_PHYSICAL_SECTOR, it->physical, 4},
                 {VHDX_PARENT_LOCATOR, NULL, 0}};
    char id[GUID_TEXT];
    int r;

    guid_text(entry, id);
    for (unsigned i = 0; i < ARRAY_SIZE(known) && !(flags & 1); i++) {
        if (!guid_is(entry, known[i].id))
            continue;
        if (at < VHDX_TABLE || len < known[i].len || !range_within(at, len, 0, s->meta_length))
            return err_set(e, EINVAL, "metadata item %s: offset %u or length %u", id, at, len);
        if (it->found & BIT(i))
            return err_set(e, EINVAL, "metadata item %s is there twice", id);
        if (overlaps(it, at, len))
            return err_set(e, EINVAL, "metadata item %s: offset %u is inside another", id, at);
        it->found |= BIT(i);
        it->place[i].at = at;
        it->place[i].len = len;
        if (i == 1)
            s->size_item = s->meta + at;
        if (!known[i].to) {
            s->locator = s->meta + at;
            s->locator_length = len;
            return 0;
        }
        r = vhdx_read(im, s->meta + at, known[i].to, known[i].len);
        return r ? err_set(e, -r, "cannot read the metadata: %s", strerror(-r)) : 0;
    }
    if (flags & 4)
        return err_set(e, EINVAL, "needs the metadata item %s, which Wirt does not know", id);
    return 0;
}

static int use_items(struct img *im, const struct items *it, struct err *e)
{
    struct vhdx *s = im->s;
    u64 entries, chunks;
    u32 bits = le32_get(it->params + 4);

    if ((it->found & 0x1f) != 0x1f)
        return err_set(e, EINVAL, "a metadata item is missing (have 0x%x)", it->found);
    s->block = le32_get(it->params);
    s->has_parent = bits & 2;
    s->leave_allocated = bits & 1 && !s->has_parent;
    im->b.size = le64_get(it->size);
    memcpy(s->disk_id, it->id, GUID_LEN);
    s->sector = le32_get(it->logical);
    s->physical = le32_get(it->physical);
    if (!is_pow2(s->block) || s->block < VHDX_MB || s->block > VHDX_BLOCK_MAX)
        return err_set(e, EINVAL, "block size %u", s->block);
    if ((s->sector != 512 && s->sector != 4096) || (s->physical != 512 && s->physical != 4096))
        return err_set(e, EINVAL, "logical sector size %u or physical sector size %u", s->sector,
                       s->physical);
    if (!im->b.size || im->b.size % s->sector || im->b.size > VHDX_SIZE_MAX)
        return err_set(e, EINVAL, "virtual disk size %llu", (unsigned long long)im->b.size);
    if (s->has_parent && !(it->found & 0x20))
        return err_set(e, EINVAL, "has a parent, but no parent locator");
    s->ratio = (u32)(VHDX_CHUNK_BITS * s->sector / s->block);
    s->blocks = (im->b.size + s->block - 1) / s->block;
    chunks = (s->blocks + s->ratio - 1) / s->ratio;
    entries = s->has_parent ? chunks * (s->ratio + 1) : s->blocks + (s->blocks - 1) / s->ratio;
    if (entries * 8 > s->bat_length)
        return err_set(e, EINVAL, "the BAT region of %u bytes is too small for the disk",
                       s->bat_length);
    im->b.sector = s->sector;
    im->b.block_size = max(s->physical, s->sector);
    im->unit = s->block;
    im->granule = s->sector;
    return 0;
}

static int read_metadata(struct img *im, struct err *e)
{
    struct vhdx *s = im->s;
    struct items it = {.found = 0};
    u8 head[32], entry[32];
    int r = vhdx_read(im, s->meta, head, sizeof(head));

    if (r)
        return err_set(e, -r, "cannot read the metadata: %s", strerror(-r));
    if (memcmp(head, "metadata", 8) || le16_get(head + 10) > VHDX_TABLE_MAX)
        return err_set(e, EINVAL, "metadata table: signature or entry count %u",
                       le16_get(head + 10));
    for (u32 i = 1; i <= le16_get(head + 10) && !r; i++) {
        r = vhdx_read(im, s->meta + i * 32, entry, sizeof(entry));
        if (r)
            return err_set(e, -r, "cannot read the metadata: %s", strerror(-r));
        r = read_item(im, entry, &it, e);
    }
    return r ? r : use_items(im, &it, e);
}

/* ------------------------------------------------------------------------ life -- */

static int vhdx_open(struct img *im, struct err *e)
{
    struct vhdx *s = im->s = calloc(1, sizeof(*s));
    u8 head[8];
    int r;

    if (!s)
        return err_set(e, ENOMEM, "out of memory");
    /* 32 MiB of pages: the BAT of 128 TiB in blocks of 32 MiB. */
    s->pages = tcache_new(im->file, VHDX_PAGE, 8192);
    if (!s->pages)
        return err_set(e, ENOMEM, "out of memory");
    r = file_read(im->file, 0, head, sizeof(head));
    if (r || le64_get(head) != VHDX_SIGNATURE)
        return err_set(e, r ? -r : EINVAL, "is no VHDX image");
    r = read_headers(im, e);
    s->last = im->file->size;
    if (!r)
        r = vhdx_log_open(im, e);
    if (!r)
        r = read_regions(im, e);
    if (!r)
        r = read_metadata(im, e);
    if (!r && !im->b.readonly && !im->opt.for_check)
        r = vhdx_scan(im, NULL, e);
    if (!r && s->has_parent)
        r = vhdx_open_parent(im, e);
    return r;
}

static void vhdx_close(struct img *im)
{
    struct vhdx *s = im->s;

    if (!s)
        return;
    if (s->log_set && !im->dirty)
        vhdx_log_close(im); /* if that fails there is a log to replay, which is no harm */
    tcache_free(s->pages);
    free(s->batch);
    free(s->used);
    free(s);
}

static void vhdx_info(struct img *im, struct disk_info *i)
{
    const struct vhdx *s = im->s;
    char id[GUID_TEXT];

    guid_text(s->disk_id, id);
    i->text(i, "subformat",
            s->has_parent        ? "differencing"
            : s->leave_allocated ? "fixed"
                                 : "dynamic");
    i->number(i, "cluster-size", s->block);
    i->number(i, "log-size", s->log_length);
    i->number(i, "logical-sector-size", s->sector);
    i->number(i, "physical-sector-size", s->physical);
    i->text(i, "disk-id", id);
    guid_text(s->header + XH_DATA_GUID, id);
    i->text(i, "data-write-guid", id);
    if (im->parent)
        i->text(i, "backing-filename", im->parent->path);
}

const struct format format_vhdx = {
    .name = "vhdx",
    .title = "VHDX",
    .caps = DISK_CAN_WRITE | DISK_CAN_CREATE | DISK_CAN_RESIZE | DISK_CAN_CHECK | DISK_CAN_REPAIR |
            DISK_CAN_BACKING,
    .options = vhdx_options,
    .probe = vhdx_probe,
    .open = vhdx_open,
    .close = vhdx_close,
    .map = vhdx_map,
    .allocate = vhdx_allocate,
    .link = vhdx_link,
    .cancel = vhdx_cancel,
    .unmap = vhdx_unmap,
    .free = vhdx_free,
    .write_back = vhdx_write_back,
    .write_back_done = vhdx_write_back_done,
    .begin_write = vhdx_begin_write,
    .create = vhdx_create,
    .resize = vhdx_resize,
    .check = vhdx_check,
    .info = vhdx_info,
};
