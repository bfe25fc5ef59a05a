/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMDK: resizing and checking.
 */
#include "disk/vmdk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------- resize -- */

/* The last extent's line gets another number; the text may become a little longer. */
static int rewrite_text(struct img *im, u64 sectors)
{
    struct vmdk *s = im->s;
    const char *line = s->desc, *number = NULL;
    size_t len = strlen(s->desc), room = len + 32;
    char *text;
    int n, r;

    for (; *line; line += strcspn(line, "\n"), line += *line == '\n')
        if (!strncmp(line, "RW ", 3))
            number = line + 3;
    text = number ? calloc(max(room, s->desc_len) + 1, 1) : NULL;
    if (!text)
        return number ? -ENOMEM : -EINVAL;
    n = snprintf(text, room, "%.*s%llu%s", (int)(number - s->desc), s->desc,
                 (unsigned long long)sectors, number + strspn(number, " 0123456789") - 1);
    if (s->embedded && (u64)n > s->desc_len) {
        free(text);
        return -ENOSPC;
    }
    free(s->desc);
    s->desc = text;
    if (!s->embedded)
        s->desc_len = (size_t)n;
    r = file_write(im->file, s->desc_offset, text, s->desc_len);
    if (!r && !s->embedded)
        r = file_truncate(im->file, s->desc_len);
    return r ? r : file_flush(im->file);
}

/* New directories with all tables of the old ones and empty ones for what comes on. */
static int grow_directories(struct img *im, struct vmdk_extent *v, u32 gds)
{
    u64 bytes = align_up((u64)gds * 4, VMDK_SECTOR), gt = vmdk_gt_bytes(v), at = v->end;
    unsigned copies = v->rgd ? 2 : 1;

    for (unsigned c = 0; c < copies; c++) {
        u32 *gd = calloc(bytes, 1), *old = c ? v->rgd : v->gd;
        u64 tables = at + bytes;
        int r = gd ? 0 : -ENOMEM;

        if (r)
            return r;
        for (u32 i = 0; i < gds; i++)
            gd[i] = i < v->gds ? old[i] : (u32)((tables + (i - v->gds) * gt) / VMDK_SECTOR);
        if ((tables + (gds - v->gds) * gt) / VMDK_SECTOR > UINT32_MAX)
            r = -EFBIG;
        if (!r)
            r = file_zero(v->file, tables, (gds - v->gds) * gt);
        if (!r)
            r = file_write(v->file, at, gd, bytes);
        free(old);
        *(c ? &v->rgd : &v->gd) = gd;
        *(c ? &v->rgd_offset : &v->gd_offset) = at;
        if (r)
            return r;
        at = tables + (gds - v->gds) * gt;
    }
    v->gds = gds;
    v->end = align_up(at, v->grain);
    free(v->gd_dirty);
    v->gd_dirty = calloc(gds, 1);
    return v->gd_dirty ? file_flush(v->file) : -ENOMEM;
}

/* What lies in the last grain behind the end may be anything. */
static int clear_tail(struct img *im, struct vmdk_extent *v)
{
    u64 in = v->size % v->grain;
    u32 entry;
    int r;

    if (!in)
        return 0;
    r = vmdk_get_grain(im, v, v->start + v->size - in, &entry);
    if (r || !entry || (entry == 1 && v->zeroed))
        return r;
    return file_zero(v->file, (u64)entry * VMDK_SECTOR + in, v->grain - in);
}

/* And so may entries of grains behind it, which no check looks at; they come into use up to size.
 */
static int clear_entries(struct img *im, struct vmdk_extent *v, u64 size)
{
    u64 n = (v->size + v->grain - 1) / v->grain, end = (size + v->grain - 1) / v->grain;
    int r = 0;

    end = min(end, (u64)v->gds * v->gtes);
    while (n < end && !r) {
        u32 entry = 0;

        if (!v->gd[n / v->gtes]) {
            n = (n / v->gtes + 1) * v->gtes;
            continue;
        }
        r = vmdk_get_grain(im, v, v->start + n * v->grain, &entry);
        if (!r && entry)
            r = vmdk_set_grain(im, v, v->start + n * v->grain, 0);
        if (!r && im->full)
            r = settle(im);
        n++;
    }
    return r;
}

