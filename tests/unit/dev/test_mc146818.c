/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/mc146818.h"
#include "fake.h"

/* 2024-02-29 23:59:50, a Thursday */
enum { START = 1709251190 };

struct rtc_test {
    struct fake *f;
    struct mc146818 rtc;
};

static int setup(void **state)
{
    struct rtc_test *t = calloc(1, sizeof(*t));

    t->f = fake_new();
    mc146818_init(&t->rtc, t->f->clock, fake_line(t->f, 8), START, &t->f->trace);
    bus_map(&t->f->pio, &t->rtc.region, 0x70);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct rtc_test *t = *state;

    fake_free(t->f);
    free(t);
    return 0;
}

static u8 get(struct rtc_test *t, u8 reg)
{
    out8(t->f, 0x70, reg);
    return in8(t->f, 0x71);
}

static void put(struct rtc_test *t, u8 reg, u8 val)
{
    out8(t->f, 0x70, reg);
    out8(t->f, 0x71, val);
}

static void shows_the_date_and_moves_on(void **state)
{
    struct rtc_test *t = *state;

    assert_int_equal(get(t, 0), 0x50);
    assert_int_equal(get(t, 2), 0x59);
    assert_int_equal(get(t, 4), 0x23);
    assert_int_equal(get(t, 6), 5);
    assert_int_equal(get(t, 7), 0x29);
    assert_int_equal(get(t, 8), 0x02);
    assert_int_equal(get(t, 9), 0x24);
    assert_int_equal(get(t, 0x32), 0x20);
    assert_int_equal(get(t, 0x0d), 0x80);
    clock_advance(t->f->clock, 10 * NS_PER_SEC);
    assert_int_equal(get(t, 0), 0);
    assert_int_equal(get(t, 4), 0);
    assert_int_equal(get(t, 7), 1);
    assert_int_equal(get(t, 8), 3);
}

static void formats(void **state)
{
    struct rtc_test *t = *state;

    put(t, 0x0b, 0x06); /* binary */
    assert_int_equal(get(t, 0), 50);
    assert_int_equal(get(t, 4), 23);
    put(t, 0x0b, 0x00); /* BCD, 12 hours */
    assert_int_equal(get(t, 4), 0x91);
    clock_advance(t->f->clock, 10 * NS_PER_SEC);
    assert_int_equal(get(t, 4), 0x12);
}

static void can_be_set(void **state)
{
    struct rtc_test *t = *state;

    put(t, 0x0b, 0x82);
    put(t, 0x32, 0x19);
    put(t, 9, 0x99);
    put(t, 8, 0x12);
    put(t, 7, 0x31);
    put(t, 4, 0x12);
    put(t, 2, 0x34);
    put(t, 0, 0x56);
    clock_advance(t->f->clock, 5 * NS_PER_SEC);
    assert_int_equal(get(t, 0), 0x56); /* it stands */
    put(t, 0x0b, 0x02);
    clock_advance(t->f->clock, 2 * NS_PER_SEC);
    assert_int_equal(get(t, 0), 0x58);
    assert_int_equal(get(t, 9), 0x99);
    assert_int_equal(get(t, 0x32), 0x19);
    put(t, 4, 0x20); /* without SET */
    assert_int_equal(get(t, 4), 0x20);
    assert_int_equal(get(t, 2), 0x34);
}

static void update_in_progress(void **state)
{
    struct rtc_test *t = *state;

    assert_int_equal(get(t, 0x0a), 0x26);
    clock_advance(t->f->clock, NS_PER_SEC - 100000);
    assert_int_equal(get(t, 0x0a), 0xa6);
    clock_advance(t->f->clock, 200000);
    assert_int_equal(get(t, 0x0a), 0x26);
    assert_int_equal(get(t, 0), 0x51);
}

static void update_and_alarm_interrupts(void **state)
{
    struct rtc_test *t = *state;

    assert_int_equal(get(t, 0x0c), 0);
    put(t, 0x0b, 0x12);
    clock_advance(t->f->clock, NS_PER_SEC + 1000);
    assert_true(t->f->line[8].level);
    assert_int_equal(get(t, 0x0c) & 0xb0, 0x90);
    assert_false(t->f->line[8].level);
    put(t, 0x0b, 0x22);
    put(t, 1, 0x02);
    put(t, 3, 0x00);
    put(t, 5, 0xff); /* any hour */
    clock_advance(t->f->clock, 9 * NS_PER_SEC);
    assert_false(t->f->line[8].level);
    clock_advance(t->f->clock, 3 * NS_PER_SEC);
    assert_true(t->f->line[8].level);
    assert_int_equal(get(t, 0x0c) & 0xa0, 0xa0);
    clock_advance(t->f->clock, 3590 * NS_PER_SEC);
    assert_false(t->f->line[8].level);
    clock_advance(t->f->clock, 20 * NS_PER_SEC);
    assert_true(t->f->line[8].level);
}

static void periodic_interrupts_are_not_lost(void **state)
{
    struct rtc_test *t = *state;
    unsigned n = 0;

    put(t, 0x0a, 0x26); /* 1024 Hz */
    put(t, 0x0b, 0x42);
    for (int i = 0; i < 1000; i++) {
        clock_advance(t->f->clock, NS_PER_SEC / 100);
        while (t->f->line[8].level) {
            n += get(t, 0x0c) >> 6 & 1;
            assert_true(n < 20000);
        }
    }
    assert_in_range(n, 10239, 10241);
}

static void divider_reset_stops_the_clock(void **state)
{
    struct rtc_test *t = *state;

    put(t, 0x0a, 0x76);
    clock_advance(t->f->clock, 3 * NS_PER_SEC);
    assert_int_equal(get(t, 0), 0x50);
    put(t, 0x0a, 0x26);
    clock_advance(t->f->clock, NS_PER_SEC / 2 - 1000);
    assert_int_equal(get(t, 0), 0x50);
    clock_advance(t->f->clock, 2000);
    assert_int_equal(get(t, 0), 0x51);
}

static void cmos_and_nmi_mask(void **state)
{
    struct rtc_test *t = *state;

    mc146818_set_cmos(&t->rtc, 0x34, 0x12);
    assert_int_equal(get(t, 0x34), 0x12);
    put(t, 0x7f, 0x55);
    assert_int_equal(mc146818_cmos(&t->rtc, 0x7f), 0x55);
    assert_false(t->rtc.nmi_masked);
    out8(t->f, 0x70, 0x8d);
    assert_true(t->rtc.nmi_masked);
    mc146818_reset(&t->rtc);
    assert_int_equal(get(t, 0x7f), 0x55);
    assert_int_equal(get(t, 0), 0x50);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(shows_the_date_and_moves_on),
        TEST(formats),
        TEST(can_be_set),
        TEST(update_in_progress),
        TEST(update_and_alarm_interrupts),
        TEST(periodic_interrupts_are_not_lost),
        TEST(divider_reset_stops_the_clock),
        TEST(cmos_and_nmi_mask),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
