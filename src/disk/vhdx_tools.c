/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHDX: new images, other sizes, checks.  Layout of a new one: headers, log, metadata, BAT, blocks.
 */
#include "disk/vhdx.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct create_option vhdx_options[] = {
    {"subformat", "dynamic (default) or fixed"},
    {"block_size", "1M to 256M (default by the disk's size; 2M with a backing file)"},
    {"log_size", "a multiple of 1M up to 4095M (default 1M)"},
    {"block_state_zero", "new blocks are zeros, not undefined (default on)"},
    {"logical_sector_size", "512 (default) or 4096"},
    {"physical_sector_size", "512 or 4096 (default)"},
    {0},
};

struct plan {
    const struct disk_create *c;
    u64 size, block, log, sector, physical;
    u64 blocks, ratio, bat, bat_length, end; /* file offsets and bytes */
    bool fixed, zero;
    u8 disk_id[GUID_LEN];
    u8 *locator;
    size_t locator_length;
};

enum { LOG = 1 << 20, META_LENGTH = 1 << 20, ITEMS = 64 << 10 };

static int read_options(struct plan *p, struct err *e)
{
    static const char *const subformats[] = {"dynamic", "fixed", NULL};
    const struct disk_create *c = p->c;
    unsigned fixed = 0;
    int r;

    p->size = c->size;
    p->block = c->backing              ? 2 * MIB
               : p->size > 32ull << 40 ? 64 * MIB
               : p->size > 100 * GIB   ? 32 * MIB
               : p->size > GIB         ? 16 * MIB
                                       : 8 * MIB;
    p->log = MIB;
    p->sector = p->sector ? p->sector : 512;
    p->physical = 4096;
    p->zero = true;
    r = create_size(c, "block_size", &p->block, e);
    if (!r)
        r = create_size(c, "log_size", &p->log, e);
    if (!r)
        r = create_size(c, "logical_sector_size", &p->sector, e);
    if (!r)
        r = create_size(c, "physical_sector_size", &p->physical, e);
    if (!r)
        r = create_bool(c, "block_state_zero", &p->zero, e);
    if (!r)
        r = create_choice(c, "subformat", subformats, &fixed, e);
    if (r)
        return r;
    p->fixed = fixed;
    if (!is_pow2(p->block) || p->block < MIB || p->block > VHDX_BLOCK_MAX)
        return err_set(e, EINVAL, "block_size must be a power of two from 1M to 256M");
    if (!p->log || p->log % MIB || p->log > VHDX_LOG_MAX)
        return err_set(e, EINVAL, "log_size must be a multiple of 1M up to 4095M");
    if ((p->sector != 512 && p->sector != 4096) || (p->physical != 512 && p->physical != 4096))
        return err_set(e, EINVAL, "sector sizes are 512 or 4096");
    if (p->fixed && c->backing)
        return err_set(e, EINVAL, "subformat=fixed has no backing file");
    return 0;
}

/* What comes from the parent: its sector size and identity. */
static int look_at_parent(struct plan *p, struct err *e)
{
    struct img *parent;
    int r = create_open_backing(p->c, &parent, e);

    if (r)
        return r;
    if (parent->fmt != format_find("vhdx")) {
        r = err_set(e, EINVAL, "the parent of a VHDX is a VHDX; %s is %s", p->c->backing,
                    parent->fmt->title);
    } else {
        p->sector = ((struct vhdx *)parent->s)->sector;
        memcpy(p->disk_id, ((struct vhdx *)parent->s)->disk_id, GUID_LEN);
        p->locator = malloc(VHDX_LOCATOR_MAX);
        p->locator_length =
            p->locator ? vhdx_name_parent(parent, p->c->backing, p->locator, VHDX_LOCATOR_MAX) : 0;
        if (!p->locator_length)
            r = err_set(e, EINVAL, "backing file: its name is not UTF-8, or too long");
    }
    img_close(parent);
    return r;
}

static int lay_out(struct plan *p, struct err *e)
{
    u64 chunks;

    p->size = align_up(p->size, p->sector);
    if (p->size > VHDX_SIZE_MAX)
        return err_set(e, EFBIG, "VHDX disks have at most 64 TiB");
    p->ratio = VHDX_CHUNK_BITS * p->sector / p->block;
    p->blocks = (p->size + p->block - 1) / p->block;
    chunks = (p->blocks + p->ratio - 1) / p->ratio;
    p->bat = MIB + p->log + META_LENGTH;
    p->bat_length = align_up(chunks * (p->ratio + 1) * 8, MIB);
    p->end = p->bat + p->bat_length;
    if (p->fixed)
        p->end += p->blocks * p->block;
    return 0;
}

