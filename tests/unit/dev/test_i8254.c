/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/i8254.h"
#include "fake.h"

struct pit_test {
    struct fake *f;
    struct i8254 pit;
};

static int setup(void **state)
{
    struct pit_test *t = calloc(1, sizeof(*t));

    t->f = fake_new();
    i8254_init(&t->pit, t->f->clock, fake_line(t->f, 0), &t->f->trace);
    bus_map(&t->f->pio, &t->pit.region, 0x40);
    bus_map(&t->f->pio, &t->pit.speaker, 0x61);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct pit_test *t = *state;

    fake_free(t->f);
    free(t);
    return 0;
}

static void load(struct fake *f, unsigned ch, u8 control, u16 count)
{
    out8(f, 0x43, ch << 6 | 0x30 | control);
    out8(f, 0x40 + ch, count);
    out8(f, 0x40 + ch, count >> 8);
}

static u16 read16(struct fake *f, unsigned ch)
{
    u16 v = in8(f, 0x40 + ch);

    return v | in8(f, 0x40 + ch) << 8;
}

/* A bit more than n ticks. */
static void ticks(struct fake *f, u64 n)
{
    clock_advance(f->clock, (n * NS_PER_SEC + I8254_HZ - 1) / I8254_HZ);
}

static void rate_generator_keeps_time(void **state)
{
    struct pit_test *t = *state;

    load(t->f, 0, 0x04, 11932); /* 100 Hz */
    clock_advance(t->f->clock, 60 * NS_PER_SEC);
    /* 1193182 * 60 / 11932 = 5999.9 */
    assert_in_range(t->f->line[0].rises, 5999, 6001);
}

/* Edges that come while the first waits for its processor are caught up, a second's worth at most.
 */
static void waiting_edges_are_caught_up(void **state)
{
    struct pit_test *t = *state;

    load(t->f, 0, 0x04, 11932);
    unsigned before = t->f->line[0].rises;
    ticks(t->f, 11932);
    t->f->line[0].waits = true;
    ticks(t->f, 20 * 11932);
    assert_int_equal(t->f->line[0].rises, before + 1);
    t->f->line[0].waits = false;
    ticks(t->f, 11932);
    assert_in_range(t->f->line[0].rises - before, 20, 23);
    ticks(t->f, 39 * 11932);
    assert_in_range(t->f->line[0].rises - before, 60, 62);

    t->f->line[0].waits = true;
    clock_advance(t->f->clock, 10 * NS_PER_SEC);
    t->f->line[0].waits = false;
    clock_advance(t->f->clock, 10 * NS_PER_SEC);
    assert_in_range(t->f->line[0].rises - before, 1155, 1165); /* nine seconds are given up */
}

static void full_count_is_zero(void **state)
{
    struct pit_test *t = *state;

    load(t->f, 0, 0x06, 0);
    clock_advance(t->f->clock, 10 * NS_PER_SEC);
    assert_in_range(t->f->line[0].rises, 181, 184); /* 18.2 Hz */
}

static void one_shot_on_channel_0(void **state)
{
    struct pit_test *t = *state;

    load(t->f, 0, 0x00, 1000);
    assert_false(t->f->line[0].level);
    ticks(t->f, 999);
    assert_false(t->f->line[0].level);
    ticks(t->f, 2);
    assert_true(t->f->line[0].level);
    clock_advance(t->f->clock, NS_PER_SEC);
    assert_true(t->f->line[0].level);
    load(t->f, 0, 0x08, 1000); /* mode 4: a strobe */
    unsigned rises = t->f->line[0].rises;
    ticks(t->f, 1002);
    assert_int_equal(t->f->line[0].rises, rises + 1);
}

static void counting_and_latching(void **state)
{
    struct pit_test *t = *state;

    load(t->f, 1, 0x04, 1000);
    ticks(t->f, 10);
    assert_int_equal(read16(t->f, 1), 990);
    out8(t->f, 0x43, 0x40);
    ticks(t->f, 5);
    out8(t->f, 0x43, 0x40); /* a second latch is ignored */
    assert_int_equal(read16(t->f, 1), 990);
    assert_in_range(read16(t->f, 1), 984, 985);
    ticks(t->f, 985);
    assert_in_range(read16(t->f, 1), 998, 1000);
}

