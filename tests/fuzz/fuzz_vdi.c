/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Damaged VDI images: see image_patched.h.
 */
#include "image_patched.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct fuzz_image images = {
    .format = "vdi",
    .path = "disk",
    .size = 2 << 20,
    .kinds = 3,
    .kind = {{.options = NULL}, {.options = "static=on"}, {.backing = "vdi"}}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_one(&images, data, size);
}
