/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory as translated code reaches it.
 *
 *      lea  S0, [address]
 *      mov  S1d, gs:[place]              ; the TLB entry's place
 *      xor  S0, gs:[S1 + tlb + tag]      ; S0 = offset in the page, if it is this page
 *      cmp  S0, 4096 - size              ; another page, or the access crosses its end
 *      ja   slow
 *      mov  S1, gs:[S1 + tlb + host]
 *      op   [S0 + S1]
 *
 * The stack's place is where its last access was.  Others are computed (rorx, and), but in blocks
 * that a kick found running: there it is where this site's last access was, so that the data does
 * not wait for the computing.  When that was in another page, the tag does not match and the slow
 * way puts it right; a site that often moves is made to compute it again.
 *
 * An address that is known while translating needs only a compare of its entry's tag.
 *
 * Accesses by one register share a check: share.c.
 *
 * slow: a stub finds the address again and goes to the thunk; the helper fills the TLB and the
 * access is tried again, or, when it is not plain memory, the interpreter does the instruction.  So
 * an instruction makes all its checks before it changes anything.
 *
 * The check destroys the host's flags.  Those still wanted are kept in soft.flags before it, by
 * LAHF and SETO, and come back only when an instruction wants them (SAHF; an addition of 0x7f turns
 * a 1 into an overflow).
 */
#include "translate/trans.h"

void flags_keep(struct trans *t, u32 live)
{
    struct emit *e = t->e;

    if (t->form == FORM_HOST && live) {
        emit_rr(e, X_MOV_LOAD | E_W, S0, RAX);
        emit8(e, 0x9f); /* lahf */
        emit_rr(e, E_0F | 0x90 | CC_O, 0, RAX);
        emit_rm(e, X_MOV_STORE, RAX, mem_gs(SOFT_OFF(flags)));
        emit_rr(e, X_MOV_LOAD | E_W, RAX, S0);
        t->form = FORM_BOTH;
    }
}

void flags_keep_for(struct trans *t, u32 live, enum share_of which)
{
    if (!share_ready(t, which))
        flags_keep(t, live);
}

void flags_load(struct trans *t, u8 park)
{
    struct emit *e = t->e;

    if (t->form != FORM_MEM)
        return;
    emit_rr(e, X_MOV_LOAD | E_W, park, RAX);
    emit_rm(e, X_MOV_LOAD, RAX, mem_gs(SOFT_OFF(flags)));
    emit8(e, 0x04);
    emit8(e, 0x7f);
    emit8(e, 0x9e);
    emit_rr(e, X_MOV_LOAD | E_W, RAX, park);
    t->form = FORM_BOTH;
}

/* ------------------------------------------------------------ addresses -- */

bool mem_supported(const struct trans *t, const struct insn *i)
{
    if (i->addrsize == 2)
        return false;
    if (t->code64)
        return true;
    if (i->seg == CS)
        return false; /* never writable */
    return true;
}

static bool spilled(u8 r)
{
    return r == S0 || r == S1;
}

/* base + index + disp into reg, which may be one of them; flags stay.  Spilled registers are
 * fetched first: only S0 and S1 are free for that. */
static void lea(struct trans *t, const struct insn *i, u8 reg, bool wide)
{
    struct emit *e = t->e;
    struct ememory m = {NOREG, NOREG, i->scale, false, (s32)i->disp};
    u32 w = wide ? E_W : 0;

    if (i->base != MEM_NONE) {
        m.base = i->base;
        if (spilled(i->base)) {
            emit_rm(e, X_MOV_LOAD | E_W, S0, mem_gs(GPR_OFF(i->base)));
            m.base = S0;
        }
    }
    if (i->index != MEM_NONE) {
        m.index = i->index;
        if (spilled(i->index)) {
            emit_rm(e, X_MOV_LOAD | E_W, S1, mem_gs(GPR_OFF(i->index)));
            m.index = S1;
        }
    }
    if (m.index == NOREG && !m.disp && m.base != NOREG)
        emit_rr(e, X_MOV_LOAD | w, reg, m.base);
    else
        emit_rm(e, X_LEA | w, reg, m);
}

