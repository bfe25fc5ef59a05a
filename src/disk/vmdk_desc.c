/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMDK: the descriptor, lines of text that say what the disk consists of.
 */
#include "disk/vmdk.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

static const char *next_line(const char *line)
{
    line += strcspn(line, "\n");
    return *line ? line + 1 : line;
}

static const char *skip_space(const char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

/* The text behind "key =" and where it ends; NULL = no such line. */
static const char *find_value(const char *text, const char *key, size_t *len)
{
    size_t n = strlen(key);

    for (const char *line = text; *line; line = next_line(line)) {
        const char *p = skip_space(line);

        if (strncasecmp(p, key, n))
            continue;
        p = skip_space(p + n);
        if (*p != '=')
            continue;
        p = skip_space(p + 1);
        if (*p == '"') {
            *len = strcspn(++p, "\"\r\n");
            return p;
        }
        *len = strcspn(p, "\r\n");
        while (*len && isspace((u8)p[*len - 1]))
            (*len)--;
        return p;
    }
    return NULL;
}

bool vmdk_desc_value(const char *text, const char *key, char *out, size_t room)
{
    size_t len;
    const char *p = find_value(text, key, &len);

    if (!p || len >= room)
        return false;
    memcpy(out, p, len);
    out[len] = 0;
    return true;
}

static int read_cid(const char *text, const char *key, u32 *cid, struct err *e)
{
    char value[16], *end;

    if (!vmdk_desc_value(text, key, value, sizeof(value)))
        return err_set(e, EINVAL, "descriptor: no %s", key);
    *cid = (u32)strtoul(value, &end, 16);
    if (!*value || *end || strlen(value) > 8)
        return err_set(e, EINVAL, "descriptor: %s is not a number", key);
    return 0;
}

int vmdk_read_desc(struct img *im, struct err *e)
{
    struct vmdk *s = im->s;
    char version[16];
    int r;

    if (vmdk_desc_value(s->desc, "version", version, sizeof(version)) &&
        strtoul(version, NULL, 10) > 3)
        return err_set(e, EINVAL, "descriptor version %.8s is not known", version);
    r = read_cid(s->desc, "CID", &s->cid, e);
    if (!r)
        r = read_cid(s->desc, "parentCID", &s->parent_cid, e);
    if (r)
        return r;
    if (!vmdk_desc_value(s->desc, "createType", s->type, sizeof(s->type)))
        return err_set(e, EINVAL, "descriptor: no createType");
    if (s->parent_cid != VMDK_NO_PARENT &&
        !vmdk_desc_value(s->desc, "parentFileNameHint", s->parent, sizeof(s->parent)))
        return err_set(e, EINVAL, "descriptor: parentCID, but no parentFileNameHint");
    return 0;
}

/* ------------------------------------------------------------------ extents -- */

static int set_kind(struct vmdk_extent *x, const char *type, struct err *e)
{
    static const struct {
        const char *type;
        enum vmdk_kind kind;
    } known[] = {
        {"FLAT", VMDK_FLAT}, {"VMFS", VMDK_FLAT}, {"SPARSE", VMDK_SPARSE}, {"ZERO", VMDK_ZERO}};
    static const struct {
        const char *type, *what;
    } refused[] = {{"VMFSSPARSE", "an ESX redo log (COWD)"},
                   {"SESPARSE", "an ESXi space-efficient sparse extent"},
                   {"VMFSRDM", "a raw device mapping"},
                   {"VMFSRAW", "a raw device"}};

    for (unsigned i = 0; i < ARRAY_SIZE(known); i++) {
        if (!strcmp(type, known[i].type)) {
            x->kind = known[i].kind;
            return 0;
        }
    }
    for (unsigned i = 0; i < ARRAY_SIZE(refused); i++)
        if (!strcmp(type, refused[i].type))
            return err_set(e, EINVAL, "extent of type %s: %s, which Wirt does not read", type,
                           refused[i].what);
    return err_set(e, EINVAL, "extent of type %s is not known", type);
}

/* 1 = this is no extent's line. */
static int read_extent(struct img *im, const char *text, struct vmdk_extent *x, struct err *e)
{
    char line[1200], access[12], type[16], name[1024] = "";
    unsigned long long sectors, offset = 0;
    int at = 0, r;

    snprintf(line, sizeof(line), "%.*s", (int)min(strcspn(text, "\r\n"), sizeof(line)), text);
    if (sscanf(line, " %11[A-Z] %llu %15[A-Z]%n", access, &sectors, type, &at) < 3 || !at)
        return 1;
    if (strcmp(access, "RW") && strcmp(access, "RDONLY") && strcmp(access, "NOACCESS"))
        return 1;
    if (!strcmp(access, "NOACCESS"))
        return err_set(e, EINVAL, "descriptor: an extent is NOACCESS");
    if (!strcmp(access, "RDONLY") && !im->b.readonly)
        return err_set(e, EROFS,
                       "descriptor: an extent is RDONLY (\"readonly\" or \"snapshot\" "
                       "would do)");
    r = set_kind(x, type, e);
    if (r)
        return r;
    if (!sectors || sectors > (u64)INT64_MAX / VMDK_SECTOR)
        return err_set(e, EINVAL, "descriptor: an extent of %llu sectors", sectors);
    sscanf(line + at, " \"%1023[^\"\r\n]\" %llu", name, &offset);
    if (x->kind != VMDK_ZERO && !*name)
        return err_set(e, EINVAL, "descriptor: an extent without a file name");
    if (offset > (u64)INT64_MAX / VMDK_SECTOR - sectors)
        return err_set(e, EINVAL, "descriptor: an extent at sector %llu", offset);
    x->size = sectors * VMDK_SECTOR;
    x->offset = offset * VMDK_SECTOR;
    x->name = strdup(name);
    return x->name ? 0 : err_set(e, ENOMEM, "out of memory");
}

int vmdk_read_extents(struct img *im, struct err *e)
{
    struct vmdk *s = im->s;
    u64 at = 0;

    for (const char *line = s->desc; *line; line = next_line(line)) {
        struct vmdk_extent x = {0}, *more;
        int r = read_extent(im, line, &x, e);

        if (r < 0)
            return r;
        if (r)
            continue;
        if (s->exts == IMG_FILES_MAX)
            r = err_set(e, E2BIG, "descriptor: more than %u extents", IMG_FILES_MAX);
        else if (x.size > (u64)INT64_MAX - at)
            r = err_set(e, EINVAL, "descriptor: its extents are too big together");
        more = r ? NULL : realloc(s->ext, (s->exts + 1) * sizeof(*more));
        if (!more) {
            free(x.name);
            return r ? r : err_set(e, ENOMEM, "out of memory");
        }
        x.start = at;
        at += x.size;
        s->ext = more;
        s->ext[s->exts++] = x;
    }
    return s->exts ? 0 : err_set(e, EINVAL, "descriptor: no extents");
}

/* ---------------------------------------------------------------------- CID -- */

/* The new one has as many digits as the old one: then only one sector changes, or two. */
int vmdk_new_cid(struct img *im)
{
    struct vmdk *s = im->s;
    size_t len;
    char *p = (char *)find_value(s->desc, "CID", &len), digits[12];
    u32 cid, old = s->cid;
    u64 from, to;
    int r;

    if (!p || !len || len > 8)
        return -EINVAL;
    do {
        if (getrandom(&cid, sizeof(cid), 0) != sizeof(cid))
            return -EIO;
        cid >>= 32 - 4 * len;
    } while (cid == old || cid == VMDK_NO_PARENT);
    snprintf(digits, sizeof(digits), "%0*x", (int)len, cid);
    memcpy(p, digits, len);
    s->cid = cid;
    from = align_down((u64)(p - s->desc), VMDK_SECTOR);
    to = min(align_up((u64)(p - s->desc) + len, VMDK_SECTOR), (u64)s->desc_len);
    r = file_write(im->file, s->desc_offset + from, s->desc + from, to - from);
    return r ? r : file_flush(im->file);
}
