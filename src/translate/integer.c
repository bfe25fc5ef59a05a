/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything but control flow.
 *
 * The op table says where the operands of an instruction are and which are written, so most
 * instructions, vector and x87 ones included, take one way: fetch R10 and R11 if they are operands,
 * check the memory operand, write the instruction again, put R10 and R11 back.  What uses the
 * stack, has an address in no ModRM, or could make the host fault has a way of its own here; the
 * rest is the interpreter's.
 */
#include "translate/trans.h"

static bool spilled(u8 r)
{
    return r == S0 || r == S1;
}

static void slot_load(struct trans *t, u8 reg, u8 guest)
{
    emit_rm(t->e, X_MOV_LOAD | E_W, reg, mem_gs(GPR_OFF(guest)));
}

static void slot_store(struct trans *t, u8 reg, u8 guest)
{
    emit_rm(t->e, X_MOV_STORE | E_W, reg, mem_gs(GPR_OFF(guest)));
}

/* Does the host have to have the flags before this instruction? */
static bool wants_host_flags(const struct tinsn *ti)
{
    bool writes = ti->row->flags_written & FLAGS_ARITH;
    return ti->reads || (writes && (ti->live_out & ~ti->kills));
}

static void flags_after(struct trans *t, const struct tinsn *ti)
{
    if (ti->row->flags_written & FLAGS_ARITH)
        t->form = FORM_HOST;
}

/* ------------------------------------------------------------ the common way -- */

/* Spilled registers among the operands; bit 0 = S0, bit 1 = S1. */
static unsigned spilled_operands(const struct insn *i, const struct op_row *r, u8 access)
{
    unsigned mask = 0;

    for (unsigned n = 0; n < i->nops; n++)
        if (i->opnd[n].kind == OPND_GPR && spilled(i->opnd[n].reg) && r->access[n] & access)
            mask |= BIT(i->opnd[n].reg - S0);
    return mask;
}

/* Does operand n need its old value? */
static bool reads_operand(const struct tinsn *ti, unsigned n)
{
    return ti->row->access[n] & OPN_R || ti->i.opnd[n].size < 4;
}

/* A spilled register that ModRM.rm names is as good as memory, but that a 32-bit write clears the
 * upper half, and that the host does not forward smaller ones to the next read; and what ModRM.reg
 * gives to a plain operation can be had in ModRM.rm instead. */
static bool gen_slot_operand(struct trans *t, const struct tinsn *ti)
{
    const struct insn *i = &ti->i;
    struct insn turned = *i;
    u8 rm = (u8)((i->modrm & 7) | (i->rex & REX_B ? 8 : 0));
    u8 reg = (u8)((i->modrm >> 3 & 7) | (i->rex & REX_R ? 8 : 0));

    if (!i->has_modrm || i->modrm < 0xc0 || ti->row->unit != UNIT_none || i->nops < 2 || i->vex ||
        i->op == OP_xchg || i->op == OP_cmpxchg || i->op == OP_xadd)
        return false;
    for (unsigned n = 0; n < i->nops; n++)
        if (i->opnd[n].kind != OPND_GPR && i->opnd[n].kind != OPND_IMM)
            return false;
    if ((i->op == OP_bt || i->op == OP_bts || i->op == OP_btr || i->op == OP_btc) &&
        i->opnd[1].kind != OPND_IMM)
        return false;
    for (unsigned n = 0; n < i->nops; n++) {
        const struct operand *o = &i->opnd[n];
        if (o->kind != OPND_GPR || !spilled(o->reg))
            continue;
        if (ti->row->mode[n] == AM_E && !(ti->row->access[n] & OPN_W && o->size != 8)) {
            struct ememory m = mem_gs(GPR_OFF(rm));
            return (!spilled(reg) || i->opnd[1 - n].kind == OPND_IMM) &&
                   emit_insn(t->e, i, ti->raw, &m, NOREG);
        }
        if (ti->row->mode[n] == AM_G && !(ti->row->access[n] & OPN_W) && !spilled(rm) && !i->map &&
            o->size >= 4 && ((i->opcode & 0xc7) == 1 || i->opcode == 0x89)) {
            struct ememory m = mem_gs(GPR_OFF(reg));
            turned.opcode |= 2;
            return emit_insn(t->e, &turned, ti->raw, &m, rm);
        }
        return false;
    }
    return false;
}

