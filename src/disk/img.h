/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seam for image formats.  A format says where the guest's bytes are and makes room for new
 * ones; img.c and img_io.c do the rest: requests, threads, copying from the parent, zero fill,
 * ordering.  qcow2 is the full example, raw the smallest.
 *
 * How a write into unallocated space goes, on a worker thread:
 *
 *     map()       -> hole            what is there now?
 *     allocate()  -> file, offset    room, that nothing refers to yet
 *     (the data, and around it the old contents up to a whole granule, are written)
 *     link()                         the map refers to it, in memory
 *
 * and a flush, as long as write_back() says that more is to come:
 *
 *     write_back(0)   writes what nothing on the disk refers to yet; then all files are synced
 *     write_back(1)   writes what refers to it (and to the data); synced again; and so on
 *     write_back_done(ok)
 *
 * So whatever reaches the disk between two flushes, in whatever order, a reference never stands for
 * bytes that are not there.  For the same reason room that a link() or unmap() gave up is handed to
 * img_free_later(), which calls free() only after a flush, and after requests under way ended.
 *
 * Locks: im->writer before im->lock.  `lock` guards the format's memory; `writer` is held too by
 * whoever changes it, also across syncs.  Callbacks are called with the locks named here and may do
 * file I/O, unless told not to wait.
 */
#ifndef WIRT_DISK_IMG_H
#define WIRT_DISK_IMG_H

#include "disk/file.h"
#include "disk/tools.h"

#include <pthread.h>

enum { IMG_CHAIN_MAX = 64, IMG_FILES_MAX = 4096 };

enum extent_kind {
    EXTENT_HOLE,       /* what the parent has there, or zeros */
    EXTENT_ZERO,       /* zeros, whatever the parent has */
    EXTENT_DATA,       /* in `file` at `offset` */
    EXTENT_COMPRESSED, /* fmt->inflate() knows */
};

struct extent {
    enum extent_kind kind;
    bool in_place; /* DATA: may be overwritten where it is */
    bool whole;    /* a write here must replace the whole unit (it is shared, or compressed) */
    bool zeroed;   /* from allocate(): the room reads as zeros already */
    struct file *file;
    u64 offset; /* DATA: of the first byte asked for; COMPRESSED: the format's own */
    u64 len;    /* bytes of guest disk */
    u64 stored; /* COMPRESSED: the format's own */
};

enum unmap_how {
    UNMAP_DISCARD, /* not needed any more: zeros or, without a parent, a hole */
    UNMAP_ZERO,    /* must read as zeros; the room may be given up */
    UNMAP_KEEP,    /* must read as zeros; keep the room if there is some */
};

struct img {
    struct blk b; /* first; size, block_size and readonly are the format's to fill in open() */
    const struct format *fmt;
    struct disk_options opt; /* as opened; strings are the opener's */
    char *path;
    void *s;             /* the format's own */
    struct file *file;   /* the main file; the generic layer closes and syncs it */
    struct file **extra; /* the other ones (img_open_file()); the same */
    unsigned nextra;
    struct img *parent; /* read-only */
    u32 unit;    /* bytes: allocations in one unit are serialised; a power of two, >= granule */
    u32 granule; /* bytes: the finest grain of the map, >= 512; a power of two */
    bool dirty;  /* write_back() has something to do; the format sets it (also read without lock) */
    bool packs;  /* only takes whole packed units, each once; the format sets it in open() */
    bool full;   /* much is dirty: write back soon; the format sets it */
    pthread_mutex_t writer, lock;
    struct img_io *io; /* img_io.c's own */
    unsigned depth;    /* in the chain, top = 0 */
    struct img *child; /* who opened this as its parent, while opening */
};

/* What probing sees.  head and tail are zero-padded. */
struct probe {
    const char *path;
    const u8 *head; /* PROBE_HEAD bytes */
    const u8 *tail; /* the last 512 bytes */
    u64 size;
};
enum { PROBE_HEAD = 4096 };

struct format {
    const char *name;                    /* as on the command line */
    const char *title;                   /* in messages */
    unsigned caps;                       /* DISK_CAN_... (tools.h) */
    const struct create_option *options; /* for create(); ends with a NULL name */

    bool (*probe)(const struct probe *p);
    /* Reads and checks what describes the image; fills b.size, unit, granule, s; opens further
     * files and the parent.  im->b.readonly says whether it will be written (a format that only
     * reads sets it; the caller then complains if that is not what was asked for).  On an error
     * close() is called too (s may be NULL).  No lock needed. */
    int (*open)(struct img *im, struct err *e);
    void (*close)(struct img *im); /* frees s; everything was written back */

