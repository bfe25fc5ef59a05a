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

static void update(void *opaque, struct display *d, bool all)
{
    display_size(d, 3, 2);
    for (u32 y = 0; y < 2; y++) {
        u32 line[4];
        for (u32 i = 0; i < 4; i++)
            line[i] = 0x10203 * (4 * y + i);
        display_put(d, 0, y, line, 4);
    }
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
    struct display_source src = {.update = update};
    struct display d;
    char png[64], ppm[64];
    u8 buf[64];
    display_init(&d, &src);
    snprintf(png, sizeof(png), "/tmp/wirt-shot-%d.png", (int)getpid());
    snprintf(ppm, sizeof(ppm), "/tmp/wirt-shot-%d.PPM", (int)getpid());
    assert_int_equal(screenshot_write(&d, png, PICTURE_BY_NAME, NULL), 0);
    png_image im = {.version = PNG_IMAGE_VERSION};
    assert_true(png_image_begin_read_from_file(&im, png));
    assert_int_equal(im.width, 3);
    assert_int_equal(im.height, 2);
    im.format = PNG_FORMAT_RGB;
    assert_true(png_image_finish_read(&im, NULL, buf, 0, NULL));
    check(buf);
    assert_int_equal(screenshot_write(&d, ppm, PICTURE_BY_NAME, NULL), 0);
    FILE *f = fopen(ppm, "r");
    assert_int_equal(fread(buf, 1, sizeof(buf), f), 11 + 18);
    fclose(f);
    assert_memory_equal(buf, "P6\n3 2\n255\n", 11);
    check(buf + 11);
    unlink(png);
    unlink(ppm);
    display_destroy(&d);
}

static void test_wrong(void **state)
{
    struct display_source src = {.update = update};
    struct display d;
    struct err e;
    display_init(&d, &src);
    assert_true(screenshot_write(&d, "/no/such/dir/x.png", PICTURE_BY_NAME, &e) < 0);
    assert_non_null(strstr(e.msg, "/no/such/dir/x.png"));
    display_destroy(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_formats),
                                       cmocka_unit_test(test_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
