/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes become a sequence of accesses to one lone device in a fake machine: each operation is
 * {op, address, size, value}.  Device targets add operations of their own.
 */
#ifndef WIRT_TESTS_FUZZ_PC_H
#define WIRT_TESTS_FUZZ_PC_H

#include "../unit/dev/fake_pc.h"

struct input {
    const u8 *p;
    size_t left;
};

/* The next n bytes as a number, zeros behind the end. */
static inline u64 take(struct input *in, unsigned n)
{
    u64 v = 0;

    for (unsigned i = 0; i < n && in->left; i++, in->left--)
        v |= (u64)*in->p++ << (8 * i);
    return v;
}

/* One access within [base, base+size) of a bus. */
static inline void fuzz_access(struct input *in, struct bus *b, u64 base, u32 size)
{
    u8 how = take(in, 1);
    u32 off = (u32)take(in, size > 256 ? 3 : 1) % size;
    unsigned width = 1u << (how & 3);

    if (how & 4)
        bus_write(b, base + off, width, take(in, width));
    else
        bus_read(b, base + off, width);
}

/* Some bytes into guest memory, in the first 64 KiB. */
static inline void fuzz_poke(struct input *in, struct fake_pc *pc)
{
    u32 at = take(in, 2);
    unsigned n = 1 + take(in, 1) % 32;

    for (unsigned i = 0; i < n; i++) {
        u8 v = take(in, 1);

        mem_write(&pc->dma, at + i, &v, 1);
    }
}

#endif
