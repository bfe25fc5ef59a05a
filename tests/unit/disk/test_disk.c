/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening, locking, reading and writing images, with io_uring and without.
 */
#include "disk/disk.h"
#include "disk/disk_int.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/wirt-disk-XXXXXX";

static const char *make_file(const char *name, u64 size, int fill)
{
    static char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    u8 *buf = malloc(size + 1);

    memset(buf, fill, size);
    assert_int_equal(write(fd, buf, size), (ssize_t)size);
    free(buf);
    close(fd);
    return path;
}

static void expect_refused(const char *path, const struct disk_options *o, int code,
                           const char *words)
{
    struct err e = {0};
    struct blk *b;

    assert_int_equal(disk_open(&b, path, o, &e), -code);
    assert_non_null(strstr(e.msg, words));
    assert_non_null(strstr(e.msg, path));
    assert_null(strchr(e.msg, '\n'));
}

static void test_refusals(void **state)
{
    struct disk_options o = {0};
    char path[128];

    expect_refused("/nowhere/disk.img", &o, ENOENT, "No such file");
    expect_refused(dir, &o, EISDIR, "directory");
    expect_refused("/dev/null", &o, EINVAL, "neither a regular file");
    expect_refused(make_file("empty", 0, 0), &o, EINVAL, "empty");
    strcpy(path, make_file("q", 4096, 0));
    int fd = open(path, O_WRONLY);

    assert_int_equal(write(fd, "COWD", 4), 4);
    close(fd);
    expect_refused(path, &o, EINVAL, "ESX redo log");
    o.format = "raw";
    struct blk *b;

    assert_int_equal(disk_open(&b, path, &o, NULL), 0);
    b->ops->close(b);
    o.format = "betamax";
    expect_refused(path, &o, EINVAL, "betamax");
}

static void roundtrip(const struct disk_options *o)
{
    const char *path = make_file("rw", 1 << 20, 0x11);
    struct err e = {0};
    struct blk *b;
    u8 *w = aligned_alloc(4096, 65536), *r = aligned_alloc(4096, 65536);

    for (int i = 0; i < 65536; i++)
        w[i] = (u8)(i * 7 + i / 256);
    assert_int_equal(disk_open(&b, path, o, &e), 0);
    assert_int_equal(b->size, 1 << 20);
    assert_int_equal(blk_sync(b, BLK_WRITE, 4096, w, 65536), 0);
    assert_int_equal(blk_sync(b, BLK_WRITE, 512, w + 512, 1024), 0); /* unaligned for O_DIRECT */
    assert_int_equal(blk_sync(b, BLK_FLUSH, 0, NULL, 0), 0);
    assert_int_equal(blk_sync(b, BLK_READ, 4096, r, 65536), 0);
    assert_memory_equal(w, r, 65536);
    assert_int_equal(blk_sync(b, BLK_READ, 0, r, 2048), 0);
    assert_int_equal(r[0], 0x11);
    assert_memory_equal(r + 512, w + 512, 1024);
    assert_int_equal(r[2047], 0x11);
    assert_int_equal(blk_sync(b, BLK_WRITE_ZEROES, 8192, NULL, 4096), 0);
    assert_int_equal(blk_sync(b, BLK_DISCARD, 16384, NULL, 4096), 0);
    assert_int_equal(blk_sync(b, BLK_READ, 8192, r, 4096), 0);
    for (int i = 0; i < 4096; i++)
        assert_int_equal(r[i], 0);
    /* Out of range and crooked. */
    assert_int_equal(blk_sync(b, BLK_READ, 1 << 20, r, 512), -EINVAL);
    assert_int_equal(blk_sync(b, BLK_READ, UINT64_MAX - 511, r, 512), -EINVAL);
    assert_int_equal(blk_sync(b, BLK_WRITE, (1 << 20) - 512, w, 1024), -EINVAL);
    assert_int_equal(blk_sync(b, BLK_READ, 100, r, 512), -EINVAL);
    b->ops->close(b);
    if (!o->snapshot) {
        int fd = open(path, O_RDONLY);

        assert_int_equal(pread(fd, r, 512, 4096), 512);
        assert_memory_equal(w, r, 512);
        close(fd);
    }
    free(w);
    free(r);
}

