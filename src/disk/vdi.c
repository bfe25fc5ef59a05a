/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VDI, VirtualBox's disk image, version 1.1: dynamic, static and differencing.  A map of 32-bit
 * block numbers; blocks lie one behind the other, mostly of 1 MiB.  Source: the structures of
 * VirtualBox's Storage/VDICore.h.
 *
 * Order on the disk: the header's count of allocated blocks goes up first (another program takes
 * the next block from there), with the data; then sectors of the map.  A crash leaks blocks at
 * worst, which the next writer here uses first.  Blocks are not given up: a discard makes holes in
 * them.
 *
 * The name of the parent is not in the image: VirtualBox keeps it in its registry.  The parent is
 * the VDI file in the image's own directory whose creation UUID the image names and, where files
 * outside are allowed, in the directory above (VirtualBox puts differencing images into
 * "Snapshots").
 *
 * Refused: version 0.1 (before 2006), undo images.
 */
#include "disk/vdi.h"
#include "base/trace.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CANDIDATES_MAX = 1000 }; /* files looked at for the parent */

static bool vdi_probe(const struct probe *p)
{
    return le32_get(p->head + VH_SIGNATURE) == (u32)VDI_SIGNATURE;
}

/* A UUID as VirtualBox prints it. */
static void vdi_uuid(const u8 *u, char *out)
{
    guid_text(u, out);
    memmove(out, out + 1, GUID_TEXT - 1);
    out[GUID_TEXT - 3] = 0; /* the braces */
}

/* ------------------------------------------------------------------- header -- */

static int check_header(struct vdi *v, struct err *e)
{
    const u8 *h = v->header;
    u32 version = le32_get(h + VH_VERSION), type = le32_get(h + VH_TYPE);
    u32 extra = le32_get(h + VH_BLOCK_EXTRA), sector = le32_get(h + VH_SECTOR);

    if (le32_get(h + VH_SIGNATURE) != (u32)VDI_SIGNATURE)
        return err_set(e, EINVAL, "is no VDI image");
    if (version != VDI_VERSION)
        return err_set(e, EINVAL, "VDI version %u.%u is not known", version >> 16,
                       version & 0xffff);
    if (type == VDI_UNDO)
        return err_set(e, EINVAL, "is an undo image, which Wirt does not read");
    if (type != VDI_DYNAMIC && type != VDI_STATIC && type != VDI_DIFF)
        return err_set(e, EINVAL, "u32Type %u is not known", type);
    if (extra)
        return err_set(e, EINVAL, "cbBlockExtra %u is not 0", extra);
    if (sector && sector != VDI_SECTOR)
        return err_set(e, EINVAL, "cbSector %u is not 512", sector);
    v->type = type;
    v->size = le64_get(h + VH_DISK);
    v->block = le32_get(h + VH_BLOCK);
    v->blocks = le32_get(h + VH_BLOCKS);
    v->map_offset = le32_get(h + VH_OFF_BLOCKS);
    v->data = le32_get(h + VH_OFF_DATA);
    if (!is_pow2(v->block) || v->block < 4096 || v->block > VDI_BLOCK_MAX)
        return err_set(e, EINVAL, "cbBlock %u is no power of two from 4096 to %u", v->block,
                       VDI_BLOCK_MAX);
    if (v->blocks > VDI_BLOCKS_MAX)
        return err_set(e, EINVAL, "cBlocks %u is more than %u", v->blocks, VDI_BLOCKS_MAX);
    if (!v->size || v->size > (u64)v->blocks * v->block)
        return err_set(e, EINVAL, "cbDisk %llu is 0 or more than its blocks hold",
                       (unsigned long long)v->size);
    if (v->map_offset % VDI_SECTOR || v->map_offset < VDI_SECTOR)
        return err_set(e, EINVAL, "offBlocks %llu", (unsigned long long)v->map_offset);
    if (v->data % VDI_SECTOR || v->data < v->map_offset + vdi_map_bytes(v->blocks))
        return err_set(e, EINVAL, "offData %llu lies within the block map",
                       (unsigned long long)v->data);
    return 0;
}

