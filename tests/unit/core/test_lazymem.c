/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/lazymem.h"

#include "base/crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { RAM = 64 << 20, SPREAD = 3 * 4096 };

static char folder[] = "/tmp/wirt-lazy-XXXXXX", path[64], pages[80];

/* What page i of memory holds: one in four is zero. */
static u64 content(u64 i)
{
    return i % 4 ? i * 0x9e3779b97f4a7c15ull | 1 : 0;
}

static void fill(u8 *hva, u64 from, u64 to)
{
    for (u64 at = from; at < to; at += 4096)
        if (content(at / 4096))
            for (unsigned k = 0; k < 4096; k += 8)
                *(u64 *)(hva + at + k) = content(at / 4096) + k * k;
}

static bool right(const u8 *hva, u64 at)
{
    for (unsigned k = 0; k < 4096; k += 8)
        if (*(const u64 *)(hva + at + k) != (content(at / 4096) ? content(at / 4096) + k * k : 0))
            return false;
    return true;
}

/* 8 MiB in the middle are in use, and a ROM behind RAM. */
static void save(void)
{
    struct save_out *s;
    struct mem m;
    struct err e = {0};

    assert_int_equal(mem_open(&m, RAM, &e), 0);
    u8 *rom = mem_alloc(&m, 8192);
    fill(m.hva, 16 << 20, 24 << 20);
    fill(m.hva, RAM, RAM + 8192);
    assert_ptr_equal(rom, m.hva + RAM);
    assert_int_equal(save_create(&s, path, &e), 0);
    save_put_memory(s, m.hva, m.used, m.fd);
    assert_int_equal(save_commit(s, &e), 0);
    mem_close(&m);
}

static void begin(struct mem *m, struct save_in **in)
{
    struct err e = {0};

    assert_int_equal(save_open(in, path, &e), 0);
    assert_int_equal(mem_open(m, RAM, &e), 0);
    mem_alloc(m, 8192);
    memset(m->hva + (20 << 20), 0xee, 1 << 20); /* what building the machine left */
    memset(m->hva, 0xee, 4096);
}

static void end(struct mem *m, struct save_in *in)
{
    lazy_close(m);
    mem_close(m);
    save_close(in);
}

static void check_all(const struct mem *m)
{
    for (u64 at = 0; at < m->used; at += 4096) {
        bool used = range_within(at, 4096, 16 << 20, 8 << 20) || at >= RAM;
        if (used ? !right(m->hva, at) : *(u64 *)(m->hva + at) != 0)
            fail_msg("page at 0x%llx is wrong", (unsigned long long)at);
    }
}

static void never(void *opaque)
{
    fail();
}

static void all_at_once(void **state)
{
    struct mem m;
    struct save_in *in;
    struct err e = {0};

    begin(&m, &in);
    assert_int_equal(mem_restore(&m, in, &e), 0);
    check_all(&m);
    end(&m, in);
}

static void *toucher(void *opaque)
{
    const struct mem *m = opaque;

    for (u64 at = (24 << 20) - SPREAD; at >= 16 << 20; at -= SPREAD)
        if (!right(m->hva, at))
            return (void *)m;
    return NULL;
}

static void behind_the_back(void **state)
{
    struct mem m;
    struct save_in *in;
    struct err e = {0};
    pthread_t t[2];
    void *wrong;

    for (unsigned round = 0; round < 8; round++) {
        begin(&m, &in);
        assert_int_equal(lazy_open(&m, in, never, NULL, &e), 0);
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&t[i], NULL, toucher, &m), 0);
        m.hva[18 << 20] = 7; /* a write is not lost */
        lazy_touch(&m, m.hva + (22 << 20) + 100, 70000);
        m.hva[40 << 20] = 9;
        mem_discard(&m, 23 << 20, 4096);
        for (unsigned i = 0; i < 2; i++) {
            pthread_join(t[i], &wrong);
        }
        if (round & 1) {
            assert_int_equal(lazy_finish(&m, &e), 0);
            assert_int_equal(m.hva[18 << 20], 7);
            assert_int_equal(m.hva[40 << 20], 9);
            m.hva[18 << 20] = (u8)content((18 << 20) / 4096);
            m.hva[40 << 20] = 0;
            fill(m.hva, 23 << 20, (23 << 20) + 4096);
            check_all(&m);
        }
        end(&m, in);
    }
}

