/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which arithmetic flags are wanted where.
 *
 * A flag is dead when every path overwrites it before it is read.  Memory checks destroy the host's
 * flags, so live ones have to be kept across them; most are dead.  At the end of a block the code
 * at the branch's target is looked at, if it lies in the same page: those bytes then count as bytes
 * of the block (dep_lo, dep_hi), so that a change to them drops it too.  What cannot be seen counts
 * as wanted.  A fault's frame may show dead flags with other values than a processor would.
 */
#include "translate/trans.h"

enum { SCAN_MAX = 12 };

static const u16 cc_flags[16] = {
    FLAG_OF,
    FLAG_OF,
    FLAG_CF,
    FLAG_CF,
    FLAG_ZF,
    FLAG_ZF,
    FLAG_CF | FLAG_ZF,
    FLAG_CF | FLAG_ZF,
    FLAG_SF,
    FLAG_SF,
    FLAG_PF,
    FLAG_PF,
    FLAG_SF | FLAG_OF,
    FLAG_SF | FLAG_OF,
    FLAG_ZF | FLAG_SF | FLAG_OF,
    FLAG_ZF | FLAG_SF | FLAG_OF,
};

/* A shift by a constant that is not zero always writes its flags. */
static bool counts_for_sure(const struct insn *i)
{
    unsigned last = i->nops - 1u;
    switch (i->op) {
    case OP_rol:
    case OP_ror:
    case OP_rcl:
    case OP_rcr:
    case OP_shl:
    case OP_shr:
    case OP_sar:
    case OP_shld:
    case OP_shrd:
        return i->opnd[last].kind == OPND_IMM && (i->imm & (i->opsize == 8 ? 63 : 31)) &&
               i->opnd[0].size >= 4;
    default:
        return false;
    }
}

void insn_flags(struct tinsn *ti)
{
    const struct op_row *r = ti->row;

    ti->reads = r->flags_read & FLAGS_ARITH;
    if (r->attr & OPA_CC)
        ti->reads = cc_flags[ti->i.opcode & 15];
    ti->kills = r->flags_written & FLAGS_ARITH;
    if (r->attr & OPA_COND && !counts_for_sure(&ti->i))
        ti->kills = 0;
}

static void looked_at(struct trans *t, unsigned lo, unsigned hi)
{
    t->dep_lo = min(t->dep_lo, lo);
    t->dep_hi = max(t->dep_hi, hi);
}

u32 flags_wanted_at(struct trans *t, u64 target)
{
    u32 dead = 0, live = 0;
    u64 off = target - t->page_rip;

    if (off < PAGE_SIZE) {
        const struct block *b = block_find(t->sc, t->cpage, (u16)off);
        if (b) {
            looked_at(t, b->off, b->off + b->len);
            looked_at(t, b->dep_lo, b->dep_hi);
            return b->live;
        }
    }
    for (unsigned n = 0; n < SCAN_MAX; n++) {
        struct tinsn ti;
        if (off >= PAGE_SIZE)
            break;
        enum decode_result rc =
            decode(&ti.i, t->page + off, PAGE_SIZE - off, t->code64 ? CODE64 : CODE32);
        if (rc != DECODE_OK)
            break;
        looked_at(t, (unsigned)off, (unsigned)off + ti.i.len);
        ti.row = &op_rows[ti.i.row];
        insn_flags(&ti);
        live |= ti.reads & ~dead;
        dead |= ti.kills;
        if ((dead & FLAGS_ARITH) == FLAGS_ARITH)
            return live;
        off += ti.i.len;
        if ((ti.i.op == OP_jmp || ti.i.op == OP_call) && ti.i.opnd[0].kind == OPND_REL)
            off += ti.i.imm;
        else if (ti.row->attr & OPA_END)
            break;
    }
    return live | (FLAGS_ARITH & ~dead);
}

struct tinsn *insn_at(struct trans *t, u64 rip)
{
    for (unsigned k = 0; k < t->n && t->insns[k].rip <= rip; k++)
        if (t->insns[k].rip == rip)
            return &t->insns[k];
    return NULL;
}

void labels_find(struct trans *t)
{
    for (unsigned k = 0; k < t->n; k++) {
        const struct insn *i = &t->insns[k].i;
        if (!i->nops || i->opnd[0].kind != OPND_REL || i->op == OP_call)
            continue;
        struct tinsn *to = insn_at(t, t->insns[k].rip + i->len + i->imm);
        if (!to)
            continue;
        to->from = to->label ? min(to->from, (u8)k) : (u8)k;
        to->loop = (to->label && to->loop) || to <= &t->insns[k];
        to->label = true;
    }
}

void flags_analyse(struct trans *t)
{
    struct tinsn *last = &t->insns[t->n - 1];
    u32 live;

    /* the way on from the last instruction */
    if ((last->i.op == OP_jmp || last->i.op == OP_call) && last->i.opnd[0].kind == OPND_REL)
        live = flags_wanted_at(t, last->rip + last->i.len + last->i.imm);
    else if (last->row->attr & OPA_END && !(last->row->attr & OPA_CC))
        live = FLAGS_ARITH;
    else
        live = flags_wanted_at(t, last->rip + last->i.len);
    for (unsigned k = t->n; k-- > 0;) {
        struct tinsn *ti = &t->insns[k];
        if (ti->i.op == OP_jcc) {
            u64 target = ti->rip + ti->i.len + ti->i.imm;
            const struct tinsn *to = insn_at(t, target);
            live |= to && to > ti ? live_in(to) : flags_wanted_at(t, target);
        }
        ti->live_out = live;
        live = live_in(ti);
    }
}
