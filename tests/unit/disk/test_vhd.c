/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHD: what tests/format/compare.py cannot show, since QEMU has no differencing disks, resize or
 * check for it: sizes by creator, parents, damaged footers, refusals.
 */
#include "disk/vhd.h"
#include "imagelab.h"

static void set_footer(const char *path, const char *creator, u16 cylinders, u8 heads, u8 spt)
{
    u64 at = lab_length(path) - VHD_FOOTER;
    u8 f[VHD_FOOTER];

    lab_peek(path, at, f, sizeof(f));
    memcpy(f + VF_CREATOR, creator, 4);
    be16_put(f + VF_CYLINDERS, cylinders);
    f[VF_HEADS] = heads;
    f[VF_SECTORS] = spt;
    vhd_seal_footer(f);
    lab_poke(path, at, f, sizeof(f));
}

static u64 size_of(const char *path, const char *how)
{
    struct img *im = lab_img(path, (struct disk_options){.format = "vhd", .vhd_size = how});
    u64 size = im->b.size;

    img_close(im);
    return size;
}

static void test_size_by_creator(void **state)
{
    static const struct {
        char app[4];
        bool chs;
    } rows[] = {{"vpc ", true},  {"vs  ", true},  {"qemu", true},  {"odd?", true},
                {"qem2", false}, {"win ", false}, {"vbox", false}, {"d2v ", false},
                {"tap", false},  {"CTXS", false}, {"wa", false},   {"wirt", false}};
    u64 chs = 100ull * 4 * 17 * 512, size = 4 * MIB;

    lab_create("vpc", "size", size, "subformat=fixed,force_size=on", NULL);
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        set_footer("size", rows[i].app, 100, 4, 17);
        assert_int_equal(size_of("size", NULL), rows[i].chs ? chs : size);
        assert_int_equal(size_of("size", "chs"), chs);
        assert_int_equal(size_of("size", "current"), size);
    }
    /* Geometries that say nothing. */
    set_footer("size", "vpc ", 65535, 16, 255);
    assert_int_equal(size_of("size", NULL), size);
    set_footer("size", "vpc ", 0, 0, 0);
    assert_int_equal(size_of("size", NULL), size);
    lab_refused("size", (struct disk_options){.vhd_size = "both"}, "vhd-size=both");
}

static void test_geometry(void **state)
{
    /* sectors, C, H, S by the appendix of the specification */
    static const struct {
        u64 sectors;
        u16 c;
        u8 h, s;
    } rows[] = {{2048, 30, 4, 17},           {20480, 301, 4, 17},       {204800, 1003, 12, 17},
                {2097152, 4161, 8 * 2, 31},  {20971520, 20805, 16, 63}, {134217728, 32896, 16, 255},
                {1ull << 40, 65535, 16, 255}};

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        u16 c;
        u8 h, s;
        u64 got = vhd_geometry(rows[i].sectors, &c, &h, &s);

        assert_int_equal(got, (u64)c * h * s);
        assert_true(got <= rows[i].sectors);
        if (rows[i].sectors == 2048 || rows[i].sectors == 20480 || rows[i].sectors >> 40) {
            assert_int_equal(c, rows[i].c);
            assert_int_equal(h, rows[i].h);
            assert_int_equal(s, rows[i].s);
        }
        /* A size that a geometry can say is kept by create. */
        if (rows[i].sectors < 1 << 20) {
            lab_create("vpc", "chs", got * 512, NULL, NULL);
            assert_int_equal(size_of("chs", "chs"), got * 512);
            assert_int_equal(size_of("chs", "current"), got * 512);
        }
    }
}

static void test_differencing(void **state)
{
    u64 size = 12 * MIB;
    struct img *im;

    lab_create("vpc", "base.vhd", size, "force_size=on", NULL);
    im = lab_img("base.vhd", (struct disk_options){0});
    lab_write(im, 0, 3 * MIB, 0x11);
    img_close(im);
    lab_create("vpc", "child.vhd", 0, NULL, "base.vhd");
    lab_create("vpc", "grandchild.vhd", 0, NULL, "child.vhd");
    im = lab_img("child.vhd", (struct disk_options){0});
    assert_int_equal(im->b.size, size);
    lab_write(im, 512, 512, 0x22);
    lab_write(im, 2 * MIB - 512, 1024, 0x22);
    lab_write(im, 8 * MIB, MIB, 0x22);
    img_close(im);
    im = lab_img("grandchild.vhd", (struct disk_options){0});
    assert_int_equal(img_execute(im, &(struct blk_req){.op = BLK_WRITE_ZEROES,
                                                       .offset = 8 * MIB + 512,
                                                       .len = 512,
                                                       .unmap = true}),
                     0);
    img_close(im);
    for (int pass = 0; pass < 2; pass++) {
        im = lab_img(pass ? "grandchild.vhd" : "child.vhd", (struct disk_options){0});
        lab_expect(im, 0, 512, 0x11);
        lab_expect(im, 512, 512, 0x22);
        lab_expect(im, 1024, 2 * MIB - 1536, 0x11);
        lab_expect(im, 2 * MIB - 512, 1024, 0x22);
        lab_expect(im, 2 * MIB + 512, MIB - 512, 0x11);
        lab_expect(im, 3 * MIB, 5 * MIB, 0);
        lab_expect(im, 8 * MIB, 512, 0x22);
        lab_expect(im, 8 * MIB + 512, 512, pass ? 0 : 0x22);
        lab_expect(im, 8 * MIB + 1024, MIB - 1024, 0x22);
        img_close(im);
    }
    lab_sound("child.vhd");
    lab_sound("grandchild.vhd");
    im = lab_img("base.vhd", (struct disk_options){0});
    lab_expect(im, 0, 3 * MIB, 0x11);
    img_close(im);
    im = lab_img("child.vhd", (struct disk_options){0});
    struct err e = {0};

    assert_int_equal(disk_resize(im, MIB, &e), -ENOTSUP);
    img_close(im);
}

