/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside qcow2: the wire, the open image, and what its files do for each other.  The format is
 * QEMU's docs/interop/qcow2.txt; all numbers on the wire are big-endian.
 *
 * Locks: functions that take a struct img are called with img.writer and img.lock held when
 * they change something, with img.lock otherwise.
 */
#ifndef WIRT_DISK_QCOW2_H
#define WIRT_DISK_QCOW2_H

#include "base/endian.h"
#include "disk/img.h"
#include "disk/tcache.h"

enum {
    QCOW2_MAGIC = 0x514649fb,
    QCOW2_BITS_MIN = 9,
    QCOW2_BITS_MAX = 21,
    QCOW2_V2_HEADER = 72,
    QCOW2_V3_HEADER = 104,
    QCOW2_L1_MAX = 32 << 20, /* bytes */
    QCOW2_RT_MAX = 8 << 20,  /* bytes of refcount table */
    QCOW2_SNAPSHOTS_MAX = 65536,
    QCOW2_SNAPSHOT_TABLE_MAX = 64 << 20,
    QCOW2_SLICE = 4096, /* of L2 tables and refcount blocks, in memory */
    QCOW2_SUBCLUSTERS = 32,
};

/* Offsets in the header. */
enum {
    QH_VERSION = 4,
    QH_BACKING = 8,
    QH_BACKING_LEN = 16,
    QH_CLUSTER_BITS = 20,
    QH_SIZE = 24,
    QH_CRYPT = 32,
    QH_L1_SIZE = 36,
    QH_L1 = 40,
    QH_RT = 48,
    QH_RT_CLUSTERS = 56,
    QH_SNAPSHOT_COUNT = 60,
    QH_SNAPSHOTS = 64,
    QH_INCOMPATIBLE = 72,
    QH_COMPATIBLE = 80,
    QH_AUTOCLEAR = 88,
    QH_REFCOUNT_ORDER = 96,
    QH_LENGTH = 100,
    QH_COMPRESSION = 104,
    QH_WRITTEN = 112, /* what we make ourselves ends here */
};

#define QI_DIRTY       BIT64(0)
#define QI_CORRUPT     BIT64(1)
#define QI_DATA_FILE   BIT64(2)
#define QI_COMPRESSION BIT64(3)
#define QI_EXTENDED_L2 BIT64(4)
#define QI_KNOWN       (BIT64(5) - 1)
#define QC_LAZY        BIT64(0)
#define QA_BITMAPS     BIT64(0)
#define QA_RAW_DATA    BIT64(1)
#define QE_BACKING_FMT 0xe2792acau
#define QE_FEATURES    0x6803f857u
#define QE_BITMAPS     0x23852875u
#define QE_DATA_FILE   0x44415441u
#define L1_OFFSET      0x00fffffffffffe00ull
#define L2_OFFSET      0x00fffffffffffe00ull
#define L2_ZERO        BIT64(0)
#define L2_COMPRESSED  BIT64(62)
#define ENTRY_COPIED   BIT64(63)

struct qcow2_snapshot {
    u64 l1_offset;
    u32 l1_size;
    u16 id_len, name_len;
    u32 sec, nsec, extra_len;
    u64 clock_ns, vm_size, disk_size;
    u8 *raw; /* the whole entry as it is in the table */
    u32 raw_len;
    char id[64], name[256]; /* cut when longer */
};

struct qcow2 {
    u8 *header; /* the first cluster */
    u32 version, header_len;
    u32 cluster_bits, refcount_order;
    u64 cluster;  /* bytes */
    u64 l2_count; /* entries of a table */
    u32 l2_entry; /* bytes: 8 or 16 */
    bool sub;     /* extended L2 entries */
    u64 incompatible, compatible, autoclear;
    bool zstd, has_backing;
    u64 size; /* of the active disk, bytes */

    /* The active L1 table, in host order. */
    u64 *l1;
    u8 *l1_dirty; /* a byte an entry: 1 = not on the disk yet, 2 = written, not synced */
    u32 l1_size;
    u64 l1_offset;
    bool l1_any; /* some entry is dirty */
    struct tcache *l2c;