static bool gen_registers(struct trans *t, struct tinsn *ti)
{
    unsigned used = spilled_operands(&ti->i, ti->row, OPN_R | OPN_W);
    unsigned set = spilled_operands(&ti->i, ti->row, OPN_W);

    if (wants_host_flags(ti))
        flags_load(t, S0);
    if (used && gen_slot_operand(t, ti)) {
        flags_after(t, ti);
        return true;
    }
    used = 0;
    for (unsigned n = 0; n < ti->i.nops; n++)
        if (ti->i.opnd[n].kind == OPND_GPR && spilled(ti->i.opnd[n].reg) && reads_operand(ti, n))
            used |= BIT(ti->i.opnd[n].reg - S0);
    for (u8 n = 0; n < 2; n++)
        if (used >> n & 1)
            slot_load(t, S0 + n, S0 + n);
    if (!emit_insn(t->e, &ti->i, ti->raw, NULL, NOREG))
        return false;
    for (u8 n = 0; n < 2; n++)
        if (set >> n & 1)
            slot_store(t, S0 + n, S0 + n);
    if (!used && !set)
        t->held = t->held_before;
    flags_after(t, ti);
    return true;
}

static const struct operand *memory_of(const struct insn *i, unsigned *n)
{
    for (*n = 0; *n < i->nops; ++*n)
        if (i->opnd[*n].kind == OPND_MEM)
            return &i->opnd[*n];
    return NULL;
}

/* AH to BH beside an address that needs REX: stored from S0; else exchanged with the low byte for
 * the while. */
static void emit_high_byte(struct trans *t, struct tinsn *ti, struct ememory m)
{
    struct insn low = ti->i;
    u8 r = ti->i.modrm >> 3 & 3;

    for (unsigned n = 0; n < low.nops; n++)
        if (low.opnd[n].kind == OPND_GPR8H)
            low.opnd[n].kind = OPND_GPR;
    if (low.op == OP_mov && low.opnd[0].kind == OPND_MEM) { /* a store: from S0 */
        if (m.index != NOREG) {
            emit_rm(t->e, X_LEA | E_W, S1, m);
            m = mem_at(S1, 0);
        }
        emit8(t->e, 0xc4); /* rorx S0d, r, 8 */
        emit8(t->e, 0x63);
        emit8(t->e, 0x7b);
        emit8(t->e, 0xf0);
        emit8(t->e, (u8)(0xc0 | (S0 & 7) << 3 | r));
        emit8(t->e, 8);
        emit_insn(t->e, &low, ti->raw, &m, S0);
        return;
    }
    emit8(t->e, 0x86);
    emit8(t->e, (u8)(0xc0 | r << 3 | (r + 4)));
    emit_insn(t->e, &low, ti->raw, &m, r);
    emit8(t->e, 0x86);
    emit8(t->e, (u8)(0xc0 | r << 3 | (r + 4)));
}

