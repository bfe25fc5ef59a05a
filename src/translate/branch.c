/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control flow: jumps, calls, returns, and the ways out of a block.
 *
 * A direct jump goes to a stub at first; its helper finds or makes the target and writes the real
 * displacement over the jump.  Inside the page that is all.  To another page the jump compares
 * what stands in cpu.code_map for the target's virtual page with the cpage that it was linked to: a
 * changed mapping, or one that was flushed, goes to the stub again.
 *
 * An indirect jump or return looks the target up in soft.jumps by its low bits and goes to
 * CHECK_BYTES before the target's entry, where the target itself checks its page in the same way.
 *
 * Every loop has a jump backwards or an indirect one: these look at soft.kick.
 */
#include "translate/trans.h"

#include <string.h>

struct stub *stub_add(struct trans *t, u8 *from, const u8 *thunk)
{
    BUG_ON(t->nstubs == STUBS_MAX);
    struct stub *s = &t->stubs[t->nstubs++];
    *s = (struct stub){.from = from, .thunk = thunk, .insn = TRANS_EXIT};
    return s;
}

static bool same_page(const struct trans *t, u64 target)
{
    return target - t->page_rip < PAGE_SIZE;
}

/* Points the jump at an existing block, or makes a stub for it. */
static void link_same_page(struct trans *t, u8 *rel32, u64 target)
{
    struct soft *sc = t->sc;
    u16 off = (u16)(target - t->page_rip);

    if (off == sc->blocks[t->block].off && !t->plain) {
        emit_patch(rel32, t->entry);
        return;
    }
    const struct block *b = block_find(sc, t->cpage, off);
    if (b && !sc->lockstep) {
        emit_patch(rel32, sc->rw + b->entry);
        return;
    }
    struct stub *s = stub_add(t, rel32, t->thunks->link);
    s->patch = rel32;
    s->rip = target;
}

static void check_kick(struct trans *t, u64 rip)
{
    emit_alu_mem_imm(t->e, 7, false, mem_gs(SOFT_OFF(kick)), 0);
    struct stub *s = stub_add(t, emit_jcc(t->e, CC_NE), t->thunks->leave);
    s->rip = rip;
}

u32 code_map_off(u64 rip)
{
    return SOFT_OFF(c.code_map.page) + 4 * code_map_index(rip);
}

void exit_direct(struct trans *t, u64 target)
{
    struct emit *e = t->e;

    if (same_page(t, target) && target <= t->insns[t->cur].rip) {
        const struct tinsn *to = insn_at(t, target);
        emit_alu_mem_imm(e, 7, false, mem_gs(SOFT_OFF(kick)), 0);
        if (to && to <= &t->insns[t->cur])
            emit_jcc_to(e, CC_E, to->host);
        else
            link_same_page(t, emit_jcc(e, CC_E), target);
        struct stub *kicked = stub_add(t, emit_jmp(e), t->thunks->leave);
        kicked->rip = target;
        return;
    }
    if (same_page(t, target)) {
        link_same_page(t, emit_jmp(e), target);
        return;
    }
    if (target <= t->insns[t->cur].rip)
        check_kick(t, target);
    /* cmp dword gs:[code_map], cpage; the number is not known yet */
    emit_rm(e, 0x81, 7, mem_gs(code_map_off(target)));
    u8 *check = e->p;
    emit32(e, UINT32_MAX);
    u8 *miss = emit_jcc(e, CC_NE), *jmp = emit_jmp(e);
    emit_patch(jmp, e->p);
    struct stub *s = stub_add(t, miss, t->thunks->link);
    s->rip = target;
    s->patch = jmp;
    s->check = check;
}

void exit_indirect(struct trans *t)
{
    struct soft *sc = t->sc;
    struct emit *e = t->e;
    u32 jumps = SOFT_OFF(jumps) + sc->c.mmu_idx * (u32)sizeof(sc->jumps[0]);

    emit_rr(e, X_MOV_LOAD, S1, S0);
    emit_alu_imm(e, 4, false, S1, JUMPS_SIZE - 1);
    emit_rr(e, 0xc1, 4, S1); /* shl 4 */
    emit8(e, 4);
    emit_rm(e, X_CMP_LOAD | E_W, S0,
            mem_gs_index(S1, jumps + (u32)offsetof(struct jump_entry, rip)));
    stub_add(t, emit_jcc(e, CC_NE), t->thunks->jump);
    emit_alu_mem_imm(e, 7, false, mem_gs(SOFT_OFF(kick)), 0);
    stub_add(t, emit_jcc(e, CC_NE), t->thunks->jump);
    emit_rm(e, X_JMP_IND, 4, mem_gs_index(S1, jumps + (u32)offsetof(struct jump_entry, host)));
}

