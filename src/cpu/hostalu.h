/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's arithmetic: one inline function an operation, each for operands of 1, 2, 4 and 8
 * bytes.  Results and flags, those that the manual leaves undefined too, are what the processor
 * gives.  Flags travel in AX as in cpu/operand.h: *ax is written by every function and read by
 * those that take flags in (ADC, shifts, rotates, bit scans).
 *
 * Three shapes: in a register; in memory (one host instruction, so single-copy atomic); in memory
 * with LOCK.
 */
#ifndef WIRT_CPU_HOSTALU_H
#define WIRT_CPU_HOSTALU_H

#include "cpu/operand.h"

#define FLAGS_OUT "\n\tlahf\n\tseto %%al"
#define FLAGS_IN  "addb $0x7f, %%al\n\tsahf\n\t"

/* Two operands in registers: host_NAME. */
#define HOST2_REG(name, ins, in)                                                                   \
    op_inline u64 host_##name(u64 a, u64 b, unsigned size, u32 *ax)                                \
    {                                                                                              \
        u32 f = *ax;                                                                               \
        switch (size) {                                                                            \
        case 1: {                                                                                  \
            u8 d = (u8)a;                                                                          \
            __asm__(in ins "b %b2, %b0" FLAGS_OUT : "+q"(d), "+a"(f) : "q"((u8)b) : "cc");         \
            a = d;                                                                                 \
            break;                                                                                 \
        }                                                                                          \
        case 2: {                                                                                  \
            u16 d = (u16)a;                                                                        \
            __asm__(in ins "w %w2, %w0" FLAGS_OUT : "+r"(d), "+a"(f) : "r"((u16)b) : "cc");        \
            a = d;                                                                                 \
            break;                                                                                 \
        }                                                                                          \
        case 4: {                                                                                  \
            u32 d = (u32)a;                                                                        \
            __asm__(in ins "l %k2, %k0" FLAGS_OUT : "+r"(d), "+a"(f) : "r"((u32)b) : "cc");        \
            a = d;                                                                                 \
            break;                                                                                 \
        }                                                                                          \
        default:                                                                                   \
            __asm__(in ins "q %q2, %q0" FLAGS_OUT : "+r"(a), "+a"(f) : "r"(b) : "cc");             \
            break;                                                                                 \
        }                                                                                          \
        *ax = f;                                                                                   \
        return a;                                                                                  \
    }

#define HOST2_MEM(name, in, ins)                                                                   \
    op_inline void host_##name(void *p, u64 b, unsigned size, u32 *ax)                             \
    {                                                                                              \
        u32 f = *ax;                                                                               \
        switch (size) {                                                                            \
        case 1:                                                                                    \
            __asm__ volatile(in ins "b %b1, (%2)" FLAGS_OUT                                        \
                             : "+a"(f)                                                             \
                             : "q"((u8)b), "r"(p)                                                  \
                             : "cc", "memory");                                                    \
            break;                                                                                 \
        case 2:                                                                                    \
            __asm__ volatile(in ins "w %w1, (%2)" FLAGS_OUT                                        \
                             : "+a"(f)                                                             \
                             : "r"((u16)b), "r"(p)                                                 \
                             : "cc", "memory");                                                    \
            break;                                                                                 \
        case 4:                                                                                    \
            __asm__ volatile(in ins "l %k1, (%2)" FLAGS_OUT                                        \
                             : "+a"(f)                                                             \
                             : "r"((u32)b), "r"(p)                                                 \
                             : "cc", "memory");                                                    \
            break;                                                                                 \
        default:                                                                                   \
            __asm__ volatile(in ins "q %q1, (%2)" FLAGS_OUT                                        \
                             : "+a"(f)                                                             \
                             : "r"(b), "r"(p)                                                      \
                             : "cc", "memory");                                                    \
            break;                                                                                 \
        }                                                                                          \
        *ax = f;                                                                                   \
    }

