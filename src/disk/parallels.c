/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parallels: a bare expandable image (.hds), or a folder (.hdd) with a DiskDescriptor.xml that says
 * which files the disk and its snapshots consist of.  Sources: QEMU's docs/interop/parallels.txt
 * and prl-xml.txt.
 *
 * A snapshot is a file below the one that is written; the table of an image has no way to say
 * "zeros", so a hole in it is what is below.  All files of a disk are layers here, not images of
 * their own.
 *
 * Order on the disk: in_use first; then the guest's data; then sectors of the table.  Clusters are
 * not given up: a discard makes holes in them.
 */
#include "disk/parallels.h"
#include "base/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_descriptor(const u8 *head, size_t len)
{
    return memmem(head, len, "<Parallels_disk_image", 21);
}

static bool prl_probe(const struct probe *p)
{
    return hds_is(p->head) || is_descriptor(p->head, PROBE_HEAD);
}

/* ------------------------------------------------------------------ opening -- */

/* A bare image is a disk of one storage of one layer. */
static int open_bare(struct img *im, struct err *e)
{
    struct parallels *s = im->s;
    struct hds *h;
    int r;

    s->st = calloc(1, sizeof(*s->st));
    h = calloc(1, sizeof(*h));
    if (!s->st || !h) {
        free(h);
        return err_set(e, ENOMEM, "out of memory");
    }
    s->sts = 1;
    s->st[0].layer = h;
    s->st[0].layers = 1;
    h->file = im->file;
    r = hds_open(im, h, !im->b.readonly, e);
    s->st[0].size = im->b.size = h->size;
    return r;
}

static const struct prl_image *find_image(const struct prl_xml *x, unsigned storage, const u8 *guid)
{
    for (unsigned i = 0; i < x->images; i++)
        if (x->image[i].storage == storage && !memcmp(x->image[i].guid, guid, GUID_LEN))
            return &x->image[i];
    return NULL;
}

/* File names may be paths on another computer. */
static int open_layer_file(struct img *im, struct hds *h, const char *name, bool write,
                           struct err *e)
{
    const char *last = strrchr(name, '/');
    unsigned flags = write ? FILE_WRITE : 0;
    int r = img_open_file(im, &h->file, name, flags, e);

    if (r && last && last[1]) {
        struct err other = {0};

        if (!img_open_file(im, &h->file, last + 1, flags, &other))
            r = 0;
    }
    return r;
}

static int open_layer(struct img *im, struct hds_storage *st, const struct prl_image *m, bool write,
                      struct err *e)
{
    struct hds *h, *more = realloc(st->layer, (st->layers + 1) * sizeof(*more));
    int r;

    if (!more)
        return err_set(e, ENOMEM, "out of memory");
    st->layer = more;
    h = &st->layer[st->layers];
    *h = (struct hds){0};
    r = open_layer_file(im, h, m->file, write, e);
    if (r)
        return r;
    st->layers++;
    if (m->plain) {
        h->size = align_up(file_size(h->file), DISK_SECTOR);
        return 0;
    }
    r = hds_open(im, h, write, e);
    if (!r && write && h->size < st->size)
        r = err_set(e, EINVAL, "nb_sectors is less than its storage has");
    if (!r && write && st->start % h->cluster)
        r = err_set(e, EROFS, "its storage starts within a cluster");
    return r ? err_prefix(e, "%s", m->file) : 0;
}

static int open_storage(struct img *im, unsigned i, const u8 *top, struct err *e)
{
    struct parallels *s = im->s;
    struct hds_storage *st = &s->st[i];
    const u8 *guid = top;
    unsigned shots = 0;

    st->start = s->xml->storage[i].start * HDS_SECTOR;
    st->size = s->xml->storage[i].end * HDS_SECTOR - st->start;
    for (; guid; guid = prl_parent(s->xml, guid)) {
        const struct prl_image *m = find_image(s->xml, i, guid);
        char text[GUID_TEXT];
        int r;

        guid_text(guid, text);
        if (shots++ > s->xml->shots)
            return err_set(e, ELOOP, "the snapshot %s is below itself", text);
        if (!m)
            return err_set(e, EINVAL, "Storage %u has no image %s", i, text);
        if (st->layers && st->layer[st->layers - 1].size && !st->layer[st->layers - 1].entries)
            return err_set(e, EINVAL, "Storage %u: something is below a plain file", i);
        r = open_layer(im, st, m, guid == top && !im->b.readonly, e);
        if (r)
            return r;
    }
    return 0;
}

static void close_storages(struct parallels *s)
{
    for (unsigned i = 0; i < s->sts; i++) {
        for (unsigned k = 0; k < s->st[i].layers; k++)
            hds_close(&s->st[i].layer[k]);
        free(s->st[i].layer);
    }
    free(s->st);
    s->st = NULL;
    s->sts = 0;
}

