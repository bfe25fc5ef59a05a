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

static void seal_footer(struct sim_data *d, u64 at)
{
    if (memcmp(d->now + at, VHD_COOKIE, 8))
        return;
    vhd_seal_footer(d->now + at);
    sim_patch(d, at, NULL, VHD_FOOTER);
}

static void fuzz_seal(struct sim_data *d)
{
    if (d->size < 2 * VHD_FOOTER + VHD_HEADER)
        return;
    seal_footer(d, 0);
    vhd_seal_header(d->now + VHD_FOOTER);
    sim_patch(d, VHD_FOOTER, NULL, VHD_HEADER);
    seal_footer(d, d->size - VHD_FOOTER);
}
