/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHD: new images, other sizes, checks.
 */
#include "disk/vhd.h"
#include "disk/winpath.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BLOCK = 2 << 20 };

#define VHD_SIZE_MAX (0xff000000ull * 512) /* 2040 GiB, what every reader takes */

const struct create_option vhd_options[] = {
    {"subformat", "dynamic (default) or fixed"},
    {"force_size",
     "exactly this size, not rounded up to cylinders, heads and sectors (default off)"},
    {0},
};

/* ------------------------------------------------------------------- create -- */

static void make_footer(u8 *f, u32 type, u64 size)
{
    memset(f, 0, VHD_FOOTER);
    memcpy(f, VHD_COOKIE, 8);
    be32_put(f + VF_FEATURES, 2); /* reserved, always set */
    be32_put(f + VF_VERSION, VHD_VERSION);
    be64_put(f + VF_DATA_OFFSET, type == VHD_FIXED ? UINT64_MAX : VHD_FOOTER);
    be32_put(f + VF_TIMESTAMP, (u32)(time(NULL) - VHD_EPOCH));
    memcpy(f + VF_CREATOR, "wirt", 4);
    be32_put(f + VF_CREATOR_VERSION, VHD_VERSION);
    memcpy(f + VF_CREATOR_OS, "Wi2k", 4); /* the only one that all readers take */
    be64_put(f + VF_ORIGINAL_SIZE, size);
    vhd_put_size(f, size);
    be32_put(f + VF_TYPE, type);
    guid_random(f + VF_UUID);
    vhd_seal_footer(f);
}

static void make_header(u8 *h, u64 table, u64 size, u32 block)
{
    memset(h, 0, VHD_HEADER);
    memcpy(h, VHD_HEADER_COOKIE, 8);
    be64_put(h + VD_DATA_OFFSET, UINT64_MAX);
    be64_put(h + VD_TABLE, table);
    be32_put(h + VD_VERSION, VHD_VERSION);
    be32_put(h + VD_ENTRIES, (u32)((size + block - 1) / block));
    be32_put(h + VD_BLOCK, block);
}

/* Rounded up to a size that a geometry can say, as far as there are geometries. */
static u64 round_size(u64 size)
{
    u64 sectors = min(size / 512, 65535ull * 16 * 255), got = 0;
    u16 cylinders;
    u8 heads, spt;

    for (u64 i = 0; got < sectors; i++)
        got = vhd_geometry(sectors + i, &cylinders, &heads, &spt);
    return got >= 65535ull * 16 * 255 ? size : got * 512;
}

static int write_dynamic(struct file *f, const struct disk_create *c, u64 size, struct err *e)
{
    u8 footer[VHD_FOOTER], header[VHD_HEADER], *locators = NULL, *bat;
    u64 entries = (size + BLOCK - 1) / BLOCK, locators_len = 0, table;
    u64 bat_len = align_up(entries * 4, 512), at = VHD_FOOTER + VHD_HEADER;
    struct img *parent = NULL;
    int r = 0;

    make_footer(footer, c->backing ? VHD_DIFFERENCING : VHD_DYNAMIC, size);
    make_header(header, 0, size, BLOCK);
    if (c->backing) {
        r = create_open_backing(c, &parent, e);
        if (!r)
            r = vhd_name_parent(header, parent, c->backing, at, &locators, &locators_len, e);
        img_close(parent);
        if (r)
            return r;
    }
    table = at + locators_len;
    be64_put(header + VD_TABLE, table);
    vhd_seal_header(header);
    bat = malloc(bat_len + VHD_FOOTER);
    if (!bat) {
        free(locators);
        return err_set(e, ENOMEM, "out of memory");
    }
    memset(bat, 0xff, bat_len);
    memcpy(bat + bat_len, footer, VHD_FOOTER);
    r = file_write(f, table, bat, bat_len + VHD_FOOTER);
    if (!r)
        r = file_write(f, at, locators, locators_len);
    if (!r)
        r = file_write(f, VHD_FOOTER, header, VHD_HEADER);
    if (!r)
        r = file_write(f, 0, footer, VHD_FOOTER);
    free(locators);
    free(bat);
    return r ? err_set(e, -r, "cannot write it: %s", strerror(-r)) : 0;
}

