/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside VHDX: the wire and the open image.  Source: [MS-VHDX] 8.0; numbers are little-endian,
 * regions, the log and blocks lie on borders of 1 MiB.
 *
 * All metadata but the headers is read and changed through 4 KiB pages in memory (s->pages), so
 * that changes go through the log, page by page, and that what an unplayed log says holds for
 * images that are only read.
 */
#ifndef WIRT_DISK_VHDX_H
#define WIRT_DISK_VHDX_H

#include "base/endian.h"
#include "disk/img.h"
#include "disk/tcache.h"
#include "disk/winpath.h"

enum {
    VHDX_PAGE = 4096,
    VHDX_HEADER_1 = 64 << 10, /* file offsets */
    VHDX_HEADER_2 = 128 << 10,
    VHDX_REGIONS_1 = 192 << 10,
    VHDX_REGIONS_2 = 256 << 10,
    VHDX_TABLE = 64 << 10, /* bytes of a region table, or of the metadata table */
    VHDX_TABLE_MAX = 2047, /* entries */
    VHDX_MB = 1 << 20,
    VHDX_BLOCK_MAX = 256 << 20,
    VHDX_BATCH = 126, /* pages in an entry of ours: one sector of descriptors */
    VHDX_LOCATOR_MAX = 64 << 10,
    VHDX_ENTRY_STATE = 7, /* mask */
};

#define VHDX_LOG_MAX    (4095u << 20)         /* bytes: what 32 bits hold */
#define VHDX_SIGNATURE  0x656c696678646876ull /* "vhdxfile" */
#define VHDX_SIZE_MAX   (64ull << 40)
#define VHDX_FILE_MAX   (256ull << 40) /* of the file, when it is written */
#define VHDX_CHUNK_BITS (1ull << 23)   /* sectors that a sector bitmap block is for */

/* Offsets in a header. */
enum {
    XH_SIGNATURE = 0, /* "head" */
    XH_CHECKSUM = 4,
    XH_SEQUENCE = 8,
    XH_FILE_GUID = 16,
    XH_DATA_GUID = 32,
    XH_LOG_GUID = 48,
    XH_LOG_VERSION = 64,
    XH_VERSION = 66,
    XH_LOG_LENGTH = 68,
    XH_LOG_OFFSET = 72,
};

/* Offsets in an entry of the log and in its descriptors. */
enum {
    LE_CHECKSUM = 4,
    LE_LENGTH = 8,
    LE_TAIL = 12,
    LE_SEQUENCE = 16,
    LE_COUNT = 24,
    LE_GUID = 32,
    LE_FLUSHED = 48,
    LE_LAST = 56,
    LE_HEADER = 64,
    DESC = 32, /* bytes of a descriptor */
    DESC_TRAILING = 4,
    DESC_LEADING = 8, /* or the length, of zeros */
    DESC_OFFSET = 16,
    DESC_SEQUENCE = 24,
};

/* States of a payload block. */
enum {
    BLOCK_NOT_PRESENT = 0,
    BLOCK_UNDEFINED = 1,
    BLOCK_ZERO = 2,
    BLOCK_UNMAPPED = 3,
    BLOCK_FULL = 6,
    BLOCK_PARTIAL = 7,
};

#define VHDX_BAT_REGION      "2dc27766-f623-4200-9d64-115e9bfd4a08"
#define VHDX_METADATA_REGION "8b7ca206-4790-4b9a-b8fe-575f050f886e"
#define VHDX_FILE_PARAMETERS "caa16737-fa36-4d43-b3b6-33f0aa44e76b"
#define VHDX_DISK_SIZE       "2fa54224-cd1b-4876-b211-5dbed83bf4b8"
#define VHDX_DISK_ID         "beca12ab-b2e6-4523-93ef-c309e000c746"
#define VHDX_LOGICAL_SECTOR  "8141bf1d-a96f-4709-ba47-f233a8faab5f"
#define VHDX_PHYSICAL_SECTOR "cda348c7-445d-4471-9cc9-e9885251c556"
#define VHDX_PARENT_LOCATOR  "a8d35f2d-b30b-454d-abf7-d3d84834ab0c"
#define VHDX_LOCATOR_TYPE    "b04aefb7-d19e-4a81-b789-25b8e9445913"