int vdi_write_header(struct img *im)
{
    struct vdi *v = im->s;
    u8 *h = v->header;

    le32_put(h + VH_OFF_BLOCKS, (u32)v->map_offset);
    le32_put(h + VH_OFF_DATA, (u32)v->data);
    le64_put(h + VH_DISK, v->size);
    le32_put(h + VH_BLOCKS, v->blocks);
    le32_put(h + VH_ALLOCATED, v->high);
    return file_write(im->file, 0, h, VDI_SECTOR);
}

int vdi_count_blocks(struct img *im)
{
    struct vdi *v = im->s;
    u64 size = file_size(im->file), there = size > v->data ? (size - v->data) / v->block : 0;
    u8 *used;

    /* A resize that was interrupted may have left blocks behind the last one that should be. */
    v->limit = (u32)min(max((u64)v->blocks, there), (u64)VDI_BLOCKS_MAX);
    used = calloc((v->limit + 7) / 8, 1);
    if (!used)
        return -ENOMEM;
    free(v->used);
    v->used = used;
    v->damaged = false;
    v->high = v->first_free = 0;
    for (u32 i = 0; i < v->blocks; i++) {
        u32 b = v->map[i];

        if (!vdi_is_block(b))
            continue;
        if (b >= v->limit || used[b / 8] & 1 << b % 8) {
            v->damaged = true;
            continue;
        }
        used[b / 8] |= (u8)(1 << b % 8);
        v->high = max(v->high, b + 1);
    }
    return 0;
}

static int read_map(struct img *im, struct err *e)
{
    struct vdi *v = im->s;
    u64 bytes = vdi_map_bytes(v->blocks);
    int r;

    if (v->map_offset + (u64)v->blocks * 4 > im->file->size)
        return err_set(e, EINVAL, "cBlocks %u: the block map is longer than the file", v->blocks);
    v->map = malloc(bytes);
    v->map_dirty = calloc(bytes / VDI_SECTOR, 1);
    if (!v->map || !v->map_dirty)
        return err_set(e, ENOMEM, "out of memory");
    r = file_read(im->file, v->map_offset, v->map, bytes);
    if (r)
        return err_set(e, -r, "cannot read the block map: %s", strerror(-r));
    for (u32 i = 0; i < bytes / 4; i++)
        v->map[i] = le32_get(&v->map[i]);
    if (im->b.readonly && !im->opt.for_check)
        return 0;
    if (vdi_count_blocks(im))
        return err_set(e, ENOMEM, "out of memory");
    if (v->damaged && !im->opt.for_check)
        return err_set(e, EIO,
                       "block map: entries share a block or lie outside: check and repair it first "
                       "(or \"readonly\")");
    /* Blocks that a crash leaked are below `high` or are found again here. */
    v->new_high = v->high > le32_get(v->header + VH_ALLOCATED);
    return 0;
}

/* ------------------------------------------------------------------- parent -- */

static bool is_parent(struct img *im, const char *path, const u8 *uuid)
{
    struct disk_options o = {.readonly = true, .no_lock = true};
    u8 h[VDI_SECTOR] = {0};
    struct file *f;
    bool yes;

    if (file_open(&f, path, 0, &o, NULL))
        return false;
    yes = !file_read(f, 0, h, sizeof(h)) && le32_get(h + VH_SIGNATURE) == (u32)VDI_SIGNATURE &&
          !memcmp(h + VH_UUID_CREATE, uuid, GUID_LEN) &&
          !(f->dev == im->file->dev && f->ino == im->file->ino);
    file_close(f);
    return yes;
}

/* Opens it if it is the parent in the state that the image was made on.  0, 1 = it is not, -errno.
 */
