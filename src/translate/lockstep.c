/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lockstep: wirt run --check.
 *
 * Each block is run twice from the same state.  First the interpreter goes through its instructions
 * one by one; what it writes to memory is logged, its registers are kept after each instruction,
 * and then both are put back.  Then the translated block runs; soft.kick is set all the while, so
 * that it comes back at its first exit.  The state where it comes back must be one that the
 * interpreter passed, with the same registers, vector state, memory, and flags save those that
 * nobody reads.
 *
 * Checked is what the translator does itself: instructions that it gives to the interpreter end a
 * checked run, and so does whatever cannot be done twice (device registers) or does not complete
 * (faults).  These then happen once, by the interpreter.  The time-stamp counter and other vCPUs
 * are not repeatable either: one vCPU only.  A device's DMA between the two runs can look like a
 * difference, so a run that differs is repeated a few times before it counts.
 */
#include "cpu/interp.h"
#include "translate/trans.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = 256, TRIES = 3, DECODED = 4096 };

/* An instruction that was decoded here before, if the bytes are the same still. */
struct decoded {
    const u8 *at;
    u8 code; /* enum code_mode */
    u8 bytes[15];
    struct insn i;
};

struct step {
    u64 rip, rflags, gpr[16];
    u32 writes;
    u32 undefined; /* flags that the manual leaves open since the block began */
};

struct lockstep {
    struct cpu_state before, vec_end;
    struct write_log log;
    struct step step[STEPS_MAX + 1];
    unsigned nsteps;
    struct decoded decoded[DECODED];
};

static void note(struct lockstep *l, const struct cpu *c, u32 undefined)
{
    struct step *s = &l->step[l->nsteps++];

    s->undefined = undefined;
    s->rip = c->s.rip;
    s->rflags = c->s.rflags;
    memcpy(s->gpr, c->s.gpr, sizeof(s->gpr));
    s->writes = l->log.count;
}

/* What may be done twice. */
static bool repeatable(const struct insn *i)
{
    const struct op_row *r = &op_rows[i->row];

    if (r->attr & (OPA_CPL0 | OPA_IOPL))
        return false;
    switch (i->op) {
    case OP_rdtsc:
    case OP_rdtscp:
    case OP_rdrand:
    case OP_rdseed:
        return false;
    case OP_jcc:
    case OP_jmp:
    case OP_call:
    case OP_ret:
    case OP_loop:
    case OP_jcxz:
        return true;
    default:
        return !(r->attr & OPA_END);
    }
}

/* One instruction; false: it faulted, touched a device, or is not for checking. */
static __attribute__((noinline)) bool one(struct cpu *c, const struct insn *i)
{
    if (__builtin_setjmp(c->unwind))
        return false;
    c->next_rip = c->s.rip + i->len;
    if (c->code != CODE64)
        c->next_rip = (u32)c->next_rip;
    op_exec[i->op](c, i);
    c->s.rip = c->next_rip;
    return true;
}

static void put_back(const struct lockstep *l)
{
    for (u32 n = l->log.count; n-- > 0;)
        memcpy(l->log.entry[n].hva, l->log.entry[n].old, l->log.entry[n].len);
}

/* The instruction at page + off; NULL when there is none. */
static const struct insn *decoded_at(struct lockstep *l, const struct cpu *c, const u8 *page,
                                     u64 off)
{
    const u8 *at = page + off;
    struct decoded *d = &l->decoded[((uintptr_t)at ^ (uintptr_t)at >> PAGE_SHIFT) % DECODED];

    if (d->at != at || d->code != c->code || memcmp(d->bytes, at, d->i.len)) {
        d->at = NULL;
        if (decode(&d->i, at, PAGE_SIZE - off, (enum code_mode)c->code) != DECODE_OK)
            return NULL;
        d->at = at;
        d->code = (u8)c->code;
        memcpy(d->bytes, at, d->i.len);
    }
    return &d->i;
}

