/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parent of a differencing VHDX: [MS-VHDX] 2.6.2.6.  Paths say where it may be, the linkage
 * says which state of its contents (DataWriteGuid) this disk was made for.
 */
#include "disk/vhdx.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

extern const struct format format_vhdx;

enum { LOC_HEADER = 20, LOC_ENTRY = 12, LOC_ENTRIES_MAX = 256 };

/* The value of a key as UTF-8; false = not there. */
static bool find_value(const u8 *l, u32 len, const char *key, char *out, size_t room)
{
    u32 count = len >= LOC_HEADER ? min((u32)le16_get(l + 18), (u32)LOC_ENTRIES_MAX) : 0;

    for (u32 i = 0; i < count && LOC_HEADER + (i + 1) * LOC_ENTRY <= len; i++) {
        const u8 *n = l + LOC_HEADER + i * LOC_ENTRY;
        u32 k = le32_get(n), v = le32_get(n + 4);
        u16 klen = le16_get(n + 8), vlen = le16_get(n + 10);
        char name[64];

        if (range_within(k, klen, 0, len) && range_within(v, vlen, 0, len) &&
            utf16_get(l + k, klen, false, name, sizeof(name)) && !strcmp(name, key))
            return utf16_get(l + v, vlen, false, out, room);
    }
    return false;
}

static bool linked(const u8 *l, u32 len, const struct img *parent)
{
    static const char *const keys[] = {"parent_linkage", "parent_linkage2"};
    const struct vhdx *p = parent->s;
    char text[64];
    u8 guid[GUID_LEN];

    for (unsigned i = 0; i < ARRAY_SIZE(keys); i++)
        if (find_value(l, len, keys[i], text, sizeof(text)) && guid_parse(text, guid) &&
            !memcmp(guid, p->header + XH_DATA_GUID, GUID_LEN))
            return true;
    return false;
}

static int try_parent(struct img *im, const u8 *l, u32 len, const char *name, struct err *e)
{
    struct vhdx *s = im->s, *p;
    int r = img_open_parent(im, name, "vhdx", e);

    if (r || !im->parent)
        return r;
    p = im->parent->s;
    if (!linked(l, len, im->parent))
        r = err_set(e, EINVAL,
                    "parent %s: its DataWriteGuid is another: it was changed after this disk was "
                    "made, or is another disk",
                    name);
    else if (p->sector != s->sector)
        r = err_set(e, EINVAL, "parent %s: its logical sector size is %u, not %u", name, p->sector,
                    s->sector);
    if (r)
        img_close_parent(im);
    return r;
}

static int try_all(struct img *im, const u8 *l, u32 len, struct err *e)
{
    static const char *const keys[] = {"relative_path", "volume_path", "absolute_win32_path"};
    struct err first = {0}, now;
    char name[PATH_MAX];

    if (!guid_is(l, VHDX_LOCATOR_TYPE))
        return err_set(e, EINVAL, "the parent locator's type is not known");
    for (unsigned i = 0; i < ARRAY_SIZE(keys); i++) {
        now = (struct err){0};
        if (!find_value(l, len, keys[i], name, sizeof(name)))
            continue;
        winpath_to_host(name);
        if (!name[0])
            continue;
        if (!try_parent(im, l, len, name, &now))
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

int vhdx_open_parent(struct img *im, struct err *e)
{
    struct vhdx *s = im->s;
    u32 len = s->locator_length;
    u8 *l;
    int r;

    if (im->opt.no_parent)
        return 0;
    if (len < LOC_HEADER || len > VHDX_LOCATOR_MAX)
        return err_set(e, EINVAL, "parent locator of %u bytes", len);
    l = malloc(len);
    r = l ? vhdx_read(im, s->locator, l, len) : -ENOMEM;
    r = r ? err_set(e, -r, "cannot read the parent locator: %s", strerror(-r))
          : try_all(im, l, len, e);
    free(l);
    return r;
}

/* One key and value at the end of out; the bytes in use there, 0 = no room. */
static size_t add_entry(u8 *out, size_t used, size_t room, const char *key, const char *value)
{
    u16 n = le16_get(out + 18);
    u8 *entry = out + LOC_HEADER + n * LOC_ENTRY;
    size_t k = utf16_put(key, false, out + used, room - used), v;

    if (!k)
        return 0;
    v = utf16_put(value, false, out + used + k, room - used - k);
    if (!v || v > UINT16_MAX)
        return 0;
    le32_put(entry, (u32)used);
    le32_put(entry + 4, (u32)(used + k));
    le16_put(entry + 8, (u16)k);
    le16_put(entry + 10, (u16)v);
    le16_put(out + 18, n + 1);
    return used + k + v;
}

size_t vhdx_name_parent(const struct img *parent, const char *name, u8 *out, size_t room)
{
    const struct vhdx *p = parent->s;
    char path[PATH_MAX], id[GUID_TEXT];
    size_t used = LOC_HEADER + 2 * LOC_ENTRY;

    memset(out, 0, used);
    guid_parse(VHDX_LOCATOR_TYPE, out);
    guid_text(p->header + XH_DATA_GUID, id);
    if (strlen(name) + 3 >= sizeof(path))
        return 0;
    strcpy(path, name);
    if (name[0] != '/')
        winpath_from_host(path);
    used = add_entry(out, used, room, "parent_linkage", id);
    if (used)
        used = add_entry(out, used, room, name[0] == '/' ? "absolute_win32_path" : "relative_path",
                         path);
    return used;
}
