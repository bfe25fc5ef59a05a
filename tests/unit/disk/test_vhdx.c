/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHDX: what tests/format/compare.py cannot show: the log, parents, sectors of 4096 bytes, resize,
 * repair, refusals.
 */
#include "disk/vhdx.h"
#include "imagelab.h"

#include "base/crc32c.h"

#include <sys/resource.h>

/* Where create() puts things. */
enum { LOG_AT = 1 << 20, META_AT = 2 << 20, ITEMS_AT = META_AT + (64 << 10), BAT_AT = 3 << 20 };

static void copy_file(const char *from, const char *to)
{
    char cmd[160];

    snprintf(cmd, sizeof(cmd), "cp --sparse=always %s %s", from, to);
    assert_int_equal(system(cmd), 0);
}

/* ---------------------------------------------------------------------- the log -- */

/* crash.vhdx: an image as it is after a flush and a kill, with its BAT as before the flush. */
static void make_crashed_log(const char *options, u64 bat_at)
{
    u8 bat[VHDX_PAGE];
    struct img *im;

    lab_create("vhdx", "live.vhdx", 40 * MIB, options, NULL);
    im = lab_img("live.vhdx", (struct disk_options){0});
    lab_write(im, 0, MIB, 0x11);
    assert_int_equal(img_flush(im), 0);
    lab_peek("live.vhdx", bat_at, bat, sizeof(bat));
    lab_write(im, 5 * MIB, MIB, 0x22);
    assert_int_equal(img_flush(im), 0);
    copy_file("live.vhdx", "crash.vhdx");
    img_close(im);
    lab_poke("crash.vhdx", bat_at, bat, sizeof(bat));
}

static void make_crashed(void)
{
    make_crashed_log("block_size=1M", BAT_AT);
}

static bool log_is_set(const char *path)
{
    u8 h[2][80];
    int k;

    lab_peek(path, VHDX_HEADER_1, h[0], sizeof(h[0]));
    lab_peek(path, VHDX_HEADER_2, h[1], sizeof(h[1]));
    k = le64_get(h[1] + XH_SEQUENCE) > le64_get(h[0] + XH_SEQUENCE);
    return !guid_is(h[k] + XH_LOG_GUID, "00000000-0000-0000-0000-000000000000");
}

static void test_replay(void **state)
{
    struct disk_options ro = {.readonly = true};
    u8 before[16], after[16];
    struct img *im;

    make_crashed();
    assert_true(log_is_set("crash.vhdx"));
    assert_false(log_is_set("live.vhdx"));
    /* In memory only. */
    lab_peek("crash.vhdx", BAT_AT + 40, before, sizeof(before));
    im = lab_img("crash.vhdx", ro);
    lab_expect(im, 0, MIB, 0x11);
    lab_expect(im, 5 * MIB, MIB, 0x22);
    img_close(im);
    lab_peek("crash.vhdx", BAT_AT + 40, after, sizeof(after));
    assert_memory_equal(before, after, sizeof(before));
    /* For good. */
    im = lab_img("crash.vhdx", (struct disk_options){0});
    lab_expect(im, 5 * MIB, MIB, 0x22);
    img_close(im);
    assert_false(log_is_set("crash.vhdx"));
    lab_sound("crash.vhdx");
    im = lab_img("crash.vhdx", ro);
    lab_expect(im, 0, MIB, 0x11);
    lab_expect(im, MIB, 4 * MIB, 0);
    lab_expect(im, 5 * MIB, MIB, 0x22);
    img_close(im);
}

/* The entry that would be replayed: it is the one with the highest sequence number. */
static u32 last_entry(const char *path)
{
    u64 best = 0;
    u32 at = 0;

    for (u32 off = 0; off < MIB; off += VHDX_PAGE) {
        u8 h[64];

        lab_peek(path, LOG_AT + off, h, sizeof(h));
        if (!memcmp(h, "loge", 4) && le64_get(h + 16) > best) {
            best = le64_get(h + 16);
            at = off;
        }
    }
    assert_int_not_equal(best, 0);
    return at;
}

static void change_entry(u32 at, u32 value, unsigned bytes, bool seal)
{
    u32 off = last_entry("crash.vhdx");
    u8 e[2 * VHDX_PAGE], wire[4];

    le32_put(wire, value);
    lab_peek("crash.vhdx", LOG_AT + off, e, sizeof(e));
    assert_int_equal(le32_get(e + 8), sizeof(e));
    memcpy(e + at, wire, bytes);
    if (seal)
        le32_put(e + 4, vhdx_checksum(e, sizeof(e), 4));
    lab_poke("crash.vhdx", LOG_AT + off, e, sizeof(e));
}

