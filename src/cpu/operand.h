/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operands of a decoded instruction, as the exec_* handlers read and write them.
 *
 * Every function here may leave by cpu_raise(); a handler therefore reads all its operands before
 * it changes anything, and writes memory before registers.
 */
#ifndef WIRT_CPU_OPERAND_H
#define WIRT_CPU_OPERAND_H

#include "cpu/cpu.h"
#include "cpu/mmu.h"
#include "cpu/segment.h"

#define op_inline static inline __attribute__((always_inline, unused))

/* ------------------------------------------------------ registers -- */

op_inline u64 reg_read(const struct cpu *c, const struct operand *o)
{
    if (unlikely(o->kind == OPND_GPR8H))
        return (u8)(c->s.gpr[o->reg] >> 8);
    return gpr_read(c, o->reg, o->size);
}

op_inline void reg_write(struct cpu *c, const struct operand *o, u64 v)
{
    if (unlikely(o->kind == OPND_GPR8H))
        c->s.gpr[o->reg] = (c->s.gpr[o->reg] & ~0xff00ull) | (u64)(u8)v << 8;
    else
        gpr_write(c, o->reg, o->size, v);
}

/* --------------------------------------------------------- memory -- */

/* The linear address of the memory operand, checked for an access of size bytes. */
op_inline u64 mem_linear(struct cpu *c, const struct insn *i, unsigned size, enum seg_access a)
{
    return seg_linear(c, i->seg, insn_ea(c, i), size, a);
}

op_inline u64 mem_op_read(struct cpu *c, const struct insn *i, unsigned size)
{
    return mmu_read(c, mem_linear(c, i, size, SEG_READ), size);
}

op_inline void mem_op_write(struct cpu *c, const struct insn *i, unsigned size, u64 v)
{
    mmu_write(c, mem_linear(c, i, size, SEG_WRITE), size, v);
}

/* Operand n; memory, general register or immediate. */
op_inline u64 operand_read(struct cpu *c, const struct insn *i, unsigned n)
{
    const struct operand *o = &i->opnd[n];
    if (o->kind == OPND_GPR)
        return gpr_read(c, o->reg, o->size);
    if (o->kind == OPND_MEM)
        return mem_op_read(c, i, o->size);
    if (o->kind == OPND_GPR8H)
        return (u8)(c->s.gpr[o->reg] >> 8);
    return i->imm;
}

op_inline void operand_write(struct cpu *c, const struct insn *i, unsigned n, u64 v)
{
    const struct operand *o = &i->opnd[n];
    if (o->kind == OPND_MEM)
        mem_op_write(c, i, o->size, v);
    else
        reg_write(c, o, v);
}

/*
 * A memory operand that is read and then written.  rmw_begin() raises whatever the write would
 * raise and gives a host pointer on which the operation runs as one host instruction, locked or
 * not: plain RAM itself, or, for MMIO and page crossings, `copy`, which rmw_end() writes back.
 * Between the two nothing may raise.
 */
struct rmw {
    u64 lin;
    void *p;
    bool done;  /* mmu_rmw_done() is due */
    bool split; /* the split lock is held */
    u64 copy;
};

op_inline void rmw_begin_at(struct cpu *c, struct rmw *r, u64 lin, unsigned size, bool locked)
{
    r->lin = lin;
    r->done = false;
    r->split = false;
    r->p = tlb_lookup(c->tlb, lin, size, TLB_WRITE);
    if (likely(r->p))
        return;
    r->p = mmu_rmw(c, lin, size);
    if (r->p) {
        r->done = true;
        return;
    }
    mmu_probe_write(c, lin, size);
    if (locked) {
        mmu_split_lock(c);
        r->split = true;
    }
    r->copy = mmu_read(c, lin, size);
    r->p = &r->copy;
}

op_inline void rmw_begin(struct cpu *c, const struct insn *i, struct rmw *r, unsigned size,
                         bool locked)
{
    rmw_begin_at(c, r, mem_linear(c, i, size, SEG_WRITE), size, locked);
}

op_inline void rmw_end(struct cpu *c, struct rmw *r, unsigned size)
{
    if (unlikely(r->done)) {
        mmu_rmw_done(c, r->lin, size);
    } else if (unlikely(r->p == &r->copy)) {
        mmu_write(c, r->lin, size, r->copy);
        if (r->split)
            mmu_split_unlock(c);
    }
}

/* ---------------------------------------------------------- flags -- */

/*
 * The host's arithmetic flags travel in AX: `lahf; seto %al` leaves SF ZF AF PF CF in AH and OF in
 * AL; `addb $0x7f, %al; sahf` puts them back.  (PUSHF would write into the red zone.)
 */
op_inline u32 flags_to_ax(u64 rflags)
{
    return (u32)(rflags & 0xd5) << 8 | (u32)(rflags >> 11 & 1);
}

/* Takes the flags in `which` from AX. */
op_inline void flags_from_ax_some(struct cpu *c, u32 ax, u64 which)
{
    u64 f = (ax >> 8 & 0xd5) | (u64)(ax & 1) << 11;
    c->s.rflags = (c->s.rflags & ~which) | (f & which);
}

op_inline void flags_from_ax(struct cpu *c, u32 ax)
{
    flags_from_ax_some(c, ax, FLAGS_ARITH);
}

/* Condition codes 0-15 of jcc, setcc, cmovcc. */
op_inline bool flags_cond(u64 f, unsigned cc)
{
    bool v;
    switch (cc >> 1 & 7) {
    case 0:
        v = f & FLAG_OF;
        break;
    case 1:
        v = f & FLAG_CF;
        break;
    case 2:
        v = f & FLAG_ZF;
        break;
    case 3:
        v = f & (FLAG_CF | FLAG_ZF);
        break;
    case 4:
        v = f & FLAG_SF;
        break;
    case 5:
        v = f & FLAG_PF;
        break;
    case 6:
        v = (f >> 7 ^ f >> 11) & 1;
        break;
    default:
        v = ((f >> 7 ^ f >> 11) & 1) | (f >> 6 & 1);
        break;
    }
    return v != (cc & 1);
}

/* A near branch: checks the target against the CS limit or for being canonical. */
op_inline void branch_near(struct cpu *c, const struct insn *i, u64 target)
{
    if (i->opsize == 2)
        target = (u16)target;
    else if (i->mode != CODE64)
        target = (u32)target;
    if (i->mode == CODE64 ? !canonical(target) : target > c->s.seg[CS].limit)
        cpu_gp(c, 0);
    c->next_rip = target;
}

#endif
