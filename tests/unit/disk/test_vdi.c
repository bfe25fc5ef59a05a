/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VDI: what QEMU's tools do not show: refusals, differencing images, growing, damage.
 */
#include "imagelab.h"

#include "disk/vdi.h"

#define WRITE ((struct disk_options){0})
#define READ  ((struct disk_options){.readonly = true})

static void test_refusals(void **state)
{
    lab_create("vdi", "a.vdi", 5 * MIB, NULL, NULL);
    lab_refuses32("a.vdi", VH_VERSION, 1, "version 0.1");
    lab_refuses32("a.vdi", VH_TYPE, VDI_UNDO, "undo");
    lab_refuses32("a.vdi", VH_TYPE, 9, "u32Type 9");
    lab_refuses32("a.vdi", VH_BLOCK, 12345, "cbBlock 12345");
    lab_refuses32("a.vdi", VH_BLOCK, 1u << 31, "cbBlock");
    lab_refuses32("a.vdi", VH_BLOCK_EXTRA, 512, "cbBlockExtra 512");
    lab_refuses32("a.vdi", VH_SECTOR, 4096, "cbSector 4096");
    lab_refuses32("a.vdi", VH_BLOCKS, 4, "cbDisk");
    lab_refuses32("a.vdi", VH_BLOCKS, 0xffffffff, "cBlocks");
    lab_refuses32("a.vdi", VH_OFF_BLOCKS, 100, "offBlocks 100");
    lab_refuses32("a.vdi", VH_OFF_DATA, 4096, "offData 4096");
    lab_refuses32("a.vdi", VH_DISK + 4, 1, "cbDisk");
    lab_poke32("a.vdi", VH_BLOCKS, 1 << 20);
    lab_poke32("a.vdi", VH_OFF_DATA, 64 << 20);
    lab_refused("a.vdi", READ, "longer than the file");
    lab_create_refused("vdi", "b.vdi", 64ull << 40, NULL, NULL, "TiB");
    lab_create_refused("vdi", "b.vdi", MIB, "static=maybe", NULL, "static=maybe");
}

static void test_differencing(void **state)
{
    struct img *im;

    lab_create("vdi", "base.vdi", 6 * MIB, NULL, NULL);
    im = lab_img("base.vdi", WRITE);
    lab_write(im, 0, 3 * MIB, 0x11);
    img_close(im);
    lab_create("vdi", "diff.vdi", 0, NULL, "base.vdi");
    im = lab_img("diff.vdi", WRITE);
    lab_expect(im, 0, 3 * MIB, 0x11);
    lab_write(im, 4096, 512, 0x22);
    /* Zeros over the parent's block. */
    struct blk_req z = {.op = BLK_WRITE_ZEROES, .offset = MIB, .len = MIB, .unmap = true};

    assert_int_equal(img_execute(im, &z), 0);
    img_close(im);
    im = lab_img("diff.vdi", READ);
    lab_expect(im, 0, 4096, 0x11);
    lab_expect(im, 4096, 512, 0x22);
    lab_expect(im, 4608, MIB - 4608, 0x11);
    lab_expect(im, MIB, MIB, 0);
    lab_expect(im, 2 * MIB, MIB, 0x11);
    lab_expect(im, 3 * MIB, 3 * MIB, 0);
    img_close(im);
    /* Found by its UUID under another name. */
    assert_int_equal(rename(lab("base.vdi"), lab("moved.vdi")), 0);
    im = lab_img("diff.vdi", READ);
    lab_expect(im, 2 * MIB, MIB, 0x11);
    img_close(im);
    /* Changed since. */
    im = lab_img("moved.vdi", WRITE);
    lab_write(im, 5 * MIB, 512, 0x33);
    img_close(im);
    lab_refused("diff.vdi", READ, "was changed since");
    assert_int_equal(unlink(lab("moved.vdi")), 0);
    lab_refused("diff.vdi", READ, "uuidLinkage");
    im = lab_img("diff.vdi", (struct disk_options){.readonly = true, .no_parent = true});
    lab_expect(im, 4096, 512, 0x22);
    img_close(im);
    lab_create_refused("vdi", "x.vdi", 0, NULL, "diff.vdi", "uuidLinkage");
}

static void test_parent_above(void **state)
{
    struct img *im;

    lab_create("vdi", "top.vdi", 2 * MIB, NULL, NULL);
    im = lab_img("top.vdi", WRITE);
    lab_write(im, MIB, 512, 0x44);
    img_close(im);
    lab_create("vdi", "child.vdi", 0, NULL, "top.vdi");
    assert_int_equal(mkdir(lab("Snapshots"), 0700), 0);
    assert_int_equal(rename(lab("child.vdi"), lab("Snapshots/child.vdi")), 0);
    lab_refused("Snapshots/child.vdi", READ, "--allow-external");
    im = lab_img("Snapshots/child.vdi",
                 (struct disk_options){.readonly = true, .allow_external = true});
    lab_expect(im, MIB, 512, 0x44);
    img_close(im);
}

