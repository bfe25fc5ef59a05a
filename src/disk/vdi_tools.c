/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VDI: making, resizing, checking.
 */
#include "disk/vdi.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAP_OFFSET = 4096, COPY_STEP = 1 << 20 };

const struct create_option vdi_options[] = {
    {"static", "all blocks allocated at once (default off)"},
    {0},
};

/* ------------------------------------------------------------------- create -- */

/* The parent's UUIDs into the new header.  It must be where opening will look for it. */
static int take_parent(const struct disk_create *c, u8 *h, struct err *e)
{
    const char *slash = strrchr(c->path, '/');
    struct disk_options o = c->io;
    char path[PATH_MAX];
    u8 p[VDI_SECTOR];
    struct file *f;
    int r;

    if (c->backing_format && strcmp(c->backing_format, "vdi"))
        return err_set(e, EINVAL, "the backing file of a VDI image must be a VDI image");
    if (strchr(c->backing, '/'))
        return err_set(e, EINVAL, "backing file %s: must be a name in the same directory",
                       c->backing);
    snprintf(path, sizeof(path), "%.*s%s", slash ? (int)(slash - c->path + 1) : 0, c->path,
             c->backing);
    o.readonly = true;
    r = file_open(&f, path, 0, &o, e);
    if (r)
        return err_prefix(e, "backing file %s", c->backing);
    r = file_read(f, 0, p, sizeof(p));
    file_close(f);
    if (r)
        return err_set(e, -r, "backing file %s: %s", c->backing, strerror(-r));
    memcpy(h + VH_UUID_LINKAGE, p + VH_UUID_CREATE, GUID_LEN);
    memcpy(h + VH_UUID_PARENT_MODIFY, p + VH_UUID_MODIFY, GUID_LEN);
    if (strlen(VDI_PARENT_HINT) + strlen(c->backing) < VDI_COMMENT)
        sprintf((char *)h + VH_COMMENT, "%s%s", VDI_PARENT_HINT, c->backing);
    return 0;
}

static int write_new(struct file *f, const u8 *h, bool all, struct err *e)
{
    u32 blocks = le32_get(h + VH_BLOCKS);
    u64 bytes = vdi_map_bytes(blocks), data = le32_get(h + VH_OFF_DATA);
    u8 *map = calloc(bytes, 1);
    int r = map ? 0 : -ENOMEM;

    for (u32 i = 0; i < blocks && map; i++)
        le32_put(map + i * 4, all ? i : VDI_FREE);
    if (!r)
        r = file_truncate(f, data + (all ? (u64)blocks * VDI_BLOCK : 0));
    if (!r && f->is_device && all)
        r = file_zero(f, data, (u64)blocks * VDI_BLOCK);
    if (!r)
        r = file_write(f, MAP_OFFSET, map, bytes);
    if (!r)
        r = file_write(f, 0, h, VDI_SECTOR);
    if (!r)
        r = file_flush(f);
    free(map);
    return r ? err_set(e, -r, "cannot write it: %s", strerror(-r)) : 0;
}

int vdi_create(const struct disk_create *c, struct err *e)
{
    u64 size = align_up(c->size, DISK_SECTOR), blocks = (size + VDI_BLOCK - 1) / VDI_BLOCK;
    u8 h[VDI_SECTOR] = "<<< Wirt VirtualBox Disk Image >>>\n";
    struct file *f;
    bool all = false;
    int r = create_bool(c, "static", &all, e);

    if (r)
        return r;
    if (blocks > VDI_BLOCKS_MAX)
        return err_set(e, EFBIG, "VDI images end at %u TiB", VDI_BLOCKS_MAX >> 20);
    if (all && c->backing)
        return err_set(e, EINVAL, "static=on does not go with a backing file");
    le32_put(h + VH_SIGNATURE, (u32)VDI_SIGNATURE);
    le32_put(h + VH_VERSION, VDI_VERSION);
    le32_put(h + VH_HEADER, VH_END - VH_HEADER);
    le32_put(h + VH_TYPE, c->backing ? VDI_DIFF : all ? VDI_STATIC : VDI_DYNAMIC);
    le32_put(h + VH_OFF_BLOCKS, MAP_OFFSET);
    le32_put(h + VH_OFF_DATA, (u32)align_up(MAP_OFFSET + vdi_map_bytes((u32)blocks), VDI_BLOCK));
    le32_put(h + VH_SECTOR, VDI_SECTOR);
    le64_put(h + VH_DISK, size);
    le32_put(h + VH_BLOCK, VDI_BLOCK);
    le32_put(h + VH_BLOCKS, (u32)blocks);
    le32_put(h + VH_ALLOCATED, all ? (u32)blocks : 0);
    guid_random(h + VH_UUID_CREATE);
    guid_random(h + VH_UUID_MODIFY);
    if (c->backing)
        r = take_parent(c, h, e);
    if (!r)
        r = file_open(&f, c->path, FILE_CREATE, &c->io, e);
    if (r)
        return r;
    r = write_new(f, h, all, e);
    file_close(f);
    return r;
}