/* All three shapes: host_NAME, host_NAME_mem, host_NAME_lock. */
#define HOST2(name, ins, in)                                                                       \
    HOST2_REG(name, ins, in)                                                                       \
    HOST2_MEM(name##_mem, in, ins)                                                                 \
    HOST2_MEM(name##_lock, in "lock; ", ins)

/* One operand. */
#define HOST1_MEM(name, in, ins)                                                                   \
    op_inline void host_##name(void *p, unsigned size, u32 *ax)                                    \
    {                                                                                              \
        u32 f = *ax;                                                                               \
        switch (size) {                                                                            \
        case 1:                                                                                    \
            __asm__ volatile(in ins "b (%1)" FLAGS_OUT : "+a"(f) : "r"(p) : "cc", "memory");       \
            break;                                                                                 \
        case 2:                                                                                    \
            __asm__ volatile(in ins "w (%1)" FLAGS_OUT : "+a"(f) : "r"(p) : "cc", "memory");       \
            break;                                                                                 \
        case 4:                                                                                    \
            __asm__ volatile(in ins "l (%1)" FLAGS_OUT : "+a"(f) : "r"(p) : "cc", "memory");       \
            break;                                                                                 \
        default:                                                                                   \
            __asm__ volatile(in ins "q (%1)" FLAGS_OUT : "+a"(f) : "r"(p) : "cc", "memory");       \
            break;                                                                                 \
        }                                                                                          \
        *ax = f;                                                                                   \
    }

#define HOST1(name, ins, in)                                                                       \
    op_inline u64 host_##name(u64 a, unsigned size, u32 *ax)                                       \
    {                                                                                              \
        u32 f = *ax;                                                                               \
        switch (size) {                                                                            \
        case 1: {                                                                                  \
            u8 d = (u8)a;                                                                          \
            __asm__(in ins "b %b0" FLAGS_OUT : "+q"(d), "+a"(f) : : "cc");                         \
            a = d;                                                                                 \
            break;                                                                                 \
        }                                                                                          \
        case 2: {                                                                                  \
            u16 d = (u16)a;                                                                        \
            __asm__(in ins "w %w0" FLAGS_OUT : "+r"(d), "+a"(f) : : "cc");                         \
            a = d;                                                                                 \
            break;                                                                                 \
        }                                                                                          \
        case 4: {                                                                                  \
            u32 d = (u32)a;                                                                        \
            __asm__(in ins "l %k0" FLAGS_OUT : "+r"(d), "+a"(f) : : "cc");                         \
            a = d;                                                                                 \
            break;                                                                                 \
        }                                                                                          \
        default:                                                                                   \
            __asm__(in ins "q %q0" FLAGS_OUT : "+r"(a), "+a"(f) : : "cc");                         \
            break;                                                                                 \
        }                                                                                          \
        *ax = f;                                                                                   \
        return a;                                                                                  \
    }                                                                                              \
    HOST1_MEM(name##_mem, in, ins)                                                                 \
    HOST1_MEM(name##_lock, in "lock; ", ins)

/* Shifts and rotates by CL. */
#define HOST_SHIFT(name)                                                                           \
    op_inline u64 host_##name(u64 a, u8 n, unsigned size, u32 *ax)                                 \
    {                                                                                              \
        u32 f = *ax;                                                                               \
        switch (size) {                                                                            \
        case 1: {                                                                                  \
            u8 d = (u8)a;                                                                          \
            __asm__(FLAGS_IN #name "b %%cl, %b0" FLAGS_OUT : "+q"(d), "+a"(f) : "c"(n) : "cc");    \
            a = d;                                                                                 \
            break;                                                                                 \
        }                                                                                          \
        case 2: {                                                                                  \
            u16 d = (u16)a;                                                                        \
            __asm__(FLAGS_IN #name "w %%cl, %w0" FLAGS_OUT : "+r"(d), "+a"(f) : "c"(n) : "cc");    \
            a = d;                                                                                 \
            break;                                                                                 \
        }                                                                                          \
        case 4: {                                                                                  \
            u32 d = (u32)a;                                                                        \
            __asm__(FLAGS_IN #name "l %%cl, %k0" FLAGS_OUT : "+r"(d), "+a"(f) : "c"(n) : "cc");    \
            a = d;                                                                                 \
            break;                                                                                 \
        }                                                                                          \
        default:                                                                                   \
            __asm__(FLAGS_IN #name "q %%cl, %q0" FLAGS_OUT : "+r"(a), "+a"(f) : "c"(n) : "cc");    \
            break;                                                                                 \
        }                                                                                          \
        *ax = f;                                                                                   \
        return a;                                                                                  \
    }

/* SHLD and SHRD: 2, 4 and 8 bytes. */
#define HOST_SHIFTD(name)                                                                          \
    op_inline u64 host_##name(u64 a, u64 b, u8 n, unsigned size, u32 *ax)                          \
    {                                                                                              \
        u32 f = *ax;                                                                               \
        switch (size) {                                                                            \
        case 2: {                                                                                  \
            u16 d = (u16)a;                                                                        \
            __asm__(FLAGS_IN #name "w %%cl, %w3, %w0" FLAGS_OUT                                    \
                    : "+r"(d), "+a"(f)                                                             \
                    : "c"(n), "r"((u16)b)                                                          \
                    : "cc");                                                                       \
            a = d;                                                                                 \
            break;                                                                                 \
        }                                                                                          \
        case 4: {                                                                                  \
            u32 d = (u32)a;                                                                        \
            __asm__(FLAGS_IN #name "l %%cl, %k3, %k0" FLAGS_OUT                                    \
                    : "+r"(d), "+a"(f)                                                             \
                    : "c"(n), "r"((u32)b)                                                          \
                    : "cc");                                                                       \
            a = d;                                                                                 \
            break;                                                                                 \
        }                                                                                          \
        default:                                                                                   \
            __asm__(FLAGS_IN #name "q %%cl, %q3, %q0" FLAGS_OUT                                    \
                    : "+r"(a), "+a"(f)                                                             \
                    : "c"(n), "r"(b)                                                               \
                    : "cc");                                                                       \
            break;                                                                                 \
        }                                                                                          \
        *ax = f;                                                                                   \
        return a;                                                                                  \
    }

/* `ins src, dst` of 2, 4 and 8 bytes with all flags in and out (BT, BSF, TZCNT, POPCNT, IMUL...).
 */
#define HOST_BITOP(name, ins)                                                                      \
    op_inline u64 host_##name(u64 a, u64 b, unsigned size, u32 *ax)                                \
    {                                                                                              \
        u32 f = *ax;                                                                               \
        switch (size) {                                                                            \
        case 2: {                                                                                  \
            u16 d = (u16)a;                                                                        \
            __asm__(FLAGS_IN ins "w %w2, %w0" FLAGS_OUT : "+r"(d), "+a"(f) : "r"((u16)b) : "cc");  \
            a = d;                                                                                 \
            break;                                                                                 \
        }                                                                                          \
        case 4: {                                                                                  \
            u32 d = (u32)a;                                                                        \
            __asm__(FLAGS_IN ins "l %k2, %k0" FLAGS_OUT : "+r"(d), "+a"(f) : "r"((u32)b) : "cc");  \
            a = d;                                                                                 \
            break;                                                                                 \
        }                                                                                          \
        default:                                                                                   \
            __asm__(FLAGS_IN ins "q %q2, %q0" FLAGS_OUT : "+r"(a), "+a"(f) : "r"(b) : "cc");       \
            break;                                                                                 \
        }                                                                                          \
        *ax = f;                                                                                   \
        return a;                                                                                  \
    }

/* The same on memory, plain and with LOCK (BTS, BTR, BTC with a bit number inside the operand). */
#define HOST_BITOP_MEM(name, in, ins)                                                              \
    op_inline void host_##name(void *p, u64 b, unsigned size, u32 *ax)                             \
    {                                                                                              \
        u32 f = *ax;                                                                               \
        switch (size) {                                                                            \
        case 2:                                                                                    \
            __asm__ volatile(FLAGS_IN in ins "w %w1, (%2)" FLAGS_OUT                               \
                             : "+a"(f)                                                             \
                             : "r"((u16)b), "r"(p)                                                 \
                             : "cc", "memory");                                                    \
            break;                                                                                 \
        case 4:                                                                                    \
            __asm__ volatile(FLAGS_IN in ins "l %k1, (%2)" FLAGS_OUT                               \
                             : "+a"(f)                                                             \
                             : "r"((u32)b), "r"(p)                                                 \
                             : "cc", "memory");                                                    \
            break;                                                                                 \
        default:                                                                                   \
            __asm__ volatile(FLAGS_IN in ins "q %q1, (%2)" FLAGS_OUT                               \
                             : "+a"(f)                                                             \
                             : "r"(b), "r"(p)                                                      \
                             : "cc", "memory");                                                    \
            break;                                                                                 \
        }                                                                                          \
        *ax = f;                                                                                   \
    }

/* VEX-encoded integer instructions of 4 and 8 bytes: dst = a OP b, in Intel's operand order. */
#define HOST_VEX3(name)                                                                            \
    op_inline u64 host_##name(u64 a, u64 b, unsigned size, u32 *ax)                                \
    {                                                                                              \
        u32 f = *ax;                                                                               \
        if (size == 4) {                                                                           \
            u32 d;                                                                                 \
            __asm__(FLAGS_IN #name " %k3, %k2, %k0" FLAGS_OUT                                      \
                    : "=&r"(d), "+a"(f)                                                            \
                    : "r"((u32)a), "r"((u32)b)                                                     \
                    : "cc");                                                                       \
            a = d;                                                                                 \
        } else {                                                                                   \
            u64 d;                                                                                 \
            __asm__(FLAGS_IN #name " %q3, %q2, %q0" FLAGS_OUT                                      \
                    : "=&r"(d), "+a"(f)                                                            \
                    : "r"(a), "r"(b)                                                               \
                    : "cc");                                                                       \
            a = d;                                                                                 \
        }                                                                                          \
        *ax = f;                                                                                   \
        return a;                                                                                  \
    }

/* The same with one source (BLSI, BLSR, BLSMSK). */
#define HOST_VEX2(name)                                                                            \
    op_inline u64 host_##name(u64 a, unsigned size, u32 *ax)                                       \
    {                                                                                              \
        u32 f = *ax;                                                                               \
        if (size == 4) {                                                                           \
            u32 d;                                                                                 \
            __asm__(FLAGS_IN #name " %k2, %k0" FLAGS_OUT                                           \
                    : "=&r"(d), "+a"(f)                                                            \
                    : "r"((u32)a)                                                                  \
                    : "cc");                                                                       \
            a = d;                                                                                 \
        } else {                                                                                   \
            u64 d;                                                                                 \
            __asm__(FLAGS_IN #name " %q2, %q0" FLAGS_OUT : "=&r"(d), "+a"(f) : "r"(a) : "cc");     \
            a = d;                                                                                 \
        }                                                                                          \
        *ax = f;                                                                                   \
        return a;                                                                                  \
    }

#endif
