/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * String instructions in memory: MOVS STOS LODS SCAS CMPS, alone and repeated.  SDM volume 2.
 *
 * A repeated one keeps rSI, rDI and rCX up to date after every element, so a fault in the middle
 * leaves it restartable.  Between elements, at the latest after a page, it looks whether the vCPU
 * has something to notice; then next_rip stays on the instruction.  Upwards, MOVS and STOS move
 * whole pieces of pages when both sides are plain memory.
 */
#include "cpu/hostalu.h"
#include "cpu/ops.h"

#include <string.h>

HOST2_REG(sub, "sub", "")

enum { ELEMENTS_AT_ONCE = 1024 }; /* between two looks at events */

struct str {
    unsigned size; /* of an element */
    unsigned asz;
    s64 step;
};

op_inline struct str str_begin(const struct cpu *c, const struct insn *i, unsigned size)
{
    struct str s = {size, i->addrsize, c->s.rflags & FLAG_DF ? -(s64)size : (s64)size};
    return s;
}

op_inline void str_advance(struct cpu *c, const struct str *s, unsigned reg, s64 n)
{
    gpr_write(c, reg, s->asz, c->s.gpr[reg] + (u64)(s->step * n));
}

op_inline u64 src_linear(struct cpu *c, const struct insn *i, const struct str *s)
{
    return seg_linear(c, (enum seg_reg)i->seg, gpr_read(c, RSI, s->asz), s->size, SEG_READ);
}

op_inline u64 dst_linear(struct cpu *c, const struct str *s, enum seg_access a)
{
    return seg_linear(c, ES, gpr_read(c, RDI, s->asz), s->size, a);
}

op_inline bool repeated(const struct insn *i)
{
    return i->prefixes & (PFX_F3 | PFX_F2);
}

op_inline bool must_look_up(const struct cpu *c)
{
    return vcpu_events(c->vcpu) || c->leave || c->code_changed;
}

/*
 * How many bytes from this offset on are in the segment, in the page and below the wrap of the
 * address size.  The first element was checked by seg_linear(), which gave lin.
 */
static u64 room(const struct cpu *c, enum seg_reg seg, u64 off, u64 lin, unsigned asz)
{
    u64 n = PAGE_SIZE - (lin & PAGE_MASK);
    if (asz != 8)
        n = min(n, (asz == 4 ? BIT64(32) : BIT64(16)) - off);
    if (c->code != CODE64) {
        const struct segment *s = &c->s.seg[seg];
        bool down = (s->attr & (SEG_S | 0xc)) == (SEG_S | 4);
        u64 last = !down ? s->limit : s->attr & SEG_DB ? UINT32_MAX : 0xffff;
        n = off <= last ? min(n, last - off + 1) : 0;
    }
    return n;
}

/* ---------------------------------------------------------- MOVS -- */

static void movs_one(struct cpu *c, const struct insn *i, const struct str *s)
{
    u64 src = src_linear(c, i, s);
    u64 v = mmu_read(c, src, s->size);
    mmu_write(c, dst_linear(c, s, SEG_WRITE), s->size, v);
    str_advance(c, s, RSI, 1);
    str_advance(c, s, RDI, 1);
}

/* As the elements would one after the other: a destination that starts inside the source repeats
 * what lies between the two. */
static void copy_up(u8 *d, const u8 *s, u64 bytes, unsigned size)
{
    if ((u64)(d - s) >= bytes) {
        memmove(d, s, bytes);
        return;
    }
    for (u64 n = 0; n < bytes; n += size)
        host_store(d + n, size, host_load(s + n, size));
}

/* Moves up to n elements upwards inside one page on each side; 0 = not plain memory. */
static u64 movs_piece(struct cpu *c, const struct insn *i, const struct str *s, u64 n)
{
    u64 si = gpr_read(c, RSI, s->asz), di = gpr_read(c, RDI, s->asz);
    u64 src = src_linear(c, i, s), dst = dst_linear(c, s, SEG_WRITE);
    u64 bytes = min(room(c, (enum seg_reg)i->seg, si, src, s->asz), room(c, ES, di, dst, s->asz));
    n = min(n, bytes / s->size);
    if (!n)
        return 0;
    u8 *from = tlb_lookup(c->tlb, src, (unsigned)(n * s->size), TLB_READ);
    u8 *to = tlb_lookup(c->tlb, dst, (unsigned)(n * s->size), TLB_WRITE);
    if (!from || !to)
        return 0;
    copy_up(to, from, n * s->size, s->size);
    str_advance(c, s, RSI, (s64)n);
    str_advance(c, s, RDI, (s64)n);
    return n;
}

/* ---------------------------------------------------------- STOS -- */

static void stos_one(struct cpu *c, const struct insn *i, const struct str *s)
{
    mmu_write(c, dst_linear(c, s, SEG_WRITE), s->size, c->s.gpr[RAX]);
    str_advance(c, s, RDI, 1);
}

