/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Far jumps, calls and returns, call gates, IRET.  SDM volume 2, CALL, JMP, RET, IRET; volume 3,
 * 5.8, 6.12, 7 and 20.
 */
#include "cpu/far.h"

#include "cpu/mmu.h"
#include "cpu/segment.h"
#include "cpu/stackframe.h"
#include "cpu/sysinsn.h"
#include "cpu/task.h"

enum { SYS_TSS16 = 1, SYS_GATE16 = 4, SYS_TASK_GATE = 5, SYS_TSS32 = 9, SYS_GATE32 = 12 };

static u64 cut(u64 v, unsigned size)
{
    return size == 8 ? v : size == 4 ? (u32)v : (u16)v;
}

/* #GP(0) unless the segment holds the offset. */
static void check_target(struct cpu *c, const struct segment *cs, u64 off)
{
    bool ok = c->long_mode && (cs->attr & SEG_L) ? canonical(off) : off <= cs->limit;

    if (!ok)
        cpu_gp(c, 0);
}

static void enter(struct cpu *c, const struct segment *cs, u64 off)
{
    c->s.seg[CS] = *cs;
    c->next_rip = off;
    cpu_derive(c);
}

static void enter_real(struct cpu *c, u16 sel, u64 off)
{
    c->s.seg[CS].sel = sel;
    c->s.seg[CS].base = (u32)sel << 4;
    c->next_rip = off;
    cpu_derive(c);
}

/* The code segment of a direct transfer or of a jump through a gate, which keeps CPL. */
static struct segment same_level(struct cpu *c, u16 sel, u64 d, u64 lin, bool check_rpl)
{
    unsigned type = d >> 40 & 0x1f, dpl = desc_dpl(d);
    u32 err = sel & ~3u;

    if ((type & 0x18) != 0x18)
        cpu_gp(c, err);
    if (type & 4 ? dpl > c->cpl : dpl != c->cpl || (check_rpl && (sel & 3u) > c->cpl))
        cpu_gp(c, err);
    if (c->long_mode && (d >> 53 & 3) == 3)
        cpu_gp(c, err);
    if (!(d >> 47 & 1))
        cpu_raise(c, EXC_NP, err);
    desc_set_accessed(c, lin, d);
    return desc_segment(d, (u16)((sel & ~3u) | c->cpl));
}

/* ------------------------------------------------ gates -- */

struct gate {
    u16 sel;
    u64 off;
    unsigned params;
    unsigned size; /* 2, 4 or 8 */
};

/* What a system descriptor met by a far transfer leads to; false: it was a task and is done. */
static bool open_gate(struct cpu *c, u16 sel, u64 d, u64 lin, enum task_reason why, struct gate *g)
{
    unsigned type = d >> 40 & 0x1f, dpl = desc_dpl(d);
    u32 err = sel & ~3u;
    bool legacy_ok = type == SYS_TSS16 || type == SYS_TSS32 || type == SYS_TASK_GATE ||
                     type == SYS_GATE16 || type == SYS_GATE32;

    if (c->long_mode ? type != SYS_GATE32 : !legacy_ok)
        cpu_gp(c, err);
    if (dpl < c->cpl || dpl < (sel & 3u))
        cpu_gp(c, err);
    if (!(d >> 47 & 1))
        cpu_raise(c, EXC_NP, err);
    if (type == SYS_TSS16 || type == SYS_TSS32) {
        if (sel & 4)
            cpu_gp(c, err);
        task_switch(c, sel, d, why, NO_ERROR_CODE);
        return false;
    }
    g->sel = (u16)(d >> 16);
    if (type == SYS_TASK_GATE) {
        u64 tlin;
        if (g->sel & 4)
            cpu_gp(c, g->sel & ~3u);
        u64 t = desc_read(c, g->sel, EXC_GP, &tlin);
        unsigned ttype = t >> 40 & 0x1f;
        if (ttype != SYS_TSS16 && ttype != SYS_TSS32)
            cpu_gp(c, g->sel & ~3u);
        task_switch(c, g->sel, t, why, NO_ERROR_CODE);
        return false;
    }
    g->off = (d & 0xffff) | (type == SYS_GATE32 ? d >> 48 << 16 : 0);
    g->params = d >> 32 & 0x1f;
    g->size = type == SYS_GATE32 ? 4 : 2;
    if (c->long_mode) {
        u64 high = mmu_read_sys(c, lin + 8, 8);
        if (high >> 40 & 0x1f)
            cpu_gp(c, err);
        g->off |= high << 32;
        g->size = 8;
        g->params = 0;
    }
    if (!(g->sel & ~3u))
        cpu_gp(c, 0);
    return true;
}

