/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software TLB, which interpreter and translated code share.  Direct-mapped by page number.
 *
 * An entry's tag for a kind of access is the linear page address when such an access may go
 * straight to memory.  `host` is where that page lies.  Translated code tests a hit and a page
 * crossing in one go:
 *
 *     off = lin ^ tag;  hit if off <= PAGE_SIZE - size;  operand at host + off
 *
 * so a tag that must never match ("no right, MMIO, page with code, A or D bit still to be set:
 * ask the slow path") cannot be all ones.  It is a page that belongs to another entry's place:
 * tlb_none(index).  Translated code looks for the stack's page where it was last time, without
 * computing the place; so that page is also a non-canonical one that nobody has a stack in, and an
 * empty entry's host memory is one that may be written.
 */
#ifndef WIRT_CPU_TLB_H
#define WIRT_CPU_TLB_H

#include "base/types.h"

enum { TLB_BITS = 14, TLB_SIZE = 1 << TLB_BITS };

enum tlb_access { TLB_READ, TLB_WRITE, TLB_EXEC };

struct tlb_entry {
    u64 tag[3]; /* by enum tlb_access */
    u8 *host;   /* the page; tlb_nowhere in an empty entry */
};
_Static_assert(sizeof(struct tlb_entry) == 32, "translated code shifts by 5");

/*
 * Which entries are in use is kept in two lists, so that a flush (each CR3 load) costs what was
 * filled since the last one, and nothing for the global entries that stay.  An entry is at most
 * once in each: `state` says in which, and as what it was filled last.  Zero-filled memory is not
 * an empty TLB: tlb_init().
 */
enum { TLB_LISTED = 1, TLB_LISTED_GLOBAL = 2, TLB_IS_GLOBAL = 4 };

struct tlb {
    struct tlb_entry e[TLB_SIZE];
    u8 state[TLB_SIZE];
    u16 list[TLB_SIZE], globals[TLB_SIZE];
    u32 used, used_globals;
};

static inline unsigned tlb_index(u64 lin)
{
    return lin >> 12 & (TLB_SIZE - 1);
}

static inline struct tlb_entry *tlb_entry(struct tlb *t, u64 lin)
{
    return &t->e[tlb_index(lin)];
}

/* The tag that no address whose place is entry `index` can match. */
static inline u64 tlb_none(unsigned index)
{
    u64 page = 0x8b5d3c0f7a290ull;
    return (index == (page & (TLB_SIZE - 1)) ? page + 1 : page) << 12;
}

extern u8 tlb_nowhere[4096];

static inline void tlb_entry_clear(struct tlb *t, unsigned index)
{
    struct tlb_entry *e = &t->e[index];
    e->tag[TLB_READ] = e->tag[TLB_WRITE] = e->tag[TLB_EXEC] = tlb_none(index);
    e->host = tlb_nowhere;
}

/* To be called when an entry is filled for another page than before; global: CR4.PGE and G. */
static inline void tlb_note(struct tlb *t, unsigned index, bool global)
{
    u8 s = t->state[index];

    if (global) {
        if (!(s & TLB_LISTED_GLOBAL))
            t->globals[t->used_globals++] = (u16)index;
        s |= TLB_LISTED_GLOBAL | TLB_IS_GLOBAL;
    } else {
        if (!(s & TLB_LISTED))
            t->list[t->used++] = (u16)index;
        s = (s | TLB_LISTED) & (u8)~TLB_IS_GLOBAL;
    }
    t->state[index] = s;
}

static inline void tlb_init(struct tlb *t)
{
    for (unsigned i = 0; i < TLB_SIZE; i++) {
        tlb_entry_clear(t, i);
        t->state[i] = 0;
    }
    t->used = t->used_globals = 0;
}

static inline void tlb_flush(struct tlb *t, bool global_too)
{
    for (u32 i = 0; i < t->used; i++) {
        unsigned n = t->list[i];
        t->state[n] &= (u8)~TLB_LISTED;
        if (!(t->state[n] & TLB_IS_GLOBAL))
            tlb_entry_clear(t, n);
    }
    t->used = 0;
    if (!global_too)
        return;
    for (u32 i = 0; i < t->used_globals; i++) {
        unsigned n = t->globals[i];
        t->state[n] = 0;
        tlb_entry_clear(t, n);
    }
    t->used_globals = 0;
}

/* The n-th of the entries that are in use, some of which come twice; UINT32_MAX behind the last. */
static inline u32 tlb_used(const struct tlb *t, u32 n)
{
    if (n < t->used)
        return t->list[n];
    n -= t->used;
    return n < t->used_globals ? t->globals[n] : UINT32_MAX;
}

/* The host address for an access of size bytes that stays inside one page, or NULL on a miss. */
static inline void *tlb_lookup(struct tlb *t, u64 lin, unsigned size, enum tlb_access a)
{
    struct tlb_entry *e = tlb_entry(t, lin);
    u64 off = lin ^ e->tag[a];
    if (likely(off <= 0x1000 - size))
        return e->host + off;
    return NULL;
}

/*
 * Which of the translator's code pages is mapped at a virtual page: translated jumps to other pages
 * compare it.  0 = has to be looked up.  Goes the same ways as a TLB entry.  The halves of the
 * address space have half of it each, so that programs and their kernel are not in each other's
 * way.
 */
enum { CODE_MAP_SIZE = 1 << 14 };

struct code_map {
    u32 page[CODE_MAP_SIZE];
    u32 number[CODE_MAP_SIZE]; /* of the virtual page, its low bits */
    u8 state[CODE_MAP_SIZE];
    u16 list[CODE_MAP_SIZE], globals[CODE_MAP_SIZE];
    u32 used, used_globals;
    u32 gen; /* changes when the owner of the numbers forgets some: what was put aside is wrong */
};

static inline unsigned code_map_index(u64 lin)
{
    enum { HALF = CODE_MAP_SIZE / 2 };
    return (unsigned)(lin >> 12 & (HALF - 1)) | (lin >> 63 ? HALF : 0);
}

static inline void code_map_put(struct code_map *m, unsigned i, u32 number, u32 page, bool global)
{
    u8 s = m->state[i];

    m->page[i] = page;
    m->number[i] = number;
    if (global) {
        if (!(s & TLB_LISTED_GLOBAL))
            m->globals[m->used_globals++] = (u16)i;
        s |= TLB_LISTED_GLOBAL | TLB_IS_GLOBAL;
    } else {
        if (!(s & TLB_LISTED))
            m->list[m->used++] = (u16)i;
        s = (s | TLB_LISTED) & (u8)~TLB_IS_GLOBAL;
    }
    m->state[i] = s;
}

static inline void code_map_enter(struct code_map *m, u64 lin, u32 page, bool global)
{
    code_map_put(m, code_map_index(lin), (u32)(lin >> 12), page, global);
}

static inline void code_map_drop(struct code_map *m, u64 lin)
{
    unsigned i = code_map_index(lin);
    if (m->number[i] == (u32)(lin >> 12))
        m->page[i] = 0;
}

static inline void code_map_flush(struct code_map *m, bool global_too)
{
    for (u32 i = 0; i < m->used; i++) {
        unsigned n = m->list[i];
        m->state[n] &= (u8)~TLB_LISTED;
        if (!(m->state[n] & TLB_IS_GLOBAL))
            m->page[n] = 0;
    }
    m->used = 0;
    if (!global_too)
        return;
    for (u32 i = 0; i < m->used_globals; i++) {
        m->state[m->globals[i]] = 0;
        m->page[m->globals[i]] = 0;
    }
    m->used_globals = 0;
}

#endif
