/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parallels: what QEMU's tools do not show: refusals, the old magic, bundles with snapshots and
 * several storages, growing, damage.
 */
#include "imagelab.h"

#include "disk/parallels.h"

#include <sys/resource.h>

#define WRITE ((struct disk_options){0})
#define READ  ((struct disk_options){.readonly = true})

enum { C = 64 << 10 }; /* the clusters of most images here */

static void test_refusals(void **state)
{
    lab_create("parallels", "a.hds", 5 * MIB, NULL, NULL);
    lab_refuses32("a.hds", HH_VERSION, 3, "version 3");
    lab_refuses32("a.hds", HH_TRACKS, 0, "tracks 0");
    lab_refuses32("a.hds", HH_TRACKS, HDS_TRACKS_MAX + 1, "tracks");
    lab_refuses32("a.hds", HH_TRACKS, 1 << 20, "data_off");
    lab_refuses32("a.hds", HH_TRACKS, 4095, "data_off");
    lab_refuses32("a.hds", HH_ENTRIES, 4, "nb_sectors");
    lab_refuses32("a.hds", HH_ENTRIES, 0xffffffff, "nb_bat_entries");
    lab_refuses32("a.hds", HH_ENTRIES, 1 << 20, "data_off");
    lab_refuses32("a.hds", HH_SECTORS, 0, "nb_sectors 0");
    lab_refuses32("a.hds", HH_SECTORS + 4, 1, "nb_sectors");
    lab_refuses32("a.hds", HH_IN_USE, 1, "in_use 0x1");
    lab_refuses32("a.hds", HH_DATA, 0, "data_off 0");
    lab_refuses32("a.hds", HH_DATA, 2049, "data_off 2049");
    lab_refuses32("a.hds", HH_BAT, 77, "check and repair");
    lab_poke32("a.hds", HH_ENTRIES, 1 << 19);
    lab_poke32("a.hds", HH_DATA, 4 << 11);
    lab_refused("a.hds", READ, "longer than the file");
    lab_create_refused("parallels", "b.hds", MIB, "cluster_size=3000", NULL, "cluster_size");
    lab_create_refused("parallels", "b.hds", 1ull << 60, NULL, NULL, "too small");
}

/* An extension that must be kept makes an image read-only; a dirty bitmap is dropped. */
static void test_extension(void **state)
{
    u64 unknown = 0x1122334455667788, flags = 1, bitmap = 0x20385fae252cb34a;
    u32 in_use;

    lab_create("parallels", "x.hds", 4 * MIB, "cluster_size=64K", NULL);
    lab_poke32("x.hds", HH_EXTENSION, C / 512);
    lab_poke("x.hds", C + 24, &unknown, 8);
    lab_poke("x.hds", C + 32, &flags, 8);
    lab_poke32("x.hds", 2 * C - 4, 0);
    img_close(lab_img("x.hds", WRITE)); /* in_use says that there is none */
    lab_poke32("x.hds", HH_IN_USE, HDS_EXTENDED);
    lab_refused("x.hds", WRITE, "0x1122334455667788");
    /* Parts without end. */
    flags = 0;
    for (unsigned i = 0; i < 1025; i++) {
        lab_poke("x.hds", C + 24 + 24ull * i, &unknown, 8);
        lab_poke("x.hds", C + 32 + 24ull * i, &flags, 8);
    }
    lab_refused("x.hds", WRITE, "more than 1024 parts");
    flags = 1;
    lab_poke("x.hds", C + 32, &flags, 8);
    lab_poke("x.hds", C + 48, &(u64){0}, 8);
    img_close(lab_img("x.hds", READ));
    lab_poke("x.hds", C + 24, &bitmap, 8);
    struct img *im = lab_img("x.hds", WRITE);

    lab_write(im, 0, 512, 0x12);
    lab_peek("x.hds", HH_IN_USE, &in_use, 4);
    assert_int_equal(in_use, HDS_IN_USE);
    img_close(im);
    lab_peek("x.hds", HH_IN_USE, &in_use, 4);
    assert_int_equal(in_use, 0);
    lab_peek("x.hds", HH_EXTENSION, &in_use, 4);
    assert_int_equal(in_use, 0);
}