void gen_interp(struct trans *t, struct tinsn *ti, bool ends)
{
    flags_keep(t, live_in(ti));
    struct stub *s = stub_add(t, emit_jmp(t->e), t->thunks->insn);
    s->insn = (u16)t->cur;
    s->rip = ends;
    t->form = FORM_BOTH;
    t->vec_ready = false; /* help_insn() leaves vector state where the interpreter had it */
}

/* ------------------------------------------------------------ instructions -- */

static u64 target_of(const struct trans *t, const struct tinsn *ti)
{
    u64 v = ti->rip + ti->i.len + ti->i.imm;
    return t->code64 ? v : (u32)v;
}

static void gen_jcc(struct trans *t, struct tinsn *ti)
{
    struct emit *e = t->e;
    unsigned cc = ti->i.opcode & 15;
    u64 target = target_of(t, ti);

    flags_keep(t, ti->live_out);
    flags_load(t, S0);
    enum form form = t->form;
    const struct tinsn *to = insn_at(t, target);
    if (to && to > ti) {
        t->fixes[t->nfixes++] = (struct fix){emit_jcc(e, cc), to};
    } else if (same_page(t, target) && target > ti->rip) {
        link_same_page(t, emit_jcc(e, cc), target);
    } else {
        u8 *skip = emit_jcc8(e, cc ^ 1);
        exit_direct(t, target);
        emit_here8(e, skip);
    }
    t->form = form;
}

/* LOOP and JrCXZ. */
static void gen_loop(struct trans *t, struct tinsn *ti)
{
    struct emit *e = t->e;
    bool wide = ti->i.addrsize == 8;
    u8 *over, *taken;

    flags_keep(t, ti->live_out);
    t->form = t->form == FORM_HOST ? FORM_HOST : FORM_MEM;
    if (ti->i.op == OP_loop)
        emit_rm(e, X_LEA | (wide ? E_W : 0), RCX, mem_at(RCX, -1));
    if (!wide)
        emit8(e, 0x67);
    emit8(e, 0xe3);
    emit8(e, 0);
    taken = e->p - 1;
    if (ti->i.op == OP_loop) {
        exit_direct(t, target_of(t, ti));
        emit_here8(e, taken);
    } else {
        emit8(e, 0xeb);
        emit8(e, 0);
        over = e->p - 1;
        emit_here8(e, taken);
        exit_direct(t, target_of(t, ti));
        emit_here8(e, over);
    }
}

static u32 width(const struct trans *t)
{
    return t->code64 ? E_W : 0;
}

/* The target of an indirect jump or call into S0; `call`: pushes in between. */
static bool gen_indirect(struct trans *t, struct tinsn *ti, bool call)
{
    struct emit *e = t->e;
    const struct operand *o = &ti->i.opnd[0];
    u64 back = ti->rip + ti->i.len;

    if (o->size != t->asize)
        return false;
    if (o->kind == OPND_GPR) {
        if (call && o->reg == RSP)
            return false;
        flags_keep(t, ti->live_out);
        if (call)
            gen_push_return(t, back);
        sp_settle(t);
        if (o->reg == S0 || o->reg == S1)
            emit_rm(e, X_MOV_LOAD | width(t), S0, mem_gs(GPR_OFF(o->reg)));
        else
            emit_rr(e, X_MOV_LOAD | width(t), S0, o->reg);
    } else {
        if (!mem_supported(t, &ti->i))
            return false;
        flags_keep(t, ti->live_out);
        struct ememory m = mem_operand(t, t->asize, false, 0);
        emit_rm(e, X_MOV_LOAD | width(t), S0, m);
        if (call) {
            emit_rm(e, X_MOV_STORE | E_W, S0, mem_gs(SOFT_OFF(tmp)));
            gen_push_return(t, back);
            sp_settle(t);
            emit_rm(e, X_MOV_LOAD | E_W, S0, mem_gs(SOFT_OFF(tmp)));
        }
    }
    exit_indirect(t);
    return true;
}

