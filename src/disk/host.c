/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's files and block devices as struct file: opening, sizing, locking.  Asynchronous I/O
 * on them is aio.c's; it is started at the first request, since most files of a chain of images,
 * and all of a tool's, are only used by synchronous calls.
 */
#include "base/trace.h"
#include "disk/disk_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXPECT = 32 << 20 }; /* bytes of room taken ahead */

struct host_file {
    struct file f; /* first */
    struct disk_file d;
    struct aio *aio; /* atomic; NULL until needed */
    bool no_uring;
    pthread_mutex_t lock; /* guards making aio, and what follows */
    u64 data, data_end;   /* bytes that were no hole when last asked */
    u64 expected;         /* room was taken up to here; UINT64_MAX = not again */
};

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
    f->size = size;
    return 0;
}

static int open_direct(struct disk_file *f, const char *path, int flags, struct err *e)
{
    f->direct_fd = open(path, flags | O_DIRECT);
    if (f->direct_fd < 0 && errno == EINVAL)
        return err_set(e, EINVAL, "its file system does not take cache=none (O_DIRECT)");
    return f->direct_fd < 0 ? err_set(e, errno, "%s", strerror(errno)) : 0;
}

static void disk_file_close(struct disk_file *f)
{
    if (f->direct_fd >= 0)
        close(f->direct_fd);
    if (f->fd >= 0)
        close(f->fd);
    f->fd = f->direct_fd = -1;
}

static int open_fd(struct disk_file *f, const char *path, unsigned flags, struct stat *st,
                   struct err *e)
{
    bool write = flags & (FILE_WRITE | FILE_CREATE);
    int fl = (write ? O_RDWR : O_RDONLY) | O_CLOEXEC;
    int r;

    /* Looked at before it is opened: opening a FIFO waits, opening a tape winds. */
    if (stat(path, st) == 0) {
        r = check_kind(st, e);
        if (r < 0)
            return r;
    } else if (errno != ENOENT || !(flags & FILE_CREATE)) {
        return err_set(e, errno, "%s", strerror(errno));
    }
    f->fd = open(path, fl | (flags & FILE_CREATE ? O_CREAT : 0), 0666);
    if (f->fd < 0 && write && !(flags & FILE_CREATE) &&
        (errno == EACCES || errno == EROFS || errno == EPERM))
        return err_set(e, errno, "%s to write (\"readonly\" or \"snapshot\" would do without)",
                       strerror(errno));
    if (f->fd < 0)
        return err_set(e, errno, "%s", strerror(errno));
    if (fstat(f->fd, st) < 0)
        return err_set(e, errno, "%s", strerror(errno));
    return check_kind(st, e);
}

static int disk_file_open(struct disk_file *f, const char *path, unsigned flags,
                          const struct disk_options *o, struct stat *st, struct err *e)
{
    bool write = flags & (FILE_WRITE | FILE_CREATE);
    int r;

    *f = (struct disk_file){
        .fd = -1, .direct_fd = -1, .readonly = !write, .cache = o->cache, .trace = o->trace};
    r = open_fd(f, path, flags, st, e);
    if (!r) {
        f->is_device = S_ISBLK(st->st_mode);
        r = find_size(f, st, e);
    }
    if (!r && !f->size && !(flags & (FILE_CREATE | FILE_EMPTY_OK)))
        r = err_set(e, EINVAL, "is empty");
    if (!r && !o->no_lock)
        r = disk_lock(f->fd, write, e);
    if (!r && flags & FILE_CREATE && !f->is_device && f->size) {
        if (ftruncate(f->fd, 0) < 0)
            r = err_set(e, errno, "cannot empty it: %s", strerror(errno));
        f->size = 0;
    }
    if (!r && o->cache == DISK_DIRECT)
        r = open_direct(f, path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC, e);
    if (r)
        disk_file_close(f);
    return r;
}

/* ----------------------------------------------------------- struct file_ops -- */

static int host_execute(struct file *f, const struct blk_req *r)
{
    return aio_execute(&((struct host_file *)f)->d, r);
}

int file_start(struct file *f, struct err *e)
{
    struct host_file *h = (struct host_file *)f;
    int r = 0;

    if (f->ops != &host_file_ops || __atomic_load_n(&h->aio, __ATOMIC_ACQUIRE))
        return 0;
    pthread_mutex_lock(&h->lock);
    if (!h->aio) {
        struct err own = {0};
        struct aio *a = aio_open(&h->d, h->no_uring, e ? e : &own);

        if (a)
            __atomic_store_n(&h->aio, a, __ATOMIC_RELEASE);
        else
            r = -(e ? e : &own)->code;
    }
    pthread_mutex_unlock(&h->lock);
    return r;
}

static void host_submit(struct file *f, struct blk_req *r)
{
    struct host_file *h = (struct host_file *)f;

    if (unlikely(!__atomic_load_n(&h->aio, __ATOMIC_ACQUIRE))) {
        int k = file_start(f, NULL);

        if (k) {
            r->done(r, k);
            return;
        }
    }
    aio_submit(h->aio, r);
}

static int host_truncate(struct file *f, u64 size)
{
    struct host_file *h = (struct host_file *)f;

    if (f->is_device)
        return size <= f->size ? 0 : -ENOSPC;
    return ftruncate(h->d.fd, (off_t)size) < 0 ? -errno : 0;
}

static int host_preallocate(struct file *f, u64 off, u64 len)
{
    struct host_file *h = (struct host_file *)f;

    return fallocate(h->d.fd, 0, (off_t)off, (off_t)len) < 0 ? -errno : 0;
}