/* What was written before stays, what is new is zeros, and no check finds anything. */
static void grow(const char *options, u64 from, u64 to)
{
    struct err e = {0};
    struct img *im;

    lab_create("vdi", "grow.vdi", from, options, NULL);
    im = lab_img("grow.vdi", WRITE);
    lab_write(im, from - 512, 512, 0x51);
    lab_write(im, MIB, 2 * MIB, 0x52);
    lab_write(im, 0, 512, 0x53);
    if (disk_resize(im, to, &e))
        fail_msg("%s", e.msg);
    lab_write(im, to - 512, 512, 0x54);
    img_close(im);
    assert_int_equal(lab_check("grow.vdi", false).errors, 0);
    im = lab_img("grow.vdi", WRITE);
    assert_int_equal(im->b.size, to);
    lab_expect(im, 0, 512, 0x53);
    lab_expect(im, 512, MIB - 512, 0);
    lab_expect(im, MIB, 2 * MIB, 0x52);
    lab_expect(im, from - 512, 512, 0x51);
    lab_expect(im, from, 4 * MIB, 0);
    lab_expect(im, to - 512, 512, 0x54);
    assert_int_equal(disk_resize(im, from, &e), -EINVAL);
    img_close(im);
    unlink(lab("grow.vdi"));
}

static void test_grow(void **state)
{
    grow(NULL, 10 * MIB + 512, 20 * MIB);
    grow("static=on", 10 * MIB + 512, 20 * MIB);
    /* The map outgrows its room: 1 MiB less a page holds the entries of 255 GiB. */
    grow(NULL, 40 * MIB, 600 * GIB);
    grow(NULL, 300 * GIB, 2048 * GIB);
}

static void test_check(void **state)
{
    struct disk_check c;
    struct img *im;

    lab_create("vdi", "c.vdi", 8 * MIB, NULL, NULL);
    im = lab_img("c.vdi", WRITE);
    for (int i = 0; i < 6; i++)
        lab_write(im, (u64)i * MIB, MIB, 0x60 + i);
    img_close(im);
    c = lab_check("c.vdi", false);
    assert_int_equal(c.errors + c.leaks, 0);
    assert_int_equal(c.allocated, 6);
    /* Entry 2 is lost, entry 3 shares the block of entry 0, entry 7 is out of range. */
    lab_poke32("c.vdi", 4096 + 8, VDI_FREE);
    lab_poke32("c.vdi", 4096 + 12, 0);
    lab_poke32("c.vdi", 4096 + 28, 0x10000000);
    lab_poke32("c.vdi", VH_ALLOCATED, 3);
    lab_refused("c.vdi", WRITE, "check and repair");
    c = lab_check("c.vdi", false);
    assert_int_equal(c.errors, 3);
    assert_int_equal(c.leaks, 2);
    c = lab_check("c.vdi", true);
    assert_int_equal(c.errors + c.leaks, 0);
    assert_int_equal(c.errors_fixed, 3);
    assert_int_equal(c.leaks_fixed, 1); /* the other one holds the copy */
    c = lab_check("c.vdi", false);
    assert_int_equal(c.errors + c.leaks, 0);
    im = lab_img("c.vdi", WRITE);
    lab_expect(im, 0, MIB, 0x60);
    lab_expect(im, MIB, MIB, 0x61);
    lab_expect(im, 2 * MIB, MIB, 0);
    lab_expect(im, 3 * MIB, MIB, 0x60);
    lab_expect(im, 4 * MIB, MIB, 0x64);
    lab_expect(im, 5 * MIB, MIB, 0x65);
    lab_expect(im, 7 * MIB, MIB, 0);
    img_close(im);
    /* A block of a crash is used again, not leaked for good. */
    lab_poke32("c.vdi", VH_ALLOCATED, 7);
    assert_int_equal(lab_check("c.vdi", false).leaks, 2);
    im = lab_img("c.vdi", WRITE);
    lab_write(im, 2 * MIB, 512, 0x70);
    img_close(im);
    assert_int_equal(lab_check("c.vdi", false).leaks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),     cmocka_unit_test(test_differencing),
        cmocka_unit_test(test_parent_above), cmocka_unit_test(test_grow),
        cmocka_unit_test(test_check),
    };

    return cmocka_run_group_tests(tests, lab_open, lab_close);
}
