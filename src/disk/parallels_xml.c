/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DiskDescriptor.xml: which files a Parallels disk consists of, and which snapshot is below which.
 * Source: QEMU's docs/interop/prl-xml.txt.  Elements that are not named here are skipped; a
 * document type (and so an entity of its own) is refused.
 */
#include "disk/parallels.h"

#include <ctype.h>
#include <errno.h>
#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 16, NAME_MAX_LEN = 40, TEXT_MAX = 1024 };

/* What is active without a TopGUID. */
static const char default_top[] = "{5fbaabe3-6958-40ff-92a7-860e329aab41}";

struct parser {
    XML_Parser expat;
    struct prl_xml *x;
    char name[DEPTH_MAX][NAME_MAX_LEN]; /* the elements around, outermost first */
    unsigned depth;
    char text[TEXT_MAX];
    size_t len;
    struct prl_image image;
    bool has_guid, has_type;
    struct err *e;
    int r;
};

static void fail(struct parser *p, int r)
{
    p->r = r;
    XML_StopParser(p->expat, XML_FALSE);
}

/* Is the element at hand `name`, directly in `parent`? */
static bool at(const struct parser *p, const char *parent, const char *name)
{
    return p->depth >= 2 && !strcmp(p->name[p->depth - 1], name) &&
           !strcmp(p->name[p->depth - 2], parent);
}

static void on_start(void *opaque, const XML_Char *name, const XML_Char **attributes)
{
    struct parser *p = opaque;
    struct prl_xml *x = p->x;

    if (p->depth == DEPTH_MAX) {
        fail(p, err_set(p->e, EINVAL, "elements are nested too deeply"));
        return;
    }
    if (!p->depth && strcmp(name, "Parallels_disk_image")) {
        fail(p, err_set(p->e, EINVAL, "is no Parallels disk descriptor"));
        return;
    }
    snprintf(p->name[p->depth++], NAME_MAX_LEN, "%s", name);
    p->len = 0;
    if (at(p, "StorageData", "Storage")) {
        if (x->storages == PRL_IMAGES_MAX)
            fail(p, err_set(p->e, E2BIG, "more than %u storages", PRL_IMAGES_MAX));
        else
            x->storages++;
    } else if (at(p, "Storage", "Image")) {
        p->image = (struct prl_image){.storage = x->storages - 1};
        p->has_guid = p->has_type = false;
    } else if (at(p, "Snapshots", "Shot")) {
        if (x->shots == PRL_SHOTS_MAX)
            fail(p, err_set(p->e, E2BIG, "more than %u snapshots", PRL_SHOTS_MAX));
        else
            x->shots++;
    }
}

static void on_text(void *opaque, const XML_Char *s, int len)
{
    struct parser *p = opaque;
    size_t n = min((size_t)len, sizeof(p->text) - 1 - p->len);

    memcpy(p->text + p->len, s, n);
    p->len += n;
}

static void number(struct parser *p, u64 *v)
{
    char *end;

    errno = 0;
    *v = strtoull(p->text, &end, 10);
    if (errno || end == p->text || *end || p->text[0] == '-' || *v > (u64)INT64_MAX / HDS_SECTOR)
        fail(p, err_set(p->e, EINVAL, "%s %.40s", p->name[p->depth - 1], p->text));
}

static void guid(struct parser *p, u8 *g)
{
    if (!guid_parse(p->text, g))
        fail(p, err_set(p->e, EINVAL, "%s %.40s", p->name[p->depth - 1], p->text));
}

static void end_of_image_part(struct parser *p)
{
    struct prl_image *m = &p->image;

    if (at(p, "Image", "GUID")) {
        guid(p, m->guid);
        p->has_guid = true;
    } else if (at(p, "Image", "Type")) {
        m->plain = !strcmp(p->text, "Plain");
        p->has_type = true;
        if (!m->plain && strcmp(p->text, "Compressed"))
            fail(p, err_set(p->e, EINVAL, "Type %.40s of an image is not known", p->text));
    } else if (at(p, "Image", "File")) {
        snprintf(m->file, sizeof(m->file), "%s", p->text);
    }
}

static void end_of_image(struct parser *p)
{
    struct prl_xml *x = p->x;
    struct prl_image *more;

    if (p->image.storage >= x->storages) {
        fail(p, err_set(p->e, EINVAL, "an image outside of StorageData"));
        return;
    }
    if (!p->has_guid || !p->has_type || !*p->image.file) {
        fail(p, err_set(p->e, EINVAL, "an image without GUID, Type or File"));
        return;
    }
    if (x->images == PRL_IMAGES_MAX) {
        fail(p, err_set(p->e, E2BIG, "more than %u images", PRL_IMAGES_MAX));
        return;
    }
    more = realloc(x->image, (x->images + 1) * sizeof(*more));
    if (!more) {
        fail(p, err_set(p->e, ENOMEM, "out of memory"));
        return;
    }
    x->image = more;
    x->image[x->images++] = p->image;
}

static void end_of_encryption(struct parser *p)
{
    static const u8 none[GUID_LEN];
    u8 engine[GUID_LEN];

    if (at(p, "Encryption", "Data"))
        p->x->encrypted |= p->len > 0;
    else if (p->len)
        p->x->encrypted |= !guid_parse(p->text, engine) || memcmp(engine, none, sizeof(none));
}

