/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes made from a seed; compare.py makes the same.  A seed divisible by 4 gives one byte over and
 * over (qemu-io -P does that too, and it packs well), others a different number every 64 bytes.
 */
#ifndef WIRT_TESTS_FORMAT_PATTERN_H
#define WIRT_TESTS_FORMAT_PATTERN_H

#include "base/endian.h"

static inline void pattern(u8 *p, u64 len, u64 seed)
{
    if (seed % 4 == 0) {
        memset(p, (int)(seed / 4 & 0xff), len);
        return;
    }
    for (u64 i = 0; i + 8 <= len; i += 8)
        le64_put(p + i, (seed + i / 64) * 0x9e3779b97f4a7c15ull);
}

#endif
