/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMDK, VMware's disk image: a descriptor, within the image or in a file of its own, and extents
 * that are flat or sparse.  Source: VMware's "Virtual Disk Format 5.0" technical note.
 *
 * Read and written: monolithicSparse, monolithicFlat, twoGbMaxExtentSparse and -Flat, vmfs (flat),
 * and delta links on them, whose parentCID must be the parent's CID.  streamOptimized is read, and
 * made by writing it once from its start to its end.  Refused by name: raw device mappings, redo
 * logs of ESX (COWD), SESPARSE.
 *
 * Order on the disk: the guest's data and grain tables that are new go first (stage 0 of
 * write_back()), entries of tables that were there, and of directories, after them.  Grains are not
 * given up: a discard makes holes in them.
 */
#include "disk/vmdk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DESCRIPTOR_MARK "# Disk DescriptorFile"

static bool vmdk_probe(const struct probe *p)
{
    return le32_get(p->head) == VMDK_MAGIC ||
           !strncmp((const char *)p->head, DESCRIPTOR_MARK, strlen(DESCRIPTOR_MARK));
}

/* ------------------------------------------------------------------ opening -- */

static int read_text(struct img *im, u64 offset, u64 len, struct err *e)
{
    struct vmdk *s = im->s;
    int r;

    if (!len || len > VMDK_DESC_MAX)
        return err_set(e, EINVAL, "a descriptor of %llu bytes", (unsigned long long)len);
    s->desc = calloc(len + 1, 1);
    if (!s->desc)
        return err_set(e, ENOMEM, "out of memory");
    s->desc_len = len;
    s->desc_offset = offset;
    r = file_read(im->file, offset, s->desc, len);
    return r ? err_set(e, -r, "cannot read the descriptor: %s", strerror(-r)) : 0;
}

/* The image is a sparse extent with a descriptor in it. */
static int open_embedded(struct img *im, const u8 *head, struct err *e)
{
    struct vmdk *s = im->s;
    u64 at = le64_get(head + VS_DESC), n = le64_get(head + VS_DESC_SIZE);
    struct vmdk_extent *x;
    int r;

    if (!at || !n)
        return err_set(e, EINVAL, "is a part of a disk: open the descriptor that names it");
    if (at > (u64)INT64_MAX / VMDK_SECTOR - n || n > VMDK_DESC_MAX / VMDK_SECTOR)
        return err_set(e, EINVAL, "descriptorOffset or descriptorSize");
    s->embedded = true;
    r = read_text(im, at * VMDK_SECTOR, n * VMDK_SECTOR, e);
    if (!r)
        r = vmdk_read_desc(im, e);
    if (!r)
        r = vmdk_read_extents(im, e);
    if (r)
        return r;
    if (s->exts != 1 || s->ext[0].kind != VMDK_SPARSE)
        return err_set(e, EINVAL, "descriptor: a monolithic image must be one sparse extent");
    x = &s->ext[0];
    x->file = im->file;
    x->size = le64_get(head + VS_CAPACITY);
    if (!x->size || x->size > (u64)INT64_MAX / VMDK_SECTOR)
        return err_set(e, EINVAL, "capacity %llu", (unsigned long long)x->size);
    x->size *= VMDK_SECTOR;
    return vmdk_open_sparse(im, x, e);
}

static int open_extent(struct img *im, unsigned i, struct err *e)
{
    struct vmdk *s = im->s;
    struct vmdk_extent *x = &s->ext[i];
    int r;

    if (x->kind == VMDK_ZERO)
        return 0;
    for (unsigned k = 0; k < i && x->kind == VMDK_FLAT; k++)
        if (s->ext[k].kind == VMDK_FLAT && !strcmp(s->ext[k].name, x->name))
            x->file = s->ext[k].file;
    r = x->file ? 0 : img_open_file(im, &x->file, x->name, im->b.readonly ? 0 : FILE_WRITE, e);
    if (r)
        return err_prefix(e, "extent");
    if (x->kind == VMDK_SPARSE) {
        r = vmdk_open_sparse(im, x, e);
        return r ? err_prefix(e, "extent %s", x->name) : 0;
    }
    if (!range_within(x->offset, x->size, 0, align_up(file_size(x->file), VMDK_SECTOR)))
        return err_set(e, EINVAL, "extent %s is shorter than the descriptor says", x->name);
    return 0;
}

static int open_described(struct img *im, struct err *e)
{
    struct vmdk *s = im->s;
    int r = read_text(im, 0, im->file->size, e);

    if (!r)
        r = vmdk_read_desc(im, e);
    if (!r)
        r = vmdk_read_extents(im, e);
    for (unsigned i = 0; i < s->exts && !r; i++)
        r = open_extent(im, i, e);
    return r;
}

