/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accesses that share one check.
 *
 * Compilers reach a stack frame or a structure by one register and many displacements.  Such
 * accesses of a block make a group: its first one checks the whole range, from the lowest byte to
 * behind the highest, and leaves the range's host address in a share slot; the others only add to
 * that.  They cannot fault, need no TLB and leave the flags alone.
 *
 * A register's value is followed through pushes, pops and additions of constants; anything else
 * that writes it ends its groups.  A group checks for reading or for writing, as its first access
 * does; reads may join either.  What leads a group is found out while code is emitted: an access
 * whose group is not ready leads it.  At a label, a group stays ready if it was so at every jump
 * there.
 *
 * A range that is not all in one plain page sends its leader to the plain translation of the same
 * code (KEY_PLAIN), which has no groups and is short.
 *
 * A slot is good until the block ends: TLB flushes happen between blocks, or in interpreted
 * instructions, after which a block is left when anything was flushed.
 */
#include "translate/trans.h"

#include <string.h>

enum {
    RANGE_MAX = 512,        /* bytes that a group may reach over */
    RANGE_STACK_MAX = 1024, /* the same by RSP */
};

/* What is known of a register's value. */
struct track {
    s32 off;    /* added to it since it was last lost sight of */
    u8 changed; /* how many instructions had run when it last changed */
    u8 open[2]; /* groups, for reading and for writing */
};

struct scan {
    struct trans *t;
    struct track reg[16];
};

static void lose(struct scan *s, unsigned reg, unsigned when)
{
    s->reg[reg] = (struct track){.changed = (u8)when};
}

/* General registers, as bits, that an instruction writes beyond its explicit operands.  What is not
 * known here writes all. */
static u32 implied_writes(const struct tinsn *ti)
{
    enum { ALL = 0xffff };

    switch (ti->i.op) {
    case OP_mov:
    case OP_movzx:
    case OP_movsx:
    case OP_movsxd:
    case OP_lea:
    case OP_add:
    case OP_adc:
    case OP_sub:
    case OP_sbb:
    case OP_and:
    case OP_or:
    case OP_xor:
    case OP_cmp:
    case OP_test:
    case OP_inc:
    case OP_dec:
    case OP_neg:
    case OP_not:
    case OP_shl:
    case OP_shr:
    case OP_sar:
    case OP_rol:
    case OP_ror:
    case OP_rcl:
    case OP_rcr:
    case OP_shld:
    case OP_shrd:
    case OP_setcc:
    case OP_cmovcc:
    case OP_bt:
    case OP_bts:
    case OP_btr:
    case OP_btc:
    case OP_bsf:
    case OP_bsr:
    case OP_tzcnt:
    case OP_lzcnt:
    case OP_popcnt:
    case OP_bswap:
    case OP_xchg:
    case OP_xadd:
    case OP_nop:
    case OP_jcc:
    case OP_jmp:
    case OP_push: /* RSP: moves() */
    case OP_pop:
    case OP_call:
    case OP_ret:
    case OP_andn:
    case OP_bextr:
    case OP_rorx:
    case OP_sarx:
    case OP_shlx:
    case OP_shrx:
        return 0;
    case OP_imul:
        return ti->i.nops > 1 ? 0 : BIT(RAX) | BIT(RDX);
    case OP_mul:
    case OP_div:
    case OP_idiv:
        return BIT(RAX) | BIT(RDX);
    case OP_cbw:
        return BIT(RAX);
    case OP_cwd:
        return BIT(RDX);
    case OP_cmpxchg:
        return BIT(RAX);
    case OP_pcmpestri:
    case OP_pcmpistri:
        return BIT(RCX);
    default:
        return ti->row->unit != UNIT_none && ti->row->attr & OPA_HOST ? 0 : ALL;
    }
}

