/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots of a running machine's disks, taken while it stands still and no request is under way.
 * Formats with snapshots of their own (qcow2) keep them in the image.  Of a raw image there is a
 * copy, which shares its blocks where the file system can do so (FICLONE), and has its holes
 * anyway.
 */
#include "disk/live.h"

#include "base/io.h"
#include "disk/img.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_BUF = 1 << 20 };

static int fail(const char *path, struct err *e)
{
    int code = errno ? errno : EIO;

    return err_set(e, code, "%s: %s", path, strerror(code));
}

/* off..off+len from one file into another at the same place. */
static int copy_range(int to, int from, off_t off, off_t len, u8 *buf)
{
    while (len > 0) {
        ssize_t n = pread(from, buf, (size_t)min(len, (off_t)COPY_BUF), off);
        if (n <= 0)
            return n < 0 ? -1 : 0;
        errno = write_at(to, buf, (u64)n, (u64)off);
        if (errno)
            return -1;
        off += n;
        len -= n;
    }
    return 0;
}

static int make_hole(int to, off_t off, off_t len, u8 *buf)
{
    if (!fallocate(to, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len))
        return 0;
    memset(buf, 0, COPY_BUF);
    for (; len > 0; off += COPY_BUF, len -= COPY_BUF) {
        errno = write_at(to, buf, (u64)min(len, (off_t)COPY_BUF), (u64)off);
        if (errno)
            return -1;
    }
    return 0;
}

static int copy_pieces(int to, int from, off_t size, u8 *buf)
{
    for (off_t at = 0; at < size;) {
        off_t data = lseek(from, at, SEEK_DATA);
        if (data < 0 && errno != ENXIO)
            data = at; /* a file system that does not say */
        if (data < 0)
            return make_hole(to, at, size - at, buf);
        off_t hole = lseek(from, data, SEEK_HOLE);
        if (hole <= data)
            hole = size;
        if ((data > at && make_hole(to, at, data - at, buf)) ||
            copy_range(to, from, data, hole - data, buf))
            return -1;
        at = hole;
    }
    return 0;
}

/* All of one file into another, which is as long as it afterwards. */
static int copy_file(const char *to_path, int flags, const char *from_path, struct err *e)
{
    int from = open(from_path, O_RDONLY | O_CLOEXEC), to = -1, r = 0;
    struct stat st;
    u8 *buf = malloc(COPY_BUF);

    errno = buf ? errno : ENOMEM;
    if (from < 0 || !buf || fstat(from, &st))
        r = fail(from_path, e);
    if (!r && !S_ISREG(st.st_mode))
        r = err_set(e, ENOTSUP, "%s: not a regular file: it cannot be copied for a snapshot",
                    from_path);
    if (!r && (to = open(to_path, O_WRONLY | O_CLOEXEC | flags, 0600)) < 0)
        r = fail(to_path, e);
    if (!r && ioctl(to, FICLONE, from) &&
        (ftruncate(to, st.st_size) || copy_pieces(to, from, st.st_size, buf)))
        r = fail(to_path, e);
    if (!r && fsync(to))
        r = fail(to_path, e);
    if (to >= 0)
        close(to);
    if (from >= 0)
        close(from);
    free(buf);
    return r;
}

int raw_snapshot(struct blk *b, enum blk_snapshot what, const char *tag, const char *copy,
                 struct err *e)
{
    const struct img *im = (const struct img *)b;
    int r = 0;

    switch (what) {
    case BLK_SNAPSHOT_TAKE:
        r = copy_file(copy, O_CREAT | O_TRUNC, im->path, e);
        if (r)
            unlink(copy);
        return r;
    case BLK_SNAPSHOT_CHECK:
        return access(copy, R_OK) ? fail(copy, e) : 0;
    case BLK_SNAPSHOT_APPLY:
        return copy_file(im->path, 0, copy, e);
    case BLK_SNAPSHOT_DROP:
        return unlink(copy) && errno != ENOENT ? fail(copy, e) : 0;
    }
    return -EINVAL;
}

static int find(struct img *im, const char *tag, struct err *e)
{
    struct disk_snapshot *list;
    unsigned n;
    int r = disk_snapshots(im, &list, &n, e);

    if (r)
        return r;
    r = -ENOENT;
    for (unsigned i = 0; i < n; i++)
        if (!strcmp(list[i].name, tag))
            r = 0;
    free(list);
    return r ? err_set(e, ENOENT, "%s: has no snapshot \"%s\"", im->path, tag) : 0;
}

int img_snapshot(struct blk *b, enum blk_snapshot what, const char *tag, const char *copy,
                 struct err *e)
{
    struct img *im = (struct img *)b;

    if (!im->fmt->snapshot_create)
        return err_set(e, ENOTSUP,
                       "%s: %s images have no snapshots; qcow2 and raw ones can be kept", im->path,
                       im->fmt->title);
    switch (what) {
    case BLK_SNAPSHOT_TAKE:
        return disk_snapshot(im, "create", tag, e);
    case BLK_SNAPSHOT_CHECK:
        return find(im, tag, e);
    case BLK_SNAPSHOT_APPLY:
        return disk_snapshot(im, "apply", tag, e);
    case BLK_SNAPSHOT_DROP:
        return disk_snapshot(im, "delete", tag, e);
    }
    return -EINVAL;
}