/* One sector, the header, refers to the new directories. */
static int grow_sparse(struct img *im, struct vmdk_extent *v, u64 size)
{
    u64 covers = v->grain * v->gtes;
    u32 gds = (u32)((size + covers - 1) / covers);
    int r = clear_tail(im, v);

    if (!r)
        r = clear_entries(im, v, size);
    if (!r)
        r = settle(im);
    if (!r && gds > v->gds)
        r = grow_directories(im, v, gds);
    if (r)
        return r;
    le64_put(v->header + VS_CAPACITY, size / VMDK_SECTOR);
    le64_put(v->header + VS_GD, v->gd_offset / VMDK_SECTOR);
    if (v->rgd)
        le64_put(v->header + VS_RGD, v->rgd_offset / VMDK_SECTOR);
    r = file_write(v->file, 0, v->header, VMDK_SECTOR);
    return r ? r : file_flush(v->file);
}

int vmdk_resize(struct img *im, u64 size, struct err *e)
{
    struct vmdk *s = im->s;
    struct vmdk_extent *v = &s->ext[s->exts - 1];
    u64 want = size - v->start;
    int r;

    if (size < im->b.size)
        return err_set(e, EINVAL, "Wirt makes no VMDK image smaller");
    if (v->kind == VMDK_ZERO || s->making)
        return err_set(e, EOPNOTSUPP, "%s images cannot be resized", s->type);
    if (!strncmp(s->type, "twoGb", 5) && want > 2ull << 30)
        return err_set(e, EOPNOTSUPP,
                       "the last of its files would be larger than 2 GiB "
                       "(convert it instead)");
    if (v->kind == VMDK_SPARSE && want > 2ull << 40)
        return err_set(e, EFBIG, "a sparse extent ends at 2 TiB");
    if (v->kind == VMDK_SPARSE)
        r = grow_sparse(im, v, want);
    else
        r = file_truncate(v->file, v->offset + want);
    if (!r && v->kind == VMDK_FLAT)
        r = file_flush(v->file);
    if (!r)
        r = rewrite_text(im, want / VMDK_SECTOR);
    s->broken = r;
    if (r)
        return err_set(e, -r, "%s", strerror(-r));
    v->size = want;
    im->b.size = size;
    return 0;
}

/* -------------------------------------------------------------------- check -- */

enum { NOBODY = -1, METADATA = -2 };

/* Bytes of an extent's file that a header, a descriptor, a directory or a table takes. */
struct piece {
    u64 at, len;
};

/* A sparse extent's file in pieces of a grain: who begins in each, and where in it. */
struct slots {
    s64 *owner; /* number of the grain in the extent, NOBODY, METADATA */
    u16 *in;    /* sectors from the slot's start */
    u64 n;
    struct piece *piece; /* metadata, by offset */
    size_t pieces;
    u64 overhead; /* bytes: no grain begins below */
};

static void add_piece(struct slots *t, const struct vmdk_extent *v, u64 at, u64 len)
{
    t->piece[t->pieces++] = (struct piece){at, len};
    for (u64 i = at / v->grain; i < t->n && i * v->grain < at + len; i++)
        t->owner[i] = METADATA;
}

static int by_offset(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;

    return x->at < y->at ? -1 : x->at > y->at;
}

/* The pieces of metadata; -EUCLEAN: two of them share bytes, so no repair of one is safe. */
static int look_at_metadata(const struct vmdk *s, struct vmdk_extent *v, struct slots *t)
{
    u64 dir = align_up((u64)v->gds * 4, VMDK_SECTOR), gt = vmdk_gt_bytes(v);
    size_t tables = 0;

    for (u32 i = 0; i < v->gds; i++)
        tables += !!v->gd[i] + (v->rgd && v->rgd[i]);
    t->overhead = min(le64_get(v->header + VS_OVERHEAD), (u64)UINT32_MAX) * VMDK_SECTOR;
    t->n = (file_size(v->file) + v->grain - 1) / v->grain;
    t->owner = malloc(max(t->n, 1ull) * sizeof(*t->owner));
    t->in = calloc(max(t->n, 1ull), sizeof(*t->in));
    t->piece = malloc((tables + 4) * sizeof(*t->piece));
    if (!t->owner || !t->in || !t->piece)
        return -ENOMEM;
    for (u64 i = 0; i < t->n; i++)
        t->owner[i] = i * v->grain < t->overhead ? METADATA : NOBODY;
    add_piece(t, v, 0, VMDK_SECTOR);
    if (s->embedded)
        add_piece(t, v, s->desc_offset, s->desc_len);
    add_piece(t, v, v->gd_offset, dir);
    if (v->rgd)
        add_piece(t, v, v->rgd_offset, dir);
    for (u32 i = 0; i < v->gds; i++) {
        if (v->gd[i])
            add_piece(t, v, (u64)v->gd[i] * VMDK_SECTOR, gt);
        if (v->rgd && v->rgd[i])
            add_piece(t, v, (u64)v->rgd[i] * VMDK_SECTOR, gt);
    }
    qsort(t->piece, t->pieces, sizeof(*t->piece), by_offset);
    for (size_t i = 1; i < t->pieces; i++)
        if (t->piece[i].at < t->piece[i - 1].at + t->piece[i - 1].len)
            return -EUCLEAN;
    return 0;
}

