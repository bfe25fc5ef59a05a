/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The floppy controller and the DMA controllers together, as a driver uses them.
 */
#include "dev/i82078.h"
#include "dev/i8237.h"

#include "fake_pc.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct fdc {
    struct fake_pc pc;
    struct fake_blk disk;
    struct i8237 dma;
    struct i82078 fdc;
};

static int setup(void **state)
{
    struct fdc *s = calloc(1, sizeof(*s));
    struct i82078_config cfg = {.type = {I82078_1440K, I82078_NONE}, .dma_ch = 2};

    fake_pc_init(&s->pc);
    fake_blk_init(&s->disk, 1440 * 1024);
    for (unsigned i = 0; i < 2880; i++)
        le32_put(s->disk.data + i * 512, i);
    i8237_init(&s->dma, s->pc.dma, &s->pc.trace);
    cfg.blk[0] = &s->disk.b;
    cfg.irq = fake_line(&s->pc, 6);
    cfg.dma = &s->dma;
    i82078_init(&s->fdc, &cfg, s->pc.clock, &s->pc.trace);
    bus_map(&s->pc.pio, &s->dma.io0, 0);
    bus_map(&s->pc.pio, &s->dma.io1, 0xc0);
    bus_map(&s->pc.pio, &s->dma.page, 0x80);
    bus_map(&s->pc.pio, &s->fdc.io, 0x3f0);
    bus_map(&s->pc.pio, &s->fdc.dir, 0x3f7);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct fdc *s = *state;

    fake_blk_close(&s->disk.b);
    fake_pc_destroy(&s->pc);
    free(s);
    return 0;
}

static void command(struct fdc *s, const u8 *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(inb(&s->pc, 0x3f4) & 0xc0, 0x80);
        outb(&s->pc, 0x3f5, p[i]);
    }
}

static void result(struct fdc *s, u8 *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(inb(&s->pc, 0x3f4) & 0xd0, 0xd0);
        p[i] = inb(&s->pc, 0x3f5);
    }
    assert_int_equal(inb(&s->pc, 0x3f4) & 0xd0, 0x80);
}

static void start(struct fdc *s)
{
    u8 r[2];

    outb(&s->pc, 0x3f2, 0x00);
    outb(&s->pc, 0x3f2, 0x1c);
    assert_true(s->pc.irq[6].level);
    for (unsigned i = 0; i < 4; i++) {
        command(s, (u8[]){0x08}, 1);
        result(s, r, 2);
        assert_int_equal(r[0], 0xc0 | i);
    }
    assert_false(s->pc.irq[6].level);
    outb(&s->pc, 0x3f7, 0);
    command(s, (u8[]){0x03, 0xdf, 0x02}, 3);
}

static void program_dma(struct fdc *s, u32 addr, u16 len, u8 mode)
{
    outb(&s->pc, 0x0a, 6);
    outb(&s->pc, 0x0c, 0);
    outb(&s->pc, 0x0b, mode);
    outb(&s->pc, 0x04, addr);
    outb(&s->pc, 0x04, addr >> 8);
    outb(&s->pc, 0x81, addr >> 16);
    outb(&s->pc, 0x05, len - 1);
    outb(&s->pc, 0x05, (len - 1) >> 8);
    outb(&s->pc, 0x0a, 2);
}

static void seek(struct fdc *s, u8 cyl)
{
    u8 r[2];

    command(s, (u8[]){0x0f, 0, cyl}, 3);
    assert_true(s->pc.irq[6].level);
    command(s, (u8[]){0x08}, 1);
    result(s, r, 2);
    assert_int_equal(r[0], 0x20);
    assert_int_equal(r[1], cyl);
}

static void test_read(void **state)
{
    struct fdc *s = *state;
    u8 r[7];

    start(s);
    seek(s, 3);
    program_dma(s, 0x20000, 36 * 512, 0x46);
    command(s, (u8[]){0xe6, 0, 3, 0, 1, 2, 18, 27, 0xff}, 9);
    assert_true(s->pc.irq[6].level);
    result(s, r, 7);
    assert_int_equal(r[0] & 0xc0, 0);
    assert_int_equal(r[3], 4); /* next: cylinder 4, head 0, sector 1 */
    assert_int_equal(r[4] << 8 | r[5], 1);
    for (unsigned i = 0; i < 36; i++)
        assert_int_equal(mem_read32(&s->pc.dma, 0x20000 + i * 512), 3 * 36 + i);
    assert_int_equal(inb(&s->pc, 0x08) & 4, 4); /* terminal count */
}

