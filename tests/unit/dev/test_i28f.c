/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/i28f.h"
#include "fake.h"

enum { BASE = 0xffc00000, SIZE = 3 * I28F_BLOCK };

struct flash_test {
    struct fake *f;
    struct i28f flash;
    u8 data[SIZE];
    u64 off, len; /* of the last change */
    bool full;    /* changes cannot be kept */
};

static bool changed(void *opaque, u64 off, u64 len)
{
    struct flash_test *t = opaque;

    t->off = off;
    t->len = len;
    return !t->full;
}

static int setup(void **state)
{
    struct flash_test *t = calloc(1, sizeof(*t));

    t->f = fake_new();
    memset(t->data, 0xff, SIZE);
    i28f_init(&t->flash, t->data, SIZE, changed, t, &t->f->trace);
    bus_map(&t->f->mmio, &t->flash.region, BASE);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct flash_test *t = *state;

    fake_free(t->f);
    free(t);
    return 0;
}

static u64 get(struct flash_test *t, u32 off, unsigned size)
{
    return bus_read(&t->f->mmio, BASE + off, size);
}

static void put(struct flash_test *t, u32 off, u8 val)
{
    bus_write(&t->f->mmio, BASE + off, 1, val);
}

static void program(struct flash_test *t, u32 off, u8 val)
{
    put(t, off, 0x40);
    put(t, off, val);
}

/* As OVMF finds out whether it is flash, ROM or RAM: first by its value, then by two commands. */
static void is_known_as_flash(void **state)
{
    struct flash_test *t = *state;

    assert_int_equal(get(t, 8, 1), 0xff);
    put(t, 8, 0x50);
    assert_int_not_equal(get(t, 8, 1), 0x50);
    put(t, 8, 0x70);
    assert_int_equal(get(t, 8, 1), 0x00);
    put(t, 8, 0xff);
    assert_int_equal(get(t, 8, 1), 0xff);
}

static void bits_are_only_cleared(void **state)
{
    struct flash_test *t = *state;

    program(t, 5, 0xf0);
    assert_int_equal(get(t, 0, 1), 0x80); /* status, wherever it is read */
    assert_int_equal(t->off, 5);
    assert_int_equal(t->len, 1);
    program(t, 5, 0x3c);
    put(t, 0, 0xff);
    assert_int_equal(get(t, 5, 1), 0x30);
    assert_int_equal(get(t, 4, 4), 0xffff30ff);
    put(t, 5, 0x20);
    put(t, 5, 0xd0);
    assert_int_equal(get(t, 5, 1), 0x80);
    assert_int_equal(t->off, 0);
    assert_int_equal(t->len, I28F_BLOCK);
    put(t, 0, 0xff);
    assert_int_equal(get(t, 5, 1), 0xff);
}

static void erases_one_block(void **state)
{
    struct flash_test *t = *state;

    memset(t->data, 0, SIZE);
    put(t, I28F_BLOCK + 17, 0x20);
    put(t, I28F_BLOCK + 17, 0xd0);
    put(t, 0, 0xff);
    assert_int_equal(get(t, I28F_BLOCK - 1, 1), 0);
    assert_int_equal(get(t, I28F_BLOCK, 1), 0xff);
    assert_int_equal(get(t, 2 * I28F_BLOCK - 1, 1), 0xff);
    assert_int_equal(get(t, 2 * I28F_BLOCK, 1), 0);
    put(t, 0, 0x20);
    put(t, 0, 0xff); /* no confirmation */
    assert_int_equal(get(t, 0, 1), 0xb0);
    put(t, 0, 0xff);
    assert_int_equal(get(t, 0, 1), 0);
}

static void write_buffer(void **state)
{
    struct flash_test *t = *state;

    put(t, 64, 0xe8);
    assert_int_equal(get(t, 64, 1), 0x80);
    put(t, 64, 3);
    for (unsigned i = 0; i < 4; i++)
        put(t, 64 + i, (u8)(0x11 * (i + 1)));
    put(t, 64, 0xd0);
    assert_int_equal(get(t, 64, 1), 0x80);
    put(t, 0, 0xff);
    assert_int_equal(get(t, 64, 4), 0x44332211);
    /* Across a block's end: nothing is programmed. */
    put(t, I28F_BLOCK - 1, 0xe8);
    put(t, I28F_BLOCK - 1, 1);
    put(t, I28F_BLOCK - 1, 0);
    put(t, I28F_BLOCK, 0);
    put(t, I28F_BLOCK, 0xd0);
    assert_int_equal(get(t, 0, 1), 0xb0);
    put(t, 0, 0xff);
    assert_int_equal(get(t, I28F_BLOCK - 1, 1), 0xff);
    assert_int_equal(get(t, I28F_BLOCK, 1), 0xff);
}

static void says_who_it_is(void **state)
{
    struct flash_test *t = *state;

    put(t, 0, 0x90);
    assert_int_equal(get(t, 0, 1), 0x89);
    put(t, 0, 0x98);
    assert_int_equal(get(t, 0x10, 4) & 0xffffff, 'Q' | 'R' << 8 | 'Y' << 16);
    assert_int_equal(get(t, 0x27, 1), 14); /* 12 KiB lie in 16 */
    assert_int_equal(get(t, 0x2c, 1), 1);
    assert_int_equal(get(t, 0x2d, 1), 2); /* three blocks */
    assert_int_equal(get(t, 0x2f, 2), I28F_BLOCK / 256);
}

static void tells_what_cannot_be_kept(void **state)
{
    struct flash_test *t = *state;

    t->full = true;
    program(t, 0, 0);
    assert_int_equal(get(t, 0, 1), 0x90);
    put(t, 0, 0x50);
    t->full = false;
    program(t, 1, 0);
    assert_int_equal(get(t, 0, 1), 0x80);
}

static void is_saved_within_an_operation(void **state)
{
    struct flash_test *t = *state;
    u8 buf[512];
    size_t size = state_size(&i28f_state);
    struct err e;

    put(t, 0, 0xe8);
    put(t, 0, 1);
    put(t, 0, 0x12);
    assert_true(size <= sizeof(buf));
    state_save(&i28f_state, &t->flash, buf);
    i28f_reset(&t->flash);
    assert_int_equal(get(t, 0, 1), 0xff);
    assert_int_equal(state_load(&i28f_state, &t->flash, buf, size, &e), 0);
    assert_int_equal(t->len, SIZE); /* what came with memory is kept too */
    put(t, 1, 0x34);
    put(t, 0, 0xd0);
    put(t, 0, 0xff);
    assert_int_equal(get(t, 0, 2), 0x3412);

    t->flash.got = 2;
    t->flash.expected = 1;
    state_save(&i28f_state, &t->flash, buf);
    assert_int_not_equal(state_load(&i28f_state, &t->flash, buf, size, &e), 0);
    t->flash.expected = 2;
    t->flash.buffer_at[1] = SIZE;
    state_save(&i28f_state, &t->flash, buf);
    assert_int_not_equal(state_load(&i28f_state, &t->flash, buf, size, &e), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(is_known_as_flash),
        TEST(bits_are_only_cleared),
        TEST(erases_one_block),
        TEST(write_buffer),
        TEST(says_who_it_is),
        TEST(tells_what_cannot_be_kept),
        TEST(is_saved_within_an_operation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
