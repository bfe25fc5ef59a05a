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

/* Loads guest flags and registers and jumps to soft.target. */
static void load_and_go(struct emit *e)
{
    emit_rm(e, X_MOV_LOAD, RAX, mem_gs(SOFT_OFF(flags)));
    emit8(e, 0x04); /* add al, 0x7f: OF */
    emit8(e, 0x7f);
    emit8(e, 0x9e); /* sahf */
    for (unsigned r = 0; r < 16; r++)
        if (!spilled(r))
            emit_rm(e, X_MOV_LOAD | E_W, (u8)r, mem_gs(GPR_OFF(r)));
    emit_rm(e, X_JMP_IND, 4, mem_gs(SOFT_OFF(target)));
}

static u8 *make_exit(struct soft *sc, const void *helper, const u8 *go, const u8 *leave)
{
    struct emit *e = &sc->e;
    u8 *start = e->p;

    for (unsigned r = 0; r < 16; r++)
        if (!spilled(r))
            emit_rm(e, X_MOV_STORE | E_W, (u8)r, mem_gs(GPR_OFF(r)));
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

void thunks_make(struct soft *sc)
{
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
    load_and_go(e);

    sc->thunk_link = make_exit(sc, (const void *)help_link, go, leave);
    sc->thunk_jump = make_exit(sc, (const void *)help_jump, go, leave);
    sc->thunk_read = make_exit(sc, (const void *)help_read, go, leave);
    sc->thunk_write = make_exit(sc, (const void *)help_write, go, leave);
    sc->thunk_insn = make_exit(sc, (const void *)help_insn, go, leave);
    sc->thunk_leave = make_exit(sc, (const void *)help_leave, go, leave);
    sc->thunk_vec = make_exit(sc, (const void *)help_vec, go, leave);
    sc->thunk_stale = make_exit(sc, (const void *)help_stale, go, leave);
    sc->thunk_cross = make_exit(sc, (const void *)help_cross, go, leave);
    sc->enter = (void (*)(struct soft *, const void *))(enter + e->rx);
    BUG_ON(e->p > e->end);
}