static void test_write(void **state)
{
    struct fdc *s = *state;
    u8 r[7];

    start(s);
    memset(s->pc.mem.hva + 0x30000, 0xa5, 1024);
    program_dma(s, 0x30000, 1024, 0x4a);
    command(s, (u8[]){0x45, 4, 0, 1, 5, 2, 18, 27, 0xff}, 9);
    result(s, r, 7);
    assert_int_equal(r[0], 4);
    assert_int_equal(r[5], 7);
    assert_int_equal(s->disk.data[(18 + 4) * 512], 0xa5);
    assert_int_equal(s->disk.data[(18 + 6) * 512 - 1], 0xa5);
    assert_int_equal(le32_get(s->disk.data + (18 + 6) * 512), 24);
    s->disk.b.readonly = true;
    command(s, (u8[]){0x45, 4, 0, 1, 5, 2, 18, 27, 0xff}, 9);
    result(s, r, 7);
    assert_int_equal(r[0] & 0xc0, 0x40);
    assert_int_equal(r[1], 2);
}

/* DMA that is set up after the command; a disk request that takes its time; reset meanwhile. */
static void test_slow(void **state)
{
    struct fdc *s = *state;
    u8 r[7];

    start(s);
    s->disk.defer = true;
    command(s, (u8[]){0xe6, 0, 0, 0, 2, 2, 18, 27, 0xff}, 9);
    assert_int_equal(inb(&s->pc, 0x3f4) & 0xf0, 0x10);
    fake_blk_run(&s->disk);
    clock_advance(s->pc.clock, 5000000);
    assert_int_equal(inb(&s->pc, 0x3f4) & 0xf0, 0x10);
    program_dma(s, 0x20000, 512, 0x46);
    clock_advance(s->pc.clock, 2000000);
    result(s, r, 7);
    assert_int_equal(r[0], 0);
    assert_int_equal(mem_read32(&s->pc.dma, 0x20000), 1);
    command(s, (u8[]){0xe6, 0, 0, 0, 2, 2, 18, 27, 0xff}, 9);
    outb(&s->pc, 0x3f2, 0x00);
    outb(&s->pc, 0x3f2, 0x1c);
    assert_int_equal(inb(&s->pc, 0x3f4), 0);
    fake_blk_run(&s->disk);
    assert_int_equal(inb(&s->pc, 0x3f4), 0x80);
    assert_true(s->pc.irq[6].level);
}

static void test_errors(void **state)
{
    struct fdc *s = *state;
    u8 r[10];

    start(s);
    program_dma(s, 0x20000, 512, 0x46);
    command(s, (u8[]){0xe6, 0, 7, 0, 1, 2, 18, 27, 0xff}, 9); /* head is elsewhere */
    result(s, r, 7);
    assert_int_equal(r[1], 4);
    assert_int_equal(r[2], 0x10);
    command(s, (u8[]){0xe6, 0, 0, 0, 19, 2, 20, 27, 0xff}, 9); /* no such sector */
    result(s, r, 7);
    assert_int_equal(r[1], 4);
    outb(&s->pc, 0x3f7, 2); /* wrong data rate */
    command(s, (u8[]){0x4a, 0}, 2);
    result(s, r, 7);
    assert_int_equal(r[1], 1);
    outb(&s->pc, 0x3f7, 0);
    command(s, (u8[]){0x4a, 0}, 2);
    result(s, r, 7);
    assert_int_equal(r[0], 0);
    command(s, (u8[]){0x1f}, 1);
    result(s, r, 1);
    assert_int_equal(r[0], 0x80);
    command(s, (u8[]){0x07, 1}, 2); /* a drive that is not there */
    command(s, (u8[]){0x08}, 1);
    result(s, r, 2);
    assert_int_equal(r[0], 0x71);
    command(s, (u8[]){0x10}, 1);
    result(s, r, 1);
    assert_int_equal(r[0], 0x90);
    command(s, (u8[]){0x0e}, 1);
    result(s, r, 10);
}

