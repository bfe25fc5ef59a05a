/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMDK: sparse extents.  A directory of grain tables, a table of grains; both may be there twice
 * ("redundant"), and then both are kept.
 */
#include "base/trace.h"
#include "disk/vmdk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { GT_CACHE = 8 << 20, FOOTER_FROM_END = 2 * VMDK_SECTOR };

static int damaged(struct img *im, const char *what, u64 off)
{
    if (im->opt.trace)
        trace(im->opt.trace, block, "%s: damaged: %s for %llu", im->b.path, what,
              (unsigned long long)off);
    return -EIO;
}

/* ------------------------------------------------------------------ opening -- */

/* A stream-optimized extent that was written to its end has a second header there, which knows
 * where the directory is. */
static int read_footer(struct vmdk_extent *x, struct err *e)
{
    u64 size = align_down(file_size(x->file), VMDK_SECTOR);
    int r;

    if (size < 4 * VMDK_SECTOR)
        return err_set(e, EINVAL, "gdOffset says that there is a footer, but there is none");
    r = file_read(x->file, size - FOOTER_FROM_END, x->header, VMDK_SECTOR);
    if (r)
        return err_set(e, -r, "cannot read the footer: %s", strerror(-r));
    if (le32_get(x->header) != VMDK_MAGIC || le64_get(x->header + VS_GD) == VMDK_GD_AT_END)
        return err_set(e, EINVAL, "has no footer: it was not written to its end");
    return 0;
}

static int check_flags(struct vmdk_extent *x, bool readonly, struct err *e)
{
    const u8 *h = x->header;
    u32 version = le32_get(h + VS_VERSION), flags = le32_get(h + VS_FLAGS);

    if (version < 1 || version > 3)
        return err_set(e, EINVAL, "version %u is not known", version);
    if (flags & VF_LINES && memcmp(h + VS_LINES, "\n \r\n", 4))
        return err_set(e, EINVAL, "its line ends were changed by a transfer in text mode");
    x->zeroed = flags & VF_ZEROED;
    x->compressed = flags & VF_COMPRESSED;
    if (x->compressed && (!(flags & VF_MARKERS) || le16_get(h + VS_COMPRESS) != 1))
        return err_set(e, EINVAL, "compressAlgorithm %u, flags 0x%x: not known",
                       le16_get(h + VS_COMPRESS), flags);
    if (!x->compressed && flags & VF_MARKERS)
        return err_set(e, EINVAL, "flags 0x%x: markers without compression", flags);
    if (version == 3 && !x->compressed && !readonly)
        return err_set(e, EROFS, "version 3 is only read (\"readonly\" or \"snapshot\" would do)");
    return 0;
}

static int check_sizes(struct vmdk_extent *x, struct err *e)
{
    const u8 *h = x->header;
    u64 grain = le64_get(h + VS_GRAIN), capacity = le64_get(h + VS_CAPACITY), gds;
    u32 gtes = le32_get(h + VS_GTES);

    if (!is_pow2(grain) || grain < 8 || grain > VMDK_GRAIN_MAX / VMDK_SECTOR)
        return err_set(e, EINVAL, "grainSize %llu is no power of two from 8 to 8192",
                       (unsigned long long)grain);
    if (!is_pow2(gtes) || gtes < VMDK_GT_PER_SECTOR || gtes > 65536)
        return err_set(e, EINVAL, "numGTEsPerGT %u is no power of two from 128 to 65536", gtes);
    if (capacity > (u64)INT64_MAX / VMDK_SECTOR || capacity * VMDK_SECTOR < x->size)
        return err_set(e, EINVAL, "capacity %llu: not the size of the extent",
                       (unsigned long long)capacity);
    x->grain = grain * VMDK_SECTOR;
    x->gtes = gtes;
    gds = (capacity + grain * gtes - 1) / (grain * gtes);
    if (gds > VMDK_GD_MAX)
        return err_set(e, EINVAL, "capacity %llu needs a directory of %llu entries",
                       (unsigned long long)capacity, (unsigned long long)gds);
    x->gds = (u32)gds;
    return 0;
}