static void gate_code_check(struct cpu *c, u16 sel, u64 d)
{
    if ((d >> 40 & 0x18) != 0x18 || desc_dpl(d) > c->cpl || (c->long_mode && (d >> 53 & 3) != 1))
        cpu_gp(c, sel & ~3u);
    if (!(d >> 47 & 1))
        cpu_raise(c, EXC_NP, sel & ~3u);
}

/* A call through a gate to an inner level. */
static void call_inner(struct cpu *c, const struct gate *g, u64 d, u64 lin)
{
    unsigned dpl = desc_dpl(d);
    struct segment cs = desc_segment(d, (u16)((g->sel & ~3u) | dpl));
    struct frame f, old = frame_here(c);
    u64 param[31];

    for (unsigned i = 0; i < g->params; i++)
        param[i] = frame_pop(c, &old, g->size);
    f = c->long_mode ? frame_long(c, task_stack64(c, dpl), dpl) : frame_inner(c, dpl);
    frame_push(c, &f, g->size, c->s.seg[SS].sel);
    frame_push(c, &f, g->size, c->s.gpr[RSP]);
    for (unsigned i = g->params; i > 0; i--)
        frame_push(c, &f, g->size, param[i - 1]);
    frame_push(c, &f, g->size, c->s.seg[CS].sel);
    frame_push(c, &f, g->size, c->next_rip);
    check_target(c, &cs, g->off);
    desc_set_accessed(c, lin, d);
    frame_commit(c, &f);
    if (c->long_mode)
        c->s.seg[SS] = (struct segment){.sel = (u16)dpl, .attr = (u16)(dpl << 5)};
    enter(c, &cs, g->off);
}

static void call_gate(struct cpu *c, const struct gate *g)
{
    u64 lin, d = desc_read(c, g->sel, EXC_GP, &lin);

    gate_code_check(c, g->sel, d);
    if (!(d >> 42 & 1) && desc_dpl(d) < c->cpl) {
        call_inner(c, g, d, lin);
        return;
    }
    struct segment cs = desc_segment(d, (u16)((g->sel & ~3u) | c->cpl));
    struct frame f = frame_here(c);
    frame_push(c, &f, g->size, c->s.seg[CS].sel);
    frame_push(c, &f, g->size, c->next_rip);
    check_target(c, &cs, g->off);
    desc_set_accessed(c, lin, d);
    frame_commit(c, &f);
    enter(c, &cs, g->off);
}

/* ------------------------------------------------ jumps and calls -- */

void far_jmp(struct cpu *c, u16 sel, u64 off, unsigned opsize)
{
    struct gate g;
    u64 lin;

    off = cut(off, opsize);
    if (c->real || c->vm86) {
        if (off > c->s.seg[CS].limit)
            cpu_gp(c, 0);
        enter_real(c, sel, off);
        return;
    }
    if (!(sel & ~3u))
        cpu_gp(c, 0);
    u64 d = desc_read(c, sel, EXC_GP, &lin);
    if (!(d >> 44 & 1)) {
        if (!open_gate(c, sel, d, lin, TASK_JMP, &g))
            return;
        d = desc_read(c, g.sel, EXC_GP, &lin);
        if (c->long_mode && (d >> 53 & 3) != 1)
            cpu_gp(c, g.sel & ~3u);
        sel = g.sel;
        off = g.off;
    } else {
        g.sel = 0;
    }
    struct segment cs = same_level(c, sel, d, lin, !g.sel);
    check_target(c, &cs, off);
    enter(c, &cs, off);
}

void far_call(struct cpu *c, u16 sel, u64 off, unsigned opsize)
{
    struct gate g;
    u64 lin;
    bool real = c->real || c->vm86;

    off = cut(off, opsize);
    struct segment cs = {0};
    if (real) {
        if (off > c->s.seg[CS].limit)
            cpu_gp(c, 0);
    } else {
        if (!(sel & ~3u))
            cpu_gp(c, 0);
        u64 d = desc_read(c, sel, EXC_GP, &lin);
        if (!(d >> 44 & 1)) {
            if (open_gate(c, sel, d, lin, TASK_CALL, &g))
                call_gate(c, &g);
            return;
        }
        cs = same_level(c, sel, d, lin, true);
        check_target(c, &cs, off);
    }
    struct frame f = frame_here(c);
    frame_push(c, &f, opsize, c->s.seg[CS].sel);
    frame_push(c, &f, opsize, c->next_rip);
    frame_commit(c, &f);
    if (real)
        enter_real(c, sel, off);
    else
        enter(c, &cs, off);
}

/* ------------------------------------------------ returns -- */

/* The code segment that a return leads to; RPL is the new CPL. */
static struct segment return_code(struct cpu *c, u16 sel)
{
    u64 lin;
    u32 err = sel & ~3u;
    unsigned rpl = sel & 3;

