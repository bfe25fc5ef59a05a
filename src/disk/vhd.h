/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside VHD: the wire and the open image.  Source: Microsoft, Virtual Hard Disk Image Format
 * Specification 1.0 (2006) and [MS-VHD]; all numbers are big-endian, offsets of blocks in sectors.
 *
 * A fixed disk is the raw bytes and a footer of one sector.  A dynamic or differencing one is a
 * copy of the footer, a header, the block allocation table (BAT), blocks of a sector bitmap and
 * data, and the footer.
 */
#ifndef WIRT_DISK_VHD_H
#define WIRT_DISK_VHD_H

#include "base/endian.h"
#include "disk/img.h"
#include "disk/tcache.h"

enum {
    VHD_FOOTER = 512, /* bytes */
    VHD_HEADER = 1024,
    VHD_VERSION = 0x00010000,
    VHD_FIXED = 2,
    VHD_DYNAMIC = 3,
    VHD_DIFFERENCING = 4,
    VHD_UNUSED = -1,        /* a BAT entry, as u32 */
    VHD_BAT_MAX = 16 << 20, /* entries */
    VHD_BLOCK_MAX = 256 << 20,
    VHD_LOCATORS = 8,
    VHD_LOCATOR_MAX = 64 << 10, /* bytes of one that we read */
    VHD_EPOCH = 946684800,      /* 2000-01-01 in seconds since 1970 */
};

#define VHD_COOKIE        "conectix"
#define VHD_HEADER_COOKIE "cxsparse"

/* Offsets in the footer. */
enum {
    VF_FEATURES = 8,
    VF_VERSION = 12,
    VF_DATA_OFFSET = 16,
    VF_TIMESTAMP = 24,
    VF_CREATOR = 28,
    VF_CREATOR_VERSION = 32,
    VF_CREATOR_OS = 36,
    VF_ORIGINAL_SIZE = 40,
    VF_SIZE = 48,
    VF_CYLINDERS = 56,
    VF_HEADS = 58,
    VF_SECTORS = 59,
    VF_TYPE = 60,
    VF_CHECKSUM = 64,
    VF_UUID = 68,
};

/* Offsets in the header of a dynamic disk. */
enum {
    VD_DATA_OFFSET = 8,
    VD_TABLE = 16,
    VD_VERSION = 24,
    VD_ENTRIES = 28,
    VD_BLOCK = 32,
    VD_CHECKSUM = 36,
    VD_PARENT_UUID = 40,
    VD_PARENT_TIME = 56,
    VD_PARENT_NAME = 64, /* 512 bytes of UTF-16 */
    VD_LOCATORS = 576,   /* 24 bytes each */
};

struct vhd {
    u8 footer[VHD_FOOTER], header[VHD_HEADER];
    u32 type;
    bool head_bad, tail_bad; /* which copy of the footer was no good */
    u64 footer_at;           /* file offset of the one at the end */

    u64 bat_offset;
    u32 entries; /* that the disk's size needs */
    u32 block;   /* bytes of data */
    u32 bitmap;  /* bytes before them */
    u32 *bat;
    u8 *bat_dirty; /* a byte a sector: 1 = not on the disk yet, 2 = written, not synced */
    bool bat_any;
    u8 *full; /* a bit a block: every sector is in this file */
    struct tcache *bits;

    u64 start;   /* file offset where blocks may begin */
    u64 next;    /* ... where the next one goes */
    u64 trusted; /* no block that an entry was read for begins here or behind */
    u64 touched; /* behind it the file is surely zeros */
};

/* ---- vhd_wire.c ---- */
bool vhd_footer_ok(const u8 *f);
bool vhd_header_ok(const u8 *h);
void vhd_seal_footer(u8 *f); /* puts the checksum in */
void vhd_seal_header(u8 *h);
u64 vhd_chs_size(const u8 *footer); /* bytes */
/* size and the geometry that means it: exact, or the greatest one, which means "see the size". */
void vhd_put_size(u8 *footer, u64 size);
/* As many cylinders, heads and sectors as have room for `sectors` at most (the specification's
 * appendix); returns their product. */
u64 vhd_geometry(u64 sectors, u16 *cylinders, u8 *heads, u8 *per_track);
u32 vhd_bitmap_size(u32 block);

/* ---- vhd.c ---- */
/* Writes both copies of the footer, or the one, at s->next. */
int vhd_write_footers(struct img *im);

/* ---- vhd_map.c: the callbacks of these names in disk/img.h ---- */
int vhd_map(struct img *im, u64 off, u64 len, bool nowait, struct extent *x);
int vhd_allocate(struct img *im, u64 off, u64 len, struct extent *x);
void vhd_cancel(struct img *im, u64 off, const struct extent *x);
int vhd_link(struct img *im, u64 off, const struct extent *x);
int vhd_write_back(struct img *im, unsigned stage);
void vhd_write_back_done(struct img *im, bool ok);

/* ---- vhd_parent.c ---- */
int vhd_open_parent(struct img *im, struct err *e);
/* Fills header's parent fields for `name`, and *locators (malloc'ed, *len bytes, whole sectors)
 * that will be at file offset `at`. */
int vhd_name_parent(u8 *header, const struct img *parent, const char *name, u64 at, u8 **locators,
                    u64 *len, struct err *e);

/* ---- vhd_tools.c ---- */
int vhd_create(const struct disk_create *c, struct err *e);
int vhd_resize(struct img *im, u64 size, struct err *e);
int vhd_check(struct img *im, struct disk_check *c, struct err *e);
extern const struct create_option vhd_options[];

#endif