/* The sizes that the generic layer works with, from those of the sparse extents. */
static int set_sizes(struct img *im, struct err *e)
{
    struct vmdk *s = im->s;
    bool write = !im->b.readonly;

    for (unsigned i = 0; i < s->exts; i++) {
        struct vmdk_extent *x = &s->ext[i];

        im->b.size = x->start + x->size;
        if (x->kind != VMDK_SPARSE)
            continue;
        if (s->grain && x->grain != s->grain)
            return err_set(e, EINVAL, "extent %s: grainSize is not that of the others", x->name);
        s->grain = x->grain;
        if (x->start % x->grain && (write || x->compressed))
            return err_set(e, EINVAL, "extent %s starts within a grain", x->name);
    }
    im->unit = im->granule = (u32)(s->grain ? s->grain : 65536);
    if (!s->grain)
        im->granule = DISK_SECTOR;
    return 0;
}

static const char *file_part(const char *path)
{
    const char *last = path;

    for (; *path; path++)
        if (*path == '/' || *path == '\\')
            last = path + 1;
    return last;
}

static int open_parent(struct img *im, struct err *e)
{
    struct vmdk *s = im->s, *p;
    int r;

    if (s->parent_cid == VMDK_NO_PARENT)
        return 0;
    r = img_open_parent(im, s->parent, "vmdk", e);
    /* The hint may be a path on another computer. */
    if (r && file_part(s->parent) != s->parent && *file_part(s->parent)) {
        struct err other = {0};

        if (!img_open_parent(im, file_part(s->parent), "vmdk", &other))
            r = 0;
    }
    if (r || !im->parent)
        return r;
    p = im->parent->s;
    if (p->cid != s->parent_cid)
        return err_set(e, EINVAL, "its parent %s was changed since: parentCID %08x, CID %08x",
                       im->parent->path, s->parent_cid, p->cid);
    return 0;
}

/* A stream-optimized image can be written as long as it is empty. */
static int check_writable(struct img *im, struct err *e)
{
    struct vmdk *s = im->s;

    for (unsigned i = 0; i < s->exts; i++) {
        struct vmdk_extent *x = &s->ext[i];

        if (x->kind != VMDK_SPARSE || !x->compressed || im->b.readonly)
            continue;
        for (u32 k = 0; k < x->gds; k++)
            if (x->gd[k])
                return err_set(e, EROFS,
                               "Wirt only reads stream-optimized images (\"readonly\" or "
                               "\"snapshot\" would do)");
        if (s->exts > 1)
            return err_set(e, EROFS, "a stream-optimized image of several extents");
        s->making = im->packs = true;
        x->end = le64_get(x->header + VS_OVERHEAD) * VMDK_SECTOR;
        if (x->end < VMDK_SECTOR || x->end > file_size(x->file))
            return err_set(e, EINVAL, "overHead %llu", (unsigned long long)x->end / VMDK_SECTOR);
        s->tables = calloc(max(x->gds, 1u), sizeof(*s->tables));
        if (!s->tables)
            return err_set(e, ENOMEM, "out of memory");
    }
    return 0;
}

static int vmdk_open(struct img *im, struct err *e)
{
    struct vmdk *s = im->s = calloc(1, sizeof(*s));
    u8 head[VMDK_SECTOR];
    int r;

    if (!s)
        return err_set(e, ENOMEM, "out of memory");
    r = file_read(im->file, 0, head, sizeof(head));
    if (r)
        return err_set(e, -r, "cannot read the header: %s", strerror(-r));
    if (le32_get(head) == VMDK_MAGIC)
        r = open_embedded(im, head, e);
    else if (!strncmp((char *)head, DESCRIPTOR_MARK, strlen(DESCRIPTOR_MARK)))
        r = open_described(im, e);
    else
        r = err_set(e, EINVAL, "is no VMDK image");
    if (!r)
        r = set_sizes(im, e);
    if (!r)
        r = check_writable(im, e);
    return r ? r : open_parent(im, e);
}

static void vmdk_close(struct img *im)
{
    struct vmdk *s = im->s;

    if (!s)
        return;
    vmdk_close_stream(s);
    for (unsigned i = 0; i < s->exts; i++) {
        vmdk_close_sparse(&s->ext[i]);
        free(s->ext[i].name);
    }
    free(s->ext);
    free(s->desc);
    free(s);
}

/* ---------------------------------------------------------------------- map -- */

static struct vmdk_extent *extent_at(struct vmdk *s, u64 off)
{
    return &s->ext[img_record_at(&s->ext[0].start, sizeof(s->ext[0]), s->exts, off)];
}

static int vmdk_map(struct img *im, u64 off, u64 len, bool nowait, struct extent *x)
{
    struct vmdk_extent *v = extent_at(im->s, off);
    u64 left = v->start + v->size - off;
    int r;

    if (v->kind == VMDK_SPARSE) {
        r = vmdk_sparse_map(im, v, off, len, nowait, x);
        x->len = min(x->len, left);
        return r;
    }
    *x = (struct extent){.kind = v->kind == VMDK_FLAT ? EXTENT_DATA : EXTENT_ZERO,
                         .in_place = true,
                         .file = v->file,
                         .offset = v->offset + (off - v->start),
                         .len = left};
    return 0;
}

