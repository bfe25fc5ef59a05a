/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The assembler.  An instruction is legacy prefixes, REX or VEX, opcode, ModRM, SIB, displacement,
 * immediate; everything here is a way to those parts.  Guest instructions are written again from
 * their decoded form, so that what they do stays the processor's own business: only prefixes that
 * mean something else in 64-bit code are left out, and the memory operand is exchanged.
 */
#include "translate/emit.h"

#include "base/err.h"

/* Prefixes and opcode; rxb: REX.R, X, B as in REX_*. */
static void emit_opcode(struct emit *e, u32 op, u8 rxb, bool need_rex)
{
    u8 rex = (u8)(rxb | (op & E_W ? REX_W : 0));

    if (op & E_66)
        emit8(e, 0x66);
    if (op & E_F3)
        emit8(e, 0xf3);
    if (op & E_F2)
        emit8(e, 0xf2);
    if (rex || need_rex)
        emit8(e, (u8)(REX | rex));
    switch (op >> 12 & 3) {
    case 1:
        emit8(e, 0x0f);
        break;
    case 2:
        emit8(e, 0x0f);
        emit8(e, 0x38);
        break;
    case 3:
        emit8(e, 0x0f);
        emit8(e, 0x3a);
        break;
    }
    emit8(e, (u8)op);
}

/* ModRM, SIB and displacement of a memory operand; REX bits are the caller's. */
static void emit_modrm_mem(struct emit *e, u8 reg, struct ememory m)
{
    u8 r = (u8)((reg & 7) << 3);
    unsigned mod;

    if (m.base == NOREG) {
        emit8(e, r | 4);
        emit8(e, (u8)(m.scale << 6 | (m.index == NOREG ? 4 : m.index & 7) << 3 | 5));
        emit32(e, (u32)m.disp);
        return;
    }
    if (!m.disp && (m.base & 7) != 5)
        mod = 0;
    else if (m.disp == (s8)m.disp)
        mod = 1;
    else
        mod = 2;
    if (m.index != NOREG || (m.base & 7) == 4) {
        emit8(e, (u8)(mod << 6 | r | 4));
        emit8(e, (u8)(m.scale << 6 | (m.index == NOREG ? 4 : m.index & 7) << 3 | (m.base & 7)));
    } else {
        emit8(e, (u8)(mod << 6 | r | (m.base & 7)));
    }
    if (mod == 1)
        emit8(e, (u8)m.disp);
    else if (mod == 2)
        emit32(e, (u32)m.disp);
}

static u8 rex_mem(u8 reg, struct ememory m)
{
    return (u8)((reg != NOREG && reg & 8 ? REX_R : 0) |
                (m.index != NOREG && m.index & 8 ? REX_X : 0) |
                (m.base != NOREG && m.base & 8 ? REX_B : 0));
}

void emit_rr(struct emit *e, u32 op, u8 reg, u8 rm)
{
    bool need_rex = op & E_B && ((reg >= 4 && reg < 8) || (rm >= 4 && rm < 8));

    emit_opcode(e, op, (u8)((reg & 8 ? REX_R : 0) | (rm & 8 ? REX_B : 0)), need_rex);
    emit8(e, (u8)(0xc0 | (reg & 7) << 3 | (rm & 7)));
}

void emit_rm(struct emit *e, u32 op, u8 reg, struct ememory m)
{
    if (m.gs)
        emit8(e, 0x65);
    emit_opcode(e, op, rex_mem(reg, m), op & E_B && reg >= 4 && reg < 8);
    emit_modrm_mem(e, reg, m);
}

void emit_mov_imm(struct emit *e, u8 reg, u64 v)
{
    if (v <= UINT32_MAX) {
        if (reg & 8)
            emit8(e, REX | REX_B);
        emit8(e, (u8)(0xb8 | (reg & 7)));
        emit32(e, (u32)v);
    } else if ((s64)v == (s32)v) {
        emit_rr(e, X_MOV_MI | E_W, 0, reg);
        emit32(e, (u32)v);
    } else {
        emit8(e, (u8)(REX | REX_W | (reg & 8 ? REX_B : 0)));
        emit8(e, (u8)(0xb8 | (reg & 7)));
        emit64(e, v);
    }
}

void emit_alu_imm(struct emit *e, unsigned op, bool wide, u8 reg, s32 imm)
{
    bool small = imm == (s8)imm;

    emit_rr(e, (small ? 0x83u : 0x81u) | (wide ? E_W : 0), (u8)op, reg);
    if (small)
        emit8(e, (u8)imm);
    else
        emit32(e, (u32)imm);
}

void emit_alu_mem_imm(struct emit *e, unsigned op, bool wide, struct ememory m, s32 imm)
{
    bool small = imm == (s8)imm;

    emit_rm(e, (small ? 0x83u : 0x81u) | (wide ? E_W : 0), (u8)op, m);
    if (small)
        emit8(e, (u8)imm);
    else
        emit32(e, (u32)imm);
}

/* -------------------------------------------------------------------- jumps -- */

u8 *emit_jmp(struct emit *e)
{
    emit8(e, 0xe9);
    emit32(e, 0);
    return e->p - 4;
}

u8 *emit_jcc(struct emit *e, unsigned cc)
{
    emit8(e, 0x0f);
    emit8(e, (u8)(0x80 | cc));
    emit32(e, 0);
    return e->p - 4;
}