/* ------------------------------------------------------------------- helpers -- */

static int copy_block(struct img *im, u32 from, u32 to)
{
    struct vdi *v = im->s;
    u32 step = min(v->block, (u32)COPY_STEP);
    u8 *buf = malloc(step);
    int r = buf ? 0 : -ENOMEM;

    for (u32 at = 0; at < v->block && !r; at += step) {
        r = file_read(im->file, vdi_offset(v, from) + at, buf, step);
        if (!r)
            r = file_write(im->file, vdi_offset(v, to) + at, buf, step);
    }
    free(buf);
    return r;
}

/* Moves entry i's block to `to`, which is in use for it already. */
static int move_block(struct img *im, u32 i, u32 to)
{
    struct vdi *v = im->s;
    int r = copy_block(im, v->map[i], to);

    if (!r)
        vdi_set_entry(im, i, to);
    return r;
}

/* ------------------------------------------------------------------- resize -- */

/* Frees the file's first n blocks: their contents go behind the last one. */
static int clear_front(struct img *im, u32 n)
{
    struct vdi *v = im->s;
    u32 to = max(v->high, n);
    int r = 0;

    for (u32 i = 0; i < v->blocks && !r; i++) {
        if (!vdi_is_block(v->map[i]) || v->map[i] >= n)
            continue;
        v->high = to + 1;
        v->new_high = true;
        r = move_block(im, i, to++);
    }
    return r ? r : settle(im);
}

/*
 * The map does not fit between header and data any more.  The first blocks of the file are moved
 * away, the new map is written where they were, and one sector, the header, then refers to it and
 * calls the block behind it number 0.
 */
static int grow_over_front(struct img *im, u32 blocks)
{
    struct vdi *v = im->s;
    u64 bytes = vdi_map_bytes(blocks);
    u32 n = (u32)((bytes + v->block - 1) / v->block);
    u32 *map;
    u8 *dirty;
    int r;

    if (v->data + (u64)n * v->block > UINT32_MAX)
        return -EFBIG;
    r = clear_front(im, n);
    if (r)
        return r;
    map = malloc(bytes);
    dirty = calloc(bytes / VDI_SECTOR, 1);
    if (!map || !dirty) {
        free(map);
        free(dirty);
        return -ENOMEM;
    }
    memset(map, 0xff, bytes);
    for (u32 i = 0; i < v->blocks; i++)
        map[i] = vdi_is_block(v->map[i]) ? v->map[i] - n : v->map[i];
    r = file_write(im->file, v->data, map, bytes);
    free(v->map);
    free(v->map_dirty);
    v->map = map;
    v->map_dirty = dirty;
    v->map_offset = v->data;
    v->data += (u64)n * v->block;
    v->high = v->high > n ? v->high - n : 0;
    return r;
}

static int grow_in_place(struct img *im, u32 blocks)
{
    struct vdi *v = im->s;
    u64 old = vdi_map_bytes(v->blocks), bytes = vdi_map_bytes(blocks);
    u32 *map = realloc(v->map, bytes);
    u8 *dirty;

    if (map)
        v->map = map;
    dirty = realloc(v->map_dirty, bytes / VDI_SECTOR);
    if (dirty)
        v->map_dirty = dirty;
    if (!map || !dirty)
        return -ENOMEM;
    memset(v->map_dirty + old / VDI_SECTOR, 0, (bytes - old) / VDI_SECTOR);
    memset(v->map + v->blocks, 0xff, bytes - (u64)v->blocks * 4);
    return 0;
}

/* The new entries, which nobody sees before the header has the new count. */
static int write_new_entries(struct img *im, u32 blocks)
{
    struct vdi *v = im->s;
    u32 from = v->blocks;
    int r;

    v->blocks = blocks;
    for (u32 i = from; i < blocks; i++)
        vdi_set_entry(im, i, v->type == VDI_STATIC ? v->high++ : VDI_FREE);
    r = im->fmt->write_back(im, 1);
    if (!r && v->type == VDI_STATIC && !im->file->is_device)
        r = file_truncate(im->file, max(file_size(im->file), vdi_offset(v, v->high)));
    if (!r)
        r = file_flush(im->file);
    im->fmt->write_back_done(im, !r);
    return r;
}

/* What lies in the last block behind the disk's end may be anything. */
static int clear_tail(struct img *im)
{
    struct vdi *v = im->s;
    u32 in = (u32)(v->size % v->block), last = (u32)(v->size / v->block);

    if (!in || !vdi_is_block(v->map[last]))
        return 0;
    return file_zero(im->file, vdi_offset(v, v->map[last]) + in, v->block - in);
}

