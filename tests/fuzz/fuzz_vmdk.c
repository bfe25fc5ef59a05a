/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Damaged VMDK images, descriptors too: see image_patched.h.
 */
#include "image_patched.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct fuzz_image images = {
    .format = "vmdk",
    .path = "disk",
    .size = 1 << 20,
    .kinds = 6,
    .kind = {{.options = NULL},
             {.options = "subformat=monolithicFlat"},
             {.options = "subformat=twoGbMaxExtentSparse"},
             {.options = "zeroed_grain=on", .backing = "vmdk"},
             {.options = "subformat=streamOptimized", .readonly = true},
             {.backing = "vmdk"}}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_one(&images, data, size);
}