struct vhdx {
    u8 header[VHDX_PAGE]; /* the current one */
    unsigned slot;        /* which of the two it is */
    bool slot_bad[2], regions_bad[2];
    bool begun;   /* the headers have a FileWriteGuid of ours */
    bool log_set; /* the header on the disk has a LogGuid, the log an entry of ours */

    u64 log_offset;
    u32 log_length;
    u32 log_at;                /* where the next entry goes, from the log's beginning */
    u64 log_seq;               /* of the last entry */
    u8 *batch;                 /* the entry in the log that is not applied yet: pages, */
    u64 batch_off[VHDX_BATCH]; /* their file offsets, */
    unsigned batch_len;        /* and how many */

    struct tcache *pages;
    u64 last; /* the file counts as that long (for what is only read, the log may say so) */

    u64 bat, meta; /* file offsets */
    u32 bat_length, meta_length;
    u64 size_item, locator; /* file offsets */
    u32 locator_length;
    u32 block, sector, physical; /* bytes */
    u32 ratio;                   /* payload blocks in a chunk */
    u64 blocks;                  /* payload blocks of the disk */
    bool has_parent, leave_allocated;
    u8 disk_id[GUID_LEN];

    /* Which MiB of the file are in use; only for images that are written. */
    u8 *used;
    u64 used_end, used_room, unused, hint; /* MiB; unused ones below used_end */
    u64 fresh;                             /* bytes: behind it the file is surely zeros */
};

/* ---- vhdx.c ---- */
bool guid_is(const u8 *guid, const char *text);
u32 vhdx_checksum(const u8 *p, size_t len, size_t field); /* the field counts as zero */
int vhdx_corrupt(struct img *im, const char *fmt, ...) printf_like(2, 3); /* -EIO and a trace */
/* Through the pages. */
int vhdx_read(struct img *im, u64 off, void *buf, u64 len);
int vhdx_change(struct img *im, u64 off, const void *buf, u64 len);
/* Writes the other header with the next sequence number, and with `both` that one too. */
int vhdx_write_header(struct img *im, bool both);
/* New GUIDs, once, before the first change; data: also to what the guest sees. */
int vhdx_begin(struct img *im, bool data);

/* ---- vhdx_replay.c ---- */
int vhdx_log_open(struct img *im, struct err *e); /* replays it, or takes it into the pages */

/* ---- vhdx_log.c ---- */
int vhdx_write_back(struct img *im, unsigned stage);
void vhdx_write_back_done(struct img *im, bool ok);
/* For tools: everything on the disk, now. */
int vhdx_commit(struct img *im);
/* The log is not needed any more: the headers say so. */
int vhdx_log_close(struct img *im);

/* ---- vhdx_map.c ---- */
u64 vhdx_entry_at(const struct vhdx *s, u64 block);  /* file offset of a payload block's entry */
u64 vhdx_bitmap_at(const struct vhdx *s, u64 chunk); /* of a sector bitmap block's entry */
int vhdx_map(struct img *im, u64 off, u64 len, bool nowait, struct extent *x);
int vhdx_allocate(struct img *im, u64 off, u64 len, struct extent *x);
int vhdx_link(struct img *im, u64 off, const struct extent *x);
void vhdx_cancel(struct img *im, u64 off, const struct extent *x);
int vhdx_unmap(struct img *im, u64 off, u64 len, enum unmap_how how, u64 *done);

/* ---- vhdx_room.c ---- */
/* Finds out what is in use.  c: where to say what is wrong (and repair it), or NULL: the first
 * thing goes to *e. */
int vhdx_scan(struct img *im, struct disk_check *c, struct err *e);
/* Room for len bytes (MiBs) that belongs to nobody, inside the file; *zeroed: it is zeros. */
int vhdx_take_room(struct img *im, u64 len, u64 *off, bool *zeroed);
void vhdx_free(struct img *im, u64 off, u64 len);

/* ---- vhdx_parent.c ---- */
int vhdx_open_parent(struct img *im, struct err *e);
/* The parent locator for `name` into out; bytes, 0 = no room or no UTF-8. */
size_t vhdx_name_parent(const struct img *parent, const char *name, u8 *out, size_t room);

/* ---- vhdx_tools.c ---- */
int vhdx_create(const struct disk_create *c, struct err *e);
int vhdx_resize(struct img *im, u64 size, struct err *e);
int vhdx_check(struct img *im, struct disk_check *c, struct err *e);
extern const struct create_option vhdx_options[];

#endif