static void test_bad_log(void **state)
{
    static const struct {
        u32 at, value;
        bool seal;
        const char *words;
    } rows[] = {
        {5000, 7, false, NULL},                        /* checksum: the entry before it counts */
        {16, 0, true, NULL},                           /* sequence number */
        {8, 100, true, NULL},                          /* length */
        {24, 0x00ffffff, true, NULL},                  /* descriptor count */
        {24, 0, true, NULL},                           /* a data sector without a descriptor */
        {12, 0x5000, true, "no valid sequence"},       /* a tail that is no entry */
        {64, 0x41414141, true, NULL},                  /* descriptor signature */
        {80, 4097, true, NULL},                        /* file offset of a descriptor */
        {80, 64 << 10, true, "no place for metadata"}, /* ... into the headers */
        {80, LOG_AT, true, "no place for metadata"},
        {80, 0x7ff00000, true, "no place for metadata"},
        {52, 1, true, "is cut off"}, /* FlushedFileOffset, high half */
        {60, 0x10000, true, "LastFileOffset"},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        make_crashed();
        change_entry(rows[i].at, rows[i].value, 4, rows[i].seal);
        for (int write = 0; write < 2; write++) {
            struct disk_options o = {.readonly = !write};

            if (rows[i].words) {
                lab_refused("crash.vhdx", o, rows[i].words);
                continue;
            }
            struct img *im = lab_img("crash.vhdx", o);

            lab_expect(im, 0, MIB, 0x11);
            lab_expect(im, 5 * MIB, MIB, 0);
            img_close(im);
        }
    }
    /* No entry at all. */
    u8 *zeros = calloc(1, MIB);

    make_crashed();
    lab_poke("crash.vhdx", LOG_AT, zeros, MIB);
    free(zeros);
    lab_refused("crash.vhdx", (struct disk_options){0}, "no valid sequence");
}

/* An entry as make_crashed() leaves it, made to lie at `off`, which may wrap. */
static void put_entry(u32 log, u32 off, u8 e[2 * VHDX_PAGE], u32 tail)
{
    le32_put(e + 12, tail);
    le32_put(e + 4, vhdx_checksum(e, 2 * VHDX_PAGE, 4));
    lab_poke("crash.vhdx", LOG_AT + off, e, VHDX_PAGE);
    lab_poke("crash.vhdx", LOG_AT + (off + VHDX_PAGE) % log, e + VHDX_PAGE, VHDX_PAGE);
}

/* Logs as long as the format allows, whose entry is at the end and goes on at the beginning. */
static void test_huge_log(void **state)
{
    static const u32 sizes[] = {256, 4095}; /* MiB */
    u8 e[2 * VHDX_PAGE], *zeros = calloc(1, MIB);
    struct rusage before, after;

    getrusage(RUSAGE_SELF, &before);
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        u32 log = sizes[i] << 20, last = log - VHDX_PAGE;
        char options[64];
        struct img *im;

        snprintf(options, sizeof(options), "block_size=1M,log_size=%uM", sizes[i]);
        make_crashed_log(options, LOG_AT + log + (u64)MIB);
        lab_peek("crash.vhdx", LOG_AT + last_entry("crash.vhdx"), e, sizeof(e));
        lab_poke("crash.vhdx", LOG_AT, zeros, MIB);
        put_entry(log, last, e, last);
        im = lab_img("crash.vhdx", (struct disk_options){.readonly = true});
        lab_expect(im, 0, MIB, 0x11);
        lab_expect(im, 5 * MIB, MIB, 0x22);
        img_close(im);
        im = lab_img("crash.vhdx", (struct disk_options){0});
        lab_expect(im, 5 * MIB, MIB, 0x22);
        lab_write(im, 9 * MIB, MIB, 0x33);
        img_close(im);
        assert_false(log_is_set("crash.vhdx"));
        lab_sound("crash.vhdx");
        im = lab_img("crash.vhdx", (struct disk_options){.readonly = true});
        lab_expect(im, 5 * MIB, MIB, 0x22);
        lab_expect(im, 9 * MIB, MIB, 0x33);
        img_close(im);
    }
    getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_maxrss - before.ru_maxrss < 64 << 10); /* KiB */
    free(zeros);
    lab_create_refused("vhdx", "h.vhdx", MIB, "log_size=4096M", NULL, "up to 4095M");
    unlink("live.vhdx");
    unlink("crash.vhdx");
}