/* Clusters as large as QEMU makes them take no memory of that size, and no room. */
static void test_large_clusters(void **state)
{
    static const char *const options[] = {"cluster_size=128M", "cluster_size=1G"};
    struct rusage before, after;
    struct stat st;

    getrusage(RUSAGE_SELF, &before);
    for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
        lab_create("parallels", "large.hds", 5 * GIB, options[i], NULL);
        struct img *im = lab_img("large.hds", WRITE);

        lab_write(im, 3 * GIB - 512, 1024, 0x44);
        img_close(im);
        lab_sound("large.hds");
        im = lab_img("large.hds", READ);
        lab_expect(im, 3 * GIB - 1024, 512, 0);
        lab_expect(im, 3 * GIB - 512, 1024, 0x44);
        lab_expect(im, 3 * GIB + 512, 512, 0);
        lab_expect(im, 5 * GIB - 512, 512, 0);
        img_close(im);
        assert_int_equal(stat("large.hds", &st), 0);
        assert_true((u64)st.st_blocks * 512 < 8 * MIB);
        unlink("large.hds");
    }
    getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_maxrss - before.ru_maxrss < 64 << 10); /* KiB */
    lab_create_refused("parallels", "large.hds", GIB, "cluster_size=2G", NULL, "from 4K to 1G");
    /* The largest there are, of no power of two. */
    u8 h[512] = HDS_MAGIC_NEW;

    le32_put(h + HH_VERSION, 2);
    le32_put(h + HH_TRACKS, HDS_TRACKS_MAX);
    le32_put(h + HH_ENTRIES, 2);
    le64_put(h + HH_SECTORS, 2ull * HDS_TRACKS_MAX);
    le32_put(h + HH_DATA, HDS_TRACKS_MAX);
    le32_put(h + HH_BAT + 4, 1);
    lab_poke("largest.hds", 0, h, sizeof(h));
    memset(h, 0x55, sizeof(h));
    lab_poke("largest.hds", 512ull * HDS_TRACKS_MAX, h, sizeof(h));
    struct img *im = lab_img("largest.hds", READ);

    lab_expect(im, 512ull * (HDS_TRACKS_MAX - 1), 512, 0);
    lab_expect(im, 512ull * HDS_TRACKS_MAX, 512, 0x55);
    img_close(im);
    lab_refused("largest.hds", WRITE, "power of two");
    unlink("largest.hds");
}

/* Old images: entries count in sectors, clusters of 63 sectors, no data_off. */
static void test_old(void **state)
{
    u8 h[512] = HDS_MAGIC_OLD, data[63 * 512];
    struct img *im;

    le32_put(h + HH_VERSION, 2);
    le32_put(h + HH_TRACKS, 63);
    le32_put(h + HH_ENTRIES, 4);
    le32_put(h + HH_SECTORS, 3 * 63 + 5);
    le32_put(h + HH_BAT + 4, 1 + 63);
    le32_put(h + HH_BAT + 12, 1);
    lab_poke("old.hdd", 0, h, sizeof(h));
    memset(data, 0x31, sizeof(data));
    lab_poke("old.hdd", 512, data, sizeof(data));
    memset(data, 0x32, sizeof(data));
    lab_poke("old.hdd", 64 * 512, data, sizeof(data));
    im = lab_img("old.hdd", READ);
    assert_int_equal(im->b.size, (3 * 63 + 5) * 512);
    lab_expect(im, 0, 63 * 512, 0);
    lab_expect(im, 63 * 512, 63 * 512, 0x32);
    lab_expect(im, 2 * 63 * 512, 63 * 512, 0);
    lab_expect(im, 3 * 63 * 512, 5 * 512, 0x31);
    img_close(im);
    lab_refused("old.hdd", WRITE, "power of two");
    /* With clusters of 64 sectors it is written. */
    lab_poke32("old.hdd", HH_TRACKS, 64);
    lab_poke32("old.hdd", HH_BAT + 4, 1 + 64);
    im = lab_img("old.hdd", WRITE);
    lab_write(im, 0, 512, 0x33);
    img_close(im);
    im = lab_img("old.hdd", READ);
    lab_expect(im, 0, 512, 0x33);
    lab_expect(im, 512, 63 * 512, 0);
    img_close(im);
    assert_int_equal(lab_check("old.hdd", false).errors, 0);
}

static void put_text(const char *name, const char *text)
{
    unlink(lab(name));
    lab_poke(name, 0, text, strlen(text));
}

#define GUID_A "{aaaaaaaa-0000-0000-0000-000000000001}"
#define GUID_B "{bbbbbbbb-0000-0000-0000-000000000002}"
#define TOP    "{5fbaabe3-6958-40ff-92a7-860e329aab41}"
#define NOBODY "{00000000-0000-0000-0000-000000000000}"
#define IMAGE(guid, type, file)                                                                    \
    "<Image><GUID>" guid "</GUID><Type>" type "</Type><File>" file "</File></Image>"
