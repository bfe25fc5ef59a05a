/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening an image: the file, the format that takes it, the images below it.  A format is a row of
 * disk_formats; what no row knows is raw, unless it shows the mark of a format that Wirt has no
 * code for: as a raw disk that would be nonsense to the guest and a danger to the image.
 *
 * An image can name other files (its parent, its extents), and it may come from a stranger.  So a
 * name is followed only inside the image's own directory, symbolic links resolved, unless the user
 * allowed more; chains are bounded in depth, and a file cannot be its own ancestor.
 */
#include "disk/img.h"
#include "disk/formats.h"
#include "disk/tar.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const struct format *const disk_formats[] = {
#define FORMAT(name) &format_##name,
    DISK_FORMATS
#undef FORMAT
        NULL,
};

/* Marks at the head of files that no row of disk_formats knows. */
static const struct foreign {
    const char *name;
    u32 at;
    const char *mark;
    u32 len;
} foreign[] = {
    {"ESX redo log (COWD)", 0, "COWD", 4},
    {"gzip", 0, "\x1f\x8b\x08", 3},
    {"xz", 0,
     "\xfd"
     "7zXZ\0",
     6},
    {"zstd", 0, "\x28\xb5\x2f\xfd", 4},
};

const struct format *format_find(const char *name)
{
    if (!strcmp(name, "vhd")) /* what everybody but QEMU calls it */
        name = "vpc";
    for (unsigned i = 0; disk_formats[i]; i++)
        if (!strcmp(name, disk_formats[i]->name))
            return disk_formats[i];
    return NULL;
}

static int find_format(const struct format **found, struct file *f, const char *name, struct err *e)
{
    u8 head[PROBE_HEAD] = {0}, tail[512] = {0};
    struct probe p = {.path = f->path, .head = head, .tail = tail, .size = f->size};
    int r;

    if (name) {
        *found = format_find(name);
        return *found ? 0 : err_set(e, EINVAL, "format=%s: no such format", name);
    }
    r = file_read(f, 0, head, min(f->size, (u64)PROBE_HEAD));
    if (!r && f->size >= sizeof(tail))
        r = file_read(f, f->size - sizeof(tail), tail, sizeof(tail));
    if (r)
        return err_set(e, -r, "cannot read it: %s", strerror(-r));
    for (unsigned i = 0; disk_formats[i]; i++) {
        *found = disk_formats[i];
        if (!(*found)->probe || (*found)->probe(&p))
            break;
    }
    if ((*found)->probe)
        return 0;
    for (unsigned i = 0; i < ARRAY_SIZE(foreign); i++)
        if (!memcmp(head + foreign[i].at, foreign[i].mark, foreign[i].len))
            return err_set(e, EINVAL,
                           "looks like a %s file, which Wirt does not read "
                           "(format=raw takes it as it is)",
                           foreign[i].name);
    return 0;
}

/* ------------------------------------------------------- files named by an image -- */

/* The folder of path, without its final slash; "" is the root. */
static void folder_of(const char *path, char *out)
{
    const char *slash = strrchr(path, '/');

    if (slash)
        snprintf(out, PATH_MAX, "%.*s", (int)(slash - path), path);
    else
        strcpy(out, ".");
}

int disk_path_inside(const char *folder, const char *path, char *out, struct err *e)
{
    char root[PATH_MAX];
    size_t n;

    if (!realpath(*folder ? folder : "/", root) || !realpath(path, out))
        return err_set(e, errno, "%s", strerror(errno));
    n = strlen(root);
    if (n == 1) /* everything is inside / */
        return 0;
    if (strncmp(out, root, n) || out[n] != '/')
        return err_set(e, EPERM,
                       "lies outside the image's own directory (--allow-external allows that)");
    return 0;
}

/* What `name`, as the image at `from` has it, is for us; PATH_MAX bytes to out. */
static int resolve(const struct img *im, const char *name, bool anywhere, char *out, struct err *e)
{
    char folder[PATH_MAX], joined[PATH_MAX];
    int n;

    if (!*name || strlen(name) >= PATH_MAX)
        return err_set(e, EINVAL, "not a file name");
    if (strstr(name, "://")) {
        if (!anywhere)
            return err_set(e, EPERM,
                           "lies outside the image's own directory (--allow-external allows that)");
        folder_of(im->path, folder);
        if (tar_is_url(name))
            return tar_url_in(folder, name, out, e);
        strcpy(out, name);
        return 0;
    }
    if (!strncmp(name, "file:", 5))
        name += 5;
    folder_of(im->path, folder);
    n = *name == '/' ? snprintf(joined, sizeof(joined), "%s", name)
                     : snprintf(joined, sizeof(joined), "%s/%s", folder, name);
    if (n < 0 || n >= PATH_MAX)
        return err_set(e, ENAMETOOLONG, "its path is too long");
    if (!anywhere && !im->opt.io)
        return disk_path_inside(im->opt.root ? im->opt.root : folder, joined, out, e);
    strcpy(out, joined);
    return 0;
}

int img_open_file(struct img *im, struct file **f, const char *name, unsigned flags, struct err *e)
{
    char path[PATH_MAX];
    struct file **more;
    int r;

    if (im->nextra == IMG_FILES_MAX)
        return err_set(e, E2BIG, "more than %d files", IMG_FILES_MAX);
    more = realloc(im->extra, (im->nextra + 1) * sizeof(struct file *));
    if (!more)
        return err_set(e, ENOMEM, "out of memory");
    im->extra = more;
    r = resolve(im, name, im->opt.allow_external, path, e);
    if (!r)
        r = file_open(f, path, flags, &im->opt, e);
    if (r)
        return err_prefix(e, "%s", name);
    im->extra[im->nextra++] = *f;
    return 0;
}

