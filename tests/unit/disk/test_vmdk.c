/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMDK: what QEMU's tools do not show: refusals, descriptors of other programs, deltas, growing,
 * damage.
 */
#include "imagelab.h"

#include "disk/vmdk.h"

#define WRITE ((struct disk_options){0})
#define READ  ((struct disk_options){.readonly = true})

static void put_text(const char *name, const char *text)
{
    unlink(lab(name));
    lab_poke(name, 0, text, strlen(text));
}

static void put_flat(const char *name, u64 size, int byte)
{
    u8 *b = malloc(size);

    memset(b, byte, size);
    unlink(lab(name));
    lab_poke(name, 0, b, size);
    free(b);
}

static void test_header(void **state)
{
    lab_create("vmdk", "a.vmdk", 5 * MIB, NULL, NULL);
    lab_refuses32("a.vmdk", VS_VERSION, 4, "version 4");
    lab_refuses32("a.vmdk", VS_VERSION, 3, "version 3 is only read");
    lab_refuses32("a.vmdk", VS_FLAGS, VF_LINES | VF_COMPRESSED | VF_MARKERS, "compressAlgorithm");
    lab_refuses32("a.vmdk", VS_FLAGS, VF_LINES | VF_MARKERS, "markers");
    lab_refuses32("a.vmdk", VS_LINES, 0x0a200d0d, "text mode");
    lab_refuses32("a.vmdk", VS_GRAIN, 129, "grainSize 129");
    lab_refuses32("a.vmdk", VS_GRAIN, 1 << 20, "grainSize");
    lab_refuses32("a.vmdk", VS_GTES, 500, "numGTEsPerGT 500");
    lab_refuses32("a.vmdk", VS_CAPACITY, 0, "capacity 0");
    lab_refuses32("a.vmdk", VS_CAPACITY + 4, 0x70, "directory of");
    lab_refuses32("a.vmdk", VS_CAPACITY + 4, 0x71000000, "capacity");
    lab_refuses32("a.vmdk", VS_GD, 0x1000000, "gdOffset");
    lab_refuses32("a.vmdk", VS_GD, 0, "gdOffset");
    lab_refuses32("a.vmdk", VS_RGD, 0x1000000, "rgdOffset");
    lab_refuses32("a.vmdk", VS_DESC, 0, "is a part of a disk");
    lab_refuses32("a.vmdk", VS_DESC_SIZE, 1 << 30, "descriptorSize");
    lab_create_refused("vmdk", "b.vmdk", MIB, "subformat=vmfs", NULL, "subformat=vmfs");
    lab_create_refused("vmdk", "b.vmdk", MIB, "adapter_type=scsi", NULL, "adapter_type=scsi");
    lab_create_refused("vmdk", "b.vmdk", 4096 * GIB, NULL, NULL, "2 TiB");
    lab_create_refused("vmdk", "b.vmdk", 0, "subformat=monolithicFlat", "a.vmdk", "backing");
}

#define HEAD                                                                                       \
    "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"custom\"\n"

static void test_descriptor(void **state)
{
    put_flat("one.raw", MIB, 0x11);
    put_text("d.vmdk", HEAD "RW 2048 VMFSRDM \"one.raw\"\n");
    lab_refused("d.vmdk", READ, "raw device mapping");
    put_text("d.vmdk", HEAD "RW 2048 VMFSSPARSE \"one.raw\"\n");
    lab_refused("d.vmdk", READ, "COWD");
    put_text("d.vmdk", HEAD "RW 2048 SESPARSE \"one.raw\"\n");
    lab_refused("d.vmdk", READ, "space-efficient");
    put_text("d.vmdk", HEAD "RW 2048 HOLY \"one.raw\"\n");
    lab_refused("d.vmdk", READ, "type HOLY");
    put_text("d.vmdk", HEAD "RW 2048 SPARSE \"one.raw\"\n");
    lab_refused("d.vmdk", READ, "one.raw: is no sparse extent");
    put_text("d.vmdk", HEAD "RW 2049 FLAT \"one.raw\" 0\n");
    lab_refused("d.vmdk", READ, "shorter");
    put_text("d.vmdk", HEAD "RW 2048 FLAT \"one.raw\" 99999999999999999\n");
    lab_refused("d.vmdk", READ, "at sector");
    put_text("d.vmdk", HEAD "RW 0 FLAT \"one.raw\" 0\n");
    lab_refused("d.vmdk", READ, "0 sectors");
    put_text("d.vmdk", HEAD "RW 2048 FLAT \"/etc/passwd\" 0\n");
    lab_refused("d.vmdk", READ, "--allow-external");
    put_text("d.vmdk", HEAD "RW 2048 FLAT \"../../etc/passwd\" 0\n");
    lab_refused("d.vmdk", READ, "--allow-external");
    put_text("d.vmdk", HEAD "RW 2048 FLAT\n");
    lab_refused("d.vmdk", READ, "without a file name");
    put_text("d.vmdk", HEAD "NOACCESS 2048 FLAT \"one.raw\" 0\n");
    lab_refused("d.vmdk", READ, "NOACCESS");
    put_text("d.vmdk", HEAD);
    lab_refused("d.vmdk", READ, "no extents");
    put_text("d.vmdk", "# Disk DescriptorFile\nCID=12\nRW 2048 FLAT \"one.raw\" 0\n");
    lab_refused("d.vmdk", READ, "parentCID");
    put_text("d.vmdk", "# Disk DescriptorFile\nCID=xyz\nparentCID=ffffffff\n");
    lab_refused("d.vmdk", READ, "CID is not a number");
    put_text("cowd.vmdk", "COWD, and nothing behind it");
    lab_refused("cowd.vmdk", READ, "COWD");
}

