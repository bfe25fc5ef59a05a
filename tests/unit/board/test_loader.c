/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel loaders on made-up files: what is loaded where, and one clear line for each way that
 * a file can be wrong.
 */
#include "base/endian.h"
#include "board/loader.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { RAM = 32 << 20, FILE_MAX = 64 << 10 };

struct fixture {
    u8 *ram;
    char kernel[64], initrd[64];
    u8 file[FILE_MAX];
    struct e820 map;
    struct boot_mem m;
    struct boot_files f;
    struct boot_entry entry;
    struct err e;
};

static void write_file(const char *path, const void *buf, size_t len)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(buf, 1, len, f), len);
    fclose(f);
}

static int set_up(void **state)
{
    struct fixture *x = calloc(1, sizeof(*x));
    x->ram = calloc(1, RAM);
    snprintf(x->kernel, sizeof(x->kernel), "/tmp/wirt-kernel-%d", (int)getpid());
    snprintf(x->initrd, sizeof(x->initrd), "/tmp/wirt-initrd-%d", (int)getpid());
    e820_add(&x->map, 0, 0x9fc00, E820_RAM);
    e820_add(&x->map, MIB, RAM - MIB, E820_RAM);
    x->m = (struct boot_mem){x->ram, RAM, &x->map, 0xf0000};
    x->f = (struct boot_files){.kernel = x->kernel};
    *state = x;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *x = *state;
    unlink(x->kernel);
    unlink(x->initrd);
    free(x->ram);
    free(x);
    return 0;
}

static int load(struct fixture *x, size_t len)
{
    write_file(x->kernel, x->file, len);
    memset(&x->e, 0, sizeof(x->e));
    return loader_load(&x->f, &x->m, &x->entry, &x->e);
}

static void refused(struct fixture *x, size_t len, const char *why)
{
    assert_true(load(x, len) < 0);
    assert_non_null(strstr(x->e.msg, why));
    assert_non_null(strstr(x->e.msg, "/tmp/wirt-"));
    assert_null(strchr(x->e.msg, '\n'));
}

/* ------------------------------------------------------------------- Linux -- */

static void make_linux(struct fixture *x)
{
    u8 *h = x->file;
    memset(h, 0, FILE_MAX);
    h[0x1f1] = 4;
    le16_put(h + 0x1fe, 0xaa55);
    h[0x201] = 0x6a;
    memcpy(h + 0x202, "HdrS", 4);
    le16_put(h + 0x206, 0x20f);
    h[0x211] = 1;
    le32_put(h + 0x22c, 0x7fffffff);
    h[0x234] = 1;
    le16_put(h + 0x236, 1);
    le32_put(h + 0x238, 2047);
    le64_put(h + 0x258, 0x1000000);
    le32_put(h + 0x260, 0x100000);
    memset(h + 5 * 512, 0xc3, 4096);
}

static void test_linux(void **state)
{
    struct fixture *x = *state;
    make_linux(x);
    x->f.append = "console=ttyS0";
    x->f.initrd = x->initrd;
    write_file(x->initrd, "ramdisk", 7);
    assert_int_equal(load(x, 5 * 512 + 4096), 0);
    assert_true(x->entry.long_mode);
    assert_int_equal(x->entry.rip, 0x1000200);
    assert_int_equal(x->entry.rsi, BOOT_INFO);
    const u8 *bp = x->ram + BOOT_INFO;
    assert_string_equal(x->ram + le32_get(bp + 0x228), "console=ttyS0");
    assert_memory_equal(x->ram + le32_get(bp + 0x218), "ramdisk", 7);
    assert_int_equal(le32_get(bp + 0x21c), 7);
    assert_int_equal(bp[0x1e8], 2);
    assert_int_equal(le64_get(bp + 0x2d0 + 20), MIB);
    assert_int_equal(le64_get(bp + 0x70), 0xf0000);
    assert_int_equal(x->ram[0x1000000], 0xc3);

    struct cpu_state s = {0};
    loader_state(&x->entry, &s);
    assert_int_equal(s.cr3, BOOT_PAGES);
    assert_int_equal(s.seg[CS].sel, 0x10);
    assert_true(s.seg[CS].attr & SEG_L);
    u64 pd = le64_get(x->ram + (le64_get(x->ram + BOOT_PAGES) & ~0xfffull)) & ~0xfffull;
    assert_int_equal(le64_get(x->ram + pd + 8 * 8), (8ull << 21) | 0x83);

    le16_put(x->file + 0x236, 0); /* no 64-bit entry */
    assert_int_equal(load(x, 5 * 512 + 4096), 0);
    assert_false(x->entry.long_mode);
    assert_int_equal(x->entry.rip, 0x1000000);
}