static void test_roundtrip(void **state)
{
    struct disk_options o = {0};

    for (int uring = 0; uring < 2; uring++) {
        for (int cache = DISK_WRITEBACK; cache <= DISK_UNSAFE; cache++) {
            o.no_uring = !uring;
            o.cache = (enum disk_cache)cache;
            if (cache == DISK_DIRECT) {
                char probe[128];

                strcpy(probe, make_file("probe", 4096, 0));
                int fd = open(probe, O_RDWR | O_DIRECT);

                if (fd < 0)
                    continue; /* tmpfs of old kernels */
                close(fd);
            }
            roundtrip(&o);
        }
    }
    o.snapshot = true;
    o.cache = DISK_WRITEBACK;
    roundtrip(&o);
}

static void test_readonly(void **state)
{
    const char *path = make_file("ro", 8192, 0x22);
    struct disk_options o = {.readonly = true};
    struct blk *b;
    u8 buf[512] = {0};

    chmod(path, 0400);
    assert_int_equal(disk_open(&b, path, &o, NULL), 0);
    assert_true(b->readonly);
    assert_int_equal(blk_sync(b, BLK_WRITE, 0, buf, 512), -EROFS);
    assert_int_equal(blk_sync(b, BLK_DISCARD, 0, NULL, 512), -EROFS);
    assert_int_equal(blk_sync(b, BLK_FLUSH, 0, NULL, 0), 0);
    assert_int_equal(blk_sync(b, BLK_READ, 0, buf, 512), 0);
    assert_int_equal(buf[511], 0x22);
    b->ops->close(b);
}

static void test_odd_size(void **state)
{
    char path[128];
    struct blk *b;
    u8 buf[1024];
    struct stat st;

    for (int uring = 0; uring < 2; uring++) {
        struct disk_options o = {.no_uring = !uring};

        strcpy(path, make_file("odd", 1000, 0x33));
        assert_int_equal(disk_open(&b, path, &o, NULL), 0);
        assert_int_equal(b->size, 1024);
        memset(buf, 0xff, sizeof(buf));
        assert_int_equal(blk_sync(b, BLK_READ, 0, buf, 1024), 0);
        assert_int_equal(buf[999], 0x33);
        assert_int_equal(buf[1000], 0);
        assert_int_equal(buf[1023], 0);
        buf[1023] = 9;
        assert_int_equal(blk_sync(b, BLK_WRITE, 512, buf + 512, 512), 0);
        b->ops->close(b);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, 1024);
    }
}

static void test_lock(void **state)
{
    const char *path = make_file("locked", 8192, 0);
    struct disk_options rw = {0}, ro = {.readonly = true}, snap = {.snapshot = true};
    struct blk *a, *b;

    assert_int_equal(disk_open(&a, path, &rw, NULL), 0);
    expect_refused(path, &rw, EBUSY, "in use");
    expect_refused(path, &ro, EBUSY, "in use");
    expect_refused(path, &snap, EBUSY, "in use");
    a->ops->close(a);
    assert_int_equal(disk_open(&a, path, &ro, NULL), 0);
    assert_int_equal(disk_open(&b, path, &snap, NULL), 0);
    expect_refused(path, &rw, EBUSY, "in use");
    a->ops->close(a);
    b->ops->close(b);
    assert_int_equal(disk_open(&a, path, &rw, NULL), 0);
    a->ops->close(a);
}

static void *close_soon(void *opaque)
{
    struct blk *b = opaque;

    usleep(100000);
    b->ops->close(b);
    return NULL;
}

/* The one before is still going, as after kill -9 with writes under way. */
static void test_lock_waits(void **state)
{
    const char *path = make_file("going", 8192, 0);
    struct disk_options rw = {0};
    struct blk *a, *b;
    pthread_t t;

    assert_int_equal(disk_open(&a, path, &rw, NULL), 0);
    assert_int_equal(pthread_create(&t, NULL, close_soon, a), 0);
    assert_int_equal(disk_open(&b, path, &rw, NULL), 0);
    pthread_join(t, NULL);
    b->ops->close(b);
}

/* So many pieces of the bitmap that their table grows. */
static void test_large_snapshot(void **state)
{
    enum { PIECES = 1100 };
    const char *path = make_file("large", 512, 0x44);
    struct disk_options o = {.snapshot = true};
    struct blk *b;
    u8 sector[512];

    assert_int_equal(truncate(path, 1ll << 40), 0);
    assert_int_equal(disk_open(&b, path, &o, NULL), 0);
    for (u64 i = 0; i < PIECES; i++) {
        memset(sector, (int)i % 251 + 1, sizeof(sector));
        assert_int_equal(blk_sync(b, BLK_WRITE, (i * 953 << 20) + 512 * (i % 2048), sector, 512),
                         0);
    }
    for (u64 i = 0; i < PIECES; i++) {
        u64 at = (i * 953 << 20) + 512 * (i % 2048);
        assert_int_equal(blk_sync(b, BLK_READ, at, sector, 512), 0);
        assert_int_equal(sector[0], i % 251 + 1);
        assert_int_equal(blk_sync(b, BLK_READ, at + 512, sector, 512), 0);
        assert_int_equal(sector[0], 0);
    }
    b->ops->close(b);
}

