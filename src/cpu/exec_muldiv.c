/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MUL, IMUL, MULX, DIV, IDIV.  The host multiplies and divides with the guest's flags loaded; a
 * quotient that does not fit is found first, so that the host never traps.  SDM volume 2.
 */
#include "cpu/hostalu.h"
#include "cpu/ops.h"

HOST_BITOP(imul2, "imul")

/* One size of MUL, IMUL, DIV, IDIV: lo and hi are AX/EAX/RAX and DX/EDX/RDX. */
#define HOST_WIDE(name, ins, suffix, type, reg_a, mod)                                             \
    op_inline void host_##name##_##type(type *lo, type *hi, type b, u32 *ax)                       \
    {                                                                                              \
        u32 f = *ax;                                                                               \
        type l = *lo, h = *hi;                                                                     \
        __asm__(FLAGS_IN "mov %1, %%" reg_a "\n\t" ins suffix " %" mod "3\n\tmov %%" reg_a         \
                         ", %1" FLAGS_OUT                                                          \
                : "+a"(f), "+&r"(l), "+&d"(h)                                                      \
                : "r"(b)                                                                           \
                : "cc");                                                                           \
        *lo = l;                                                                                   \
        *hi = h;                                                                                   \
        *ax = f;                                                                                   \
    }

/* The byte form works on AX alone. */
#define HOST_WIDE8(name, ins)                                                                      \
    op_inline u16 host_##name##_u8(u16 a, u8 b, u32 *ax)                                           \
    {                                                                                              \
        u32 f = *ax;                                                                               \
        __asm__(FLAGS_IN "mov %w1, %%ax\n\t" ins "b %b2\n\tmov %%ax, %w1" FLAGS_OUT                \
                : "+a"(f), "+&r"(a)                                                                \
                : "q"(b)                                                                           \
                : "cc");                                                                           \
        *ax = f;                                                                                   \
        return a;                                                                                  \
    }

#define HOST_WIDE_ALL(name, ins)                                                                   \
    HOST_WIDE8(name, ins)                                                                          \
    HOST_WIDE(name, ins, "w", u16, "ax", "w")                                                      \
    HOST_WIDE(name, ins, "l", u32, "eax", "k")                                                     \
    HOST_WIDE(name, ins, "q", u64, "rax", "q")                                                     \
    static void host_##name(struct cpu *c, unsigned size, u64 b, u32 *ax)                          \
    {                                                                                              \
        u64 *a = &c->s.gpr[RAX], *d = &c->s.gpr[RDX];                                              \
        if (size == 8) {                                                                           \
            host_##name##_u64(a, d, b, ax);                                                        \
        } else if (size == 4) {                                                                    \
            u32 lo = (u32)*a, hi = (u32)*d;                                                        \
            host_##name##_u32(&lo, &hi, (u32)b, ax);                                               \
            *a = lo;                                                                               \
            *d = hi;                                                                               \
        } else if (size == 2) {                                                                    \
            u16 lo = (u16)*a, hi = (u16)*d;                                                        \
            host_##name##_u16(&lo, &hi, (u16)b, ax);                                               \
            gpr_write(c, RAX, 2, lo);                                                              \
            gpr_write(c, RDX, 2, hi);                                                              \
        } else {                                                                                   \
            gpr_write(c, RAX, 2, host_##name##_u8((u16)*a, (u8)b, ax));                            \
        }                                                                                          \
    }

HOST_WIDE_ALL(mul, "mul")
HOST_WIDE_ALL(imul1, "imul")
HOST_WIDE_ALL(div, "div")
HOST_WIDE_ALL(idiv, "idiv")

void exec_mul(struct cpu *c, const struct insn *i)
{
    u64 b = operand_read(c, i, 0);
    u32 ax = flags_to_ax(c->s.rflags);
    host_mul(c, i->opnd[0].size, b, &ax);
    flags_from_ax(c, ax);
}

/* One, two or three operands. */
void exec_imul(struct cpu *c, const struct insn *i)
{
    u32 ax = flags_to_ax(c->s.rflags);
    const struct operand *d = &i->opnd[0];
    if (i->opnd[1].kind == OPND_NONE) {
        host_imul1(c, d->size, operand_read(c, i, 0), &ax);
    } else {
        u64 b = operand_read(c, i, 1);
        u64 a = i->opnd[2].kind == OPND_NONE ? reg_read(c, d) : i->imm;
        reg_write(c, d, host_imul2(a, b, d->size, &ax));
    }
    flags_from_ax(c, ax);
}

/* The first destination gets the high half, also when both are one register. */
void exec_mulx(struct cpu *c, const struct insn *i)
{
    unsigned size = i->opnd[0].size;
    u64 b = operand_read(c, i, 2), a = gpr_read(c, RDX, size);
    unsigned __int128 v = (unsigned __int128)a * b;
    reg_write(c, &i->opnd[1], (u64)v);
    reg_write(c, &i->opnd[0], (u64)(v >> size * 8));
}

/* The dividend's value: AX, DX:AX, EDX:EAX or RDX:RAX. */
static unsigned __int128 dividend(const struct cpu *c, unsigned size)
{
    if (size == 1)
        return gpr_read(c, RAX, 2);
    return (unsigned __int128)gpr_read(c, RDX, size) << size * 8 | gpr_read(c, RAX, size);
}

void exec_div(struct cpu *c, const struct insn *i)
{
    unsigned size = i->opnd[0].size;
    u64 b = operand_read(c, i, 0);
    u64 high = size == 1 ? gpr_read(c, RAX, 2) >> 8 : gpr_read(c, RDX, size);
    if (high >= b) /* b == 0 too */
        cpu_raise(c, EXC_DE, NO_ERROR_CODE);
    u32 ax = flags_to_ax(c->s.rflags);
    host_div(c, size, b, &ax);
    flags_from_ax(c, ax);
}

/* Does the signed quotient fit?  Magnitudes are divided, for the most negative value's sake. */
static bool idiv_fits(unsigned __int128 a, u64 b, unsigned size)
{
    unsigned bits = size * 8;
    bool neg_a = a >> (2 * bits - 1) & 1, neg_b = b >> (bits - 1) & 1;
    unsigned __int128 mask =
        bits == 64 ? ~(unsigned __int128)0 : ((unsigned __int128)1 << 2 * bits) - 1;
    unsigned __int128 ua = neg_a ? -a & mask : a;
    u64 ub = neg_b ? (-b & (u64)(bits == 64 ? UINT64_MAX : BIT64(bits) - 1)) : b;
    if (!ub)
        return false;
    u64 limit = BIT64(bits - 1) - (neg_a == neg_b);
    /* A quotient up to `limit` in magnitude: ua < (limit + 1) * ub. */
    return ua < ((unsigned __int128)limit + 1) * ub;
}

void exec_idiv(struct cpu *c, const struct insn *i)
{
    unsigned size = i->opnd[0].size;
    u64 b = operand_read(c, i, 0);
    if (!idiv_fits(dividend(c, size), b, size))
        cpu_raise(c, EXC_DE, NO_ERROR_CODE);
    u32 ax = flags_to_ax(c->s.rflags);
    host_idiv(c, size, b, &ax);
    flags_from_ax(c, ax);
}
