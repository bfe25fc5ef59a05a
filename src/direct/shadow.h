/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which pages of a guest program are mapped in its process: a TLB of the host's making, kept by the
 * same rules as the other one (cpu/mmu.h).  A page is there only with rights that need nothing
 * more: its A bit is set, it may be written only with the D bit set and where nobody has to be
 * told, and executed only if screen.h let it pass and writes to it are told.
 */
#ifndef WIRT_DIRECT_SHADOW_H
#define WIRT_DIRECT_SHADOW_H

#include "cpu/mmu.h"
#include "direct/child.h"
#include "direct/screen.h"

enum { SHADOW_BITS = 18, SHADOW_SIZE = 1 << SHADOW_BITS, SHADOW_MAX = SHADOW_SIZE / 2 };
/* Mappings that are not joined; the host has 65,530 by default (vm.max_map_count). */
enum { SHADOW_RUNS_MAX = 30000 };
/* Page-ins until it starts anew.  Each may take up to three pages of the host's tables, which count
 * for nobody: 100 MiB in all. */
enum { SHADOW_PAGE_INS_MAX = 8192 };

/* struct shadow_page.rights */
enum { MAPPED = 1, MAPPED_W = 2, MAPPED_X = 4, MAPPED_LARGE = 8, REFUSED = 16 };
/* shadow_owner.ram_bits besides: some of its instructions are known. */
enum { HAS_SEEN = 32 };

/* One address space. */
struct shadow {
    struct child child;
    u16 pcid; /* whose it is while `valid` */
    bool valid;
    bool drop_all; /* what the process has mapped is to go before anything else */
    u32 turn;      /* when it was used last */
    u32 gen;       /* of the entries that count */
    bool large;    /* some are MAPPED_LARGE */
    bool mixed;    /* the program has 32-bit code too */
    u32 used, runs, page_ins;
    struct shadow_page {
        u32 gen;
        u32 rights;
        u32 vpage_low; /* the page's number, 35 bits */
        u32 vpage_high : 3, ram_page : 29;
    } * page;               /* SHADOW_SIZE, by hash */
    u32 *list;              /* SHADOW_MAX: which entries count, `used` of them */
    u64 site[SCREEN_SITES]; /* where it must stop; 0 = free */
    u64 copy[CHILD_COPIES]; /* the page that a copy stands for; 0 = free */
    u64 regions[4];         /* the 2 MiB regions that faulted last */
    u32 nregions;
};

enum page_in {
    PAGE_IN_DONE,   /* mapped, as far as can be seen */
    PAGE_IN_SOFT,   /* the access is for the software processor: it faults, or is no plain memory */
    PAGE_IN_CODE,   /* so is the code there, for as long as it runs in this page */
    PAGE_IN_BROKEN, /* the process takes no more mappings (child_apply()) */
};

/* Whose shadows they are. */
struct shadow_owner {
    struct cpu *c;
    /* Writes to this page are to be told from now on: shadow_code_gone(). */
    void (*hold_code)(struct shadow_owner *o, u64 ram_page);
    /* Offsets in it of what screen_page() may take for known; how many of at most SCREEN_PATCHES.
     */
    unsigned (*known)(struct shadow_owner *o, u64 ram_page, u16 *off);
    u8 *ram_bits; /* by page of the memfd: MAPPED_W, MAPPED_X, REFUSED in some shadow */
};

int shadow_open(struct shadow *s); /* -errno */
void shadow_close(struct shadow *s);

/* The program at `rip` could not reach lin; maps it, and what lies around it. */
enum page_in shadow_page_in(struct shadow_owner *o, struct shadow *s, u64 lin, u64 rip);

/* The program was seen in 32-bit code. */
void shadow_is_mixed(struct shadow *s);

/* This page's code is not for the processor: shadow_page_in() said so. */
bool shadow_refuses(const struct shadow *s, u64 lin);

/* ---- what ends a mapping; carried out before the program runs again ---- */

void shadow_flush(struct shadow *s);
void shadow_flush_page(struct shadow *s, u64 lin);
/* Code of this page was written, writes to it are not told any more, or more of it is known. */
void shadow_code_gone(struct shadow *s, u64 ram_page);
/* Pages got PAGE_CODE or PAGE_WATCH: `ram_page` alone, or, UINT64_MAX, any, by another vCPU, and
 * writes that may have slipped through are told. */
void shadow_sync(struct shadow_owner *o, struct shadow *s, u64 ram_page);

/* As child_apply(). */
bool shadow_apply(struct shadow *s);

#endif