static bool same_file(const struct file *a, const struct file *b)
{
    return (a->dev || a->ino) && a->dev == b->dev && a->ino == b->ino;
}

static int img_open_at(struct img **out, const char *path, const struct disk_options *o,
                       struct img *child, struct err *e);

int img_open_parent(struct img *im, const char *name, const char *format, struct err *e)
{
    struct disk_options o = im->opt;
    char path[PATH_MAX];
    int r;

    if (im->opt.no_parent)
        return 0;
    if (im->depth + 1 >= IMG_CHAIN_MAX)
        return err_set(e, ELOOP, "a chain of more than %d images", IMG_CHAIN_MAX);
    o.readonly = true;
    o.snapshot = false;
    o.internal = NULL;
    o.for_check = false;
    o.format = format;
    o.parent_anywhere = false;
    r = resolve(im, name, im->opt.allow_external || im->opt.parent_anywhere, path, e);
    if (!r)
        r = img_open_at(&im->parent, path, &o, im, e);
    return r ? err_prefix(e, "backing file %s", name) : 0;
}

unsigned img_record_at(const u64 *start, size_t stride, unsigned n, u64 off)
{
    unsigned low = 0, high = n - 1;

    while (low < high) {
        unsigned mid = (low + high + 1) / 2;

        if (*(const u64 *)((const u8 *)start + mid * stride) <= off)
            low = mid;
        else
            high = mid - 1;
    }
    return low;
}

void img_close_parent(struct img *im)
{
    img_close(im->parent);
    im->parent = NULL;
}

/* ------------------------------------------------------------------- opening -- */

static int open_format(struct img *im, struct err *e)
{
    int r;

    for (struct img *c = im->child; c; c = c->child)
        if (same_file(c->file, im->file))
            return err_set(e, ELOOP, "is below itself in a chain of images");
    r = find_format(&im->fmt, im->file, im->opt.format, e);
    if (r)
        return r;
    im->b.ops = &img_blk_ops;
    im->b.block_size = im->b.sector = DISK_SECTOR;
    im->b.readonly = im->file->readonly;
    if (!im->b.readonly && !(im->fmt->caps & DISK_CAN_WRITE))
        return err_set(e, EROFS,
                       "Wirt only reads %s images (\"readonly\" or \"snapshot\" would do)",
                       im->fmt->title);
    r = im->fmt->open(im, e);
    if (!r && im->opt.internal) {
        if (!im->fmt->snapshot_open)
            r = err_set(e, EINVAL, "%s images have no internal snapshots", im->fmt->title);
        else
            r = im->fmt->snapshot_open(im, im->opt.internal, e);
    }
    if (r)
        return r;
    /* The tables of partitions that are below count in its sectors. */
    if (im->parent && im->parent->b.sector > im->b.sector && im->b.size % im->parent->b.sector == 0)
        im->b.sector = im->b.block_size = im->parent->b.sector;
    BUG_ON(!is_pow2(im->unit) || !is_pow2(im->granule) || im->granule > im->unit);
    if (!im->b.readonly && im->file->readonly)
        im->b.readonly = true;
    if (!im->b.size || im->b.size % DISK_SECTOR || im->b.size > (u64)INT64_MAX)
        return err_set(e, EINVAL, "a disk of %llu bytes", (unsigned long long)im->b.size);
    return img_start(im, e);
}

static int img_open_at(struct img **out, const char *path, const struct disk_options *o,
                       struct img *child, struct err *e)
{
    struct img *im = calloc(1, sizeof(*im));
    char inner[PATH_MAX];
    struct stat st;
    int r;

    /* A Parallels disk is a folder. */
    if (!o->io && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        snprintf(inner, sizeof(inner), "%s/DiskDescriptor.xml", path);
        if (stat(inner, &st) == 0)
            path = inner;
    }
    if (im)
        im->path = strdup(path);
    if (!im || !im->path) {
        free(im);
        return err_set(e, ENOMEM, "out of memory");
    }
    im->opt = *o;
    im->child = child;
    im->depth = child ? child->depth + 1 : 0;
    snprintf(im->b.path, sizeof(im->b.path), "%s", path);
    pthread_mutex_init(&im->writer, NULL);
    pthread_mutex_init(&im->lock, NULL);
    r = file_open(&im->file, path, o->readonly || o->snapshot ? 0 : FILE_WRITE, o, e);
    if (!r)
        r = open_format(im, e);
    im->child = NULL; /* may be gone one day */
    if (r) {
        img_close(im);
        return r;
    }
    im->opt.format = im->opt.internal = im->opt.root = NULL;
    *out = im;
    return 0;
}

int img_open(struct img **im, const char *path, const struct disk_options *o, struct err *e)
{
    static const struct disk_options none;
    struct err own = {0};
    int r;

    if (!e)
        e = &own;
    r = img_open_at(im, path, o ? o : &none, NULL, e);
    return r ? err_prefix(e, "%s", path) : 0;
}

void img_close(struct img *im)
{
    if (!im)
        return;
    img_stop(im);
    if (im->fmt && im->fmt->close)
        im->fmt->close(im);
    for (unsigned i = 0; i < im->nextra; i++)
        file_close(im->extra[i]);
    free(im->extra);
    file_close(im->file);
    img_close(im->parent);
    pthread_mutex_destroy(&im->writer);
    pthread_mutex_destroy(&im->lock);
    free(im->path);
    free(im);
}
