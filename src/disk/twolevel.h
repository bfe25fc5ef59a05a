/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What qcow version 1 and QED have in common: an L1 table of L2 tables of clusters, and no
 * reference counts; new clusters go to the end of the file.
 *
 * Order on the disk (stages of write_back(), disk/img.h): 0 = L2 tables that no L1 entry on the
 * disk refers to, 1 = L1 entries and the other L2 tables.  A crash leaks clusters at worst.
 */
#ifndef WIRT_DISK_TWOLEVEL_H
#define WIRT_DISK_TWOLEVEL_H

#include "base/endian.h"
#include "disk/img.h"
#include "disk/tcache.h"

enum { TWOLEVEL_L1_MAX = 32 << 20 }; /* bytes */

struct twolevel {
    /* The format's, before twolevel_open(). */
    bool big_endian;
    bool packs;  /* bit 63 of an L2 entry: a compressed cluster */
    bool zeroes; /* an L2 entry of 1: a cluster of zeros */
    u32 cluster_bits;
    u64 l2_count; /* entries of an L2 table */
    u64 size;     /* of the disk, bytes */
    u64 l1_offset;

    u64 cluster;  /* bytes */
    u64 *l1;      /* in host order */
    u8 *l1_dirty; /* a byte an entry: 1 = not on the disk yet, 2 = written, not synced */
    bool l1_any;
    u64 l1_size;
    u32 piece; /* bytes of an L2 table in memory */
    struct tcache *l2c;
    u64 next; /* file offset where the next cluster goes */
};

/* im->s begins with a struct twolevel. */
int twolevel_open(struct img *im, struct err *e);
void twolevel_close(struct img *im); /* not s itself */
int twolevel_map(struct img *im, u64 off, u64 len, bool nowait, struct extent *x);
int twolevel_allocate(struct img *im, u64 off, u64 len, struct extent *x);
int twolevel_link(struct img *im, u64 off, const struct extent *x);
void twolevel_cancel(struct img *im, u64 off, const struct extent *x);
int twolevel_unmap(struct img *im, u64 off, u64 len, enum unmap_how how, u64 *done);
int twolevel_write_back(struct img *im, unsigned stage);
void twolevel_write_back_done(struct img *im, bool ok);

#endif
