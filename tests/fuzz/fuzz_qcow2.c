/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Damaged qcow2 images: a good small one (the first byte chooses which), patched in any places, is
 * opened, checked, read, written, repaired, and its snapshots are used.  What a check finds sound
 * must be sound after any of that too.
 *
 * Input: kind, number of patches and what to leave out (each takes time), patches (16 bits of
 * offset, length 1..8, bytes), then steps of four bytes: what, where (16 bits), length.
 */
#include "image.h"

enum { KINDS = 5, SIZE = 256 << 10, FILE_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const kinds[KINDS] = {
    "cluster_size=512",
    "cluster_size=1K,refcount_bits=64",
    "extended_l2=on,cluster_size=16K",
    "compat=0.10,cluster_size=4K",
    "compression_type=zstd,cluster_size=512,refcount_bits=8",
};
static struct sim *base[KINDS];

/* A good image with something of everything. */
static struct sim *make(unsigned kind)
{
    struct sim *s = malloc(sizeof(*s));
    struct disk_create c = {.path = "base", .size = SIZE / 2};
    struct err e = {0};
    struct img *im;

    BUG_ON(!s);
    sim_init(s);
    c.io.io = &s->io;
    BUG_ON(disk_create("raw", &c, &e));
    c = (struct disk_create){.path = "disk",
                             .size = SIZE,
                             .options = kinds[kind],
                             .backing = "base",
                             .backing_format = "raw",
                             .io = {.io = &s->io}};
    BUG_ON(disk_create("qcow2", &c, &e));
    im = image_open(s, "qcow2", "disk", false, false);
    BUG_ON(!im);
    for (unsigned i = 0; i < SIZE; i++)
        fuzz_buf[i] = (u8)(i / 700 * 37);
    BUG_ON(img_write(im, 3072, fuzz_buf, 40000));
    BUG_ON(img_write_compressed(im, 128 << 10, fuzz_buf));
    BUG_ON(disk_snapshot(im, "create", "first", &e));
    BUG_ON(img_write(im, 20 << 10, fuzz_buf, 30000 / 512 * 512));
    BUG_ON(disk_snapshot(im, "create", "second", &e));
    BUG_ON(img_write(im, 200 << 10, fuzz_buf, 4096));
    img_close(im);
    return s;
}

static void step(struct img *im, const uint8_t *p)
{
    u64 off = (u64)(p[1] | p[2] << 8) % (SIZE / 512) * 512, len = (1 + p[3] % 96) * 512ull;
    static const char *const what[] = {"create", "apply", "delete"};

    if (off >= im->b.size)
        return;
    len = min(len, im->b.size - off);
    if (p[0] % 8 == 6)
        disk_snapshot(im, what[p[3] % 3], p[1] & 1 ? "first" : "second", NULL);
    else
        image_request(im, p[0] % 8, off, len, p[3]);
    if (p[0] % 8 == 7 && p[3] == 77)
        disk_resize(im, off + 512, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sim s;
    struct sim_data *d;
    struct img *im;
    unsigned kind, patches, without;
    bool ok;

    if (size < 2)
        return 0;
    kind = data[0] % KINDS;
    patches = data[1] % 16;
    without = data[1] / 16;
    data += 2, size -= 2;
    if (!base[kind])
        base[kind] = make(kind);
    sim_init(&s);
    sim_clone(base[kind], &s, FILE_MAX);
    d = sim_find(&s, "disk");
    for (; patches && size >= 4; patches--) {
        u64 at = (data[0] | data[1] << 8) % d->size, n = 1 + data[2] % 8;

        n = min(n, (u64)size - 3);
        n = min(n, d->size - at);
        sim_patch(d, at, data + 3, n);
        data += 3 + n, size -= 3 + n;
    }
    ok = !(without & 1) && image_sound(&s, "qcow2", "disk", false);
    im = image_open(&s, "qcow2", "disk", size && data[0] & 1 && !ok, false);
    if (im) {
        for (unsigned i = 0; i < FUZZ_STEPS && size >= 4; i++, data += 4, size -= 4)
            step(im, data);
        img_close(im);
        BUG_ON(ok && !image_sound(&s, "qcow2", "disk", false));
    }
    /* A repair that says that all is well must be right. */
    if (!(without & 2) && image_sound(&s, "qcow2", "disk", true))
        BUG_ON(!image_sound(&s, "qcow2", "disk", false));
    sim_destroy(&s);
    return 0;
}