/* If all that the instruction does to a register is to add a constant: that. */
static bool moves(const struct trans *t, const struct tinsn *ti, unsigned *reg, s32 *by)
{
    const struct insn *i = &ti->i;
    bool full = i->nops && i->opnd[0].kind == OPND_GPR && i->opnd[0].size == t->asize;
    s64 v;

    *reg = i->opnd[0].reg;
    switch (i->op) {
    case OP_push:
    case OP_pop:
        *reg = RSP;
        *by = i->op == OP_push ? -(s32)t->asize : (s32)t->asize;
        return i->opsize == t->asize;
    case OP_add:
    case OP_sub:
        v = i->op == OP_add ? (s64)i->imm : -(s64)i->imm;
        if (t->asize == 4)
            v = (s32)v;
        *by = (s32)v;
        return full && i->opnd[1].kind == OPND_IMM && v >= -PAGE_SIZE && v <= PAGE_SIZE;
    case OP_inc:
    case OP_dec:
        *by = i->op == OP_inc ? 1 : -1;
        return full;
    case OP_lea:
        *by = (s32)i->disp;
        return full && i->base == *reg && i->index == MEM_NONE && i->addrsize == t->asize &&
               i->disp >= -PAGE_SIZE && i->disp <= PAGE_SIZE;
    default:
        return false;
    }
}

static bool join(struct group *g, s32 lo, s32 hi, u8 align, s32 reach)
{
    if (align > g->align || (align && (lo - g->first) % (align + 1)))
        return false;
    /* the range's start has the leader's alignment */
    s32 below = g->first - lo;
    if (below > 0 && g->align)
        lo -= (g->align + 1 - below % (g->align + 1)) % (g->align + 1);
    lo = min(lo, g->lo);
    hi = max(hi, g->hi);
    if (hi - lo > reach)
        return false;
    g->lo = lo;
    g->hi = hi;
    g->members++;
    return true;
}

static void reach(struct scan *s, struct share *sh, unsigned reg, s32 disp, unsigned size,
                  bool write, u8 align)
{
    struct trans *t = s->t;
    struct track *r = &s->reg[reg];
    s32 far = reg == RSP ? RANGE_STACK_MAX : RANGE_MAX;

    if (disp < -RANGE_STACK_MAX * 64 || disp > RANGE_STACK_MAX * 64)
        return;
    s32 lo = r->off + disp, hi = lo + (s32)size;
    for (unsigned w = write ? 1 : 0; w < 2; w++) {
        u8 open = r->open[w ^ (write ? 0 : 1)]; /* writing ones first */
        if (open && join(&t->groups[open], lo, hi, align, far)) {
            *sh = (struct share){open, lo};
            return;
        }
    }
    if (t->ngroups == GROUPS_MAX)
        return;
    u8 n = ++t->ngroups;
    t->groups[n] = (struct group){
        .write = write, .align = align, .first = lo, .lo = lo, .hi = hi, .members = 1};
    r->open[write] = n;
    *sh = (struct share){n, lo};
}

/* The access by the memory operand, if its address is a register and a displacement. */
static void scan_operand(struct scan *s, struct tinsn *ti)
{
    const struct insn *i = &ti->i;

    if (!i->has_mem || i->base >= 16 || i->index != MEM_NONE || i->seg >= FS ||
        i->addrsize != s->t->asize || !mem_supported(s->t, i) || i->op == OP_cmpxchg8b)
        return;
    for (unsigned n = 0; n < i->nops; n++) {
        const struct operand *o = &i->opnd[n];
        if (o->kind != OPND_MEM)
            continue;
        if (!o->size || o->size > 32)
            return;
        if ((i->op == OP_bt || i->op == OP_bts || i->op == OP_btr || i->op == OP_btc) &&
            i->opnd[1].kind != OPND_IMM)
            return;
        reach(s, &ti->share[SHARE_OPERAND], i->base, (s32)i->disp, o->size,
              ti->row->access[n] & OPN_W, ti->row->attr & OPA_ALIGN ? (u8)(o->size - 1) : 0);
        return;
    }
}

static void scan_stack(struct scan *s, struct tinsn *ti)
{
    struct share *sh = &ti->share[SHARE_STACK];
    s32 w = (s32)s->t->asize;

    /* an operand in memory may send the whole instruction to the interpreter, unchecked */
    if (ti->i.opsize != s->t->asize || ti->i.has_mem)
        return;
    switch (ti->i.op) {
    case OP_push:
    case OP_call:
        reach(s, sh, RSP, -w, (unsigned)w, true, 0);
        break;
    case OP_pop:
    case OP_ret:
        reach(s, sh, RSP, 0, (unsigned)w, false, 0);
        break;
    default:
        break;
    }
}