#define SHOT(guid, parent) "<Shot><GUID>" guid "</GUID><ParentGUID>" parent "</ParentGUID></Shot>"
#define DISK(params, storages, shots)                                                              \
    "<?xml version='1.0'?>\n<Parallels_disk_image Version=\"1.0\">\n<Disk_Parameters>" params      \
    "<Unknown><x/></Unknown></Disk_Parameters><StorageData>" storages                              \
    "</StorageData><Snapshots>" shots "</Snapshots></Parallels_disk_image>\n"
#define STORAGE(start, end, images)                                                                \
    "<Storage><Start>" start "</Start><End>" end "</End><Blocksize>128</Blocksize>" images         \
    "</Storage>"
#define SIZE "<Disk_size> 8192 </Disk_size><Padding>0</Padding>"

static void test_bundle(void **state)
{
    struct disk_snapshot *list;
    struct disk_options snap = {.readonly = true};
    struct err e = {0};
    struct img *im;
    unsigned n;

    lab_create("parallels", "d.hdd", 4 * MIB, "bundle=on", NULL);
    im = lab_img("d.hdd", WRITE);
    lab_write(im, 5 * 512, 512, 0x41);
    img_close(im);
    im = lab_img("d.hdd/DiskDescriptor.xml", READ);
    lab_expect(im, 5 * 512, 512, 0x41);
    img_close(im);

    /* Base plain, one snapshot on it, and what is written. */
    u8 *b = malloc(4 * MIB);

    memset(b, 0x42, 4 * MIB);
    assert_int_equal(mkdir(lab("s.hdd"), 0700), 0);
    lab_poke("s.hdd/base", 0, b, 4 * MIB);
    free(b);
    lab_create("parallels", "s.hdd/a.hds", 4 * MIB, "cluster_size=64K", NULL);
    lab_create("parallels", "s.hdd/top.hds", 4 * MIB, "cluster_size=64K", NULL);
    im = lab_img("s.hdd/a.hds", WRITE);
    lab_write(im, C, C, 0x43);
    img_close(im);
    put_text("s.hdd/DiskDescriptor.xml",
             DISK(SIZE,
                  STORAGE("0", "8192",
                          IMAGE(TOP, "Compressed", "top.hds")
                              IMAGE(GUID_A, "Compressed", "/Users/somebody/s.hdd/a.hds")
                                  IMAGE(GUID_B, "Plain", "base")),
                  SHOT(GUID_B, NOBODY) SHOT(GUID_A, GUID_B) SHOT(TOP, GUID_A)));
    im = lab_img("s.hdd", WRITE);
    lab_expect(im, 0, C, 0x42);
    lab_expect(im, C, C, 0x43);
    lab_write(im, 2 * C - 512, 1024, 0x44);
    img_close(im);
    im = lab_img("s.hdd", READ);
    lab_expect(im, C, C - 512, 0x43);
    lab_expect(im, 2 * C - 512, 1024, 0x44);
    lab_expect(im, 2 * C + 512, C, 0x42);
    assert_int_equal(disk_snapshots(im, &list, &n, &e), 0);
    assert_int_equal(n, 2);
    assert_string_equal(list[1].id, GUID_A);
    free(list);
    img_close(im);
    snap.internal = GUID_A;
    im = lab_img("s.hdd", snap);
    lab_expect(im, C, C, 0x43);
    lab_expect(im, 2 * C, C, 0x42);
    img_close(im);
    snap.internal = GUID_B;
    im = lab_img("s.hdd", snap);
    lab_expect(im, 0, 4 * MIB, 0x42);
    img_close(im);
    snap.internal = TOP "x";
    lab_refused("s.hdd", snap, "no snapshot");

    /* Two storages. */
    lab_create("parallels", "s.hdd/one.hds", 2 * MIB, "cluster_size=64K", NULL);
    lab_create("parallels", "s.hdd/two.hds", 2 * MIB, "cluster_size=64K", NULL);
    put_text("s.hdd/DiskDescriptor.xml",
             DISK(SIZE,
                  STORAGE("0", "4096", IMAGE(TOP, "Compressed", "one.hds"))
                      STORAGE("4096", "8192", IMAGE(TOP, "Compressed", "two.hds")),
                  SHOT(TOP, NOBODY)));
    im = lab_img("s.hdd", WRITE);
    lab_write(im, 2 * MIB - 512, 1024, 0x45);
    img_close(im);
    im = lab_img("s.hdd", READ);
    lab_expect(im, 0, 2 * MIB - 512, 0);
    lab_expect(im, 2 * MIB - 512, 1024, 0x45);
    lab_expect(im, 2 * MIB + 512, 2 * MIB - 512, 0);
    img_close(im);
}