static bool gen_memory(struct trans *t, struct tinsn *ti)
{
    const struct insn *i = &ti->i;
    unsigned n, used = spilled_operands(i, ti->row, OPN_R | OPN_W), reg_op = 4;
    const struct operand *o = memory_of(i, &n);
    u8 reg = NOREG;

    if (!o || !o->size || o->size > 32 || !mem_supported(t, i) || used == 3)
        return false;
    if (i->op == OP_cmpxchg && i->opnd[1].kind == OPND_GPR8H && i->opnd[1].reg == RAX)
        return false; /* AL is in use as well */
    for (unsigned k = 0; k < i->nops; k++)
        if (i->opnd[k].kind == OPND_GPR && spilled(i->opnd[k].reg)) {
            if (ti->row->mode[k] != AM_G)
                return false;
            reg_op = k;
        }
    u8 align = ti->row->attr & OPA_ALIGN ? o->size - 1 : 0;
    if (i->op == OP_cmpxchg8b && o->size == 16) {
        if (!cpuid_has(t->sc->c.model, FEAT_cx16))
            return false;
        align = 15;
    }
    flags_keep_for(t, live_in(ti), SHARE_OPERAND);
    struct ememory m = mem_operand(t, o->size, ti->row->access[n] & OPN_W, align);
    bool load = wants_host_flags(ti);
    if (reg_op < 4 && !load && !reads_operand(ti, reg_op)) { /* S0 is free as a destination */
        if (!emit_insn(t->e, i, ti->raw, &m, S0))
            return false;
        slot_store(t, S0, i->opnd[reg_op].reg);
        share_stays(t, SHARE_OPERAND);
        flags_after(t, ti);
        return true;
    }
    if (reg_op == 4 && !load)
        share_stays(t, SHARE_OPERAND);
    if (reg_op < 4 || load) {
        emit_rm(t->e, X_LEA | E_W, S0, m);
        m = mem_at(S0, 0);
        if (load)
            flags_load(t, S1);
    }
    if (reg_op < 4) {
        slot_load(t, S1, i->opnd[reg_op].reg);
        reg = S1;
    }
    if (!emit_insn(t->e, i, ti->raw, &m, reg))
        emit_high_byte(t, ti, m);
    if (reg_op < 4 && ti->row->access[reg_op] & OPN_W)
        slot_store(t, S1, i->opnd[reg_op].reg);
    flags_after(t, ti);
    return true;
}

/* ------------------------------------------------------------ single cases -- */

static u32 width(const struct trans *t)
{
    return t->code64 ? E_W : 0;
}

static bool gen_lea(struct trans *t, struct tinsn *ti)
{
    const struct insn *i = &ti->i;
    u8 reg = i->opnd[0].reg;

    if (i->addrsize == 2 || i->opsize == 2)
        return false;
    mem_lea(t, i, spilled(reg) ? S0 : reg, i->opsize == 8);
    if (spilled(reg))
        slot_store(t, S0, reg);
    return true;
}

/* MOV with the address in the code. */
static bool gen_moffs(struct trans *t, struct tinsn *ti)
{
    const struct insn *i = &ti->i;
    bool store = ti->row->mode[0] == AM_O;
    unsigned size = i->opnd[0].size;
    u32 op = (size == 1 ? (store ? 0x88u : 0x8au)
              : store   ? 0x89u
                        : 0x8bu) |
             (size == 2   ? E_66
              : size == 8 ? E_W
                          : 0u);

    if (!mem_supported(t, i) || (t->code64 && i->seg >= FS && (s64)i->disp != (s32)i->disp))
        return false;
    flags_keep(t, live_in(ti));
    struct ememory m = mem_operand(t, size, store, 0);
    emit_rm(t->e, op, RAX, m);
    return true;
}

/* INC and DEC in one byte, which 64-bit code has not got. */
static void gen_incdec32(struct trans *t, struct tinsn *ti)
{
    if (wants_host_flags(ti))
        flags_load(t, S0);
    emit_rr(t->e, 0xff | (ti->i.opsize == 2 ? E_66 : 0), ti->i.op == OP_dec, ti->i.opnd[0].reg);
    flags_after(t, ti);
}

/* Leaves by the interpreter when the condition holds. */
static void otherwise(struct trans *t, unsigned cc)
{
    struct stub *s = stub_add(t, emit_jcc(t->e, cc), t->thunks->insn);
    s->insn = (u16)t->cur;
    t->vec_ready = false;
}

