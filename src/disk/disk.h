/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disk images: opening one gives a struct blk (core/backend.h).
 *
 * A regular file or a block device.  Its size counts in 512-byte sectors: a last piece of a sector
 * counts as a whole one that reads as zeros behind the file's end, and the file grows to it when
 * the guest writes there.
 */
#ifndef WIRT_DISK_DISK_H
#define WIRT_DISK_DISK_H

#include "base/err.h"
#include "base/types.h"
#include "core/backend.h"

enum { DISK_SECTOR = 512 };

struct disk_io;

enum disk_cache {
    DISK_WRITEBACK,    /* the host's page cache; data is safe after a flush */
    DISK_WRITETHROUGH, /* the same, and each write is safe when done */
    DISK_DIRECT,       /* O_DIRECT */
    DISK_UNSAFE,       /* flushes are ignored: for machines that are thrown away */
};

struct disk_options {
    bool readonly;
    bool snapshot;     /* writes go to a temporary file that disappears at close */
    const char *clone; /* writes go to this overlay, which is made when it is not there; or NULL */
    enum disk_cache cache;
    const char *format;   /* NULL = look; "raw", "qcow2"... */
    const char *vhd_size; /* of VHD images: "chs", "current"; NULL = as their creator meant it */
    const char *internal; /* name or id of an internal snapshot to read, NULL = the disk itself */
    bool allow_external;  /* files named by the image may lie outside its own directory */
    const char *root;     /* files named by the image may lie in this directory; NULL = its own */
    bool parent_anywhere; /* the image's parent may lie anywhere, that one's only as said above */
    bool no_parent;       /* the image alone: tools that look at its structure */
    bool for_check;       /* opens what is damaged, and repairs nothing by itself */
    bool no_uring;        /* always the thread pool */
    bool any_sector;      /* the drive can have sectors of 4096 bytes too (blk.sector) */
    bool no_lock;         /* somebody else sees to it that there is one user */
    struct trace *trace;  /* may be NULL */
    struct disk_io *io;   /* where files come from (disk/file.h), NULL = the host */
};

/*
 * Opens and locks the image.  -errno with one line that names the file: missing, a directory,
 * empty, in use by another program, a format that is not known, write-protected, sectors of 4096
 * bytes without any_sector.  Close with (*b)->ops->close(*b).
 */
int disk_open(struct blk **b, const char *path, const struct disk_options *o, struct err *e);

/* Where path leads, symbolic links resolved, if it is inside folder ("" = the root): PATH_MAX bytes
 * to out.  -EPERM with a message that does not name the file, -ENOENT. */
int disk_path_inside(const char *folder, const char *path, char *out, struct err *e);

/* What one user of an image does and lets others do; see lock.c.  -EBUSY when another program is
 * in the way.  A file system without locks is no error. */
int disk_lock(int fd, bool write, struct err *e);

/* "writeback", "writethrough", "none" (DISK_DIRECT), "unsafe"; -EINVAL. */
int disk_cache_parse(enum disk_cache *c, const char *name, struct err *e);

/* The name of a format that Wirt knows, in static memory; NULL = there is none. */
const char *disk_format_name(const char *name, size_t len);

static inline void blk_submit(struct blk *b, struct blk_req *r)
{
    b->ops->submit(b, r);
}

/* One request, waiting for it: for loaders and tools, never on a vCPU or the event loop.  -errno.
 */
int blk_sync(struct blk *b, enum blk_op op, u64 offset, void *buf, u64 len);

#endif