static void scan_writes(struct scan *s, const struct tinsn *ti, unsigned done)
{
    u32 lost = implied_writes(ti);
    unsigned reg;
    s32 by;

    for (unsigned n = 0; n < ti->i.nops; n++)
        if (ti->row->access[n] & OPN_W &&
            (ti->i.opnd[n].kind == OPND_GPR || ti->i.opnd[n].kind == OPND_GPR8H))
            lost |= BIT(ti->i.opnd[n].reg);
    if (moves(s->t, ti, &reg, &by)) {
        if (ti->i.op != OP_pop && ti->i.op != OP_push)
            lost &= ~BIT(reg);
        s->reg[reg].off += by;
        s->reg[reg].changed = (u8)done;
    } else if (ti->i.op == OP_push || ti->i.op == OP_pop) {
        lost |= BIT(RSP);
    }
    for (reg = 0; reg < 16; reg++)
        if (lost >> reg & 1)
            lose(s, reg, done);
}

/* Where paths meet only what is the same on all of them is still known. */
static void scan_label(struct scan *s, const struct tinsn *ti, unsigned done)
{
    for (unsigned reg = 0; reg < 16; reg++)
        if (ti->loop || s->reg[reg].changed > ti->from + 1)
            lose(s, reg, done);
}

void shares_find(struct trans *t)
{
    struct scan s = {.t = t};
    unsigned slots = 0;

    t->ngroups = 0;
    for (unsigned k = 0; k < t->n; k++) {
        struct tinsn *ti = &t->insns[k];

        memset(ti->share, 0, sizeof(ti->share));
        if (t->plain || t->second)
            continue;
        if (ti->label)
            scan_label(&s, ti, k);
        if (ti->row->unit == UNIT_none || ti->row->attr & OPA_HOST) {
            scan_operand(&s, ti);
            scan_stack(&s, ti);
        }
        scan_writes(&s, ti, k + 1);
    }
    for (unsigned n = 1; n <= t->ngroups; n++) {
        t->groups[n].ready = false;
        t->groups[n].slot = t->groups[n].members > 1 ? (u8)slots++ : NO_SLOT;
    }
}

void shares_at_label(struct trans *t, const struct tinsn *ti)
{
    for (unsigned n = 1; n <= t->ngroups; n++)
        if (ti->loop || t->groups[n].leader > ti->from)
            t->groups[n].ready = false;
}

/* ------------------------------------------------------------ code -- */

const u8 share_regs[SHARE_REGS] = {R8, R9, R12, R13, R14, R15};

static u8 slot_register(const struct trans *t, const struct group *g)
{
    return !t->code64 && g->slot < SHARE_REGS ? share_regs[g->slot] : NOREG;
}

struct group *share_group(struct trans *t, enum share_of which, bool write)
{
    const struct share *sh = &t->insns[t->cur].share[which];
    struct group *g = &t->groups[sh->group];

    return sh->group && g->slot != NO_SLOT && (g->ready || g->write == write) ? g : NULL;
}

bool share_ready(struct trans *t, enum share_of which)
{
    const struct share *sh = &t->insns[t->cur].share[which];
    return sh->group && t->groups[sh->group].ready;
}

void share_stays(struct trans *t, enum share_of which)
{
    if (share_ready(t, which))
        t->held = t->held_before;
}

s32 share_at(const struct trans *t, enum share_of which)
{
    const struct share *sh = &t->insns[t->cur].share[which];
    return sh->at - t->groups[sh->group].lo;
}

void share_lead(struct trans *t, struct group *g, struct ememory start)
{
    u8 reg = slot_register(t, g);

    if (reg != NOREG) {
        emit_rm(t->e, X_LEA | E_W, reg, start);
    } else {
        emit_rm(t->e, X_LEA | E_W, S1, start);
        emit_rm(t->e, X_MOV_STORE | E_W, S1, mem_gs(SOFT_OFF(share[0]) + 8u * g->slot));
        t->held_before = g->slot + 1;
    }
    g->ready = true;
    g->leader = (u8)t->cur;
}

struct ememory share_use(struct trans *t, const struct group *g, s32 at)
{
    u8 reg = slot_register(t, g);

    if (reg != NOREG)
        return mem_at(reg, at);
    if (t->held_before != g->slot + 1)
        emit_rm(t->e, X_MOV_LOAD | E_W, S1, mem_gs(SOFT_OFF(share[0]) + 8u * g->slot));
    t->held_before = g->slot + 1;
    return mem_at(S1, at);
}
