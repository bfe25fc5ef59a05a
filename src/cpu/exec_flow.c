/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Near control flow: JMP, Jcc, LOOPcc, JCXZ, CALL, RET, and what does nothing (NOP, PAUSE, fences,
 * cache line flushes) or is undefined on purpose (UD0-UD2).  Far transfers: cpu/far.c.
 *
 * Near branches in 64-bit mode have a 64-bit operand size whatever 66h says.
 */
#include "cpu/operand.h"
#include "cpu/ops.h"

#include <sched.h>

void exec_jcc(struct cpu *c, const struct insn *i)
{
    if (flags_cond(c->s.rflags, i->opcode & 15))
        branch_near(c, i, c->next_rip + i->imm);
}

op_inline u64 branch_target(struct cpu *c, const struct insn *i)
{
    if (i->opnd[0].kind == OPND_REL)
        return c->next_rip + i->imm;
    return operand_read(c, i, 0);
}

void exec_jmp(struct cpu *c, const struct insn *i)
{
    branch_near(c, i, branch_target(c, i));
}

/* The target is checked before the return address is pushed, and the push may still fault: the
 * branch is taken last. */
void exec_call(struct cpu *c, const struct insn *i)
{
    u64 target = branch_target(c, i), ret = c->next_rip;
    branch_near(c, i, target);
    stack_push(c, i->opsize, ret);
}

void exec_ret(struct cpu *c, const struct insn *i)
{
    u64 target = stack_peek(c, i->opsize, 0);
    branch_near(c, i, target);
    stack_add(c, (s64)(i->opsize + (i->nops && i->opnd[0].kind == OPND_IMM ? (u16)i->imm : 0)));
}

static bool count_is_zero(const struct cpu *c, const struct insn *i)
{
    return gpr_read(c, RCX, i->addrsize) == 0;
}

/* The count is CX, ECX or RCX by the address size; it is written back only when the target is good.
 */
static void loop_if(struct cpu *c, const struct insn *i, bool cond)
{
    u64 n = gpr_read(c, RCX, i->addrsize) - 1;
    bool more = i->addrsize == 8 ? n != 0 : i->addrsize == 4 ? (u32)n != 0 : (u16)n != 0;
    if (more && cond)
        branch_near(c, i, c->next_rip + i->imm);
    gpr_write(c, RCX, i->addrsize, n);
}

void exec_loop(struct cpu *c, const struct insn *i)
{
    loop_if(c, i, true);
}

void exec_loope(struct cpu *c, const struct insn *i)
{
    loop_if(c, i, c->s.rflags & FLAG_ZF);
}

void exec_loopne(struct cpu *c, const struct insn *i)
{
    loop_if(c, i, !(c->s.rflags & FLAG_ZF));
}

void exec_jcxz(struct cpu *c, const struct insn *i)
{
    if (count_is_zero(c, i))
        branch_near(c, i, c->next_rip + i->imm);
}

/* ------------------------------------------------- no operation -- */

void exec_nop(struct cpu *c, const struct insn *i)
{
}

/* A guest that spins waits for another of its processors, which may be waiting for this host
 * thread's turn to end: now and then it gives way. */
void exec_pause(struct cpu *c, const struct insn *i)
{
    if (c->vm->ncpus > 1 && (++c->pauses & 63) == 0)
        sched_yield();
    else
        __builtin_ia32_pause();
}

/* The host's own fences, for the host's non-temporal stores too (MOVNTDQ and the like run as they
 * are). */
void exec_lfence(struct cpu *c, const struct insn *i)
{
    __asm__ volatile("lfence" ::: "memory");
}

void exec_sfence(struct cpu *c, const struct insn *i)
{
    __asm__ volatile("sfence" ::: "memory");
}

void exec_mfence(struct cpu *c, const struct insn *i)
{
    __asm__ volatile("mfence" ::: "memory");
}

/* A line flush faults as a one-byte read does; there is no cache to flush. */
static void touch_line(struct cpu *c, const struct insn *i)
{
    mem_op_read(c, i, 1);
}

void exec_clflush(struct cpu *c, const struct insn *i)
{
    touch_line(c, i);
}

void exec_clflushopt(struct cpu *c, const struct insn *i)
{
    touch_line(c, i);
}

void exec_clwb(struct cpu *c, const struct insn *i)
{
    touch_line(c, i);
}

void exec_ud0(struct cpu *c, const struct insn *i)
{
    cpu_ud(c);
}

void exec_ud1(struct cpu *c, const struct insn *i)
{
    cpu_ud(c);
}

void exec_ud2(struct cpu *c, const struct insn *i)
{
    cpu_ud(c);
}
