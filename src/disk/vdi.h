/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside VDI: the wire, the open image, and what its files do for each other.  All numbers on the
 * wire are little-endian.  The layout is that of VirtualBox's Storage/VDICore.h (VDIPREHEADER,
 * VDIHEADER1, VDIHEADER1PLUS).
 */
#ifndef WIRT_DISK_VDI_H
#define WIRT_DISK_VDI_H

#include "base/endian.h"
#include "disk/img.h"
#include "disk/winpath.h"

enum {
    VDI_SIGNATURE = (int)0xbeda107f,
    VDI_VERSION = 0x00010001,
    VDI_SECTOR = 512,
    VDI_BLOCK = 1 << 20,       /* of what we make */
    VDI_BLOCK_MAX = 64 << 20,  /* bytes */
    VDI_BLOCKS_MAX = 32 << 20, /* entries of the map */
};

/* Offsets from the start of the file. */
enum {
    VH_TEXT = 0,
    VH_SIGNATURE = 0x40,
    VH_VERSION = 0x44,
    VH_HEADER = 0x48, /* its length, from here on */
    VH_TYPE = 0x4c,
    VH_FLAGS = 0x50,
    VH_COMMENT = 0x54, /* VDI_COMMENT bytes; ours: PARENT_HINT and the parent's name */
    VH_OFF_BLOCKS = 0x154,
    VH_OFF_DATA = 0x158,
    VH_SECTOR = 0x168,
    VH_DISK = 0x170,
    VH_BLOCK = 0x178,
    VH_BLOCK_EXTRA = 0x17c,
    VH_BLOCKS = 0x180,
    VH_ALLOCATED = 0x184,
    VH_UUID_CREATE = 0x188,
    VH_UUID_MODIFY = 0x198,
    VH_UUID_LINKAGE = 0x1a8,
    VH_UUID_PARENT_MODIFY = 0x1b8,
    VH_END = 0x1d8,
};

enum { VDI_COMMENT = 256 };
#define VDI_PARENT_HINT "parent="

enum vdi_type { VDI_DYNAMIC = 1, VDI_STATIC = 2, VDI_UNDO = 3, VDI_DIFF = 4 };

#define VDI_FREE 0xffffffffu /* not allocated */
#define VDI_ZERO 0xfffffffeu /* zeros, whatever the parent has */

struct vdi {
    u8 header[VDI_SECTOR];
    enum vdi_type type;
    u64 size;                 /* of the disk, bytes */
    u32 block, blocks;        /* bytes; entries of the map */
    u64 map_offset, data;     /* bytes */
    u32 *map;                 /* as on the disk; whole sectors */
    u8 *map_dirty;            /* a byte a sector: 1 = not written yet, 2 = written, not synced */
    u32 limit;                /* blocks that the file may have: what `used` has bits for */
    bool broken;              /* a resize failed half way: nothing may be written back */
    u8 *used;                 /* a bit a block of the file */
    u32 first_free;           /* no block below it is free */
    u32 high;                 /* one behind the last block in use */
    bool any_dirty, new_high; /* some of map_dirty; `high` is not on the disk */
    bool damaged;             /* two entries with one block, or one out of range */
};

static inline bool vdi_is_block(u32 entry)
{
    return entry < VDI_ZERO;
}

static inline u64 vdi_map_bytes(u32 blocks)
{
    return align_up((u64)blocks * 4, VDI_SECTOR);
}

static inline u64 vdi_offset(const struct vdi *v, u32 block)
{
    return v->data + (u64)block * v->block;
}

/* ---- vdi.c ---- */
/* Writes the header's sector; no flush. */
int vdi_write_header(struct img *im);
void vdi_set_entry(struct img *im, u32 i, u32 entry);
/* A block of the file that nothing uses; -ENOSPC. */
int vdi_take_block(struct img *im, u32 *block);
/* Builds used, high and damaged from the map. */
int vdi_count_blocks(struct img *im);

/* ---- vdi_tools.c ---- */
int vdi_create(const struct disk_create *c, struct err *e);
int vdi_resize(struct img *im, u64 size, struct err *e);
int vdi_check(struct img *im, struct disk_check *c, struct err *e);
extern const struct create_option vdi_options[];

#endif