/* Flags that the code at rip reads before it writes them, as far as that is plain to see. */
static u32 flags_read(struct lockstep *l, const struct cpu *c, const u8 *page, u64 off)
{
    u32 read = 0, dead = 0;

    for (unsigned n = 0; n < 8 && off < PAGE_SIZE; n++) {
        const struct insn *i = decoded_at(l, c, page, off);
        if (!i)
            break;
        struct tinsn ti = {.i = *i};
        ti.row = &op_rows[ti.i.row];
        insn_flags(&ti);
        read |= ti.reads & ~dead;
        dead |= ti.kills;
        if (ti.row->attr & OPA_END)
            break;
        off += ti.i.len;
    }
    return read;
}

/* Goes through at most `most` of the block's instructions; the state is then the one after them.
 * False: the one after those in l->step has done half of what it does. */
static bool interpret(struct lockstep *l, struct cpu *c, const u8 *page, u64 page_rip, u64 end,
                      unsigned most)
{
    u64 start = c->s.rip;
    u32 undefined = 0;

    l->nsteps = 0;
    l->log.count = 0;
    l->log.broken = false;
    note(l, c, 0);
    while (l->nsteps <= most) {
        u64 rip = c->s.rip;
        if (rip < start || rip >= end)
            break;
        const struct insn *i = decoded_at(l, c, page, rip - page_rip);
        if (!i || !repeatable(i))
            break;
        if (!one(c, i) || l->log.broken || c->leave || c->s.rip == rip)
            return false;
        const struct op_row *r = &op_rows[i->row];
        undefined = (undefined & ~(r->flags_written & ~r->flags_undefined)) | r->flags_undefined;
        note(l, c, undefined);
        if (c->s.rip <= rip)
            break;
    }
    return true;
}

/* The interpreter's way through the block; all its effects are taken back. */
static void run_interpreter(struct lockstep *l, struct soft *sc, const u8 *page, u64 page_rip,
                            u64 end)
{
    struct cpu *c = &sc->c;
    struct tlb *tlb = c->tlb;

    c->tlb = &c->tlbs[MMU_SLOW];
    c->log = &l->log;
    if (!interpret(l, c, page, page_rip, end, STEPS_MAX - 1)) {
        /* Rare enough that what came before is done again, rather than kept each time. */
        put_back(l);
        c->s = l->before;
        c->leave = false;
        bool done = interpret(l, c, page, page_rip, end, l->nsteps - 1);
        BUG_ON(!done);
    }
    c->log = NULL;
    c->tlb = tlb;
    c->leave = false;
    l->vec_end = c->s;
    for (u32 n = 0; n < l->log.count; n++)
        memcpy(l->log.entry[n].now, l->log.entry[n].hva, l->log.entry[n].len);
    put_back(l);
    c->s = l->before;
}

static bool memory_agrees(const struct lockstep *l, u32 writes)
{
    for (u32 n = 0; n < writes; n++) {
        const struct write_entry *w = &l->log.entry[n];
        bool later = false;
        for (u32 k = n + 1; k < l->log.count && !later; k++)
            later = l->log.entry[k].hva < w->hva + w->len &&
                    w->hva < l->log.entry[k].hva + l->log.entry[k].len;
        if (!later && memcmp(w->hva, w->now, w->len))
            return false;
    }
    return true;
}

static bool vectors_agree(const struct cpu_state *a, const struct cpu_state *b)
{
    return a->x.fcw == b->x.fcw && a->x.fsw == b->x.fsw && a->x.ftw == b->x.ftw &&
           a->x.mxcsr == b->x.mxcsr && !memcmp(a->x.st, b->x.st, sizeof(a->x.st)) &&
           !memcmp(a->x.xmm, b->x.xmm, sizeof(a->x.xmm)) &&
           !memcmp(a->x.ymmh, b->x.ymmh, sizeof(a->x.ymmh));
}

