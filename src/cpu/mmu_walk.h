/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page walks, and where a guest-physical page is for the host.  For the files of the MMU only
 * (mmu*.c), which are built for general registers alone.
 */
#ifndef WIRT_CPU_MMU_WALK_H
#define WIRT_CPU_MMU_WALK_H

#include "cpu/mmu.h"

/* What a walk found out about one page. */
struct walk {
    u64 gpa;       /* of the byte asked for */
    bool user;     /* U in every level */
    bool write;    /* W in every level */
    bool nx;       /* NX in any level */
    bool global;   /* G in the leaf, and CR4.PGE */
    bool dirty;    /* the leaf's D bit, after this access */
    bool accessed; /* its A bit, before it (not from walk_short(), which asks for it) */
    u8 page_shift; /* 12, 21, 22 or 30 */
};

/* Where one page's bytes are for the host; both NULL: MMIO. */
struct place {
    u64 gpa;
    u8 *hva, *whva; /* of the byte asked for */
};

struct place mmu_place(struct cpu *c, u64 gpa);

/* len bytes at hva, inside one page, were written by this CPU: tells who has to know. */
void mmu_wrote(struct cpu *c, u8 *hva, u64 len);

/* Whether an access (PF_W, PF_I or 0) with the rights of idx is allowed by what a walk found. */
bool mmu_allows(const struct cpu *c, const struct walk *w, u32 acc, unsigned idx);

enum { WALK_OK = -1 };
/* Walks for an access with the rights of idx.  WALK_OK, or the P and RSVD bits of the error code.
 * `update`: sets accessed and dirty bits. */
int mmu_walk(struct cpu *c, u64 lin, u32 acc, unsigned idx, bool update, struct walk *w);

#endif