static int vmdk_allocate(struct img *im, u64 off, u64 len, struct extent *x)
{
    struct vmdk_extent *v = extent_at(im->s, off);

    return v->kind == VMDK_SPARSE ? vmdk_sparse_allocate(im, v, off, len, x) : -EROFS;
}

static int vmdk_link(struct img *im, u64 off, const struct extent *x)
{
    struct vmdk_extent *v = extent_at(im->s, off);
    int r = 0;

    for (u64 k = 0; k < x->len && !r; k += v->grain)
        r = vmdk_set_grain(im, v, off + k, (u32)((x->offset + k) / VMDK_SECTOR));
    return r;
}

/* Room at the end is taken back if nothing came to refer to it; other room is leaked. */
static void vmdk_cancel(struct img *im, u64 off, const struct extent *x)
{
    struct vmdk_extent *v = extent_at(im->s, off);
    u32 entry;

    if (v->end == x->offset + x->len && !vmdk_get_grain(im, v, off, &entry) &&
        entry != x->offset / VMDK_SECTOR)
        v->end = x->offset;
}

static int vmdk_unmap(struct img *im, u64 off, u64 len, enum unmap_how how, u64 *done)
{
    while (*done < len) {
        struct vmdk_extent *v = extent_at(im->s, off + *done);
        struct extent x;
        int r = vmdk_map(im, off + *done, len - *done, false, &x);

        if (r)
            return r;
        x.len = min(x.len, len - *done);
        if (x.kind == EXTENT_DATA || x.kind == EXTENT_COMPRESSED)
            return -EOPNOTSUPP;
        if (x.kind == EXTENT_HOLE && how != UNMAP_DISCARD && im->parent) {
            if (!v->zeroed)
                return -EOPNOTSUPP;
            x.len = v->grain;
            r = vmdk_set_grain(im, v, off + *done, 1);
        }
        if (r)
            return r;
        *done += align_up(x.len, im->granule);
    }
    return 0;
}

/* --------------------------------------------------------------- write-back -- */

static int vmdk_write_back(struct img *im, unsigned stage)
{
    struct vmdk *s = im->s;
    bool more = false;

    if (s->broken)
        return -EIO;
    if (s->making)
        return vmdk_finish_stream(im);
    for (unsigned i = 0; i < s->exts; i++) {
        int r = vmdk_sparse_write_back(&s->ext[i], stage);

        if (r)
            return r;
        more |= vmdk_sparse_dirty(&s->ext[i]);
    }
    return stage == 0 && more;
}

static void vmdk_write_back_done(struct img *im, bool ok)
{
    struct vmdk *s = im->s;

    im->full = false;
    for (unsigned i = 0; i < s->exts; i++) {
        vmdk_sparse_done(&s->ext[i], ok);
        im->full |= s->ext[i].gt && tcache_full(s->ext[i].gt);
    }
    im->dirty = !ok;
}

static int vmdk_begin_write(struct img *im)
{
    return vmdk_new_cid(im);
}

static void vmdk_info(struct img *im, struct disk_info *i)
{
    struct vmdk *s = im->s;

    i->text(i, "create-type", s->type);
    i->number(i, "cid", s->cid);
    i->number(i, "parent-cid", s->parent_cid);
    if (s->grain)
        i->number(i, "cluster-size", s->grain);
    if (s->parent_cid != VMDK_NO_PARENT)
        i->text(i, "backing-filename", s->parent);
    for (unsigned k = 0; k < s->exts; k++)
        i->text(i, "extent", s->embedded ? file_part(im->path) : s->ext[k].name);
}

const struct format format_vmdk = {
    .name = "vmdk",
    .title = "VMDK",
    .caps = DISK_CAN_WRITE | DISK_CAN_CREATE | DISK_CAN_RESIZE | DISK_CAN_CHECK | DISK_CAN_REPAIR |
            DISK_CAN_BACKING,
    .options = vmdk_options,
    .probe = vmdk_probe,
    .open = vmdk_open,
    .close = vmdk_close,
    .map = vmdk_map,
    .allocate = vmdk_allocate,
    .link = vmdk_link,
    .cancel = vmdk_cancel,
    .unmap = vmdk_unmap,
    .write_back = vmdk_write_back,
    .write_back_done = vmdk_write_back_done,
    .begin_write = vmdk_begin_write,
    .inflate = vmdk_inflate,
    .deflate = vmdk_deflate,
    .write_deflated = vmdk_write_deflated,
    .create = vmdk_create,
    .resize = vmdk_resize,
    .check = vmdk_check,
    .info = vmdk_info,
};