static void test_wrong_parent(void **state)
{
    lab_create("vpc", "p.vhd", 4 * MIB, NULL, NULL);
    lab_create("vpc", "c.vhd", 0, NULL, "p.vhd");
    assert_int_equal(rename("p.vhd", "q.vhd"), 0);
    lab_refused("c.vhd", (struct disk_options){0}, "No such file");
    lab_create("vpc", "p.vhd", 4 * MIB, NULL, NULL);
    lab_refused("c.vhd", (struct disk_options){0}, "UUID");
    /* A fixed one with the right UUID is as good a parent. */
    assert_int_equal(rename("q.vhd", "p.vhd"), 0);
    img_close(lab_img("c.vhd", (struct disk_options){0}));
    img_close(lab_img("c.vhd", (struct disk_options){.no_parent = true}));
    /* Outside of the image's own directory. */
    mkdir("in", 0700);
    lab_create("vpc", "in/c.vhd", 0, NULL, "../p.vhd");
    lab_refused("in/c.vhd", (struct disk_options){0}, "outside");
    img_close(lab_img("in/c.vhd", (struct disk_options){.allow_external = true}));

    struct disk_create c = {.path = "d.vhd", .backing = "raw", .size = MIB};
    struct err e = {0};

    lab_create("raw", "raw", MIB, NULL, NULL);
    assert_int_not_equal(disk_create("vpc", &c, &e), 0);
    assert_non_null(strstr(e.msg, "the parent of a VHD is a VHD"));
}

/* Either footer may be gone; the next write and the repair bring it back. */
static void test_footers(void **state)
{
    u8 zeros[VHD_FOOTER] = {0}, f[VHD_FOOTER];
    struct disk_check c;
    struct img *im;

    lab_create("vpc", "f", 6 * MIB, NULL, NULL);
    im = lab_img("f", (struct disk_options){0});
    lab_write(im, 0, 512, 0x33);
    img_close(im);
    lab_poke("f", lab_length("f") - VHD_FOOTER, zeros, VHD_FOOTER);
    c = lab_check("f", false);
    assert_int_equal(c.leaks, 1);
    im = lab_img("f", (struct disk_options){0});
    lab_expect(im, 0, 512, 0x33);
    lab_write(im, 4 * MIB, 512, 0x44);
    img_close(im);
    lab_peek("f", lab_length("f") - VHD_FOOTER, f, VHD_FOOTER);
    assert_true(vhd_footer_ok(f));
    lab_check("f", true);
    lab_sound("f");

    lab_poke("f", 0, zeros, VHD_FOOTER);
    im = lab_img("f", (struct disk_options){.format = "vpc"});
    lab_expect(im, 4 * MIB, 512, 0x44);
    lab_write(im, 2 * MIB, 512, 0x55);
    img_close(im);
    lab_sound("f");
    lab_peek("f", 0, f, VHD_FOOTER);
    assert_true(vhd_footer_ok(f));
    lab_poke("f", 0, zeros, VHD_FOOTER);
    lab_poke("f", lab_length("f") - VHD_FOOTER, zeros, VHD_FOOTER);
    lab_refused("f", (struct disk_options){.format = "vpc"}, "no footer");
}

static void test_short_footer(void **state)
{
    u8 f[VHD_FOOTER];

    /* Virtual PC before 2004: 511 bytes. */
    lab_create("vpc", "short", MIB, "subformat=fixed", NULL);
    lab_peek("short", lab_length("short") - VHD_FOOTER, f, VHD_FOOTER);
    assert_int_equal(truncate("short", (off_t)lab_length("short") - 1), 0);
    struct img *im = lab_img("short", (struct disk_options){.format = "vpc"});

    assert_true(im->b.size >= MIB);
    img_close(im);
}

