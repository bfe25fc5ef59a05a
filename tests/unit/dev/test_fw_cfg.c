/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fw_cfg by ports and by DMA, as firmware uses it.
 */
#include "base/endian.h"
#include "dev/fw_cfg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct trace trace;
    struct mem mem;
    struct bus pio, mmio;
    struct region ram;
    struct fw_cfg f;
};

static struct fixture x;

static int set_up(void **state)
{
    memset(&x, 0, sizeof(x));
    trace_init(&x.trace);
    bus_init(&x.pio, "port", 16, &x.trace);
    bus_init(&x.mmio, "memory", 52, &x.trace);
    assert_int_equal(mem_open(&x.mem, MIB, NULL), 0);
    x.ram = (struct region){.name = "ram", .size = MIB, .hva = x.mem.hva, .whva = x.mem.hva};
    assert_int_equal(bus_map(&x.mmio, &x.ram, 0), 0);
    fw_cfg_init(&x.f, (struct dma){&x.mmio, &x.mem}, &x.trace);
    assert_int_equal(fw_cfg_add_u16(&x.f, FW_CFG_NB_CPUS, 3), 0);
    assert_int_equal(fw_cfg_add_file(&x.f, "z/last", "ZZZ", 3), 0);
    assert_int_equal(fw_cfg_add_file(&x.f, "a/first", "abcdef", 6), 0);
    assert_int_equal(fw_cfg_finish(&x.f), 0);
    assert_int_equal(bus_map(&x.pio, &x.f.ports, 0x510), 0);
    assert_int_equal(bus_map(&x.pio, &x.f.dma_ports, 0x514), 0);
    return 0;
}

static int tear_down(void **state)
{
    fw_cfg_destroy(&x.f);
    mem_close(&x.mem);
    bus_destroy(&x.pio);
    bus_destroy(&x.mmio);
    trace_destroy(&x.trace);
    return 0;
}

static void read_item(u16 key, u8 *buf, unsigned n)
{
    bus_write(&x.pio, 0x510, 2, key);
    while (n--)
        *buf++ = (u8)bus_read(&x.pio, 0x511, 1);
}

static void test_ports(void **state)
{
    u8 b[200];
    read_item(FW_CFG_SIGNATURE, b, 6);
    assert_memory_equal(b, "QEMU\0\0", 6);
    read_item(FW_CFG_ID, b, 4);
    assert_int_equal(le32_get(b), 3);
    read_item(FW_CFG_NB_CPUS, b, 2);
    assert_int_equal(le16_get(b), 3);
    read_item(FW_CFG_FILE_DIR, b, 4 + 2 * 64);
    assert_int_equal(be32_get(b), 2);
    assert_string_equal((char *)b + 12, "a/first");
    assert_int_equal(be32_get(b + 4), 6);
    assert_string_equal((char *)b + 64 + 12, "z/last");
    u16 key = be16_get(b + 8);
    read_item(key, b, 8);
    assert_memory_equal(b, "abcdef\0\0", 8);
    read_item(0x7777, b, 2);
    assert_memory_equal(b, "\0\0", 2);
}

static u32 dma(u32 control, u32 len, u64 addr)
{
    u8 *d = x.mem.hva + 0x1000;
    be32_put(d, control);
    be32_put(d + 4, len);
    be64_put(d + 8, addr);
    bus_write(&x.pio, 0x514, 4, 0);
    bus_write(&x.pio, 0x518, 4, __builtin_bswap32(0x1000));
    return be32_get(d);
}

static void test_dma(void **state)
{
    assert_int_equal(bus_read(&x.pio, 0x514, 4), 0x554d4551); /* "QEMU" */
    assert_int_equal(bus_read(&x.pio, 0x518, 4), 0x47464320); /* " CFG" */
    memset(x.mem.hva + 0x2000, 0xee, 16);
    assert_int_equal(dma(FW_CFG_FILE_FIRST << 16 | 8 | 2, 4, 0x2000), 0);
    assert_memory_equal(x.mem.hva + 0x2000, "abcd\xee", 5);
    assert_int_equal(dma(4, 1, 0), 0);
    assert_int_equal(dma(2, 3, 0x2000), 0);
    assert_memory_equal(x.mem.hva + 0x2000, "f\0\0d\xee", 5);
    assert_int_equal(dma(16, 1, 0x2000), 1);                        /* no writing */
    assert_int_equal(dma(2, UINT32_MAX, 0x2000), 1);                /* too long */
    assert_int_equal(dma(FW_CFG_FILE_FIRST << 16 | 10, 4, MIB), 1); /* no memory there */
    assert_int_equal(dma(4, UINT32_MAX, 0), 0);
    assert_int_equal(dma(2, 1, 0x2000), 0);
    assert_int_equal(x.mem.hva[0x2000], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ports, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dma, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
