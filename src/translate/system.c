/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions that kernels use all the time and that would be a pity to interpret: CLI, STI,
 * PUSHF, SWAPGS, RDTSC, reading segment registers, bit tests with a register in memory.
 *
 * Interrupts and STI: while IF is clear a raised interrupt waits in vcpu.events.  STI looks there;
 * if anything waits, the interpreter does the STI with all that belongs to it.  If nothing does, IF
 * is set and the block goes on: what comes later kicks, and is seen at a jump, which is not before
 * the instruction after STI has run.
 */
#include "translate/trans.h"

static struct ememory mem_rflags(void)
{
    return mem_gs((u32)offsetof(struct soft, c.s.rflags));
}

/* A kernel in ring 3 (cpu/ring3.h) has a supervisor's memory, not its instructions. */
static bool is_ring0(const struct trans *t)
{
    return !(t->key & KEY_USER) && !t->sc->c.vm->pv.ring3;
}

static void to_interpreter(struct trans *t, unsigned cc)
{
    struct stub *s = stub_add(t, emit_jcc(t->e, cc), t->thunks->insn);
    s->insn = (u16)t->cur;
    t->vec_ready = false;
}

static void gen_cli(struct trans *t, struct tinsn *ti)
{
    flags_keep(t, live_in(ti));
    emit_alu_mem_imm(t->e, 4, false, mem_rflags(), ~FLAG_IF);
    t->form = FORM_MEM;
}

static void gen_sti(struct trans *t, struct tinsn *ti)
{
    struct emit *e = t->e;

    flags_keep(t, live_in(ti));
    emit_rm(e, X_MOV_LOAD | E_W, S0, mem_gs((u32)offsetof(struct soft, c.vcpu)));
    emit_alu_mem_imm(e, 7, false, mem_at(S0, (s32)offsetof(struct vcpu, events)), 0);
    to_interpreter(t, CC_NE);
    emit_alu_mem_imm(e, 1, false, mem_rflags(), FLAG_IF);
    t->form = FORM_MEM;
}

/* RFLAGS as PUSHF shows them, put together from soft.flags and the rest. */
static bool gen_pushf(struct trans *t, struct tinsn *ti)
{
    struct emit *e = t->e;

    if (ti->i.opsize != t->asize)
        return false;
    flags_keep(t, FLAGS_ARITH);
    emit_rm(e, X_MOV_LOAD, S0, mem_gs(SOFT_OFF(flags)));
    emit_rr(e, X_MOV_LOAD, S1, S0);
    emit_rr(e, 0xc1, 5, S0); /* shr 8 */
    emit8(e, 8);
    emit_alu_imm(e, 4, false, S0, FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF | FLAG_CF);
    emit_alu_imm(e, 4, false, S1, 1);
    emit_rr(e, 0xc1, 4, S1); /* shl 11 */
    emit8(e, 11);
    emit_rr(e, 0x0b, S0, S1);
    emit_rm(e, X_MOV_LOAD, S1, mem_rflags());
    emit_alu_imm(e, 4, false, S1, (s32) ~(u32)(FLAGS_ARITH | FLAG_VM | FLAG_RF));
    emit_rr(e, 0x0b, S0, S1);
    emit_rm(e, X_MOV_STORE | E_W, S0, mem_gs(SOFT_OFF(tmp)));
    t->form = FORM_MEM;
    struct ememory m = mem_stack(t, RSP, -(s32)t->asize, t->asize, true);
    emit_rm(e, X_LEA | E_W, S0, m);
    emit_rm(e, X_MOV_LOAD | E_W, S1, mem_gs(SOFT_OFF(tmp)));
    emit_rm(e, X_MOV_STORE | (t->code64 ? E_W : 0), S1, mem_at(S0, 0));
    emit_rm(e, X_LEA | (t->code64 ? E_W : 0), RSP, mem_at(RSP, -(s32)t->asize));
    return true;
}

static void gen_swapgs(struct trans *t)
{
    struct emit *e = t->e;
    u32 base = (u32)offsetof(struct soft, c.s.seg[GS].base);
    u32 other = (u32)offsetof(struct soft, c.s.kernel_gs_base);

    emit_rm(e, X_MOV_LOAD | E_W, S0, mem_gs(base));
    emit_rm(e, X_MOV_LOAD | E_W, S1, mem_gs(other));
    emit_rm(e, X_MOV_STORE | E_W, S1, mem_gs(base));
    emit_rm(e, X_MOV_STORE | E_W, S0, mem_gs(other));
}

