/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/i8259.h"
#include "fake.h"

struct pic_test {
    struct fake *f;
    struct i8259 pic;
};

static void program(struct fake *f, u8 icw1, u8 icw4)
{
    out8(f, 0x20, icw1);
    out8(f, 0x21, 0x20);
    out8(f, 0x21, 0x04);
    out8(f, 0x21, icw4);
    out8(f, 0xa0, icw1);
    out8(f, 0xa1, 0x28);
    out8(f, 0xa1, 0x02);
    out8(f, 0xa1, icw4);
}

static int setup(void **state)
{
    struct pic_test *t = calloc(1, sizeof(*t));

    t->f = fake_new();
    i8259_init(&t->pic, fake_line(t->f, 0), &t->f->trace);
    bus_map(&t->f->pio, &t->pic.region[0], 0x20);
    bus_map(&t->f->pio, &t->pic.region[1], 0xa0);
    bus_map(&t->f->pio, &t->pic.elcr, 0x4d0);
    program(t->f, 0x11, 0x01);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct pic_test *t = *state;

    fake_free(t->f);
    free(t);
    return 0;
}

static void pulse(struct pic_test *t, unsigned n)
{
    i8259_set(&t->pic, n, true);
    i8259_set(&t->pic, n, false);
}

static void nothing_before_initialization(void **state)
{
    struct pic_test *t = *state;

    i8259_reset(&t->pic);
    pulse(t, 3);
    assert_false(t->f->line[0].level);
}

static void edge_and_priority(void **state)
{
    struct pic_test *t = *state;

    pulse(t, 5);
    pulse(t, 1);
    assert_true(t->f->line[0].level);
    assert_true(i8259_pending(&t->pic, 1));
    assert_int_equal(in8(t->f, 0x20), 0x22);
    assert_int_equal(i8259_ack(&t->pic), 0x21);
    assert_false(i8259_pending(&t->pic, 1));
    assert_false(t->f->line[0].level); /* 5 waits behind 1 */
    out8(t->f, 0x20, 0x0b);
    assert_int_equal(in8(t->f, 0x20), 0x02); /* ISR */
    out8(t->f, 0x20, 0x20);
    assert_true(t->f->line[0].level);
    assert_int_equal(i8259_ack(&t->pic), 0x25);
    pulse(t, 0); /* outranks 5, which is in service */
    assert_int_equal(i8259_ack(&t->pic), 0x20);
    out8(t->f, 0x20, 0x65); /* specific EOI of 5 */
    out8(t->f, 0x20, 0x20);
    assert_int_equal(in8(t->f, 0x20), 0);
}

static void slave_through_the_cascade(void **state)
{
    struct pic_test *t = *state;

    pulse(t, 14);
    pulse(t, 12);
    assert_int_equal(i8259_ack(&t->pic), 0x2c);
    out8(t->f, 0xa0, 0x20);
    out8(t->f, 0x20, 0x20);
    assert_true(t->f->line[0].level);
    assert_int_equal(i8259_ack(&t->pic), 0x2e);
    pulse(t, 8); /* outranks 14 on the slave, but IR2 is in service on the master */
    assert_false(t->f->line[0].level);
    out8(t->f, 0x20, 0x20);
    assert_int_equal(i8259_ack(&t->pic), 0x28);
}

static void special_fully_nested_master(void **state)
{
    struct pic_test *t = *state;

    program(t->f, 0x11, 0x11);
    pulse(t, 14);
    assert_int_equal(i8259_ack(&t->pic), 0x2e);
    pulse(t, 8);
    assert_int_equal(i8259_ack(&t->pic), 0x28);
}

static void level_inputs_repeat_until_they_fall(void **state)
{
    struct pic_test *t = *state;

    out8(t->f, 0x4d1, 0xff);
    assert_int_equal(in8(t->f, 0x4d1), 0xde);
    i8259_set(&t->pic, 11, true);
    assert_int_equal(i8259_ack(&t->pic), 0x2b);
    out8(t->f, 0xa0, 0x20);
    out8(t->f, 0x20, 0x20);
    assert_true(t->f->line[0].level);
    i8259_set(&t->pic, 11, false);
    assert_false(t->f->line[0].level);
}

static void spurious_is_ir7(void **state)
{
    struct pic_test *t = *state;

    assert_int_equal(i8259_ack(&t->pic), 0x27);
    out8(t->f, 0x20, 0x0b);
    assert_int_equal(in8(t->f, 0x20), 0); /* not in service */
}

static void masks(void **state)
{
    struct pic_test *t = *state;

    out8(t->f, 0x21, 0xfb);
    pulse(t, 4);
    assert_false(t->f->line[0].level);
    assert_int_equal(in8(t->f, 0x21), 0xfb);
    out8(t->f, 0x21, 0x00);
    assert_int_equal(i8259_ack(&t->pic), 0x24);
    /* Special mask mode: with 4 in service and masked, 6 gets through. */
    out8(t->f, 0x20, 0x68);
    out8(t->f, 0x21, 0x10);
    pulse(t, 6);
    assert_int_equal(i8259_ack(&t->pic), 0x26);
}

static void automatic_eoi_and_rotation(void **state)
{
    struct pic_test *t = *state;

    program(t->f, 0x11, 0x03);
    out8(t->f, 0x20, 0x80); /* rotate in automatic EOI mode */
    pulse(t, 1);
    pulse(t, 2 + 1);
    assert_int_equal(i8259_ack(&t->pic), 0x21);
    out8(t->f, 0x20, 0x0b);
    assert_int_equal(in8(t->f, 0x20), 0);
    pulse(t, 1); /* now lowest */
    assert_int_equal(i8259_ack(&t->pic), 0x23);
    assert_int_equal(i8259_ack(&t->pic), 0x21);
    out8(t->f, 0x20, 0xc4); /* 4 is lowest, 5 highest */
    pulse(t, 0);
    pulse(t, 5);
    assert_int_equal(i8259_ack(&t->pic), 0x25);
}

static void poll(void **state)
{
    struct pic_test *t = *state;

    out8(t->f, 0x20, 0x0c);
    assert_int_equal(in8(t->f, 0x20), 0);
    pulse(t, 3);
    out8(t->f, 0x20, 0x0c);
    assert_int_equal(in8(t->f, 0x20), 0x83);
    out8(t->f, 0x20, 0x0b);
    assert_int_equal(in8(t->f, 0x20), 0x08);
}

static void state_round_trip(void **state)
{
    struct pic_test *t = *state;
    u8 buf[256], again[256];

    pulse(t, 9);
    assert_true(state_size(&i8259_state) <= sizeof(buf));
    state_save(&i8259_state, &t->pic, buf);
    i8259_reset(&t->pic);
    assert_int_equal(state_load(&i8259_state, &t->pic, buf, state_size(&i8259_state), NULL), 0);
    state_save(&i8259_state, &t->pic, again);
    assert_memory_equal(buf, again, state_size(&i8259_state));
    assert_int_equal(i8259_ack(&t->pic), 0x29);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_before_initialization),
        TEST(edge_and_priority),
        TEST(slave_through_the_cascade),
        TEST(special_fully_nested_master),
        TEST(level_inputs_repeat_until_they_fall),
        TEST(spurious_is_ir7),
        TEST(masks),
        TEST(automatic_eoi_and_rotation),
        TEST(poll),
        TEST(state_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