/* Lines of other programs: CRLF, spaces, several extents, some of them in one file, some zeros. */
static void test_extents(void **state)
{
    struct img *im;

    put_flat("one.raw", MIB, 0x11);
    put_flat("two.raw", MIB, 0x22);
    put_text("d.vmdk", "# Disk DescriptorFile\r\nversion = 1\r\nencoding=\"UTF-8\"\r\nCID = fe\r\n"
                       "parentCID = FFFFFFFF\r\ncreateType = \"vmfs\"\r\n\r\n"
                       "RW 1024 VMFS \"one.raw\"\r\n  RW 1000 ZERO\r\n"
                       "RW 24 FLAT \"two.raw\" 100\r\nRW 1024 FLAT \"one.raw\" 1024\r\n"
                       "\r\nddb.adapterType = \"lsilogic\"\r\n");
    im = lab_img("d.vmdk", WRITE);
    assert_int_equal(im->b.size, 3072 * 512);
    lab_expect(im, 0, 1024 * 512, 0x11);
    lab_expect(im, 1024 * 512, 1000 * 512, 0);
    lab_expect(im, 2024 * 512, 24 * 512, 0x22);
    lab_expect(im, 2048 * 512, 1024 * 512, 0x11);
    lab_write(im, 2040 * 512, 16 * 512, 0x33);
    u8 zeros[512] = {0};

    assert_int_equal(img_write(im, 1100 * 512, zeros, 512), -EROFS);
    img_close(im);
    im = lab_img("d.vmdk", READ);
    lab_expect(im, 2040 * 512, 16 * 512, 0x33);
    img_close(im);
    /* The CID has changed, and nothing else of the text. */
    char text[200] = {0};

    lab_peek("d.vmdk", 0, text, 120);
    assert_non_null(strstr(text, "CID = "));
    assert_null(strstr(text, "CID = fe\r"));
    assert_non_null(strstr(text, "\r\nparentCID = FFFFFFFF\r\n"));
    put_text("r.vmdk", HEAD "RDONLY 2048 FLAT \"one.raw\" 0\n");
    lab_refused("r.vmdk", WRITE, "RDONLY");
    img_close(lab_img("r.vmdk", READ));
}

static void test_delta(void **state)
{
    struct img *im;

    for (int zeroed = 0; zeroed < 2; zeroed++) {
        lab_create("vmdk", "base.vmdk", 3 * MIB + 512, zeroed ? "subformat=monolithicFlat" : NULL,
                   NULL);
        im = lab_img("base.vmdk", WRITE);
        lab_write(im, 0, 3 * MIB + 512, 0x11);
        img_close(im);
        lab_create("vmdk", "delta.vmdk", 0, zeroed ? "zeroed_grain=on" : NULL, "base.vmdk");
        im = lab_img("delta.vmdk", WRITE);
        lab_write(im, 65536 - 512, 1024, 0x22);
        struct blk_req z = {.op = BLK_WRITE_ZEROES, .offset = MIB, .len = MIB + 512, .unmap = true};

        assert_int_equal(img_execute(im, &z), 0);
        img_close(im);
        assert_int_equal(lab_check("delta.vmdk", false).errors, 0);
        im = lab_img("delta.vmdk", READ);
        lab_expect(im, 0, 65024, 0x11);
        lab_expect(im, 65024, 1024, 0x22);
        lab_expect(im, 66048, MIB - 66048, 0x11);
        lab_expect(im, MIB, MIB + 512, 0);
        lab_expect(im, 2 * MIB + 512, MIB, 0x11);
        img_close(im);
        im = lab_img("base.vmdk", WRITE);
        lab_write(im, 0, 512, 0x33);
        img_close(im);
        lab_refused("delta.vmdk", READ, "was changed since: parentCID");
        img_close(
            lab_img("delta.vmdk", (struct disk_options){.readonly = true, .no_parent = true}));
        unlink(lab("base.vmdk"));
        lab_refused("delta.vmdk", READ, "base.vmdk");
        unlink(lab("delta.vmdk"));
    }
}

