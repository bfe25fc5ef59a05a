/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory map's wire form, shared by fw_cfg, the Linux loader and tests.
 */
#include "board/e820.h"
#include "base/endian.h"
#include "base/err.h"

void e820_add(struct e820 *map, u64 base, u64 len, u32 type)
{
    if (!len)
        return;
    BUG_ON(map->n >= E820_MAX);
    map->e[map->n++] = (struct e820_entry){base, len, type};
}

void e820_wire(const struct e820 *map, u8 *buf)
{
    for (unsigned i = 0; i < map->n; i++, buf += E820_WIRE) {
        le64_put(buf, map->e[i].base);
        le64_put(buf + 8, map->e[i].len);
        le32_put(buf + 16, map->e[i].type);
    }
}
