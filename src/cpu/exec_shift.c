/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shifts and rotates: ROL ROR RCL RCR SHL SHR SAR, SHLD, SHRD, and the BMI2 forms that change no
 * flag.  The host shifts with the guest's flags loaded, so that a count of zero changes none and
 * what the manual leaves undefined is what the processor gives.  SDM volume 2.
 */
#include "cpu/hostalu.h"
#include "cpu/ops.h"

HOST_SHIFT(rol)
HOST_SHIFT(ror)
HOST_SHIFT(rcl)
HOST_SHIFT(rcr)
HOST_SHIFT(shl)
HOST_SHIFT(shr)
HOST_SHIFT(sar)
HOST_SHIFTD(shld)
HOST_SHIFTD(shrd)
HOST_VEX3(pext)
HOST_VEX3(pdep)

typedef u64 shift_fn(u64 a, u8 n, unsigned size, u32 *ax);
typedef u64 shiftd_fn(u64 a, u64 b, u8 n, unsigned size, u32 *ax);

op_inline void shift(struct cpu *c, const struct insn *i, shift_fn *fn)
{
    const struct operand *d = &i->opnd[0];
    u8 n = (u8)operand_read(c, i, 1);
    u32 ax = flags_to_ax(c->s.rflags);
    if (d->kind == OPND_MEM) {
        struct rmw r;
        rmw_begin(c, i, &r, d->size, false);
        host_store(r.p, d->size, fn(host_load(r.p, d->size), n, d->size, &ax));
        rmw_end(c, &r, d->size);
    } else {
        reg_write(c, d, fn(reg_read(c, d), n, d->size, &ax));
    }
    flags_from_ax(c, ax);
}

void exec_rol(struct cpu *c, const struct insn *i)
{
    shift(c, i, host_rol);
}

void exec_ror(struct cpu *c, const struct insn *i)
{
    shift(c, i, host_ror);
}

void exec_rcl(struct cpu *c, const struct insn *i)
{
    shift(c, i, host_rcl);
}

void exec_rcr(struct cpu *c, const struct insn *i)
{
    shift(c, i, host_rcr);
}

void exec_shl(struct cpu *c, const struct insn *i)
{
    shift(c, i, host_shl);
}

void exec_shr(struct cpu *c, const struct insn *i)
{
    shift(c, i, host_shr);
}

void exec_sar(struct cpu *c, const struct insn *i)
{
    shift(c, i, host_sar);
}

op_inline void shift_double(struct cpu *c, const struct insn *i, shiftd_fn *fn)
{
    const struct operand *d = &i->opnd[0];
    u64 b = reg_read(c, &i->opnd[1]);
    u8 n = (u8)operand_read(c, i, 2);
    u32 ax = flags_to_ax(c->s.rflags);
    if (d->kind == OPND_MEM) {
        struct rmw r;
        rmw_begin(c, i, &r, d->size, false);
        host_store(r.p, d->size, fn(host_load(r.p, d->size), b, n, d->size, &ax));
        rmw_end(c, &r, d->size);
    } else {
        reg_write(c, d, fn(reg_read(c, d), b, n, d->size, &ax));
    }
    flags_from_ax(c, ax);
}

void exec_shld(struct cpu *c, const struct insn *i)
{
    shift_double(c, i, host_shld);
}

void exec_shrd(struct cpu *c, const struct insn *i)
{
    shift_double(c, i, host_shrd);
}

/* ------------------------------------------------ without flags -- */

void exec_shlx(struct cpu *c, const struct insn *i)
{
    u64 a = operand_read(c, i, 1), n = reg_read(c, &i->opnd[2]) & (i->opnd[0].size * 8 - 1);
    reg_write(c, &i->opnd[0], a << n);
}

void exec_shrx(struct cpu *c, const struct insn *i)
{
    u64 a = operand_read(c, i, 1), n = reg_read(c, &i->opnd[2]) & (i->opnd[0].size * 8 - 1);
    reg_write(c, &i->opnd[0], a >> n);
}

void exec_sarx(struct cpu *c, const struct insn *i)
{
    u64 a = operand_read(c, i, 1), n = reg_read(c, &i->opnd[2]) & (i->opnd[0].size * 8 - 1);
    s64 v = i->opnd[0].size == 4 ? (s32)a : (s64)a;
    reg_write(c, &i->opnd[0], (u64)(v >> n));
}

void exec_rorx(struct cpu *c, const struct insn *i)
{
    unsigned bits = i->opnd[0].size * 8;
    u64 a = operand_read(c, i, 1);
    unsigned n = (unsigned)i->imm & (bits - 1);
    reg_write(c, &i->opnd[0], n ? a >> n | a << (bits - n) : a);
}

void exec_pext(struct cpu *c, const struct insn *i)
{
    u32 ax = 0;
    u64 a = reg_read(c, &i->opnd[1]), b = operand_read(c, i, 2);
    reg_write(c, &i->opnd[0], host_pext(a, b, i->opnd[0].size, &ax));
}

void exec_pdep(struct cpu *c, const struct insn *i)
{
    u32 ax = 0;
    u64 a = reg_read(c, &i->opnd[1]), b = operand_read(c, i, 2);
    reg_write(c, &i->opnd[0], host_pdep(a, b, i->opnd[0].size, &ax));
}
