/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file under an image.  Formats do every read, write, flush, truncate and punch through a
 * struct file, so that a test can put a simulated one there (unflushed writes lost or torn, the
 * nth call failing), and NBD a remote one.
 *
 * Requests are struct blk_req (core/backend.h) with offsets in the file, in bytes; here they need
 * no alignment.  Reading behind the end gives zeros, writing there grows the file.
 */
#ifndef WIRT_DISK_FILE_H
#define WIRT_DISK_FILE_H

#include "disk/disk.h"

#include <sys/types.h>

enum file_flags {
    FILE_WRITE = 1,
    FILE_CREATE = 2,   /* makes it, or empties it once it is locked; implies FILE_WRITE */
    FILE_EMPTY_OK = 4, /* no error when there is nothing in it */
};

struct file {
    const struct file_ops *ops;
    u64 size;       /* bytes, exact; grows with writes; owned by file.c's functions */
    u32 block_size; /* physical, 512 or 4096 */
    bool readonly;
    bool doubt;     /* a write failed: the file may be shorter than size */
    bool is_device; /* has a fixed size */
    bool is_remote; /* path is a URL */
    bool broken;    /* a flush failed: nobody knows what of it is there, so none goes well again */
    dev_t dev;      /* who it is, for finding cycles; both 0 = not known */
    ino_t ino;
    char *path;
};

struct file_ops {
    /* Does it now, whole or not at all as far as the caller is told; 0 or -errno. */
    int (*execute)(struct file *f, const struct blk_req *r);
    /* Never blocks; done() as in struct blk_req. */
    void (*submit)(struct file *f, struct blk_req *r);
    int (*truncate)(struct file *f, u64 size);
    /* Room on the host for off..off+len, which reads as zeros where nothing was; may be NULL. */
    int (*preallocate)(struct file *f, u64 off, u64 len);
    /* off..off+len is about to be written: the host may take room for it at once.  ahead: more
     * behind it soon, and what is taken too much is given back at close().  May be NULL. */
    void (*expect)(struct file *f, u64 off, u64 len, bool ahead);
    /* Bytes from off that are surely zeros without being stored (a hole); 0 = none, and then
     * *end is where the data that starts at off ends.  May be NULL. */
    u64 (*hole)(struct file *f, u64 off, u64 *end);
    /* f becomes a copy of `from` (same ops) that shares its blocks; -errno where the host cannot,
     * and nothing is changed then.  May be NULL. */
    int (*share)(struct file *f, struct file *from);
    /* Waits for what is under way; no flush; frees. */
    void (*close)(struct file *f);
};

/* Where files come from; struct disk_options.io, NULL = the host. */
struct disk_io {
    /* -errno with one line that does not name the file. */
    int (*open)(struct disk_io *io, struct file **f, const char *path, unsigned flags,
                const struct disk_options *o, struct err *e);
};

/* Opens and locks.  The message does not name the file.  o is read for cache, no_uring, no_lock,
 * trace and io. */
int file_open(struct file **f, const char *path, unsigned flags, const struct disk_options *o,
              struct err *e);
void file_close(struct file *f); /* NULL is fine */

/* Now, on this thread; any thread; 0 or -errno. */
int file_read(struct file *f, u64 off, void *buf, u64 len);
int file_write(struct file *f, u64 off, const void *buf, u64 len);
int file_execute(struct file *f, const struct blk_req *r);
/* Zeros; gives the space back where the host can. */
int file_zero(struct file *f, u64 off, u64 len);
/* Advice: what is there is not needed any more; reads anything afterwards. */
int file_discard(struct file *f, u64 off, u64 len);
/* For tools and open(): nothing may be under way. */
int file_truncate(struct file *f, u64 size);
int file_flush(struct file *f);
int file_preallocate(struct file *f, u64 off, u64 len, struct err *e);

static inline u64 file_size(const struct file *f)
{
    return __atomic_load_n(&f->size, __ATOMIC_RELAXED);
}

/* A write up to `end` is about to happen. */
void file_grew(struct file *f, u64 end);

static inline void file_submit(struct file *f, struct blk_req *r)
{
    if (r->op == BLK_WRITE && r->offset + r->len > file_size(f))
        file_grew(f, r->offset + r->len);
    f->ops->submit(f, r);
}

/* Starts what submit() of a host's file needs (threads); else that happens at the first one. */
int file_start(struct file *f, struct err *e);

#endif