static void end_of_number(struct parser *p)
{
    struct prl_xml *x = p->x;
    u64 v;

    if (at(p, "Disk_Parameters", "Disk_size")) {
        number(p, &x->sectors);
    } else if (at(p, "Disk_Parameters", "Padding")) {
        number(p, &v);
        x->padding = v;
    } else if (x->storages && at(p, "Storage", "Start")) {
        number(p, &x->storage[x->storages - 1].start);
    } else if (x->storages && at(p, "Storage", "End")) {
        number(p, &x->storage[x->storages - 1].end);
    } else if (x->storages && at(p, "Storage", "Blocksize")) {
        number(p, &x->storage[x->storages - 1].block);
    }
}

static void on_end(void *opaque, const XML_Char *name)
{
    struct parser *p = opaque;
    struct prl_xml *x = p->x;
    size_t from = 0;

    if (p->r)
        return;
    while (p->len && isspace((u8)p->text[p->len - 1]))
        p->len--;
    p->text[p->len] = 0;
    while (isspace((u8)p->text[from]))
        from++;
    memmove(p->text, p->text + from, p->len - from + 1);
    p->len -= from;

    if (at(p, "Storage", "Image"))
        end_of_image(p);
    else if (p->depth >= 2 && !strcmp(p->name[p->depth - 2], "Image"))
        end_of_image_part(p);
    else if (x->shots && at(p, "Shot", "GUID"))
        guid(p, x->shot[x->shots - 1].guid);
    else if (x->shots && at(p, "Shot", "ParentGUID"))
        guid(p, x->shot[x->shots - 1].parent);
    else if (at(p, "Snapshots", "TopGUID"))
        guid(p, x->top);
    else if (at(p, "Encryption", "Data") || at(p, "Encryption", "Engine"))
        end_of_encryption(p);
    else
        end_of_number(p);
    p->depth--;
    p->len = 0;
}

static void on_doctype(void *opaque, const XML_Char *name, const XML_Char *sys, const XML_Char *pub,
                       int internal)
{
    struct parser *p = opaque;

    fail(p, err_set(p->e, EINVAL, "has a document type, which it must not"));
}

static int check_storages(struct prl_xml *x, struct err *e)
{
    u64 at_sector = 0;

    if (!x->sectors)
        return err_set(e, EINVAL, "no Disk_size");
    if (x->padding)
        return err_set(e, EINVAL, "Padding %lu: Wirt does not read such disks", x->padding);
    if (x->encrypted)
        return err_set(e, EINVAL, "is encrypted, which Wirt does not read");
    if (!x->storages || !x->images)
        return err_set(e, EINVAL, "no Storage or no Image");
    for (unsigned i = 0; i < x->storages; i++) {
        if (x->storage[i].start != at_sector || x->storage[i].end <= at_sector)
            return err_set(e, EINVAL, "Storage %u is from %llu to %llu", i,
                           (unsigned long long)x->storage[i].start,
                           (unsigned long long)x->storage[i].end);
        at_sector = x->storage[i].end;
    }
    if (at_sector < x->sectors)
        return err_set(e, EINVAL, "Disk_size %llu is more than its storages hold",
                       (unsigned long long)x->sectors);
    return 0;
}

int prl_parse(const char *text, size_t len, struct prl_xml **out, struct err *e)
{
    struct parser *p = calloc(1, sizeof(*p));
    int r;

    if (p) {
        p->x = calloc(1, sizeof(*p->x));
        p->expat = XML_ParserCreate(NULL);
        p->e = e;
    }
    if (!p || !p->x || !p->expat) {
        r = err_set(e, ENOMEM, "out of memory");
    } else {
        guid_parse(default_top, p->x->top);
        XML_SetUserData(p->expat, p);
        XML_SetElementHandler(p->expat, on_start, on_end);
        XML_SetCharacterDataHandler(p->expat, on_text);
        XML_SetStartDoctypeDeclHandler(p->expat, on_doctype);
        if (XML_Parse(p->expat, text, (int)len, 1) == XML_STATUS_ERROR && !p->r)
            p->r = err_set(e, EINVAL, "line %lu: %s", XML_GetCurrentLineNumber(p->expat),
                           XML_ErrorString(XML_GetErrorCode(p->expat)));
        r = p->r ? p->r : check_storages(p->x, e);
    }
    if (p && p->expat)
        XML_ParserFree(p->expat);
    if (!r)
        *out = p->x;
    else if (p)
        prl_free(p->x);
    free(p);
    return r;
}

void prl_free(struct prl_xml *x)
{
    if (x)
        free(x->image);
    free(x);
}

const u8 *prl_parent(const struct prl_xml *x, const u8 g[GUID_LEN])
{
    static const u8 none[GUID_LEN];

    for (unsigned i = 0; i < x->shots; i++)
        if (!memcmp(x->shot[i].guid, g, GUID_LEN))
            return memcmp(x->shot[i].parent, none, GUID_LEN) ? x->shot[i].parent : NULL;
    return NULL;
}
