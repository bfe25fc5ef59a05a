/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel inside a bzImage: every packing, and files that are cut or damaged.
 */
#include "base/endian.h"
#include "board/bzimage.h"

#include <bzlib.h>
#include <lz4.h>
#include <lzma.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

enum { KERNEL = 300000, ROOM = 2 * KERNEL, SETUP = 3, AT = (SETUP + 1) * 512 };

static u8 kernel[KERNEL], packed[ROOM];

typedef size_t pack_fn(void);

static size_t pack_none(void)
{
    memcpy(packed, kernel, KERNEL);
    return KERNEL;
}

static size_t pack_gzip(void)
{
    z_stream z = {.next_in = kernel, .avail_in = KERNEL, .next_out = packed, .avail_out = ROOM};

    deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return ROOM - z.avail_out;
}

static size_t pack_bzip2(void)
{
    unsigned n = ROOM;

    assert_int_equal(BZ2_bzBuffToBuffCompress((char *)packed, &n, (char *)kernel, KERNEL, 9, 0, 0),
                     BZ_OK);
    return n;
}

static size_t pack_xz(void)
{
    size_t n = 0;

    assert_int_equal(
        lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, kernel, KERNEL, packed, &n, ROOM),
        LZMA_OK);
    le32_put(packed + n, KERNEL); /* as the kernel's build adds */
    return n + 4;
}

static size_t pack_lzma(void)
{
    lzma_stream z = LZMA_STREAM_INIT;
    lzma_options_lzma o;

    lzma_lzma_preset(&o, 1);
    assert_int_equal(lzma_alone_encoder(&z, &o), LZMA_OK);
    z.next_in = kernel;
    z.avail_in = KERNEL;
    z.next_out = packed;
    z.avail_out = ROOM;
    assert_int_equal(lzma_code(&z, LZMA_FINISH), LZMA_STREAM_END);
    lzma_end(&z);
    return ROOM - z.avail_out;
}

static size_t pack_lz4(void)
{
    int n = LZ4_compress_default((char *)kernel, (char *)packed + 8, KERNEL, ROOM - 8);

    le32_put(packed, 0x184c2102);
    le32_put(packed + 4, (u32)n);
    le32_put(packed + 8 + n, KERNEL);
    return (size_t)n + 12;
}

static size_t pack_zstd(void)
{
    return ZSTD_compress(packed, ROOM, kernel, KERNEL, 3);
}

static struct image make(size_t n)
{
    static u8 head[AT];
    int fd = memfd_create("bzImage", 0);

    memset(head, 0, sizeof(head));
    head[0x1f1] = SETUP;
    memcpy(head + 0x202, "HdrS", 4);
    le16_put(head + 0x206, 0x20f);
    le32_put(head + 0x248, 0);
    le32_put(head + 0x24c, (u32)n);
    assert_int_equal(write(fd, head, AT), AT);
    assert_int_equal(write(fd, packed, n), n);
    return (struct image){"bzImage", fd, AT + n};
}

static void test_formats(void **state)
{
    static pack_fn *const packs[] = {pack_none, pack_gzip, pack_bzip2, pack_xz,
                                     pack_lzma, pack_lz4,  pack_zstd};
    u8 *got = malloc(KERNEL);
    u32 rnd = 1;

    memcpy(kernel, "\177ELF", 4);
    for (unsigned i = 4; i < KERNEL; i++) {
        rnd = rnd * 1103515245 + 12345;
        kernel[i] = i % 3 ? rnd >> 24 : 0;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(packs); i++) {
        struct err e = {0};
        struct image out, k = make(packs[i]());
        assert_int_equal(bzimage_unpack(&k, &out, &e), 0);
        assert_int_equal(out.size, KERNEL);
        assert_int_equal(image_read(&out, 0, got, KERNEL, &e), 0);
        assert_memory_equal(got, kernel, KERNEL);
        image_close(&out);
        image_close(&k);
        if (!i)
            continue;
        size_t n = packs[i]() / 2; /* cut in the middle */
        k = make(n);
        assert_true(bzimage_unpack(&k, &out, &e) < 0);
        assert_non_null(strstr(e.msg, "damaged"));
        image_close(&k);
        packs[i]();
        memset(packed + 100, 0xa5, 500);
        k = make(2 * n);
        e.code = 0;
        if (!bzimage_unpack(&k, &out, &e))
            image_close(&out); /* LZ4 and old LZMA have no checksum */
        image_close(&k);
    }
    free(got);
}

static void test_bad_headers(void **state)
{
    struct err e = {0};
    struct image out, k = make(64);
    u8 b[4];

    memset(packed, 0x77, 64);
    k = make(64);
    assert_true(bzimage_unpack(&k, &out, &e) < 0);
    assert_non_null(strstr(e.msg, "none of gzip"));
    le32_put(b, 65); /* a payload longer than the file */
    assert_int_equal(pwrite(k.fd, b, 4, 0x24c), 4);
    assert_true(bzimage_unpack(&k, &out, &e) < 0);
    assert_non_null(strstr(e.msg, "behind the file's end"));
    le16_put(b, 0x207);
    assert_int_equal(pwrite(k.fd, b, 2, 0x206), 2);
    assert_true(bzimage_unpack(&k, &out, &e) < 0);
    assert_non_null(strstr(e.msg, "2.08"));
    k.size = 100;
    assert_int_equal(ftruncate(k.fd, 100), 0);
    assert_true(bzimage_unpack(&k, &out, &e) < 0);
    image_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_formats),
                                       cmocka_unit_test(test_bad_headers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
