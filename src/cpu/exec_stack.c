/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stack: PUSH, POP (segment registers too), PUSHA, POPA, ENTER, LEAVE.  PUSHF and POPF are
 * system instructions (cpu/sysinsn.c).  SDM volume 2.
 *
 * RSP changes only when nothing can fault any more.
 */
#include "cpu/operand.h"
#include "cpu/ops.h"

op_inline u64 stack_cut(const struct cpu *c, u64 sp)
{
    return c->stack_size == 8 ? sp : c->stack_size == 4 ? (u32)sp : (u16)sp;
}

/* The linear address of size bytes at SS:sp, for a write or a read. */
static u64 stack_linear(struct cpu *c, u64 sp, unsigned size, enum seg_access a)
{
    return seg_linear(c, SS, stack_cut(c, sp), size, a);
}

/* A selector is pushed zero-extended to the operand size. */
void exec_push(struct cpu *c, const struct insn *i)
{
    const struct operand *o = &i->opnd[0];
    u64 v = o->kind == OPND_SREG ? c->s.seg[o->reg].sel : operand_read(c, i, 0);
    stack_push(c, i->opsize, v);
}

static void pop_sreg(struct cpu *c, const struct insn *i)
{
    enum seg_reg seg = (enum seg_reg)i->opnd[0].reg;
    u16 sel = (u16)stack_peek(c, i->opsize, 0);
    u8 width = c->stack_size;
    if (c->real || c->vm86)
        seg_load_real(c, seg, sel);
    else
        seg_load(c, seg, sel);
    /* POP SS: the stack pointer that moves is still the old stack's */
    u8 width_after = c->stack_size;
    c->stack_size = width;
    stack_add(c, i->opsize);
    c->stack_size = width_after;
    if (seg == SS)
        c->s.int_shadow = true;
}

/* The address of POP's memory operand is computed after RSP was raised. */
static void pop_mem(struct cpu *c, const struct insn *i)
{
    u64 v = stack_peek(c, i->opsize, 0), sp = c->s.gpr[RSP];
    stack_add(c, i->opsize);
    u64 ea = insn_ea(c, i), sp_after = c->s.gpr[RSP];
    c->s.gpr[RSP] = sp;
    mmu_write(c, seg_linear(c, (enum seg_reg)i->seg, ea, i->opsize, SEG_WRITE), i->opsize, v);
    c->s.gpr[RSP] = sp_after;
}

void exec_pop(struct cpu *c, const struct insn *i)
{
    const struct operand *o = &i->opnd[0];
    if (o->kind == OPND_GPR)
        gpr_write(c, o->reg, i->opsize, stack_pop(c, i->opsize));
    else if (o->kind == OPND_MEM)
        pop_mem(c, i);
    else
        pop_sreg(c, i);
}

void exec_pusha(struct cpu *c, const struct insn *i)
{
    unsigned size = i->opsize;
    u64 sp = c->s.gpr[RSP], lin[8];
    for (unsigned n = 0; n < 8; n++) {
        lin[n] = stack_linear(c, sp - (n + 1) * size, size, SEG_WRITE);
        mmu_probe_write(c, lin[n], size);
    }
    for (unsigned n = 0; n < 8; n++)
        mmu_write(c, lin[n], size, c->s.gpr[n]);
    stack_add(c, -8 * (s64)size);
}

void exec_popa(struct cpu *c, const struct insn *i)
{
    unsigned size = i->opsize;
    u64 v[8];
    for (unsigned n = 0; n < 8; n++)
        v[n] = stack_peek(c, size, n * size);
    for (unsigned n = 0; n < 8; n++) {
        if (7 - n != RSP)
            gpr_write(c, 7 - n, size, v[n]);
    }
    stack_add(c, 8 * (s64)size);
}

void exec_enter(struct cpu *c, const struct insn *i)
{
    unsigned size = i->opsize, level = i->imm2 & 31;
    u64 sp = c->s.gpr[RSP] - size, bp = c->s.gpr[RBP];
    mmu_write(c, stack_linear(c, sp, size, SEG_WRITE), size, bp);
    u64 frame = sp;
    for (unsigned n = 1; n < level; n++) {
        bp -= size;
        sp -= size;
        u64 v = mmu_read(c, stack_linear(c, bp, size, SEG_READ), size);
        mmu_write(c, stack_linear(c, sp, size, SEG_WRITE), size, v);
    }
    if (level) {
        sp -= size;
        mmu_write(c, stack_linear(c, sp, size, SEG_WRITE), size, frame);
    }
    sp -= (u16)i->imm;
    /* The new top of the stack must be writable. */
    mmu_probe_write(c, stack_linear(c, sp, size, SEG_WRITE), size);
    gpr_write(c, RBP, c->stack_size == 8 ? 8 : size, stack_cut(c, frame));
    gpr_write(c, RSP, c->stack_size, sp);
}

void exec_leave(struct cpu *c, const struct insn *i)
{
    unsigned size = i->opsize;
    u64 sp = c->s.gpr[RBP];
    u64 v = mmu_read(c, stack_linear(c, sp, size, SEG_READ), size);
    gpr_write(c, RSP, c->stack_size, sp + size);
    gpr_write(c, RBP, size, v);
}
