/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DiskDescriptor.xml: which files a Parallels disk consists of, and which snapshot is below which.
 * Source: QEMU's docs/interop/prl-xml.txt.  Elements that are not named here are skipped.
 */
#include "base/xml.h"
#include "disk/parallels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Room for all storages, images and snapshots with all that they have. */
static const struct xml_bounds most = {.depth = 16, .elements = 32768};

/* What is active without a TopGUID. */
static const char default_top[] = "{5fbaabe3-6958-40ff-92a7-860e329aab41}";

static bool is(const struct xml *x, const char *name)
{
    return !strcmp(x->name, name);
}

static int number(const struct xml *x, u64 *v, struct err *e)
{
    char *end;

    errno = 0;
    *v = strtoull(x->text, &end, 10);
    if (errno || end == x->text || *end || x->text[0] == '-' || *v > (u64)INT64_MAX / HDS_SECTOR)
        return err_set(e, EINVAL, "%s %.40s", x->name, x->text);
    return 0;
}

static int guid(const struct xml *x, u8 *g, struct err *e)
{
    if (!guid_parse(x->text, g))
        return err_set(e, EINVAL, "%s %.40s", x->name, x->text);
    return 0;
}

static int image_part(const struct xml *x, struct prl_image *m, struct err *e)
{
    size_t len = strlen(x->text);

    if (is(x, "GUID"))
        return guid(x, m->guid, e);
    if (is(x, "Type")) {
        m->plain = !strcmp(x->text, "Plain");
        if (!m->plain && strcmp(x->text, "Compressed"))
            return err_set(e, EINVAL, "Type %.40s of an image is not known", x->text);
    } else if (is(x, "File")) {
        if (len >= sizeof(m->file))
            return err_set(e, EINVAL, "File of an image has %zu bytes", len);
        memcpy(m->file, x->text, len + 1);
    }
    return 0;
}

static int take_image(struct prl_xml *x, const struct xml *image, struct err *e)
{
    struct prl_image m = {.storage = x->storages - 1}, *more;
    int r = 0;

    for (const struct xml *c = image->child; c && !r; c = c->next)
        r = image_part(c, &m, e);
    if (r)
        return r;
    if (!xml_child(image, "GUID") || !xml_child(image, "Type") || !*m.file)
        return err_set(e, EINVAL, "an image without GUID, Type or File");
    if (x->images == PRL_IMAGES_MAX)
        return err_set(e, E2BIG, "more than %u images", PRL_IMAGES_MAX);
    more = realloc(x->image, (x->images + 1) * sizeof(*more));
    if (!more)
        return err_set(e, ENOMEM, "out of memory");
    x->image = more;
    x->image[x->images++] = m;
    return 0;
}

static int take_storage(struct prl_xml *x, const struct xml *storage, struct err *e)
{
    int r = 0;

    if (x->storages == PRL_IMAGES_MAX)
        return err_set(e, E2BIG, "more than %u storages", PRL_IMAGES_MAX);
    x->storages++;
    for (const struct xml *c = storage->child; c && !r; c = c->next) {
        if (is(c, "Start"))
            r = number(c, &x->storage[x->storages - 1].start, e);
        else if (is(c, "End"))
            r = number(c, &x->storage[x->storages - 1].end, e);
        else if (is(c, "Blocksize"))
            r = number(c, &x->storage[x->storages - 1].block, e);
        else if (is(c, "Image"))
            r = take_image(x, c, e);
    }
    return r;
}

static int take_shot(struct prl_xml *x, const struct xml *shot, struct err *e)
{
    int r = 0;

    if (x->shots == PRL_SHOTS_MAX)
        return err_set(e, E2BIG, "more than %u snapshots", PRL_SHOTS_MAX);
    x->shots++;
    for (const struct xml *c = shot->child; c && !r; c = c->next) {
        if (is(c, "GUID"))
            r = guid(c, x->shot[x->shots - 1].guid, e);
        else if (is(c, "ParentGUID"))
            r = guid(c, x->shot[x->shots - 1].parent, e);
    }
    return r;
}

static int take_parameter(struct prl_xml *x, const struct xml *c, struct err *e)
{
    if (is(c, "Disk_size"))
        return number(c, &x->sectors, e);
    if (is(c, "Padding"))
        return number(c, &x->padding, e);
    return 0;
}

/* The element c of the part of the document that `part` names. */
static int take(struct prl_xml *x, const struct xml *part, const struct xml *c, struct err *e)
{
    if (is(part, "Disk_Parameters"))
        return take_parameter(x, c, e);
    if (is(part, "StorageData") && is(c, "Storage"))
        return take_storage(x, c, e);
    if (is(part, "Snapshots") && is(c, "Shot"))
        return take_shot(x, c, e);
    if (is(part, "Snapshots") && is(c, "TopGUID"))
        return guid(c, x->top, e);
    return 0;
}

static bool is_encrypted(const struct xml *root)
{
    static const u8 none[GUID_LEN];
    u8 engine[GUID_LEN];

    for (const struct xml *x = NULL; (x = xml_find(root, x, "Encryption"));)
        for (const struct xml *c = x->child; c; c = c->next)
            if (*c->text &&
                (is(c, "Data") || (is(c, "Engine") && (!guid_parse(c->text, engine) ||
                                                       memcmp(engine, none, GUID_LEN)))))
                return true;
    return false;
}

static int check_storages(struct prl_xml *x, struct err *e)
{
    u64 at_sector = 0;

    if (!x->sectors)
        return err_set(e, EINVAL, "no Disk_size");
    if (x->padding)
        return err_set(e, EINVAL, "Padding %llu: Wirt does not read such disks",
                       (unsigned long long)x->padding);
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

static int read_tree(struct prl_xml *x, const struct xml *root, struct err *e)
{
    int r = 0;

    if (!is(root, "Parallels_disk_image"))
        return err_set(e, EINVAL, "is no Parallels disk descriptor");
    guid_parse(default_top, x->top);
    x->encrypted = is_encrypted(root);
    for (const struct xml *part = root->child; part && !r; part = part->next)
        for (const struct xml *c = part->child; c && !r; c = c->next)
            r = take(x, part, c, e);
    return r ? r : check_storages(x, e);
}

int prl_parse(const char *text, size_t len, struct prl_xml **out, struct err *e)
{
    struct prl_xml *x = calloc(1, sizeof(*x));
    struct xml_doc *doc = NULL;
    int r;

    if (!x)
        return err_set(e, ENOMEM, "out of memory");
    r = xml_parse(&doc, text, len, &most, e);
    if (!r)
        r = read_tree(x, xml_root(doc), e);
    xml_free(doc);
    if (r)
        prl_free(x);
    else
        *out = x;
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
