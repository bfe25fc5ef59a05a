/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moving data: MOV, MOVZX, MOVSX, XCHG, LEA, CMOVcc, SETcc, BSWAP, MOVBE, XLAT, the sign extensions
 * of the accumulator, far pointer loads, BOUND, ARPL, and random numbers.  SDM volume 2.
 */
#include "cpu/operand.h"
#include "cpu/ops.h"

#include <sys/random.h>

void exec_mov(struct cpu *c, const struct insn *i)
{
    operand_write(c, i, 0, operand_read(c, i, 1));
}

void exec_movzx(struct cpu *c, const struct insn *i)
{
    reg_write(c, &i->opnd[0], operand_read(c, i, 1));
}

op_inline u64 sign_extend(u64 v, unsigned size)
{
    switch (size) {
    case 1:
        return (u64)(s64)(s8)v;
    case 2:
        return (u64)(s64)(s16)v;
    case 4:
        return (u64)(s64)(s32)v;
    default:
        return v;
    }
}

void exec_movsx(struct cpu *c, const struct insn *i)
{
    reg_write(c, &i->opnd[0], sign_extend(operand_read(c, i, 1), i->opnd[1].size));
}

/* With a 16- or 32-bit operand size it is a plain MOV. */
void exec_movsxd(struct cpu *c, const struct insn *i)
{
    reg_write(c, &i->opnd[0], sign_extend(operand_read(c, i, 1), i->opnd[1].size));
}

static u64 exchange(void *p, u64 v, unsigned size)
{
    switch (size) {
    case 8:
        return __atomic_exchange_n((u64 *)p, v, __ATOMIC_SEQ_CST);
    case 4:
        return __atomic_exchange_n((u32 *)p, (u32)v, __ATOMIC_SEQ_CST);
    case 2:
        return __atomic_exchange_n((u16 *)p, (u16)v, __ATOMIC_SEQ_CST);
    default:
        return __atomic_exchange_n((u8 *)p, (u8)v, __ATOMIC_SEQ_CST);
    }
}

/* With memory it is locked whether or not the prefix is there.  Either operand may be the memory
 * one, as the table lists them. */
void exec_xchg(struct cpu *c, const struct insn *i)
{
    const struct operand *a = &i->opnd[0], *b = &i->opnd[1];
    if (b->kind == OPND_MEM) {
        a = &i->opnd[1];
        b = &i->opnd[0];
    }
    u64 vb = reg_read(c, b);
    if (a->kind == OPND_MEM) {
        struct rmw r;
        rmw_begin(c, i, &r, a->size, true);
        u64 old = exchange(r.p, vb, a->size);
        rmw_end(c, &r, a->size);
        reg_write(c, b, old);
        return;
    }
    u64 va = reg_read(c, a);
    reg_write(c, a, vb);
    reg_write(c, b, va);
}

void exec_lea(struct cpu *c, const struct insn *i)
{
    reg_write(c, &i->opnd[0], insn_ea(c, i));
}

/* The source is read, and may fault, whatever the condition; a 32-bit destination is
 * zero-extended whatever the condition. */
void exec_cmovcc(struct cpu *c, const struct insn *i)
{
    u64 v = operand_read(c, i, 1);
    if (!flags_cond(c->s.rflags, i->opcode & 15))
        v = reg_read(c, &i->opnd[0]);
    reg_write(c, &i->opnd[0], v);
}

void exec_setcc(struct cpu *c, const struct insn *i)
{
    operand_write(c, i, 0, flags_cond(c->s.rflags, i->opcode & 15));
}

static u64 byte_swap(u64 v, unsigned size)
{
    switch (size) {
    case 8:
        return __builtin_bswap64(v);
    case 4:
        return __builtin_bswap32((u32)v);
    default:
        return __builtin_bswap16((u16)v);
    }
}

/* Undefined with a 16-bit operand; processors clear the register's low half. */
void exec_bswap(struct cpu *c, const struct insn *i)
{
    const struct operand *o = &i->opnd[0];
    reg_write(c, o, o->size == 2 ? 0 : byte_swap(reg_read(c, o), o->size));
}

