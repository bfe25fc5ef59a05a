/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bits: BT BTS BTR BTC, BSF BSR TZCNT LZCNT POPCNT, the BMI1 operations, BZHI, CRC32.
 *
 * With a register as bit number and a memory operand the bit string reaches beyond the operand, in
 * both directions.  The host computes results and flags.  SDM volume 2.
 */
#include "cpu/hostalu.h"
#include "cpu/ops.h"

HOST_BITOP(bt, "bt")
HOST_BITOP(bts, "bts")
HOST_BITOP(btr, "btr")
HOST_BITOP(btc, "btc")
HOST_BITOP_MEM(bts_mem, "", "bts")
HOST_BITOP_MEM(btr_mem, "", "btr")
HOST_BITOP_MEM(btc_mem, "", "btc")
HOST_BITOP_MEM(bts_lock, "lock; ", "bts")
HOST_BITOP_MEM(btr_lock, "lock; ", "btr")
HOST_BITOP_MEM(btc_lock, "lock; ", "btc")
HOST_BITOP(bsf, "bsf")
HOST_BITOP(bsr, "bsr")
HOST_BITOP(tzcnt, "tzcnt")
HOST_BITOP(lzcnt, "lzcnt")
HOST_BITOP(popcnt, "popcnt")
HOST_VEX3(andn)
HOST_VEX3(bzhi)
HOST_VEX3(bextr)
HOST_VEX2(blsr)
HOST_VEX2(blsi)
HOST_VEX2(blsmsk)

typedef u64 bit_fn(u64 a, u64 b, unsigned size, u32 *ax);
typedef void bit_mem_fn(void *p, u64 b, unsigned size, u32 *ax);
typedef u64 vex2_fn(u64 a, unsigned size, u32 *ax);

/* The linear address of the operand-sized piece that holds bit n of the bit string. */
static u64 bit_linear(struct cpu *c, const struct insn *i, u64 n, enum seg_access a)
{
    unsigned size = i->opnd[0].size;
    u64 ea = insn_ea(c, i);
    if (i->opnd[1].kind != OPND_IMM) {
        s64 sn = size == 8 ? (s64)n : size == 4 ? (s32)n : (s16)n;
        ea += (u64)((sn >> (size == 8 ? 6 : size == 4 ? 5 : 4)) * (s64)size);
        ea = i->addrsize == 8 ? ea : i->addrsize == 4 ? (u32)ea : (u16)ea;
    }
    return seg_linear(c, i->seg, ea, size, a);
}

void exec_bt(struct cpu *c, const struct insn *i)
{
    unsigned size = i->opnd[0].size;
    u64 n = i->opnd[1].kind == OPND_IMM ? i->imm : reg_read(c, &i->opnd[1]);
    u64 a = i->opnd[0].kind == OPND_MEM ? mmu_read(c, bit_linear(c, i, n, SEG_READ), size)
                                        : reg_read(c, &i->opnd[0]);
    u32 ax = flags_to_ax(c->s.rflags);
    host_bt(a, n & (size * 8 - 1), size, &ax);
    flags_from_ax(c, ax);
}

op_inline void bit_change(struct cpu *c, const struct insn *i, bit_fn *reg, bit_mem_fn *mem,
                          bit_mem_fn *lock)
{
    const struct operand *d = &i->opnd[0];
    u64 n = i->opnd[1].kind == OPND_IMM ? i->imm : reg_read(c, &i->opnd[1]);
    u64 bit = n & (d->size * 8 - 1);
    u32 ax = flags_to_ax(c->s.rflags);
    if (d->kind == OPND_MEM) {
        struct rmw r;
        bool locked = i->prefixes & PFX_LOCK;
        rmw_begin_at(c, &r, bit_linear(c, i, n, SEG_WRITE), d->size, locked);
        if (locked)
            lock(r.p, bit, d->size, &ax);
        else
            mem(r.p, bit, d->size, &ax);
        rmw_end(c, &r, d->size);
    } else {
        reg_write(c, d, reg(reg_read(c, d), bit, d->size, &ax));
    }
    flags_from_ax(c, ax);
}

void exec_bts(struct cpu *c, const struct insn *i)
{
    bit_change(c, i, host_bts, host_bts_mem, host_bts_lock);
}

