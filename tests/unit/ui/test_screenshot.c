/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Screenshots of a made-up screen.
 */
#include "ui/screenshot.h"

#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static bool draw(void *opaque, struct surface *s)
{
    s->width = 3;
    s->height = 2;
    s->stride = 4;
    s->pixels = realloc(s->pixels, 8 * sizeof(u32));
    for (u32 i = 0; i < 8; i++)
        s->pixels[i] = 0x10203 * i;
    return opaque == NULL;
}

static const u8 *pixel(const u8 *rgb, unsigned x, unsigned y)
{
    return rgb + (y * 3 + x) * 3;
}

static void check(const u8 *rgb)
{
    assert_memory_equal(pixel(rgb, 0, 0), "\0\0\0", 3);
    assert_memory_equal(pixel(rgb, 2, 0), "\2\4\6", 3);
    assert_memory_equal(pixel(rgb, 1, 1), "\5\12\17", 3);
}

static void test_formats(void **state)
{
    struct display_source d = {.draw = draw};
    char png[64], ppm[64];
    u8 buf[64];
    snprintf(png, sizeof(png), "/tmp/wirt-shot-%d.png", (int)getpid());
    snprintf(ppm, sizeof(ppm), "/tmp/wirt-shot-%d.PPM", (int)getpid());
    assert_int_equal(screenshot_write(&d, png, NULL), 0);
    png_image im = {.version = PNG_IMAGE_VERSION};
    assert_true(png_image_begin_read_from_file(&im, png));
    assert_int_equal(im.width, 3);
    assert_int_equal(im.height, 2);
    im.format = PNG_FORMAT_RGB;
    assert_true(png_image_finish_read(&im, NULL, buf, 0, NULL));
    check(buf);
    assert_int_equal(screenshot_write(&d, ppm, NULL), 0);
    FILE *f = fopen(ppm, "r");
    assert_int_equal(fread(buf, 1, sizeof(buf), f), 11 + 18);
    fclose(f);
    assert_memory_equal(buf, "P6\n3 2\n255\n", 11);
    check(buf + 11);
    unlink(png);
    unlink(ppm);
}

static void test_wrong(void **state)
{
    struct display_source d = {.draw = draw};
    struct err e;
    assert_true(screenshot_write(&d, "/no/such/dir/x.png", &e) < 0);
    assert_non_null(strstr(e.msg, "/no/such/dir/x.png"));
    d.opaque = &d; /* draws nothing */
    assert_true(screenshot_write(&d, "/tmp/wirt-none.png", &e) < 0);
    assert_int_equal(access("/tmp/wirt-none.png", F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_formats),
                                       cmocka_unit_test(test_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
