/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Damaged Bochs images: see image_patched.h.
 */
#include "image_patched.h"

#include "base/endian.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    EXTENT = 4096,
    ENTRIES = 16,
    DATA = 512 + ENTRIES * 4,
    FILE_SIZE = DATA + 3 * (512 + EXTENT)
};

static void make(struct sim *s, unsigned kind)
{
    static u8 p[FILE_SIZE];

    memset(p, 0, sizeof(p));
    strcpy((char *)p, "Bochs Virtual HD Image");
    strcpy((char *)p + 32, "Redolog");
    strcpy((char *)p + 48, "Growing");
    le32_put(p + 64, kind ? 0x20000 : 0x10000);
    le32_put(p + 68, 512);
    le32_put(p + 72, ENTRIES);
    le32_put(p + 76, 1);
    le32_put(p + 80, EXTENT);
    le64_put(p + (kind ? 88 : 84), ENTRIES * EXTENT);
    memset(p + 512, 0xff, ENTRIES * 4);
    for (u32 i = 0; i < 3; i++) {
        le32_put(p + 512 + 4 * (5 * i), i);
        p[DATA + i * (512 + EXTENT)] = (u8)(0x35 << i);
    }
    sim_put(s, "disk", p, sizeof(p));
}

static const struct fuzz_image images = {.format = "bochs",
                                         .path = "disk",
                                         .size = ENTRIES * EXTENT,
                                         .kinds = 2,
                                         .kind = {{.readonly = true}, {.readonly = true}},
                                         .make = make};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_one(&images, data, size);
}