int prl_open_storages(struct img *im, const u8 top[GUID_LEN], struct err *e)
{
    struct parallels *s = im->s;
    int r = 0;

    close_storages(s);
    s->st = calloc(s->xml->storages, sizeof(*s->st));
    if (!s->st)
        return err_set(e, ENOMEM, "out of memory");
    s->sts = s->xml->storages;
    for (unsigned i = 0; i < s->sts && !r; i++)
        r = open_storage(im, i, top, e);
    return r;
}

static int open_bundle(struct img *im, struct err *e)
{
    struct parallels *s = im->s;
    u64 len = im->file->size;
    const u8 *top;
    char *text;
    int r;

    s->bundle = true;
    if (len > PRL_XML_MAX)
        return err_set(e, EINVAL, "a descriptor of %llu bytes", (unsigned long long)len);
    text = malloc(len);
    r = text ? file_read(im->file, 0, text, len) : -ENOMEM;
    if (r)
        err_set(e, -r, "cannot read it: %s", strerror(-r));
    else
        r = prl_parse(text, len, &s->xml, e);
    free(text);
    if (r)
        return r;
    /* A disk without snapshots needs no particular GUID. */
    top = s->xml->top;
    if (s->xml->images == 1 && !find_image(s->xml, 0, top))
        top = s->xml->image[0].guid;
    im->b.size = s->xml->sectors * HDS_SECTOR;
    if (im->opt.internal)
        return 0; /* snapshot_open() opens the files */
    return prl_open_storages(im, top, e);
}

/* The sizes that the generic layer works with: one cluster where that is a power of two. */
static int set_sizes(struct img *im, struct err *e)
{
    struct parallels *s = im->s;
    u64 cluster = 0;

    for (unsigned i = 0; i < s->sts; i++) {
        struct hds *h = s->st[i].layers ? &s->st[i].layer[0] : NULL;

        if (!h || !h->entries || !is_pow2(h->cluster))
            continue;
        if (cluster && cluster != h->cluster && !im->b.readonly)
            return err_set(e, EROFS, "its storages have clusters of different sizes");
        cluster = h->cluster;
    }
    im->unit = im->granule = (u32)(cluster ? cluster : 65536);
    if (!cluster)
        im->granule = DISK_SECTOR;
    return 0;
}

static int prl_open(struct img *im, struct err *e)
{
    struct parallels *s = im->s = calloc(1, sizeof(*s));
    u8 head[PROBE_HEAD] = {0};
    int r;

    if (!s)
        return err_set(e, ENOMEM, "out of memory");
    r = file_read(im->file, 0, head, min(im->file->size, (u64)PROBE_HEAD));
    if (r)
        return err_set(e, -r, "cannot read the header: %s", strerror(-r));
    if (hds_is(head))
        r = open_bare(im, e);
    else if (is_descriptor(head, sizeof(head)))
        r = open_bundle(im, e);
    else
        r = err_set(e, EINVAL, "is no Parallels image");
    return r ? r : set_sizes(im, e);
}

static void prl_close(struct img *im)
{
    struct parallels *s = im->s;

    if (!s)
        return;
    close_storages(s);
    prl_free(s->xml);
    free(s);
}

/* ---------------------------------------------------------------------- map -- */

static struct hds_storage *storage_at(struct parallels *s, u64 off)
{
    return &s->st[img_record_at(&s->st[0].start, sizeof(s->st[0]), s->sts, off)];
}

/* The run at `at` in one expandable file: false = a hole of *len bytes. */
static bool map_layer(const struct hds *h, u64 at, u64 *len, u64 *offset)
{
    u64 i = at / h->cluster, in = at % h->cluster, n;
    u32 entry;

    if (i >= h->entries)
        return false;
    entry = hds_entry(h, i);
    for (n = 1; n * h->cluster - in < *len && i + n < h->entries; n++) {
        u32 next = hds_entry(h, i + n);

        if (entry ? hds_offset(h, next) != hds_offset(h, entry) + n * h->cluster : next != 0)
            break;
    }
    if (entry || i + n < h->entries)
        *len = min(*len, n * h->cluster - in);
    *offset = hds_offset(h, entry) + in;
    return entry;
}

static int prl_map(struct img *im, u64 off, u64 len, bool nowait, struct extent *x)
{
    struct hds_storage *st = storage_at(im->s, off);
    u64 at = off - st->start, left = min(len, st->size - at);

    *x = (struct extent){.kind = EXTENT_HOLE};
    for (unsigned i = 0; i < st->layers; i++) {
        struct hds *h = &st->layer[i];

        x->in_place = i == 0;
        x->file = h->file;
        if (h->entries) {
            if (!map_layer(h, at, &left, &x->offset))
                continue;
            if (x->offset < h->data) {
                if (im->opt.trace)
                    trace(im->opt.trace, block, "%s: damaged: BAT entry for %llu", im->b.path,
                          (unsigned long long)off);
                return -EIO;
            }
            x->kind = EXTENT_DATA;
        } else if (at < h->size) {
            x->kind = EXTENT_DATA;
            x->offset = at;
            left = min(left, h->size - at);
        }
        break;
    }
    x->len = left;
    return 0;
}