static bool over_metadata(const struct slots *t, u64 at, u64 len)
{
    size_t low = 0, high = t->pieces;

    /* The last piece that begins before the end. */
    while (low < high) {
        size_t mid = (low + high) / 2;

        if (t->piece[mid].at < at + len)
            low = mid + 1;
        else
            high = mid;
    }
    return at < t->overhead || (low && t->piece[low - 1].at + t->piece[low - 1].len > at);
}

/* Does somebody have a part of the grain at `at` already? */
static bool is_taken(const struct slots *t, const struct vmdk_extent *v, u64 at)
{
    u64 i = at / v->grain;
    u16 in = (u16)(at % v->grain / VMDK_SECTOR);
    bool next = in && i + 1 < t->n;

    if (t->owner[i] >= 0 || (i && t->owner[i - 1] >= 0 && t->in[i - 1] > in) ||
        (next && t->owner[i + 1] >= 0 && t->in[i + 1] < in))
        return true;
    return (t->owner[i] == METADATA || (next && t->owner[i + 1] == METADATA)) &&
           over_metadata(t, at, v->grain);
}

static int copy_grain(struct vmdk_extent *v, u64 from, u64 to)
{
    u8 *buf = malloc(v->grain);
    int r = buf ? file_read(v->file, from, buf, v->grain) : -ENOMEM;

    if (!r)
        r = file_write(v->file, to, buf, v->grain);
    free(buf);
    return r;
}

/* Is there an entry that names two different grains?  One that names none in one of the copies is
 * what a crash leaves. */
static bool contradict(const u8 *a, const u8 *b)
{
    for (u32 i = 0; i < VMDK_GT_PER_SECTOR; i++) {
        u32 x = le32_get(a + 4 * i), y = le32_get(b + 4 * i);

        if (x != y && x > 1 && y > 1)
            return true;
    }
    return false;
}

/* Two copies of a table: the first one counts. */
static int check_redundant(struct img *im, struct vmdk_extent *v, u32 g, struct disk_check *c)
{
    bool differ = false, wrong = false;

    if (!v->rgd || !v->rgd[g])
        return 0;
    for (u64 k = 0; k < vmdk_gt_bytes(v); k += VMDK_SECTOR) {
        u8 copy[VMDK_SECTOR], *p;
        int r = tcache_get(v->gt, (u64)v->gd[g] * VMDK_SECTOR + k, false, &p);

        if (!r) {
            memcpy(copy, p, sizeof(copy));
            r = tcache_get(v->gt, (u64)v->rgd[g] * VMDK_SECTOR + k, false, &p);
        }
        if (r)
            return r;
        if (!memcmp(copy, p, sizeof(copy)))
            continue;
        differ = true;
        wrong |= contradict(copy, p);
        if (c->repair_all || (c->repair_leaks && !contradict(copy, p))) {
            memcpy(p, copy, sizeof(copy));
            tcache_dirty(v->gt, p, 1);
            im->dirty = true;
        }
    }
    if (wrong)
        check_error(c, c->repair_all, "grain table %u: its copy is different", g);
    else if (differ)
        check_leak(c, c->repair_all || c->repair_leaks, "grain table %u: its copy is behind", g);
    return 0;
}

static int check_grain(struct img *im, struct vmdk_extent *v, struct slots *t, u64 n, u32 entry,
                       struct disk_check *c)
{
    u64 at = (u64)entry * VMDK_SECTOR, off = v->start + n * v->grain;
    int r;

    if (at >= file_size(v->file)) {
        check_error(c, c->repair_all, "grain %llu: sector %u is behind the end of the file",
                    (unsigned long long)n, entry);
        return c->repair_all ? vmdk_set_grain(im, v, off, 0) : 0;
    }
    c->allocated++;
    if (v->compressed) {
        c->compressed++;
        return 0;
    }
    c->end = max(c->end, at + v->grain);
    if (!is_taken(t, v, at)) {
        t->owner[at / v->grain] = (s64)n;
        t->in[at / v->grain] = (u16)(at % v->grain / VMDK_SECTOR);
        return 0;
    }
    check_error(c, c->repair_all, "grain %llu: sector %u has another user", (unsigned long long)n,
                entry);
    if (!c->repair_all)
        return 0;
    r = copy_grain(v, at, v->end);
    if (!r)
        r = vmdk_set_grain(im, v, off, (u32)(v->end / VMDK_SECTOR));
    v->end += v->grain;
    return r;
}

