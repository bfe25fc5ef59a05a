/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saving and restoring vector and x87 state: FXSAVE, FXRSTOR, XSAVE, XSAVEOPT, XSAVEC, XRSTOR,
 * LDMXCSR, STMXCSR.  SDM volume 1, chapter 13; volume 2.  The x87 environment: cpu/x87env.c.
 *
 * Which components are in use (XINUSE) is not tracked but found by looking: a component with its
 * initial value is not in use.  XSAVEOPT does not use the "modified" optimization.  As CPUID says,
 * the selectors of the last x87 instruction and operand are stored as zero.
 *
 * Outside 64-bit mode registers 8 to 15 are neither stored nor changed.
 */
#include "cpu/hostrun.h"
#include "cpu/operand.h"
#include "cpu/ops.h"

#include <string.h>

enum { X87 = 1, SSE = 2, AVX = 4 };

enum {
    MXCSR_MASK = 0xffff,
    MXCSR_INIT = 0x1f80,
    X_MXCSR = 24,
    X_ST = 32,
    X_XMM = 160,
    X_HEADER = 512,
    X_AVX = 576,
    X_SIZE = 832,
};

/* Bytes of XMM or of upper YMM halves that the mode has. */
static unsigned vector_bytes(const struct cpu *c)
{
    return c->code == CODE64 ? 256 : 128;
}

/* The first 24 bytes: control words and pointers. */
static void put_control(const struct cpu *c, const struct insn *i, u8 *p)
{
    const struct xsave_area *x = &c->s.x;
    memcpy(p, x, 24);
    p[5] = 0;
    if (!(i->rex & REX_W)) {
        memset(p + 12, 0, 4);
        memset(p + 20, 0, 4);
    }
}

static void take_control(struct cpu *c, const struct insn *i, const u8 *p)
{
    struct xsave_area *x = &c->s.x;
    memcpy(x, p, 24);
    x->rsvd0 = 0;
    x->fop &= 0x7ff;
    x87_settle(x);
    if (!(i->rex & REX_W)) {
        x->fip = (u32)x->fip;
        x->fdp = (u32)x->fdp;
    }
}

/* The registers are ten bytes each; what lies between them reads as zero. */
static void take_st(struct cpu *c, const u8 *p)
{
    for (unsigned n = 0; n < 8; n++) {
        memcpy(c->s.x.st[n], p + 16 * n, 10);
        memset(c->s.x.st[n] + 10, 0, 6);
    }
}

static void init_x87(struct cpu *c)
{
    struct xsave_area *x = &c->s.x;
    memset(x, 0, 24);
    x->fcw = 0x37f;
    memset(x->st, 0, sizeof(x->st));
}

static void put_mxcsr(const struct cpu *c, u8 *p)
{
    u32 mask = MXCSR_MASK;
    memcpy(p, &c->s.x.mxcsr, 4);
    memcpy(p + 4, &mask, 4);
}

/* ------------------------------------------------- FXSAVE, FXRSTOR -- */

static u64 fx_linear(struct cpu *c, const struct insn *i, enum seg_access a)
{
    x87_check_nm(c);
    u64 lin = mem_linear(c, i, 512, a);
    if (lin & 15)
        cpu_gp(c, 0);
    return lin;
}

/* EFER.FFXSR: supervisor code in 64-bit mode leaves the XMM registers out. */
static bool fast_fxsr(const struct cpu *c)
{
    return (c->s.efer & EFER_FFXSR) && c->code == CODE64 && c->cpl == 0;
}

void exec_fxsave(struct cpu *c, const struct insn *i)
{
    u64 lin = fx_linear(c, i, SEG_WRITE);
    u8 image[X_XMM + 256];
    unsigned len = X_XMM + (fast_fxsr(c) ? 0 : vector_bytes(c));
    put_control(c, i, image);
    put_mxcsr(c, image + X_MXCSR);
    memcpy(image + X_ST, c->s.x.st, 128);
    memcpy(image + X_XMM, c->s.x.xmm, 256);
    mmu_write_bytes(c, lin, image, len);
}

void exec_fxrstor(struct cpu *c, const struct insn *i)
{
    u64 lin = fx_linear(c, i, SEG_READ);
    u8 image[512];
    u32 mxcsr;
    mmu_read_bytes(c, lin, image, sizeof(image));
    memcpy(&mxcsr, image + X_MXCSR, 4);
    if (mxcsr & ~MXCSR_MASK)
        cpu_gp(c, 0);
    take_control(c, i, image);
    c->s.x.mxcsr = mxcsr;
    take_st(c, image + X_ST);
    if (!fast_fxsr(c))
        memcpy(c->s.x.xmm, image + X_XMM, vector_bytes(c));
}

/* ----------------------------------------------------------- XSAVE -- */

static bool all_zero(const void *p, unsigned n)
{
    const u8 *b = p;
    return !b[0] && !memcmp(b, b + 1, n - 1);
}

static u64 in_use(const struct cpu *c)
{
    const struct xsave_area *x = &c->s.x;
    u64 v = 0;
    if (x->fcw != 0x37f || x->fsw || x->ftw || x->fop || x->fip || x->fdp ||
        !all_zero(x->st, sizeof(x->st)))
        v |= X87;
    if (!all_zero(x->xmm, sizeof(x->xmm)))
        v |= SSE;
    if (!all_zero(x->ymmh, sizeof(x->ymmh)))
        v |= AVX;
    return v;
}

