/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scalar types and the few macros that every file uses.
 */
#ifndef WIRT_BASE_TYPES_H
#define WIRT_BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

#define ARRAY_SIZE(a)            (sizeof(a) / sizeof((a)[0]))
#define BIT(n)                   (1u << (n))
#define BIT64(n)                 (1ull << (n))
#define KIB                      1024ull
#define MIB                      (1024ull * KIB)
#define GIB                      (1024ull * MIB)
#define container_of(p, type, m) ((type *)((char *)(p)-offsetof(type, m)))

#define likely(x)         __builtin_expect(!!(x), 1)
#define unlikely(x)       __builtin_expect(!!(x), 0)
#define printf_like(f, a) __attribute__((format(printf, f, a)))

/* Arguments are evaluated once. */
#define min(a, b)                                                                                  \
    ({                                                                                             \
        __typeof__(a) min_a_ = (a);                                                                \
        __typeof__(b) min_b_ = (b);                                                                \
        min_a_ < min_b_ ? min_a_ : min_b_;                                                         \
    })
#define max(a, b)                                                                                  \
    ({                                                                                             \
        __typeof__(a) max_a_ = (a);                                                                \
        __typeof__(b) max_b_ = (b);                                                                \
        max_a_ > max_b_ ? max_a_ : max_b_;                                                         \
    })

/* n must be a power of two. */
static inline u64 align_down(u64 v, u64 n)
{
    return v & ~(n - 1);
}

static inline u64 align_up(u64 v, u64 n)
{
    return align_down(v + n - 1, n);
}

static inline bool is_pow2(u64 v)
{
    return v && !(v & (v - 1));
}

/* Does [a, a+alen) lie wholly in [b, b+blen)?  Cannot overflow. */
static inline bool range_within(u64 a, u64 alen, u64 b, u64 blen)
{
    return a >= b && alen <= blen && a - b <= blen - alen;
}

#endif