static u8 *put_region(u8 *e, const char *id, u64 at, u64 length)
{
    guid_parse(id, e);
    le64_put(e + 16, at);
    le32_put(e + 24, (u32)length);
    le32_put(e + 28, 1);
    return e + 32;
}

/* The first MiB: who made it, two headers, two region tables. */
static void make_head(const struct plan *p, u8 *m)
{
    u8 *h = m + VHDX_HEADER_1, *t = m + VHDX_REGIONS_1;

    le64_put(m, VHDX_SIGNATURE);
    utf16_put("Wirt " WIRT_VERSION, false, m + 8, 510);
    memcpy(h, "head", 4);
    guid_random(h + XH_FILE_GUID);
    guid_random(h + XH_DATA_GUID);
    le16_put(h + XH_VERSION, 1);
    le32_put(h + XH_LOG_LENGTH, (u32)p->log);
    le64_put(h + XH_LOG_OFFSET, LOG);
    memcpy(m + VHDX_HEADER_2, h, VHDX_PAGE);
    for (unsigned i = 0; i < 2; i++) {
        h = m + (i ? VHDX_HEADER_2 : VHDX_HEADER_1);
        le64_put(h + XH_SEQUENCE, i);
        le32_put(h + XH_CHECKSUM, vhdx_checksum(h, VHDX_PAGE, XH_CHECKSUM));
    }
    memcpy(t, "regi", 4);
    le32_put(t + 8, 2);
    put_region(put_region(t + 16, VHDX_BAT_REGION, p->bat, p->bat_length), VHDX_METADATA_REGION,
               LOG + p->log, META_LENGTH);
    le32_put(t + 4, vhdx_checksum(t, VHDX_TABLE, 4));
    memcpy(m + VHDX_REGIONS_2, t, VHDX_TABLE);
}

struct table {
    u8 *m; /* the metadata region */
    u32 count, at;
};

/* Adds an item; its place in the region. */
static u8 *add_item(struct table *t, const char *id, u32 length, u32 flags)
{
    u8 *e = t->m + 32 + t->count++ * 32, *item = t->m + t->at;

    guid_parse(id, e);
    le32_put(e + 16, t->at);
    le32_put(e + 20, length);
    le32_put(e + 24, flags);
    t->at += (u32)align_up(length, 8);
    le16_put(t->m + 10, (u16)t->count);
    return item;
}

static void make_metadata(const struct plan *p, u8 *m)
{
    enum { DISK = 2, REQUIRED = 4 };
    struct table t = {.m = m, .at = ITEMS};
    u8 *i;

    memcpy(m, "metadata", 8);
    i = add_item(&t, VHDX_FILE_PARAMETERS, 8, REQUIRED);
    le32_put(i, (u32)p->block);
    le32_put(i + 4, p->fixed ? 1 : p->locator ? 2 : 0);
    le64_put(add_item(&t, VHDX_DISK_SIZE, 8, DISK | REQUIRED), p->size);
    i = add_item(&t, VHDX_DISK_ID, GUID_LEN, DISK | REQUIRED);
    memcpy(i, p->disk_id, GUID_LEN);
    le32_put(add_item(&t, VHDX_LOGICAL_SECTOR, 4, DISK | REQUIRED), (u32)p->sector);
    le32_put(add_item(&t, VHDX_PHYSICAL_SECTOR, 4, DISK | REQUIRED), (u32)p->physical);
    if (p->locator) {
        i = add_item(&t, VHDX_PARENT_LOCATOR, (u32)p->locator_length, REQUIRED);
        memcpy(i, p->locator, p->locator_length);
    }
}

static int write_bat(const struct plan *p, struct file *f, u8 *m)
{
    u64 index = 0, chunk_entries = p->ratio + 1;
    int r = 0;

    for (u64 at = 0; at < p->bat_length && !r; at += MIB) {
        memset(m, 0, MIB);
        for (u64 k = 0; k < MIB / 8; k++, index++) {
            u64 block = index / chunk_entries * p->ratio + index % chunk_entries;

            if (block >= p->blocks || index % chunk_entries == p->ratio)
                continue;
            if (p->fixed)
                le64_put(m + k * 8, (p->bat + p->bat_length + block * p->block) | BLOCK_FULL);
            else if (p->zero && !p->locator)
                le64_put(m + k * 8, BLOCK_ZERO);
        }
        r = file_write(f, p->bat + at, m, MIB);
    }
    return r;
}

