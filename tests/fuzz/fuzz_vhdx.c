/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Damaged VHDX images, some with a log to replay: see image_sealed.h.
 */
#include "disk/vhdx.h"
#include "image_sealed.h"

static const u32 places[] = {VHDX_HEADER_1,  VHDX_HEADER_2,
                             VHDX_REGIONS_1, VHDX_REGIONS_2,
                             1 << 20,        (1 << 20) + VHDX_PAGE,
                             2 << 20,        (2 << 20) + (64 << 10),
                             3 << 20,        4 << 20,
                             UINT32_MAX};

const struct fuzz_kind fuzz_kinds[] = {
    {"vhdx", "block_size=1M", NULL, places, false},
    {"vhdx", "block_size=1M", "vhdx", places, false},
    {"vhdx", "block_size=1M", NULL, places, true},
    {"vhdx", "block_size=1M", "vhdx", places, true},
    {"vhdx", "block_size=2M,logical_sector_size=4096", NULL, places, true},
};
const unsigned fuzz_kind_count = ARRAY_SIZE(fuzz_kinds);

static void seal(struct sim_data *d, u64 at, u64 len, u32 field)
{
    u8 sum[4];

    le32_put(sum, vhdx_checksum(d->now + at, len, field));
    sim_patch(d, at + field, sum, sizeof(sum));
}

static void fuzz_seal(struct sim_data *d)
{
    if (d->size < 2 * MIB)
        return;
    seal(d, VHDX_HEADER_1, VHDX_PAGE, XH_CHECKSUM);
    seal(d, VHDX_HEADER_2, VHDX_PAGE, XH_CHECKSUM);
    seal(d, VHDX_REGIONS_1, VHDX_TABLE, 4);
    seal(d, VHDX_REGIONS_2, VHDX_TABLE, 4);
    for (u64 at = MIB; at < 2 * MIB; at += VHDX_PAGE) {
        u32 len = le32_get(d->now + at + 8);

        if (!memcmp(d->now + at, "loge", 4) && len >= 64 && len <= 2 * MIB - at)
            seal(d, at, len, 4);
    }
}