static void gen_rdtsc(struct trans *t, struct tinsn *ti)
{
    struct emit *e = t->e;

    flags_keep(t, live_in(ti));
    if (!is_ring0(t)) {
        emit_rm(e, X_TEST_MI, 0, mem_gs((u32)offsetof(struct soft, c.s.cr4)));
        emit32(e, CR4_TSD);
        to_interpreter(t, CC_NE);
    }
    if (ti->i.op == OP_rdtscp) {
        emit8(e, 0x0f); /* lfence */
        emit8(e, 0xae);
        emit8(e, 0xe8);
    }
    emit8(e, 0x0f);
    emit8(e, 0x31);
    emit_rr(e, 0xc1 | E_W, 4, RDX);
    emit8(e, 32);
    emit_rr(e, 0x0b | E_W, RAX, RDX);
    emit_rm(e, X_ADD_LOAD | E_W, RAX, mem_gs(SOFT_OFF(tsc_offset)));
    emit_rr(e, X_MOV_LOAD | E_W, RDX, RAX);
    emit_rr(e, 0xc1 | E_W, 5, RDX);
    emit8(e, 32);
    emit_rr(e, X_MOV_LOAD, RAX, RAX);
    if (ti->i.op == OP_rdtscp)
        emit_rm(e, X_MOV_LOAD, RCX, mem_gs((u32)offsetof(struct soft, c.s.tsc_aux)));
    t->form = FORM_MEM;
}

/* MOV from a segment register to a general one. */
static bool gen_movsr(struct trans *t, struct tinsn *ti)
{
    const struct operand *to = &ti->i.opnd[0], *from = &ti->i.opnd[1];

    if (to->kind != OPND_GPR || from->kind != OPND_SREG || to->reg == S0 || to->reg == S1)
        return false;
    bool word = to->size == 2;
    emit_rm(t->e, X_MOVZX16, word ? S0 : to->reg,
            mem_gs((u32)offsetof(struct soft, c.s.seg[0].sel) +
                   from->reg * (u32)sizeof(struct segment)));
    if (word) /* the rest of the register stays */
        emit_rr(t->e, X_MOV_LOAD | E_66, to->reg, S0);
    return true;
}

/* BT, BTS, BTR, BTC of a bit string in memory: the register's high bits choose the word. */
static bool gen_bit_string(struct trans *t, struct tinsn *ti)
{
    struct emit *e = t->e;
    const struct insn *i = &ti->i;
    const struct operand *bit = &i->opnd[1];
    unsigned size = i->opnd[0].size;
    u32 w = size == 8 ? E_W : 0;

    if (size < 4 || bit->reg == S0 || bit->reg == S1 || !mem_supported(t, i) || i->seg >= FS ||
        (ti->live_out & ~ti->kills))
        return false;
    flags_keep(t, live_in(ti));
    u8 *retry = e->p;
    mem_lea(t, i, S0, t->code64);
    if (w)
        emit_rr(e, X_MOV_LOAD | E_W, S1, bit->reg);
    else
        emit_rr(e, 0x63 | E_W, S1, bit->reg); /* movsxd */
    emit_rr(e, 0xc1 | E_W, 7, S1);            /* sar 3 */
    emit8(e, 3);
    emit_alu_imm(e, 4, true, S1, -(s32)size);
    emit_rr(e, X_ADD_LOAD | (t->code64 ? E_W : 0), S0, S1);
    struct ememory m = mem_check(t, retry, size, i->op != OP_bt, 0);
    emit_rm(e, X_LEA | E_W, S0, m);
    emit_rr(e, X_MOV_LOAD, S1, bit->reg);
    emit_alu_imm(e, 4, false, S1, (s32)size * 8 - 1);
    m = mem_at(S0, 0);
    emit_insn(e, i, ti->raw, &m, S1);
    t->form = FORM_HOST;
    return true;
}

bool gen_system(struct trans *t, struct tinsn *ti)
{
    bool kernel = is_ring0(t);

    if (t->sc->lockstep)
        return false;
    switch (ti->i.op) {
    case OP_cli:
        if (kernel)
            gen_cli(t, ti);
        return kernel;
    case OP_sti:
        if (kernel)
            gen_sti(t, ti);
        return kernel;
    case OP_swapgs:
        if (kernel)
            gen_swapgs(t);
        return kernel;
    case OP_pushf:
        return gen_pushf(t, ti);
    case OP_rdtsc:
    case OP_rdtscp:
        gen_rdtsc(t, ti);
        return true;
    case OP_movsr:
        return gen_movsr(t, ti);
    case OP_bt:
    case OP_bts:
    case OP_btr:
    case OP_btc:
        return gen_bit_string(t, ti);
    default:
        return false;
    }
}