static int write_image(const struct plan *p, struct file *f, struct err *e)
{
    u8 *m = calloc(1, MIB);
    int r = m ? 0 : -ENOMEM;

    if (!r)
        r = file_truncate(f, p->end);
    if (!r && f->is_device)
        r = file_zero(f, MIB, p->end - MIB);
    if (!r) {
        make_metadata(p, m);
        r = file_write(f, LOG + p->log, m, META_LENGTH);
    }
    if (!r)
        r = write_bat(p, f, m);
    if (!r)
        r = file_flush(f);
    if (!r) {
        memset(m, 0, MIB);
        make_head(p, m);
        r = file_write(f, 0, m, MIB);
    }
    if (!r)
        r = file_flush(f);
    free(m);
    return r ? err_set(e, -r, "cannot write it: %s", strerror(-r)) : 0;
}

int vhdx_create(const struct disk_create *c, struct err *e)
{
    struct plan p = {.c = c};
    struct file *f;
    int r = 0;

    guid_random(p.disk_id);
    if (c->backing)
        r = look_at_parent(&p, e);
    if (!r)
        r = read_options(&p, e);
    if (!r)
        r = lay_out(&p, e);
    if (!r)
        r = file_open(&f, c->path, FILE_CREATE, &c->io, e);
    if (!r) {
        r = write_image(&p, f, e);
        file_close(f);
    }
    free(p.locator);
    return r;
}

/* ------------------------------------------------------------------- resize -- */

/* A longer BAT at the end of the file; both region tables, and so everything, refer to it with one
 * entry of the log. */
static int move_bat(struct img *im, u64 entries)
{
    struct vhdx *s = im->s;
    u64 length = align_up(entries * 8, VHDX_MB), at;
    u8 *t = malloc(VHDX_TABLE), *m = calloc(1, length);
    bool zeroed;
    int r = t && m ? vhdx_take_room(im, length, &at, &zeroed) : -ENOMEM;

    if (!r)
        r = vhdx_read(im, s->bat, m, s->bat_length);
    if (!r)
        r = file_write(im->file, at, m, length);
    if (!r)
        r = vhdx_read(im, s->regions_bad[0] ? VHDX_REGIONS_2 : VHDX_REGIONS_1, t, VHDX_TABLE);
    for (u32 i = 0; !r && i < le32_get(t + 8); i++) {
        if (!guid_is(t + 16 + i * 32, VHDX_BAT_REGION))
            continue;
        le64_put(t + 16 + i * 32 + 16, at);
        le32_put(t + 16 + i * 32 + 24, (u32)length);
    }
    if (!r) {
        le32_put(t + 4, vhdx_checksum(t, VHDX_TABLE, 4));
        tcache_drop(s->pages, at, length);
        r = vhdx_change(im, VHDX_REGIONS_1, t, VHDX_TABLE);
    }
    if (!r)
        r = vhdx_change(im, VHDX_REGIONS_2, t, VHDX_TABLE);
    if (!r)
        r = vhdx_commit(im);
    if (!r) {
        tcache_drop(s->pages, s->bat, s->bat_length);
        vhdx_free(im, s->bat, s->bat_length);
        s->bat = at;
        s->bat_length = (u32)length;
    }
    free(t);
    free(m);
    return r;
}

static int set_size(struct img *im, u64 size)
{
    struct vhdx *s = im->s;
    u8 wire[8];
    int r;

    le64_put(wire, size);
    r = vhdx_change(im, s->size_item, wire, sizeof(wire));
    if (!r)
        r = vhdx_commit(im);
    if (!r) {
        im->b.size = size;
        s->blocks = (size + s->block - 1) / s->block;
    }
    return r;
}

/* Entries of payload blocks from..to become nothing (or, of a fixed disk, blocks of zeros). */
static int set_entries(struct img *im, u64 from, u64 to)
{
    struct vhdx *s = im->s;
    int r = 0;

    for (u64 b = from; b < to && !r; b++) {
        u8 wire[8], old[8];
        u64 at = 0, v;
        bool zeroed;

        r = vhdx_read(im, vhdx_entry_at(s, b), old, sizeof(old));
        v = le64_get(old);
        if (!r && s->leave_allocated && b >= s->blocks) {
            r = vhdx_take_room(im, s->block, &at, &zeroed);
            if (!r && !zeroed)
                r = file_zero(im->file, at, s->block);
            at |= BLOCK_FULL;
        }
        le64_put(wire, at);
        if (!r && v != at)
            r = vhdx_change(im, vhdx_entry_at(s, b), wire, sizeof(wire));
        if (!r && b < s->blocks && (v & VHDX_ENTRY_STATE) >= BLOCK_FULL)
            vhdx_free(im, v >> 20 << 20, s->block);
    }
    return r ? r : vhdx_commit(im);
}