bool gen_branch(struct trans *t, struct tinsn *ti)
{
    const struct insn *i = &ti->i;

    if (i->opsize != t->asize)
        return false;
    switch (i->op) {
    case OP_jcc:
        gen_jcc(t, ti);
        return true;
    case OP_loop:
    case OP_jcxz:
        gen_loop(t, ti);
        return true;
    case OP_jmp:
        if (i->opnd[0].kind != OPND_REL)
            return gen_indirect(t, ti, false);
        flags_keep(t, ti->live_out);
        exit_direct(t, target_of(t, ti));
        return true;
    case OP_call:
        if (i->opnd[0].kind != OPND_REL)
            return gen_indirect(t, ti, true);
        flags_keep(t, ti->live_out);
        gen_push_return(t, ti->rip + i->len);
        sp_settle(t);
        exit_direct(t, target_of(t, ti));
        return true;
    case OP_ret: {
        flags_keep(t, ti->live_out);
        struct ememory m = mem_stack(t, RSP, 0, t->asize, false);
        emit_rm(t->e, X_MOV_LOAD | width(t), S0, m);
        t->sp_owed += (s32)(t->asize + (i->nops ? (u16)i->imm : 0));
        sp_settle(t);
        exit_indirect(t);
        return true;
    }
    default:
        return false;
    }
}

/* ------------------------------------------------------------ stubs -- */

static void site_emit(struct trans *t, const struct stub *s, u8 *lea)
{
    struct emit *e = t->e;
    struct site st = {.rip = s->rip, .block = t->block};
    unsigned size = s->insn == TRANS_EXIT ? EXIT_BYTES : SITE_BYTES;

    while ((uintptr_t)e->p & 3)
        emit8(e, 0xcc);
    if (s->insn != TRANS_EXIT) {
        const struct tinsn *ti = &t->insns[s->insn];
        bool insn = s->thunk == t->thunks->insn, ends = insn && s->rip;
        st.rip = ti->rip;
        st.len = ti->i.len & 15;
        st.shared = s->shared;
        st.guess = s->guess ? cache_off(t->sc, s->guess) : 0;
        st.place = s->place;
        st.size = s->size;
        st.align = s->align;
        st.retry = s->retry ? cache_off(t->sc, s->retry) : 0;
        if (s->shared)
            st.next = cache_off(t->sc, s->patch);
        else
            st.next = ends ? 0 : cache_off(t->sc, t->insns[s->insn + 1].host);
        if (insn) {
            st.decoded = true;
            st.i = ti->i;
            size = sizeof(st);
        }
    } else {
        st.patch = s->patch ? cache_off(t->sc, s->patch) : 0;
        st.check = s->check ? cache_off(t->sc, s->check) : 0;
    }
    emit_patch(lea, e->p);
    memcpy(e->p, &st, size);
    e->p += size;
}

/* A failed check: its address into S0 again, and what can be put right without leaving. */
static void check_failed(struct trans *t, struct stub *s)
{
    struct emit *e = t->e;

    emit_rm(e, X_XOR_LOAD | E_W, S0,
            mem_gs_index(S1, t->tlb + (u32)offsetof(struct tlb_entry,
                                                    tag[s->write ? TLB_WRITE : TLB_READ])));
    if (s->stack) { /* another page than last time? */
        mem_place(e);
        emit_rm(e, X_CMP_LOAD, S1, mem_gs(mem_stack_place(t)));
        u8 *same = emit_jcc8(e, CC_E);
        emit_rm(e, X_MOV_STORE, S1, mem_gs(mem_stack_place(t)));
        emit_jmp_to(e, s->retry);
        emit_here8(e, same);
    }
    if (s->shared) { /* over the page's end: to the plain translation, once that is known */
        emit_rr(e, X_MOV_LOAD, S1, S0);
        emit_alu_imm(e, 4, false, S1, PAGE_MASK);
        emit_alu_imm(e, 7, false, S1, (s32)(PAGE_SIZE - s->size));
        s->patch = emit_jcc(e, CC_A);
        emit_patch(s->patch, e->p);
    }
}

void stubs_emit(struct trans *t)
{
    struct emit *e = t->e;

    for (unsigned n = 0; n < t->nstubs; n++) {
        struct stub *s = &t->stubs[n];
        emit_patch(s->from, e->p);
        if (s->const_lin)
            emit_mov_imm(e, S0, s->lin);
        else if (s->lookup)
            check_failed(t, s);
        u8 *lea = emit_lea_rip(e, S1);
        emit_jmp_to(e, s->thunk);
        site_emit(t, s, lea);
    }
}
