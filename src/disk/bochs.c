/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bochs' growing disk images, read only.  A catalog of extents; each extent is a bitmap of its
 * sectors and then the sectors.  Source: the Bochs manual, "Description of the redolog format".
 *
 * Refused: undoable and volatile redologs, which are nothing without the disk below them.
 */
#include "base/endian.h"
#include "base/trace.h"
#include "disk/img.h"
#include "disk/tcache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    BH_TYPE = 32,
    BH_SUBTYPE = 48,
    BH_VERSION = 64,
    BH_HEADER = 68,
    BH_CATALOG = 72, /* entries */
    BH_BITMAP = 76,  /* bytes of an extent's bitmap */
    BH_EXTENT = 80,  /* bytes of its sectors */
    BH_DISK_V1 = 84,
    BH_DISK_V2 = 88,
    HEADER_BYTES = 512,
    CATALOG_MAX = 1 << 20,
    EXTENT_BYTES_MAX = 64 << 20,
    SECTOR = 512,
};

#define BOCHS_MAGIC "Bochs Virtual HD Image"
#define UNALLOCATED 0xffffffffu
#define VERSION_1   0x00010000u
#define VERSION_2   0x00020000u

struct bochs {
    u32 entries, extent; /* of the catalog; bytes of an extent's sectors */
    u64 bitmap, data;    /* bytes of an extent's bitmap in whole sectors; where extents begin */
    u32 *catalog;
    struct tcache *bitmaps; /* sectors of them */
    char subtype[16];
};

static bool bochs_probe(const struct probe *p)
{
    return !memcmp(p->head, BOCHS_MAGIC, sizeof(BOCHS_MAGIC));
}

static int check_header(struct img *im, const u8 *h, u64 *header, struct err *e)
{
    struct bochs *b = im->s;
    u32 version = le32_get(h + BH_VERSION), bitmap = le32_get(h + BH_BITMAP);

    if (memcmp(h, BOCHS_MAGIC, sizeof(BOCHS_MAGIC)) || memcmp(h + BH_TYPE, "Redolog", 8))
        return err_set(e, EINVAL, "is no Bochs image");
    memcpy(b->subtype, h + BH_SUBTYPE, sizeof(b->subtype) - 1);
    for (char *c = b->subtype; *c; c++)
        if ((u8)*c < ' ' || (u8)*c > '~')
            *c = '?';
    if (strcmp(b->subtype, "Growing"))
        return err_set(e, EINVAL, "is a redolog of subtype \"%s\", which Wirt does not read",
                       b->subtype);
    if (version != VERSION_1 && version != VERSION_2)
        return err_set(e, EINVAL, "version 0x%x is not known", version);
    *header = le32_get(h + BH_HEADER);
    b->entries = le32_get(h + BH_CATALOG);
    b->extent = le32_get(h + BH_EXTENT);
    im->b.size = le64_get(h + (version == VERSION_1 ? BH_DISK_V1 : BH_DISK_V2));
    if (*header < HEADER_BYTES || *header > MIB)
        return err_set(e, EINVAL, "header of %llu bytes", (unsigned long long)*header);
    if (b->entries > CATALOG_MAX)
        return err_set(e, EINVAL, "catalog of %u entries is more than %u", b->entries, CATALOG_MAX);
    if (!is_pow2(b->extent) || b->extent < SECTOR || b->extent > EXTENT_BYTES_MAX)
        return err_set(e, EINVAL, "extent of %u bytes is no power of two from 512 to %u", b->extent,
                       EXTENT_BYTES_MAX);
    if (!bitmap || bitmap > EXTENT_BYTES_MAX || (u64)bitmap * 8 < b->extent / SECTOR)
        return err_set(e, EINVAL, "bitmap of %u bytes for an extent of %u", bitmap, b->extent);
    b->bitmap = align_up(bitmap, SECTOR);
    if (!im->b.size || im->b.size > (u64)b->entries * b->extent)
        return err_set(e, EINVAL, "disk of %llu bytes is more than its catalog holds",
                       (unsigned long long)im->b.size);
    return 0;
}

