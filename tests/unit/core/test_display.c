/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A screen between a source and its viewers; and video memory that is watched.
 */
#include "core/display.h"

#include "core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct source {
    u32 w, h;
    u32 x, y, color; /* the one pixel that is not black */
    unsigned updates;
    bool all;
};

static void update(void *opaque, struct display *d, bool all)
{
    struct source *s = opaque;

    s->updates++;
    s->all = display_size(d, s->w, s->h) || all;
    display_put(d, s->x, s->y, &s->color, 1);
}

static void test_tiles(void **state)
{
    struct source s = {.w = 200, .h = 100};
    struct display_source src = {.update = update, .opaque = &s};
    struct display_view a = {0}, b = {0};
    struct display_rect r[4];
    struct display d;

    display_init(&d, &src);
    assert_int_equal(display_look(&d, &a, r, 4), 1);
    assert_true(a.resized && s.all);
    assert_int_equal(r[0].w, 200);
    assert_int_equal(r[0].h, 100);
    assert_int_equal(display_look(&d, &a, r, 4), 0);
    assert_false(a.resized);
    /* Drawn again without a difference: nothing. */
    s.x = 199;
    s.y = 99;
    assert_int_equal(display_look(&d, &a, r, 4), 0);
    s.color = 5;
    assert_int_equal(display_look(&d, &a, r, 4), 1);
    assert_int_equal(r[0].x, 192);
    assert_int_equal(r[0].y, 96);
    assert_int_equal(r[0].w, 8);
    assert_int_equal(r[0].h, 4);
    assert_int_equal(a.s.pixels[99 * a.s.stride + 199], 5);
    /* Another viewer has everything to see, the first one nothing. */
    assert_int_equal(display_look(&d, &b, r, 4), 1);
    assert_int_equal(r[0].w, 200);
    assert_int_equal(b.s.pixels[99 * b.s.stride + 199], 5);
    assert_int_equal(display_look(&d, &a, r, 4), 0);
    s.w = 100;
    assert_int_equal(display_look(&d, &b, r, 4), 1);
    assert_true(b.resized);
    assert_int_equal(b.s.width, 100);
    display_view_free(&a);
    display_view_free(&b);
    display_destroy(&d);
}

static void test_outside(void **state)
{
    struct source s = {.w = 64, .h = 16, .x = 64, .color = 1};
    struct display_source src = {.update = update, .opaque = &s};
    struct display_view a = {0};
    struct display_rect r[1];
    struct display d;

    display_init(&d, &src);
    display_look(&d, &a, r, 1);
    s.x = 0;
    s.y = 16;
    assert_int_equal(display_look(&d, &a, r, 1), 0);
    s.y = UINT32_MAX;
    assert_int_equal(display_look(&d, &a, r, 1), 0);
    display_view_free(&a);
    display_destroy(&d);
}

/* Pixels in three corners. */
static void corners(void *opaque, struct display *d, bool all)
{
    u32 *color = opaque;

    display_size(d, 640, 480);
    display_put(d, 0, 0, color, 1);
    display_put(d, 639, 0, color, 1);
    display_put(d, 0, 479, color, 1);
}

static void test_few_rects(void **state)
{
    u32 color = 0;
    struct display_source src = {.update = corners, .opaque = &color};
    struct display_view a = {0};
    struct display_rect r[3];
    struct display d;

    display_init(&d, &src);
    display_look(&d, &a, r, 1);
    color = 1;
    assert_int_equal(display_look(&d, &a, r, 3), 3);
    color = 2;
    assert_int_equal(display_look(&d, &a, r, 1), 1); /* one around all */
    assert_int_equal(r[0].w, 640);
    assert_int_equal(r[0].h, 480);
    display_view_free(&a);
    display_destroy(&d);
}

static void test_no_source(void **state)
{
    struct display_view a = {0};
    struct display_rect r[1];
    struct display d;

    display_init(&d, NULL);
    assert_int_equal(display_look(&d, &a, r, 1), 1);
    assert_int_equal(a.s.width, 640);
    assert_null(display_text(&d));
    display_wish(&d, 800, 600);
    display_view_free(&a);
    display_destroy(&d);
}

static void armed(void *opaque)
{
    ++*(unsigned *)opaque;
}

static void test_watch(void **state)
{
    u8 dirty[3] = {0};
    unsigned told = 0;
    struct mem m;
    u8 *p;

    assert_int_equal(mem_open(&m, MIB, NULL), 0);
    m.watch_armed = armed;
    m.watch_opaque = &told;
    p = mem_alloc(&m, 3 * PAGE_SIZE);
    assert_true(mem_watch(&m, p, 3 * PAGE_SIZE, dirty)); /* not looked at yet */
    assert_int_equal(dirty[0] + dirty[1] + dirty[2], 3);
    assert_int_equal(told, 1);
    memset(dirty, 0, sizeof(dirty));
    assert_false(mem_watch(&m, p, 3 * PAGE_SIZE, dirty));
    assert_int_equal(told, 1);
    mem_wrote(&m, p + 2 * PAGE_SIZE - 1, 2); /* pages 1 and 2 */
    assert_true(mem_watch(&m, p + PAGE_SIZE, 1, dirty));
    assert_int_equal(dirty[0], 1);
    dirty[0] = 0;
    assert_true(mem_watch(&m, p, 3 * PAGE_SIZE, dirty));
    assert_int_equal(dirty[0] | dirty[1] << 1 | dirty[2] << 2, 4);
    assert_int_equal(told, 3);
    mem_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiles),     cmocka_unit_test(test_outside),
        cmocka_unit_test(test_few_rects), cmocka_unit_test(test_no_source),
        cmocka_unit_test(test_watch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
