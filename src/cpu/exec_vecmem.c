/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Vector instructions whose memory accesses depend on a mask or a vector of indices: MASKMOVQ,
 * MASKMOVDQU, VMASKMOVPS/PD, VPMASKMOVD/Q, and the gathers.  SDM volume 2.
 *
 * An element that the mask leaves out is not touched and cannot fault.  A gather that faults keeps
 * the elements loaded so far and has their mask bits cleared, so that it can be started again.
 */
#include "base/endian.h"
#include "cpu/hostrun.h"
#include "cpu/operand.h"
#include "cpu/ops.h"

#include <string.h>

/* ----------------------------------------------- vector registers -- */

static void vec_get(const struct cpu *c, unsigned n, u8 v[32])
{
    memcpy(v, c->s.x.xmm[n], 16);
    memcpy(v + 16, c->s.x.ymmh[n], 16);
}

static void vec_put(struct cpu *c, unsigned n, const u8 v[32])
{
    memcpy(c->s.x.xmm[n], v, 16);
    memcpy(c->s.x.ymmh[n], v + 16, 16);
}

static u64 vec_elem(const u8 *v, unsigned n, unsigned size)
{
    return size == 8 ? le64_get(v + 8 * n) : le32_get(v + 4 * n);
}

static bool vec_mask(const u8 *v, unsigned n, unsigned size)
{
    return v[size * n + size - 1] >> 7;
}

static u64 cut(const struct insn *i, u64 ea)
{
    return i->addrsize == 8 ? ea : i->addrsize == 4 ? (u32)ea : (u16)ea;
}

static u64 elem_linear(struct cpu *c, const struct insn *i, u64 ea, unsigned size,
                       enum seg_access a)
{
    return seg_linear(c, (enum seg_reg)i->seg, cut(i, ea), size, a);
}

/* -------------------------------------------------------- maskmov -- */

/* MMX register n is physical; the image is in stack order.  Any MMX instruction makes the top of
 * the stack 0 and all registers valid. */
static void enter_mmx(struct cpu *c)
{
    struct xsave_area *x = &c->s.x;
    unsigned top = x->fsw >> 11 & 7;
    u8 st[8][16];
    memcpy(st, x->st, sizeof(st));
    for (unsigned n = 0; n < 8; n++)
        memcpy(x->st[n], st[(n - top) & 7], 16);
    x->fsw &= ~0x3800;
    x->ftw = 0xff;
}

void exec_maskmov(struct cpu *c, const struct insn *i)
{
    hostrun_check(c, i);
    const struct op_row *r = &op_rows[i->row];
    bool mmx = r->unit == UNIT_mmx;
    unsigned len = mmx ? 8 : 16, top = c->s.x.fsw >> 11 & 7;
    const u8 *data = mmx ? c->s.x.st[(i->opnd[1].reg - top) & 7] : c->s.x.xmm[i->opnd[1].reg];
    const u8 *mask = mmx ? c->s.x.st[(i->opnd[2].reg - top) & 7] : c->s.x.xmm[i->opnd[2].reg];
    u64 ea = gpr_read(c, RDI, i->addrsize), lin[16];
    for (unsigned n = 0; n < len; n++) {
        if (mask[n] >> 7) {
            lin[n] = elem_linear(c, i, ea + n, 1, SEG_WRITE);
            mmu_probe_write(c, lin[n], 1);
        }
    }
    for (unsigned n = 0; n < len; n++)
        if (mask[n] >> 7)
            mmu_write(c, lin[n], 1, data[n]);
    if (mmx)
        enter_mmx(c);
}

/* ------------------------------------------------------- vmaskmov -- */

static unsigned vmaskmov_size(const struct insn *i)
{
    return i->op == OP_vmaskmovpd || i->op == OP_vpmaskmovq ? 8 : 4;
}

static void vmaskmov_load(struct cpu *c, const struct insn *i, unsigned size, unsigned count)
{
    u8 mask[32], v[32] = {0};
    vec_get(c, i->opnd[1].reg, mask);
    u64 ea = insn_ea(c, i);
    for (unsigned n = 0; n < count; n++) {
        if (!vec_mask(mask, n, size))
            continue;
        u64 e = mmu_read(c, elem_linear(c, i, ea + n * size, size, SEG_READ), size);
        memcpy(v + n * size, &e, size);
    }
    vec_put(c, i->opnd[0].reg, v);
}

static void vmaskmov_store(struct cpu *c, const struct insn *i, unsigned size, unsigned count)
{
    u8 mask[32], v[32];
    u64 lin[8];
    vec_get(c, i->opnd[1].reg, mask);
    vec_get(c, i->opnd[2].reg, v);
    u64 ea = insn_ea(c, i);
    for (unsigned n = 0; n < count; n++) {
        if (vec_mask(mask, n, size)) {
            lin[n] = elem_linear(c, i, ea + n * size, size, SEG_WRITE);
            mmu_probe_write(c, lin[n], size);
        }
    }
    for (unsigned n = 0; n < count; n++)
        if (vec_mask(mask, n, size))
            mmu_write(c, lin[n], size, vec_elem(v, n, size));
}

void exec_vmaskmov(struct cpu *c, const struct insn *i)
{
    hostrun_check(c, i);
    unsigned size = vmaskmov_size(i), count = (i->vex_l ? 32 : 16) / size;
    if (i->opnd[0].kind == OPND_MEM)
        vmaskmov_store(c, i, size, count);
    else
        vmaskmov_load(c, i, size, count);
}

/* --------------------------------------------------------- gather -- */

void exec_vgather(struct cpu *c, const struct insn *i)
{
    hostrun_check(c, i);
    const struct op_row *r = &op_rows[i->row];
    unsigned dst = i->opnd[0].reg, mask_reg = i->opnd[2].reg;
    unsigned size = r->w == 1 ? 8 : 4, isize = i->opcode & 1 ? 8 : 4;
    unsigned count = (i->vex_l ? 32u : 16u) / max(size, isize);
    u64 base = i->base == MEM_NONE ? 0 : c->s.gpr[i->base];
    u8 index[32], mask[32], v[32];
    vec_get(c, i->index, index);
    vec_get(c, mask_reg, mask);
    vec_get(c, dst, v);
    /* Whole elements of mask, so that a fault leaves them all ones or zero. */
    for (unsigned n = 0; n < count; n++)
        memset(mask + n * size, vec_mask(mask, n, size) ? 0xff : 0, size);
    for (unsigned n = 0; n < count; n++) {
        if (!vec_mask(mask, n, size))
            continue;
        s64 x = isize == 8 ? (s64)vec_elem(index, n, 8) : (s32)vec_elem(index, n, 4);
        u64 ea = base + ((u64)x << i->scale) + (u64)i->disp;
        u64 e = mmu_read(c, elem_linear(c, i, ea, size, SEG_READ), size);
        memcpy(v + n * size, &e, size);
        memset(mask + n * size, 0, size);
        vec_put(c, dst, v);
        vec_put(c, mask_reg, mask);
    }
    memset(v + count * size, 0, sizeof(v) - count * size);
    memset(mask, 0, sizeof(mask));
    vec_put(c, dst, v);
    vec_put(c, mask_reg, mask);
}