static int try_parent(struct img *im, const char *name, struct err *e)
{
    struct vdi *v = im->s, *p;
    static const u8 none[GUID_LEN];
    const u8 *modified = v->header + VH_UUID_PARENT_MODIFY;
    int r = img_open_parent(im, name, "vdi", e);

    if (r || !im->parent)
        return r;
    p = im->parent->s;
    if (memcmp(p->header + VH_UUID_CREATE, v->header + VH_UUID_LINKAGE, GUID_LEN)) {
        img_close_parent(im);
        return 1;
    }
    if (!memcmp(modified, none, sizeof(none)) ||
        !memcmp(p->header + VH_UUID_MODIFY, modified, GUID_LEN))
        return 0;
    img_close_parent(im);
    return 2;
}

/* The same, by the name that the comment has. */
static int try_hint(struct img *im, unsigned *changed)
{
    const char *comment = (const char *)((struct vdi *)im->s)->header + VH_COMMENT;
    size_t n = strlen(VDI_PARENT_HINT);
    char name[VDI_COMMENT];
    struct err e = {0};
    int r;

    if (strncmp(comment, VDI_PARENT_HINT, n) || !memchr(comment, 0, VDI_COMMENT))
        return 1;
    strcpy(name, comment + n);
    r = try_parent(im, name, &e);
    *changed += r == 2;
    return r ? 1 : 0;
}

/* The same, of each VDI file in `folder`, below the image's own; "" is that one. */
static int look_in(struct img *im, const char *folder, unsigned *changed, struct err *e)
{
    const u8 *uuid = ((struct vdi *)im->s)->header + VH_UUID_LINKAGE;
    const char *slash = strrchr(im->path, '/');
    char path[PATH_MAX], name[PATH_MAX];
    int own = slash ? (int)(slash - im->path + 1) : 0, r = 1;
    unsigned seen = 0;
    struct dirent *d;
    DIR *dir;

    snprintf(path, sizeof(path), "%.*s%s", own, im->path, own || *folder ? folder : ".");
    dir = opendir(path);
    if (!dir)
        return 1;
    while (r == 1 && (d = readdir(dir)) && seen < CANDIDATES_MAX) {
        const char *dot = strrchr(d->d_name, '.');

        if (!dot || strcasecmp(dot, ".vdi"))
            continue;
        seen++;
        if (snprintf(name, sizeof(name), "%s%s", folder, d->d_name) >= (int)sizeof(name) ||
            snprintf(path, sizeof(path), "%.*s%s", own, im->path, name) >= (int)sizeof(path) ||
            !is_parent(im, path, uuid))
            continue;
        r = try_parent(im, name, e);
        *changed += r == 2;
        r = r == 2 ? 1 : r;
    }
    closedir(dir);
    return r;
}

static int find_parent(struct img *im, struct err *e)
{
    struct vdi *v = im->s;
    unsigned changed = 0;
    char text[GUID_TEXT];
    int r;

    if (v->type != VDI_DIFF || im->opt.no_parent)
        return 0;
    r = try_hint(im, &changed);
    if (r == 1 && !im->opt.io)
        r = look_in(im, "", &changed, e);
    if (r == 1 && !im->opt.io && (im->opt.allow_external || im->opt.root))
        r = look_in(im, "../", &changed, e);
    if (r != 1)
        return r;
    vdi_uuid(v->header + VH_UUID_LINKAGE, text);
    if (changed)
        return err_set(e, EINVAL,
                       "its parent (uuidLinkage %s) was changed since (uuidParentModify)", text);
    return err_set(e, ENOENT, "its parent (uuidLinkage %s) is not in %s", text,
                   im->opt.allow_external
                       ? "its directory or the one above"
                       : "its directory (--allow-external looks in the one above)");
}

/* --------------------------------------------------------------------- open -- */

static int vdi_open(struct img *im, struct err *e)
{
    struct vdi *v = im->s = calloc(1, sizeof(*v));
    int r;

    if (!v)
        return err_set(e, ENOMEM, "out of memory");
    r = file_read(im->file, 0, v->header, VDI_SECTOR);
    if (r)
        return err_set(e, -r, "cannot read the header: %s", strerror(-r));
    r = check_header(v, e);
    if (!r)
        r = read_map(im, e);
    if (!r)
        r = find_parent(im, e);
    im->b.size = align_up(v->size, DISK_SECTOR);
    im->unit = im->granule = v->block;
    return r;
}