static int bochs_open(struct img *im, struct err *e)
{
    struct bochs *b = im->s = calloc(1, sizeof(*b));
    u64 header = 0;
    u8 h[HEADER_BYTES];
    int r;

    if (!b)
        return err_set(e, ENOMEM, "out of memory");
    r = file_read(im->file, 0, h, sizeof(h));
    if (r)
        return err_set(e, -r, "cannot read the header: %s", strerror(-r));
    r = check_header(im, h, &header, e);
    if (r)
        return r;
    b->data = header + (u64)b->entries * 4;
    if (b->data > file_size(im->file))
        return err_set(e, EINVAL, "its catalog is longer than the file");
    b->catalog = malloc((u64)b->entries * 4);
    b->bitmaps = tcache_new(im->file, SECTOR, 4096);
    if (!b->catalog || !b->bitmaps)
        return err_set(e, ENOMEM, "out of memory");
    r = file_read(im->file, header, b->catalog, (u64)b->entries * 4);
    for (u32 i = 0; i < b->entries; i++)
        b->catalog[i] = le32_get(&b->catalog[i]);
    im->unit = im->granule = SECTOR;
    im->b.size = align_up(im->b.size, DISK_SECTOR);
    return r ? err_set(e, -r, "cannot read its catalog: %s", strerror(-r)) : 0;
}

static void bochs_close(struct img *im)
{
    struct bochs *b = im->s;

    if (!b)
        return;
    tcache_free(b->bitmaps);
    free(b->catalog);
    free(b);
}

/* The bit of sector n in the bitmap at `at`; the cache's pieces are whole sectors from `data` on,
 * which need not be a multiple of one. */
static int get_bit(struct bochs *b, u64 at, u32 n, bool nowait, bool *bit)
{
    u64 byte = at + n / 8;
    u8 *p;
    int r = tcache_get(b->bitmaps, align_down(byte, SECTOR), nowait, &p);

    if (!r)
        *bit = p[byte % SECTOR] >> n % 8 & 1;
    return r;
}

static int bochs_map(struct img *im, u64 off, u64 len, bool nowait, struct extent *x)
{
    struct bochs *b = im->s;
    u32 i = (u32)(off / b->extent), in = (u32)(off % b->extent), sector = in / SECTOR;
    u64 at, left = b->extent - in;
    bool bit, next = false;
    int r;

    *x = (struct extent){.kind = EXTENT_HOLE, .file = im->file, .len = left};
    if (b->catalog[i] == UNALLOCATED)
        return 0;
    at = b->data + b->catalog[i] * (b->bitmap + b->extent);
    if (at >= file_size(im->file)) {
        if (im->opt.trace)
            trace(im->opt.trace, block, "%s: damaged: extent %u is behind the end of the file",
                  im->b.path, b->catalog[i]);
        return -EIO;
    }
    r = get_bit(b, at, sector, nowait, &bit);
    if (r)
        return r;
    x->kind = bit ? EXTENT_DATA : EXTENT_HOLE;
    x->offset = at + b->bitmap + in;
    x->len = SECTOR - off % SECTOR;
    while (x->len < min(len, left) && !get_bit(b, at, ++sector, nowait, &next) && next == bit)
        x->len += SECTOR;
    return 0;
}

static void bochs_info(struct img *im, struct disk_info *i)
{
    struct bochs *b = im->s;

    i->text(i, "type", b->subtype);
    i->number(i, "cluster-size", b->extent);
}

const struct format format_bochs = {
    .name = "bochs",
    .title = "Bochs",
    .probe = bochs_probe,
    .open = bochs_open,
    .close = bochs_close,
    .map = bochs_map,
    .info = bochs_info,
};