int vdi_resize(struct img *im, u64 size, struct err *e)
{
    struct vdi *v = im->s;
    u64 blocks = (size + v->block - 1) / v->block;
    int r;

    if (size < v->size)
        return err_set(e, EINVAL, "Wirt makes no VDI image smaller");
    if (blocks > VDI_BLOCKS_MAX)
        return err_set(e, EFBIG, "VDI images end at %u blocks", VDI_BLOCKS_MAX);
    r = clear_tail(im);
    if (!r)
        r = settle(im);
    if (!r && blocks > v->blocks) {
        if (v->map_offset < v->data && v->map_offset + vdi_map_bytes((u32)blocks) <= v->data)
            r = grow_in_place(im, (u32)blocks);
        else
            r = grow_over_front(im, (u32)blocks);
        if (!r)
            r = write_new_entries(im, (u32)blocks);
    }
    if (!r) {
        v->size = size;
        r = vdi_write_header(im);
    }
    if (!r)
        r = file_flush(im->file);
    if (!r)
        r = vdi_count_blocks(im);
    v->broken = r;
    if (r)
        return err_set(e, -r, "%s", strerror(-r));
    im->b.size = size;
    return 0;
}

/* -------------------------------------------------------------------- check -- */

/* Entries out of range become free, the second user of a block gets a copy. */
static int repair_entry(struct img *im, struct disk_check *c, u32 i, bool shared)
{
    struct vdi *v = im->s;
    u32 to;
    int r;

    if (!shared) {
        check_error(c, c->repair_all, "block map entry %u: block %u is out of range", i, v->map[i]);
        if (c->repair_all)
            vdi_set_entry(im, i, VDI_FREE);
        return 0;
    }
    check_error(c, c->repair_all, "block map entry %u: block %u has another user", i, v->map[i]);
    if (!c->repair_all)
        return 0;
    r = vdi_take_block(im, &to);
    return r ? r : move_block(im, i, to);
}

static int check_entries(struct img *im, struct disk_check *c)
{
    struct vdi *v = im->s;
    u8 *seen = calloc((v->limit + 7) / 8, 1);
    int r = seen ? 0 : -ENOMEM;

    for (u32 i = 0; i < v->blocks && !r; i++) {
        u32 b = v->map[i];

        if (!vdi_is_block(b))
            continue;
        c->allocated++;
        if (b >= v->limit || seen[b / 8] & 1 << b % 8)
            r = repair_entry(im, c, i, b < v->limit);
        else
            seen[b / 8] |= (u8)(1 << b % 8);
    }
    free(seen);
    return r;
}

/* Blocks between others that nobody uses: the last ones move there. */
static int repair_leaks(struct img *im)
{
    struct vdi *v = im->s;
    u32 hole = 0, *owner = malloc(max(v->high, 1u) * sizeof(*owner));
    int r = 0;

    if (!owner)
        return -ENOMEM;
    memset(owner, 0xff, v->high * sizeof(*owner));
    for (u32 i = 0; i < v->blocks; i++)
        if (vdi_is_block(v->map[i]) && v->map[i] < v->high)
            owner[v->map[i]] = i;
    for (u32 last = v->high; last-- > 0 && !r;) {
        if (owner[last] == VDI_FREE)
            continue;
        while (hole < last && owner[hole] != VDI_FREE)
            hole++;
        if (hole >= last)
            break;
        r = move_block(im, owner[last], hole);
        owner[hole++] = owner[last];
    }
    free(owner);
    if (!r)
        r = settle(im);
    return r ? r : vdi_count_blocks(im);
}

static int finish_repair(struct img *im, u32 leaks)
{
    struct vdi *v = im->s;
    int r = settle(im);

    if (!r)
        r = vdi_count_blocks(im);
    if (!r && leaks)
        r = repair_leaks(im);
    v->new_high = true;
    if (!r)
        r = settle(im);
    if (!r && leaks && !im->file->is_device && file_size(im->file) > vdi_offset(v, v->high))
        r = file_truncate(im->file, vdi_offset(v, v->high));
    return r;
}

int vdi_check(struct img *im, struct disk_check *c, struct err *e)
{
    struct vdi *v = im->s;
    u32 count = le32_get(v->header + VH_ALLOCATED), leaks = 0;
    bool change = c->repair_all || c->repair_leaks;
    /* Moving blocks about is safe when each has one user, or has by now. */
    bool move = c->repair_all || (c->repair_leaks && !v->damaged);
    int r = check_entries(im, c);

    c->total = v->blocks;
    if (!r && count < v->high)
        check_error(c, change, "cBlocksAllocated is %u, but block %u is in use", count,
                    v->high - 1);
    for (u32 b = 0; b < max(count, v->high) && b < v->limit; b++)
        if (!(v->used[b / 8] & 1 << b % 8))
            leaks++;
    for (u32 i = 0; i < leaks && !r; i++)
        check_leak(c, move, "a block that nothing refers to");
    if (!r && count > v->blocks)
        check_error(c, change, "cBlocksAllocated %u is more than cBlocks", count);
    if (!r && change && (c->errors_fixed || c->leaks_fixed))
        r = finish_repair(im, move ? leaks : 0);
    c->end = vdi_offset(v, v->high);
    return r ? err_set(e, -r, "%s", strerror(-r)) : 0;
}