    if (!err)
        cpu_gp(c, 0);
    u64 d = desc_read(c, sel, EXC_GP, &lin);
    unsigned type = d >> 40 & 0x1f, dpl = desc_dpl(d);
    if (rpl < c->cpl || (type & 0x18) != 0x18 || (type & 4 ? dpl > rpl : dpl != rpl) ||
        (c->long_mode && (d >> 53 & 3) == 3))
        cpu_gp(c, err);
    if (!(d >> 47 & 1))
        cpu_raise(c, EXC_NP, err);
    desc_set_accessed(c, lin, d);
    return desc_segment(d, sel);
}

/* The stack segment of the outer level cpl; cs is what runs there. */
static struct segment return_stack(struct cpu *c, u16 sel, unsigned cpl, const struct segment *cs)
{
    u64 lin;
    u32 err = sel & ~3u;

    if (!err) {
        if (c->long_mode && (cs->attr & SEG_L) && cpl != 3 && (sel & 3u) == cpl)
            return (struct segment){.sel = sel, .attr = (u16)(cpl << 5)};
        cpu_gp(c, 0);
    }
    u64 d = desc_read(c, sel, EXC_GP, &lin);
    if ((sel & 3u) != cpl || desc_dpl(d) != cpl || (d >> 40 & 0x1a) != 0x12)
        cpu_gp(c, err);
    if (!(d >> 47 & 1))
        cpu_raise(c, EXC_SS, err);
    desc_set_accessed(c, lin, d);
    return desc_segment(d, sel);
}

/* Data segments that the outer level may not use become null. */
static void drop_inner_segments(struct cpu *c)
{
    static const u8 regs[] = {ES, DS, FS, GS};

    for (unsigned i = 0; i < ARRAY_SIZE(regs); i++) {
        struct segment *s = &c->s.seg[regs[i]];
        bool conforming = (s->attr & (SEG_S | 0xc)) == (SEG_S | 0xc);
        if ((s->attr & SEG_P) && !conforming && (s->attr & SEG_DPL) >> 5 < c->cpl) {
            *s = (struct segment){0};
            seg_derive(c, regs[i]);
        }
    }
}

static void set_stack(struct cpu *c, const struct segment *ss, u64 sp, bool long64)
{
    c->s.seg[SS] = *ss;
    if (long64)
        c->s.gpr[RSP] = sp;
    else if (ss->attr & SEG_DB)
        c->s.gpr[RSP] = (u32)sp;
    else
        c->s.gpr[RSP] = (c->s.gpr[RSP] & ~0xffffull) | (u16)sp;
}

void far_ret(struct cpu *c, unsigned opsize, unsigned release)
{
    struct frame f = frame_here(c);
    u64 off = frame_pop(c, &f, opsize);
    u16 sel = (u16)frame_pop(c, &f, opsize);

    if (c->real || c->vm86) {
        if (off > c->s.seg[CS].limit)
            cpu_gp(c, 0);
        f.sp = (f.sp + release) & f.mask;
        frame_commit(c, &f);
        enter_real(c, sel, off);
        return;
    }
    struct segment cs = return_code(c, sel);
    unsigned cpl = sel & 3;
    f.sp = (f.sp + release) & f.mask;
    if (cpl == c->cpl) {
        check_target(c, &cs, off);
        frame_commit(c, &f);
        enter(c, &cs, off);
        return;
    }
    u64 sp = frame_pop(c, &f, opsize);
    u16 ss_sel = (u16)frame_pop(c, &f, opsize);
    struct segment ss = return_stack(c, ss_sel, cpl, &cs);
    check_target(c, &cs, off);
    set_stack(c, &ss, sp, c->long_mode && (cs.attr & SEG_L));
    enter(c, &cs, off);
    stack_add(c, release);
    drop_inner_segments(c);
}

/* ------------------------------------------------ IRET -- */

/* Which bits of RFLAGS a popped value may change at this privilege. */
static u64 flags_mask(const struct cpu *c, unsigned opsize)
{
    u64 m = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_RF | FLAG_AC | FLAG_ID;

    if (c->cpl == 0)
        m |= FLAG_IOPL | FLAG_IF | FLAG_VIF | FLAG_VIP;
    else if (c->cpl <= (c->s.rflags & FLAG_IOPL) >> 12)
        m |= FLAG_IF;
    return opsize == 2 ? m & 0xffff : m;
}