void exec_movbe(struct cpu *c, const struct insn *i)
{
    operand_write(c, i, 0, byte_swap(operand_read(c, i, 1), i->opnd[0].size));
}

void exec_xlat(struct cpu *c, const struct insn *i)
{
    u64 off = c->s.gpr[RBX] + (u8)c->s.gpr[RAX];
    off = i->addrsize == 8 ? off : i->addrsize == 4 ? (u32)off : (u16)off;
    enum seg_reg seg = i->prefixes & PFX_SEG ? (enum seg_reg)i->seg : DS;
    gpr_write(c, RAX, 1, mmu_read(c, seg_linear(c, seg, off, 1, SEG_READ), 1));
}

/* CBW, CWDE, CDQE */
void exec_cbw(struct cpu *c, const struct insn *i)
{
    gpr_write(c, RAX, i->opsize, sign_extend(c->s.gpr[RAX], i->opsize / 2));
}

/* CWD, CDQ, CQO */
void exec_cwd(struct cpu *c, const struct insn *i)
{
    u64 v = sign_extend(gpr_read(c, RAX, i->opsize), i->opsize);
    gpr_write(c, RDX, i->opsize, (s64)v < 0 ? UINT64_MAX : 0);
}

/* ------------------------------------------------- far pointers -- */

static void load_far(struct cpu *c, const struct insn *i, enum seg_reg seg)
{
    unsigned size = i->opsize;
    u64 lin = mem_linear(c, i, size + 2, SEG_READ);
    u64 off = mmu_read(c, lin, size);
    u16 sel = (u16)mmu_read(c, lin + size, 2);
    if (c->real || c->vm86)
        seg_load_real(c, seg, sel);
    else
        seg_load(c, seg, sel);
    gpr_write(c, i->opnd[0].reg, size, off);
}

void exec_lds(struct cpu *c, const struct insn *i)
{
    load_far(c, i, DS);
}

void exec_les(struct cpu *c, const struct insn *i)
{
    load_far(c, i, ES);
}

void exec_lss(struct cpu *c, const struct insn *i)
{
    load_far(c, i, SS);
}

void exec_lfs(struct cpu *c, const struct insn *i)
{
    load_far(c, i, FS);
}

void exec_lgs(struct cpu *c, const struct insn *i)
{
    load_far(c, i, GS);
}

/* ------------------------------------------------------ the rest -- */

void exec_bound(struct cpu *c, const struct insn *i)
{
    unsigned size = i->opsize;
    u64 lin = mem_linear(c, i, size * 2, SEG_READ);
    s64 low = (s64)sign_extend(mmu_read(c, lin, size), size);
    s64 high = (s64)sign_extend(mmu_read(c, lin + size, size), size);
    s64 v = (s64)sign_extend(reg_read(c, &i->opnd[0]), size);
    if (v < low || v > high)
        cpu_raise(c, EXC_BR, NO_ERROR_CODE);
}

/* Raises the requested privilege level of a selector to another's; protected mode only. */
void exec_arpl(struct cpu *c, const struct insn *i)
{
    if (c->real || c->vm86)
        cpu_ud(c);
    u16 rpl = (u16)reg_read(c, &i->opnd[1]) & 3;
    u16 sel = (u16)operand_read(c, i, 0);
    bool raise = (sel & 3) < rpl;
    if (raise)
        operand_write(c, i, 0, (sel & ~3) | rpl);
    c->s.rflags = (c->s.rflags & ~(u64)FLAG_ZF) | (raise ? FLAG_ZF : 0);
}

/* CF = 1: a number was there; the other arithmetic flags are cleared. */
static void random_number(struct cpu *c, const struct insn *i)
{
    u64 v = 0;
    bool ok = getrandom(&v, sizeof(v), GRND_NONBLOCK) == (ssize_t)sizeof(v);
    c->s.rflags = (c->s.rflags & ~(u64)FLAGS_ARITH) | (ok ? FLAG_CF : 0);
    reg_write(c, &i->opnd[0], ok ? v : 0);
}

void exec_rdrand(struct cpu *c, const struct insn *i)
{
    random_number(c, i);
}

void exec_rdseed(struct cpu *c, const struct insn *i)
{
    random_number(c, i);
}
