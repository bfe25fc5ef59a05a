/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/bus.h"
#include "core/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct fake {
    char log[512];
};

static u64 fake_read(void *opaque, u64 off, unsigned size)
{
    struct fake *f = opaque;
    size_t n = strlen(f->log);

    snprintf(f->log + n, sizeof(f->log) - n, "r%u@%llx ", size, (unsigned long long)off);
    return 0x8877665544332211ull >> off % 8 * 8;
}

static void fake_write(void *opaque, u64 off, unsigned size, u64 v)
{
    struct fake *f = opaque;
    size_t n = strlen(f->log);

    snprintf(f->log + n, sizeof(f->log) - n, "w%u@%llx=%llx ", size, (unsigned long long)off,
             (unsigned long long)v);
}

static const struct region_ops any_ops = {fake_read, fake_write, 1, 4, false};
static const struct region_ops byte_ops = {fake_read, fake_write, 1, 1, false};
static const struct region_ops dword_ops = {fake_read, fake_write, 4, 4, true};

static int setup(void **state)
{
    static struct trace t;
    static struct bus b;

    trace_init(&t);
    bus_init(&b, "test", 16, &t);
    *state = &b;
    return 0;
}

static int teardown(void **state)
{
    struct bus *b = *state;

    bus_destroy(b);
    trace_destroy(b->trace);
    return 0;
}

static void overlap_is_rejected_and_moving_works(void **state)
{
    struct bus *b = *state;
    struct fake f = {""};
    struct region r1 = {.name = "one", .size = 0x10, .ops = &any_ops, .opaque = &f};
    struct region r2 = {.name = "two", .size = 8, .ops = &any_ops, .opaque = &f};

    assert_int_equal(bus_map(b, &r1, 0x100), 0);
    assert_int_equal(bus_map(b, &r2, 0x0f9), -EBUSY);
    assert_int_equal(bus_map(b, &r2, 0x10f), -EBUSY);
    assert_int_equal(bus_map(b, &r2, 0xfff9), -ERANGE);
    assert_int_equal(bus_map(b, &r2, 0xf8), 0);
    assert_ptr_equal(bus_find(b, 0xff), &r2);
    assert_ptr_equal(bus_find(b, 0x10f), &r1);
    assert_null(bus_find(b, 0x110));
    bus_unmap(b, &r2);
    bus_unmap(b, &r2);
    assert_null(bus_find(b, 0xff));
    assert_int_equal(bus_map(b, &r2, 0x110), 0);
    assert_ptr_equal(bus_find(b, 0x117), &r2);
}

static void the_table_has_an_end(void **state)
{
    struct bus *b = *state;
    static struct region r[BUS_REGIONS_MAX + 1];

    for (int i = 0; i <= BUS_REGIONS_MAX; i++) {
        r[i] = (struct region){.name = "small", .size = 1, .ops = &any_ops};
        assert_int_equal(bus_map(b, &r[i], 0x1000 + (i * 37 % 1024) * 2u),
                         i < BUS_REGIONS_MAX ? 0 : -ENOSPC);
    }
    for (int i = 0; i < BUS_REGIONS_MAX; i++)
        assert_ptr_equal(bus_find(b, r[i].base), &r[i]);
}

