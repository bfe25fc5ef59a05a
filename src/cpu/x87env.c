/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x87 environment in memory: FNSTENV, FLDENV, FNSAVE, FRSTOR in their four formats (16 or 32
 * bits; protected, or real and virtual-8086 mode), and FWAIT.  SDM volume 1, 8.1.10.
 *
 * The selectors of the last instruction and operand are stored as zero, as CPUID says.  In real and
 * virtual-8086 mode the register image holds linear addresses.
 */
#include "base/endian.h"
#include "cpu/hostrun.h"
#include "cpu/operand.h"
#include "cpu/ops.h"

#include <string.h>

enum { TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY };

static unsigned tag_of(const u8 *st)
{
    unsigned exp = le16_get(st + 8) & 0x7fff;
    u64 m = le64_get(st);
    if (!exp && !m)
        return TAG_ZERO;
    return exp == 0x7fff || !exp || !(m >> 63) ? TAG_SPECIAL : TAG_VALID;
}

/* The image has one bit a register, the environment two; st[] is in stack order, tags are not. */
static u16 full_tag(const struct xsave_area *x)
{
    unsigned top = x->fsw >> 11 & 7;
    u16 v = 0;
    for (unsigned n = 0; n < 8; n++) {
        unsigned tag = x->ftw >> n & 1 ? tag_of(x->st[(n - top) & 7]) : TAG_EMPTY;
        v |= (u16)(tag << 2 * n);
    }
    return v;
}

static u8 short_tag(u16 tag)
{
    u8 v = 0;
    for (unsigned n = 0; n < 8; n++)
        if ((tag >> 2 * n & 3) != TAG_EMPTY)
            v |= (u8)(1 << n);
    return v;
}

static unsigned env_size(const struct insn *i)
{
    return i->opsize == 2 ? 14 : 28;
}

static void put_env(const struct cpu *c, const struct insn *i, u8 *p)
{
    const struct xsave_area *x = &c->s.x;
    bool linear = c->real || c->vm86;
    u32 fip = (u32)x->fip, fdp = (u32)x->fdp;
    if (i->opsize == 2) {
        le16_put(p, x->fcw);
        le16_put(p + 2, x->fsw);
        le16_put(p + 4, full_tag(x));
        le16_put(p + 6, (u16)fip);
        le16_put(p + 8, linear ? (u16)((fip >> 16 & 15) << 12 | x->fop) : 0);
        le16_put(p + 10, (u16)fdp);
        le16_put(p + 12, linear ? (u16)((fdp >> 16 & 15) << 12) : 0);
        return;
    }
    le32_put(p, 0xffff0000 | x->fcw);
    le32_put(p + 4, 0xffff0000 | x->fsw);
    le32_put(p + 8, 0xffff0000 | full_tag(x));
    le32_put(p + 12, linear ? 0xffff0000 | (u16)fip : fip);
    le32_put(p + 16, linear ? (fip >> 16) << 12 | x->fop : (u32)x->fop << 16);
    le32_put(p + 20, linear ? 0xffff0000 | (u16)fdp : fdp);
    le32_put(p + 24, linear ? (fdp >> 16) << 12 : 0xffff0000);
}

static void take_env(struct cpu *c, const struct insn *i, const u8 *p)
{
    struct xsave_area *x = &c->s.x;
    bool linear = c->real || c->vm86, narrow = i->opsize == 2;
    unsigned step = narrow ? 2 : 4;
    x->fcw = le16_get(p);
    x->fsw = le16_get(p + step);
    x87_settle(x);
    x->ftw = short_tag(le16_get(p + 2 * step));
    if (narrow) {
        u16 hi = le16_get(p + 8);
        x->fip = le16_get(p + 6) | (linear ? (u32)(hi >> 12) << 16 : 0);
        x->fdp = le16_get(p + 10) | (linear ? (u32)(le16_get(p + 12) >> 12) << 16 : 0);
        x->fop = linear ? hi & 0x7ff : 0;
        return;
    }
    u32 hi = le32_get(p + 16);
    x->fip = linear ? le16_get(p + 12) | (hi >> 12) << 16 : le32_get(p + 12);
    x->fdp = linear ? le16_get(p + 20) | (le32_get(p + 24) >> 12) << 16 : le32_get(p + 20);
    x->fop = (linear ? hi : hi >> 16) & 0x7ff;
}

static void init(struct cpu *c)
{
    struct xsave_area *x = &c->s.x;
    x->fcw = 0x37f;
    x->fsw = 0;
    x->ftw = 0;
    x->fop = 0;
    x->fip = x->fdp = 0;
}

void exec_fnstenv(struct cpu *c, const struct insn *i)
{
    u8 env[28];
    hostrun_check(c, i);
    put_env(c, i, env);
    mmu_write_bytes(c, mem_linear(c, i, env_size(i), SEG_WRITE), env, env_size(i));
    c->s.x.fcw |= 0x3f;
}

void exec_fldenv(struct cpu *c, const struct insn *i)
{
    u8 env[28];
    hostrun_check(c, i);
    mmu_read_bytes(c, mem_linear(c, i, env_size(i), SEG_READ), env, env_size(i));
    /* The registers stay where they are; the image orders them by the top of the stack. */
    u8 st[8][16];
    unsigned old = c->s.x.fsw >> 11 & 7;
    memcpy(st, c->s.x.st, sizeof(st));
    take_env(c, i, env);
    unsigned now = c->s.x.fsw >> 11 & 7;
    for (unsigned n = 0; n < 8; n++)
        memcpy(c->s.x.st[n], st[(n + now - old) & 7], 16);
}

void exec_fnsave(struct cpu *c, const struct insn *i)
{
    u8 image[108];
    unsigned env = env_size(i), len = env + 80;
    hostrun_check(c, i);
    put_env(c, i, image);
    for (unsigned n = 0; n < 8; n++)
        memcpy(image + env + 10 * n, c->s.x.st[n], 10);
    mmu_write_bytes(c, mem_linear(c, i, len, SEG_WRITE), image, len);
    /* The top of the stack becomes 0. */
    u8 st[8][16];
    unsigned top = c->s.x.fsw >> 11 & 7;
    memcpy(st, c->s.x.st, sizeof(st));
    for (unsigned n = 0; n < 8; n++)
        memcpy(c->s.x.st[n], st[(n - top) & 7], 16);
    init(c);
}

void exec_frstor(struct cpu *c, const struct insn *i)
{
    u8 image[108];
    unsigned env = env_size(i), len = env + 80;
    hostrun_check(c, i);
    mmu_read_bytes(c, mem_linear(c, i, len, SEG_READ), image, len);
    take_env(c, i, image);
    for (unsigned n = 0; n < 8; n++) {
        memcpy(c->s.x.st[n], image + env + 10 * n, 10);
        memset(c->s.x.st[n] + 10, 0, 6);
    }
}

void exec_fwait(struct cpu *c, const struct insn *i)
{
    if ((c->s.cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
        cpu_raise(c, EXC_NM, NO_ERROR_CODE);
    x87_check_pending(c);
}
