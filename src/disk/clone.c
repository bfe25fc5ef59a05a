/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linked clones: what is written goes to a qcow2 overlay of its own, whatever the format of the
 * image below.  The overlay is made when it is not there; one that is there must be over this
 * image, so that a file from elsewhere cannot name others to be read.
 */
#include "disk/disk_int.h"
#include "disk/img.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int make(const char *base, const struct disk_options *o, struct err *e)
{
    struct disk_create c = {.backing = base, .backing_format = o->format, .io = *o};
    char part[PATH_MAX];
    int r;

    if (snprintf(part, sizeof(part), "%s.part", o->clone) >= (int)sizeof(part))
        return err_set(e, ENAMETOOLONG, "%s: name too long", o->clone);
    c.path = part;
    c.io.readonly = c.io.snapshot = false;
    c.io.format = NULL;
    r = disk_create("qcow2", &c, e);
    if (!r && rename(part, o->clone) < 0)
        r = err_set(e, errno, "%s: %s", o->clone, strerror(errno));
    if (r)
        unlink(part);
    return r;
}

static void find_backing(struct disk_info *i, const char *key, const char *value)
{
    if (!strcmp(key, "backing-filename"))
        snprintf(i->opaque, PATH_MAX, "%s", value);
}

static void ignore_number(struct disk_info *i, const char *key, u64 value)
{
}

static void ignore_flag(struct disk_info *i, const char *key, bool value)
{
}

static int check(const char *base, const struct disk_options *o, struct err *e)
{
    struct disk_options look = {
        .readonly = true, .format = "qcow2", .no_parent = true, .no_lock = true, .io = o->io};
    char backing[PATH_MAX] = "";
    struct disk_info info = {find_backing, ignore_number, ignore_flag, backing};
    struct img *im;
    int r = img_open(&im, o->clone, &look, e);

    if (r)
        return r;
    disk_info(im, &info);
    img_close(im);
    if (!strcmp(backing, base))
        return 0;
    return err_set(e, EINVAL, "%s: is no clone of %s, but %s%s", o->clone, base,
                   *backing ? "of " : "an image of its own", backing);
}

int disk_clone(const char *path, const struct disk_options *o, struct err *e)
{
    char real[PATH_MAX];

    if (strstr(path, "://"))
        snprintf(real, sizeof(real), "%s", path);
    else if (!realpath(path, real))
        return err_set(e, errno, "%s: %s", path, strerror(errno));
    if (access(o->clone, F_OK) == 0)
        return check(real, o, e);
    return errno == ENOENT ? make(real, o, e)
                           : err_set(e, errno, "%s: %s", o->clone, strerror(errno));
}