static int read_directory(struct vmdk_extent *x, int field, u64 *offset, u32 **gd, struct err *e)
{
    u64 at = le64_get(x->header + field), bytes = align_up((u64)x->gds * 4, VMDK_SECTOR);
    int r;

    if (at > UINT32_MAX || !range_within(at * VMDK_SECTOR, (u64)x->gds * 4, VMDK_SECTOR,
                                         file_size(x->file) - VMDK_SECTOR))
        return err_set(e, EINVAL, "%s %llu lies outside the file",
                       field == VS_GD ? "gdOffset" : "rgdOffset", (unsigned long long)at);
    *offset = at * VMDK_SECTOR;
    *gd = malloc(bytes);
    if (!*gd)
        return err_set(e, ENOMEM, "out of memory");
    r = file_read(x->file, *offset, *gd, bytes);
    for (u32 i = 0; i < bytes / 4; i++)
        (*gd)[i] = le32_get(&(*gd)[i]);
    return r ? err_set(e, -r, "cannot read the grain directory: %s", strerror(-r)) : 0;
}

static int read_directories(struct vmdk_extent *x, bool redundant, struct err *e)
{
    int r = read_directory(x, VS_GD, &x->gd_offset, &x->gd, e);

    if (!r && redundant && le64_get(x->header + VS_RGD))
        r = read_directory(x, VS_RGD, &x->rgd_offset, &x->rgd, e);
    return r;
}

int vmdk_open_sparse(struct img *im, struct vmdk_extent *x, struct err *e)
{
    u64 sectors;
    int r = file_read(x->file, 0, x->header, VMDK_SECTOR);

    if (r)
        return err_set(e, -r, "cannot read the header: %s", strerror(-r));
    if (!memcmp(x->header, "COWD", 4))
        return err_set(e, EINVAL, "is an ESX redo log (COWD), which Wirt does not read");
    if (le32_get(x->header) != VMDK_MAGIC)
        return err_set(e, EINVAL, "is no sparse extent");
    r = check_flags(x, im->b.readonly, e);
    if (!r && x->compressed && le64_get(x->header + VS_GD) == VMDK_GD_AT_END)
        r = read_footer(x, e);
    if (!r)
        r = check_sizes(x, e);
    /* Who only reads needs no second directory. */
    if (!r)
        r = read_directories(x,
                             le32_get(x->header + VS_FLAGS) & VF_REDUNDANT &&
                                 (!im->b.readonly || im->opt.for_check) && !x->compressed,
                             e);
    if (r)
        return r;
    x->gd_dirty = calloc(x->gds, 1);
    sectors = (u64)x->gds * vmdk_gt_bytes(x) / VMDK_SECTOR * 2 + 16;
    x->gt = tcache_new(x->file, VMDK_SECTOR, (unsigned)min(sectors, (u64)GT_CACHE / VMDK_SECTOR));
    x->end = align_up(max(file_size(x->file), le64_get(x->header + VS_OVERHEAD) < UINT32_MAX
                                                  ? le64_get(x->header + VS_OVERHEAD) * VMDK_SECTOR
                                                  : 0),
                      x->grain);
    return x->gd_dirty && x->gt ? 0 : err_set(e, ENOMEM, "out of memory");
}

void vmdk_close_sparse(struct vmdk_extent *x)
{
    tcache_free(x->gt);
    free(x->gd);
    free(x->rgd);
    free(x->gd_dirty);
}

/* ---------------------------------------------------------------------- map -- */

static u64 gt_covers(const struct vmdk_extent *v)
{
    return v->grain * v->gtes;
}

/* The sector with the entry for off in the table at sector `table`. */
static int get_sector(struct img *im, struct vmdk_extent *v, u32 table, u64 off, bool nowait,
                      u8 **sector, u32 *i)
{
    u64 n = (off - v->start) / v->grain % v->gtes;
    u64 at = (u64)table * VMDK_SECTOR + n / VMDK_GT_PER_SECTOR * VMDK_SECTOR;

    if (at >= file_size(v->file) && !v->gd_any)
        return damaged(im, "the grain table lies outside the file", off);
    *i = (u32)(n % VMDK_GT_PER_SECTOR);
    return tcache_get(v->gt, at, nowait, sector);
}

