/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2: compressed clusters, by zlib (raw deflate) or zstd.  They lie one after the other, without
 * regard to clusters or sectors; each holds a reference on every cluster that it touches.
 */
#include "disk/qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

static int inflate_zlib(const u8 *in, u64 len, u8 *out, u64 out_len)
{
    z_stream z = {
        .next_in = (u8 *)in, .avail_in = (uInt)len, .next_out = out, .avail_out = (uInt)out_len};
    int r;

    if (inflateInit2(&z, -15) != Z_OK)
        return -ENOMEM;
    r = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    /* What follows the stream is another cluster's. */
    return r == Z_STREAM_END || (r == Z_BUF_ERROR && !z.avail_out) ? (z.avail_out ? -EIO : 0)
                                                                   : -EIO;
}

static int inflate_zstd(const u8 *in, u64 len, u8 *out, u64 out_len)
{
    ZSTD_DCtx *c = ZSTD_createDCtx();
    ZSTD_inBuffer i = {in, len, 0};
    ZSTD_outBuffer o = {out, out_len, 0};
    int r = 0;

    if (!c)
        return -ENOMEM;
    while (o.pos < o.size && !r) {
        size_t before_i = i.pos, before_o = o.pos, k = ZSTD_decompressStream(c, &o, &i);

        if (ZSTD_isError(k) || (i.pos == before_i && o.pos == before_o))
            r = -EIO;
    }
    ZSTD_freeDCtx(c);
    return r;
}

int qcow2_inflate(struct img *im, u64 off, const struct extent *x, u8 *out)
{
    struct qcow2 *q = im->s;
    u8 *in;
    int r;

    if (x->offset > (u64)INT64_MAX - x->stored || x->stored > 2 * q->cluster + 512)
        return -EIO;
    in = malloc(x->stored);
    if (!in)
        return -ENOMEM;
    r = file_read(im->file, x->offset, in, x->stored);
    if (!r)
        r = (q->zstd ? inflate_zstd : inflate_zlib)(in, x->stored, out, q->cluster);
    free(in);
    return r;
}

size_t qcow2_deflate(struct img *im, const u8 *in, u8 *out, size_t room)
{
    struct qcow2 *q = im->s;
    z_stream z = {.next_in = (u8 *)in,
                  .avail_in = (uInt)q->cluster,
                  .next_out = out,
                  .avail_out = (uInt)room};
    int r;

    if (q->zstd) {
        size_t k = ZSTD_compress(out, room, in, q->cluster, ZSTD_CLEVEL_DEFAULT);

        return ZSTD_isError(k) ? 0 : k;
    }
    /* A window of 4 KiB: older readers have no more. */
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        return 0;
    r = deflate(&z, Z_FINISH);
    deflateEnd(&z);
    return r == Z_STREAM_END ? room - z.avail_out : 0;
}

/* Bytes in a row for packed clusters: behind the last one if there is room in its cluster. */
static int find_room(struct img *im, u64 len, u64 *at)
{
    struct qcow2 *q = im->s;
    u64 n = 1, off, refs = 0,
        most = q->refcount_order == 6 ? UINT64_MAX : BIT64(1u << q->refcount_order) - 1;
    int r = 0;

    /* As many share a cluster as its refcount can say. */
    if (q->packed)
        r = qcow2_refcount_get(im, (q->packed_end - 1) >> q->cluster_bits, &refs);
    if (!r && refs == most)
        q->packed = q->packed_end = 0;
    if (!r && q->packed && q->packed_end - q->packed >= len) {
        *at = q->packed;
        return 0;
    }
    if (!r)
        r = qcow2_alloc(im, &n, true, &off);
    if (r)
        return r;
    *at = q->packed && off == q->packed_end ? q->packed : off;
    q->packed_end = off + q->cluster;
    return 0;
}

int qcow2_write_deflated(struct img *im, u64 off, const u8 *data, size_t len)
{
    struct qcow2 *q = im->s;
    u64 old_end = q->packed_end, fresh, at;
    unsigned x = 62 - (q->cluster_bits - 8);
    int r = find_room(im, len, &at);

    if (r)
        return r;
    /* A reference for each cluster touched; a new one has its first already. */
    fresh = q->packed_end != old_end ? q->packed_end - q->cluster : UINT64_MAX;
    for (u64 c = align_down(at, q->cluster); c < at + len && !r; c += q->cluster)
        if (c != fresh)
            r = qcow2_refcount_add(im, c, 1, 1);
    if (!r)
        r = file_write(im->file, at, data, len);
    if (!r) {
        u64 sectors = (at + len - 1) / 512 - at / 512;

        r = qcow2_set_compressed(im, off, L2_COMPRESSED | sectors << x | at);
        q->packed = at + len;
    }
    /* On an error what was counted is leaked. */
    return r;
}