/* A delta from another computer: its hint is a path there. */
static void test_hint(void **state)
{
    char text[4096];
    struct img *im;
    u32 cid;

    lab_create("vmdk", "w.vmdk", MIB, NULL, NULL);
    im = lab_img("w.vmdk", WRITE);
    lab_write(im, 0, 512, 0x44);
    cid = ((struct vmdk *)im->s)->cid;
    img_close(im);
    put_flat("rest.raw", 512, 0x55);
    snprintf(text, sizeof(text),
             "# Disk DescriptorFile\nversion=1\nCID=1234\nparentCID=%08x\ncreateType=\"custom\"\n"
             "parentFileNameHint=\"C:\\Machines\\w.vmdk\"\nRW 2048 SPARSE \"part.vmdk\"\n",
             cid);
    put_text("h.vmdk", text);
    lab_create("vmdk", "p.vmdk", MIB, "subformat=twoGbMaxExtentSparse", NULL);
    assert_int_equal(rename(lab("p-s001.vmdk"), lab("part.vmdk")), 0);
    im = lab_img("h.vmdk", WRITE);
    lab_expect(im, 0, 512, 0x44);
    lab_write(im, 512, 512, 0x66);
    img_close(im);
    im = lab_img("h.vmdk", READ);
    lab_expect(im, 0, 512, 0x44);
    lab_expect(im, 512, 512, 0x66);
    img_close(im);
    lab_refused("part.vmdk", READ, "is a part of a disk");
}

static void grow(const char *options, u64 from, u64 to)
{
    struct err e = {0};
    struct img *im;

    lab_create("vmdk", "grow.vmdk", from, options, NULL);
    im = lab_img("grow.vmdk", WRITE);
    lab_write(im, from - 512, 512, 0x51);
    lab_write(im, MIB, 2 * MIB, 0x52);
    if (disk_resize(im, to, &e))
        fail_msg("%s", e.msg);
    lab_write(im, to - 512, 512, 0x54);
    img_close(im);
    if (!strstr(options ? options : "", "Flat")) {
        struct disk_check c = lab_check("grow.vmdk", false);

        assert_int_equal(c.errors + c.leaks, 0);
    }
    im = lab_img("grow.vmdk", WRITE);
    assert_int_equal(im->b.size, to);
    lab_expect(im, 0, MIB, 0);
    lab_expect(im, MIB, 2 * MIB, 0x52);
    lab_expect(im, from - 512, 512, 0x51);
    lab_expect(im, from, MIB, 0);
    lab_expect(im, to - 512, 512, 0x54);
    assert_int_equal(disk_resize(im, from, &e), -EINVAL);
    img_close(im);
    unlink(lab("grow.vmdk"));
}

static void test_grow(void **state)
{
    grow(NULL, 10 * MIB + 512, 20 * MIB);
    grow(NULL, 10 * MIB + 512, 200 * GIB);
    grow("zeroed_grain=on", 99 * MIB, 900 * MIB);
    grow("subformat=monolithicFlat", 10 * MIB + 512, 20 * MIB);
    grow("subformat=twoGbMaxExtentFlat", 9 * MIB, 100 * MIB);
    grow("subformat=twoGbMaxExtentSparse", 2040 * MIB, 2047 * MIB);
    grow("subformat=twoGbMaxExtentSparse", 2060 * MIB, 3000 * MIB);
}