static int grow(struct img *im, u64 size)
{
    struct vhdx *s = im->s;
    u64 blocks = (size + s->block - 1) / s->block;
    u64 entries = (blocks + s->ratio - 1) / s->ratio * (s->ratio + 1);
    int r = 0;

    if (entries * 8 > s->bat_length)
        r = move_bat(im, entries);
    if (!r)
        r = set_entries(im, s->blocks, blocks);
    return r ? r : set_size(im, size);
}

/* Back to the length of what is used. */
static int cut_end(struct img *im)
{
    struct vhdx *s = im->s;
    int r = vhdx_log_close(im); /* its entries know the longer file */

    while (s->used_end && !(s->used[(s->used_end - 1) / 8] >> (s->used_end - 1) % 8 & 1)) {
        s->used_end--;
        s->unused--;
    }
    if (r || im->file->is_device || file_size(im->file) <= s->used_end * VHDX_MB)
        return r;
    r = file_truncate(im->file, s->used_end * VHDX_MB);
    s->last = s->fresh = file_size(im->file);
    return r ? r : file_flush(im->file);
}

static int shrink(struct img *im, u64 size)
{
    struct vhdx *s = im->s;
    u64 old = s->blocks, blocks, in;
    int r = set_size(im, size);

    if (r)
        return r;
    blocks = s->blocks;
    s->blocks = old; /* whose entries go */
    r = set_entries(im, blocks, old);
    s->blocks = blocks;
    in = size % s->block;
    /* What is behind the end of the last block must be zeros when the disk grows again. */
    if (!r && in) {
        struct extent x;

        r = vhdx_map(im, size - s->sector, s->sector, false, &x);
        if (!r && x.kind == EXTENT_DATA)
            r = file_zero(im->file, x.offset + s->sector, s->block - in);
    }
    return r ? r : cut_end(im);
}

int vhdx_resize(struct img *im, u64 size, struct err *e)
{
    struct vhdx *s = im->s;
    int r;

    size = align_up(size, s->sector);
    if (size > VHDX_SIZE_MAX)
        return err_set(e, EFBIG, "VHDX disks have at most 64 TiB");
    if (s->has_parent && size < im->b.size)
        return err_set(e, ENOTSUP, "a differencing disk cannot be made smaller");
    if (size == im->b.size)
        return 0;
    r = vhdx_begin(im, true);
    if (!r)
        r = size > im->b.size ? grow(im, size) : shrink(im, size);
    return r ? err_set(e, -r, "%s", strerror(-r)) : 0;
}

/* -------------------------------------------------------------------- check -- */

static int repair_regions(struct img *im)
{
    struct vhdx *s = im->s;
    u8 *t = malloc(VHDX_TABLE);
    int r = t ? 0 : -ENOMEM;

    if (!r && (s->regions_bad[0] || s->regions_bad[1])) {
        r = vhdx_read(im, s->regions_bad[0] ? VHDX_REGIONS_2 : VHDX_REGIONS_1, t, VHDX_TABLE);
        if (!r)
            r = vhdx_change(im, s->regions_bad[0] ? VHDX_REGIONS_1 : VHDX_REGIONS_2, t, VHDX_TABLE);
    }
    free(t);
    return r;
}

int vhdx_check(struct img *im, struct disk_check *c, struct err *e)
{
    struct vhdx *s = im->s;
    u64 end;
    int r = 0;

    if (s->slot_bad[0] || s->slot_bad[1])
        check_error(c, c->repair_all, "header %u is damaged", s->slot_bad[1] + 1);
    if (s->regions_bad[0] || s->regions_bad[1])
        check_error(c, c->repair_all, "region table %u is damaged", s->regions_bad[1] + 1);
    if (c->repair_all || c->repair_leaks)
        r = vhdx_begin(im, c->repair_all); /* writes both headers */
    if (!r && c->repair_all)
        r = repair_regions(im);
    if (r)
        return err_set(e, -r, "%s", strerror(-r));
    c->total = s->blocks;
    r = vhdx_scan(im, c, e);
    if (r)
        return r;
    c->end = end = s->used_end * VHDX_MB;
    if (im->dirty)
        r = vhdx_commit(im);
    if (!im->file->is_device && file_size(im->file) > end) {
        check_leak(c, c->repair_leaks, "%llu bytes behind the last block",
                   (unsigned long long)(file_size(im->file) - end));
        if (!r && c->repair_leaks)
            r = cut_end(im);
    }
    return r ? err_set(e, -r, "%s", strerror(-r)) : 0;
}
