/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Damaged images of qcow version 1 and QED: see image_sealed.h.
 */
#include "image_sealed.h"

static const u32 qcow[] = {0, 512, 4096, UINT32_MAX};
static const u32 qed[] = {0, 4096, 3 * 4096, UINT32_MAX};
static const u32 qed_big[] = {0, 64 << 10, 5 * (64 << 10), UINT32_MAX};

const struct fuzz_kind fuzz_kinds[] = {
    {"qcow", NULL, NULL, qcow, false},
    {"qcow", NULL, "raw", qcow, false},
    {"qed", "cluster_size=4K,table_size=2", NULL, qed, false},
    {"qed", NULL, "raw", qed_big, false},
};
const unsigned fuzz_kind_count = ARRAY_SIZE(fuzz_kinds);

static void fuzz_seal(struct sim_data *d)
{
    (void)d; /* there are none */
}
