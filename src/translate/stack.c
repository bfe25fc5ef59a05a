/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pushes, pops, and the stack pointer.
 *
 * RSP need not be exact between instructions that neither use it nor can leave the block: pushes
 * and pops whose check was made before (share.c), additions of constants whose flags nobody wants,
 * moves and plain arithmetic.  What they owe it is added in one go before the next instruction of
 * another kind.
 */
#include "translate/trans.h"

static bool spilled(u8 r)
{
    return r == S0 || r == S1;
}

static u32 width(const struct trans *t)
{
    return t->code64 ? E_W : 0;
}

static void slot_load(struct trans *t, u8 reg, u8 guest)
{
    emit_rm(t->e, X_MOV_LOAD | E_W, reg, mem_gs(GPR_OFF(guest)));
}

static void slot_store(struct trans *t, u8 reg, u8 guest)
{
    emit_rm(t->e, X_MOV_STORE | E_W, reg, mem_gs(GPR_OFF(guest)));
}

/* ------------------------------------------------------------ RSP -- */

/* ADD and SUB of a constant to RSP. */
static bool adds_to_sp(const struct trans *t, const struct tinsn *ti)
{
    const struct operand *o = &ti->i.opnd[0];

    return (ti->i.op == OP_add || ti->i.op == OP_sub) && o->kind == OPND_GPR && o->reg == RSP &&
           o->size == t->asize && ti->i.opnd[1].kind == OPND_IMM &&
           (s64)ti->i.imm == (s16)ti->i.imm && !(ti->live_out & ti->row->flags_written);
}

bool sp_defers(struct trans *t, const struct tinsn *ti)
{
    const struct insn *i = &ti->i;

    switch (i->op) {
    case OP_push:
    case OP_pop:
    case OP_call:
    case OP_ret:
        if (i->has_mem || !share_ready(t, SHARE_STACK))
            return false;
        break;
    case OP_add:
    case OP_sub:
        if (adds_to_sp(t, ti))
            return true;
        break;
    case OP_mov:
    case OP_movzx:
    case OP_movsx:
    case OP_movsxd:
    case OP_and:
    case OP_or:
    case OP_xor:
    case OP_cmp:
    case OP_test:
    case OP_inc:
    case OP_dec:
        break;
    default:
        return false;
    }
    if (i->has_mem && (i->base != RSP || !share_ready(t, SHARE_OPERAND)))
        return false;
    for (unsigned n = 0; n < i->nops; n++)
        if (i->opnd[n].kind != OPND_IMM && i->opnd[n].kind != OPND_REL &&
            i->opnd[n].kind != OPND_MEM && (i->opnd[n].kind != OPND_GPR || i->opnd[n].reg == RSP))
            return false;
    return true;
}

void sp_settle(struct trans *t)
{
    if (t->sp_owed)
        emit_rm(t->e, X_LEA | width(t), RSP, mem_at(RSP, t->sp_owed));
    t->sp_owed = 0;
}

/* After the push or pop in hand.  When its own check fails, the interpreter does all of it and
 * comes back behind it, so nothing may be owed for it then. */
static void sp_move(struct trans *t, s32 by)
{
    t->sp_owed += by;
    if (!share_ready(t, SHARE_STACK))
        sp_settle(t);
}

bool gen_sp_add(struct trans *t, const struct tinsn *ti)
{
    if (!adds_to_sp(t, ti))
        return false;
    t->sp_owed += ti->i.op == OP_add ? (s32)ti->i.imm : -(s32)ti->i.imm;
    return true;
}

/* ------------------------------------------------------------ instructions -- */

bool gen_push(struct trans *t, struct tinsn *ti)
{
    struct emit *e = t->e;
    const struct operand *o = &ti->i.opnd[0];

    if (ti->i.opsize != t->asize)
        return false;
    switch (o->kind) {
    case OPND_GPR: {
        flags_keep_for(t, live_in(ti), SHARE_STACK);
        struct ememory m = mem_stack(t, RSP, -(s32)t->asize, t->asize, true);
        if (spilled(o->reg)) {
            emit_rm(e, X_LEA | E_W, S0, m);
            slot_load(t, S1, o->reg);
            emit_rm(e, X_MOV_STORE | width(t), S1, mem_at(S0, 0));
        } else {
            emit_rm(e, X_MOV_STORE | width(t), o->reg, m);
            share_stays(t, SHARE_STACK);
        }
        break;
    }
    case OPND_IMM: {
        flags_keep_for(t, live_in(ti), SHARE_STACK);
        struct ememory m = mem_stack(t, RSP, -(s32)t->asize, t->asize, true);
        emit_rm(e, X_MOV_MI | width(t), 0, m);
        emit32(e, (u32)ti->i.imm);
        break;
    }
    case OPND_MEM: {
        if (!mem_supported(t, &ti->i))
            return false;
        flags_keep(t, live_in(ti));
        struct ememory m = mem_operand(t, t->asize, false, 0);
        emit_rm(e, X_MOV_LOAD | width(t), S0, m);
        emit_rm(e, X_MOV_STORE | E_W, S0, mem_gs(SOFT_OFF(tmp)));
        m = mem_stack(t, RSP, -(s32)t->asize, t->asize, true);
        emit_rm(e, X_LEA | E_W, S0, m);
        emit_rm(e, X_MOV_LOAD | E_W, S1, mem_gs(SOFT_OFF(tmp)));
        emit_rm(e, X_MOV_STORE | width(t), S1, mem_at(S0, 0));
        break;
    }
    default:
        return false;
    }
    sp_move(t, -(s32)t->asize);
    return true;
}

bool gen_pop(struct trans *t, struct tinsn *ti)
{
    const struct operand *o = &ti->i.opnd[0];

    if (ti->i.opsize != t->asize || o->kind != OPND_GPR)
        return false;
    flags_keep_for(t, live_in(ti), SHARE_STACK);
    struct ememory m = mem_stack(t, RSP, 0, t->asize, false);
    u8 to = spilled(o->reg) ? S0 : o->reg;
    emit_rm(t->e, X_MOV_LOAD | width(t), to, m);
    if (spilled(o->reg))
        slot_store(t, S0, o->reg);
    share_stays(t, SHARE_STACK);
    if (o->reg != RSP)
        sp_move(t, (s32)t->asize);
    return true;
}

bool gen_leave(struct trans *t, struct tinsn *ti)
{
    if (ti->i.opsize != t->asize)
        return false;
    flags_keep(t, live_in(ti));
    struct ememory m = mem_stack(t, RBP, 0, t->asize, false);
    emit_rm(t->e, X_LEA | width(t), RSP, mem_at(RBP, (s32)t->asize));
    emit_rm(t->e, X_MOV_LOAD | width(t), RBP, m);
    return true;
}

void gen_push_return(struct trans *t, u64 rip)
{
    struct emit *e = t->e;
    struct ememory m = mem_stack(t, RSP, -(s32)t->asize, t->asize, true);

    if (!t->code64 || (s64)rip == (s32)rip) {
        emit_rm(e, X_MOV_MI | width(t), 0, m);
        emit32(e, (u32)rip);
    } else {
        emit_rm(e, X_LEA | E_W, S0, m);
        emit_mov_imm(e, S1, rip);
        emit_rm(e, X_MOV_STORE | E_W, S1, mem_at(S0, 0));
    }
    sp_move(t, -(s32)t->asize);
}
