/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parent of a differencing VHD: up to eight locators say where it may be, its UUID says
 * whether it is the one.
 */
#include "disk/vhd.h"
#include "disk/winpath.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

extern const struct format format_vpc;

enum { LOCATOR = 24, NAME_BYTES = 512 };

#define LOC_RELATIVE 0x57327275u /* "W2ru": UTF-16, little-endian */
#define LOC_ABSOLUTE 0x57326b75u /* "W2ku" */
#define LOC_MAC      0x4d616358u /* "MacX": a file URL in UTF-8 */

/* One place where the parent may be, as `name`; 0, or -errno and *e if it is not there or another
 * disk. */
static int try_parent(struct img *im, const char *name, struct err *e)
{
    struct vhd *s = im->s;
    int r = img_open_parent(im, name, "vpc", e);

    if (r || !im->parent)
        return r;
    if (!memcmp(((struct vhd *)im->parent->s)->footer + VF_UUID, s->header + VD_PARENT_UUID,
                GUID_LEN))
        return 0;
    img_close_parent(im);
    return err_set(e, EINVAL, "parent %s: its UUID is not the one that this disk was made for",
                   name);
}

static bool read_locator(struct img *im, unsigned i, char name[PATH_MAX])
{
    struct vhd *s = im->s;
    const u8 *l = s->header + VD_LOCATORS + i * LOCATOR;
    u32 code = be32_get(l), len = be32_get(l + 8);
    u64 at = be64_get(l + 16);
    bool ok = false;
    u8 *data;

    if ((code != LOC_RELATIVE && code != LOC_ABSOLUTE && code != LOC_MAC) || !len ||
        len > VHD_LOCATOR_MAX || !range_within(at, len, 0, im->file->size))
        return false;
    data = malloc(len);
    if (!data || file_read(im->file, at, data, len)) {
        free(data);
        return false;
    }
    if (code != LOC_MAC) {
        ok = utf16_get(data, len, false, name, PATH_MAX);
        winpath_to_host(name);
    } else if (len > 7 && len < PATH_MAX && !memcmp(data, "file://", 7)) {
        snprintf(name, PATH_MAX, "%.*s", (int)len - 7, (const char *)data + 7);
        ok = name[0];
    }
    free(data);
    return ok && name[0];
}

int vhd_open_parent(struct img *im, struct err *e)
{
    struct vhd *s = im->s;
    struct err first = {0}, now;
    char name[PATH_MAX];

    if (im->opt.no_parent)
        return 0;
    /* The locators, then the bare name in the header. */
    for (unsigned i = 0; i <= VHD_LOCATORS; i++) {
        now = (struct err){0};
        if (i < VHD_LOCATORS && !read_locator(im, i, name))
            continue;
        if (i == VHD_LOCATORS) {
            if (!utf16_get(s->header + VD_PARENT_NAME, NAME_BYTES, true, name, sizeof(name)))
                continue;
            winpath_to_host(name);
        }
        if (!try_parent(im, name, &now))
            return 0;
        if (!first.code || (first.code == ENOENT && now.code != ENOENT))
            first = now;
    }
    if (!first.code)
        return err_set(e, EINVAL, "is a differencing disk, but names no parent");
    if (e)
        *e = first;
    return -first.code;
}

/* ------------------------------------------------------------------- writing -- */

static const char *last_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static void put_locator(u8 *l, u32 code, u64 at, size_t len)
{
    be32_put(l, code);
    be32_put(l + 4, (u32)align_up(len, 512)); /* Windows counts bytes here */
    be32_put(l + 8, (u32)len);
    be64_put(l + 16, at);
}

int vhd_name_parent(u8 *header, const struct img *parent, const char *name, u64 at, u8 **locators,
                    u64 *len, struct err *e)
{
    const struct vhd *s = parent->s;
    bool absolute = name[0] == '/';
    char path[PATH_MAX];
    struct stat st;
    size_t n;

    if (parent->fmt != &format_vpc)
        return err_set(e, EINVAL, "the parent of a VHD is a VHD; %s is %s", name,
                       parent->fmt->title);
    if (strlen(name) + 3 >= sizeof(path))
        return err_set(e, ENAMETOOLONG, "backing file: too long a name");
    memcpy(header + VD_PARENT_UUID, s->footer + VF_UUID, GUID_LEN);
    if (!parent->opt.io && stat(parent->path, &st) == 0 && st.st_mtime > VHD_EPOCH)
        be32_put(header + VD_PARENT_TIME, (u32)(st.st_mtime - VHD_EPOCH));
    snprintf(path, sizeof(path), "%s%s", absolute ? "" : "./", name);
    if (!absolute)
        winpath_from_host(path);
    *locators = calloc(1, sizeof(path) * 2);
    if (!*locators)
        return err_set(e, ENOMEM, "out of memory");
    n = utf16_put(path, false, *locators, sizeof(path) * 2);
    if (!n || !utf16_put(last_name(name), true, header + VD_PARENT_NAME, NAME_BYTES - 2)) {
        free(*locators);
        *locators = NULL;
        return err_set(e, EINVAL, "backing file: its name is not UTF-8, or too long");
    }
    put_locator(header + VD_LOCATORS, absolute ? LOC_ABSOLUTE : LOC_RELATIVE, at, n);
    *len = align_up(n, 512);
    return 0;
}