static void iret_real(struct cpu *c, unsigned opsize)
{
    struct frame f = frame_here(c);
    u64 off = frame_pop(c, &f, opsize);
    u16 sel = (u16)frame_pop(c, &f, opsize);
    u64 flags = frame_pop(c, &f, opsize), mask = flags_mask(c, opsize);

    if (off > c->s.seg[CS].limit)
        cpu_gp(c, 0);
    if (c->vm86)
        mask = (mask | FLAG_IF) & ~(u64)(FLAG_IOPL | FLAG_VIF | FLAG_VIP);
    else
        mask &= ~(u64)(FLAG_VIF | FLAG_VIP);
    frame_commit(c, &f);
    flags_write(c, flags, mask);
    enter_real(c, sel, off);
}

/* Virtual-8086 mode with IOPL below 3 and CR4.VME: IF is VIF. */
static void iret_vme(struct cpu *c)
{
    struct frame f = frame_here(c);
    u64 off = frame_pop(c, &f, 2);
    u16 sel = (u16)frame_pop(c, &f, 2);
    u64 flags = frame_pop(c, &f, 2);

    if (((flags & FLAG_IF) && (c->s.rflags & FLAG_VIP)) || (flags & FLAG_TF))
        cpu_gp(c, 0);
    frame_commit(c, &f);
    flags |= flags & FLAG_IF ? FLAG_VIF : 0;
    flags_write(c, flags, FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_VIF);
    enter_real(c, sel, off);
}

static void iret_task(struct cpu *c)
{
    u64 lin;
    u16 sel = (u16)mmu_read_sys(c, (u32)c->s.tr.base, 2);
    u32 err = sel & ~3u;

    if (sel & 4)
        cpu_raise(c, EXC_TS, err);
    u64 d = desc_read(c, sel, EXC_TS, &lin);
    unsigned type = d >> 40 & 0x1f;
    if (type != (SYS_TSS16 | 2) && type != (SYS_TSS32 | 2))
        cpu_raise(c, EXC_TS, err);
    task_switch(c, sel, d, TASK_IRET, NO_ERROR_CODE);
}

static void iret_to_vm86(struct cpu *c, struct frame *f, u64 off, u16 sel, u64 flags)
{
    static const u8 order[] = {ES, DS, FS, GS};
    u64 sp = frame_pop(c, f, 4);
    u16 ss = (u16)frame_pop(c, f, 4), data[4];

    for (unsigned i = 0; i < 4; i++)
        data[i] = (u16)frame_pop(c, f, 4);
    if (off > 0xffff)
        cpu_gp(c, 0);
    c->s.rflags = (flags & 0x3f7fd5) | FLAG_1;
    c->s.gpr[RSP] = sp;
    c->vm86 = true;
    seg_load_real(c, CS, sel);
    seg_load_real(c, SS, ss);
    for (unsigned i = 0; i < 4; i++)
        seg_load_real(c, order[i], data[i]);
    c->s.int_shadow = false;
    c->next_rip = off;
    cpu_derive(c);
}

static void iret_protected(struct cpu *c, unsigned opsize)
{
    struct frame f = frame_here(c);
    u64 off = frame_pop(c, &f, opsize);
    u16 sel = (u16)frame_pop(c, &f, opsize);
    u64 flags = frame_pop(c, &f, opsize), mask = flags_mask(c, opsize);

    if (opsize == 4 && (flags & FLAG_VM) && c->cpl == 0 && !c->long_mode) {
        iret_to_vm86(c, &f, off, sel, flags);
        return;
    }
    struct segment cs = return_code(c, sel);
    unsigned cpl = sel & 3;
    bool with_stack = cpl != c->cpl || c->code == CODE64;
    if (with_stack) {
        u64 sp = frame_pop(c, &f, opsize);
        u16 ss_sel = (u16)frame_pop(c, &f, opsize);
        struct segment ss = return_stack(c, ss_sel, cpl, &cs);
        check_target(c, &cs, off);
        set_stack(c, &ss, sp, c->long_mode && (cs.attr & SEG_L));
    } else {
        check_target(c, &cs, off);
        frame_commit(c, &f);
    }
    bool outer = cpl != c->cpl;
    flags_write(c, flags, mask);
    enter(c, &cs, off);
    if (outer)
        drop_inner_segments(c);
}

void far_iret(struct cpu *c, unsigned opsize)
{
    c->s.nmi_blocked = false;
    c->leave = true;
    if (c->real) {
        iret_real(c, opsize);
    } else if (c->vm86) {
        if ((c->s.rflags & FLAG_IOPL) == FLAG_IOPL)
            iret_real(c, opsize);
        else if (opsize == 2 && (c->s.cr4 & CR4_VME))
            iret_vme(c);
        else
            cpu_gp(c, 0);
    } else if (c->s.rflags & FLAG_NT) {
        if (c->long_mode)
            cpu_gp(c, 0);
        iret_task(c);
    } else {
        iret_protected(c, opsize);
    }
}
