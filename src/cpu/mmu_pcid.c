/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Address spaces that a guest comes back to (SDM volume 3, 4.10): with CR4.PCIDE a MOV to CR3 may
 * say that the TLB still holds what is right.  The TLB serves one address space, so what is not
 * global of it is put aside under its process-context identifier, and put back when that is loaded
 * again.
 *
 * What is put aside is no older than what hardware may keep: INVPCID, INVLPG and every flush but
 * that of a MOV to CR3 reach it too.  A page that got code, or is watched, meanwhile is not written
 * through an entry from before: that is looked up as it is put back.
 */
#include "cpu/mmu.h"

#include <stdlib.h>

enum {
    CONTEXTS = 8,
    KEPT = 256,
    KEPT_CODE = 128
}; /* Linux has six; a program touches few pages in its turn */

struct pcid_contexts {
    u32 turn;
    struct pcid_context {
        bool valid;
        u64 pcid; /* or a root table: mmu_put_root_aside() */
        u32 turn; /* when it was put aside */
        u32 n[MMU_SLOW];
        struct kept {
            u32 index;
            struct tlb_entry e;
        } kept[MMU_SLOW][KEPT];
        u32 ncode, code_gen;
        struct kept_code {
            u32 index, page, number;
        } code[KEPT_CODE];
    } context[CONTEXTS];
};

static struct pcid_context *find(struct cpu *c, u64 pcid)
{
    struct pcid_contexts *p = c->pcids;

    for (unsigned i = 0; p && i < CONTEXTS; i++)
        if (p->context[i].valid && p->context[i].pcid == pcid)
            return &p->context[i];
    return NULL;
}

static struct pcid_context *oldest(struct pcid_contexts *p)
{
    struct pcid_context *o = p->context;

    for (unsigned i = 0; i < CONTEXTS; i++) {
        struct pcid_context *x = &p->context[i];
        if (!x->valid)
            return x;
        if ((s32)(x->turn - o->turn) < 0)
            o = x;
    }
    return o;
}

/* The entries that were filled last; those that did not fit are looked up anew. */
static u32 put_aside(const struct tlb *t, struct kept *kept)
{
    u32 n = 0;

    for (u32 k = t->used; k-- > 0 && n < KEPT;) {
        unsigned i = t->list[k];
        if (!(t->state[i] & TLB_IS_GLOBAL) && t->e[i].host != tlb_nowhere)
            kept[n++] = (struct kept){i, t->e[i]};
    }
    return n;
}

static void put_back(struct cpu *c, struct tlb *t, const struct kept *kept, u32 n)
{
    struct mem *m = &c->vm->mem;

    for (u32 k = 0; k < n; k++) {
        unsigned i = kept[k].index;
        struct tlb_entry *e = &t->e[i];
        if (e->host != tlb_nowhere)
            continue; /* a global page's */
        *e = kept[k].e;
        tlb_note(t, i, false);
        if (e->tag[TLB_WRITE] == tlb_none(i) || !mem_owns(m, e->host))
            continue;
        u64 page = (u64)(e->host - m->hva) >> PAGE_SHIFT;
        if (__atomic_load_n(&m->page_flags[page], __ATOMIC_SEQ_CST) & (PAGE_CODE | PAGE_WATCH))
            e->tag[TLB_WRITE] = tlb_none(i);
    }
}

/* The same for the translator's code map. */
static void put_code_aside(const struct code_map *m, struct pcid_context *x)
{
    x->code_gen = m->gen;
    for (u32 k = m->used; k-- > 0 && x->ncode < KEPT_CODE;) {
        unsigned i = m->list[k];
        if (!(m->state[i] & TLB_IS_GLOBAL) && m->page[i])
            x->code[x->ncode++] = (struct kept_code){i, m->page[i], m->number[i]};
    }
}

static void put_code_back(struct code_map *m, const struct pcid_context *x)
{
    for (u32 k = 0; x->code_gen == m->gen && k < x->ncode; k++)
        if (!m->page[x->code[k].index])
            code_map_put(m, x->code[k].index, x->code[k].number, x->code[k].page, false);
}

/* For what is loaded now under this name; NULL: nothing is put aside. */
static struct pcid_context *make(struct cpu *c, u64 pcid)
{
    if (!c->pcids)
        c->pcids = calloc(1, sizeof(*c->pcids));
    if (!c->pcids)
        return NULL;
    struct pcid_context *x = find(c, pcid);
    if (!x)
        x = oldest(c->pcids);
    x->valid = true;
    x->pcid = pcid;
    x->turn = ++c->pcids->turn;
    x->ncode = 0;
    return x;
}

static u64 root_name(u64 root, unsigned idx)
{
    return BIT64(63) | root << 8 | idx;
}

void mmu_put_root_aside(struct cpu *c, u64 root, unsigned idx)
{
    struct pcid_context *x = make(c, root_name(root, idx));

    if (x)
        x->n[idx] = put_aside(&c->tlbs[idx], x->kept[idx]);
    if (x && idx == MMU_USER)
        put_code_aside(&c->code_map, x);
}

void mmu_put_root_back(struct cpu *c, u64 root, unsigned idx)
{
    struct pcid_context *x = find(c, root_name(root, idx));

    if (!x)
        return;
    x->valid = false;
    put_back(c, &c->tlbs[idx], x->kept[idx], x->n[idx]);
    put_code_back(&c->code_map, x);
}

void mmu_switch(struct cpu *c, u16 from, u16 to, bool keep)
{
    struct pcid_context *x;

    mmu_before_flush(c);
    x = from != to ? make(c, from) : NULL;
    for (unsigned i = 0; x && i < MMU_SLOW; i++)
        x->n[i] = put_aside(&c->tlbs[i], x->kept[i]);
    if (x)
        put_code_aside(&c->code_map, x);
    mmu_flush_tlb(c, false);
    if (c->shadow)
        c->shadow->turn_to(c->shadow, to, keep);
    x = find(c, to);
    if (!x)
        return;
    x->valid = false;
    for (unsigned i = 0; keep && i < MMU_SLOW; i++)
        put_back(c, &c->tlbs[i], x->kept[i], x->n[i]);
    if (keep)
        put_code_back(&c->code_map, x);
}

void mmu_drop_pcid(struct cpu *c, u16 pcid)
{
    struct pcid_context *x = find(c, pcid);

    if (x)
        x->valid = false;
    if (c->shadow)
        c->shadow->drop_pcid(c->shadow, pcid);
}

void mmu_drop_pcids(struct cpu *c)
{
    for (unsigned i = 0; c->pcids && i < CONTEXTS; i++)
        c->pcids->context[i].valid = false;
}