    u64 *rt; /* refcount table, host order */
    u64 rt_size, rt_offset;
    struct tcache *rbc;
    u64 free_hint;          /* no cluster below it is free */
    u64 packed, packed_end; /* room left for compressed clusters, file offsets */

    struct file *data; /* where guest clusters are: the image or the external data file */
    bool external;
    u64 bitmaps, bitmaps_size; /* the directory of persistent bitmaps, file offset; 0 = none */
    u32 bitmaps_count;
    char data_name[1024], backing_name[1024], backing_format[64];

    struct qcow2_snapshot *snap;
    u32 snapshots;
    u64 snapshots_offset, snapshots_len;
};

/* ---- qcow2.c ---- */
int qcow2_corrupt(struct img *im, const char *fmt, ...) printf_like(2, 3); /* -EIO and a trace */
int qcow2_read_l1(struct img *im, u64 **l1, u64 offset, u32 entries);
/* Writes the first sector's worth of header fields that change (sizes, offsets, features). */
int qcow2_write_header(struct img *im);
/* All stages of a write-back, now; for open() and tools. */
int qcow2_sync(struct img *im);

/* ---- qcow2_map.c ---- */
int qcow2_map(struct img *im, u64 off, u64 len, bool nowait, struct extent *x);
int qcow2_allocate(struct img *im, u64 off, u64 len, struct extent *x);
int qcow2_link(struct img *im, u64 off, const struct extent *x);
void qcow2_cancel(struct img *im, u64 off, const struct extent *x);
int qcow2_unmap(struct img *im, u64 off, u64 len, enum unmap_how how, u64 *done);
int qcow2_set_compressed(struct img *im, u64 off, u64 entry);
/* What a compressed entry refers to. */
void qcow2_compressed_at(const struct qcow2 *q, u64 entry, u64 *off, u64 *len);

/* ---- qcow2_refcount.c ---- */
int qcow2_refcount_get(struct img *im, u64 cluster, u64 *count);
/* Adds delta (1 or -1) for each cluster that off..off+len touches. */
int qcow2_refcount_add(struct img *im, u64 off, u64 len, int delta);
/* For a block that is there. */
int qcow2_refcount_set(struct img *im, u64 cluster, u64 v);
/* In a block in memory; false: more than refcount_bits can say. */
bool qcow2_field_put(const struct qcow2 *q, u8 *block, u64 i, u64 v);
/* n contiguous clusters with refcount 1; *n comes back smaller unless exact.  Bytes to *off. */
int qcow2_alloc(struct img *im, u64 *n, bool exact, u64 *off);
void qcow2_free(struct img *im, u64 off, u64 len);

/* ---- qcow2_create.c ---- */
int qcow2_create(const struct disk_create *c, struct err *e);
extern const struct create_option qcow2_options[];

/* ---- qcow2_compress.c ---- */
int qcow2_inflate(struct img *im, u64 off, const struct extent *x, u8 *out);
size_t qcow2_deflate(struct img *im, const u8 *in, u8 *out, size_t room);
int qcow2_write_deflated(struct img *im, u64 off, const u8 *data, size_t len);

/* ---- qcow2_check.c, qcow2_bitmaps.c ---- */
struct check;
int qcow2_check(struct img *im, struct disk_check *c, struct err *e);
/* A reference to each cluster of off..off+len; false = behind the end of the file. */
bool qcow2_check_count(struct check *k, u64 off, u64 len);
/* Before the first change.  May clear QA_BITMAPS, in memory. */
int qcow2_bitmaps_begin_write(struct img *im);
int qcow2_bitmaps_count(struct img *im, struct disk_check *c, struct check *k, struct err *e);

/* ---- qcow2_snapshot.c ---- */
int qcow2_snapshots_load(struct img *im, struct err *e);
int qcow2_snapshots(struct img *im, struct disk_snapshot **list, unsigned *n, struct err *e);
int qcow2_snapshot_create(struct img *im, const char *name, struct err *e);
int qcow2_snapshot_apply(struct img *im, const char *name, struct err *e);
int qcow2_snapshot_delete(struct img *im, const char *name, struct err *e);
int qcow2_snapshot_open(struct img *im, const char *name, struct err *e);
int qcow2_resize(struct img *im, u64 size, struct err *e);

#endif