/* DIV and IDIV must not fault on the host: what may overflow goes to the interpreter. */
static bool gen_div(struct trans *t, struct tinsn *ti)
{
    struct emit *e = t->e;
    const struct operand *o = &ti->i.opnd[0];
    u32 w = o->size == 8 ? E_W : 0;

    if (o->size < 4)
        return false;
    flags_keep(t, live_in(ti));
    if (o->kind == OPND_MEM) {
        if (!mem_supported(t, &ti->i))
            return false;
        struct ememory m = mem_operand(t, o->size, false, 0);
        emit_rm(e, X_MOV_LOAD | w, S0, m);
    } else if (spilled(o->reg)) {
        emit_rm(e, X_MOV_LOAD | w, S0, mem_gs(GPR_OFF(o->reg)));
    } else {
        emit_rr(e, X_MOV_LOAD | w, S0, o->reg);
    }
    if (ti->i.op == OP_div) {
        emit_rr(e, X_CMP_LOAD | w, RDX, S0);
        otherwise(t, CC_AE);
        emit_rr(e, 0xf7 | w, 6, S0);
    } else {
        emit_rm(e, X_LEA | w, S1, mem_at(S0, 1));
        emit_alu_imm(e, 7, w, S1, 1);
        otherwise(t, CC_BE);
        emit_rr(e, X_MOV_LOAD | w, S1, RAX);
        emit_rr(e, 0xc1 | w, 7, S1); /* sar */
        emit8(e, w ? 63 : 31);
        emit_rr(e, X_CMP_LOAD | w, S1, RDX);
        otherwise(t, CC_NE);
        emit_rr(e, 0xf7 | w, 7, S0);
    }
    t->form = FORM_HOST;
    return true;
}

/* LODS, STOS and SCAS without a repeat prefix; backwards they are the interpreter's. */
static bool gen_string(struct trans *t, struct tinsn *ti)
{
    struct emit *e = t->e;
    const struct insn *i = &ti->i;
    bool lods = i->op == OP_lods, stos = i->op == OP_stos;
    u8 base = lods ? RSI : RDI;
    unsigned size = i->opnd[stos ? 1 : 0].size;
    u32 op = (lods ? 0x8bu : stos ? 0x89u : 0x3bu) - (size == 1);

    if (i->prefixes & (PFX_REP | PFX_REPNE | PFX_SEG) || i->addrsize != t->asize || !size)
        return false;
    flags_keep(t, live_in(ti));
    emit_rm(e, X_TEST_MI, 0, mem_gs((u32)offsetof(struct soft, c.s.rflags)));
    emit32(e, FLAG_DF);
    otherwise(t, CC_NE);
    struct ememory m = mem_stack(t, base, 0, size, stos);
    emit_rm(e, op | (size == 2 ? E_66 : size == 8 ? E_W : 0u), RAX, m);
    emit_rm(e, X_LEA | width(t), base, mem_at(base, (s32)size));
    t->form = lods || stos ? FORM_MEM : FORM_HOST;
    return true;
}

static void gen_cld(struct trans *t, struct tinsn *ti)
{
    flags_keep(t, live_in(ti));
    emit_alu_mem_imm(t->e, 4, false, mem_gs((u32)offsetof(struct soft, c.s.rflags)), ~FLAG_DF);
    t->form = FORM_MEM;
}

/* ------------------------------------------------------------ vector and x87 -- */

/* The guest's vector state must be in the host's units from here on. */
static void need_vec(struct trans *t, struct tinsn *ti)
{
    if (t->vec_ready)
        return;
    flags_keep(t, live_in(ti));
    u8 *retry = t->e->p;
    emit_rm(t->e, 0x80, 7, mem_gs(SOFT_OFF(vec_live)));
    emit8(t->e, 0);
    struct stub *s = stub_add(t, emit_jcc(t->e, CC_E), t->thunks->vec);
    s->insn = (u16)t->cur;
    s->retry = retry;
    t->form = FORM_MEM;
    t->vec_ready = true;
    t->held_before = 0;
}

