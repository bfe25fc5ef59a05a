/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Screenshots: PNG by libpng, and PPM, which needs nothing to read.
 */
#include "ui/screenshot.h"

#include <errno.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* 24 bits a pixel, top down, malloc'ed. */
static u8 *rgb(const struct surface *s)
{
    u8 *buf = malloc((size_t)s->width * s->height * 3 + 1), *p = buf;
    if (!buf)
        return NULL;
    for (u32 y = 0; y < s->height; y++) {
        for (u32 x = 0; x < s->width; x++, p += 3) {
            u32 v = s->pixels[(size_t)y * s->stride + x];
            p[0] = (u8)(v >> 16);
            p[1] = (u8)(v >> 8);
            p[2] = (u8)v;
        }
    }
    return buf;
}

static bool write_png(FILE *f, const struct surface *s, const u8 *pixels)
{
    png_image im = {.version = PNG_IMAGE_VERSION,
                    .width = s->width,
                    .height = s->height,
                    .format = PNG_FORMAT_RGB};
    return png_image_write_to_stdio(&im, f, 0, pixels, 0, NULL);
}

static bool write_ppm(FILE *f, const struct surface *s, const u8 *pixels)
{
    size_t n = (size_t)s->width * s->height * 3;
    return fprintf(f, "P6\n%u %u\n255\n", s->width, s->height) > 0 && fwrite(pixels, 1, n, f) == n;
}

int screenshot_write(struct display *d, const char *path, enum picture format, struct err *e)
{
    struct display_view view = {0};
    struct display_rect all;
    char tmp[4096];
    size_t n = strlen(path);
    bool ok = false;
    if (format == PICTURE_BY_NAME)
        format = n > 4 && !strcasecmp(path + n - 4, ".ppm") ? PICTURE_PPM : PICTURE_PNG;
    if (!display_look(d, &view, &all, 1)) {
        return err_set(e, EIO, "%s: the screen shows nothing that can be drawn", path);
    }
    if (snprintf(tmp, sizeof(tmp), "%s.tmp%d", path, (int)gettid()) >= (int)sizeof(tmp)) {
        display_view_free(&view);
        return err_set(e, ENAMETOOLONG, "%s: name too long", path);
    }
    u8 *pixels = rgb(&view.s);
    FILE *f = pixels ? fopen(tmp, "wbe") : NULL;
    if (f) {
        ok = format == PICTURE_PPM ? write_ppm(f, &view.s, pixels) : write_png(f, &view.s, pixels);
        ok = !fclose(f) && ok && !rename(tmp, path);
    }
    int code = errno ? errno : EIO;
    if (f && !ok)
        unlink(tmp);
    free(pixels);
    display_view_free(&view);
    return ok ? 0 : err_set(e, code, "%s: %s", path, strerror(code));
}

size_t screenshot_png(struct display *d, u8 **png)
{
    struct display_view view = {0};
    struct display_rect all;
    png_image im = {.version = PNG_IMAGE_VERSION, .format = PNG_FORMAT_RGB};
    png_alloc_size_t n = 0;
    u8 *pixels = display_look(d, &view, &all, 1) ? rgb(&view.s) : NULL;
    *png = NULL;
    im.width = view.s.width;
    im.height = view.s.height;
    display_view_free(&view);
    if (pixels) {
        n = PNG_IMAGE_PNG_SIZE_MAX(im);
        *png = malloc(n);
        if (!*png || !png_image_write_to_memory(&im, *png, &n, 0, pixels, 0, NULL)) {
            free(*png);
            *png = NULL;
        }
    }
    free(pixels);
    return *png ? n : 0;
}
