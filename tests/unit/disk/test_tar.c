/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Members of tar archives as images: names of every kind, damaged archives, and an XVA's disk.
 */
#include "../appliance/kit.h"

#include "disk/img.h"

#include <errno.h>

static char names[1000];

static int add_name(void *opaque, const struct tar_member *m, struct err *e)
{
    size_t n = strlen(names);

    snprintf(names + n, sizeof(names) - n, "%.200s:%llu ", m->name, (unsigned long long)m->size);
    return 0;
}

static int walk(struct kit *k, const char *name)
{
    struct disk_options o = {.readonly = true};
    struct file *f;

    names[0] = 0;
    assert_int_equal(file_open(&f, kit_path(k, name), FILE_EMPTY_OK, &o, &k->e), 0);
    int r = tar_walk(f, add_name, NULL, &k->e);
    file_close(f);
    return r;
}

static void test_names(void **state)
{
    static struct kit k;
    struct kit_tar t = {0};
    char pax[200], body[130], longer[160];
    int n;

    kit_open(&k);
    memset(longer, 'n', 150);
    longer[150] = 0;
    kit_tar_add(&t, "./plain", '0', "abc", 3);
    kit_tar_add(&t, "folder/", '5', "", 0);
    kit_tar_add(&t, "old", 0, "x", 1);
    kit_tar_add(&t, "link", '2', "", 0);
    kit_tar_add(&t, "././@LongLink", 'L', longer, 151);
    kit_tar_add(&t, "nnnnn", '0', "long", 4);
    n = snprintf(body, sizeof(body), " path=a path/of pax\n");
    snprintf(pax, sizeof(pax), "%d%s", n + 2, body);
    kit_tar_add(&t, "PaxHeaders/x", 'x', pax, strlen(pax));
    kit_tar_add(&t, "short", '0', "pax", 3);
    kit_tar_end(&k, &t, "a.tar");
    assert_int_equal(walk(&k, "a.tar"), 0);
    longer[150] = 0;
    char want[400];
    snprintf(want, sizeof(want), "plain:3 old:1 %s:4 a path/of pax:3 ", longer);
    assert_string_equal(names, want);
    kit_close(&k);
}

static void test_damaged(void **state)
{
    static struct kit k;
    struct kit_tar t = {0};
    static u8 archive[4 * TAR_BLOCK];

    kit_open(&k);
    kit_tar_add(&t, "one", '0', "abc", 3);
    memcpy(archive, t.p, t.n);
    kit_tar_end(&k, &t, "a.tar");
    assert_int_equal(walk(&k, "a.tar"), 0);

    archive[0] ^= 1;
    kit_bytes(&k, "b.tar", archive, sizeof(archive));
    assert_int_equal(walk(&k, "b.tar"), -EINVAL);
    assert_non_null(strstr(k.e.msg, "no tar header at byte 0"));
    assert_false(tar_probe(archive));
    archive[0] ^= 1;
    assert_true(tar_probe(archive));
    kit_bytes(&k, "b.tar", archive, TAR_BLOCK); /* the data are missing */
    assert_int_equal(walk(&k, "b.tar"), -EINVAL);
    assert_non_null(strstr(k.e.msg, "cut short"));
    memset(archive + TAR_BLOCK, 'z', sizeof(archive) - TAR_BLOCK);
    kit_bytes(&k, "b.tar", archive, sizeof(archive));
    assert_int_equal(walk(&k, "b.tar"), -EINVAL);
    assert_string_equal(names, "one:3 ");
    kit_close(&k);
}

static struct img *open_img(struct kit *k, const char *archive, const char *member, u64 size)
{
    struct disk_options o = {.readonly = true};
    char *url = tar_url(kit_path(k, archive), member, size);
    struct img *im = NULL;

    k->e = (struct err){0};
    img_open(&im, url, &o, &k->e);
    free(url);
    return im;
}

