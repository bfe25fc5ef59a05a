/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taking the kernel proper out of a bzImage.  Its own decompressor starts in real or protected
 * mode of a PC; whoever enters a kernel by an ELF note has to do that work himself.
 *
 * The libraries take hostile input; what comes out is bounded by UNPACKED_MAX.
 */
#include "board/bzimage.h"

#include "base/endian.h"

#include <bzlib.h>
#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum { SETUP_SECTS = 0x1f1, MAGIC = 0x202, VERSION = 0x206, PAYLOAD = 0x248, HEADER = 0x250 };
enum { PACKED_MAX = 256 << 20, UNPACKED_MAX = 512 << 20, CHUNK = 256 << 10, LZ4_BLOCK = 8 << 20 };

struct unpack {
    const char *path;
    const u8 *in;
    u64 len;
    int fd;
    u64 size; /* of what has come out */
    u8 *buf;  /* CHUNK bytes */
};

static int emit(struct unpack *u, const u8 *p, u64 n, struct err *e)
{
    if (n > UNPACKED_MAX - u->size)
        return err_set(e, EFBIG, "%s: the kernel in it is larger than %d MiB", u->path,
                       UNPACKED_MAX >> 20);
    while (n) {
        ssize_t done = write(u->fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return err_set(e, errno, "%s: unpacking: %s", u->path, strerror(errno));
        p += done;
        n -= (u64)done;
        u->size += (u64)done;
    }
    return 0;
}

static int damaged(const struct unpack *u, const char *format, struct err *e)
{
    return err_set(e, EINVAL, "%s: its %s payload is damaged", u->path, format);
}

static int unpack_gzip(struct unpack *u, struct err *e)
{
    z_stream z = {.next_in = (u8 *)u->in, .avail_in = (uInt)u->len};
    int r = 0, rc = Z_OK;

    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return err_set(e, ENOMEM, "%s: out of memory", u->path);
    while (!r && rc == Z_OK) {
        z.next_out = u->buf;
        z.avail_out = CHUNK;
        rc = inflate(&z, Z_NO_FLUSH);
        if (rc == Z_OK || rc == Z_STREAM_END)
            r = emit(u, u->buf, CHUNK - z.avail_out, e);
    }
    inflateEnd(&z);
    return r || rc == Z_STREAM_END ? r : damaged(u, "gzip", e);
}

static int unpack_bzip2(struct unpack *u, struct err *e)
{
    bz_stream z = {.next_in = (char *)u->in, .avail_in = (unsigned)u->len};
    int r = 0, rc = BZ_OK;

    if (BZ2_bzDecompressInit(&z, 0, 0) != BZ_OK)
        return err_set(e, ENOMEM, "%s: out of memory", u->path);
    while (!r && rc == BZ_OK) {
        z.next_out = (char *)u->buf;
        z.avail_out = CHUNK;
        rc = BZ2_bzDecompress(&z);
        if (rc == BZ_OK && z.avail_out == CHUNK && !z.avail_in)
            rc = BZ_UNEXPECTED_EOF;
        if (rc == BZ_OK || rc == BZ_STREAM_END)
            r = emit(u, u->buf, CHUNK - z.avail_out, e);
    }
    BZ2_bzDecompressEnd(&z);
    return r || rc == BZ_STREAM_END ? r : damaged(u, "bzip2", e);
}

static int unpack_lzma(struct unpack *u, bool xz, struct err *e)
{
    lzma_stream z = LZMA_STREAM_INIT;
    lzma_ret rc =
        xz ? lzma_stream_decoder(&z, UNPACKED_MAX, 0) : lzma_alone_decoder(&z, UNPACKED_MAX);
    int r = 0;

    z.next_in = u->in;
    z.avail_in = u->len;
    while (!r && rc == LZMA_OK) {
        z.next_out = u->buf;
        z.avail_out = CHUNK;
        rc = lzma_code(&z, LZMA_RUN);
        if (rc == LZMA_OK || rc == LZMA_STREAM_END)
            r = emit(u, u->buf, CHUNK - z.avail_out, e);
    }
    lzma_end(&z);
    return r || rc == LZMA_STREAM_END ? r : damaged(u, xz ? "xz" : "lzma", e);
}

static int unpack_zstd(struct unpack *u, struct err *e)
{
    ZSTD_DStream *z = ZSTD_createDStream();
    ZSTD_inBuffer in = {u->in, u->len, 0};
    size_t left = 1;
    int r = 0;

    if (!z)
        return err_set(e, ENOMEM, "%s: out of memory", u->path);
    while (!r && left && !ZSTD_isError(left)) {
        ZSTD_outBuffer out = {u->buf, CHUNK, 0};
        left = ZSTD_decompressStream(z, &out, &in);
        if (!ZSTD_isError(left))
            r = emit(u, u->buf, out.pos, e);
        if (left && !out.pos && in.pos == in.size)
            break;
    }
    ZSTD_freeDStream(z);
    return r || !left ? r : damaged(u, "zstd", e);
}

/* The legacy frame: a magic, then blocks of at most 8 MiB, each behind its packed length. */
static int unpack_lz4(struct unpack *u, struct err *e)
{
    u8 *block = malloc(LZ4_BLOCK);
    u64 pos = 4;
    int r = 0;

    if (!block)
        return err_set(e, ENOMEM, "%s: out of memory", u->path);
    while (!r && u->len - pos > 4) {
        u32 n = le32_get(u->in + pos);
        pos += 4;
        if (!n || n > u->len - pos || n > LZ4_COMPRESSBOUND(LZ4_BLOCK)) {
            /* what follows the last block is the unpacked size, which the kernel's build adds */
            r = pos == u->len ? 0 : damaged(u, "lz4", e);
            break;
        }
        int got = LZ4_decompress_safe((const char *)u->in + pos, (char *)block, (int)n, LZ4_BLOCK);
        r = got < 0 ? damaged(u, "lz4", e) : emit(u, block, (u64)got, e);
        pos += n;
    }
    free(block);
    return r || u->size ? r : damaged(u, "lz4", e);
}

static int unpack(struct unpack *u, struct err *e)
{
    const u8 *p = u->in;

    if (u->len < 16)
        return err_set(e, EINVAL, "%s: bzImage without a kernel in it", u->path);
    if (p[0] == 0x1f && p[1] == 0x8b)
        return unpack_gzip(u, e);
    if (!memcmp(p, "BZh", 3))
        return unpack_bzip2(u, e);
    if (!memcmp(p,
                "\xfd"
                "7zXZ",
                5))
        return unpack_lzma(u, true, e);
    if (!memcmp(p, "\x5d\0\0", 3))
        return unpack_lzma(u, false, e);
    if (le32_get(p) == 0x184c2102)
        return unpack_lz4(u, e);
    if (le32_get(p) == 0xfd2fb528)
        return unpack_zstd(u, e);
    if (!memcmp(p, "\177ELF", 4))
        return emit(u, p, u->len, e);
    return err_set(e, EINVAL,
                   "%s: the kernel in it is packed by none of gzip, bzip2, lzma, xz, lz4, zstd",
                   u->path);
}

int bzimage_unpack(const struct image *k, struct image *out, struct err *e)
{
    struct unpack u = {.path = k->path, .fd = -1};
    u8 h[HEADER];
    u8 *in = NULL;
    int r = image_read(k, 0, h, sizeof(h), e);

    if (r)
        return r;
    if (memcmp(h + MAGIC, "HdrS", 4) || le16_get(h + VERSION) < 0x208)
        return err_set(e, EINVAL, "%s: no bzImage of boot protocol 2.08 or later", k->path);
    u64 at = (h[SETUP_SECTS] ? h[SETUP_SECTS] + 1u : 5u) * 512ull + le32_get(h + PAYLOAD);
    u64 len = le32_get(h + PAYLOAD + 4);
    if (len > PACKED_MAX || !range_within(at, len, 0, k->size))
        return err_set(e, EINVAL, "%s: truncated: its payload lies behind the file's end", k->path);
    in = malloc(max(len, 1ull));
    u.buf = malloc(CHUNK);
    u.fd = memfd_create("wirt-kernel", MFD_CLOEXEC);
    if (!in || !u.buf || u.fd < 0) {
        r = err_set(e, ENOMEM, "%s: out of memory", k->path);
    } else {
        u.in = in;
        u.len = len;
        r = image_read(k, at, in, len, e);
        if (!r)
            r = unpack(&u, e);
    }
    free(in);
    free(u.buf);
    if (r && u.fd >= 0)
        close(u.fd);
    if (!r)
        *out = (struct image){k->path, u.fd, u.size};
    return r;
}