static void vdi_close(struct img *im)
{
    struct vdi *v = im->s;

    if (!v)
        return;
    /* Some programs want the last block to be there to its end. */
    if (!im->b.readonly && v->used && v->high && !im->file->is_device &&
        file_size(im->file) > v->data && file_size(im->file) < vdi_offset(v, v->high))
        file_truncate(im->file, vdi_offset(v, v->high));
    free(v->map);
    free(v->map_dirty);
    free(v->used);
    free(v);
}

static int vdi_begin_write(struct img *im)
{
    struct vdi *v = im->s;
    int r;

    guid_random(v->header + VH_UUID_MODIFY);
    r = vdi_write_header(im);
    return r ? r : file_flush(im->file);
}

/* ---------------------------------------------------------------------- map -- */

static int vdi_map(struct img *im, u64 off, u64 len, bool nowait, struct extent *x)
{
    struct vdi *v = im->s;
    u32 i = (u32)(off / v->block), in = (u32)(off % v->block), b = v->map[i], n = 1;
    bool block = vdi_is_block(b);

    if (block && b >= VDI_BLOCKS_MAX) {
        if (im->opt.trace)
            trace(im->opt.trace, block, "%s: damaged: block map entry %u is %u", im->b.path, i, b);
        return -EIO;
    }
    while ((u64)n * v->block - in < len && i + n < v->blocks &&
           v->map[i + n] == (block ? b + n : b))
        n++;
    *x = (struct extent){.kind = block           ? EXTENT_DATA
                                 : b == VDI_ZERO ? EXTENT_ZERO
                                                 : EXTENT_HOLE,
                         .in_place = true,
                         .file = im->file,
                         .len = (u64)n * v->block - in};
    if (block)
        x->offset = vdi_offset(v, b) + in;
    return 0;
}

void vdi_set_entry(struct img *im, u32 i, u32 entry)
{
    struct vdi *v = im->s;

    v->map[i] = entry;
    v->map_dirty[i / (VDI_SECTOR / 4)] = 1;
    v->any_dirty = im->dirty = true;
}

static bool is_used(const struct vdi *v, u32 b)
{
    return v->used[b / 8] & 1 << b % 8;
}

static void use(struct img *im, u32 b)
{
    struct vdi *v = im->s;

    v->used[b / 8] |= (u8)(1 << b % 8);
    if (b >= v->high) {
        v->high = b + 1;
        v->new_high = im->dirty = true;
    }
}

int vdi_take_block(struct img *im, u32 *block)
{
    struct vdi *v = im->s;

    while (v->first_free < v->blocks && is_used(v, v->first_free))
        v->first_free++;
    if (v->first_free == v->blocks)
        return -ENOSPC;
    *block = v->first_free;
    use(im, *block);
    return 0;
}

static int vdi_allocate(struct img *im, u64 off, u64 len, struct extent *x)
{
    struct vdi *v = im->s;
    u32 n = 1, b;
    int r = vdi_take_block(im, &b);

    if (r)
        return r;
    while ((u64)n * v->block < len && b + n < v->blocks && !is_used(v, b + n))
        use(im, b + n++);
    *x = (struct extent){.kind = EXTENT_DATA,
                         .in_place = true,
                         .file = im->file,
                         .offset = vdi_offset(v, b),
                         .len = (u64)n * v->block};
    x->zeroed = x->offset >= file_size(im->file) && !im->file->is_device;
    return 0;
}

static int vdi_link(struct img *im, u64 off, const struct extent *x)
{
    struct vdi *v = im->s;
    u32 b = (u32)((x->offset - v->data) / v->block);

    for (u64 k = 0; k < x->len; k += v->block)
        vdi_set_entry(im, (u32)((off + k) / v->block), b++);
    return 0;
}