/* The checks that all of them make; gives the requested components and the linear address. */
static u64 xsave_begin(struct cpu *c, const struct insn *i, enum seg_access a, u64 *lin)
{
    if (!(c->s.cr4 & CR4_OSXSAVE))
        cpu_ud(c);
    if (c->s.cr0 & CR0_TS)
        cpu_raise(c, EXC_NM, NO_ERROR_CODE);
    u64 rfbm = c->s.xcr0 & ((u64)(u32)c->s.gpr[RDX] << 32 | (u32)c->s.gpr[RAX]);
    unsigned len = rfbm & AVX ? X_AVX + vector_bytes(c) : X_AVX;
    *lin = mem_linear(c, i, len, a);
    if (*lin & 63)
        cpu_gp(c, 0);
    if (a == SEG_WRITE)
        mmu_probe_write(c, *lin, len);
    return rfbm;
}

static void put_components(struct cpu *c, const struct insn *i, u64 lin, u64 which)
{
    if (which & X87) {
        u8 control[24];
        put_control(c, i, control);
        mmu_write_bytes(c, lin, control, sizeof(control));
        mmu_write_bytes(c, lin + X_ST, c->s.x.st, 128);
    }
    if (which & SSE)
        mmu_write_bytes(c, lin + X_XMM, c->s.x.xmm, vector_bytes(c));
    if (which & AVX)
        mmu_write_bytes(c, lin + X_AVX, c->s.x.ymmh, vector_bytes(c));
}

static void put_mxcsr_at(struct cpu *c, u64 lin)
{
    u8 p[8];
    put_mxcsr(c, p);
    mmu_write_bytes(c, lin + X_MXCSR, p, sizeof(p));
}

static void xsave_standard(struct cpu *c, const struct insn *i, bool optimized)
{
    u64 lin, rfbm = xsave_begin(c, i, SEG_WRITE, &lin), used = in_use(c);
    u64 bv = mmu_read(c, lin + X_HEADER, 8);
    put_components(c, i, lin, optimized ? rfbm & used : rfbm);
    if (rfbm & (SSE | AVX))
        put_mxcsr_at(c, lin);
    mmu_write(c, lin + X_HEADER, 8, (bv & ~rfbm) | (used & rfbm));
}

void exec_xsave(struct cpu *c, const struct insn *i)
{
    xsave_standard(c, i, false);
}

void exec_xsaveopt(struct cpu *c, const struct insn *i)
{
    xsave_standard(c, i, true);
}

/* Compacted: AVX, the only extended component, has the same place as in the standard form. */
void exec_xsavec(struct cpu *c, const struct insn *i)
{
    u64 lin, rfbm = xsave_begin(c, i, SEG_WRITE, &lin), used = in_use(c);
    if (c->s.x.mxcsr != MXCSR_INIT)
        used |= SSE;
    put_components(c, i, lin, rfbm & used);
    if (rfbm & used & SSE)
        put_mxcsr_at(c, lin);
    mmu_write(c, lin + X_HEADER, 8, rfbm & used);
    mmu_write(c, lin + X_HEADER + 8, 8, rfbm | BIT64(63));
}

void exec_xrstor(struct cpu *c, const struct insn *i)
{
    u64 lin, rfbm = xsave_begin(c, i, SEG_READ, &lin);
    u64 header[8];
    u8 image[X_SIZE];
    mmu_read_bytes(c, lin, image, rfbm & AVX ? X_AVX + vector_bytes(c) : X_AVX);
    memcpy(header, image + X_HEADER, sizeof(header));
    u64 bv = header[0], comp = header[1];
    bool compacted = comp >> 63;
    if (compacted) {
        if ((comp & ~(c->s.xcr0 | BIT64(63))) || (bv & ~comp) || !all_zero(header + 2, 48))
            cpu_gp(c, 0);
    } else if ((bv & ~c->s.xcr0) || comp || header[2]) {
        cpu_gp(c, 0);
    }
    u32 mxcsr;
    memcpy(&mxcsr, image + X_MXCSR, 4);
    if (compacted && !(bv & SSE))
        mxcsr = MXCSR_INIT;
    bool take_mxcsr = rfbm & (compacted ? SSE : SSE | AVX);
    if (take_mxcsr && (mxcsr & ~MXCSR_MASK))
        cpu_gp(c, 0);

    if (take_mxcsr)
        c->s.x.mxcsr = mxcsr;
    if (rfbm & bv & X87) {
        take_control(c, i, image);
        take_st(c, image + X_ST);
    } else if (rfbm & X87) {
        init_x87(c);
    }
    if (rfbm & bv & SSE)
        memcpy(c->s.x.xmm, image + X_XMM, vector_bytes(c));
    else if (rfbm & SSE)
        memset(c->s.x.xmm, 0, vector_bytes(c));
    if (rfbm & bv & AVX)
        memcpy(c->s.x.ymmh, image + X_AVX, vector_bytes(c));
    else if (rfbm & AVX)
        memset(c->s.x.ymmh, 0, vector_bytes(c));
}

/* ----------------------------------------------------------- MXCSR -- */

void exec_ldmxcsr(struct cpu *c, const struct insn *i)
{
    hostrun_check(c, i);
    u32 v = (u32)mem_op_read(c, i, 4);
    if (v & ~MXCSR_MASK)
        cpu_gp(c, 0);
    c->s.x.mxcsr = v;
}

void exec_stmxcsr(struct cpu *c, const struct insn *i)
{
    hostrun_check(c, i);
    mem_op_write(c, i, 4, c->s.x.mxcsr);
}
