/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linked clones: what is written goes to a qcow2 overlay of its own, whatever the format of the
 * image below.  The overlay is made when it is not there; one that is there must be over this
 * image, so that a file from elsewhere cannot name others to be read.
 */
#include "disk/disk_int.h"
#include "disk/img.h"
#include "disk/tar.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The length of the folder's name in path, with its final slash. */
static size_t folder_len(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (size_t)(slash + 1 - path) : 0;
}

/* How the overlay shall name the image: an image in the folder above the overlay's, as an
 * appliance's is, by "../", so that both can be moved together. */
static void name_for(const char *base, const char *clone, char out[PATH_MAX])
{
    const char *file = tar_is_url(base) ? base + strlen(TAR_SCHEME) : base, *last = file;
    char folder[PATH_MAX], above[PATH_MAX], real[PATH_MAX], member[TAR_NAME_MAX];
    size_t n = folder_len(clone);
    u64 size;

    snprintf(out, PATH_MAX, "%s", base);
    snprintf(above, sizeof(above), "%s", file);
    if (*file != '/' || !n || n + 3 > sizeof(folder) ||
        (tar_is_url(base) && tar_url_parse(base, above, member, &size, NULL)))
        return;
    for (const char *p = file; *p && (*p != '#' || !tar_is_url(base)); p++)
        if (*p == '/')
            last = p + 1;
    above[folder_len(above)] = 0;
    snprintf(folder, sizeof(folder), "%.*s..", (int)n, clone);
    if (realpath(folder, real) && realpath(above, folder) && !strcmp(real, folder))
        snprintf(out, PATH_MAX, "%s../%s", tar_is_url(base) ? TAR_SCHEME : "", last);
}

static int make(const char *base, const struct disk_options *o, struct err *e)
{
    char part[PATH_MAX], name[PATH_MAX];
    struct disk_create c = {.backing = name, .backing_format = o->format, .io = *o};
    int r;

    name_for(base, o->clone, name);
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
    char backing[PATH_MAX] = "", name[PATH_MAX];
    struct disk_info info = {find_backing, ignore_number, ignore_flag, backing};
    struct img *im;
    int r = img_open(&im, o->clone, &look, e);

    if (r)
        return r;
    disk_info(im, &info);
    img_close(im);
    name_for(base, o->clone, name);
    if (!strcmp(backing, base) || !strcmp(backing, name))
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