static int check_table(struct img *im, struct vmdk_extent *v, struct slots *t, u32 g,
                       struct disk_check *c)
{
    u64 first = (u64)g * v->gtes, grains = (v->size + v->grain - 1) / v->grain;
    int r;

    if (!v->gd[g])
        return 0;
    if ((u64)v->gd[g] * VMDK_SECTOR >= file_size(v->file) ||
        (v->rgd && (u64)v->rgd[g] * VMDK_SECTOR >= file_size(v->file))) {
        check_error(c, false, "grain table %u lies behind the end of the file", g);
        return 0;
    }
    r = check_redundant(im, v, g, c);
    for (u64 n = first; n < min(first + v->gtes, grains) && !r; n++) {
        u32 entry;

        r = vmdk_get_grain(im, v, v->start + n * v->grain, &entry);
        if (!r && entry && !(entry == 1 && v->zeroed))
            r = check_grain(im, v, t, n, entry, c);
    }
    return r;
}

/* Grains from the end of the file move to where nobody is; then it is cut. */
static int close_gaps(struct img *im, struct vmdk_extent *v, struct slots *t)
{
    u64 hole = 0, last = t->n;
    int r = 0;

    for (; last > 0 && !r; last--) {
        s64 n = t->owner[last - 1];
        u32 entry;

        if (n == METADATA)
            break;
        if (n == NOBODY)
            continue;
        while (hole < last - 1 &&
               (t->owner[hole] != NOBODY || (hole && t->owner[hole - 1] >= 0 && t->in[hole - 1])))
            hole++;
        r = vmdk_get_grain(im, v, v->start + (u64)n * v->grain, &entry);
        if (r || hole == last - 1 || (u64)entry * VMDK_SECTOR % v->grain)
            break;
        r = copy_grain(v, (last - 1) * v->grain, hole * v->grain);
        if (!r)
            r = vmdk_set_grain(im, v, v->start + (u64)n * v->grain,
                               (u32)(hole * v->grain / VMDK_SECTOR));
        t->owner[hole] = n;
        t->owner[last - 1] = NOBODY;
    }
    if (!r)
        r = settle(im);
    while (last > 0 && t->owner[last - 1] == NOBODY)
        last--;
    if (!r && !v->file->is_device && last * v->grain < file_size(v->file)) {
        r = file_truncate(v->file, last * v->grain);
        v->end = last * v->grain;
    }
    return r;
}

static int check_extent(struct img *im, struct vmdk_extent *v, struct disk_check *c)
{
    bool fix = (c->repair_leaks || c->repair_all) && !v->compressed;
    struct slots t = {0};
    u64 leaks = 0, copies = c->errors_fixed, bad = c->errors;
    int r = look_at_metadata(im->s, v, &t);

    if (r == -EUCLEAN)
        check_error(c, false, "descriptor, directories and tables of grains overlap: not repaired");
    for (u32 g = 0; g < v->gds && !r; g++)
        r = check_table(im, v, &t, g, c);
    c->total += (v->size + v->grain - 1) / v->grain;
    for (u64 i = 0; i < t.n && !r && !v->compressed; i++)
        leaks += t.owner[i] == NOBODY;
    /* After repairs `slots` is not what is on the disk: then leaks wait for another pass. */
    fix = fix && copies == c->errors_fixed && bad == c->errors;
    if (!r && leaks && fix)
        r = close_gaps(im, v, &t);
    for (u64 i = 0; i < leaks && !r && copies == c->errors_fixed; i++)
        check_leak(c, fix, "a grain that nothing refers to");
    free(t.owner);
    free(t.in);
    free(t.piece);
    return r == -EUCLEAN ? 0 : r;
}

int vmdk_check(struct img *im, struct disk_check *c, struct err *e)
{
    struct vmdk *s = im->s;
    int r = 0;

    for (unsigned i = 0; i < s->exts && !r; i++)
        if (s->ext[i].kind == VMDK_SPARSE)
            r = check_extent(im, &s->ext[i], c);
    if (!r && im->dirty)
        r = settle(im);
    if (!r && c->errors_fixed) {
        struct disk_check again = {.repair_leaks = true, .say = c->say, .opaque = c->opaque};

        for (unsigned i = 0; i < s->exts && !r; i++)
            if (s->ext[i].kind == VMDK_SPARSE)
                r = check_extent(im, &s->ext[i], &again);
        c->errors += again.errors; /* a repair that did not hold */
        c->leaks = again.leaks;
        c->leaks_fixed += again.leaks_fixed;
    }
    return r ? err_set(e, -r, "%s", strerror(-r)) : 0;
}