/* Sequences one behind the other: the one with the highest number counts, if its tail is in it. */
static void test_sequences(void **state)
{
    u8 e[2 * VHDX_PAGE], *zeros = calloc(1, MIB);
    const struct {
        u64 seq;
        u32 at, tail; /* pages */
    } rows[] = {
        {100, 2, 2},     {101, 4, 2},     {102, 6, 4}, /* valid */
        {300, 8, 40},    {301, 10, 40},                /* its tail is in none of them */
        {200, 20, 20},   {201, 22, 22},                /* valid, and the one */
        {150, 250, 250}, {151, 252, 252}, {152, 254, 252},
        {153, 0, 0}, /* wraps, to the first of them */
    };
    struct img *im;

    make_crashed();
    lab_peek("crash.vhdx", LOG_AT + last_entry("crash.vhdx"), e, sizeof(e));
    lab_poke("crash.vhdx", LOG_AT, zeros, MIB);
    free(zeros);
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        u8 mark[8] = {0};

        le64_put(e + 16, rows[i].seq);
        le64_put(e + 64 + 24, rows[i].seq);
        le32_put(e + VHDX_PAGE + 4, (u32)(rows[i].seq >> 32));
        le32_put(e + 2 * VHDX_PAGE - 4, (u32)rows[i].seq);
        /* The page's last 8 bytes, but for 4, say whose it was: no block's entry is there. */
        mark[0] = (u8)rows[i].seq;
        memcpy(e + 2 * VHDX_PAGE - 12, mark, 8);
        put_entry(MIB, rows[i].at * VHDX_PAGE, e, rows[i].tail * VHDX_PAGE);
    }
    im = lab_img("crash.vhdx", (struct disk_options){0});
    lab_expect(im, 5 * MIB, MIB, 0x22);
    img_close(im);
    lab_peek("crash.vhdx", BAT_AT + VHDX_PAGE - 12, e, 1);
    assert_int_equal(e[0], 201);
}

/* Without a log there is no way to change anything. */
static void test_no_log(void **state)
{
    u8 h[VHDX_PAGE];

    lab_create("vhdx", "none.vhdx", 4 * MIB, "block_size=1M", NULL);
    for (unsigned i = 0; i < 2; i++) {
        lab_peek("none.vhdx", i ? VHDX_HEADER_2 : VHDX_HEADER_1, h, sizeof(h));
        le32_put(h + XH_LOG_LENGTH, 0);
        le32_put(h + XH_CHECKSUM, vhdx_checksum(h, VHDX_PAGE, XH_CHECKSUM));
        lab_poke("none.vhdx", i ? VHDX_HEADER_2 : VHDX_HEADER_1, h, sizeof(h));
    }
    lab_refused("none.vhdx", (struct disk_options){0}, "has no log");
    img_close(lab_img("none.vhdx", (struct disk_options){.readonly = true}));
}

/* More pages than one entry holds, round and round the log. */
static void test_long_log(void **state)
{
    u64 size = 64 * GIB;
    struct img *im;

    lab_create("vhdx", "long.vhdx", size, "block_size=1M", NULL);
    im = lab_img("long.vhdx", (struct disk_options){0});
    for (int round = 0; round < 3; round++) {
        for (u64 i = 0; i < 120; i++) /* each in a page of its own */
            lab_write(im, (i * 512 + (u64)round) * MIB, 512, (int)i + 1);
        assert_int_equal(img_flush(im), 0);
        copy_file("long.vhdx", "copy.vhdx");
        struct img *copy = lab_img("copy.vhdx", (struct disk_options){0});

        for (u64 i = 0; i < 120; i++)
            lab_expect(copy, (i * 512 + (u64)round) * MIB, 512, (int)i + 1);
        img_close(copy);
        lab_sound("copy.vhdx");
    }
    img_close(im);
}

/* ------------------------------------------------------------------------ parents -- */

