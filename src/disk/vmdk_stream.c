/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMDK: stream-optimized extents: packed grains (zlib), each behind a marker with its place and
 * length, made to be written and read from the start to the end.  While one is being made its
 * tables are in memory; they and the footer, which says where they are, are written behind the
 * last grain.  Before that the image has no footer and does not open.
 */
#include "disk/vmdk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

int vmdk_inflate(struct img *im, u64 off, const struct extent *x, u8 *out)
{
    struct vmdk *s = im->s;
    u64 lba = align_down(off, s->grain) / VMDK_SECTOR;
    u8 marker[VM_DATA], *in;
    uLongf got = s->grain;
    u32 len;
    int r = file_read(x->file, x->offset, marker, sizeof(marker));

    if (r)
        return r;
    len = le32_get(marker + VM_SIZE);
    if (!len || len > 2 * s->grain + 1024)
        return -EIO;
    if (s->exts == 1 && le64_get(marker + VM_LBA) != lba)
        return -EIO;
    in = malloc(len);
    if (!in)
        return -ENOMEM;
    r = file_read(x->file, x->offset + VM_DATA, in, len);
    if (!r && uncompress(out, &got, in, len) != Z_OK)
        r = -EIO;
    if (!r && got < s->grain) { /* some writers cut the last grain at the disk's end */
        if (align_down(off, s->grain) + got < im->b.size)
            r = -EIO;
        memset(out + got, 0, s->grain - got);
    }
    free(in);
    return r;
}

size_t vmdk_deflate(struct img *im, const u8 *in, u8 *out, size_t room)
{
    struct vmdk *s = im->s;
    uLongf n = room;

    if (!s->making || compress2(out, &n, in, s->grain, Z_DEFAULT_COMPRESSION) != Z_OK)
        return 0;
    return n;
}

int vmdk_write_deflated(struct img *im, u64 off, const u8 *data, size_t len)
{
    struct vmdk *s = im->s;
    struct vmdk_extent *v = &s->ext[0];
    u64 total = align_up(VM_DATA + len, VMDK_SECTOR), g = off / (v->grain * v->gtes);
    u8 *buf;
    int r;

    if (!s->making || (v->end + total) / VMDK_SECTOR > UINT32_MAX)
        return s->making ? -ENOSPC : -EOPNOTSUPP;
    if (!s->tables[g])
        s->tables[g] = calloc(v->gtes, 4);
    buf = calloc(total, 1);
    if (!buf || !s->tables[g]) {
        free(buf);
        return -ENOMEM;
    }
    le64_put(buf + VM_LBA, off / VMDK_SECTOR);
    le32_put(buf + VM_SIZE, (u32)len);
    memcpy(buf + VM_DATA, data, len);
    r = file_write(v->file, v->end, buf, total);
    free(buf);
    if (r)
        return r;
    s->tables[g][off / v->grain % v->gtes] = (u32)(v->end / VMDK_SECTOR);
    v->end += total;
    im->dirty = true;
    return 0;
}

static int put_marker(struct file *f, u64 *at, u64 sectors, u32 type)
{
    u8 m[VMDK_SECTOR] = {0};
    int r;

    le64_put(m + VM_LBA, sectors);
    le32_put(m + VM_TYPE, type);
    r = file_write(f, *at, m, sizeof(m));
    *at += sizeof(m);
    return r;
}

static int put_tables(struct vmdk *s, struct vmdk_extent *v, u32 *gd, u64 *at)
{
    u64 bytes = vmdk_gt_bytes(v);
    u8 *buf = malloc(bytes);
    int r = buf ? 0 : -ENOMEM;

    for (u32 g = 0; g < v->gds && !r; g++) {
        if (!s->tables[g])
            continue;
        for (u32 i = 0; i < v->gtes; i++)
            le32_put(buf + 4 * i, s->tables[g][i]);
        r = put_marker(v->file, at, bytes / VMDK_SECTOR, MARKER_GT);
        if (!r)
            r = file_write(v->file, *at, buf, bytes);
        gd[g] = (u32)(*at / VMDK_SECTOR);
        *at += bytes;
    }
    free(buf);
    return r;
}

static int put_footer(struct vmdk_extent *v, u64 gd_sector, u64 *at)
{
    u8 h[VMDK_SECTOR];
    int r;

    memcpy(h, v->header, sizeof(h));
    le64_put(h + VS_GD, gd_sector);
    r = put_marker(v->file, at, 1, MARKER_FOOTER);
    if (!r)
        r = file_write(v->file, *at, h, sizeof(h));
    *at += sizeof(h);
    return r ? r : put_marker(v->file, at, 0, MARKER_EOS);
}

/* Another grain may follow, over what this wrote; the next call writes it again behind that. */
int vmdk_finish_stream(struct img *im)
{
    struct vmdk *s = im->s;
    struct vmdk_extent *v = &s->ext[0];
    u64 bytes = align_up((u64)v->gds * 4, VMDK_SECTOR), at = v->end, gd_at;
    u32 *gd = calloc(bytes, 1);
    int r = gd ? put_tables(s, v, gd, &at) : -ENOMEM;

    if (!r)
        r = put_marker(v->file, &at, bytes / VMDK_SECTOR, MARKER_GD);
    gd_at = at;
    for (u32 i = 0; i < v->gds && !r; i++)
        le32_put(&gd[i], gd[i]);
    if (!r)
        r = file_write(v->file, at, gd, bytes);
    at += bytes;
    if (!r)
        r = put_footer(v, gd_at / VMDK_SECTOR, &at);
    free(gd);
    return r;
}

void vmdk_close_stream(struct vmdk *s)
{
    for (u32 g = 0; s->tables && g < s->ext[0].gds; g++)
        free(s->tables[g]);
    free(s->tables);
}