static int prl_allocate(struct img *im, u64 off, u64 len, struct extent *x)
{
    struct hds_storage *st = storage_at(im->s, off);
    struct hds *h = &st->layer[0];
    u64 n;
    int r;

    if (!h->entries)
        return -EIO; /* a plain file that is too short */
    n = min(len, align_up(st->start + st->size, h->cluster) - off) / h->cluster;
    *x = (struct extent){.kind = EXTENT_DATA, .in_place = true, .file = h->file};
    r = hds_take(h, &n, &x->offset);
    x->len = n * h->cluster;
    x->zeroed = x->offset >= file_size(h->file) && !h->file->is_device;
    return r;
}

static int prl_link(struct img *im, u64 off, const struct extent *x)
{
    struct hds_storage *st = storage_at(im->s, off);
    struct hds *h = &st->layer[0];

    for (u64 k = 0; k < x->len; k += h->cluster)
        hds_set_entry(im, h, (off - st->start + k) / h->cluster,
                      (u32)((x->offset + k) / h->factor));
    return 0;
}

static void prl_cancel(struct img *im, u64 off, const struct extent *x)
{
    struct hds *h = &storage_at(im->s, off)->layer[0];

    hds_give_back(h, x->offset, x->len / h->cluster);
}

/* ---------------------------------------------------------------- write-back -- */

static int prl_write_back(struct img *im, unsigned stage)
{
    struct parallels *s = im->s;
    bool more = false;

    if (s->broken)
        return -EIO;
    for (unsigned i = 0; i < s->sts; i++) {
        struct hds *h = &s->st[i].layer[0];
        int r = h->entries ? hds_write_back(h, stage) : 0;

        if (r)
            return r;
        more |= h->any_dirty;
    }
    return !stage && more;
}

static void prl_write_back_done(struct img *im, bool ok)
{
    struct parallels *s = im->s;

    for (unsigned i = 0; i < s->sts; i++)
        if (s->st[i].layer[0].entries)
            hds_done(&s->st[i].layer[0], ok);
    im->dirty = !ok;
    im->full = false;
}

static int prl_begin_write(struct img *im)
{
    struct parallels *s = im->s;
    int r = 0;

    for (unsigned i = 0; i < s->sts && !r; i++)
        if (s->st[i].layer[0].entries)
            r = hds_mark_in_use(&s->st[i].layer[0]);
    return r;
}

/* ------------------------------------------------------------------ snapshots -- */

static int prl_snapshots(struct img *im, struct disk_snapshot **list, unsigned *n, struct err *e)
{
    struct parallels *s = im->s;

    *n = 0;
    if (!s->xml)
        return 0;
    *list = calloc(max(s->xml->shots, 1u), sizeof(**list));
    if (!*list)
        return err_set(e, ENOMEM, "out of memory");
    for (unsigned i = 0; i < s->xml->shots; i++) {
        struct disk_snapshot *d = &(*list)[*n];

        if (!memcmp(s->xml->shot[i].guid, s->xml->top, GUID_LEN))
            continue; /* what is written to is none */
        guid_text(s->xml->shot[i].guid, d->id);
        snprintf(d->name, sizeof(d->name), "%s", d->id);
        d->disk_size = im->b.size;
        ++*n;
    }
    return 0;
}

static int prl_snapshot_open(struct img *im, const char *name, struct err *e)
{
    struct parallels *s = im->s;
    u8 guid[GUID_LEN];

    if (s->xml && guid_parse(name, guid))
        for (unsigned i = 0; i < s->xml->shots; i++)
            if (!memcmp(s->xml->shot[i].guid, guid, GUID_LEN)) {
                int r;

                im->b.readonly = true;
                r = prl_open_storages(im, guid, e);
                return r ? r : set_sizes(im, e);
            }
    return err_set(e, ENOENT, "no snapshot %s", name);
}

static void prl_info(struct img *im, struct disk_info *i)
{
    struct parallels *s = im->s;

    if (s->sts && s->st[0].layers && s->st[0].layer[0].entries) {
        i->number(i, "cluster-size", s->st[0].layer[0].cluster);
        i->flag(i, "dirty-flag", s->st[0].layer[0].unclean);
    }
    if (!s->bundle)
        return;
    i->number(i, "storages", s->sts);
    i->number(i, "snapshots", s->xml->shots ? s->xml->shots - 1 : 0);
}

const struct format format_parallels = {
    .name = "parallels",
    .title = "Parallels",
    .caps = DISK_CAN_WRITE | DISK_CAN_CREATE | DISK_CAN_RESIZE | DISK_CAN_CHECK | DISK_CAN_REPAIR,
    .options = prl_options,
    .probe = prl_probe,
    .open = prl_open,
    .close = prl_close,
    .map = prl_map,
    .allocate = prl_allocate,
    .link = prl_link,
    .cancel = prl_cancel,
    .write_back = prl_write_back,
    .write_back_done = prl_write_back_done,
    .begin_write = prl_begin_write,
    .create = prl_create,
    .resize = prl_resize,
    .check = prl_check,
    .snapshots = prl_snapshots,
    .snapshot_open = prl_snapshot_open,
    .info = prl_info,
};
