/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Damaged images of a format: a good small one (the first byte chooses which), patched in places of
 * interest and sealed again with right checksums, is opened to look, to check, to repair, to read
 * and to write.  What a check finds sound must be sound after writing too.
 *
 * Input: kind, number of patches and what to leave out (each takes time), patches (which place, 16
 * bits of offset, length 1..8 and whether to seal, bytes), then steps of four bytes: what, where
 * (16 bits of sectors), length.
 */
#ifndef WIRT_TESTS_FUZZ_IMAGE_SEALED_H
#define WIRT_TESTS_FUZZ_IMAGE_SEALED_H

#include "base/endian.h"
#include "image.h"

enum { FUZZ_SIZE = FUZZ_BUF };

struct fuzz_kind {
    const char *format, *options;
    const char *backing; /* format of a parent */
    const u32 *places;   /* file offsets; ends with UINT32_MAX */
    bool killed;         /* the image as it is after a flush and a kill */
};

/* The target's. */
extern const struct fuzz_kind fuzz_kinds[];
extern const unsigned fuzz_kind_count;
/* Makes checksums right again, in place (sim_patch() hears of it). */
static void fuzz_seal(struct sim_data *d);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sim *fuzz_make(const struct fuzz_kind *k)
{
    struct sim *s = malloc(sizeof(*s)), *killed = malloc(sizeof(*s));
    struct disk_create c = {.path = "base", .size = FUZZ_SIZE / 2, .options = k->options};
    u64 random = 1;
    struct err e = {0};
    struct img *im;

    BUG_ON(!s || !killed);
    sim_init(s);
    sim_init(killed);
    c.io.io = &s->io;
    for (unsigned i = 0; i < FUZZ_SIZE; i++)
        fuzz_buf[i] = (u8)(i / 700 * 37);
    if (k->backing) {
        BUG_ON(disk_create(k->backing, &c, &e));
        c.backing = "base";
        c.backing_format = k->backing;
    }
    c.path = "disk";
    c.size = FUZZ_SIZE;
    BUG_ON(disk_create(k->format, &c, &e));
    im = image_open(s, k->format, "disk", false, false);
    BUG_ON(!im);
    BUG_ON(img_write(im, 3072, fuzz_buf, 40448));
    BUG_ON(img_write(im, 2 * MIB + 512, fuzz_buf, 4096));
    BUG_ON(img_flush(im));
    BUG_ON(img_write(im, 4 * MIB, fuzz_buf, 512));
    BUG_ON(img_flush(im));
    sim_crash(s, killed, &random, 256);
    img_close(im);
    sim_destroy(k->killed ? s : killed);
    free(k->killed ? s : killed);
    return k->killed ? killed : s;
}

static void fuzz_step(struct img *im, const uint8_t *p)
{
    u64 off = (u64)(p[1] | p[2] << 8) % (FUZZ_SIZE / 512) * 512, len = (1 + p[3] % 96) * 512ull;

    if (off >= im->b.size)
        return;
    if ((p[0] & 0x38) == 8) /* a big one */
        len *= 64;
    len = min(len, im->b.size - off);
    len = min(len, (u64)FUZZ_SIZE);
    image_request(im, p[0] % 8, off, len, p[3]);
    if (p[0] % 8 >= 6 && p[3] == 77)
        disk_resize(im, off + 512, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sim *base[16];
    const struct fuzz_kind *k;
    struct sim_data *d;
    unsigned patches, without, places = 0;
    bool seal = false, ok;
    struct sim s;
    struct img *im;

    if (size < 2)
        return 0;
    k = &fuzz_kinds[data[0] % fuzz_kind_count];
    if (!base[k - fuzz_kinds])
        base[k - fuzz_kinds] = fuzz_make(k);
    patches = data[1] % 16;
    without = data[1] / 16;
    data += 2, size -= 2;
    sim_init(&s);
    sim_clone(base[k - fuzz_kinds], &s, 64 << 20);
    d = sim_find(&s, "disk");
    while (k->places[places] != UINT32_MAX)
        places++;
    for (; patches && size >= 5; patches--) {
        u64 at = k->places[data[0] % places] + (u64)(data[1] | data[2] << 8);
        u64 n = min(1u + data[3] % 8, (u64)size - 4);

        at = at < d->size ? at : d->size - 1;
        n = min(n, d->size - at);
        seal |= !(data[3] & 0x80);
        sim_patch(d, at, data + 4, n);
        data += 4 + n, size -= 4 + n;
    }
    if (seal)
        fuzz_seal(d);
    im = without & 1 ? NULL : image_open(&s, k->format, "disk", true, false);
    if (im)
        for (u64 at = 0; at < min(im->b.size, (u64)FUZZ_SIZE); at += MIB)
            img_read(im, at, fuzz_buf, min(im->b.size - at, 64 * KIB));
    img_close(im);
    ok = !(without & 2) && image_sound(&s, k->format, "disk", false);
    if (data && size & 1)
        image_sound(&s, k->format, "disk", true);
    im = image_open(&s, k->format, "disk", false, false);
    for (unsigned i = 0; im && i < FUZZ_STEPS && size >= 4; i++, data += 4, size -= 4)
        fuzz_step(im, data);
    img_close(im);
    if (ok && im)
        BUG_ON(!image_sound(&s, k->format, "disk", false));
    sim_destroy(&s);
    return 0;
}

#endif
