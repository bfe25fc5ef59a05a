/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside src/disk: a file of the host, asynchronous I/O on it, its lock, and the throw-away layer.
 */
#ifndef WIRT_DISK_DISK_INT_H
#define WIRT_DISK_DISK_INT_H

#include "base/trace.h"
#include "disk/file.h"

/* A regular file or block device. */
struct disk_file {
    int fd;         /* through the page cache */
    int direct_fd;  /* O_DIRECT, -1 = not asked for */
    u64 size;       /* bytes when it was opened */
    u64 base;       /* where they begin on fd: 0 but for a window */
    bool window;    /* a part of the file, only read: what lies around it is not seen */
    u32 align;      /* of memory, offset and length on direct_fd */
    u32 block_size; /* physical, 512 or 4096 */
    bool readonly, is_device;
    enum disk_cache cache;
    const char *path;
    struct trace *trace;
};

extern const struct file_ops host_file_ops;
int host_file_open(struct file **f, const char *path, unsigned flags, const struct disk_options *o,
                   struct err *e);
/* Takes fd over, also on error. */
int host_file_from_fd(struct file **f, int fd, u64 size, const struct disk_options *o,
                      struct err *e);

/* f is from now on len bytes from base on of what it was; opened readonly, nothing begun. */
void host_file_window(struct file *f, u64 base, u64 len);
/* Its name from now on; takes it over. */
void host_file_rename(struct file *f, char *name);

/* nbd.c: a disk on a server. */
bool nbd_is_url(const char *path);
int nbd_file_open(struct file **f, const char *path, unsigned flags, const struct disk_options *o,
                  struct err *e);

/* tar_file.c: tar:// (disk/tar.h). */
int tar_file_open(struct file **f, const char *url, unsigned flags, const struct disk_options *o,
                  struct err *e);

/* ---- aio.c: requests on a file ---- */

struct aio;

/* f must outlive it. */
struct aio *aio_open(const struct disk_file *f, bool no_uring, struct err *e);
/* Any thread; never blocks.  The request must lie within the file's size. */
void aio_submit(struct aio *a, struct blk_req *r);
/* Waits for requests under way. */
void aio_close(struct aio *a);
bool aio_has_uring(const struct aio *a);
/* Does a request now, on this thread; 0 or -errno. */
int aio_execute(const struct disk_file *f, const struct blk_req *r);

/* Cuts bytes off..off+len out of iov into out; the entries used (at most nout). */
int disk_iov_slice(struct iovec *out, int nout, const struct iovec *iov, int niov, u64 off,
                   u64 len);

/* ---- clone.c ---- */

/* Makes o->clone, or checks that it is an overlay over the image at path.  One line that names the
 * file. */
int disk_clone(const char *path, const struct disk_options *o, struct err *e);

/* ---- overlay.c ---- */

/* Puts a throw-away layer over base, and owns it then (closed on error too). */
int overlay_open(struct blk **b, struct blk *base, const struct disk_options *o, struct err *e);

#endif
