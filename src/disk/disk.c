/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening an image: what kind of file it is, how big, whose, and which format takes it.  A format
 * is a row of `formats`; what no row knows is raw, unless it shows the mark of a format that Wirt
 * has no code for: as a raw disk that would be nonsense to the guest and a danger to the image.
 */
#include "disk/disk_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct disk_format *const formats[] = {&disk_raw};

enum { HEAD_SIZE = 4096 };

/* Marks at the head of images that no row of `formats` knows. */
static const struct foreign {
    const char *name;
    u32 at;
    const char *mark;
    u32 len;
} foreign[] = {
    {"qcow2", 0, "QFI\xfb", 4},
    {"VMDK", 0, "KDMV", 4},
    {"VMDK", 0, "# Disk DescriptorFile", 21},
    {"VMDK", 0, "COWD", 4},
    {"VHDX", 0, "vhdxfile", 8},
    {"VHD", 0, "conectix", 8},
    {"VDI", 64, "\x7f\x10\xda\xbe", 4},
    {"Parallels", 0, "WithoutFreeSpace", 16},
    {"Parallels", 0, "WithouFreSpacExt", 16},
    {"QED", 0, "QED", 4},
    {"gzip", 0, "\x1f\x8b\x08", 3},
    {"xz", 0,
     "\xfd"
     "7zXZ\0",
     6},
    {"zstd", 0, "\x28\xb5\x2f\xfd", 4},
};

int disk_cache_parse(enum disk_cache *c, const char *name, struct err *e)
{
    static const char *const names[] = {"writeback", "writethrough", "none", "unsafe"};

    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        if (!strcmp(name, names[i])) {
            *c = (enum disk_cache)i;
            return 0;
        }
    }
    return err_set(e, EINVAL, "cache=%s: not one of writeback, writethrough, none, unsafe", name);
}

static int check_kind(const struct stat *st, struct err *e)
{
    if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
        return 0;
    if (S_ISDIR(st->st_mode))
        return err_set(e, EISDIR, "is a directory");
    return err_set(e, EINVAL, "neither a regular file nor a block device");
}

static int find_size(struct disk_file *f, const struct stat *st, struct err *e)
{
    u64 size = (u64)st->st_size;

    f->block_size = DISK_SECTOR;
    f->align = 4096;
    if (f->is_device) {
        int sector = 0;
        unsigned physical = 0;

        if (ioctl(f->fd, BLKGETSIZE64, &size) < 0)
            return err_set(e, errno, "cannot ask its size: %s", strerror(errno));
        if (ioctl(f->fd, BLKSSZGET, &sector) == 0 && is_pow2((u64)sector))
            f->align = (u32)sector;
        if (ioctl(f->fd, BLKPBSZGET, &physical) == 0 && physical >= 4096)
            f->block_size = 4096;
    }
    if (!size)
        return err_set(e, EINVAL, "is empty");
    f->size = align_up(size, DISK_SECTOR);
    return 0;
}

static int open_direct(struct disk_file *f, const char *path, int flags, struct err *e)
{
    f->direct_fd = open(path, flags | O_DIRECT);
    if (f->direct_fd < 0 && errno == EINVAL)
        return err_set(e, EINVAL, "its file system does not take cache=none (O_DIRECT)");
    return f->direct_fd < 0 ? err_set(e, errno, "%s", strerror(errno)) : 0;
}

int disk_file_open(struct disk_file *f, const char *path, const struct disk_options *o,
                   struct err *e)
{
    bool write = !o->readonly && !o->snapshot;
    int flags = (write ? O_RDWR : O_RDONLY) | O_CLOEXEC;
    struct stat st;
    int r;