static void classify(const struct vmdk_extent *v, u32 entry, struct extent *x)
{
    *x = (struct extent){.kind = EXTENT_DATA, .in_place = true, .file = v->file};
    if (!entry)
        x->kind = EXTENT_HOLE;
    else if (entry == 1 && v->zeroed)
        x->kind = EXTENT_ZERO;
    else if (v->compressed)
        x->kind = EXTENT_COMPRESSED;
    x->offset = (u64)entry * VMDK_SECTOR;
}

int vmdk_sparse_map(struct img *im, struct vmdk_extent *v, u64 off, u64 len, bool nowait,
                    struct extent *x)
{
    u64 o = off - v->start, in = o % v->grain, g = o / gt_covers(v);
    struct vmdk *s = im->s;
    u32 i, first, n = 1;
    u8 *sector;
    int r;

    if (s->making && s->tables[g]) {
        classify(v, s->tables[g][o / v->grain % v->gtes], x);
        x->len = v->grain - in;
        return 0;
    }
    if (!v->gd[g]) {
        *x = (struct extent){.kind = EXTENT_HOLE, .len = gt_covers(v) - o % gt_covers(v)};
        return 0;
    }
    r = get_sector(im, v, v->gd[g], off, nowait, &sector, &i);
    if (r)
        return r;
    first = le32_get(sector + 4 * i);
    classify(v, first, x);
    x->len = v->grain - in;
    if (x->kind == EXTENT_COMPRESSED)
        return 0;
    if (x->kind == EXTENT_DATA && x->offset >= file_size(v->file))
        return damaged(im, "the grain lies outside the file", off);
    while (x->len < len && ++i < VMDK_GT_PER_SECTOR) {
        u32 entry = le32_get(sector + 4 * i);

        if (entry != (x->kind == EXTENT_DATA ? first + n * (u32)(v->grain / VMDK_SECTOR) : first) ||
            (x->kind == EXTENT_DATA && (u64)entry * VMDK_SECTOR >= file_size(v->file)))
            break;
        n++;
        x->len += v->grain;
    }
    x->offset += in;
    return 0;
}

int vmdk_get_grain(struct img *im, struct vmdk_extent *v, u64 off, u32 *entry)
{
    u32 i, table = v->gd[(off - v->start) / gt_covers(v)];
    u8 *sector;
    int r;

    *entry = 0;
    if (!table)
        return 0;
    r = get_sector(im, v, table, off, false, &sector, &i);
    if (!r)
        *entry = le32_get(sector + 4 * i);
    return r;
}

/* ---------------------------------------------------------- allocate and link -- */

static int make_table(struct vmdk_extent *v, u32 *table)
{
    u64 bytes = vmdk_gt_bytes(v), at = v->end;
    u8 *p;

    if (at / VMDK_SECTOR > UINT32_MAX)
        return -ENOSPC;
    for (u64 k = 0; k < bytes; k += VMDK_SECTOR) {
        int r = tcache_make(v->gt, at + k, 0, &p);

        if (r)
            return r;
    }
    *table = (u32)(at / VMDK_SECTOR);
    v->end = align_up(at + bytes, v->grain);
    return 0;
}

/* Tables for the directory's entry g, where it has none. */
static int own_tables(struct img *im, struct vmdk_extent *v, u64 g)
{
    u32 table, second = 0;
    int r = 0;

    if (v->gd[g] && (!v->rgd || v->rgd[g]))
        return 0;
    if (v->gd[g]) /* damaged: a check copies it; until then there is no second one */
        return 0;
    r = make_table(v, &table);
    if (!r && v->rgd)
        r = make_table(v, &second);
    if (r)
        return r;
    v->gd[g] = table;
    if (v->rgd)
        v->rgd[g] = second;
    v->gd_dirty[g] = 1;
    v->gd_any = im->dirty = true;
    return 0;
}