    /* [lock]  The run at off, as long as it is easily known, 1..len bytes.  nowait: -EAGAIN rather
     * than file I/O. */
    int (*map)(struct img *im, u64 off, u64 len, bool nowait, struct extent *x);
    /* [writer, lock]  Room for off..off+len, contiguous in x->file.  off and len are multiples of
     * granule, or of unit where map() said `whole`; x->len may come back shorter, but as much a
     * multiple.  Nothing may refer to it before link(). */
    int (*allocate)(struct img *im, u64 off, u64 len, struct extent *x);
    int (*link)(struct img *im, u64 off, const struct extent *x);
    /* [writer, lock]  The write failed: takes the room of allocate() back. */
    void (*cancel)(struct img *im, u64 off, const struct extent *x);
    /* [writer, lock]  off, len: multiples of granule; adds to *done as it goes.  -EOPNOTSUPP: the
     * map cannot say so of the unit at off + *done (then the generic layer writes zeros there or
     * punches holes in place, and asks for the rest).  May be NULL. */
    int (*unmap)(struct img *im, u64 off, u64 len, enum unmap_how how, u64 *done);
    /* [writer, lock]  Room from img_free_later() may be used again.  May be NULL. */
    void (*free)(struct img *im, u64 offset, u64 len);
    /* [writer, lock]  1 = sync, then call again with stage + 1; 0 = sync and that was all. */
    int (*write_back)(struct img *im, unsigned stage);
    /* [writer, lock]  ok: all of it is on the disk; else it counts as dirty still.  Clears
     * im->dirty and im->full as they are. */
    void (*write_back_done)(struct img *im, bool ok);
    /* [writer, lock]  Before the first change to an image, also to data in place: marks it used.
     * What it writes must be on the disk when it returns.  May be NULL. */
    int (*begin_write)(struct img *im);
    /* No lock.  The whole unit that holds off into out (unit bytes); x is from map(). */
    int (*inflate)(struct img *im, u64 off, const struct extent *x, u8 *out);

    /* For tools; nobody else uses the image; both locks held where there is an image.  NULL =
     * not there.  See tools.h for what they mean. */
    int (*create)(const struct disk_create *c, struct err *e);
    int (*resize)(struct img *im, u64 size, struct err *e);
    int (*check)(struct img *im, struct disk_check *c, struct err *e);
    void (*info)(struct img *im, struct disk_info *info);
    int (*snapshots)(struct img *im, struct disk_snapshot **list, unsigned *n, struct err *e);
    int (*snapshot_create)(struct img *im, const char *name, struct err *e);
    int (*snapshot_apply)(struct img *im, const char *name, struct err *e);
    int (*snapshot_delete)(struct img *im, const char *name, struct err *e);
    /* At open, for disk_options.internal: shows that snapshot, read-only. */
    int (*snapshot_open)(struct img *im, const char *name, struct err *e);
    /* Any thread, no lock.  Packs a unit; the length, or 0 = does not get smaller. */
    size_t (*deflate)(struct img *im, const u8 *in, u8 *out, size_t room);
    /* [writer, lock]  Stores what deflate() made for the unallocated unit at off. */
    int (*write_deflated)(struct img *im, u64 off, const u8 *data, size_t len);
};

/* ---- for formats ---- */

/* Opens a further file of this image / its parent, written in the image as `name`: relative to the
 * image's own directory, and not outside it unless the user allowed that.  A file that
 * img_open_file() gave is synced and closed with the image. */
int img_open_file(struct img *im, struct file **f, const char *name, unsigned flags, struct err *e);
/* format: NULL = look.  Sets im->parent.  Bounded in depth; cycles are refused. */
int img_open_parent(struct img *im, const char *name, const char *format, struct err *e);
void img_close_parent(struct img *im);

/* Of n records in order, `stride` bytes apart, each with the offset where it starts (the first
 * one's is at *start): the last that starts at off or below it, or the first.  n > 0. */
unsigned img_record_at(const u64 *start, size_t stride, unsigned n, u64 off);

/* [writer, lock]  See above.  When there is no memory to remember it, the room is leaked. */
void img_free_later(struct img *im, u64 offset, u64 len);

/* ---- img.c, img_io.c ---- */

extern const struct format *const disk_formats[]; /* ends with NULL */
const struct format *format_find(const char *name);

int img_open(struct img **im, const char *path, const struct disk_options *o, struct err *e);
void img_close(struct img *im); /* flushes; NULL is fine */
int img_start(struct img *im, struct err *e);
void img_stop(struct img *im); /* waits, flushes; no requests afterwards */

extern const struct blk_ops img_blk_ops;

/* Now, on this thread, never with a lock of the image held; 0 or -errno. */
int img_read(struct img *im, u64 off, void *buf, u64 len);
int img_write(struct img *im, u64 off, const void *buf, u64 len);
int img_execute(struct img *im, struct blk_req *r);
int img_flush(struct img *im);
/* What is at off, through the chain: never a HOLE with something under it.  *from: whose it is. */
int img_map(struct img *im, u64 off, u64 len, struct extent *x, struct img **from);
/* Packs and stores one unit (buf has b.size's last one padded with zeros); writes it plainly when
 * that does not make it smaller. */
int img_write_compressed(struct img *im, u64 off, const u8 *buf);
/* Stores what fmt->deflate() made of the unit at off; -EEXIST: there is something already. */
int img_store_deflated(struct img *im, u64 off, const u8 *data, size_t len);

#endif