static bool vec_allowed(const struct trans *t, const struct tinsn *ti)
{
    if (!(t->key & KEY_VEC) || (ti->i.vex && !(t->key & KEY_AVX)))
        return false;
    if (!(ti->row->attr & OPA_HOST) || ti->row->attr & OPA_VSIB)
        return false;
    for (unsigned n = 0; n < ti->i.nops; n++)
        if (ti->row->mode[n] == AM_DI)
            return false;
    switch (ti->i.op) {
    case OP_fldcw:
    case OP_fldenv:
    case OP_fnstenv:
    case OP_fnsave:
    case OP_frstor:
        return false;
    default:
        return true;
    }
}

static bool offered(const struct trans *t, const struct tinsn *ti)
{
    u16 f = ti->row->feature;
    return f == OP_ANY_CPU || cpuid_has(t->sc->c.model, f);
}

/* Instructions that the common way must not take. */
static bool special(const struct tinsn *ti)
{
    const struct insn *i = &ti->i;

    if (ti->row->attr & (OPA_CPL0 | OPA_IOPL | OPA_I64 | OPA_END | OPA_REP | OPA_REPZ))
        return true;
    if (ti->row->attr & OPA_FAULT && !(ti->row->attr & OPA_HOST) && i->op != OP_cmpxchg8b)
        return true;
    switch (i->op) {
    case OP_push:
    case OP_pop:
    case OP_pushf:
    case OP_popf:
    case OP_enter:
    case OP_leave:
    case OP_xlat:
    case OP_cld:
    case OP_std:
    case OP_clflush:
    case OP_clflushopt:
    case OP_clwb:
        return true;
    case OP_rdpid:
    case OP_rdrand:
    case OP_rdseed:
        return true;
    default:
        break;
    }
    for (unsigned n = 0; n < i->nops; n++) {
        u8 k = i->opnd[n].kind;
        if (k == OPND_SREG || k == OPND_CR || k == OPND_DR || k == OPND_STR_SRC ||
            k == OPND_STR_DST || k == OPND_FAR)
            return true;
    }
    return false;
}

bool gen_insn(struct trans *t, struct tinsn *ti)
{
    const struct insn *i = &ti->i;

    if (!offered(t, ti))
        return false;
    switch (i->op) {
    case OP_nop:
        return true;
    case OP_pause:
        emit8(t->e, 0xf3);
        emit8(t->e, 0x90);
        return true;
    case OP_push:
        return gen_push(t, ti);
    case OP_pop:
        return gen_pop(t, ti);
    case OP_leave:
        return gen_leave(t, ti);
    case OP_add:
    case OP_sub:
        if (gen_sp_add(t, ti))
            return true;
        break;
    case OP_lea:
        return gen_lea(t, ti);
    case OP_div:
    case OP_idiv:
        return gen_div(t, ti);
    case OP_cld:
        gen_cld(t, ti);
        return true;
    case OP_lods:
    case OP_stos:
    case OP_scas:
        return gen_string(t, ti);
    case OP_fwait:
        if (!(t->key & KEY_VEC))
            return false;
        need_vec(t, ti); /* with exceptions unmasked it is the interpreter's */
        return true;
    case OP_inc:
    case OP_dec:
        if (!t->code64 && !i->has_modrm) {
            gen_incdec32(t, ti);
            return true;
        }
        break;
    case OP_mov:
        if (i->has_mem && !i->has_modrm)
            return gen_moffs(t, ti);
        break;
    case OP_bt:
    case OP_bts:
    case OP_btr:
    case OP_btc:
        if (i->has_mem && i->opnd[1].kind != OPND_IMM)
            return gen_system(t, ti);
        break;
    case OP_cli:
    case OP_sti:
    case OP_swapgs:
    case OP_pushf:
    case OP_rdtsc:
    case OP_rdtscp:
    case OP_movsr:
        return gen_system(t, ti);
    default:
        break;
    }
    if (special(ti))
        return false;
    if (ti->row->unit != UNIT_none) {
        if (!vec_allowed(t, ti))
            return false;
        need_vec(t, ti);
    }
    return i->has_mem ? gen_memory(t, ti) : gen_registers(t, ti);
}