    *f = (struct disk_file){.fd = -1,
                            .direct_fd = -1,
                            .readonly = !write,
                            .cache = o->cache,
                            .path = path,
                            .trace = o->trace};
    if (stat(path, &st) < 0)
        return err_set(e, errno, "%s", strerror(errno));
    r = check_kind(&st, e);
    if (r < 0)
        return r;
    f->fd = open(path, flags);
    if (f->fd < 0 && write && (errno == EACCES || errno == EROFS || errno == EPERM))
        return err_set(e, errno, "%s to write (\"readonly\" or \"snapshot\" would do without)",
                       strerror(errno));
    if (f->fd < 0)
        return err_set(e, errno, "%s", strerror(errno));
    r = fstat(f->fd, &st) < 0 ? err_set(e, errno, "%s", strerror(errno)) : check_kind(&st, e);
    if (!r) {
        f->is_device = S_ISBLK(st.st_mode);
        r = find_size(f, &st, e);
    }
    if (!r && !o->no_lock)
        r = disk_lock(f->fd, write, e);
    if (!r && o->cache == DISK_DIRECT)
        r = open_direct(f, path, flags, e);
    if (r)
        disk_file_close(f);
    return r;
}

void disk_file_close(struct disk_file *f)
{
    if (f->direct_fd >= 0)
        close(f->direct_fd);
    if (f->fd >= 0)
        close(f->fd);
    f->fd = f->direct_fd = -1;
}

static int find_format(const struct disk_format **found, const struct disk_file *f,
                       const char *name, struct err *e)
{
    u8 head[HEAD_SIZE] = {0};
    ssize_t n;

    *found = &disk_raw;
    if (name) {
        for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
            *found = formats[i];
            if (!strcmp(name, formats[i]->name))
                return 0;
        }
        return err_set(e, EINVAL, "format=%s: no such format", name);
    }
    n = pread(f->fd, head, sizeof(head), 0);
    if (n < 0)
        return err_set(e, errno, "cannot read it: %s", strerror(errno));
    for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
        if (formats[i]->probe && formats[i]->probe(head, (size_t)n, f->size)) {
            *found = formats[i];
            return 0;
        }
    }
    for (unsigned i = 0; i < ARRAY_SIZE(foreign); i++)
        if (!memcmp(head + foreign[i].at, foreign[i].mark, foreign[i].len))
            return err_set(e, EINVAL,
                           "looks like a %s file, which Wirt does not read "
                           "(format=raw takes it as it is)",
                           foreign[i].name);
    return 0;
}

int disk_open(struct blk **b, const char *path, const struct disk_options *o, struct err *e)
{
    static const struct disk_options none;
    const struct disk_format *format;
    struct disk_file f;
    struct err own = {0};
    int r;

    if (!o)
        o = &none;
    if (!e)
        e = &own;
    r = disk_file_open(&f, path, o, e);
    if (r)
        return err_prefix(e, "%s", path);
    r = find_format(&format, &f, o->format, e);
    if (r)
        disk_file_close(&f);
    else
        r = format->open(b, &f, o, e);
    if (!r && o->snapshot)
        r = overlay_open(b, *b, o, e);
    return r ? err_prefix(e, "%s", path) : 0;
}

/* ------------------------------------------------------------ waiting for one -- */

struct waiter {
    struct blk_req req;
    struct iovec iov;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
    int result;
};

static void sync_done(struct blk_req *r, int result)
{
    struct waiter *w = container_of(r, struct waiter, req);

    pthread_mutex_lock(&w->lock);
    w->result = result;
    w->done = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

int blk_sync(struct blk *b, enum blk_op op, u64 offset, void *buf, u64 len)
{
    struct waiter w = {.iov = {buf, len}};

    w.req = (struct blk_req){.op = op,
                             .offset = offset,
                             .len = len,
                             .iov = &w.iov,
                             .niov = buf ? 1 : 0,
                             .may_inline = true,
                             .done = sync_done};
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.cond, NULL);
    blk_submit(b, &w.req);
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.cond, &w.lock);
    pthread_mutex_unlock(&w.lock);
    pthread_mutex_destroy(&w.lock);
    pthread_cond_destroy(&w.cond);
    return w.result;
}
