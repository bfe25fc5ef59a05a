/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/clock.h"
#include "base/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

struct counter {
    struct loop *loop;
    struct loop_job job, other;
    struct loop_fd watch, peer;
    unsigned n;
};

static void again(void *opaque)
{
    struct counter *k = opaque;

    k->n++;
    loop_post(k->loop, &k->job);
}

static void a_job_that_posts_itself_does_not_keep_the_loop(void **state)
{
    struct counter k = {.loop = loop_new(NULL)};

    k.job = (struct loop_job){.fn = again, .opaque = &k};
    loop_post(k.loop, &k.job);
    loop_post(k.loop, &k.job); /* queued already */
    loop_turn(k.loop, 0);
    assert_int_equal(k.n, 1);
    loop_turn(k.loop, 0);
    assert_int_equal(k.n, 2);
    loop_cancel(k.loop, &k.job);
    loop_turn(k.loop, 0);
    assert_int_equal(k.n, 2);
    loop_free(k.loop);
}

static void delete_peer(void *opaque, u32 revents)
{
    struct counter *k = opaque;

    k->n++;
    loop_fd_del(k->loop, &k->peer);
    loop_fd_del(k->loop, &k->watch);
}

static void a_callback_may_delete_watches_of_the_same_turn(void **state)
{
    struct counter k = {.loop = loop_new(NULL)};
    int a[2], b[2];

    assert_int_equal(pipe(a) | pipe(b), 0);
    k.watch = (struct loop_fd){.fd = a[0], .events = EPOLLIN, .fn = delete_peer, .opaque = &k};
    k.peer = (struct loop_fd){.fd = b[0], .events = EPOLLIN, .fn = delete_peer, .opaque = &k};
    assert_int_equal(loop_fd_add(k.loop, &k.watch, NULL), 0);
    assert_int_equal(loop_fd_add(k.loop, &k.peer, NULL), 0);
    assert_int_equal(write(a[1], "x", 1) + write(b[1], "x", 1), 2);
    loop_turn(k.loop, 100);
    assert_int_equal(k.n, 1);
    loop_free(k.loop);
    close(a[0]);
    close(a[1]);
    close(b[0]);
    close(b[1]);
}

struct alarm {
    struct clock *clock;
    struct timer timer;
    u64 period, fired_at, count;
};

static void ring(void *opaque)
{
    struct alarm *a = opaque;

    a->fired_at = clock_now(a->clock);
    a->count++;
    if (a->period)
        timer_set(a->clock, &a->timer, a->timer.deadline + a->period);
}

static void manual_timers_fire_in_order_at_their_own_time(void **state)
{
    struct clock *c = clock_new_manual();
    struct alarm a[20] = {0};

    for (unsigned i = 0; i < 20; i++) {
        a[i].clock = c;
        a[i].timer = (struct timer){.fn = ring, .opaque = &a[i]};
        timer_set(c, &a[i].timer, 1000 + (i * 7 % 20) * 10);
    }
    timer_del(c, &a[3].timer);
    a[5].period = 300;
    clock_advance(c, 1500);
    for (unsigned i = 0; i < 20; i++) {
        if (i == 3)
            assert_int_equal(a[i].count, 0);
        else if (i != 5)
            assert_int_equal(a[i].fired_at, 1000 + (i * 7 % 20) * 10);
    }
    assert_int_equal(a[5].count, 2);
    assert_true(timer_armed(&a[5].timer));
    assert_false(timer_armed(&a[4].timer));
    assert_int_equal(clock_now(c), 1500);
    clock_free(c);
}

static void the_real_clock_stands_while_paused(void **state)
{
    struct loop *l = loop_new(NULL);
    struct clock *c = clock_new(l, NULL);
    struct alarm a = {.clock = c};
    u64 t0, t1, tsc;

    a.timer = (struct timer){.fn = ring, .opaque = &a};
    timer_set(c, &a.timer, clock_now(c) + 1000 * 1000);
    clock_pause(c);
    t0 = clock_now(c);
    usleep(20 * 1000);
    loop_turn(l, 0);
    assert_int_equal(a.count, 0);
    assert_int_equal(clock_now(c), t0);
    clock_resume(c);
    t1 = clock_now(c);
    assert_true(t1 - t0 < 15 * 1000 * 1000); /* the 20 ms did not count */
    while (!a.count)
        loop_turn(l, 1000);
    assert_true(a.fired_at >= a.timer.deadline);

    /* Clock and TSC are one: a TSC value that lies ahead is due that far ahead. */
    tsc = clock_tsc(c);
    t0 = clock_tsc_to_ns(c, tsc + clock_tsc_hz(c));
    t1 = clock_now(c);
    assert_true(t0 > t1 && t0 - t1 <= NS_PER_SEC && t0 - t1 > NS_PER_SEC / 2);
    clock_free(c);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_that_posts_itself_does_not_keep_the_loop),
        cmocka_unit_test(a_callback_may_delete_watches_of_the_same_turn),
        cmocka_unit_test(manual_timers_fire_in_order_at_their_own_time),
        cmocka_unit_test(the_real_clock_stands_while_paused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
