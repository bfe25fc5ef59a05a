/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decimal adjustment: DAA DAS AAA AAS AAM AAD, and SALC.  64-bit mode has none of them, so the host
 * cannot run them.  Flags that the manual leaves undefined follow the result or are cleared.
 * SDM volume 2.
 */
#include "cpu/operand.h"
#include "cpu/ops.h"

/* SF, ZF and PF of a byte. */
static u64 flags_of_byte(u8 v)
{
    return (v & 0x80) | (v ? 0 : FLAG_ZF) | (__builtin_parity(v) ? 0 : FLAG_PF);
}

static void set_flags(struct cpu *c, u64 f)
{
    c->s.rflags = (c->s.rflags & ~(u64)FLAGS_ARITH) | f;
}

/* DAA adds, DAS subtracts. */
static void decimal_adjust(struct cpu *c, bool add)
{
    u8 al = (u8)c->s.gpr[RAX], old = al;
    bool cf = c->s.rflags & FLAG_CF, af = c->s.rflags & FLAG_AF;
    u64 f = 0;
    if ((old & 15) > 9 || af) {
        /* DAS: a borrow out of the low digit's adjustment counts as one out of the byte. */
        if (!add && (old < 6 || cf))
            f |= FLAG_CF;
        al = add ? al + 6 : al - 6;
        f |= FLAG_AF;
    }
    if (old > 0x99 || cf) {
        al = add ? al + 0x60 : al - 0x60;
        f |= FLAG_CF;
    }
    gpr_write(c, RAX, 1, al);
    set_flags(c, f | flags_of_byte(al));
}

void exec_daa(struct cpu *c, const struct insn *i)
{
    decimal_adjust(c, true);
}

void exec_das(struct cpu *c, const struct insn *i)
{
    decimal_adjust(c, false);
}

/* AAA adds, AAS subtracts 0x106 to AX. */
static void ascii_adjust(struct cpu *c, s32 by)
{
    u16 ax = (u16)c->s.gpr[RAX];
    u64 f = 0;
    if ((ax & 15) > 9 || (c->s.rflags & FLAG_AF)) {
        ax = (u16)(ax + by);
        f = FLAG_AF | FLAG_CF;
    }
    ax &= 0xff0f;
    gpr_write(c, RAX, 2, ax);
    set_flags(c, f | flags_of_byte((u8)ax));
}

void exec_aaa(struct cpu *c, const struct insn *i)
{
    ascii_adjust(c, 0x106);
}

void exec_aas(struct cpu *c, const struct insn *i)
{
    ascii_adjust(c, -0x106);
}

void exec_aam(struct cpu *c, const struct insn *i)
{
    u8 base = (u8)i->imm, al = (u8)c->s.gpr[RAX];
    if (!base)
        cpu_raise(c, EXC_DE, NO_ERROR_CODE);
    gpr_write(c, RAX, 2, (u64)(al / base) << 8 | al % base);
    set_flags(c, flags_of_byte(al % base));
}

void exec_aad(struct cpu *c, const struct insn *i)
{
    u16 ax = (u16)c->s.gpr[RAX];
    u8 al = (u8)((ax & 0xff) + (ax >> 8) * (u8)i->imm);
    gpr_write(c, RAX, 2, al);
    set_flags(c, flags_of_byte(al));
}

/* Undocumented on Intel, documented by AMD: AL = all ones when CF, else zero. */
void exec_salc(struct cpu *c, const struct insn *i)
{
    gpr_write(c, RAX, 1, c->s.rflags & FLAG_CF ? 0xff : 0);
}
