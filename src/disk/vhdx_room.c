/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHDX: which MiB of the file belong to whom.  The file does not say which are free, so all entries
 * are looked at once; two owners of one MiB would overwrite each other, so such an image is not
 * written.
 */
#include "disk/vhdx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_used(const struct vhdx *s, u64 mb)
{
    return s->used[mb / 8] >> mb % 8 & 1;
}

static void set_used(struct vhdx *s, u64 mb, bool used)
{
    if (used)
        s->used[mb / 8] |= (u8)(1 << mb % 8);
    else
        s->used[mb / 8] &= (u8) ~(1 << mb % 8);
}

static int make_room(struct vhdx *s, u64 mb)
{
    u64 room = max(s->used_room, (u64)1024);
    u8 *more;

    if (mb <= s->used_room)
        return 0;
    if (mb > VHDX_FILE_MAX / VHDX_MB)
        return -EFBIG;
    while (room < mb)
        room *= 2;
    more = realloc(s->used, room / 8);
    if (!more)
        return -ENOMEM;
    memset(more + s->used_room / 8, 0, (room - s->used_room) / 8);
    s->used = more;
    s->used_room = room;
    return 0;
}

/* False: a part of it has an owner. */
static bool own(struct vhdx *s, u64 off, u64 len)
{
    u64 mb = off / VHDX_MB, end = mb + len / VHDX_MB;
    bool ok = true;

    BUG_ON(end > s->used_room);
    for (; mb < end; mb++) {
        if (is_used(s, mb))
            ok = false;
        set_used(s, mb, true);
    }
    s->used_end = max(s->used_end, end);
    return ok;
}

/* One entry; what is wrong to *c or *e.  `bitmap`: it is of a sector bitmap block. */
static int scan_entry(struct img *im, u64 at, u64 index, bool bitmap, struct disk_check *c,
                      struct err *e)
{
    struct vhdx *s = im->s;
    u64 len = bitmap ? VHDX_MB : s->block, v, off;
    const char *what = bitmap ? "bitmap" : "payload", *wrong = NULL;
    unsigned state;
    u8 wire[8];
    int r = vhdx_read(im, at, wire, sizeof(wire));

    if (r)
        return err_set(e, -r, "cannot read the BAT: %s", strerror(-r));
    v = le64_get(wire);
    state = v & VHDX_ENTRY_STATE;
    off = v >> 20 << 20;
    if (state == BLOCK_NOT_PRESENT || (!bitmap && state == BLOCK_ZERO))
        return 0;
    if (bitmap ? state != BLOCK_FULL || !s->has_parent
               : state == 4 || state == 5 || (state == BLOCK_PARTIAL && !s->has_parent))
        wrong = "has a state that it cannot have";
    else if (state < BLOCK_FULL && !off)
        return 0;
    else if (off < VHDX_MB || !range_within(off, len, 0, max(file_size(im->file), s->last)))
        wrong = "points outside of the file";
    if (wrong && state < BLOCK_FULL && !bitmap)
        return 0; /* nobody follows it */
    if (wrong) {
        if (!c)
            return 0; /* an error where it is read, but no danger */
        check_error(c, c->repair_all, "BAT entry of %s block %llu (0x%llx) %s", what,
                    (unsigned long long)index, (unsigned long long)v, wrong);
        le64_put(wire, BLOCK_NOT_PRESENT);
        return c->repair_all ? vhdx_change(im, at, wire, sizeof(wire)) : 0;
    }
    if (c)
        c->allocated += !bitmap && state >= BLOCK_FULL;
    if (own(s, off, len))
        return 0;
    if (!c)
        return err_set(e, EIO,
                       "the %s block %llu lies where something else is: check it (or \"readonly\")",
                       what, (unsigned long long)index);
    check_error(c, false, "the %s block %llu lies where something else is", what,
                (unsigned long long)index);
    return 0;
}

int vhdx_scan(struct img *im, struct disk_check *c, struct err *e)
{
    struct vhdx *s = im->s;
    u64 size = file_size(im->file), chunks = (s->blocks + s->ratio - 1) / s->ratio;
    int r;

    /* Without a log to replay nobody looked yet. */
    if (!range_within(s->log_offset, s->log_length, 0, max(size, s->last)))
        return err_set(e, EINVAL, "the log lies behind the file's end");
    if (s->used_room)
        memset(s->used, 0, s->used_room / 8);
    s->used_end = 0;
    r = make_room(s, max(size, s->last) / VHDX_MB + 1);
    if (r)
        return err_set(e, -r, "the file is too long, or no memory for its map");
    own(s, 0, VHDX_MB);
    own(s, s->log_offset, s->log_length);
    own(s, s->bat, s->bat_length);
    own(s, s->meta, s->meta_length);
    for (u64 i = 0; i < s->blocks && !r; i++)
        r = scan_entry(im, vhdx_entry_at(s, i), i, false, c, e);
    for (u64 i = 0; i < chunks && s->has_parent && !r; i++)
        r = scan_entry(im, vhdx_bitmap_at(s, i), i, true, c, e);
    s->unused = 0;
    for (u64 i = 0; i < s->used_end; i++)
        s->unused += !is_used(s, i);
    s->hint = 0;
    s->fresh = im->file->is_device ? UINT64_MAX : size;
    return r;
}

/* n free MiB below used_end; 0 = none. */
static u64 find_free(struct vhdx *s, u64 n)
{
    u64 run = 0;

    for (u64 i = s->hint; s->unused >= n && i < s->used_end; i++) {
        if (i % 8 == 0 && s->used[i / 8] == 0xff) {
            run = 0;
            i += 7;
            continue;
        }
        run = is_used(s, i) ? 0 : run + 1;
        if (run == n)
            return i + 1 - n;
    }
    return 0;
}

int vhdx_take_room(struct img *im, u64 len, u64 *off, bool *zeroed)
{
    struct vhdx *s = im->s;
    u64 n = len / VHDX_MB, mb = find_free(s, n), end;
    int r;

    if (mb) {
        s->unused -= n;
        if (n == 1)
            s->hint = mb + 1;
    } else {
        mb = s->used_end;
        r = make_room(s, mb + n);
        if (r)
            return r;
    }
    *off = mb * VHDX_MB;
    end = *off + len;
    *zeroed = *off >= s->fresh;
    /* The file must hold whole blocks.  Now, while nobody writes there; after a write that failed
     * its size says nothing. */
    if (end > file_size(im->file) || __atomic_load_n(&im->file->doubt, __ATOMIC_RELAXED)) {
        r = file_zero(im->file, end - 512, 512);
        if (r) {
            if (mb < s->used_end)
                s->unused += n;
            return r;
        }
    }
    own(s, *off, len);
    s->fresh = max(s->fresh, end);
    return 0;
}

void vhdx_free(struct img *im, u64 off, u64 len)
{
    struct vhdx *s = im->s;

    for (u64 mb = off / VHDX_MB; mb < (off + len) / VHDX_MB; mb++) {
        if (mb >= s->used_room || !is_used(s, mb))
            continue;
        set_used(s, mb, false);
        s->unused++;
    }
    s->hint = min(s->hint, off / VHDX_MB);
    file_discard(im->file, off, len); /* gives the host its space back; failure is no harm */
}
