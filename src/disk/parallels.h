/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside Parallels: an expandable image (.hds), and a disk of them that DiskDescriptor.xml
 * describes.  Sources: QEMU's docs/interop/parallels.txt and prl-xml.txt.  Numbers on the wire are
 * little-endian.
 *
 * Locks: as in disk/img.h for the callbacks of the same name.
 */
#ifndef WIRT_DISK_PARALLELS_H
#define WIRT_DISK_PARALLELS_H

#include "base/endian.h"
#include "disk/img.h"
#include "disk/winpath.h"

enum {
    HDS_SECTOR = 512,
    HDS_CLUSTER = 1 << 20,            /* of what we make */
    HDS_TRACKS_MAX = INT32_MAX / 513, /* as QEMU: then no offset leaves 63 bits */
    HDS_CREATE_MAX = 1 << 30,         /* bytes of a cluster of what we make */
    HDS_ENTRIES_MAX = 32 << 20,
    HDS_IN_USE = 0x746f6e59,
    HDS_EXTENDED = 0x312e3276, /* closed by one that knows the format extension */
    HDS_EMPTY = 1,             /* flags */
};

/* Offsets in the header. */
enum {
    HH_VERSION = 16,
    HH_HEADS = 20,
    HH_CYLINDERS = 24,
    HH_TRACKS = 28, /* sectors of a cluster */
    HH_ENTRIES = 32,
    HH_SECTORS = 36,
    HH_IN_USE = 44,
    HH_DATA = 48,
    HH_FLAGS = 52,
    HH_EXTENSION = 56,
    HH_BAT = 64,
};

#define HDS_MAGIC_OLD "WithoutFreeSpace" /* entries count in sectors */
#define HDS_MAGIC_NEW "WithouFreSpacExt" /* entries count in clusters */

/* One file of a disk: expandable, or plain (bat NULL). */
struct hds {
    struct file *file;
    u64 size;    /* of the disk in it, bytes */
    u64 cluster; /* bytes */
    u64 data;    /* bytes: where clusters begin */
    u64 factor;  /* bytes that an entry counts in */
    u32 entries; /* of the BAT */
    u8 *head;    /* header and BAT as on the disk, whole sectors */
    u64 head_len;
    u8 *head_dirty; /* a byte a sector: 1 = not written yet, 2 = written, not synced */
    bool any_dirty;
    bool unclean; /* was not closed */
    bool damaged; /* two entries with one cluster, or one out of range */
    bool marked;  /* in_use is on the disk */
    /* Clusters of the data area, when it is written: */
    u8 *used;                    /* a bit each; NULL = not written */
    u64 limit, high, first_free; /* bits; one behind the last used one; none below is free */
};

struct hds_storage {
    u64 start, size;   /* bytes of the guest's disk */
    struct hds *layer; /* [0] is written, the others are what is below it */
    unsigned layers;
};

struct parallels {
    struct hds_storage *st;
    unsigned sts;
    bool bundle, broken;
    struct prl_xml *xml; /* of a bundle */
};

/* ---- parallels.c ---- */
int prl_open_storages(struct img *im, const u8 top[GUID_LEN], struct err *e);

/* ---- parallels_hds.c: one expandable image ---- */
bool hds_is(const u8 *head);
int hds_open(struct img *im, struct hds *h, bool write, struct err *e);
void hds_close(struct hds *h);
static inline u32 hds_entry(const struct hds *h, u64 i)
{
    return le32_get(h->head + HH_BAT + 4 * i);
}
static inline u64 hds_offset(const struct hds *h, u32 entry)
{
    return (u64)entry * h->factor;
}
void hds_set_entry(struct img *im, struct hds *h, u64 i, u32 entry);
/* n clusters in a row at most, at least one; the offset of the first in the file. -ENOSPC. */
int hds_take(struct hds *h, u64 *n, u64 *offset);
void hds_give_back(struct hds *h, u64 offset, u64 n);
/* Fills used, high and damaged. */
int hds_count(struct hds *h);
int hds_mark_in_use(struct hds *h);
int hds_write_back(struct hds *h, unsigned stage);
void hds_done(struct hds *h, bool ok);

/* ---- parallels_xml.c ---- */
enum { PRL_IMAGES_MAX = 1024, PRL_SHOTS_MAX = 1024, PRL_XML_MAX = 1 << 20 };
struct prl_image {
    u8 guid[GUID_LEN];
    bool plain;
    unsigned storage;
    char file[1024];
};
struct prl_xml {
    u64 sectors;
    u64 padding;
    bool encrypted;
    struct {
        u64 start, end, block; /* sectors */
    } storage[PRL_IMAGES_MAX];
    unsigned storages, images, shots;
    struct prl_image *image; /* images of all storages */
    struct {
        u8 guid[GUID_LEN], parent[GUID_LEN];
    } shot[PRL_SHOTS_MAX];
    u8 top[GUID_LEN];
};
/* Parses text; *out is malloc'ed. */
int prl_parse(const char *text, size_t len, struct prl_xml **out, struct err *e);
void prl_free(struct prl_xml *x);
/* The parent's GUID of a shot, NULL = there is none. */
const u8 *prl_parent(const struct prl_xml *x, const u8 guid[GUID_LEN]);

/* ---- parallels_tools.c ---- */
int prl_create(const struct disk_create *c, struct err *e);
int prl_resize(struct img *im, u64 size, struct err *e);
int prl_check(struct img *im, struct disk_check *c, struct err *e);
extern const struct create_option prl_options[];

#endif
