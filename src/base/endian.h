/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Wire data: unaligned little- and big-endian loads and stores.
 */
#ifndef WIRT_BASE_ENDIAN_H
#define WIRT_BASE_ENDIAN_H

#include "base/types.h"

#include <string.h>

#define ENDIAN_ACCESSORS(bits)                                                                     \
    static inline u##bits le##bits##_get(const void *p)                                            \
    {                                                                                              \
        u##bits v;                                                                                 \
        memcpy(&v, p, sizeof(v));                                                                  \
        return v;                                                                                  \
    }                                                                                              \
    static inline void le##bits##_put(void *p, u##bits v)                                          \
    {                                                                                              \
        memcpy(p, &v, sizeof(v));                                                                  \
    }                                                                                              \
    static inline u##bits be##bits##_get(const void *p)                                            \
    {                                                                                              \
        return __builtin_bswap##bits(le##bits##_get(p));                                           \
    }                                                                                              \
    static inline void be##bits##_put(void *p, u##bits v)                                          \
    {                                                                                              \
        le##bits##_put(p, __builtin_bswap##bits(v));                                               \
    }

ENDIAN_ACCESSORS(16)
ENDIAN_ACCESSORS(32)
ENDIAN_ACCESSORS(64)
#undef ENDIAN_ACCESSORS

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "Wirt runs on little-endian hosts");

#endif
