/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow version 1 and QED: backing files, compressed clusters, refusals.
 */
#include "imagelab.h"

#include <zlib.h>

static void put32(const char *path, u64 off, u32 v, bool big_endian)
{
    u8 wire[4];

    if (big_endian)
        be32_put(wire, v);
    else
        le32_put(wire, v);
    lab_poke(path, off, wire, sizeof(wire));
}

static void test_backing(void **state)
{
    static const char *const formats[] = {"qcow", "qed"};

    for (unsigned i = 0; i < 2; i++) {
        struct img *im;

        lab_create("raw", "base", 3 * MIB, NULL, NULL);
        im = lab_img("base", (struct disk_options){0});
        lab_write(im, 0, 3 * MIB, 0x11);
        img_close(im);
        lab_create(formats[i], "top", 5 * MIB, NULL, "base");
        im = lab_img("top", (struct disk_options){0});
        assert_non_null(im->parent);
        lab_write(im, 512, 512, 0x22);
        assert_int_equal(img_execute(im, &(struct blk_req){.op = BLK_WRITE_ZEROES,
                                                           .offset = MIB,
                                                           .len = 256 * KIB,
                                                           .unmap = true}),
                         0);
        img_close(im);
        im = lab_img("top", (struct disk_options){0});
        lab_expect(im, 0, 512, 0x11);
        lab_expect(im, 512, 512, 0x22);
        lab_expect(im, 1024, MIB - 1024, 0x11);
        lab_expect(im, MIB, 256 * KIB, 0);
        lab_expect(im, MIB + 256 * KIB, 2 * MIB - 256 * KIB, 0x11);
        lab_expect(im, 3 * MIB, 2 * MIB, 0);
        img_close(im);
    }
}

static void test_qcow_refusals(void **state)
{
    static const struct {
        u64 at;
        u32 value;
        const char *words;
    } rows[] = {{32, 8u << 24, "cluster_bits 8"},
                {32, 17u << 24 | 9u << 16, "cluster_bits 17"},
                {32, 12u << 24 | 14u << 16, "l2_bits 14"},
                {36, 1, "is encrypted"},
                {24, 0x7fffffff, "size"},
                {40, 0x10000000, "l1_table_offset"},
                {8, 0x10000, "backing_file_offset"}};

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        lab_create("qcow", "bad", MIB, NULL, NULL);
        put32("bad", rows[i].at, rows[i].value, true);
        lab_refused("bad", (struct disk_options){0}, rows[i].words);
    }
}

static void test_qed_refusals(void **state)
{
    static const struct {
        u64 at;
        u32 value;
        const char *words;
    } rows[] = {{4, 2048, "cluster_size 2048"}, {4, 65537, "cluster_size 65537"},
                {8, 32, "table_size 32"},       {16, 8, "feature 0x8"},
                {16, 2, "needs a check"},       {16, 1, "backing_filename"},
                {40, 3, "l1_table_offset 3"},   {48, 511, "image_size 511"},
                {52, 0x40000000, "size"}};

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        lab_create("qed", "bad", MIB, NULL, NULL);
        put32("bad", rows[i].at, rows[i].value, false);
        lab_refused("bad", (struct disk_options){0}, rows[i].words);
    }
    lab_create("qed", "dirty", MIB, NULL, NULL);
    put32("dirty", 16, 2, false);
    img_close(lab_img("dirty", (struct disk_options){.readonly = true}));
}

/* Entries that point nowhere are errors where they are read, and nowhere else. */
static void test_bad_entries(void **state)
{
    u8 buf[512] = {1};
    struct img *im;

    lab_create("qed", "e", 4 * MIB, NULL, NULL);
    im = lab_img("e", (struct disk_options){0});
    lab_write(im, 0, 512, 0x33);
    lab_write(im, MIB, 512, 0x44);
    img_close(im);
    u8 table[8], wire[8];

    lab_peek("e", 64 * KIB, table, sizeof(table));
    le64_put(wire, 1ull << 50);
    lab_poke("e", le64_get(table) + 16 * 8, wire, sizeof(wire)); /* of MIB */
    im = lab_img("e", (struct disk_options){0});
    lab_expect(im, 0, 512, 0x33);
    assert_int_equal(img_read(im, MIB, buf, 512), -EIO);
    assert_int_equal(img_write(im, MIB, buf, 512), -EIO);
    lab_expect(im, 2 * MIB, MIB, 0);
    img_close(im);
    le64_put(wire, (1ull << 40) + 7);
    lab_poke("e", 64 * KIB, wire, sizeof(wire));
    im = lab_img("e", (struct disk_options){0});
    assert_int_equal(img_read(im, 0, buf, 512), -EIO);
    img_close(im);
}

/* A packed cluster, as qemu-img convert -c of its time made them. */
static void test_compressed(void **state)
{
    u8 plain[4096], packed[4096], entry[8], table[8];
    z_stream z = {
        .next_in = plain, .avail_in = sizeof(plain), .next_out = packed, .avail_out = 4096};
    struct img *im;
    u64 at;

    for (unsigned i = 0; i < sizeof(plain); i++)
        plain[i] = (u8)(i / 100);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    lab_create("qcow", "packed", 4 * MIB, NULL, NULL);
    im = lab_img("packed", (struct disk_options){0});
    lab_write(im, 0, 512, 0x55);
    img_close(im);
    at = lab_length("packed") + 7;
    lab_poke("packed", at, packed, z.total_out);
    lab_peek("packed", 512, table, sizeof(table));
    be64_put(entry, 1ull << 63 | (u64)z.total_out << (63 - 12) | at);
    lab_poke("packed", be64_get(table) + 3 * 8, entry, sizeof(entry));
    deflateEnd(&z);
    for (int pass = 0; pass < 2; pass++) {
        u8 got[4096];

        im = lab_img("packed", (struct disk_options){0});
        assert_int_equal(img_read(im, 3 * 4096, got, sizeof(got)), 0);
        assert_memory_equal(got, plain, sizeof(got));
        memset(plain + 1024, 0x66, 512);
        lab_write(im, 3 * 4096 + 1024, 512, 0x66); /* unpacks it */
        img_close(im);
    }
    im = lab_img("packed", (struct disk_options){0});
    lab_expect(im, 4096, 8192, 0);
    img_close(im);
    be64_put(entry, 1ull << 63 | 100ull << (63 - 12) | 512);
    lab_poke("packed", be64_get(table) + 3 * 8, entry, sizeof(entry));
    im = lab_img("packed", (struct disk_options){0});
    assert_int_equal(img_read(im, 3 * 4096, plain, 512), -EIO);
    img_close(im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backing),      cmocka_unit_test(test_qcow_refusals),
        cmocka_unit_test(test_qed_refusals), cmocka_unit_test(test_bad_entries),
        cmocka_unit_test(test_compressed),
    };

    return cmocka_run_group_tests(tests, lab_open, lab_close);
}