static int write_fixed(struct file *f, u64 size, struct err *e)
{
    u8 footer[VHD_FOOTER];
    int r = 0;

    make_footer(footer, VHD_FIXED, size);
    if (f->is_device)
        r = file_zero(f, 0, size);
    if (!r)
        r = file_write(f, size, footer, VHD_FOOTER);
    return r ? err_set(e, -r, "cannot write it: %s", strerror(-r)) : 0;
}

int vhd_create(const struct disk_create *c, struct err *e)
{
    static const char *const subformats[] = {"dynamic", "fixed", NULL};
    unsigned fixed = 0;
    bool exact = false;
    u64 size = align_up(c->size, 512);
    struct file *f;
    int r = create_bool(c, "force_size", &exact, e);

    if (!r)
        r = create_choice(c, "subformat", subformats, &fixed, e);
    if (r)
        return r;
    if (fixed && c->backing)
        return err_set(e, EINVAL, "subformat=fixed has no backing file");
    if (!exact && !c->backing)
        size = round_size(size);
    if (size > VHD_SIZE_MAX)
        return err_set(e, EFBIG, "VHD disks have at most 2040 GiB");
    r = file_open(&f, c->path, FILE_CREATE, &c->io, e);
    if (r)
        return r;
    r = fixed ? write_fixed(f, size, e) : write_dynamic(f, c, size, e);
    if (!r) {
        r = file_flush(f);
        if (r)
            err_set(e, -r, "cannot write it: %s", strerror(-r));
    }
    file_close(f);
    return r;
}

/* ------------------------------------------------------------------- resize -- */

/* The size in both footers.  Order: the one at the end first; at any time one of them is whole. */
static int set_size(struct img *im, u64 size)
{
    struct vhd *s = im->s;

    memcpy(s->footer + VF_CREATOR, "wirt", 4); /* whose size field counts */
    vhd_put_size(s->footer, size);
    im->b.size = size;
    return vhd_write_footers(im);
}

static int resize_fixed(struct img *im, u64 size)
{
    struct vhd *s = im->s;
    u64 old = im->b.size, old_footer = s->footer_at;
    int r;

    if (size == old)
        return 0;
    r = set_size(im, size);
    if (r)
        return r;
    if (size > old) /* the old footer is the guest's data now */
        r = file_zero(im->file, old, min(old_footer + VHD_FOOTER, size) - old);
    else
        r = file_truncate(im->file, size + VHD_FOOTER);
    return r ? r : file_flush(im->file);
}

/* A table for `entries` entries behind everything; then the header, one sector of which says so,
 * refers to it. */
static int move_table(struct img *im, u32 entries)
{
    struct vhd *s = im->s;
    u64 len = align_up((u64)entries * 4, 512), at = s->next;
    u8 *bat = malloc(len);
    int r;

    if (!bat)
        return -ENOMEM;
    memset(bat, 0xff, len);
    for (u32 i = 0; i < s->entries; i++)
        be32_put(bat + i * 4ull, s->bat[i]);
    r = file_write(im->file, at, bat, len);
    free(bat);
    if (!r) {
        s->next = at + len;
        r = vhd_write_footers(im);
    }
    if (r)
        return r;
    be64_put(s->header + VD_TABLE, at);
    be32_put(s->header + VD_ENTRIES, entries);
    vhd_seal_header(s->header);
    r = file_write(im->file, be64_get(s->footer + VF_DATA_OFFSET), s->header, 512);
    if (!r)
        r = file_flush(im->file);
    if (!r)
        s->bat_offset = at;
    return r;
}