static void test_snapshot(void **state)
{
    const char *path = make_file("snap", 3 << 20, 0x44);
    struct disk_options o = {.snapshot = true};
    struct blk *b;
    u8 *buf = malloc(1 << 20), sector[512];

    assert_int_equal(disk_open(&b, path, &o, NULL), 0);
    assert_false(b->readonly);
    /* Every second sector across a border of the bitmap's pieces. */
    for (u64 s = 2040; s < 2060; s += 2) {
        memset(sector, (int)s, 512);
        assert_int_equal(blk_sync(b, BLK_WRITE, s * 512, sector, 512), 0);
    }
    assert_int_equal(blk_sync(b, BLK_WRITE_ZEROES, 2070 * 512, NULL, 1024), 0);
    assert_int_equal(blk_sync(b, BLK_READ, 2000 * 512, buf, 1 << 19), 0);
    for (u64 s = 2000; s < 3024; s++) {
        int want = s >= 2040 && s < 2060 && s % 2 == 0 ? (int)(s & 0xff) : 0x44;

        if (s == 2070 || s == 2071)
            want = 0;
        for (int i = 0; i < 512; i += 511)
            assert_int_equal(buf[(s - 2000) * 512 + (u64)i], want);
    }
    assert_int_equal(blk_sync(b, BLK_FLUSH, 0, NULL, 0), 0);
    b->ops->close(b);
    int fd = open(path, O_RDONLY);

    assert_int_equal(pread(fd, sector, 512, 2040 * 512), 512);
    assert_int_equal(sector[0], 0x44);
    close(fd);
    free(buf);
}

struct many {
    struct blk_req r;
    struct iovec iov[3];
    u8 buf[3][1536];
    int result;
};

static u32 many_done;

static void many_cb(struct blk_req *r, int result)
{
    container_of(r, struct many, r)->result = result;
    __atomic_add_fetch(&many_done, 1, __ATOMIC_RELEASE);
}

static void test_many_in_flight(void **state)
{
    const char *path = make_file("many", 4 << 20, 0);
    struct blk *b;
    struct many *m = calloc(512, sizeof(*m));

    for (int mode = 0; mode < 3; mode++) {
        struct disk_options o = {.no_uring = mode == 1, .snapshot = mode == 2};

        assert_int_equal(disk_open(&b, path, &o, NULL), 0);
        for (int pass = 0; pass < 2; pass++) {
            __atomic_store_n(&many_done, 0, __ATOMIC_RELEASE);
            for (int i = 0; i < 512; i++) {
                for (int k = 0; k < 3; k++) {
                    memset(m[i].buf[k], pass ? 0 : i + k * 3, 1536);
                    m[i].iov[k] = (struct iovec){m[i].buf[k], 1536};
                }
                m[i].r = (struct blk_req){.op = pass ? BLK_READ : BLK_WRITE,
                                          .offset = (u64)i * 4608,
                                          .len = 4608,
                                          .iov = m[i].iov,
                                          .niov = 3,
                                          .done = many_cb};
                blk_submit(b, &m[i].r);
            }
            while (__atomic_load_n(&many_done, __ATOMIC_ACQUIRE) < 512)
                usleep(100);
        }
        for (int i = 0; i < 512; i++) {
            assert_int_equal(m[i].result, 0);
            for (int k = 0; k < 3; k++)
                assert_int_equal(m[i].buf[k][1535], (i + k * 3) & 0xff);
        }
        b->ops->close(b);
    }
    free(m);
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
        cmocka_unit_test(test_refusals),       cmocka_unit_test(test_roundtrip),
        cmocka_unit_test(test_readonly),       cmocka_unit_test(test_odd_size),
        cmocka_unit_test(test_lock),           cmocka_unit_test(test_lock_waits),
        cmocka_unit_test(test_snapshot),       cmocka_unit_test(test_large_snapshot),
        cmocka_unit_test(test_many_in_flight),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