static void test_check(void **state)
{
    struct disk_check c;
    u8 header[512];
    struct img *im;
    u32 table, grain;
    u64 gt;

    lab_create("vmdk", "c.vmdk", 8 * MIB, NULL, NULL);
    im = lab_img("c.vmdk", WRITE);
    for (u64 i = 0; i < 6; i++)
        lab_write(im, i * 65536, 65536, 0x60 + (int)i);
    img_close(im);
    c = lab_check("c.vmdk", false);
    assert_int_equal(c.errors + c.leaks, 0);
    assert_int_equal(c.allocated, 6);
    lab_peek("c.vmdk", 0, header, sizeof(header));
    lab_peek("c.vmdk", le64_get(header + VS_GD) * 512, &table, 4);
    gt = table * 512ull;
    /* Entry 2 is lost, 3 shares the grain of entry 0, 7 is out of range; and the copy is as before.
     */
    lab_peek("c.vmdk", gt, &grain, 4);
    lab_poke32("c.vmdk", gt + 8, 0);
    lab_poke32("c.vmdk", gt + 12, grain);
    lab_poke32("c.vmdk", gt + 28, 0x7000000);
    c = lab_check("c.vmdk", false);
    assert_int_equal(c.errors, 3);
    assert_int_equal(c.leaks, 2);
    im = lab_img("c.vmdk", READ);
    u8 b[512];

    assert_int_equal(img_read(im, 7 * 65536, b, 512), -EIO);
    img_close(im);
    c = lab_check("c.vmdk", true);
    assert_int_equal(c.errors + c.leaks, 0);
    assert_int_equal(c.errors_fixed, 3);
    assert_int_equal(c.leaks_fixed, 2);
    c = lab_check("c.vmdk", false);
    assert_int_equal(c.errors + c.leaks, 0);
    im = lab_img("c.vmdk", WRITE);
    lab_expect(im, 0, 65536, 0x60);
    lab_expect(im, 65536, 65536, 0x61);
    lab_expect(im, 2 * 65536, 65536, 0);
    lab_expect(im, 3 * 65536, 65536, 0x60);
    lab_expect(im, 4 * 65536, 65536, 0x64);
    lab_expect(im, 5 * 65536, 65536, 0x65);
    lab_expect(im, 7 * 65536, 65536, 0);
    img_close(im);
    /* An entry of the directory that is 0: the table is made when it is needed. */
    lab_poke32("c.vmdk", le64_get(header + VS_GD) * 512, 0);
    lab_poke32("c.vmdk", le64_get(header + VS_RGD) * 512, 0);
    im = lab_img("c.vmdk", WRITE);
    lab_expect(im, 0, MIB, 0);
    lab_write(im, 65536, 512, 0x77);
    img_close(im);
    im = lab_img("c.vmdk", READ);
    lab_expect(im, 65536, 512, 0x77);
    lab_expect(im, 66048, MIB, 0);
    img_close(im);
    assert_int_equal(lab_check("c.vmdk", false).errors, 0);
}

/* Stream-optimized: made once from the start to the end, then only read. */
static void test_stream(void **state)
{
    struct img *im;
    u8 b[512] = {1};

    lab_create("vmdk", "s.vmdk", 300 * MIB + 512, "subformat=streamOptimized", NULL);
    im = lab_img("s.vmdk", WRITE);
    lab_write(im, 65536, 3 * 65536, 0x11);
    assert_int_equal(img_flush(im), 0);
    lab_write(im, 200 * MIB, 65536, 0x22);
    lab_write(im, 300 * MIB, 512, 0x33);
    assert_int_equal(img_write(im, 512, b, 512), -EOPNOTSUPP);
    lab_expect(im, 65536, 3 * 65536, 0x11);
    img_close(im);
    im = lab_img("s.vmdk", READ);
    lab_expect(im, 0, 65536, 0);
    lab_expect(im, 65536, 3 * 65536, 0x11);
    lab_expect(im, 200 * MIB, 65536, 0x22);
    lab_expect(im, 300 * MIB, 512, 0x33);
    img_close(im);
    lab_refused("s.vmdk", WRITE, "stream-optimized");
    /* A grain's marker that is another's, or too long. */
    lab_poke32("s.vmdk", 65536, 5);
    im = lab_img("s.vmdk", READ);
    assert_int_equal(img_read(im, 65536, b, 512), -EIO);
    lab_expect(im, 2 * 65536, 65536, 0x11);
    img_close(im);
    lab_poke32("s.vmdk", 65536, 128);
    lab_poke32("s.vmdk", 65536 + 8, 1 << 30);
    im = lab_img("s.vmdk", READ);
    assert_int_equal(img_read(im, 65536, b, 512), -EIO);
    img_close(im);
    assert_int_equal(truncate(lab("s.vmdk"), 65536 + 4096), 0);
    lab_refused("s.vmdk", READ, "has no footer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),  cmocka_unit_test(test_descriptor),
        cmocka_unit_test(test_extents), cmocka_unit_test(test_delta),
        cmocka_unit_test(test_hint),    cmocka_unit_test(test_grow),
        cmocka_unit_test(test_check),   cmocka_unit_test(test_stream),
    };

    return cmocka_run_group_tests(tests, lab_open, lab_close);
}