/* What lies around a member is not seen through it, and nothing is written. */
static void test_window(void **state)
{
    static struct kit k;
    struct kit_tar t = {0};
    static u8 disk[1536], around[TAR_BLOCK], got[2048];
    struct disk_options o = {0};
    struct img *im;

    kit_open(&k);
    memset(disk, 0xd1, sizeof(disk));
    memset(around, 0xee, sizeof(around));
    kit_tar_add(&t, "before", '0', around, sizeof(around));
    kit_tar_add(&t, "a#disk.img", '0', disk, 1400);
    kit_tar_add(&t, "empty", '0', "", 0);
    kit_tar_add(&t, "after", '0', around, sizeof(around));
    kit_tar_end(&k, &t, "50%#.tar");
    im = open_img(&k, "50%#.tar", "a#disk.img", 0);
    if (!im)
        fail_msg("%s", k.e.msg);
    assert_int_equal(im->b.size, 1536);
    assert_true(im->b.readonly);
    assert_int_equal(img_read(im, 0, got, 1536), 0);
    assert_memory_equal(got, disk, 1400);
    for (unsigned i = 1400; i < 1536; i++)
        assert_int_equal(got[i], 0);
    memset(got, 1, sizeof(got));
    assert_int_equal(file_read(im->file, 1000, got, 1000), 0);
    assert_int_equal(got[399], 0xd1);
    assert_int_equal(got[400], 0);
    assert_int_equal(got[999], 0);
    assert_int_equal(blk_sync(&im->b, BLK_READ, 1024, got, 512), 0);
    assert_int_equal(got[375], 0xd1);
    assert_int_equal(got[376], 0);
    assert_int_equal(blk_sync(&im->b, BLK_WRITE, 0, got, 512), -EROFS);
    img_close(im);
    assert_null(open_img(&k, "50%#.tar", "empty", 0));
    assert_null(open_img(&k, "50%#.tar", "none", 0));
    assert_non_null(strstr(k.e.msg, "has no none"));
    char *url = tar_url(k.path, "after", 0);
    assert_int_equal(img_open(&im, url, &o, &k.e), -EROFS);
    assert_int_equal(img_open(&im, "tar:///x", &(struct disk_options){.readonly = true}, &k.e),
                     -EINVAL);
    free(url);
    kit_close(&k);
}

static void test_xva(void **state)
{
    static struct kit k;
    struct kit_tar t = {0};
    static u8 block[MIB], got[MIB];
    const char *const order[] = {"Ref:7/00000000", "Ref:7/00000001", "Ref:7/00000002",
                                 "Ref:7/00000005"};
    struct img *im;

    kit_open(&k);
    kit_tar_add(&t, "ova.xml", '0', "x", 1);
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
        bool alive = i == 1; /* a number, but no room */
        memset(block, (int)('a' + i), sizeof(block));
        kit_tar_add(&t, order[i], '0', block, alive ? 0 : i == 3 ? 1024 : MIB);
        char digest[40];
        snprintf(digest, sizeof(digest), "%s.checksum", order[i]);
        kit_tar_add(&t, digest, '0', "da39", 4);
    }
    kit_tar_add(&t, "Ref:70/00000000", '0', block, 512);
    kit_tar_end(&k, &t, "a.xva");
    im = open_img(&k, "a.xva", "Ref:7/", 5 * MIB);
    if (!im)
        fail_msg("%s", k.e.msg);
    assert_string_equal(im->fmt->name, "xva");
    assert_int_equal(im->b.size, 5 * MIB);
    assert_int_equal(img_read(im, 0, got, MIB), 0);
    assert_int_equal(got[MIB - 1], 'a');
    assert_int_equal(img_read(im, MIB, got, MIB), 0); /* the third member: the second counts none */
    assert_int_equal(got[0], 'c');
    assert_int_equal(img_read(im, 2 * MIB, got, MIB), 0);
    assert_int_equal(got[5], 0);
    assert_int_equal(img_read(im, 4 * MIB - 512, got, 2048), 0);
    assert_int_equal(got[511], 0);
    assert_int_equal(got[512], 'd');
    assert_int_equal(got[512 + 1023], 'd');
    assert_int_equal(got[512 + 1024], 0);
    img_close(im);
    assert_null(open_img(&k, "a.xva", "Ref:7/", 3 * MIB));
    assert_non_null(strstr(k.e.msg, "more than"));
    assert_null(open_img(&k, "a.xva", "Ref:9/", 3 * MIB));
    kit_tar_add(&t, "Ref:7/00000003", '0', block, 512);
    kit_tar_add(&t, "Ref:7/00000003", '0', block, 512);
    kit_tar_end(&k, &t, "b.xva");
    assert_null(open_img(&k, "b.xva", "Ref:7/", 5 * MIB));
    assert_non_null(strstr(k.e.msg, "impossible"));
    kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_damaged),
                                       cmocka_unit_test(test_window), cmocka_unit_test(test_xva)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