static bool constant_address(const struct trans *t, const struct insn *i, u64 *lin)
{
    u64 v = (u64)i->disp;

    if (i->index != MEM_NONE || (i->base != MEM_NONE && i->base != MEM_RIP) || i->seg >= FS)
        return false;
    if (i->base == MEM_RIP)
        v += t->insns[t->cur].rip + i->len;
    *lin = i->addrsize == 4 ? (u32)v : v;
    return true;
}

void mem_lea(struct trans *t, const struct insn *i, u8 reg, bool wide)
{
    struct insn plain = *i;
    u64 lin;

    plain.seg = DS;
    if (constant_address(t, &plain, &lin)) {
        emit_mov_imm(t->e, reg, wide ? lin : (u32)lin);
        return;
    }
    lea(t, i, reg, wide && i->addrsize == 8);
}

/* ------------------------------------------------------------ checks -- */

u32 mem_stack_place(const struct trans *t)
{
    return SOFT_OFF(stack_place[0]) + 4u * t->sc->c.mmu_idx;
}

static u32 tag_off(const struct trans *t, bool write)
{
    return t->tlb + (u32)offsetof(struct tlb_entry, tag[write ? TLB_WRITE : TLB_READ]);
}

static u32 host_off(const struct trans *t)
{
    return t->tlb + (u32)offsetof(struct tlb_entry, host);
}

static struct stub *slow_stub(struct trans *t, u8 *from, u8 *retry, unsigned size, bool write,
                              u8 align)
{
    struct stub *s = stub_add(t, from, write ? t->thunks->write : t->thunks->read);

    s->retry = retry;
    s->insn = (u16)t->cur;
    s->size = (u16)size;
    s->write = write;
    s->align = align;
    return s;
}

void mem_place(struct emit *e)
{
    place_code(e->p);
    e->p += PLACE_BYTES;
}

/* What a check is for. */
struct check {
    u8 *retry;
    unsigned size;
    u8 align;
    bool write, stack, shared;
    u8 *guess; /* struct site */
    u16 place;
};

static void check_stub(struct trans *t, const struct check *c, u8 *from)
{
    struct stub *s = slow_stub(t, from, c->retry, c->size, c->write, c->align);

    s->lookup = true;
    s->stack = c->stack;
    s->shared = c->shared;
    s->guess = c->guess;
    s->place = c->place;
}

/* Takes the place where this site's last access was: that does not wait for the address. */
static void guess_place(struct trans *t, struct check *c)
{
    struct emit *e = t->e;

    c->guess = e->p;
    c->place = (u16)(t->sc->nplaces++ % PLACES);
    emit_rm(e, X_MOV_LOAD, S1,
            mem_gs(SOFT_OFF(places[0].at) + c->place * (u32)sizeof(struct place)));
    emit32(e, 0x00401f0f); /* nop */
    BUG_ON(e->p != c->guess + PLACE_BYTES);
}

/* The address is in S0. */
static struct ememory check(struct trans *t, struct check *c)
{
    struct emit *e = t->e;

    if (c->stack)
        emit_rm(e, X_MOV_LOAD, S1, mem_gs(mem_stack_place(t)));
    else if (t->hot)
        guess_place(t, c);
    else
        mem_place(e);
    emit_rm(e, X_XOR_LOAD | E_W, S0, mem_gs_index(S1, tag_off(t, c->write)));
    if (c->align) {
        emit_rr(e, X_TEST_MI | E_W, 0, S0);
        emit32(e, (u32) ~(PAGE_MASK & ~(u32)c->align));
        check_stub(t, c, emit_jcc(e, CC_NE));
    }
    if (!c->align || c->shared) {
        emit_alu_imm(e, 7, true, S0, (s32)(PAGE_SIZE - c->size));
        check_stub(t, c, emit_jcc(e, CC_A));
    }
    emit_rm(e, X_MOV_LOAD | E_W, S1, mem_gs_index(S1, host_off(t)));
    t->form = FORM_MEM;
    t->held_before = 0;
    return mem_sum(S1, S0);
}

