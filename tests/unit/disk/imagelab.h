/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of image formats: a folder, which is the current one, images in it, their bytes changed
 * by hand, and what opening them says then.  Every function fails the test on an error that was not
 * asked for.
 */
#ifndef WIRT_TESTS_IMAGELAB_H
#define WIRT_TESTS_IMAGELAB_H

#include "base/endian.h"
#include "disk/img.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#pragma GCC diagnostic ignored "-Wunused-function" /* no test needs all of them */

static char lab_dir[64];

static int lab_open(void **state)
{
    strcpy(lab_dir, "/tmp/wirt-image-XXXXXX");
    return mkdtemp(lab_dir) && chdir(lab_dir) == 0 ? 0 : -1;
}

static int lab_close(void **state)
{
    char cmd[160];

    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", lab_dir);
    return chdir("/") || system(cmd);
}

/* A name in the folder; good for four calls. */
static const char *lab(const char *name)
{
    static char path[4][256];
    static unsigned i;

    i = (i + 1) % 4;
    snprintf(path[i], sizeof(path[i]), "%s/%s", lab_dir, name);
    return path[i];
}

static void lab_create(const char *format, const char *name, u64 size, const char *options,
                       const char *backing)
{
    struct disk_create c = {
        .path = lab(name), .size = size, .options = options, .backing = backing};
    struct err e = {0};

    if (disk_create(format, &c, &e))
        fail_msg("%s", e.msg);
}

static void lab_create_refused(const char *format, const char *name, u64 size, const char *options,
                               const char *backing, const char *words)
{
    struct disk_create c = {
        .path = lab(name), .size = size, .options = options, .backing = backing};
    struct err e = {0};

    assert_true(disk_create(format, &c, &e) < 0);
    if (!strstr(e.msg, words))
        fail_msg("\"%s\" is not in \"%s\"", words, e.msg);
}

static struct img *lab_img(const char *name, struct disk_options o)
{
    struct err e = {0};
    struct img *im;

    if (img_open(&im, lab(name), &o, &e))
        fail_msg("%s", e.msg);
    return im;
}

static void lab_refused(const char *name, struct disk_options o, const char *words)
{
    struct err e = {0};
    struct img *im;

    if (!img_open(&im, lab(name), &o, &e))
        fail_msg("opened, instead of: %s", words);
    if (!strstr(e.msg, words))
        fail_msg("\"%s\" is not in \"%s\"", words, e.msg);
    assert_non_null(strstr(e.msg, name));
    assert_null(strchr(e.msg, '\n'));
}

/* Bytes of the file itself. */
static void lab_poke(const char *name, u64 off, const void *p, size_t n)
{
    int fd = open(lab(name), O_WRONLY | O_CREAT, 0600);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, p, n, (off_t)off), (ssize_t)n);
    close(fd);
}

static void lab_peek(const char *name, u64 off, void *p, size_t n)
{
    int fd = open(lab(name), O_RDONLY);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, p, n, (off_t)off), (ssize_t)n);
    close(fd);
}

static void lab_poke32(const char *name, u64 off, u32 v)
{
    lab_poke(name, off, &v, 4);
}

/* Changes 4 bytes, sees the image refused with `words`, and puts them back. */
static void lab_refuses32(const char *name, u64 off, u32 v, const char *words)
{
    u32 old;

    lab_peek(name, off, &old, 4);
    lab_poke32(name, off, v);
    lab_refused(name, (struct disk_options){0}, words);
    lab_poke32(name, off, old);
}

static void lab_write(struct img *im, u64 off, u64 len, int byte)
{
    u8 *b = malloc(len);

    memset(b, byte, len);
    assert_int_equal(img_write(im, off, b, len), 0);
    free(b);
}

/* off..off+len all hold `byte`. */
static void lab_expect(struct img *im, u64 off, u64 len, int byte)
{
    u8 *b = malloc(len);

    memset(b, ~byte, len);
    assert_int_equal(img_read(im, off, b, len), 0);
    for (u64 i = 0; i < len; i++)
        if (b[i] != (u8)byte)
            fail_msg("at %llu: 0x%02x, not 0x%02x", (unsigned long long)(off + i), b[i], (u8)byte);
    free(b);
}

/* The counts of a check. */
static struct disk_check lab_check(const char *name, bool repair)
{
    struct img *im = lab_img(name, (struct disk_options){.for_check = true, .readonly = !repair});
    struct disk_check c = {.repair_leaks = repair, .repair_all = repair};
    struct err e = {0};

    if (disk_check(im, &c, &e))
        fail_msg("%s", e.msg);
    img_close(im);
    return c;
}

static void lab_sound(const char *name)
{
    struct disk_check c = lab_check(name, false);

    assert_int_equal(c.errors, 0);
    assert_int_equal(c.leaks, 0);
}

static u64 lab_length(const char *name)
{
    struct stat st;

    assert_int_equal(stat(lab(name), &st), 0);
    return (u64)st.st_size;
}

#endif
