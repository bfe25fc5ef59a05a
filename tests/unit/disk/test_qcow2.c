/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2 with many requests in flight, and what it refuses.  What single requests do is compared
 * with QEMU's tools in tests/format.
 */
#include "disk/img.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MANY = 512, LEN = 4608, SIZE = 16 << 20 };

static char dir[] = "/tmp/wirt-qcow2-XXXXXX";
static char path[128];

static void create(const char *options)
{
    struct disk_create c = {.path = path, .size = SIZE, .options = options};
    struct err e = {0};

    snprintf(path, sizeof(path), "%s/disk.qcow2", dir);
    assert_int_equal(disk_create("qcow2", &c, &e), 0);
}

struct many {
    struct blk_req r;
    struct iovec iov[3];
    u8 buf[3][LEN / 3];
    int result;
};

static u32 many_done;

static void many_cb(struct blk_req *r, int result)
{
    container_of(r, struct many, r)->result = result;
    __atomic_add_fetch(&many_done, 1, __ATOMIC_RELEASE);
}

static void submit(struct blk *b, struct many *m, enum blk_op op, u64 offset)
{
    m->r = (struct blk_req){.op = op,
                            .offset = offset,
                            .len = op == BLK_FLUSH ? 0 : LEN,
                            .iov = m->iov,
                            .niov = op <= BLK_WRITE ? 3 : 0,
                            .done = many_cb};
    for (int k = 0; k < 3; k++)
        m->iov[k] = (struct iovec){m->buf[k], LEN / 3};
    blk_submit(b, &m->r);
}

static void wait_for(u32 n)
{
    while (__atomic_load_n(&many_done, __ATOMIC_ACQUIRE) < n)
        usleep(100);
    __atomic_store_n(&many_done, 0, __ATOMIC_RELEASE);
}

/* Neighbours in one cluster at once, with flushes among them, while another region is discarded and
 * written again and again; then all of it is read back, and the image is sound. */
static void many(const char *options, bool no_uring, bool snapshot)
{
    struct disk_options o = {.no_uring = no_uring, .snapshot = snapshot};
    struct disk_check c = {0};
    struct many *m = calloc(MANY, sizeof(*m));
    struct img *im;
    struct blk *b;

    create(options);
    assert_int_equal(disk_open(&b, path, &o, NULL), 0);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < MANY; i++) {
            enum blk_op op = i % 16 == 15  ? BLK_FLUSH
                             : i % 8 == 3  ? BLK_DISCARD
                             : i % 16 == 4 ? BLK_WRITE_ZEROES
                                           : BLK_WRITE;
            u64 at = (u64)((i * 7 + round) % MANY) * LEN;

            for (int k = 0; k < 3; k++)
                memset(m[i].buf[k], i + k * 3 + round, LEN / 3);
            submit(b, &m[i], op, op == BLK_WRITE ? at : (SIZE / 2 + at));
        }
        wait_for(MANY);
        for (int i = 0; i < MANY; i++)
            assert_int_equal(m[i].result, 0);
        for (int i = 0; i < MANY; i++)
            submit(b, &m[i], BLK_READ, (u64)((i * 7 + round) % MANY) * LEN);
        wait_for(MANY);
        for (int i = 0; i < MANY; i++) {
            assert_int_equal(m[i].result, 0);
            if (i % 16 == 15 || i % 8 == 3 || i % 16 == 4)
                continue;
            for (int k = 0; k < 3; k++) {
                assert_int_equal(m[i].buf[k][0], (i + k * 3 + round) & 0xff);
                assert_int_equal(m[i].buf[k][LEN / 3 - 1], (i + k * 3 + round) & 0xff);
            }
        }
    }
    b->ops->close(b);
    o = (struct disk_options){.readonly = true, .for_check = true};
    assert_int_equal(img_open(&im, path, &o, NULL), 0);
    assert_int_equal(disk_check(im, &c, NULL), 0);
    assert_int_equal(c.errors, 0);
    assert_int_equal(c.leaks, 0);
    img_close(im);
    free(m);
}

static void test_many_in_flight(void **state)
{
    many("", false, false);
    many("cluster_size=4K", false, false);
    many("extended_l2=on", false, false);
    many("cluster_size=512", true, false);
    many("compat=0.10", true, true);
}

static void patch(u64 at, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY);

    assert_int_equal(pwrite(fd, bytes, n, (off_t)at), (ssize_t)n);
    close(fd);
}

static void refused(u64 at, const char *bytes, size_t n, const char *words)
{
    struct err e = {0};
    struct img *im;

    create("");
    patch(at, bytes, n);
    assert_true(img_open(&im, path, NULL, &e) < 0);
    assert_non_null(strstr(e.msg, path));
    if (!strstr(e.msg, words))
        fail_msg("\"%s\" says nothing of \"%s\"", e.msg, words);
}

static void test_refusals(void **state)
{
    refused(4, "\0\0\0\7", 4, "version 7");
    refused(20, "\0\0\0\x20", 4, "cluster_bits 32");
    refused(24, "\x7f\xff\xff\xff", 4, "size");
    refused(32, "\0\0\0\2", 4, "LUKS");
    refused(36, "\xff\xff\xff\xff", 4, "l1_size");
    refused(40, "\0\0\0\0\0\0\2\1", 8, "l1_table_offset");
    refused(56, "\xff\xff\xff\xff", 4, "refcount_table_clusters");
    refused(60, "\0\xff\xff\xff", 4, "nb_snapshots");
    refused(72, "\x80", 1, "bit 63");
    refused(79, "\2", 1, "corrupt");
    refused(79, "\4", 1, "data file");
    refused(96, "\0\0\0\7", 4, "refcount_order 7");
    refused(100, "\0\0\0\x69", 4, "header_length 105");
}

static int make_dir(void **state)
{
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    char cmd[160];

    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
    return system(cmd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_in_flight),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