static void read_back_status(void **state)
{
    struct pit_test *t = *state;

    out8(t->f, 0x43, 0xb0); /* channel 2, mode 0, no count yet */
    out8(t->f, 0x43, 0xe8);
    assert_int_equal(in8(t->f, 0x42), 0x70); /* output low, null count */
    out8(t->f, 0x61, 0x01);
    load(t->f, 2, 0x00, 100);
    ticks(t->f, 30);
    out8(t->f, 0x43, 0xc8); /* status and count */
    assert_int_equal(in8(t->f, 0x42), 0x30);
    assert_int_equal(read16(t->f, 2), 70);
    ticks(t->f, 71);
    out8(t->f, 0x43, 0xe8);
    assert_int_equal(in8(t->f, 0x42), 0xb0);
}

static void gate_and_port61(void **state)
{
    struct pit_test *t = *state;

    out8(t->f, 0x61, 0x00);
    load(t->f, 2, 0x00, 1000);
    ticks(t->f, 5000);
    assert_int_equal(in8(t->f, 0x61) & 0x2f, 0x00); /* the gate holds it */
    assert_int_equal(read16(t->f, 2), 1000);
    out8(t->f, 0x61, 0x01);
    ticks(t->f, 400);
    out8(t->f, 0x61, 0x00);
    ticks(t->f, 5000);
    assert_in_range(read16(t->f, 2), 599, 600);
    out8(t->f, 0x61, 0x01);
    ticks(t->f, 602);
    assert_int_equal(in8(t->f, 0x61) & 0x2f, 0x21);
    /* Mode 3's gate starts it anew. */
    load(t->f, 2, 0x06, 1000);
    ticks(t->f, 700);
    assert_int_equal(in8(t->f, 0x61) & 0x20, 0);
    out8(t->f, 0x61, 0x00);
    assert_int_equal(in8(t->f, 0x61) & 0x20, 0x20);
    out8(t->f, 0x61, 0x01);
    ticks(t->f, 300);
    assert_int_equal(in8(t->f, 0x61) & 0x20, 0x20);
}

static void triggered_modes(void **state)
{
    struct pit_test *t = *state;

    load(t->f, 2, 0x02, 100); /* mode 1 */
    ticks(t->f, 1000);
    assert_int_equal(in8(t->f, 0x61) & 0x20, 0x20);
    out8(t->f, 0x61, 0x01);
    assert_int_equal(in8(t->f, 0x61) & 0x20, 0);
    ticks(t->f, 50);
    assert_in_range(read16(t->f, 2), 49, 50);
    ticks(t->f, 51);
    assert_int_equal(in8(t->f, 0x61) & 0x20, 0x20);
    out8(t->f, 0x61, 0x00);
    out8(t->f, 0x61, 0x01);
    assert_int_equal(in8(t->f, 0x61) & 0x20, 0);
}

static void refresh_toggles(void **state)
{
    struct pit_test *t = *state;
    unsigned changes = 0, last = in8(t->f, 0x61) & 0x10;

    for (int i = 0; i < 1000; i++) {
        clock_advance(t->f->clock, 1000);
        if ((in8(t->f, 0x61) & 0x10) != last)
            changes++;
        last = in8(t->f, 0x61) & 0x10;
    }
    assert_in_range(changes, 65, 67);
}

static void bcd_counts(void **state)
{
    struct pit_test *t = *state;

    load(t->f, 1, 0x05, 0x1000);
    ticks(t->f, 1);
    assert_int_equal(read16(t->f, 1), 0x0999);
}

static void new_count_waits_for_the_period(void **state)
{
    struct pit_test *t = *state;

    load(t->f, 1, 0x04, 1000);
    ticks(t->f, 100);
    out8(t->f, 0x41, 0x64);
    out8(t->f, 0x41, 0x00); /* 100 */
    assert_in_range(read16(t->f, 1), 899, 900);
    ticks(t->f, 901);
    assert_in_range(read16(t->f, 1), 98, 100);
}

static void tiny_counts_do_not_drown_the_host(void **state)
{
    struct pit_test *t = *state;

    load(t->f, 0, 0x04, 1);
    clock_advance(t->f->clock, NS_PER_SEC);
    assert_in_range(t->f->line[0].rises, 1000, 50001);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rate_generator_keeps_time),
        TEST(waiting_edges_are_caught_up),
        TEST(full_count_is_zero),
        TEST(one_shot_on_channel_0),
        TEST(counting_and_latching),
        TEST(read_back_status),
        TEST(gate_and_port61),
        TEST(triggered_modes),
        TEST(refresh_toggles),
        TEST(bcd_counts),
        TEST(new_count_waits_for_the_period),
        TEST(tiny_counts_do_not_drown_the_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