static void test_linux_refused(void **state)
{
    struct fixture *x = *state;
    make_linux(x);
    refused(x, 5 * 512, "truncated");
    le32_put(x->file + 0x1f4, 0x1000);
    refused(x, 5 * 512 + 4096, "truncated");
    make_linux(x);
    le16_put(x->file + 0x206, 0x205);
    refused(x, 5 * 512 + 4096, "protocol 2.05");
    make_linux(x);
    x->file[0x211] = 0;
    refused(x, 5 * 512 + 4096, "zImage");
    make_linux(x);
    le32_put(x->file + 0x260, 0x7000000);
    refused(x, 5 * 512 + 4096, "needs 128 MiB of memory");
    make_linux(x);
    le64_put(x->file + 0x258, UINT64_MAX - 100);
    refused(x, 5 * 512 + 4096, "memory");
    make_linux(x);
    le32_put(x->file + 0x238, 4);
    x->f.append = "quiet";
    refused(x, 5 * 512 + 4096, "command line of 4 bytes at most");
    x->f.append = NULL;
    make_linux(x);
    x->f.initrd = x->initrd;
    refused(x, 5 * 512 + 4096, "No such file");
    write_file(x->initrd, "", 0);
    refused(x, 5 * 512 + 4096, "empty file");
}

static void test_no_kernel(void **state)
{
    struct fixture *x = *state;
    memset(x->file, 0x11, FILE_MAX);
    refused(x, 0, "empty file");
    refused(x, 100, "not a kernel");
    refused(x, FILE_MAX, "not a kernel");
    x->f.kernel = "/tmp/wirt-there-is-no-such-file";
    assert_int_equal(loader_load(&x->f, &x->m, &x->entry, &x->e), -ENOENT);
    x->f.kernel = "/tmp";
    assert_true(loader_load(&x->f, &x->m, &x->entry, &x->e) < 0);
    assert_string_equal(x->e.msg, "/tmp: not a regular file");
}

/* --------------------------------------------------------------------- ELF -- */

static void make_elf(struct fixture *x)
{
    u8 *h = x->file, *ph = h + 64;
    memset(h, 0, FILE_MAX);
    memcpy(h, "\177ELF\2\1\1", 7);
    le16_put(h + 16, 2);
    le16_put(h + 18, 62);
    le64_put(h + 24, 0xffffffff80000010);
    le64_put(h + 32, 64);
    le16_put(h + 54, 56);
    le16_put(h + 56, 2);
    le32_put(ph, 1); /* PT_LOAD */
    le64_put(ph + 8, 0x1000);
    le64_put(ph + 16, 0xffffffff80000000);
    le64_put(ph + 24, 0x200000);
    le64_put(ph + 32, 0x2000);
    le64_put(ph + 40, 0x4000);
    le32_put(ph + 56, 4); /* PT_NOTE */
    le64_put(ph + 64, 0x200);
    le64_put(ph + 88, 20);
    le32_put(h + 0x200, 4);
    le32_put(h + 0x204, 4);
    le32_put(h + 0x208, 18);
    memcpy(h + 0x20c, "Xen", 4);
    le32_put(h + 0x210, 0x200040);
    memset(h + 0x1000, 0x90, 0x2000);
}

static void test_pvh(void **state)
{
    struct fixture *x = *state;
    make_elf(x);
    memset(x->ram + 0x200000, 0xee, 0x8000);
    x->f.append = "hello";
    x->f.initrd = x->initrd;
    write_file(x->initrd, "ramdisk", 7);
    assert_int_equal(load(x, 0x3000), 0);
    assert_false(x->entry.long_mode);
    assert_int_equal(x->entry.rip, 0x200040);
    const u8 *si = x->ram + x->entry.rbx;
    assert_int_equal(le32_get(si), 0x336ec578);
    assert_string_equal(x->ram + le64_get(si + 24), "hello");
    assert_int_equal(le32_get(si + 12), 1);
    const u8 *mod = x->ram + le64_get(si + 16);
    assert_memory_equal(x->ram + le64_get(mod), "ramdisk", 7);
    assert_int_equal(le64_get(mod + 8), 7);
    assert_int_equal(x->ram[0x201fff], 0x90);
    assert_int_equal(x->ram[0x202000], 0); /* bss */
    assert_int_equal(x->ram[0x203fff], 0);
    assert_int_equal(x->ram[0x204000], 0xee);
}

static void test_pvh_modules(void **state)
{
    struct fixture *x = *state;
    char mods[200];
    make_elf(x);
    snprintf(mods, sizeof(mods), "%s with arguments,%s", x->initrd, x->initrd);
    write_file(x->initrd, "module", 6);
    x->f.initrd = mods;
    assert_int_equal(load(x, 0x3000), 0);
    const u8 *si = x->ram + x->entry.rbx;
    assert_int_equal(le32_get(si + 12), 2);
    const u8 *ml = x->ram + le64_get(si + 16);
    for (unsigned i = 0; i < 2; i++, ml += 32) {
        assert_int_equal(le64_get(ml) % 4096, 0);
        assert_memory_equal(x->ram + le64_get(ml), "module", 6);
        assert_int_equal(le64_get(ml + 8), 6);
        if (!i)
            assert_string_equal(x->ram + le64_get(ml + 16), "with arguments");
        else
            assert_int_equal(le64_get(ml + 16), 0);
    }
    assert_true(le64_get(ml - 32) < le64_get(ml - 64));
    snprintf(mods, sizeof(mods), "%s,/tmp/wirt-no-module", x->initrd);
    refused(x, 0x3000, "/tmp/wirt-no-module");
}

