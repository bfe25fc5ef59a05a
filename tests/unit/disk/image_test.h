/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images in a folder of their own, for tests of formats.  Paths are relative to it.
 */
#ifndef WIRT_TESTS_UNIT_DISK_IMAGE_TEST_H
#define WIRT_TESTS_UNIT_DISK_IMAGE_TEST_H

#include "base/endian.h"
#include "disk/img.h"
#include "disk/tools.h"

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

static char image_dir[] = "/tmp/wirt-image-XXXXXX";

static int image_setup(void **state)
{
    return mkdtemp(image_dir) && chdir(image_dir) == 0 ? 0 : -1;
}

static int image_teardown(void **state)
{
    char cmd[64];

    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", image_dir);
    return chdir("/") || system(cmd);
}

static inline void make_image(const char *format, const char *path, u64 size, const char *options,
                              const char *backing)
{
    struct disk_create c = {.path = path, .size = size, .options = options, .backing = backing};
    struct err e = {0};

    if (disk_create(format, &c, &e))
        fail_msg("%s", e.msg);
}

static inline struct img *open_with(const char *path, const struct disk_options *o)
{
    struct err e = {0};
    struct img *im;

    if (img_open(&im, path, o, &e))
        fail_msg("%s", e.msg);
    return im;
}

static inline struct img *open_image(const char *path)
{
    return open_with(path, &(struct disk_options){0});
}

/* It does not open (not even to look at, or to read); the message names the file and has `words`.
 */
static inline void expect_refused(const char *path, const struct disk_options *o, const char *words)
{
    struct err e = {0};
    struct img *im;

    assert_int_not_equal(img_open(&im, path, o ? o : &(struct disk_options){0}, &e), 0);
    if (!strstr(e.msg, words) || !strstr(e.msg, path) || strchr(e.msg, '\n'))
        fail_msg("\"%s\" instead of something with \"%s\"", e.msg, words);
}

static inline void fill_image(struct img *im, u64 off, u64 len, int byte)
{
    u8 *buf = malloc(len);

    memset(buf, byte, len);
    assert_int_equal(img_write(im, off, buf, len), 0);
    free(buf);
}

static inline void expect_bytes(struct img *im, u64 off, u64 len, int byte)
{
    u8 *buf = malloc(len);

    assert_int_equal(img_read(im, off, buf, len), 0);
    for (u64 i = 0; i < len; i++)
        if (buf[i] != byte)
            fail_msg("byte %llu is %02x, not %02x", (unsigned long long)(off + i), buf[i], byte);
    free(buf);
}

static inline void peek(const char *path, u64 off, void *buf, size_t len)
{
    int fd = open(path, O_RDONLY);

    memset(buf, 0, len);
    assert_true(fd >= 0 && pread(fd, buf, len, (off_t)off) >= 0);
    close(fd);
}

static inline void poke(const char *path, u64 off, const void *buf, size_t len)
{
    int fd = open(path, O_RDWR);

    assert_true(fd >= 0 && pwrite(fd, buf, len, (off_t)off) == (ssize_t)len);
    close(fd);
}

static inline u64 file_length(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return (u64)st.st_size;
}

static inline struct disk_check check_image(const char *path, const char *format, bool repair)
{
    struct disk_options o = {.for_check = true, .readonly = !repair, .format = format};
    struct disk_check c = {.repair_leaks = repair, .repair_all = repair};
    struct img *im = open_with(path, &o);
    struct err e = {0};

    if (disk_check(im, &c, &e))
        fail_msg("%s", e.msg);
    img_close(im);
    return c;
}

static inline void expect_sound(const char *path)
{
    struct disk_check c = check_image(path, NULL, false);

    assert_int_equal(c.errors, 0);
    assert_int_equal(c.leaks, 0);
}

#endif
