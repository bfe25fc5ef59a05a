/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software TLB, which interpreter and translated code share.  Direct-mapped by page number.
 * A hit is one compare and one add: host address = linear address + addend.
 *
 * An entry's tag for a kind of access is the linear page address when such an access may go
 * straight to memory; any slow case (no right, MMIO, page with code, A or D bit still to be set)
 * leaves it TLB_NONE, so that the slow path (cpu/mmu.c) sees it.
 */
#ifndef WIRT_CPU_TLB_H
#define WIRT_CPU_TLB_H

#include "base/types.h"

enum { TLB_BITS = 10, TLB_SIZE = 1 << TLB_BITS };
#define TLB_NONE UINT64_MAX

enum tlb_access { TLB_READ, TLB_WRITE, TLB_EXEC };

struct tlb_entry {
    u64 tag[3];  /* by enum tlb_access */
    u64 addend;  /* host address - linear address */
};
_Static_assert(sizeof(struct tlb_entry) == 32, "translated code shifts by 5");

struct tlb {
    struct tlb_entry e[TLB_SIZE];
};

static inline struct tlb_entry *tlb_entry(struct tlb *t, u64 lin)
{
    return &t->e[lin >> 12 & (TLB_SIZE - 1)];
}

/* The host address for an access of size bytes that stays inside one page, or NULL on a miss. */
static inline void *tlb_lookup(struct tlb *t, u64 lin, unsigned size, enum tlb_access a)
{
    struct tlb_entry *e = tlb_entry(t, lin);
    if (likely(e->tag[a] == (lin & ~0xfffull) && (lin & 0xfff) + size <= 0x1000))
        return (void *)(lin + e->addend);
    return NULL;
}

#endif
