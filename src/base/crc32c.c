/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CRC-32C by the processor's own instruction (SSE4.2), or by a table of 16 entries where there is
 * none.
 */
#include "base/crc32c.h"

#include "base/endian.h"

#include <nmmintrin.h>

static u32 by_table(u32 crc, const u8 *p, size_t len)
{
    /* What four zero bits behind each 4-bit value leave. */
    static const u32 table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };

    while (len--) {
        crc ^= *p++;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc;
}

__attribute__((target("sse4.2"))) static u32 by_instruction(u32 crc, const u8 *p, size_t len)
{
    u64 c = crc;

    for (; len >= 8; len -= 8, p += 8)
        c = _mm_crc32_u64(c, le64_get(p));
    for (; len; len--)
        c = _mm_crc32_u8((u32)c, *p++);
    return (u32)c;
}

u32 crc32c(u32 crc, const void *buf, size_t len)
{
    if (__builtin_cpu_supports("sse4.2"))
        return ~by_instruction(~crc, buf, len);
    return ~by_table(~crc, buf, len);
}