void emit_patch(u8 *rel32, const u8 *to)
{
    le32_put(rel32, (u32)(to - (rel32 + 4)));
}

void emit_jmp_to(struct emit *e, const u8 *to)
{
    u8 *at = emit_jmp(e);
    emit_patch(at, to);
}

void emit_jcc_to(struct emit *e, unsigned cc, const u8 *to)
{
    u8 *at = emit_jcc(e, cc);
    emit_patch(at, to);
}

u8 *emit_jcc8(struct emit *e, unsigned cc)
{
    emit8(e, (u8)(0x70 | cc));
    emit8(e, 0);
    return e->p - 1;
}

void emit_here8(struct emit *e, u8 *rel8)
{
    s64 d = e->p - (rel8 + 1);
    BUG_ON(d != (s8)d);
    *rel8 = (u8)d;
}

u8 *emit_lea_rip(struct emit *e, u8 reg)
{
    emit8(e, (u8)(REX | REX_W | (reg & 8 ? REX_R : 0)));
    emit8(e, X_LEA);
    emit8(e, (u8)((reg & 7) << 3 | 5));
    emit32(e, 0);
    return e->p - 4;
}

/* --------------------------------------------- guest instructions, again -- */

static bool is_legacy_prefix(u8 b)
{
    switch (b) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
    case 0x66:
    case 0x67:
    case 0xf0:
    case 0xf2:
    case 0xf3:
        return true;
    default:
        return false;
    }
}

/* Bytes of SIB and displacement. */
static unsigned modrm_tail(const u8 *p, u8 addrsize)
{
    unsigned mod = *p >> 6, rm = *p & 7;

    if (mod == 3)
        return 0;
    if (addrsize == 2)
        return mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0;
    unsigned n = rm == 4;
    if (mod == 1)
        return n + 1;
    if (mod == 2 || rm == 5 || (rm == 4 && (p[1] & 7) == 5))
        return n + 4;
    return n;
}

void insn_split(struct insn_bytes *b, const struct insn *i, const u8 *raw)
{
    const u8 *p = raw;

    while (is_legacy_prefix(*p) || (i->mode == CODE64 && (*p & 0xf0) == REX))
        p++;
    if (i->vex) {
        p += *p == 0xc5 ? 2 : 3;
    } else if (*p == 0x0f) {
        p += i->map == 1 ? 1 : 2;
    }
    p++; /* opcode */
    if (i->has_modrm)
        p += 1 + modrm_tail(p, i->addrsize);
    b->imm = p;
    b->imm_len = (u8)(raw + i->len - p);
}

static bool uses_high_byte(const struct insn *i)
{
    for (unsigned n = 0; n < i->nops; n++)
        if (i->opnd[n].kind == OPND_GPR8H)
            return true;
    return false;
}

static void emit_vex(struct emit *e, const struct insn *i, const u8 *raw, u8 rxb)
{
    while (is_legacy_prefix(*raw) || (i->mode == CODE64 && (*raw & 0xf0) == REX))
        raw++; /* a REX that another prefix follows counts for nothing, but is there */
    unsigned pp = raw[*raw == 0xc5 ? 1 : 2] & 3;
    unsigned low = (~(unsigned)i->vex_v & 15) << 3 | (i->vex_l ? 4 : 0) | pp;

    emit8(e, 0xc4);
    emit8(e, (u8)((~(unsigned)rxb & 7) << 5 | i->map));
    emit8(e, (u8)((i->rex & REX_W ? 0x80 : 0) | low));
}

bool emit_insn(struct emit *e, const struct insn *i, const u8 *raw, const struct ememory *m, u8 reg)
{
    struct insn_bytes b;
    u8 r = reg != NOREG ? reg : (u8)((i->modrm >> 3 & 7) | (i->rex & REX_R ? 8 : 0));
    u8 rxb;

    insn_split(&b, i, raw);
    if (m)
        rxb = rex_mem(r, *m);
    else
        rxb = (u8)((r & 8 ? REX_R : 0) | (i->rex & (REX_X | REX_B)));
    if (i->vex) {
        if (m && m->gs)
            emit8(e, 0x65);
        emit_vex(e, i, raw, rxb);
        emit8(e, i->opcode);
    } else {
        u8 rex = (u8)(rxb | (i->rex & REX_W));
        bool need = rex || (i->rex & REX) != 0;

        if (need && uses_high_byte(i))
            return false;
        if (m && m->gs)
            emit8(e, 0x65);
        if (i->prefixes & PFX_LOCK)
            emit8(e, 0xf0);
        u32 op = i->opcode | (u32)i->map << 12;
        if (i->prefixes & PFX_66)
            op |= E_66;
        if (i->map && i->prefixes & PFX_F3)
            op |= E_F3;
        else if (i->map && i->prefixes & PFX_F2)
            op |= E_F2;
        if (rex & REX_W)
            op |= E_W;
        emit_opcode(e, op, rex & (REX_R | REX_X | REX_B), need);
    }
    if (i->has_modrm) {
        if (m)
            emit_modrm_mem(e, r, *m);
        else
            emit8(e, (u8)((i->modrm & 0xc7) | (r & 7) << 3));
    }
    if (i->vex && b.imm_len == 1)
        emit8(e,
              (u8)i->imm); /* where it names a register, without the bit that 32-bit code ignores */
    else
        for (unsigned n = 0; n < b.imm_len; n++)
            emit8(e, b.imm[n]);
    return true;
}