static int grow_arrays(struct vhd *s, u32 entries)
{
    u64 sectors = ((u64)entries * 4 + 511) / 512, old = ((u64)s->entries * 4 + 511) / 512;
    u32 *bat = realloc(s->bat, sectors * 512);
    u8 *dirty, *full;

    if (!bat)
        return -ENOMEM;
    s->bat = bat;
    dirty = realloc(s->bat_dirty, sectors);
    if (!dirty)
        return -ENOMEM;
    s->bat_dirty = dirty;
    full = realloc(s->full, entries / 8 + 1);
    if (!full)
        return -ENOMEM;
    s->full = full;
    memset(dirty + old, 0, sectors - old);
    memset(full + s->entries / 8 + 1, 0, entries / 8 - s->entries / 8);
    memset(bat + s->entries, 0xff, sectors * 512 - (u64)s->entries * 4);
    for (u32 i = s->entries; i < entries; i++)
        full[i / 8] &= (u8) ~(1 << i % 8);
    return 0;
}

/* The part of the last block behind the new end must read as zeros if the disk grows again. */
static int clear_rest(struct img *im, u64 size)
{
    struct vhd *s = im->s;
    u64 b = size / s->block, in = size % s->block, at = (u64)s->bat[b] * 512;

    if (!in || s->bat[b] == (u32)VHD_UNUSED || at < s->start || at >= s->trusted)
        return 0;
    return file_zero(im->file, at + s->bitmap + in, s->block - in);
}

static int drop_blocks(struct img *im, u32 entries)
{
    struct vhd *s = im->s;

    for (u32 i = entries; i < s->entries; i++) {
        if (s->bat[i] == (u32)VHD_UNUSED)
            continue;
        s->bat[i] = (u32)VHD_UNUSED; /* in the middle of the file its room is lost */
        s->full[i / 8] &= (u8) ~(1 << i % 8);
        s->bat_dirty[i / 128] = 1;
        s->bat_any = true;
    }
    if (!s->bat_any)
        return 0;
    int r = vhd_write_back(im, 0);

    if (!r || r == 1)
        r = file_flush(im->file);
    if (!r)
        r = vhd_write_back(im, 1);
    if (!r)
        r = file_flush(im->file);
    vhd_write_back_done(im, !r);
    return r;
}

/* Gives back what lies behind the last block and the table. */
static int cut_end(struct img *im)
{
    struct vhd *s = im->s;
    u64 end = align_up(s->bat_offset + (u64)be32_get(s->header + VD_ENTRIES) * 4, 512);
    int r;

    for (u32 i = 0; i < s->entries; i++)
        if (s->bat[i] != (u32)VHD_UNUSED && (u64)s->bat[i] * 512 < s->trusted)
            end = max(end, (u64)s->bat[i] * 512 + s->bitmap + s->block);
    if (im->file->is_device || end >= s->next)
        return 0;
    s->next = end;
    r = vhd_write_footers(im);
    if (!r)
        r = file_truncate(im->file, end + VHD_FOOTER);
    if (!r)
        s->touched = im->file->size;
    return r;
}

static int resize_dynamic(struct img *im, u64 size, struct err *e)
{
    struct vhd *s = im->s;
    u64 need = (size + s->block - 1) / s->block;
    u32 entries = (u32)need;
    int r = 0;

    if (need > VHD_BAT_MAX)
        return err_set(e, EFBIG, "too big for blocks of %u bytes", s->block);
    if (size < im->b.size) {
        r = set_size(im, size);
        if (!r)
            r = clear_rest(im, size);
        if (!r)
            r = drop_blocks(im, entries);
        s->entries = r ? s->entries : entries;
        return r ? r : cut_end(im);
    }
    if (entries > be32_get(s->header + VD_ENTRIES))
        r = move_table(im, entries);
    if (!r)
        r = grow_arrays(s, entries);
    if (!r) {
        s->entries = entries;
        r = set_size(im, size);
    }
    return r;
}

int vhd_resize(struct img *im, u64 size, struct err *e)
{
    struct vhd *s = im->s;
    int r;

    size = align_up(size, 512);
    if (size > VHD_SIZE_MAX)
        return err_set(e, EFBIG, "VHD disks have at most 2040 GiB");
    /* The parent's data would show again when it grows. */
    if (s->type == VHD_DIFFERENCING && size < im->b.size)
        return err_set(e, ENOTSUP, "a differencing disk cannot be made smaller");
    r = s->type == VHD_FIXED ? resize_fixed(im, size) : resize_dynamic(im, size, e);
    return r && !(e && e->code) ? err_set(e, -r, "%s", strerror(-r)) : r;
}