static void vdi_cancel(struct img *im, u64 off, const struct extent *x)
{
    struct vdi *v = im->s;
    u32 b = (u32)((x->offset - v->data) / v->block);

    v->first_free = min(v->first_free, b);
    for (u64 k = 0; k < x->len; k += v->block, b++)
        v->used[b / 8] &= (u8) ~(1 << b % 8);
    while (v->high && !is_used(v, v->high - 1))
        v->high--;
    v->new_high = im->dirty = true;
}

static int vdi_unmap(struct img *im, u64 off, u64 len, enum unmap_how how, u64 *done)
{
    struct vdi *v = im->s;

    for (; *done < len; *done += v->block) {
        u32 i = (u32)((off + *done) / v->block);

        if (vdi_is_block(v->map[i]))
            return -EOPNOTSUPP;
        if (v->map[i] == VDI_FREE && v->type == VDI_DIFF && how != UNMAP_DISCARD)
            vdi_set_entry(im, i, VDI_ZERO);
    }
    return 0;
}

/* ---------------------------------------------------------------- write-back -- */

static int write_map(struct img *im)
{
    struct vdi *v = im->s;
    u32 sectors = (u32)(vdi_map_bytes(v->blocks) / VDI_SECTOR);

    for (u32 s = 0; s < sectors; s++) {
        u8 buf[VDI_SECTOR];
        int r;

        if (v->map_dirty[s] != 1)
            continue;
        for (u32 k = 0; k < VDI_SECTOR / 4; k++)
            le32_put(buf + 4 * k, v->map[s * (VDI_SECTOR / 4) + k]);
        r = file_write(im->file, v->map_offset + (u64)s * VDI_SECTOR, buf, VDI_SECTOR);
        if (r)
            return r;
        v->map_dirty[s] = 2;
    }
    return 0;
}

static int vdi_write_back(struct img *im, unsigned stage)
{
    struct vdi *v = im->s;
    int r = 0;

    if (v->broken)
        return -EIO;
    if (stage)
        return write_map(im);
    if (v->new_high)
        r = vdi_write_header(im);
    return r ? r : v->any_dirty;
}

static void vdi_write_back_done(struct img *im, bool ok)
{
    struct vdi *v = im->s;
    u32 sectors = (u32)(vdi_map_bytes(v->blocks) / VDI_SECTOR);

    for (u32 s = 0; v->any_dirty && s < sectors; s++)
        if (v->map_dirty[s])
            v->map_dirty[s] = !ok;
    if (ok)
        v->any_dirty = v->new_high = false;
    im->dirty = v->any_dirty || v->new_high;
    im->full = false;
}

static void vdi_info(struct img *im, struct disk_info *i)
{
    struct vdi *v = im->s;
    char text[GUID_TEXT];

    i->text(i, "type",
            v->type == VDI_STATIC ? "static"
            : v->type == VDI_DIFF ? "differencing"
                                  : "dynamic");
    i->number(i, "cluster-size", v->block);
    vdi_uuid(v->header + VH_UUID_CREATE, text);
    i->text(i, "uuid", text);
    if (v->type != VDI_DIFF)
        return;
    vdi_uuid(v->header + VH_UUID_LINKAGE, text);
    i->text(i, "parent-uuid", text);
    if (im->parent)
        i->text(i, "backing-filename", im->parent->path);
}

const struct format format_vdi = {
    .name = "vdi",
    .title = "VDI",
    .caps = DISK_CAN_WRITE | DISK_CAN_CREATE | DISK_CAN_RESIZE | DISK_CAN_CHECK | DISK_CAN_REPAIR |
            DISK_CAN_BACKING,
    .options = vdi_options,
    .probe = vdi_probe,
    .open = vdi_open,
    .close = vdi_close,
    .map = vdi_map,
    .allocate = vdi_allocate,
    .link = vdi_link,
    .cancel = vdi_cancel,
    .unmap = vdi_unmap,
    .write_back = vdi_write_back,
    .write_back_done = vdi_write_back_done,
    .begin_write = vdi_begin_write,
    .create = vdi_create,
    .resize = vdi_resize,
    .check = vdi_check,
    .info = vdi_info,
};