static void refused_text(const char *text, const char *words)
{
    put_text("DiskDescriptor.xml", text);
    lab_refused("DiskDescriptor.xml", READ, words);
}

/* n times `piece` in the elements that `in` opens. */
static void refused_many(const char *in, const char *piece, unsigned n, const char *words)
{
    char *text = malloc(strlen(piece) * n + 256), *p = text;

    p += sprintf(p, "<Parallels_disk_image>%s", in);
    while (n--)
        p = stpcpy(p, piece);
    for (const char *end = in + strlen(in); end > in;) {
        while (*--end != '<')
            ;
        p += sprintf(p, "</%.*s", (int)(strcspn(end, ">")), end + 1);
    }
    strcpy(p, "</Parallels_disk_image>");
    refused_text(text, words);
    free(text);
}

#define TEXT64  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define TEXT256 TEXT64 TEXT64 TEXT64 TEXT64
#define TEXT1K  TEXT256 TEXT256 TEXT256 TEXT256

static void test_descriptor(void **state)
{
    char *deep = calloc(1, 4096);

    lab_create("parallels", "t.hds", 4 * MIB, NULL, NULL);
#define ONE STORAGE("0", "8192", IMAGE(TOP, "Compressed", "t.hds"))
    refused_text(DISK(SIZE, ONE, "") "<", "line");
    refused_text("<a><Parallels_disk_image/></a>", "no Parallels disk descriptor");
    refused_text("<!DOCTYPE a [<!ENTITY x \"y\">]>" DISK(SIZE, ONE, ""), "document type");
    refused_text("<!DOCTYPE a>\n<Parallels_disk_image/>", "document type");
    refused_text(DISK("", ONE, ""), "no Disk_size");
    refused_text(DISK("<Disk_size>-1</Disk_size>", ONE, ""), "Disk_size -1");
    refused_text(DISK(SIZE "<Padding>1</Padding>", ONE, ""), "Padding 1");
    refused_text(DISK(SIZE "<Encryption><Engine>x</Engine></Encryption>", ONE, ""), "encrypted");
    refused_text(DISK(SIZE, "", ""), "no Storage");
    refused_text(DISK(SIZE, STORAGE("1", "8192", IMAGE(TOP, "Compressed", "t.hds")), ""),
                 "Storage 0");
    refused_text(DISK(SIZE, STORAGE("0", "8191", IMAGE(TOP, "Compressed", "t.hds")), ""),
                 "Disk_size 8192");
    refused_text(DISK(SIZE, STORAGE("0", "8192", IMAGE(TOP, "Magic", "t.hds")), ""), "Type Magic");
    refused_text(DISK(SIZE, STORAGE("0", "8192", IMAGE("x", "Plain", "t.hds")), ""), "GUID x");
    refused_text(DISK(SIZE, STORAGE("0", "8192", "<Image></Image>"), ""), "without GUID");
    refused_text(DISK(SIZE, STORAGE("0", "8192", IMAGE(TOP, "Compressed", "/etc/passwd")), ""),
                 "--allow-external");
    refused_text(DISK(SIZE, ONE, SHOT(TOP, GUID_A)), "no image " GUID_A);
    refused_text(
        DISK(SIZE,
             STORAGE("0", "8192",
                     IMAGE(TOP, "Compressed", "t.hds") IMAGE(GUID_A, "Compressed", "t.hds")),
             SHOT(TOP, GUID_A) SHOT(GUID_A, TOP)),
        "below itself");
    refused_text(DISK(SIZE,
                      STORAGE("0", "8192",
                              IMAGE(TOP, "Plain", "t.hds") IMAGE(GUID_A, "Compressed", "t.hds")),
                      SHOT(TOP, GUID_A)),
                 "below a plain file");
    strcpy(deep, "<Parallels_disk_image>");
    for (int i = 0; i < 40; i++)
        strcat(deep, "<a>");
    refused_text(deep, "too deeply");
    free(deep);
    refused_text(DISK(SIZE, STORAGE("0", "8192", IMAGE(TOP, "Plain", TEXT1K)), ""),
                 "File of an image has 1024 bytes");
    refused_text(DISK(SIZE "<Encryption>a<Data>b</Data></Encryption>", ONE, ""), "encrypted");
    refused_text(DISK(SIZE "<Disk_size>1x</Disk_size>", ONE, ""), "Disk_size 1x");
    refused_text("<Parallels_disk_image><Storage>" IMAGE(
                     TOP, "Plain", "t.hds") "</Storage>"
                                            "<Disk_Parameters>" SIZE
                                            "</Disk_Parameters></Parallels_disk_image>",
                 "no Storage");
    refused_many("<StorageData>", "<Storage/>", 1025, "more than 1024 storages");
    refused_many("<StorageData><Storage>", IMAGE(TOP, "Plain", "t"), 1025, "more than 1024 images");
    refused_many("<Snapshots>", "<Shot/>", 1025, "more than 1024 snapshots");
    refused_many("<Snapshots>", "<a/>", 40000, "too many");
}

