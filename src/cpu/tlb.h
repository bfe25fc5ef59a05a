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

enum { TLB_LIST = 2048, TLB_GLOBAL = 1 << 15 };

/*
 * `list` names the entries in use, so that a flush (each CR3 load) costs what was filled since the
 * last one; when it is full, everything is cleared.  Zero-filled memory is not an empty TLB:
 * tlb_init().
 */
struct tlb {
    struct tlb_entry e[TLB_SIZE];
    u32 used;           /* entries of list; TLB_LIST + 1 = it overflowed */
    u16 list[TLB_LIST]; /* index, TLB_GLOBAL */
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
    if (t->used < TLB_LIST)
        t->list[t->used++] = (u16)(index | (global ? TLB_GLOBAL : 0));
    else
        t->used = TLB_LIST + 1;
}

static inline void tlb_init(struct tlb *t)
{
    for (unsigned i = 0; i < TLB_SIZE; i++)
        tlb_entry_clear(t, i);
    t->used = 0;
}

/* A place can be in the list twice, once as global: then the later one counts, and an entry that
 * is cleared although it is global only costs a refill. */
static inline void tlb_flush(struct tlb *t, bool global_too)
{
    u32 kept = 0;
    if (t->used > TLB_LIST) {
        tlb_init(t);
        return;
    }
    for (u32 i = 0; i < t->used; i++) {
        u16 w = t->list[i];
        if (!global_too && w & TLB_GLOBAL)
            t->list[kept++] = w;
        else
            tlb_entry_clear(t, w & (TLB_SIZE - 1));
    }
    t->used = kept;
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
 * compare it.  0 = has to be looked up.  Goes the same ways as a TLB entry.
 */
enum { CODE_MAP_SIZE = 1 << 10, CODE_MAP_LIST = 255 };

struct code_map {
    u32 page[CODE_MAP_SIZE]; /* by the virtual page number's low bits */
    u32 used;                /* entries of list; more than CODE_MAP_LIST: it overflowed */
    u16 list[CODE_MAP_LIST]; /* index, TLB_GLOBAL */
};

static inline void code_map_enter(struct code_map *m, u64 lin, u32 page, bool global)
{
    unsigned i = lin >> 12 & (CODE_MAP_SIZE - 1);
    m->page[i] = page;
    if (m->used < CODE_MAP_LIST)
        m->list[m->used++] = (u16)(i | (global ? TLB_GLOBAL : 0));
    else
        m->used = CODE_MAP_LIST + 1;
}

static inline void code_map_flush(struct code_map *m, bool global_too)
{
    u32 kept = 0;
    if (m->used > CODE_MAP_LIST) {
        for (unsigned i = 0; i < CODE_MAP_SIZE; i++)
            m->page[i] = 0;
        m->used = 0;
        return;
    }
    for (u32 i = 0; i < m->used; i++) {
        u16 w = m->list[i];
        if (!global_too && w & TLB_GLOBAL)
            m->list[kept++] = w;
        else
            m->page[w & (CODE_MAP_SIZE - 1)] = 0;
    }
    m->used = kept;
}

#endif