static void chain(const char *options, u32 sector)
{
    u64 size = 24 * MIB;
    struct img *im;

    lab_create("vhdx", "base.vhdx", size, options, NULL);
    im = lab_img("base.vhdx", (struct disk_options){0});
    lab_write(im, 0, 9 * MIB, 0x11);
    img_close(im);
    lab_create("vhdx", "child.vhdx", 0, "block_size=2M", "base.vhdx");
    im = lab_img("child.vhdx", (struct disk_options){0});
    assert_int_equal(im->b.size, size);
    lab_write(im, sector, sector, 0x22);
    lab_write(im, 2 * MIB - sector, 2ull * sector, 0x22);
    lab_write(im, 4 * MIB, 2 * MIB, 0x22);
    assert_int_equal(img_execute(im, &(struct blk_req){.op = BLK_WRITE_ZEROES,
                                                       .offset = 6 * MIB,
                                                       .len = 2 * MIB,
                                                       .unmap = true}),
                     0);
    lab_write(im, 7 * MIB, sector, 0x33);
    img_close(im);
    lab_sound("child.vhdx");
    lab_create("vhdx", "grandchild.vhdx", 0, NULL, "child.vhdx");
    im = lab_img("grandchild.vhdx", (struct disk_options){0});
    lab_expect(im, 0, sector, 0x11);
    lab_expect(im, sector, sector, 0x22);
    lab_expect(im, 2ull * sector, 2 * MIB - 3ull * sector, 0x11);
    lab_expect(im, 2 * MIB - sector, 2ull * sector, 0x22);
    lab_expect(im, 2 * MIB + sector, 2 * MIB - sector, 0x11);
    lab_expect(im, 4 * MIB, 2 * MIB, 0x22);
    lab_expect(im, 6 * MIB, MIB, 0);
    lab_expect(im, 7 * MIB, sector, 0x33);
    lab_expect(im, 7 * MIB + sector, MIB - sector, 0);
    lab_expect(im, 8 * MIB, MIB, 0x11);
    lab_expect(im, 9 * MIB, 15 * MIB, 0);
    img_close(im);
}

static void test_differencing(void **state)
{
    chain("block_size=1M", 512);
    chain("block_size=8M,logical_sector_size=4096", 4096);
    chain("subformat=fixed", 512);
}

/* Less than a sector of 4096 bytes over a parent. */
static void test_part_of_sector(void **state)
{
    struct img *im;

    lab_create("vhdx", "p4.vhdx", 4 * MIB, "logical_sector_size=4096", NULL);
    im = lab_img("p4.vhdx", (struct disk_options){0});
    assert_int_equal(im->b.block_size, 4096);
    lab_write(im, 0, MIB, 0x44);
    img_close(im);
    lab_create("vhdx", "c4.vhdx", 0, NULL, "p4.vhdx");
    im = lab_img("c4.vhdx", (struct disk_options){0});
    lab_write(im, 4096 + 512, 512, 0x55);
    lab_expect(im, 4096, 512, 0x44);
    lab_expect(im, 4096 + 512, 512, 0x55);
    lab_expect(im, 4096 + 1024, 8192, 0x44);
    img_close(im);
}

/* What a machine's drive must show; an overlay on it shows the same. */
static void test_big_sectors(void **state)
{
    struct disk_options o = {.any_sector = true}, small = {0};
    struct err e = {0};
    struct blk *b;

    lab_create("vhdx", "s4.vhdx", 4 * MIB, "logical_sector_size=4096", NULL);
    lab_create("qcow2", "s4.qcow2", 0, NULL, "s4.vhdx");
    lab_create("vhdx", "s5.vhdx", 4 * MIB, NULL, NULL);
    assert_int_equal(disk_open(&b, "s4.vhdx", &small, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "s4.vhdx: has sectors of 4096 bytes"));
    assert_int_equal(disk_open(&b, "s4.qcow2", &small, &e), -EINVAL);
    assert_int_equal(disk_open(&b, "s4.qcow2", &o, &e), 0);
    assert_int_equal(b->sector, 4096);
    b->ops->close(b);
    o.snapshot = true;
    assert_int_equal(disk_open(&b, "s4.vhdx", &o, &e), 0);
    assert_int_equal(b->sector, 4096);
    b->ops->close(b);
    assert_int_equal(disk_open(&b, "s5.vhdx", &small, &e), 0);
    assert_int_equal(b->sector, 512);
    b->ops->close(b);
}

