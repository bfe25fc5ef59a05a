/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bochs' growing images: one made by hand here, which qemu-img reads too where it is installed.
 */
#include "imagelab.h"

#define READ ((struct disk_options){.readonly = true})

enum {
    EXTENT = 64 << 10,
    BITMAP = 16,
    ENTRIES = 40,
    DATA = 512 + ENTRIES * 4,
    STEP = EXTENT + 512
};

/* 2.5 MiB; extent 3 of the disk is the file's first, extent 0 its second. */
static void make(const char *name)
{
    u8 h[512] = "Bochs Virtual HD Image", entry[4], sector[512];
    u32 unallocated = 0xffffffff;

    strcpy((char *)h + 32, "Redolog");
    strcpy((char *)h + 48, "Growing");
    le32_put(h + 64, 0x20000);
    le32_put(h + 68, 512);
    le32_put(h + 72, ENTRIES);
    le32_put(h + 76, BITMAP);
    le32_put(h + 80, EXTENT);
    le64_put(h + 88, ENTRIES * EXTENT);
    lab_poke(name, 0, h, sizeof(h));
    for (u32 i = 0; i < ENTRIES; i++) {
        le32_put(entry, i == 3 ? 0 : i == 0 ? 1 : unallocated);
        lab_poke(name, 512 + 4 * i, entry, 4);
    }
    lab_poke(name, DATA, "\xff\x01", 2); /* sectors 0 to 8 of extent 3 */
    memset(sector, 0x21, sizeof(sector));
    for (int i = 0; i < 10; i++)
        lab_poke(name, DATA + 512 + i * 512, sector, 512);
    lab_poke(name, DATA + STEP + 15, "\x80", 1); /* the last one of extent 0 */
    memset(sector, 0x22, sizeof(sector));
    lab_poke(name, DATA + STEP + 512 + EXTENT - 512, sector, 512);
}

static void test_read(void **state)
{
    char cmd[600];
    struct img *im;

    make("b.img");
    im = lab_img("b.img", READ);
    assert_string_equal(im->fmt->name, "bochs");
    assert_int_equal(im->b.size, ENTRIES * EXTENT);
    lab_expect(im, 0, EXTENT - 512, 0);
    lab_expect(im, EXTENT - 512, 512, 0x22);
    lab_expect(im, EXTENT, 2 * EXTENT, 0);
    lab_expect(im, 3 * EXTENT, 9 * 512, 0x21);
    lab_expect(im, 3 * EXTENT + 9 * 512, EXTENT, 0);
    img_close(im);
    snprintf(
        cmd, sizeof(cmd),
        "command -v qemu-io >/dev/null || exit 0; qemu-io -r -f bochs -c 'read -P 34 65024 512' "
        "-c 'read -P 33 196608 4608' -c 'read -P 0 201216 65536' '%s' | "
        "{ ! grep -i fail; }",
        lab("b.img"));
    assert_int_equal(system(cmd), 0);
    lab_refused("b.img", (struct disk_options){0}, "only reads");
    /* A catalog entry behind the end of the file. */
    lab_poke32("b.img", 512, 1000);
    im = lab_img("b.img", READ);
    u8 b[512];

    assert_int_equal(img_read(im, 0, b, 512), -EIO);
    img_close(im);
}

static void refuses(u64 off, u32 v, const char *words)
{
    u32 old;

    lab_peek("r.img", off, &old, 4);
    lab_poke32("r.img", off, v);
    lab_refused("r.img", READ, words);
    lab_poke32("r.img", off, old);
}

static void test_refusals(void **state)
{
    make("r.img");
    refuses(32, 0, "no Bochs image");
    refuses(48, 0x6f646e55, "subtype \"Undoing\"");
    refuses(64, 3, "version 0x3");
    refuses(68, 100, "header of 100");
    refuses(72, 39, "disk of");
    refuses(72, 0xffffffff, "catalog of");
    refuses(72, 1 << 20, "longer than the file");
    refuses(76, 15, "bitmap of 15");
    refuses(80, 0, "extent of 0");
    refuses(80, 1u << 31, "extent of");
    refuses(92, 1, "disk of");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, lab_open, lab_close);
}
