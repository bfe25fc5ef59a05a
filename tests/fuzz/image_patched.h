/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Damaged images of one format: a good small one (the first byte chooses which), patched in any
 * places of any of its files, is opened, checked, read, written and repaired.  What a check finds
 * sound must be sound after any of that too.
 *
 * Input: kind, number of patches and what to leave out (each takes time), patches (file, 16 bits of
 * offset in the file's head, length 1..8, bytes), then steps of four bytes: what, where (16 bits),
 * length.
 */
#ifndef WIRT_TESTS_FUZZ_IMAGE_PATCHED_H
#define WIRT_TESTS_FUZZ_IMAGE_PATCHED_H

#include "image.h"

enum { FUZZ_KINDS_MAX = 8, FUZZ_FILE_MAX = 16 << 20 };

struct fuzz_image {
    const char *format, *path; /* path: the main file */
    u64 size;
    unsigned kinds;
    struct {
        const char *options, *backing; /* backing: a format, NULL = none */
        bool readonly;
    } kind[FUZZ_KINDS_MAX];
    /* Makes the files of a kind; NULL = by disk_create(), and some writes. */
    void (*make)(struct sim *s, unsigned kind);
};

static void fuzz_write(struct img *im, u64 off, u64 len)
{
    for (u64 i = 0; i < len; i++)
        fuzz_buf[i] = (u8)((off + i) / 700 * 37 + 1);
    BUG_ON(img_write(im, off, fuzz_buf, len));
}

static struct sim *fuzz_make(const struct fuzz_image *f, unsigned kind)
{
    const char *backing = f->kind[kind].backing;
    struct sim *s = malloc(sizeof(*s));
    struct disk_create c = {.path = "base", .size = f->size / 2};
    struct err e = {0};
    struct img *im;

    BUG_ON(!s);
    sim_init(s);
    if (f->make) {
        f->make(s, kind);
        return s;
    }
    c.io.io = &s->io;
    if (backing)
        BUG_ON(disk_create(backing, &c, &e));
    c = (struct disk_create){.path = f->path,
                             .size = f->size,
                             .options = f->kind[kind].options,
                             .backing = backing ? "base" : NULL,
                             .backing_format = backing,
                             .io = {.io = &s->io}};
    BUG_ON(disk_create(f->format, &c, &e));
    im = image_open(s, f->format, f->path, false, false);
    BUG_ON(!im);
    if (im->packs) {
        fuzz_write(im, 0, im->unit);
        fuzz_write(im, 3 * im->unit, im->unit);
    } else {
        fuzz_write(im, f->size / 2, 40960);
        fuzz_write(im, 4096, 1024);
    }
    img_close(im);
    return s;
}

static void fuzz_step(struct img *im, const uint8_t *p)
{
    u64 off = (u64)(p[1] | p[2] << 8) * 2048 % im->b.size / 512 * 512;
    u64 len = min((1 + p[3] % 128) * 512ull, im->b.size - off);

    image_request(im, p[0] % 7, off, len, p[3]);
    if (p[0] % 7 == 6 && p[3] == 77)
        disk_resize(im, im->b.size + off, NULL);
}

static void fuzz_patch(struct sim *s, const uint8_t **data, size_t *size)
{
    const uint8_t *p = *data;
    struct sim_data *d = s->file[p[0] % s->files];
    u64 at = (p[1] | p[2] << 8) % d->size, n = 1 + p[3] % 8;

    n = min(n, (u64)*size - 4);
    n = min(n, d->size - at);
    sim_patch(d, at, p + 4, n);
    *data += 4 + n;
    *size -= 4 + n;
}

static int fuzz_one(const struct fuzz_image *f, const uint8_t *data, size_t size)
{
    static struct sim *base[FUZZ_KINDS_MAX];
    struct sim s;
    struct img *im;
    unsigned kind, patches, without;
    bool ok;

    if (size < 2)
        return 0;
    kind = data[0] % f->kinds;
    patches = data[1] % 16;
    without = data[1] / 16;
    data += 2, size -= 2;
    if (!base[kind])
        base[kind] = fuzz_make(f, kind);
    sim_init(&s);
    sim_clone(base[kind], &s, FUZZ_FILE_MAX);
    for (; patches && size >= 5; patches--)
        fuzz_patch(&s, &data, &size);
    ok = !(without & 1) && image_sound(&s, f->format, f->path, false);
    im = image_open(&s, f->format, f->path, f->kind[kind].readonly || (size && data[0] & 1 && !ok),
                    false);
    if (im) {
        for (unsigned i = 0; i < FUZZ_STEPS && size >= 4; i++, data += 4, size -= 4)
            fuzz_step(im, data);
        img_close(im);
        BUG_ON(ok && !image_sound(&s, f->format, f->path, false));
    }
    /* A repair that says that all is well must be right. */
    if (!(without & 2) && image_sound(&s, f->format, f->path, true))
        BUG_ON(!image_sound(&s, f->format, f->path, false));
    sim_destroy(&s);
    return 0;
}

#endif