static void test_wrong_parent(void **state)
{
    struct img *im;

    lab_create("vhdx", "p.vhdx", 4 * MIB, NULL, NULL);
    lab_create("vhdx", "c.vhdx", 0, NULL, "p.vhdx");
    img_close(lab_img("c.vhdx", (struct disk_options){0}));
    im = lab_img("p.vhdx", (struct disk_options){0}); /* opened, not changed */
    img_close(im);
    img_close(lab_img("c.vhdx", (struct disk_options){0}));
    im = lab_img("p.vhdx", (struct disk_options){0});
    lab_write(im, 0, 512, 1);
    img_close(im);
    lab_refused("c.vhdx", (struct disk_options){0}, "DataWriteGuid");
    unlink("p.vhdx");
    lab_refused("c.vhdx", (struct disk_options){0}, "No such file");
    img_close(lab_img("c.vhdx", (struct disk_options){.no_parent = true}));
    lab_create("vhdx", "p.vhdx", 4 * MIB, NULL, NULL);
    mkdir("in", 0700);
    lab_create("vhdx", "in/c.vhdx", 0, NULL, "../p.vhdx");
    lab_refused("in/c.vhdx", (struct disk_options){0}, "outside");
    img_close(lab_img("in/c.vhdx", (struct disk_options){.allow_external = true}));

    struct disk_create c = {.path = "d.vhdx", .backing = "raw", .size = MIB};
    struct err e = {0};

    lab_create("raw", "raw", MIB, NULL, NULL);
    assert_int_not_equal(disk_create("vhdx", &c, &e), 0);
    assert_non_null(strstr(e.msg, "the parent of a VHDX is a VHDX"));
}

/* ------------------------------------------------------------------- other sizes -- */

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
    struct img *im;

    lab_create("vhdx", "r.vhdx", 7 * MIB, "block_size=1M", NULL);
    im = lab_img("r.vhdx", (struct disk_options){0});
    lab_write(im, 0, 7 * MIB, 0x77);
    img_close(im);
    resize("r.vhdx", 5 * MIB + 512);
    resize("r.vhdx", 6 * MIB);
    resize("r.vhdx", 200 * GIB); /* the BAT moves */
    im = lab_img("r.vhdx", (struct disk_options){0});
    lab_expect(im, 0, 5 * MIB + 512, 0x77);
    lab_expect(im, 5 * MIB + 512, 4 * MIB, 0);
    lab_write(im, 199 * GIB, MIB, 0x78);
    img_close(im);
    resize("r.vhdx", 201 * GIB);
    im = lab_img("r.vhdx", (struct disk_options){0});
    lab_expect(im, 199 * GIB, MIB, 0x78);
    lab_expect(im, 0, 5 * MIB, 0x77);
    img_close(im);
    resize("r.vhdx", MIB);
    assert_true(lab_length("r.vhdx") < 16 * MIB);

    lab_create("vhdx", "f.vhdx", 7 * MIB, "subformat=fixed,block_size=2M", NULL);
    im = lab_img("f.vhdx", (struct disk_options){0});
    lab_write(im, 0, 7 * MIB, 0x79);
    img_close(im);
    resize("f.vhdx", 21 * MIB);
    im = lab_img("f.vhdx", (struct disk_options){0});
    lab_expect(im, 0, 7 * MIB, 0x79);
    lab_expect(im, 7 * MIB, 14 * MIB, 0);
    img_close(im);
    resize("f.vhdx", 4 * MIB);
}

/* Blocks that a discard gave back are used again, zeros where nothing is written. */
static void test_discard(void **state)
{
    struct img *im;
    u64 length;

    lab_create("vhdx", "t.vhdx", 16 * MIB, "block_size=1M", NULL);
    im = lab_img("t.vhdx", (struct disk_options){0});
    lab_write(im, 0, 8 * MIB, 0x66);
    img_close(im);
    length = lab_length("t.vhdx");
    im = lab_img("t.vhdx", (struct disk_options){0});
    assert_int_equal(
        img_execute(im, &(struct blk_req){.op = BLK_DISCARD, .offset = MIB, .len = 4 * MIB}), 0);
    assert_int_equal(img_flush(im), 0);
    lab_expect(im, MIB, 4 * MIB, 0);
    for (u64 i = 8; i < 12; i++)
        lab_write(im, i * MIB + 512, 512, 0x67);
    lab_expect(im, 8 * MIB, 512, 0);
    lab_expect(im, 8 * MIB + 512, 512, 0x67);
    lab_expect(im, 8 * MIB + 1024, MIB - 1024, 0);
    img_close(im);
    assert_int_equal(lab_length("t.vhdx"), length);
    lab_sound("t.vhdx");
}

/* ------------------------------------------------------------ damage and refusals -- */

