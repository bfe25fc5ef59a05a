/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decimal adjustment: DAA DAS AAA AAS AAM AAD, and SALC.  64-bit mode has none of them, so the host
 * cannot run them.  SDM volume 2.
 *
 * Flags that the manual leaves undefined are those of the addition or subtraction inside, as
 * on the processors that were asked; the host's ALU makes them.
 */
#include "cpu/hostalu.h"
#include "cpu/ops.h"

HOST2_REG(add, "add", "")
HOST2_REG(sub, "sub", "")

/* v plus or minus by, with the flags of that; then CF and AF as given. */
static u64 adjust(struct cpu *c, u64 v, u64 by, unsigned size, bool add, u64 cf_af)
{
    u32 ax = 0;
    v = add ? host_add(v, by, size, &ax) : host_sub(v, by, size, &ax);
    flags_from_ax(c, ax);
    c->s.rflags = (c->s.rflags & ~(u64)(FLAG_CF | FLAG_AF)) | cf_af;
    return v;
}

/* DAA adds, DAS subtracts. */
static void decimal_adjust(struct cpu *c, bool add)
{
    u8 al = (u8)c->s.gpr[RAX], v = 0;
    bool cf = c->s.rflags & FLAG_CF, af = c->s.rflags & FLAG_AF;
    u64 f = 0;
    if ((al & 15) > 9 || af) {
        /* DAS: a borrow out of the low digit's adjustment counts as one out of the byte. */
        if (!add && (al < 6 || cf))
            f |= FLAG_CF;
        v = 6;
        f |= FLAG_AF;
    }
    if (al > 0x99 || cf) {
        v += 0x60;
        f |= FLAG_CF;
    }
    gpr_write(c, RAX, 1, adjust(c, al, v, 1, add, f));
}

void exec_daa(struct cpu *c, const struct insn *i)
{
    decimal_adjust(c, true);
}

void exec_das(struct cpu *c, const struct insn *i)
{
    decimal_adjust(c, false);
}

/* AAA adds 0x106 to AX, AAS subtracts it; the high digit of AL goes. */
static void ascii_adjust(struct cpu *c, bool add)
{
    u16 ax = (u16)c->s.gpr[RAX];
    bool wrong = (ax & 15) > 9 || (c->s.rflags & FLAG_AF);
    u64 v = adjust(c, ax, wrong ? 0x106 : 0, 2, add, wrong ? FLAG_AF | FLAG_CF : 0);
    gpr_write(c, RAX, 2, v & 0xff0f);
}

void exec_aaa(struct cpu *c, const struct insn *i)
{
    ascii_adjust(c, true);
}

void exec_aas(struct cpu *c, const struct insn *i)
{
    ascii_adjust(c, false);
}

void exec_aam(struct cpu *c, const struct insn *i)
{
    u8 base = (u8)i->imm, al = (u8)c->s.gpr[RAX];
    if (!base)
        cpu_raise(c, EXC_DE, NO_ERROR_CODE);
    gpr_write(c, RAX, 2, (u64)(al / base) << 8 | al % base);
    adjust(c, al % base, 0, 1, true, 0);
}

void exec_aad(struct cpu *c, const struct insn *i)
{
    u16 ax = (u16)c->s.gpr[RAX];
    u8 v = (u8)((ax >> 8) * (u8)i->imm);
    u32 f = 0;
    gpr_write(c, RAX, 2, host_add(ax & 0xff, v, 1, &f));
    flags_from_ax(c, f);
}

/* Undocumented on Intel, documented by AMD: AL = all ones when CF, else zero. */
void exec_salc(struct cpu *c, const struct insn *i)
{
    gpr_write(c, RAX, 1, c->s.rflags & FLAG_CF ? 0xff : 0);
}
