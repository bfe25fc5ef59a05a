/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Damaged VHD images: see image_sealed.h.
 */
#include "disk/vhd.h"
#include "image_sealed.h"

static const u32 dynamic[] = {0, 512, 512 + VD_LOCATORS, 1536, 2048, UINT32_MAX};
static const u32 fixed[] = {FUZZ_SIZE, FUZZ_SIZE - 512, UINT32_MAX};

const struct fuzz_kind fuzz_kinds[] = {
    {"vpc", "force_size=on", NULL, dynamic, false},
    {"vpc", "force_size=on", "vpc", dynamic, false},
    {"vpc", "force_size=on,subformat=fixed", NULL, fixed, false},
    {"vpc", "force_size=on", NULL, dynamic, true},
};
const unsigned fuzz_kind_count = ARRAY_SIZE(fuzz_kinds);

static void fuzz_seal(u8 *file, u64 size)
{
    if (size < 2 * VHD_FOOTER + VHD_HEADER)
        return;
    if (!memcmp(file, VHD_COOKIE, 8))
        vhd_seal_footer(file);
    vhd_seal_header(file + VHD_FOOTER);
    if (!memcmp(file + size - VHD_FOOTER, VHD_COOKIE, 8))
        vhd_seal_footer(file + size - VHD_FOOTER);
}