void exec_btr(struct cpu *c, const struct insn *i)
{
    bit_change(c, i, host_btr, host_btr_mem, host_btr_lock);
}

void exec_btc(struct cpu *c, const struct insn *i)
{
    bit_change(c, i, host_btc, host_btc_mem, host_btc_lock);
}

/* ------------------------------------------------ scan and count -- */

/* The destination keeps its value, all 64 bits of it, when the source is zero. */
op_inline void bit_scan(struct cpu *c, const struct insn *i, bit_fn *fn)
{
    const struct operand *d = &i->opnd[0];
    u64 b = operand_read(c, i, 1);
    u32 ax = flags_to_ax(c->s.rflags);
    u64 v = fn(reg_read(c, d), b, d->size, &ax);
    if (b)
        reg_write(c, d, v);
    flags_from_ax(c, ax);
}

void exec_bsf(struct cpu *c, const struct insn *i)
{
    bit_scan(c, i, host_bsf);
}

void exec_bsr(struct cpu *c, const struct insn *i)
{
    bit_scan(c, i, host_bsr);
}

op_inline void bit_count(struct cpu *c, const struct insn *i, bit_fn *fn)
{
    const struct operand *d = &i->opnd[0];
    u64 b = operand_read(c, i, 1);
    u32 ax = flags_to_ax(c->s.rflags);
    reg_write(c, d, fn(0, b, d->size, &ax));
    flags_from_ax(c, ax);
}

/* Processors without it take the F3 prefix for nothing and run BSF. */
void exec_tzcnt(struct cpu *c, const struct insn *i)
{
    if (cpuid_has(c->model, FEAT_bmi1))
        bit_count(c, i, host_tzcnt);
    else
        exec_bsf(c, i);
}

void exec_lzcnt(struct cpu *c, const struct insn *i)
{
    if (cpuid_has(c->model, FEAT_abm))
        bit_count(c, i, host_lzcnt);
    else
        exec_bsr(c, i);
}

void exec_popcnt(struct cpu *c, const struct insn *i)
{
    bit_count(c, i, host_popcnt);
}

/* ----------------------------------------------------------- BMI -- */

op_inline void vex3(struct cpu *c, const struct insn *i, bit_fn *fn)
{
    u64 a = operand_read(c, i, 1), b = operand_read(c, i, 2);
    u32 ax = flags_to_ax(c->s.rflags);
    reg_write(c, &i->opnd[0], fn(a, b, i->opnd[0].size, &ax));
    flags_from_ax(c, ax);
}

void exec_andn(struct cpu *c, const struct insn *i)
{
    vex3(c, i, host_andn);
}

void exec_bzhi(struct cpu *c, const struct insn *i)
{
    vex3(c, i, host_bzhi);
}

void exec_bextr(struct cpu *c, const struct insn *i)
{
    vex3(c, i, host_bextr);
}

op_inline void vex2(struct cpu *c, const struct insn *i, vex2_fn *fn)
{
    u64 a = operand_read(c, i, 1);
    u32 ax = flags_to_ax(c->s.rflags);
    reg_write(c, &i->opnd[0], fn(a, i->opnd[0].size, &ax));
    flags_from_ax(c, ax);
}

void exec_blsr(struct cpu *c, const struct insn *i)
{
    vex2(c, i, host_blsr);
}

void exec_blsi(struct cpu *c, const struct insn *i)
{
    vex2(c, i, host_blsi);
}

void exec_blsmsk(struct cpu *c, const struct insn *i)
{
    vex2(c, i, host_blsmsk);
}

/* --------------------------------------------------------- CRC32 -- */

void exec_crc32(struct cpu *c, const struct insn *i)
{
    u64 crc = (u32)c->s.gpr[i->opnd[0].reg], v = operand_read(c, i, 1);
    switch (i->opnd[1].size) {
    case 8:
        __asm__("crc32q %1, %0" : "+r"(crc) : "r"(v));
        break;
    case 4:
        __asm__("crc32l %k1, %k0" : "+r"(crc) : "r"(v));
        break;
    case 2:
        __asm__("crc32w %w1, %k0" : "+r"(crc) : "r"(v));
        break;
    default:
        __asm__("crc32b %b1, %k0" : "+r"(crc) : "q"(v));
        break;
    }
    c->s.gpr[i->opnd[0].reg] = (u32)crc;
}