/* In room that is there already a write costs the host a fifth less than where it must reserve some
 * for each page. */
static void host_expect(struct file *f, u64 off, u64 len, bool ahead)
{
    struct host_file *h = (struct host_file *)f;

    if (f->is_device || off + len <= __atomic_load_n(&h->expected, __ATOMIC_RELAXED))
        return;
    pthread_mutex_lock(&h->lock);
    if (off + len > h->expected) {
        u64 from = max(off, h->expected), to = off + len + (ahead ? EXPECT : 0);

        if (fallocate(h->d.fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from)) < 0)
            to = UINT64_MAX;
        __atomic_store_n(&h->expected, to, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&h->lock);
}

/* Gives back what host_expect() took too much. */
static void give_back(struct host_file *h)
{
    struct stat st;

    if (!h->expected || fstat(h->d.fd, &st) < 0 || h->expected <= (u64)st.st_size)
        return;
    if (ftruncate(h->d.fd, st.st_size) < 0 && h->d.trace)
        trace(h->d.trace, block, "%s: %s", h->d.path, strerror(errno));
}

/* Where room was preallocated, the host looks through the page cache for the end of the data, page
 * by page: so it is asked once for each run of data, not once for each piece that is read.  What
 * became a hole since then still reads as zeros. */
static u64 host_hole(struct file *f, u64 off, u64 *end)
{
    struct host_file *h = (struct host_file *)f;
    off_t data, hole;
    bool known;

    *end = f->size;
    if (f->is_device || h->d.window || off >= f->size)
        return 0;
    pthread_mutex_lock(&h->lock);
    known = off >= h->data && off < h->data_end;
    if (known)
        *end = min(h->data_end, f->size);
    pthread_mutex_unlock(&h->lock);
    if (known)
        return 0;
    data = lseek(h->d.fd, (off_t)off, SEEK_DATA);
    if (data < 0)
        return errno == ENXIO ? f->size - off : 0;
    if ((u64)data > off)
        return (u64)data - off;
    hole = lseek(h->d.fd, (off_t)off, SEEK_HOLE);
    if (hole > data) {
        *end = (u64)hole;
        pthread_mutex_lock(&h->lock);
        h->data = off;
        h->data_end = (u64)hole;
        pthread_mutex_unlock(&h->lock);
    }
    return 0;
}

static int host_share(struct file *f, struct file *from)
{
    struct host_file *to = (struct host_file *)f, *h = (struct host_file *)from;

    if (f->is_device || from->is_device)
        return -EOPNOTSUPP;
    return ioctl(to->d.fd, FICLONE, h->d.fd) < 0 ? -errno : 0;
}

static void host_close(struct file *f)
{
    struct host_file *h = (struct host_file *)f;

    if (h->aio)
        aio_close(h->aio);
    give_back(h);
    disk_file_close(&h->d);
    pthread_mutex_destroy(&h->lock);
    free(f->path);
    free(h);
}

const struct file_ops host_file_ops = {.execute = host_execute,
                                       .submit = host_submit,
                                       .truncate = host_truncate,
                                       .preallocate = host_preallocate,
                                       .expect = host_expect,
                                       .hole = host_hole,
                                       .share = host_share,
                                       .close = host_close};

static struct file *wrap(const struct disk_file *d, const char *path, bool no_uring)
{
    struct host_file *h = calloc(1, sizeof(*h));
    char *copy = strdup(path);

    if (!h || !copy) {
        free(h);
        free(copy);
        return NULL;
    }
    h->d = *d;
    h->d.path = copy;
    h->no_uring = no_uring;
    pthread_mutex_init(&h->lock, NULL);
    h->f = (struct file){.ops = &host_file_ops,
                         .size = d->size,
                         .block_size = d->block_size,
                         .readonly = d->readonly,
                         .is_device = d->is_device,
                         .path = copy};
    return &h->f;
}

int host_file_open(struct file **f, const char *path, unsigned flags, const struct disk_options *o,
                   struct err *e)
{
    struct disk_file d;
    struct stat st = {0};
    int r = disk_file_open(&d, path, flags, o, &st, e);

    if (r)
        return r;
    *f = wrap(&d, path, o->no_uring);
    if (!*f) {
        disk_file_close(&d);
        return err_set(e, ENOMEM, "out of memory");
    }
    (*f)->dev = st.st_dev;
    (*f)->ino = st.st_ino;
    return 0;
}

void host_file_window(struct file *f, u64 base, u64 len)
{
    struct host_file *h = (struct host_file *)f;

    BUG_ON(f->ops != &host_file_ops || !f->readonly || h->aio);
    h->d.base = base;
    h->d.size = f->size = len;
    h->d.window = true;
}

void host_file_rename(struct file *f, char *name)
{
    struct host_file *h = (struct host_file *)f;

    free(f->path);
    f->path = name;
    h->d.path = name;
}

int host_file_from_fd(struct file **f, int fd, u64 size, const struct disk_options *o,
                      struct err *e)
{
    struct disk_file d = {.fd = fd,
                          .direct_fd = -1,
                          .size = size,
                          .align = 4096,
                          .block_size = DISK_SECTOR,
                          .cache = o->cache,
                          .trace = o->trace};

    *f = wrap(&d, "(snapshot)", o->no_uring);
    if (*f)
        return 0;
    close(fd);
    return err_set(e, ENOMEM, "out of memory");
}