static u64 stos_piece(struct cpu *c, const struct insn *i, const struct str *s, u64 n)
{
    u64 di = gpr_read(c, RDI, s->asz), dst = dst_linear(c, s, SEG_WRITE), v = c->s.gpr[RAX];
    n = min(n, room(c, ES, di, dst, s->asz) / s->size);
    if (!n)
        return 0;
    u8 *to = tlb_lookup(c->tlb, dst, (unsigned)(n * s->size), TLB_WRITE);
    if (!to)
        return 0;
    if (s->size == 1 || gpr_read(c, RAX, s->size) == 0) {
        memset(to, (u8)v, n * s->size);
    } else {
        for (u64 k = 0; k < n; k++)
            host_store(to + k * s->size, s->size, v);
    }
    str_advance(c, s, RDI, (s64)n);
    return n;
}

/* ---------------------------------------------------------- LODS -- */

static void lods_one(struct cpu *c, const struct insn *i, const struct str *s)
{
    u64 v = mmu_read(c, src_linear(c, i, s), s->size);
    gpr_write(c, RAX, s->size, v);
    str_advance(c, s, RSI, 1);
}

/* ------------------------------------------- repetition by count -- */

typedef void one_fn(struct cpu *c, const struct insn *i, const struct str *s);
typedef u64 piece_fn(struct cpu *c, const struct insn *i, const struct str *s, u64 n);

/* piece may be NULL. */
op_inline void repeat(struct cpu *c, const struct insn *i, const struct str *s, one_fn *one,
                      piece_fn *piece)
{
    u64 left = gpr_read(c, RCX, s->asz);
    bool up = s->step > 0, single_step = c->s.rflags & FLAG_TF;
    unsigned since = 0;
    while (left) {
        u64 done = 0;
        if (piece && up && !single_step)
            done = piece(c, i, s, left);
        since += done ? ELEMENTS_AT_ONCE : 1;
        if (!done) {
            one(c, i, s);
            done = 1;
        }
        left -= done;
        gpr_write(c, RCX, s->asz, left);
        if (left &&
            (single_step || c->code_changed || (since >= ELEMENTS_AT_ONCE && must_look_up(c)))) {
            c->next_rip = c->s.rip;
            c->leave = true; /* what follows in the block waits */
            return;
        }
        if (since >= ELEMENTS_AT_ONCE)
            since = 0;
    }
}

void exec_movs(struct cpu *c, const struct insn *i)
{
    struct str s = str_begin(c, i, i->opnd[0].size);
    if (repeated(i))
        repeat(c, i, &s, movs_one, movs_piece);
    else
        movs_one(c, i, &s);
}

void exec_stos(struct cpu *c, const struct insn *i)
{
    struct str s = str_begin(c, i, i->opnd[0].size);
    if (repeated(i))
        repeat(c, i, &s, stos_one, stos_piece);
    else
        stos_one(c, i, &s);
}

void exec_lods(struct cpu *c, const struct insn *i)
{
    struct str s = str_begin(c, i, i->opnd[1].size);
    if (repeated(i))
        repeat(c, i, &s, lods_one, NULL);
    else
        lods_one(c, i, &s);
}

/* ------------------------------------ repetition while (not) equal -- */

static void scas_one(struct cpu *c, const struct insn *i, const struct str *s)
{
    u64 b = mmu_read(c, dst_linear(c, s, SEG_READ), s->size);
    u32 ax = 0;
    host_sub(c->s.gpr[RAX], b, s->size, &ax);
    str_advance(c, s, RDI, 1);
    flags_from_ax(c, ax);
}

static void cmps_one(struct cpu *c, const struct insn *i, const struct str *s)
{
    u64 a = mmu_read(c, src_linear(c, i, s), s->size);
    u64 b = mmu_read(c, dst_linear(c, s, SEG_READ), s->size);
    u32 ax = 0;
    host_sub(a, b, s->size, &ax);
    str_advance(c, s, RSI, 1);
    str_advance(c, s, RDI, 1);
    flags_from_ax(c, ax);
}

op_inline void repeat_while(struct cpu *c, const struct insn *i, const struct str *s, one_fn *one)
{
    u64 left = gpr_read(c, RCX, s->asz);
    bool while_equal = i->prefixes & PFX_REP, single_step = c->s.rflags & FLAG_TF;
    for (unsigned since = 1; left; since++) {
        one(c, i, s);
        left--;
        gpr_write(c, RCX, s->asz, left);
        if (!left || !!(c->s.rflags & FLAG_ZF) != while_equal)
            return;
        if (single_step || (since % ELEMENTS_AT_ONCE == 0 && must_look_up(c))) {
            c->next_rip = c->s.rip;
            c->leave = true; /* what follows in the block waits */
            return;
        }
    }
}

void exec_scas(struct cpu *c, const struct insn *i)
{
    struct str s = str_begin(c, i, i->opnd[1].size);
    if (repeated(i))
        repeat_while(c, i, &s, scas_one);
    else
        scas_one(c, i, &s);
}

void exec_cmps(struct cpu *c, const struct insn *i)
{
    struct str s = str_begin(c, i, i->opnd[0].size);
    if (repeated(i))
        repeat_while(c, i, &s, cmps_one);
    else
        cmps_one(c, i, &s);
}