struct ememory mem_check(struct trans *t, u8 *retry, unsigned size, bool write, u8 align)
{
    struct check c = {.retry = retry, .size = size, .align = align, .write = write};
    return check(t, &c);
}

/* The check of a whole group, from the address in S0 on; the operand `at` bytes behind that. */
static struct ememory check_group(struct trans *t, struct group *g, u8 *retry, bool stack, s32 at)
{
    struct check c = {.retry = retry,
                      .size = (unsigned)(g->hi - g->lo),
                      .align = g->align,
                      .write = g->write,
                      .stack = stack,
                      .shared = true};

    share_lead(t, g, check(t, &c));
    return share_use(t, g, at);
}

/* The address is known now; it does not cross a page and is aligned. */
static struct ememory check_constant(struct trans *t, u64 lin, unsigned size, bool write)
{
    struct emit *e = t->e;
    u64 page = lin & ~(u64)PAGE_MASK;
    u32 place = tlb_index(lin) * (u32)sizeof(struct tlb_entry);
    u8 *retry = e->p;

    if ((s64)page == (s32)page) {
        emit_alu_mem_imm(e, 7, true, mem_gs(tag_off(t, write) + place), (s32)page);
    } else {
        emit_mov_imm(e, S0, page);
        emit_rm(e, X_CMP_LOAD | E_W, S0, mem_gs(tag_off(t, write) + place));
    }
    struct stub *s = slow_stub(t, emit_jcc(e, CC_NE), retry, size, write, 0);
    s->const_lin = true;
    s->lin = lin;
    emit_rm(e, X_MOV_LOAD | E_W, S1, mem_gs(host_off(t) + place));
    t->form = FORM_MEM;
    t->held_before = 0;
    return mem_at(S1, (s32)(lin & PAGE_MASK));
}

struct ememory mem_operand(struct trans *t, unsigned size, bool write, u8 align)
{
    const struct insn *i = &t->insns[t->cur].i;
    struct emit *e = t->e;
    struct group *g = share_group(t, SHARE_OPERAND, write);
    u8 *retry = e->p;
    u64 lin;

    if (g) {
        s32 at = share_at(t, SHARE_OPERAND);
        if (g->ready)
            return share_use(t, g, at);
        struct insn start = *i;
        start.disp -= at;
        mem_lea(t, &start, S0, t->code64);
        return check_group(t, g, retry, i->base == RSP, at);
    }
    if (constant_address(t, i, &lin) && (lin & PAGE_MASK) + size <= PAGE_SIZE && !(lin & align))
        return check_constant(t, lin, size, write);
    mem_lea(t, i, S0, t->code64);
    if (i->seg >= FS)
        emit_rm(e, X_ADD_LOAD | (t->code64 ? E_W : 0), S0,
                mem_gs((u32)offsetof(struct soft, c.s.seg[0].base) +
                       i->seg * (u32)sizeof(struct segment)));
    if (i->seg >= FS && !t->code64)
        emit_rm(e, X_OR_LOAD | E_W, S0, mem_gs(SOFT_OFF(far_seg[0]) + 8u * (i->seg - FS)));
    struct check c = {.retry = retry,
                      .size = size,
                      .align = align,
                      .write = write,
                      .stack = i->base == RSP && i->seg < FS};
    return check(t, &c);
}

struct ememory mem_stack(struct trans *t, u8 base, s32 disp, unsigned size, bool write)
{
    struct emit *e = t->e;
    u8 *retry = e->p;
    struct group *g = base == RSP ? share_group(t, SHARE_STACK, write) : NULL;
    s32 at = g ? share_at(t, SHARE_STACK) : 0;

    if (g && g->ready)
        return share_use(t, g, at);
    disp -= at;
    if (disp)
        emit_rm(e, X_LEA | (t->code64 ? E_W : 0), S0, mem_at(base, disp));
    else
        emit_rr(e, X_MOV_LOAD | (t->code64 ? E_W : 0), S0, base);
    if (g)
        return check_group(t, g, retry, true, at);
    struct check c = {.retry = retry, .size = size, .write = write, .stack = base == RSP};
    return check(t, &c);
}