/* The step at which the translated code stands now, if it is the same there. */
static const struct step *agrees(const struct lockstep *l, const struct soft *sc, u32 flags)
{
    const struct cpu_state *s = &sc->c.s;

    for (unsigned n = 0; n < l->nsteps; n++) {
        const struct step *p = &l->step[n];
        if (p->rip != s->rip || memcmp(p->gpr, s->gpr, sizeof(p->gpr)) ||
            ((p->rflags ^ s->rflags) & flags & ~p->undefined) || !memory_agrees(l, p->writes))
            continue;
        if (n + 1 == l->nsteps && !vectors_agree(&l->vec_end, s))
            continue;
        return p;
    }
    return NULL;
}

static void list_code(const struct soft *sc, const u8 *page, u64 rip, u64 end)
{
    char text[100];
    struct insn i;

    for (u64 off = rip & PAGE_MASK; off < (end & PAGE_MASK); off += i.len, rip += i.len) {
        if (decode(&i, page + off, PAGE_SIZE - off, (enum code_mode)sc->c.code) != DECODE_OK)
            break;
        insn_print(&i, rip, text, sizeof(text));
        fprintf(stderr, "  %llx  %s\n", (unsigned long long)rip, text);
    }
}

static void report(const struct lockstep *l, const struct soft *sc)
{
    static const char *const name[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                         "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    const struct step *want = &l->step[l->nsteps - 1];
    const struct cpu_state *s = &sc->c.s;

    for (unsigned n = 0; n < l->nsteps; n++)
        if (l->step[n].rip == s->rip)
            want = &l->step[n];
    fprintf(stderr, "check: the engines differ in the block at %llx (%u instructions)\n",
            (unsigned long long)l->before.rip, l->nsteps - 1);
    fprintf(stderr, "%-6s %16s %16s %16s\n", "", "before", "interpreter", "translator");
    fprintf(stderr, "%-6s %16llx %16llx %16llx\n", "rip", (unsigned long long)l->before.rip,
            (unsigned long long)want->rip, (unsigned long long)s->rip);
    fprintf(stderr, "%-6s %16llx %16llx %16llx\n", "rflags", (unsigned long long)l->before.rflags,
            (unsigned long long)want->rflags, (unsigned long long)s->rflags);
    for (unsigned r = 0; r < 16; r++)
        fprintf(stderr, "%-6s %16llx %16llx %16llx%s\n", name[r],
                (unsigned long long)l->before.gpr[r], (unsigned long long)want->gpr[r],
                (unsigned long long)s->gpr[r], want->gpr[r] != s->gpr[r] ? "  <" : "");
    if (!vectors_agree(&l->vec_end, s))
        fprintf(stderr, "vector or x87 state differs\n");
    if (!memory_agrees(l, want->writes))
        fprintf(stderr, "memory differs\n");
}

struct lockstep *lockstep_new(void)
{
    return calloc(1, sizeof(struct lockstep));
}

bool lockstep_turn(struct lockstep *l, struct soft *sc, const struct block *b)
{
    struct cpu *c = &sc->c;
    const struct cpage *cp = &sc->cpages[b->cpage];
    u64 rip = c->s.rip;
    const u8 *page = c->vm->mem.hva + (cp->ram_page << PAGE_SHIFT);
    u64 page_rip = rip & ~(u64)PAGE_MASK, end = rip + b->len;
    const void *host = sc->rx + b->entry;

    if ((rip & PAGE_MASK) + b->len > PAGE_SIZE) { /* one instruction that crosses a page */
        interp_step(c);
        return true;
    }
    l->before = c->s;
    for (unsigned n = 0; n < TRIES; n++) {
        run_interpreter(l, sc, page, page_rip, end);
        flags_in(sc);
        __atomic_store_n(&sc->kick, 1, __ATOMIC_SEQ_CST);
        sc->thunks[sc->key & KEY_64 ? 1 : 0].enter(sc, host);
        u64 at = c->s.rip - page_rip;
        const struct step *p = agrees(l, sc, at < PAGE_SIZE ? flags_read(l, c, page, at) : 0);
        if (p) {
            if (p == l->step) /* nothing was done: this one is the interpreter's */
                interp_step(c);
            return true;
        }
        if (n + 1 < TRIES) {
            put_back(l);
            c->s = l->before;
        }
    }
    report(l, sc);
    list_code(sc, page, rip, end);
    return false;
}