int vmdk_sparse_allocate(struct img *im, struct vmdk_extent *v, u64 off, u64 len, struct extent *x)
{
    u64 last = v->start + align_up(v->size, v->grain);
    int r = 0;

    if (v->compressed)
        return -EOPNOTSUPP;
    len = min(len, last - off);
    for (u64 g = (off - v->start) / gt_covers(v);
         !r && g <= (off - v->start + len - 1) / gt_covers(v); g++)
        r = own_tables(im, v, g);
    if (r)
        return r;
    if ((v->end + len) / VMDK_SECTOR > UINT32_MAX)
        return -ENOSPC;
    *x = (struct extent){
        .kind = EXTENT_DATA, .in_place = true, .file = v->file, .offset = v->end, .len = len};
    x->zeroed = x->offset >= file_size(v->file) && !v->file->is_device;
    v->end += len;
    return 0;
}

static int set_in(struct img *im, struct vmdk_extent *v, u32 table, u64 off, u32 entry)
{
    unsigned stage = v->gd_dirty[(off - v->start) / gt_covers(v)] ? 0 : 1;
    u8 *sector;
    u32 i;
    int r = get_sector(im, v, table, off, false, &sector, &i);

    if (r)
        return r;
    le32_put(sector + 4 * i, entry);
    tcache_dirty(v->gt, sector, stage);
    im->dirty = true;
    if (tcache_full(v->gt))
        im->full = true;
    return 0;
}

int vmdk_set_grain(struct img *im, struct vmdk_extent *v, u64 off, u32 entry)
{
    u64 g = (off - v->start) / gt_covers(v);
    int r = own_tables(im, v, g);

    /* The second table first: if that fails, the first still says what is true. */
    if (!r && v->rgd && v->rgd[g])
        r = set_in(im, v, v->rgd[g], off, entry);
    return r ? r : set_in(im, v, v->gd[g], off, entry);
}

/* --------------------------------------------------------------- write-back -- */

static int write_directory(struct vmdk_extent *v, u64 offset, const u32 *gd)
{
    u32 padded = (u32)(align_up((u64)v->gds * 4, VMDK_SECTOR) / 4);

    for (u32 i = 0; i < padded; i += VMDK_GT_PER_SECTOR) {
        u8 sector[VMDK_SECTOR];
        int r;

        if (!memchr(v->gd_dirty + i, 1, min(v->gds - i, (u32)VMDK_GT_PER_SECTOR)))
            continue;
        for (u32 k = 0; k < VMDK_GT_PER_SECTOR; k++)
            le32_put(sector + 4 * k, gd[i + k]);
        r = file_write(v->file, offset + (u64)i * 4, sector, VMDK_SECTOR);
        if (r)
            return r;
    }
    return 0;
}

bool vmdk_sparse_dirty(const struct vmdk_extent *v)
{
    return v->gt && (v->gd_any || tcache_any(v->gt, 1));
}

int vmdk_sparse_write_back(struct vmdk_extent *v, unsigned stage)
{
    int r;

    if (!v->gt)
        return 0;
    r = tcache_write(v->gt, stage);
    if (r || !stage || !v->gd_any)
        return r;
    if (v->rgd)
        r = write_directory(v, v->rgd_offset, v->rgd);
    if (!r)
        r = write_directory(v, v->gd_offset, v->gd);
    for (u32 i = 0; i < v->gds && !r; i++)
        if (v->gd_dirty[i])
            v->gd_dirty[i] = 2;
    return r;
}

void vmdk_sparse_done(struct vmdk_extent *v, bool ok)
{
    if (!v->gt)
        return;
    tcache_done(v->gt, ok);
    for (u32 i = 0; v->gd_any && i < v->gds; i++)
        if (v->gd_dirty[i])
            v->gd_dirty[i] = !ok;
    if (ok)
        v->gd_any = false;
}
