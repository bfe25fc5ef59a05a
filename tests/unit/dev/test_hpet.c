/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/hpet.h"
#include "fake.h"

enum { ROUTES = 0x00f00000 };

struct hpet_test {
    struct fake *f;
    struct hpet hpet;
};

static int setup(void **state)
{
    struct hpet_test *t = calloc(1, sizeof(*t));
    struct irq gsi[HPET_ROUTES];

    t->f = fake_new();
    for (unsigned i = 0; i < HPET_ROUTES; i++)
        gsi[i] = fake_line(t->f, i);
    hpet_init(&t->hpet, t->f->clock, gsi, ROUTES, fake_msi(t->f), &t->f->trace);
    bus_map(&t->f->mmio, &t->hpet.region, 0xfed00000);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct hpet_test *t = *state;

    fake_free(t->f);
    free(t);
    return 0;
}

static u64 get(struct hpet_test *t, u32 reg, unsigned size)
{
    return bus_read(&t->f->mmio, 0xfed00000 + reg, size);
}

static void put(struct hpet_test *t, u32 reg, unsigned size, u64 val)
{
    bus_write(&t->f->mmio, 0xfed00000 + reg, size, val);
}

static void counter_follows_the_clock(void **state)
{
    struct hpet_test *t = *state;

    assert_int_equal(get(t, 4, 4), 10000000);
    assert_int_equal(get(t, 0, 4), HPET_ID);
    clock_advance(t->f->clock, 1000);
    assert_int_equal(get(t, 0xf0, 8), 0);
    put(t, 0xf0, 8, 0x1fffffff0ull);
    put(t, 0x10, 4, 1);
    clock_advance(t->f->clock, 1000);
    assert_true(get(t, 0xf0, 8) == 0x200000054ull);
    assert_int_equal(get(t, 0xf4, 4), 2);
    put(t, 0x10, 4, 0);
    clock_advance(t->f->clock, 1000);
    assert_true(get(t, 0xf0, 8) == 0x200000054ull);
}

static void one_shot_edge(void **state)
{
    struct hpet_test *t = *state;

    put(t, 0x10, 4, 1);
    put(t, 0x120, 4, 20 << 9 | 0x104);
    assert_int_equal(get(t, 0x124, 4), ROUTES);
    put(t, 0x128, 4, 1000);
    clock_advance(t->f->clock, 9000);
    assert_int_equal(t->f->line[20].rises, 0);
    clock_advance(t->f->clock, 1000);
    assert_int_equal(t->f->line[20].rises, 1);
    assert_false(t->f->line[20].level);
    clock_advance(t->f->clock, NS_PER_SEC);
    assert_int_equal(t->f->line[20].rises, 1);
    clock_advance(t->f->clock, 43 * NS_PER_SEC); /* 32 bits wrap */
    assert_int_equal(t->f->line[20].rises, 2);
}

static void late_comparator_fires_at_once(void **state)
{
    struct hpet_test *t = *state;

    put(t, 0x10, 4, 1);
    clock_advance(t->f->clock, 100000);
    put(t, 0x120, 4, 20 << 9 | 0x104);
    put(t, 0x128, 4, 9990);
    assert_int_equal(t->f->line[20].rises, 1);
}

static void periodic(void **state)
{
    struct hpet_test *t = *state;

    put(t, 0x100, 4, 21 << 9 | 0x14c); /* as Linux does: set, accumulator, then period */
    put(t, 0x108, 4, 100000);
    put(t, 0x108, 4, 100000);
    put(t, 0x10, 4, 1);
    clock_advance(t->f->clock, 60 * NS_PER_SEC);
    assert_in_range(t->f->line[21].rises, 59999, 60000);
    assert_in_range(get(t, 0x108, 8) - get(t, 0xf0, 4), 1, 100000);
}

/* Matches that come while the first waits for its processor are owed, not lost. */
static void waiting_matches_are_owed(void **state)
{
    struct hpet_test *t = *state;

    put(t, 0x100, 4, 21 << 9 | 0x14c);
    put(t, 0x108, 4, 100000);
    put(t, 0x108, 4, 100000);
    put(t, 0x10, 4, 1);
    clock_advance(t->f->clock, 1500000);
    assert_int_equal(t->f->line[21].rises, 1);
    t->f->line[21].waits = true;
    clock_advance(t->f->clock, 10 * 1000000);
    assert_int_equal(t->f->line[21].rises, 1);
    t->f->line[21].waits = false;
    clock_advance(t->f->clock, 3 * 1000000);
    assert_in_range(t->f->line[21].rises, 13, 14);
}

static void level_and_status(void **state)
{
    struct hpet_test *t = *state;

    put(t, 0x10, 4, 1);
    put(t, 0x140, 4, 22 << 9 | 0x6);
    put(t, 0x148, 8, 100);
    clock_advance(t->f->clock, 2000);
    assert_true(t->f->line[22].level);
    assert_int_equal(get(t, 0x20, 4), 4);
    put(t, 0x20, 4, 4);
    assert_false(t->f->line[22].level);
    assert_int_equal(get(t, 0x20, 4), 0);
}

static void legacy_replacement(void **state)
{
    struct hpet_test *t = *state;

    hpet_legacy_in(&t->hpet, 0, true);
    assert_true(t->f->line[0].level);
    hpet_legacy_in(&t->hpet, 0, false);
    put(t, 0x10, 4, 3);
    hpet_legacy_in(&t->hpet, 0, true);
    assert_false(t->f->line[0].level); /* the PIT is cut off */
    put(t, 0x120, 4, 0x4);
    put(t, 0x128, 8, 100);
    clock_advance(t->f->clock, 2000);
    assert_int_equal(t->f->line[8].rises, 1);
    put(t, 0x10, 4, 1);
    assert_true(t->f->line[0].level);
}

static void by_message(void **state)
{
    struct hpet_test *t = *state;

    put(t, 0x10, 4, 1);
    put(t, 0x110, 4, 0x4031);
    put(t, 0x114, 4, 0xfee01000);
    put(t, 0x100, 4, 0x4004);
    put(t, 0x108, 8, 100);
    clock_advance(t->f->clock, 2000);
    assert_int_equal(t->f->msis, 1);
    assert_int_equal(t->f->msi[0].addr, 0xfee01000);
    assert_int_equal(t->f->msi[0].data, 0x4031);
}

static void unroutable_is_silent(void **state)
{
    struct hpet_test *t = *state;

    put(t, 0x10, 4, 1);
    put(t, 0x100, 4, 3 << 9 | 4);
    put(t, 0x108, 8, 100);
    clock_advance(t->f->clock, 2000);
    assert_int_equal(t->f->line[3].rises, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(counter_follows_the_clock),
        TEST(one_shot_edge),
        TEST(late_comparator_fires_at_once),
        TEST(periodic),
        TEST(waiting_matches_are_owed),
        TEST(level_and_status),
        TEST(legacy_replacement),
        TEST(by_message),
        TEST(unroutable_is_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