static void test_change(void **state)
{
    struct fdc *s = *state;

    start(s);
    assert_int_equal(inb(&s->pc, 0x3f7) & 0x80, 0x80);
    seek(s, 1);
    assert_int_equal(inb(&s->pc, 0x3f7) & 0x80, 0);
    assert_int_equal(i82078_change_medium(&s->fdc, 0, NULL), 0);
    assert_int_equal(inb(&s->pc, 0x3f7) & 0x80, 0x80);
}

static void test_format(void **state)
{
    struct fdc *s = *state;
    u8 r[7];

    start(s);
    seek(s, 2);
    for (unsigned i = 0; i < 18; i++)
        mem_write32(&s->pc.dma, 0x20000 + 4 * i, 2 | (i + 1) << 16 | 2 << 24);
    program_dma(s, 0x20000, 72, 0x4a);
    command(s, (u8[]){0x4d, 0, 2, 18, 0x54, 0xf6}, 6);
    result(s, r, 7);
    assert_int_equal(r[0], 0);
    for (unsigned i = 0; i < 18 * 512; i++)
        assert_int_equal(s->disk.data[2 * 36 * 512 + i], 0xf6);
}

static void test_types(void **state)
{
    assert_int_equal(i82078_type_for(1440 * 1024), I82078_1440K);
    assert_int_equal(i82078_type_for(2880 * 1024), I82078_2880K);
    assert_int_equal(i82078_type_for(360 * 1024), I82078_360K);
    assert_int_equal(i82078_type_for(512 * 100), I82078_1440K);
}

/* Word channels, auto-initialization, decrement, wrap within the page. */
static void test_dma_modes(void **state)
{
    struct fdc *s = *state;
    u8 buf[64];
    bool tc;

    outb(&s->pc, 0xd6, 0x59); /* channel 5: auto, read */
    outb(&s->pc, 0xc4, 0x00);
    outb(&s->pc, 0xc4, 0x80); /* words: address 0x10000 in page 2 */
    outb(&s->pc, 0x8b, 0x02);
    outb(&s->pc, 0xc6, 3);
    outb(&s->pc, 0xc6, 0);
    outb(&s->pc, 0xd4, 1);
    mem_write32(&s->pc.dma, 0x30000, 0x11223344);
    assert_int_equal(i8237_transfer(&s->dma, 5, I8237_TO_DEVICE, buf, 6, &tc), 6);
    assert_false(tc);
    assert_int_equal(le32_get(buf), 0x11223344);
    assert_int_equal(i8237_transfer(&s->dma, 5, I8237_TO_DEVICE, buf, 64, &tc), 2);
    assert_true(tc);
    assert_int_equal(i8237_transfer(&s->dma, 5, I8237_TO_DEVICE, buf, 2, &tc), 2); /* again */
    assert_int_equal(i8237_transfer(&s->dma, 5, I8237_TO_MEMORY, buf, 2, &tc), 0);

    program_dma(s, 0x2fffe, 4, 0x46);
    memcpy(buf, "abcd", 4);
    assert_int_equal(i8237_transfer(&s->dma, 2, I8237_TO_MEMORY, buf, 64, &tc), 4);
    assert_memory_equal(s->pc.mem.hva + 0x2fffe, "ab", 2);
    assert_memory_equal(s->pc.mem.hva + 0x20000, "cd", 2);
    program_dma(s, 0x2000f, 4, 0x66);
    assert_int_equal(i8237_transfer(&s->dma, 2, I8237_TO_MEMORY, buf, 64, &tc), 4);
    assert_memory_equal(s->pc.mem.hva + 0x2000c, "dcba", 4);
    assert_int_equal(i8237_transfer(&s->dma, 2, I8237_TO_MEMORY, buf, 64, &tc), 0); /* masked */
    outb(&s->pc, 0x84, 0x77);
    assert_int_equal(inb(&s->pc, 0x84), 0x77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_change, setup, teardown),
        cmocka_unit_test_setup_teardown(test_format, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dma_modes, setup, teardown),
        cmocka_unit_test(test_types),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
