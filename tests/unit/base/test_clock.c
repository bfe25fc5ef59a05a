/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/clock.h"
#include "base/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void fired(void *opaque)
{
    ++*(int *)opaque;
}

/* Neither the time nor the TSC goes back or on while the clock stands, however often. */
static void a_pause_stops_time(void **state)
{
    struct loop *l = loop_new(NULL);
    struct clock *c = clock_new(l, NULL);

    for (unsigned i = 0; i < 20; i++) {
        u64 now = clock_now(c), tsc = clock_tsc(c);
        clock_pause(c);
        u64 stood = clock_now(c), tsc_stood = clock_tsc(c);
        assert_true(stood >= now && tsc_stood >= tsc);
        usleep(2000);
        assert_int_equal(clock_now(c), stood);
        assert_int_equal(clock_tsc(c), tsc_stood);
        clock_resume(c);
        now = clock_now(c);
        tsc = clock_tsc(c);
        assert_true(now >= stood && tsc >= tsc_stood);
        /* It went on from there: a busy host may take its time, but TSC and clock agree. */
        u64 ns = muldiv64(tsc - tsc_stood, NS_PER_SEC, clock_tsc_hz(c));
        assert_true(ns + 1000000 > now - stood);
    }
    clock_free(c);
    loop_free(l);
}

static void what_is_due_fires_although_it_stands(void **state)
{
    struct loop *l = loop_new(NULL);
    struct clock *c = clock_new(l, NULL);
    int n = 0;
    struct timer due = {.fn = fired, .opaque = &n}, later = {.fn = fired, .opaque = &n};

    timer_set(c, &due, clock_now(c) + 1000);
    timer_set(c, &later, clock_now(c) + 10 * NS_PER_SEC);
    usleep(1000);
    clock_pause(c);
    clock_fire_due(c);
    assert_int_equal(n, 1);
    assert_true(timer_armed(&later));
    timer_del(c, &later);
    clock_free(c);
    loop_free(l);
}

static u64 host_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * NS_PER_SEC + (u64)t.tv_nsec;
}

/* Time, TSC and timers alike; and no jump when the speed changes. */
static void a_slow_clock(void **state)
{
    struct loop *l = loop_new(NULL);
    struct clock *c = clock_new(l, NULL);
    int n = 0;
    struct timer t = {.fn = fired, .opaque = &n};
    u64 jump = clock_now(c);

    clock_slow(c, 16);
    u64 start = host_ns(), before = clock_now(c), tsc = clock_tsc(c);
    assert_true(before >= jump);
    timer_set(c, &t, before + 2000000);
    while (!n)
        loop_turn(l, 100);
    u64 passed = clock_now(c) - before, ticks = clock_tsc(c) - tsc, host = host_ns() - start;
    assert_true(passed >= 2000000);
    assert_true(passed <= host / 16 + 1);
    u64 ns = muldiv64(ticks, NS_PER_SEC, clock_tsc_hz(c));
    assert_true(ns + 1000000 > passed);
    clock_free(c);
    loop_free(l);
}

static void another_machines_time(void **state)
{
    struct loop *l = loop_new(NULL);
    struct clock *c = clock_new(l, NULL);
    struct clock_state s = {.now = 5000 * NS_PER_SEC, .tsc = 123456789}, t;
    int n = 0;
    struct timer host = {.fn = fired, .opaque = &n};

    timer_set(c, &host, clock_now(c) + 20000000); /* of a back end: 20 ms from now */
    clock_pause(c);
    clock_set(c, &s);
    clock_get(c, &t);
    assert_int_equal(t.now, s.now);
    assert_int_equal(t.tsc, s.tsc);
    assert_true(host.deadline > s.now && host.deadline <= s.now + 20000000);
    clock_resume(c);
    assert_true(clock_now(c) >= s.now && clock_now(c) < s.now + 5 * NS_PER_SEC);
    assert_true(clock_tsc(c) >= s.tsc);
    for (unsigned i = 0; i < 100 && !n; i++)
        loop_turn(l, 100);
    assert_int_equal(n, 1);

    clock_pause(c); /* and back to a time before */
    clock_set(c, &(struct clock_state){.now = 7, .tsc = 9});
    assert_int_equal(clock_now(c), 7);
    clock_resume(c);
    assert_true(clock_now(c) >= 7 && clock_now(c) < 5 * NS_PER_SEC);
    clock_free(c);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pause_stops_time),
        cmocka_unit_test(what_is_due_fires_although_it_stands),
        cmocka_unit_test(a_slow_clock),
        cmocka_unit_test(another_machines_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
