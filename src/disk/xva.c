/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk in a XenServer export (XVA): a folder of the tar with a member for each MiB that holds
 * something, 00000000, 00000001 and so on, each followed by its digest (.checksum or .xxhash).
 * What is not there is zeros.  The first and the last MiB always are.
 *
 * The numbers are not quite places: a member of no bytes only kept a connection alive and takes a
 * number without taking room, and so places are found by counting (xen-api's stream_vdi.ml, and
 * dissect.hypervisor's notes on it).
 *
 * The image is found by its name alone (disk/tar.h), never by looking.
 */
#include "disk/formats.h"
#include "disk/tar.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { XVA_BLOCK = 1 << 20 };

struct piece {
    u64 at, offset, len; /* of the disk, in the file; bytes */
};

struct xva {
    struct piece *piece; /* sorted; none overlap */
    u64 n, room;
    char folder[TAR_NAME_MAX];
    u64 next, end; /* the number, and the place, behind the last one */
};

static int add(struct xva *s, u64 offset, u64 len, struct err *e)
{
    if (s->n == s->room) {
        u64 room = s->room ? s->room * 2 : 256;
        struct piece *more = realloc(s->piece, room * sizeof(*more));
        if (!more)
            return err_set(e, ENOMEM, "out of memory");
        s->piece = more;
        s->room = room;
    }
    s->piece[s->n++] = (struct piece){s->end, offset, len};
    return 0;
}

static int take(void *opaque, const struct tar_member *m, struct err *e)
{
    struct xva *s = opaque;
    size_t n = strlen(s->folder);
    char *end;

    if (strncmp(m->name, s->folder, n) || !isdigit((unsigned char)m->name[n]))
        return 0;
    u64 number = strtoull(m->name + n, &end, 10);
    if (*end) /* the digest of one */
        return 0;
    if (number < s->next || number > (u64)INT64_MAX / XVA_BLOCK / 2 || m->size > XVA_BLOCK)
        return err_set(e, EINVAL, "%s: its number or its size is impossible", m->name);
    s->end += (number - s->next) * XVA_BLOCK;
    s->next = number + 1;
    if (!m->size)
        return 0;
    int r = add(s, m->offset, m->size, e);
    s->end += m->size;
    return r;
}

static bool xva_probe(const struct probe *p)
{
    char archive[PATH_MAX], member[TAR_NAME_MAX];
    u64 size;

    return tar_is_url(p->path) && !tar_url_parse(p->path, archive, member, &size, NULL) && size;
}

static int xva_open(struct img *im, struct err *e)
{
    struct xva *s = im->s = calloc(1, sizeof(*s));
    char archive[PATH_MAX];
    u64 size;
    int r;

    if (!s)
        return err_set(e, ENOMEM, "out of memory");
    if (!tar_is_url(im->path))
        return err_set(e, EINVAL, "is not the name of a disk in an XVA");
    r = tar_url_parse(im->path, archive, s->folder, &size, e);
    if (!r)
        r = tar_walk(im->file, take, s, e);
    if (r)
        return r;
    if (!s->n)
        return err_set(e, ENOENT, "the archive has no %s", s->folder);
    if (s->end > size)
        return err_set(e, EINVAL, "holds %llu bytes, more than the %llu of the disk",
                       (unsigned long long)s->end, (unsigned long long)size);
    im->b.size = align_up(size, DISK_SECTOR);
    im->b.readonly = true;
    im->unit = XVA_BLOCK;
    im->granule = DISK_SECTOR;
    return 0;
}

static void xva_close(struct img *im)
{
    struct xva *s = im->s;

    if (s)
        free(s->piece);
    free(s);
}

/* The first piece that ends behind off; s->n: none. */
static u64 find(const struct xva *s, u64 off)
{
    u64 lo = 0, hi = s->n;

    while (lo < hi) {
        u64 mid = lo + (hi - lo) / 2;
        if (s->piece[mid].at + s->piece[mid].len <= off)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static int xva_map(struct img *im, u64 off, u64 len, bool nowait, struct extent *x)
{
    const struct xva *s = im->s;
    u64 i = find(s, off);
    const struct piece *p = i < s->n ? &s->piece[i] : NULL;

    if (p && p->at <= off) {
        *x = (struct extent){.kind = EXTENT_DATA,
                             .file = im->file,
                             .offset = p->offset + (off - p->at),
                             .len = min(len, p->len - (off - p->at))};
        return 0;
    }
    *x = (struct extent){.kind = EXTENT_ZERO, .len = p ? min(len, p->at - off) : len};
    return 0;
}

const struct format format_xva = {
    .name = "xva",
    .title = "XVA",
    .probe = xva_probe,
    .open = xva_open,
    .close = xva_close,
    .map = xva_map,
};