static void grow(const char *options, u64 from, u64 to)
{
    struct err e = {0};
    struct img *im;
    struct disk_check c;

    lab_create("parallels", "grow.hds", from, options, NULL);
    im = lab_img("grow.hds", WRITE);
    lab_write(im, from - 512, 512, 0x51);
    lab_write(im, MIB, 2 * MIB, 0x52);
    lab_write(im, 0, 512, 0x53);
    if (disk_resize(im, to, &e))
        fail_msg("%s", e.msg);
    lab_write(im, to - 512, 512, 0x54);
    img_close(im);
    c = lab_check("grow.hds", false);
    assert_int_equal(c.errors, 0);
    im = lab_img("grow.hds", WRITE);
    assert_int_equal(im->b.size, to);
    lab_expect(im, 0, 512, 0x53);
    lab_expect(im, 512, MIB - 512, 0);
    lab_expect(im, MIB, 2 * MIB, 0x52);
    lab_expect(im, from - 512, 512, 0x51);
    lab_expect(im, from, MIB, 0);
    lab_expect(im, to - 512, 512, 0x54);
    assert_int_equal(disk_resize(im, from, &e), -EINVAL);
    img_close(im);
    unlink(lab("grow.hds"));
}

static void test_grow(void **state)
{
    grow(NULL, 10 * MIB + 512, 20 * MIB);
    grow("cluster_size=4K", 10 * MIB + 512, 20 * MIB);
    grow("cluster_size=64K", 99 * MIB, 8 * GIB);
    grow("cluster_size=4K", 5 * MIB, 2 * GIB);
}

static void test_check(void **state)
{
    struct disk_check c;
    struct img *im;

    lab_create("parallels", "c.hds", 8 * MIB, "cluster_size=64K", NULL);
    im = lab_img("c.hds", WRITE);
    for (u64 i = 0; i < 6; i++)
        lab_write(im, i * C, C, 0x60 + (int)i);
    img_close(im);
    c = lab_check("c.hds", false);
    assert_int_equal(c.errors + c.leaks, 0);
    assert_int_equal(c.allocated, 6);
    /* Entry 2 is lost, entry 3 shares the cluster of entry 0, entry 7 is out of range. */
    lab_poke32("c.hds", HH_BAT + 8, 0);
    lab_poke32("c.hds", HH_BAT + 12, 1);
    lab_poke32("c.hds", HH_BAT + 28, 0x1000000);
    lab_poke32("c.hds", HH_IN_USE, HDS_IN_USE);
    c = lab_check("c.hds", false);
    assert_int_equal(c.errors, 2);
    assert_int_equal(c.leaks, 3);
    c = lab_check("c.hds", true);
    assert_int_equal(c.errors + c.leaks, 0);
    assert_int_equal(c.errors_fixed, 2);
    c = lab_check("c.hds", false);
    assert_int_equal(c.errors + c.leaks, 0);
    im = lab_img("c.hds", WRITE);
    lab_expect(im, 0, C, 0x60);
    lab_expect(im, C, C, 0x61);
    lab_expect(im, 2 * C, C, 0);
    lab_expect(im, 3 * C, C, 0x60);
    lab_expect(im, 4 * C, C, 0x64);
    lab_expect(im, 5 * C, C, 0x65);
    lab_expect(im, 7 * C, C, 0);
    img_close(im);
    /* "Empty": whatever the table says. */
    lab_poke32("c.hds", HH_FLAGS, HDS_EMPTY);
    im = lab_img("c.hds", WRITE);
    lab_expect(im, 0, MIB, 0);
    lab_write(im, C, 512, 0x71);
    img_close(im);
    im = lab_img("c.hds", READ);
    lab_expect(im, 0, C, 0);
    lab_expect(im, C, 512, 0x71);
    lab_expect(im, C + 512, MIB, 0);
    img_close(im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),       cmocka_unit_test(test_extension),
        cmocka_unit_test(test_large_clusters), cmocka_unit_test(test_old),
        cmocka_unit_test(test_bundle),         cmocka_unit_test(test_descriptor),
        cmocka_unit_test(test_grow),           cmocka_unit_test(test_check),
    };

    return cmocka_run_group_tests(tests, lab_open, lab_close);
}