static void widths_are_split_merged_and_filled(void **state)
{
    struct bus *b = *state;
    struct fake f = {""};
    struct region any = {.name = "any", .size = 8, .ops = &any_ops, .opaque = &f};
    struct region bytes = {.name = "bytes", .size = 8, .ops = &byte_ops, .opaque = &f};
    struct region dwords = {.name = "dwords", .size = 8, .ops = &dword_ops, .opaque = &f};

    bus_map(b, &any, 0);
    bus_map(b, &bytes, 8);
    bus_map(b, &dwords, 16);

    assert_int_equal(bus_read(b, 0, 4), 0x44332211);
    assert_int_equal(bus_read(b, 0, 8), 0x8877665544332211ull);
    assert_string_equal(f.log, "r4@0 r4@0 r4@4 ");
    f.log[0] = 0;
    assert_int_equal(bus_read(b, 8, 2), 0x2211);
    bus_write(b, 14, 4, 0xddccbbaa); /* two bytes here, the rest in the next region */
    assert_string_equal(f.log, "r1@0 r1@1 w1@6=aa w1@7=bb w4@0=ddcc ");
    f.log[0] = 0;
    assert_int_equal(bus_read(b, 17, 1), 0x22);
    assert_int_equal(bus_read(b, 22, 4) >> 16, 0xffff); /* the end of the last region */
    assert_string_equal(f.log, "r4@0 r4@4 ");
    assert_int_equal(bus_read(b, 0x8000, 8), UINT64_MAX);
    bus_write(b, 0x8000, 4, 0);
}

static void dma_reaches_memory_only(void **state)
{
    static struct trace t;
    static struct bus b;
    struct mem m;
    struct dma d = {&b, &m};
    struct fake f = {""};
    u8 *rom_bytes;
    char buf[32];
    u64 len = 0x4000;

    trace_init(&t);
    bus_init(&b, "memory", 52, &t);
    assert_int_equal(mem_open(&m, 1 << 20, NULL), 0);
    rom_bytes = mem_alloc(&m, 16);
    memcpy(rom_bytes, "read-only bytes", 16);
    struct region ram = {.name = "ram", .size = 0x3000, .hva = m.hva, .whva = m.hva};
    struct region rom = {.name = "rom", .size = 16, .hva = rom_bytes};
    struct region io = {.name = "io", .size = 16, .ops = &any_ops, .opaque = &f};
    bus_map(&b, &ram, 0x10000);
    bus_map(&b, &io, 0x13000);
    bus_map(&b, &rom, 0x13010);

    assert_true(mem_write(&d, 0x12ffc, "abcd", 4));
    assert_true(mem_read(&d, 0x12ffc, buf, 4));
    assert_memory_equal(buf, "abcd", 4);
    assert_false(mem_write(&d, 0x12ffe, "wxyz", 4));
    assert_memory_equal(m.hva + 0x2ffc, "abwx", 4);
    assert_false(mem_read(&d, 0x12ffe, buf, 4));
    assert_memory_equal(buf, "wx\xff\xff", 4);
    assert_string_equal(f.log, "");
    assert_true(mem_read(&d, 0x13010, buf, 16));
    assert_memory_equal(buf, "read-only bytes", 16);
    assert_false(mem_write(&d, 0x13010, "x", 1));

    assert_ptr_equal(mem_map(&d, 0x10000, &len, true), m.hva);
    assert_int_equal(len, 0x3000);
    assert_null(mem_map(&d, 0x13000, &len, false));
    mem_write32(&d, 0x10004, 0x12345678);
    assert_int_equal(mem_read16(&d, 0x10006), 0x1234);
    assert_int_equal(mem_read64(&d, 0x12ffc) >> 32, 0xffffffff);

    /* Writes to pages with code are told, others are not. */
    m.page_flags[1] = PAGE_CODE;
    m.page_flags[2] = PAGE_WATCH;
    mem_write(&d, 0x10ff0, buf, 32);
    mem_write(&d, 0x12000, buf, 1);
    assert_int_equal(m.page_gen[0], 0);
    assert_int_equal(m.page_gen[1], 1);
    assert_int_equal(m.page_flags[2], 0);
    mem_close(&m);
    bus_destroy(&b);
    trace_destroy(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(overlap_is_rejected_and_moving_works, setup, teardown),
        cmocka_unit_test_setup_teardown(the_table_has_an_end, setup, teardown),
        cmocka_unit_test_setup_teardown(widths_are_split_merged_and_filled, setup, teardown),
        cmocka_unit_test(dma_reaches_memory_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
