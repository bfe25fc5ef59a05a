/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way in and out of translated code.
 *
 * enter(soft, host) keeps the C side's registers on its stack, loads the guest's and jumps.  Each
 * way out is a thunk: translated code has put the address of a struct site into S1, and a value or
 * nothing into S0, and jumps here.  The thunk stores the guest's registers, goes to the C stack,
 * calls a helper, and goes on at the address that it gives, or returns from enter().
 */
#include "translate/soft.h"

static const u8 saved[] = {RBX, RBP, R12, R13, R14, R15};

static bool spilled(unsigned r)
{
    return r == S0 || r == S1;
}

/* Where a host register is kept while C runs: 32-bit code has share slots in the upper ones. */
static u32 home(unsigned reg, bool code64)
{
    for (unsigned n = 0; n < SHARE_REGS && !code64; n++)
        if (share_regs[n] == reg)
            return SOFT_OFF(share[0]) + 8 * n;
    return GPR_OFF(reg);
}

/* Loads guest flags and registers and jumps to soft.target. */
static void load_and_go(struct emit *e, bool code64)
{
    emit_rm(e, X_MOV_LOAD, RAX, mem_gs(SOFT_OFF(flags)));
    emit8(e, 0x04); /* add al, 0x7f: OF */
    emit8(e, 0x7f);
    emit8(e, 0x9e); /* sahf */
    for (unsigned r = 0; r < 16; r++)
        if (!spilled(r))
            emit_rm(e, X_MOV_LOAD | E_W, (u8)r, mem_gs(home(r, code64)));
    emit_rm(e, X_JMP_IND, 4, mem_gs(SOFT_OFF(target)));
}

static u8 *make_exit(struct soft *sc, bool code64, const void *helper, const u8 *go,
                     const u8 *leave)
{
    struct emit *e = &sc->e;
    u8 *start = e->p;

    for (unsigned r = 0; r < 16; r++)
        if (!spilled(r))
            emit_rm(e, X_MOV_STORE | E_W, (u8)r, mem_gs(home(r, code64)));
    emit_rm(e, X_MOV_LOAD | E_W, RSP, mem_gs(SOFT_OFF(host_rsp)));
    emit_mov_imm(e, RDI, (u64)(uintptr_t)sc);
    emit_rr(e, X_MOV_LOAD | E_W, RSI, S1);
    emit_rr(e, X_MOV_LOAD | E_W, RDX, S0);
    emit_mov_imm(e, RAX, (u64)(uintptr_t)helper);
    emit_rr(e, X_JMP_IND, 2, RAX); /* call rax */
    emit_rr(e, 0x85 | E_W, RAX, RAX);
    emit_jcc_to(e, CC_E, leave);
    emit_jmp_to(e, go);
    return start;
}

static void make(struct soft *sc, bool code64)
{
    struct thunks *t = &sc->thunks[code64];
    struct emit *e = &sc->e;
    u8 *enter, *go, *leave;

    leave = e->p;
    emit_alu_imm(e, 0, true, RSP, 8);
    for (unsigned i = ARRAY_SIZE(saved); i-- > 0;) {
        if (saved[i] & 8)
            emit8(e, REX | REX_B);
        emit8(e, (u8)(0x58 | (saved[i] & 7)));
    }
    emit8(e, 0xc3);

    enter = e->p;
    for (unsigned i = 0; i < ARRAY_SIZE(saved); i++) {
        if (saved[i] & 8)
            emit8(e, REX | REX_B);
        emit8(e, (u8)(0x50 | (saved[i] & 7)));
    }
    emit_alu_imm(e, 5, true, RSP, 8); /* aligned to 16 for calls */
    emit_rm(e, X_MOV_STORE | E_W, RSP, mem_gs(SOFT_OFF(host_rsp)));
    emit_rr(e, X_MOV_LOAD | E_W, RAX, RSI);
    go = e->p;
    emit_rm(e, X_MOV_STORE | E_W, RAX, mem_gs(SOFT_OFF(target)));
    load_and_go(e, code64);

    const struct {
        u8 **thunk;
        const void *helper;
    } exits[] = {
        {&t->link, help_link},   {&t->jump, help_jump},   {&t->read, help_read},
        {&t->write, help_write}, {&t->insn, help_insn},   {&t->leave, help_leave},
        {&t->vec, help_vec},     {&t->cross, help_cross}, {&t->stale, help_stale},
        {&t->moved, help_moved},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(exits); i++)
        *exits[i].thunk = make_exit(sc, code64, exits[i].helper, go, leave);
    t->enter = (void (*)(struct soft *, const void *))(enter + e->rx);
}

void thunks_make(struct soft *sc)
{
    make(sc, false);
    make(sc, true);
    BUG_ON(sc->e.p > sc->e.end);
}