static void only_what_fits(void **state)
{
    struct mem m;
    struct save_in *in;
    struct err e = {0};

    begin(&m, &in);
    mem_alloc(&m, 4096);
    assert_int_equal(lazy_open(&m, in, never, NULL, &e), -EINVAL);
    assert_int_equal(clone_open(&m, in, never, NULL, &e), -EINVAL);
    assert_int_equal(mem_restore(&m, in, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "memory: 65544 KiB were saved, this machine has 65548"));
    end(&m, in);
}

/* Flips a bit in the last of the file's chunks. */
static void damage(const char *file, off_t at)
{
    int fd = open(file, O_RDWR);
    u8 b;

    assert_int_equal(pread(fd, &b, 1, at), 1);
    b ^= 4;
    assert_int_equal(pwrite(fd, &b, 1, at), 1);
    close(fd);
}

static void tell(void *opaque)
{
    __atomic_store_n((int *)opaque, 1, __ATOMIC_RELEASE);
}

static void damage_is_told(void **state)
{
    struct mem m;
    struct save_in *in;
    struct err e = {0};
    int told = 0;

    /* A file of this size is looked through before the guest runs. */
    begin(&m, &in);
    damage(path, 64 + 1000);
    assert_int_equal(lazy_open(&m, in, tell, &told, &e), -EINVAL);
    assert_non_null(strstr(e.msg, ": memory at 0x1000000: damaged"));
    damage(path, 64 + 1000);
    end(&m, in);

    /* Damaged while the guest runs: the filler comes upon it, and says so. */
    begin(&m, &in);
    assert_int_equal(clone_open(&m, in, tell, &told, &e), 0);
    assert_int_equal(lazy_finish(&m, &e), 0);
    check_all(&m);
    end(&m, in);
    damage(pages, 4096 + (17 << 20) + 5);
    begin(&m, &in);
    assert_int_equal(clone_open(&m, in, tell, &told, &e), 0);
    assert_int_equal(lazy_finish(&m, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "saved.pages: memory at 0x1100000: damaged; delete the file"));
    for (unsigned i = 0; i < 1000 && !__atomic_load_n(&told, __ATOMIC_ACQUIRE); i++)
        usleep(1000);
    assert_true(told);
    end(&m, in);
    unlink(pages);
}

static u64 private_kib(const u8 *hva)
{
    char line[200];
    u64 kib = 0, from, to;
    bool in = false;
    FILE *f = fopen("/proc/self/smaps", "r");

    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            in = (u64)hva >= from && (u64)hva < to;
        unsigned long v;
        if (in && sscanf(line, "Private_Dirty: %lu", &v) == 1)
            kib += v;
    }
    fclose(f);
    return kib;
}

static void clones_share(void **state)
{
    struct mem a, b;
    struct save_in *in, *in2;
    struct err e = {0};

    save(); /* another identity: the old FILE.pages, if any, is not taken */
    begin(&a, &in);
    begin(&b, &in2);
    assert_int_equal(clone_open(&a, in, never, NULL, &e), 0);
    assert_int_equal(clone_open(&b, in2, never, NULL, &e), 0);
    check_all(&a);
    check_all(&b);
    assert_true(private_kib(a.hva) == 0);
    a.hva[(17 << 20) + 4096] = 1;
    b.hva[(17 << 20) + 4096] = 2;
    assert_int_equal(a.hva[(17 << 20) + 4096], 1);
    assert_true(private_kib(a.hva) == 4);
    assert_int_equal(b.hva[(17 << 20) + 4104], (u8)(content((17 << 20) / 4096 + 1) + 64));
    mem_discard(&a, (17 << 20) + 4096, 4096);
    assert_int_equal(lazy_finish(&a, &e), 0);
    assert_int_equal(lazy_finish(&b, &e), 0);
    end(&a, in);
    end(&b, in2);
}

static int set_up(void **state)
{
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/saved", folder);
    snprintf(pages, sizeof(pages), "%s/saved.pages", folder);
    save();
    return 0;
}

static int tear_down(void **state)
{
    unlink(path);
    unlink(pages);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_at_once),    cmocka_unit_test(behind_the_back),
        cmocka_unit_test(only_what_fits), cmocka_unit_test(damage_is_told),
        cmocka_unit_test(clones_share),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
