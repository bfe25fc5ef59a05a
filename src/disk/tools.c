/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tools do with images: see tools.h.
 */
#include "disk/tools.h"
#include "disk/img.h"
#include "disk/tar.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------- create -- */

int create_open_backing(const struct disk_create *c, struct img **im, struct err *e)
{
    struct disk_options o = c->io;
    const char *slash = strrchr(c->path, '/');
    char path[4096], folder[4096];
    int r;

    if (tar_is_url(c->backing)) {
        snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - c->path) : 1,
                 slash ? c->path : ".");
        r = tar_url_in(folder, c->backing, path, e);
        if (r)
            return r;
    } else if (c->backing[0] == '/' || !slash || strstr(c->backing, "://"))
        snprintf(path, sizeof(path), "%s", c->backing);
    else
        snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - c->path), c->path, c->backing);
    o.readonly = true;
    o.format = c->backing_format;
    r = img_open(im, path, &o, e);
    return r ? err_prefix(e, "backing file") : 0;
}

/* The size of the new image from its backing file, which must exist. */
static int look_at_backing(struct disk_create *c, struct err *e)
{
    struct img *im;
    int r = create_open_backing(c, &im, e);

    if (r)
        return r;
    if (!c->size)
        c->size = im->b.size;
    if (!c->backing_format)
        c->backing_format = im->fmt->name;
    img_close(im);
    return 0;
}

/* Such a name is one of a file here, and would be one of a protocol to who reads it. */
static bool looks_like_url(const char *name)
{
    size_t n = strcspn(name, ":/");

    return name[n] == ':' && !strstr(name, "://");
}

int disk_create(const char *format, const struct disk_create *want, struct err *e)
{
    const struct format *f = format_find(format);
    struct disk_create c = *want;
    char backing[PATH_MAX];
    int r = 0;

    if (!f)
        return err_set(e, EINVAL, "%s: no such format", format);
    if (!f->create)
        return err_set(e, EINVAL, "Wirt makes no %s images", f->title);
    if (c.backing && !(f->caps & DISK_CAN_BACKING))
        r = err_set(e, EINVAL, "%s images have no backing file", f->title);
    if (!r)
        r = create_check_options(f, c.options, e);
    if (!r && c.backing)
        r = look_at_backing(&c, e);
    if (!r && c.backing && f->caps & DISK_BACKING_URL && looks_like_url(c.backing)) {
        snprintf(backing, sizeof(backing), "./%s", c.backing);
        c.backing = backing;
    }
    if (!r && !c.size)
        r = err_set(e, EINVAL, "no size given");
    if (!r && c.size > (u64)INT64_MAX - 4096)
        r = err_set(e, EFBIG, "too big");
    if (!r)
        r = f->create(&c, e);
    return r ? err_prefix(e, "%s", c.path) : 0;
}

/* -------------------------------------------------------------------- check -- */

enum { FINDINGS_MAX = 100 };

static void say(struct disk_check *c, u64 so_far, const char *what, bool fixed, const char *fmt,
                va_list ap)
{
    char text[200], line[240];

    if (!c->say || so_far > FINDINGS_MAX)
        return;
    vsnprintf(text, sizeof(text), fmt, ap);
    snprintf(line, sizeof(line), "%s%s: %s", what, fixed ? " (repaired)" : "", text);
    c->say(c->opaque, line);
}

void check_error(struct disk_check *c, bool fixed, const char *fmt, ...)
{
    va_list ap;

    if (fixed)
        c->errors_fixed++;
    else
        c->errors++;
    va_start(ap, fmt);
    say(c, c->errors + c->errors_fixed, "error", fixed, fmt, ap);
    va_end(ap);
}

void check_leak(struct disk_check *c, bool fixed, const char *fmt, ...)
{
    va_list ap;

    if (fixed)
        c->leaks_fixed++;
    else
        c->leaks++;
    va_start(ap, fmt);
    say(c, c->leaks + c->leaks_fixed, "leak", fixed, fmt, ap);
    va_end(ap);
}

