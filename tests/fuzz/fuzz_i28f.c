/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flash memory: commands at any address.
 */
#include "dev/i28f.h"
#include "lone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static u8 contents[2 * I28F_BLOCK];
    struct lone *l = lone_begin(data, size);
    struct i28f f;

    memset(contents, 0xff, sizeof(contents));
    i28f_init(&f, contents, sizeof(contents), NULL, NULL, &l->trace);
    lone_add(l, &f.region);
    l->desc = &i28f_state;
    l->obj = &f;
    lone_run(l);
    return 0;
}