static void test_check(void **state)
{
    struct disk_check c;
    struct img *im;
    u8 junk[5000], entry[4];
    u64 length;

    lab_create("vpc", "k", 16 * MIB, NULL, NULL);
    im = lab_img("k", (struct disk_options){0});
    lab_write(im, 0, 5 * MIB, 0x66);
    img_close(im);
    lab_sound("k");
    length = lab_length("k");
    memset(junk, 7, sizeof(junk));
    lab_poke("k", length, junk, sizeof(junk));
    c = lab_check("k", false);
    assert_int_equal(c.leaks, 1);
    c = lab_check("k", true);
    assert_int_equal(c.leaks, 0);
    assert_int_equal(c.leaks_fixed, 1);
    assert_true(lab_length("k") <= length);
    lab_sound("k");
    /* Two blocks at one place: said, never guessed at. */
    lab_peek("k", 1536, entry, 4);
    lab_poke("k", 1536 + 4, entry, 4);
    c = lab_check("k", true);
    assert_int_equal(c.errors, 1);
    /* An entry that points nowhere reads as an error, and is repaired to "nothing". */
    be32_put(entry, 0x7fffffff);
    lab_poke("k", 1536 + 4, entry, 4);
    im = lab_img("k", (struct disk_options){0});
    assert_int_equal(img_read(im, 2 * MIB, junk, 512), -EIO);
    assert_int_equal(img_write(im, 2 * MIB, junk, 512), -EIO);
    lab_expect(im, 4 * MIB, MIB, 0x66);
    img_close(im);
    c = lab_check("k", true);
    assert_int_equal(c.errors, 0);
    assert_int_equal(c.errors_fixed, 1);
    im = lab_img("k", (struct disk_options){0});
    lab_expect(im, 0, 2 * MIB, 0x66);
    lab_expect(im, 2 * MIB, 2 * MIB, 0);
    img_close(im);
}

static void resize(const char *path, u64 size)
{
    struct img *im = lab_img(path, (struct disk_options){0});
    struct err e = {0};

    if (disk_resize(im, size, &e))
        fail_msg("%s", e.msg);
    img_close(im);
    im = lab_img(path, (struct disk_options){0});
    assert_int_equal(im->b.size, size);
    img_close(im);
    lab_sound(path);
}

static void test_resize(void **state)
{
    static const char *const options[] = {"subformat=fixed", "subformat=dynamic"};

    for (unsigned i = 0; i < 2; i++) {
        struct img *im;

        lab_create("vpc", "r", 7 * MIB, options[i], NULL);
        im = lab_img("r", (struct disk_options){0});
        lab_write(im, 0, 7 * MIB, 0x77);
        img_close(im);
        resize("r", 5 * MIB + 512);
        resize("r", 600 * MIB);
        resize("r", 602 * MIB);
        im = lab_img("r", (struct disk_options){0});
        lab_expect(im, 0, 5 * MIB + 512, 0x77);
        lab_expect(im, 5 * MIB + 512, 4 * MIB, 0);
        lab_write(im, 601 * MIB, MIB, 0x78);
        img_close(im);
        im = lab_img("r", (struct disk_options){0});
        lab_expect(im, 601 * MIB, MIB, 0x78);
        img_close(im);
    }
}

static void test_refusals(void **state)
{
    u8 f[VHD_FOOTER], h[VHD_HEADER];
    static const struct {
        unsigned at;
        u32 value;
        const char *words;
    } rows[] = {{VD_BLOCK, 3000, "block size 3000"},    {VD_BLOCK, 0, "block size 0"},
                {VD_ENTRIES, 1, "max table entries 1"}, {VD_TABLE + 4, 7, "table offset 7"},
                {VD_TABLE, 1, "table offset"},          {VD_VERSION, 0x00020000, "the header's"}};

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        lab_create("vpc", "bad", 16 * MIB, NULL, NULL);
        lab_peek("bad", 512, h, sizeof(h));
        be32_put(h + rows[i].at, rows[i].value);
        vhd_seal_header(h);
        lab_poke("bad", 512, h, sizeof(h));
        lab_refused("bad", (struct disk_options){0}, rows[i].words);
    }
    lab_create("vpc", "bad", 16 * MIB, NULL, NULL);
    lab_peek("bad", 0, f, sizeof(f));
    be32_put(f + VF_TYPE, 5);
    vhd_seal_footer(f);
    lab_poke("bad", 0, f, sizeof(f));
    lab_refused("bad", (struct disk_options){0}, "disk type 5");
    be32_put(f + VF_TYPE, VHD_DYNAMIC);
    be64_put(f + VF_DATA_OFFSET, 1ull << 60);
    vhd_seal_footer(f);
    lab_poke("bad", 0, f, sizeof(f));
    lab_refused("bad", (struct disk_options){0}, "data offset");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size_by_creator), cmocka_unit_test(test_geometry),
        cmocka_unit_test(test_differencing),    cmocka_unit_test(test_wrong_parent),
        cmocka_unit_test(test_footers),         cmocka_unit_test(test_short_footer),
        cmocka_unit_test(test_check),           cmocka_unit_test(test_resize),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, lab_open, lab_close);
}