/* -------------------------------------------------------------------- check -- */

struct block_at {
    u32 sector, index;
};

static int by_sector(const void *a, const void *b)
{
    const struct block_at *x = a, *y = b;

    return (x->sector > y->sector) - (x->sector < y->sector);
}

static void check_overlaps(struct img *im, struct disk_check *c, struct block_at *list, u32 n)
{
    struct vhd *s = im->s;
    u64 bat_end = s->bat_offset + (u64)be32_get(s->header + VD_ENTRIES) * 4;

    qsort(list, n, sizeof(*list), by_sector);
    for (u32 i = 0; i < n; i++) {
        u64 at = (u64)list[i].sector * 512, end = at + s->bitmap + s->block;

        if (i + 1 < n && end > (u64)list[i + 1].sector * 512)
            check_error(c, false, "blocks %u and %u overlap at %llu", list[i].index,
                        list[i + 1].index, (unsigned long long)list[i + 1].sector * 512);
        if (at < bat_end && end > s->bat_offset)
            check_error(c, false, "block %u overlaps the table", list[i].index);
    }
}

/* Entries that point nowhere; the others to list. */
static void check_entries(struct img *im, struct disk_check *c, struct block_at *list, u32 *n)
{
    struct vhd *s = im->s;

    for (u32 i = 0; i < s->entries; i++) {
        u64 at = (u64)s->bat[i] * 512;

        if (s->bat[i] == (u32)VHD_UNUSED)
            continue;
        if (at >= s->start && at < im->file->size) {
            list[(*n)++] = (struct block_at){s->bat[i], i};
            c->end = max(c->end, at + s->bitmap + s->block);
            continue;
        }
        check_error(c, c->repair_all, "table entry %u points to %llu, %s", i,
                    (unsigned long long)at,
                    at < s->start ? "the headers" : "behind the file's end");
        if (c->repair_all) {
            s->bat[i] = (u32)VHD_UNUSED;
            s->bat_dirty[i / 128] = 1;
            s->bat_any = im->dirty = true;
        }
    }
}

/* What lies between the last block and the footer. */
static int check_end(struct img *im, struct disk_check *c)
{
    struct vhd *s = im->s;
    u64 footer = s->tail_bad ? im->file->size : s->footer_at;
    int r = 0;

    if (im->file->is_device)
        return 0;
    if (footer > c->end + 4096)
        check_leak(c, c->repair_leaks, "%llu bytes behind the last block",
                   (unsigned long long)(footer - c->end));
    else if (s->tail_bad) /* as after a crash; no harm while the other one is good */
        check_leak(c, c->repair_leaks, "the footer at the end of the file is missing");
    if (s->head_bad)
        check_error(c, c->repair_all, "the footer at the head of the file is damaged");
    if (!(c->repair_leaks && (s->tail_bad || footer > c->end + 4096)) &&
        !(c->repair_all && s->head_bad))
        return 0;
    s->next = c->repair_leaks ? align_up(c->end, 512) : s->next;
    r = vhd_write_footers(im);
    return r ? r : file_truncate(im->file, s->next + VHD_FOOTER);
}

int vhd_check(struct img *im, struct disk_check *c, struct err *e)
{
    struct vhd *s = im->s;
    struct block_at *list;
    u32 n = 0;
    int r;

    if (s->type == VHD_FIXED) {
        c->end = im->b.size + VHD_FOOTER;
        return 0;
    }
    list = malloc(((u64)s->entries + 1) * sizeof(*list));
    if (!list)
        return err_set(e, ENOMEM, "out of memory");
    c->end = align_up(s->bat_offset + (u64)be32_get(s->header + VD_ENTRIES) * 4, 512);
    check_entries(im, c, list, &n);
    check_overlaps(im, c, list, n);
    free(list);
    c->allocated = n;
    c->total = s->entries;
    r = s->bat_any ? vhd_write_back(im, 1) : 0;
    if (s->bat_any)
        vhd_write_back_done(im, !r);
    if (!r)
        r = check_end(im, c);
    return r ? err_set(e, -r, "%s", strerror(-r)) : 0;
}
