/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions as text, in Intel syntax, from the op table and the decoded operands.  For traces:
 * it is not promised that an assembler takes it back.
 */
#include "base/endian.h"
#include "cpu/ops.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

static const char gpr64[16][4] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                  "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
static const char gpr8[8][4] = {"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"};
static const char gpr8h[4][3] = {"ah", "ch", "dh", "bh"};
static const char sregs[SEG_COUNT][3] = {"es", "cs", "ss", "ds", "fs", "gs"};
static const char conditions[16][4] = {"o", "no", "b", "ae", "e", "ne", "be", "a",
                                       "s", "ns", "p", "np", "l", "ge", "le", "g"};

/* Where the text goes. */
struct text {
    char *p, *end;
};

static void printf_like(2, 3) put(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t->p, t->end - t->p, fmt, ap);
    va_end(ap);
    t->p = n < t->end - t->p ? t->p + n : t->end - 1;
}

static void put_gpr(struct text *t, unsigned reg, unsigned size)
{
    if (size == 8)
        put(t, "%s", gpr64[reg]);
    else if (reg >= 8)
        put(t, "%s%s", gpr64[reg], size == 4 ? "d" : size == 2 ? "w" : "b");
    else if (size == 1)
        put(t, "%s", gpr8[reg]);
    else
        put(t, "%s%s", size == 4 ? "e" : "", gpr64[reg] + 1);
}

static const char *size_name(unsigned size)
{
    switch (size) {
    case 1:
        return "byte ";
    case 2:
        return "word ";
    case 4:
        return "dword ";
    case 6:
        return "fword ";
    case 8:
        return "qword ";
    case 10:
        return "tword ";
    case 16:
        return "oword ";
    case 32:
        return "yword ";
    default:
        return "";
    }
}

static void put_hex(struct text *t, s64 v, bool plus)
{
    u64 a = v < 0 ? -(u64)v : (u64)v;
    put(t, v < 0 ? "-" : plus ? "+" : "");
    put(t, a < 10 ? "%" PRIu64 : "0x%" PRIx64, a);
}

static void put_mem(struct text *t, const struct insn *i, unsigned size, u64 next)
{
    put(t, "%s[", size_name(size));
    if (i->prefixes & PFX_SEG)
        put(t, "%s:", sregs[i->seg]);
    if (i->base == MEM_RIP) {
        put(t, "rel ");
        put_hex(t, next + i->disp, false);
    } else {
        bool any = i->base != MEM_NONE || i->index != MEM_NONE;
        if (i->base != MEM_NONE)
            put_gpr(t, i->base, i->addrsize);
        if (i->index != MEM_NONE) {
            put(t, i->base != MEM_NONE ? "+" : "");
            if (op_rows[i->row].attr & OPA_VSIB)
                put(t, "%s%u", i->vex_l ? "ymm" : "xmm", i->index);
            else
                put_gpr(t, i->index, i->addrsize);
            put(t, "*%u", 1 << i->scale);
        }
        if (!any)
            put(t, "0x%" PRIx64, i->addrsize == 8 ? (u64)i->disp : (u32)i->disp);
        else if (i->disp)
            put_hex(t, i->disp, true);
    }
    put(t, "]");
}

static u64 cut(u64 v, unsigned size)
{
    return size >= 8 ? v : v & (BIT64(8 * size) - 1);
}

static void put_operand(struct text *t, const struct insn *i, unsigned n, u64 next)
{
    const struct operand *o = &i->opnd[n];
    switch (o->kind) {
    case OPND_GPR:
        put_gpr(t, o->reg, o->size);
        break;
    case OPND_GPR8H:
        put(t, "%s", gpr8h[o->reg]);
        break;
    case OPND_MEM:
        put_mem(t, i, o->size, next);
        break;
    case OPND_IMM:
        put_hex(t, (s64)cut(i->imm, o->size), false);
        break;
    case OPND_IMM2:
        put_hex(t, i->imm2, false);
        break;
    case OPND_REL:
        put(t, "0x%" PRIx64, cut(next + i->imm, o->size));
        break;
    case OPND_FAR:
        put(t, "0x%x:0x%" PRIx64, i->imm2, i->imm);
        break;
    case OPND_SREG:
        put(t, "%s", sregs[o->reg]);
        break;
    case OPND_CR:
        put(t, "cr%u", o->reg);
        break;
    case OPND_DR:
        put(t, "dr%u", o->reg);
        break;
    case OPND_ST:
        put(t, "st%u", o->reg);
        break;
    case OPND_MMX:
        put(t, "mm%u", o->reg);
        break;
    case OPND_VEC:
        put(t, "%s%u", o->size == 32 ? "ymm" : "xmm", o->reg);
        break;
    case OPND_STR_SRC:
        put(t, "%s[%s:", size_name(o->size), sregs[i->seg]);
        put_gpr(t, RSI, i->addrsize);
        put(t, "]");
        break;
    case OPND_STR_DST:
        put(t, "%s[es:", size_name(o->size));
        put_gpr(t, RDI, i->addrsize);
        put(t, "]");
        break;
    default:
        break;
    }
}

void insn_print(const struct insn *i, u64 rip, char *buf, size_t size)
{
    struct text t = {buf, buf + size};
    const char *name = op_names[i->op];
    u64 next = rip + i->len;
    if (!size)
        return;
    *buf = 0;
    if (i->prefixes & PFX_LOCK)
        put(&t, "lock ");
    if (i->prefixes & PFX_REPNE)
        put(&t, "repne ");
    if (i->prefixes & PFX_REP)
        put(&t, op_rows[i->row].attr & OPA_REPZ ? "repe " : "rep ");
    if (op_rows[i->row].attr & OPA_CC)
        put(&t, "%.*s%s", (int)strlen(name) - 2, name, conditions[i->opcode & 15]);
    else
        put(&t, "%s", name);
    for (unsigned n = 0; n < i->nops; n++) {
        put(&t, n ? ", " : " ");
        put_operand(&t, i, n, next);
    }
}