static void test_elf_refused(void **state)
{
    struct fixture *x = *state;
    make_elf(x);
    refused(x, 0x2000, "truncated");
    refused(x, 100, "truncated");
    le64_put(x->file + 64 + 24, 0x8000);
    refused(x, 0x3000, "below 1 MiB");
    make_elf(x);
    le64_put(x->file + 64 + 40, RAM);
    refused(x, 0x3000, "memory ends at");
    make_elf(x);
    le64_put(x->file + 64 + 24, UINT64_MAX - 4);
    refused(x, 0x3000, "memory ends at");
    make_elf(x);
    le64_put(x->file + 64 + 40, 1);
    refused(x, 0x3000, "larger in the file");
    make_elf(x);
    le32_put(x->file + 0x208, 17);
    refused(x, 0x3000, "neither a PVH note nor a Multiboot header");
    make_elf(x);
    le32_put(x->file + 0x210, 0x7000000);
    refused(x, 0x3000, "entry point");
    make_elf(x);
    le16_put(x->file + 18, 183);
    refused(x, 0x3000, "another processor");
    make_elf(x);
    le64_put(x->file + 32, UINT64_MAX - 8);
    refused(x, 0x3000, "program headers");
}

/* --------------------------------------------------------------- Multiboot -- */

static void put_header(u8 *h, u32 flags)
{
    le32_put(h, 0x1badb002);
    le32_put(h + 4, flags);
    le32_put(h + 8, -(0x1badb002 + flags));
}

static void test_multiboot_elf(void **state)
{
    struct fixture *x = *state;
    char mods[200];
    make_elf(x);
    put_header(x->file + 0x1100, 3);
    snprintf(mods, sizeof(mods), "%s with arguments,%s", x->initrd, x->initrd);
    write_file(x->initrd, "module", 6);
    x->f.initrd = mods;
    x->f.append = "a b";
    assert_int_equal(load(x, 0x3000), 0);
    assert_int_equal(x->entry.rip, 0x200010);
    assert_int_equal(x->entry.rax, 0x2badb002);
    const u8 *mi = x->ram + x->entry.rbx;
    assert_int_equal(le32_get(mi + 20), 2);
    const u8 *ml = x->ram + le32_get(mi + 24);
    for (unsigned i = 0; i < 2; i++, ml += 16) {
        assert_int_equal(le32_get(ml) % 4096, 0);
        assert_memory_equal(x->ram + le32_get(ml), "module", 6);
        assert_int_equal(le32_get(ml + 4) - le32_get(ml), 6);
        assert_int_equal(!!strstr((char *)x->ram + le32_get(ml + 8), "with arguments"), !i);
    }
    assert_non_null(strstr((char *)x->ram + le32_get(mi + 16), " a b"));
    assert_int_equal(le32_get(mi + 4), 0x9fc00 / 1024);
    assert_int_equal(le32_get(mi + 8), (RAM - MIB) / 1024);
    assert_int_equal(le32_get(mi + 44), 2 * 24);
}

static void test_multiboot_addresses(void **state)
{
    struct fixture *x = *state;
    u8 *h = x->file + 0x20;
    memset(x->file, 0x90, FILE_MAX);
    put_header(h, 0x10000);
    le32_put(h + 12, 0x100020);
    le32_put(h + 16, 0x100000);
    le32_put(h + 20, 0x101000);
    le32_put(h + 24, 0x102000);
    le32_put(h + 28, 0x100100);
    assert_int_equal(load(x, 0x1000), 0);
    assert_int_equal(x->entry.rip, 0x100100);
    assert_int_equal(x->ram[0x100fff], 0x90);
    assert_int_equal(x->ram[0x101000], 0);
    refused(x, 0x800, "truncated");
    le32_put(h + 16, 0x90000);
    refused(x, 0x1000, "behind itself");
    le32_put(h + 16, 0x100000);
    le32_put(h + 24, 0xfffff000);
    refused(x, 0x1000, "wants memory");
    le32_put(h + 24, 0);
    le32_put(h + 28, 0x50);
    refused(x, 0x1000, "entry point");
    put_header(h, 0x10008);
    refused(x, 0x1000, "unknown features");
    put_header(h, 0);
    refused(x, 0x1000, "gives no addresses");
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_linux),         T(test_linux_refused),       T(test_no_kernel),
        T(test_pvh),           T(test_pvh_modules),         T(test_elf_refused),
        T(test_multiboot_elf), T(test_multiboot_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