int settle(struct img *im)
{
    int more = 1, r = 0;

    for (unsigned stage = 0; more && !r; stage++) {
        r = im->fmt->write_back(im, stage);
        more = r == 1;
        if (r >= 0)
            r = file_flush(im->file);
        for (unsigned i = 0; i < im->nextra && !r; i++)
            r = file_flush(im->extra[i]);
    }
    im->fmt->write_back_done(im, !r);
    return r;
}

/* --------------------------------------------------------- on an opened image -- */

static void lock_image(struct img *im)
{
    pthread_mutex_lock(&im->writer);
    pthread_mutex_lock(&im->lock);
}

static void unlock_image(struct img *im)
{
    pthread_mutex_unlock(&im->lock);
    pthread_mutex_unlock(&im->writer);
}

static int refuse(struct img *im, bool there, const char *what, struct err *e)
{
    if (there)
        return 0;
    err_set(e, EOPNOTSUPP, "Wirt cannot %s %s images", what, im->fmt->title);
    return err_prefix(e, "%s", im->path);
}

int disk_check(struct img *im, struct disk_check *c, struct err *e)
{
    int r = refuse(im, im->fmt->check, "check", e);

    if (r)
        return r;
    if ((c->repair_all || c->repair_leaks) && !(im->fmt->caps & DISK_CAN_REPAIR))
        return refuse(im, false, "repair", e);
    lock_image(im);
    r = im->fmt->check(im, c, e);
    unlock_image(im);
    return r ? err_prefix(e, "%s", im->path) : 0;
}

static int zero(struct img *im, u64 from, u64 to)
{
    struct blk_req r = {.op = BLK_WRITE_ZEROES, .offset = from, .len = to - from, .unmap = true};

    return from < to ? img_execute(im, &r) : 0;
}

int disk_resize(struct img *im, u64 size, struct err *e)
{
    u64 old = im->b.size;
    int r = refuse(im, im->fmt->resize, "resize", e);

    if (r)
        return r;
    if (!size || size > (u64)INT64_MAX - 4096) {
        err_set(e, EINVAL, "a size of %llu bytes", (unsigned long long)size);
        return err_prefix(e, "%s", im->path);
    }
    size = align_up(size, DISK_SECTOR);
    /* What is cut off must not come back when the disk grows again. */
    if (im->fmt->unmap)
        r = zero(im, min(size, old), old);
    if (!r)
        r = img_flush(im);
    if (r) {
        err_set(e, -r, "%s", strerror(-r));
        return err_prefix(e, "%s", im->path);
    }
    lock_image(im);
    r = im->fmt->resize(im, size, e);
    unlock_image(im);
    /* What is new is zeros: neither a longer parent nor what another program left behind the end of
     * a unit. */
    if (!r && size > old) {
        u64 to = align_up(old, im->unit);

        if (im->parent)
            to = max(to, im->parent->b.size);
        r = zero(im, old, max(old, min(size, to)));
        if (r)
            err_set(e, -r, "%s", strerror(-r));
    }
    return r ? err_prefix(e, "%s", im->path) : 0;
}

int disk_snapshot(struct img *im, const char *what, const char *name, struct err *e)
{
    int (*fn)(struct img *, const char *, struct err *) =
        !strcmp(what, "create")   ? im->fmt->snapshot_create
        : !strcmp(what, "apply")  ? im->fmt->snapshot_apply
        : !strcmp(what, "delete") ? im->fmt->snapshot_delete
                                  : NULL;
    int r = refuse(im, fn, "take snapshots in", e);

    if (!r)
        r = img_flush(im);
    if (r)
        return r;
    lock_image(im);
    r = fn(im, name, e);
    unlock_image(im);
    return r ? err_prefix(e, "%s", im->path) : 0;
}

int disk_snapshots(struct img *im, struct disk_snapshot **list, unsigned *n, struct err *e)
{
    *list = NULL;
    *n = 0;
    if (!im->fmt->snapshots)
        return 0;
    return im->fmt->snapshots(im, list, n, e);
}

void disk_info(struct img *im, struct disk_info *i)
{
    if (im->fmt->info)
        im->fmt->info(im, i);
}