static void test_repair(void **state)
{
    static const u64 damage[] = {VHDX_HEADER_1 + 16, VHDX_HEADER_2 + 16, VHDX_REGIONS_1 + 20,
                                 VHDX_REGIONS_2 + 20, BAT_AT + 24};
    u8 junk[8] = {0x0e, 0, 0, 0, 0, 0x55, 0x55, 0x55};

    for (unsigned i = 0; i < ARRAY_SIZE(damage); i++) {
        struct disk_check c;
        struct img *im;

        lab_create("vhdx", "d.vhdx", 6 * MIB, "block_size=1M", NULL);
        im = lab_img("d.vhdx", (struct disk_options){0});
        lab_write(im, 0, 2 * MIB, 0x12);
        img_close(im);
        lab_poke("d.vhdx", damage[i], junk, sizeof(junk));
        c = lab_check("d.vhdx", false);
        assert_int_equal(c.errors, 1);
        im = lab_img("d.vhdx", (struct disk_options){.readonly = true});
        lab_expect(im, 0, 2 * MIB, 0x12);
        img_close(im);
        c = lab_check("d.vhdx", true);
        assert_int_equal(c.errors, 0);
        assert_int_equal(c.errors_fixed, 1);
        lab_sound("d.vhdx");
        im = lab_img("d.vhdx", (struct disk_options){0});
        lab_expect(im, 0, 2 * MIB, 0x12);
        img_close(im);
    }
    /* Two blocks at one place. */
    lab_peek("d.vhdx", BAT_AT, junk, sizeof(junk));
    lab_poke("d.vhdx", BAT_AT + 8, junk, sizeof(junk));
    lab_refused("d.vhdx", (struct disk_options){0}, "something else");
    img_close(lab_img("d.vhdx", (struct disk_options){.readonly = true}));
    assert_int_equal(lab_check("d.vhdx", true).errors, 1);
    lab_poke("d.vhdx", VHDX_HEADER_1, "none", 4);
    lab_poke("d.vhdx", VHDX_HEADER_2, "none", 4);
    lab_refused("d.vhdx", (struct disk_options){0}, "neither header");
}

static void test_leak(void **state)
{
    lab_create("vhdx", "l.vhdx", 6 * MIB, "block_size=1M", NULL);
    assert_int_equal(truncate("l.vhdx", (off_t)lab_length("l.vhdx") + 3 * (off_t)MIB), 0);
    assert_int_equal(lab_check("l.vhdx", false).leaks, 1);
    assert_int_equal(lab_check("l.vhdx", true).leaks_fixed, 1);
    lab_sound("l.vhdx");
}

static void test_refusals(void **state)
{
    static const struct {
        u64 at;
        u32 value;
        const char *words;
    } rows[] = {
        {ITEMS_AT, 3 << 20, "block size"},
        {ITEMS_AT, 512 << 20, "block size"},
        {ITEMS_AT + 4, 2, "no parent locator"},
        {ITEMS_AT + 8, 513, "virtual disk size"},
        {ITEMS_AT + 12, 1 << 30, "virtual disk size"},
        {ITEMS_AT + 8 + 4, 1 << 12, "BAT region"},
        {ITEMS_AT + 32, 1024, "logical sector size 1024"},
        {META_AT, 0, "metadata table"},
        {META_AT + 8, 0xffff0000, "entry count"},
        {META_AT + 32 + 16, 7, "offset 7"},
        {META_AT + 32 + 20, 4, "length 4"},
        {META_AT + 32, 0x12345678, "which Wirt does not know"},
        {META_AT + 32 + 24, 0, "is missing"},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        u8 wire[4];

        lab_create("vhdx", "bad.vhdx", 16 * MIB, "block_size=1M", NULL);
        le32_put(wire, rows[i].value);
        if (!strcmp(rows[i].words, "is missing")) { /* not required, not known */
            u8 id[4] = {1, 2, 3, 4};

            lab_poke("bad.vhdx", META_AT + 32, id, sizeof(id));
        }
        lab_poke("bad.vhdx", rows[i].at, wire, sizeof(wire));
        lab_refused("bad.vhdx", (struct disk_options){0}, rows[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay),       cmocka_unit_test(test_bad_log),
        cmocka_unit_test(test_huge_log),     cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_no_log),       cmocka_unit_test(test_long_log),
        cmocka_unit_test(test_differencing), cmocka_unit_test(test_part_of_sector),
        cmocka_unit_test(test_wrong_parent), cmocka_unit_test(test_resize),
        cmocka_unit_test(test_discard),      cmocka_unit_test(test_repair),
        cmocka_unit_test(test_leak),         cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_big_sectors),
    };

    return cmocka_run_group_tests(tests, lab_open, lab_close);
}
