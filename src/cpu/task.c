/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The task-state segment and hardware task switches, 16- and 32-bit.  SDM volume 3, chapter 7.
 *
 * A switch first reads the whole new TSS and writes the old one; then it is committed, and what is
 * wrong with the new task's selectors is that task's fault, at its first instruction.
 */
#include "cpu/task.h"

#include "cpu/mmu.h"
#include "cpu/segment.h"
#include "cpu/stackframe.h"
#include "cpu/sysinsn.h"

enum { TSS_BUSY = 2, TSS_32 = 8 };
enum { DR6_BT = 1 << 15, DR7_LOCAL = 0x155 };

/* Where things are in the two kinds of TSS; SDM figures 7-2 and 7-10. */
struct tss_layout {
    u8 size; /* of a register */
    u8 ip, flags, gpr, seg, nseg, seg_step, ldt;
    u16 min_limit;
};
static const struct tss_layout tss16 = {2, 0x0e, 0x10, 0x12, 0x22, 4, 2, 0x2a, 0x2b};
static const struct tss_layout tss32 = {4, 0x20, 0x24, 0x28, 0x48, 6, 4, 0x60, 0x67};
enum { TSS32_CR3 = 0x1c, TSS32_TRAP = 0x64 };

struct tss_image {
    u32 cr3, ip, flags, gpr[8];
    u16 seg[SEG_COUNT], ldt;
    bool trap;
};

static bool is_tss32(u16 attr)
{
    return attr & TSS_32;
}

static u32 lin32(u64 base, u32 off)
{
    return (u32)(base + off);
}

void task_stack(struct cpu *c, unsigned cpl, u16 *ss, u64 *sp)
{
    const struct segment *tr = &c->s.tr;
    u32 size = is_tss32(tr->attr) ? 4 : 2, off = size + cpl * 2 * size;

    if (off + size + 1 > tr->limit)
        cpu_raise(c, EXC_TS, tr->sel & ~3u);
    *sp = mmu_read_sys(c, lin32(tr->base, off), size);
    *ss = (u16)mmu_read_sys(c, lin32(tr->base, off + size), 2);
}

u64 task_stack64(struct cpu *c, unsigned n)
{
    u32 off = 4 + n * 8;

    if (off + 7 > c->s.tr.limit)
        cpu_raise(c, EXC_TS, c->s.tr.sel & ~3u);
    u64 sp = mmu_read_sys(c, c->s.tr.base + off, 8);
    if (!canonical(sp))
        cpu_raise(c, EXC_SS, 0);
    return sp;
}

/* ------------------------------------------------ images -- */

static struct tss_image read_tss(struct cpu *c, const struct segment *tr)
{
    const struct tss_layout *l = is_tss32(tr->attr) ? &tss32 : &tss16;
    struct tss_image t = {0};

    for (unsigned i = 0; i < 8; i++)
        t.gpr[i] = (u32)mmu_read_sys(c, lin32(tr->base, l->gpr + i * l->size), l->size);
    for (unsigned i = 0; i < l->nseg; i++)
        t.seg[i] = (u16)mmu_read_sys(c, lin32(tr->base, l->seg + i * l->seg_step), 2);
    t.ip = (u32)mmu_read_sys(c, lin32(tr->base, l->ip), l->size);
    t.flags = (u32)mmu_read_sys(c, lin32(tr->base, l->flags), l->size);
    t.ldt = (u16)mmu_read_sys(c, lin32(tr->base, l->ldt), 2);
    if (l == &tss32) {
        t.cr3 = (u32)mmu_read_sys(c, lin32(tr->base, TSS32_CR3), 4);
        t.trap = mmu_read_sys(c, lin32(tr->base, TSS32_TRAP), 1) & 1;
    }
    return t;
}

static void write_tss(struct cpu *c, u64 ip, u64 flags)
{
    const struct segment *tr = &c->s.tr;
    const struct tss_layout *l = is_tss32(tr->attr) ? &tss32 : &tss16;

    mmu_write_sys(c, lin32(tr->base, l->ip), l->size, ip);
    mmu_write_sys(c, lin32(tr->base, l->flags), l->size, flags);
    for (unsigned i = 0; i < 8; i++)
        mmu_write_sys(c, lin32(tr->base, l->gpr + i * l->size), l->size, c->s.gpr[i]);
    for (unsigned i = 0; i < l->nseg; i++)
        mmu_write_sys(c, lin32(tr->base, l->seg + i * l->seg_step), 2, c->s.seg[i].sel);
}

static void set_busy(struct cpu *c, u16 sel, bool busy)
{
    u64 lin = lin32(c->s.gdtr.base, (sel & ~7u) + 5);
    u64 type = mmu_read_sys(c, lin, 1);

    mmu_write_sys(c, lin, 1, busy ? type | TSS_BUSY : type & ~(u64)TSS_BUSY);
}

/* ------------------------------------------------ the new task's segments -- */

static void load_ldt(struct cpu *c, u16 sel)
{
    u64 d, lin;

    c->s.ldtr = (struct segment){.sel = sel};
    if (!(sel & ~3u))
        return;
    if ((sel & 4) || !desc_try(c, sel, &d, &lin) || (d >> 40 & 0x1f) != 2 || !(d >> 47 & 1))
        cpu_raise(c, EXC_TS, sel & ~3u);
    c->s.ldtr = desc_segment(d, sel);
}

static void load_code(struct cpu *c, u16 sel)
{
    u64 d, lin;
    u32 err = sel & ~3u;
    unsigned rpl = sel & 3;

    if (!err || !desc_try(c, sel, &d, &lin))
        cpu_raise(c, EXC_TS, err);
    unsigned type = d >> 40 & 0x1f, dpl = desc_dpl(d);
    if ((type & 0x18) != 0x18 || (type & 4 ? dpl > rpl : dpl != rpl))
        cpu_raise(c, EXC_TS, err);
    if (!(d >> 47 & 1))
        cpu_raise(c, EXC_NP, err);
    desc_set_accessed(c, lin, d);
    c->s.seg[CS] = desc_segment(d, sel);
}

static void load_stack(struct cpu *c, u16 sel, unsigned cpl)
{
    u64 d, lin;
    u32 err = sel & ~3u;

    if (!err || !desc_try(c, sel, &d, &lin))
        cpu_raise(c, EXC_TS, err);
    if ((sel & 3u) != cpl || desc_dpl(d) != cpl || (d >> 40 & 0x1a) != 0x12)
        cpu_raise(c, EXC_TS, err);
    if (!(d >> 47 & 1))
        cpu_raise(c, EXC_SS, err);
    desc_set_accessed(c, lin, d);
    c->s.seg[SS] = desc_segment(d, sel);
}

static void load_data(struct cpu *c, enum seg_reg seg, u16 sel, unsigned cpl)
{
    u64 d, lin;
    u32 err = sel & ~3u;

    if (!err)
        return;
    if (!desc_try(c, sel, &d, &lin))
        cpu_raise(c, EXC_TS, err);
    unsigned type = d >> 40 & 0x1f, dpl = desc_dpl(d);
    bool conforming = (type & 0xc) == 0xc;
    if (!(type & 0x10) || (type & 0xa) == 8 || (!conforming && (dpl < cpl || dpl < (sel & 3u))))
        cpu_raise(c, EXC_TS, err);
    if (!(d >> 47 & 1))
        cpu_raise(c, EXC_NP, err);
    desc_set_accessed(c, lin, d);
    c->s.seg[seg] = desc_segment(d, sel);
}

static void load_segments(struct cpu *c, const struct tss_image *t)
{
    unsigned cpl = t->seg[CS] & 3;

    load_ldt(c, t->ldt);
    if (c->vm86) {
        for (unsigned i = 0; i < SEG_COUNT; i++)
            seg_load_real(c, i, t->seg[i]);
        c->s.int_shadow = false;
    } else {
        load_code(c, t->seg[CS]);
        load_stack(c, t->seg[SS], cpl);
        load_data(c, DS, t->seg[DS], cpl);
        load_data(c, ES, t->seg[ES], cpl);
        load_data(c, FS, t->seg[FS], cpl);
        load_data(c, GS, t->seg[GS], cpl);
    }
    cpu_derive(c);
}

/* ------------------------------------------------ the switch -- */

/* Puts everything in place that cannot fault; segments are selectors only for now. */
static void commit(struct cpu *c, const struct tss_image *t, const struct segment *tr, u32 flags)
{
    unsigned cpl = flags & FLAG_VM ? 3 : t->seg[CS] & 3;

    for (unsigned i = 0; i < 8; i++) {
        if (is_tss32(tr->attr))
            c->s.gpr[i] = t->gpr[i];
        else
            c->s.gpr[i] = 0xffff0000u | t->gpr[i];
    }
    for (unsigned i = 0; i < SEG_COUNT; i++)
        c->s.seg[i] = (struct segment){.sel = t->seg[i], .attr = (u16)(cpl << 5)};
    c->s.rflags = (flags & 0x3f7fd5) | FLAG_1;
    c->s.tr = *tr;
    c->s.cr0 |= CR0_TS;
    c->s.dr[7] &= ~(u64)DR7_LOCAL;
    if ((c->s.cr0 & CR0_PG) && is_tss32(tr->attr)) {
        c->s.cr3 = t->cr3;
        mmu_flush(c, false);
    }
    c->s.rip = c->next_rip = t->ip;
    cpu_derive(c);
}

static void switch_to(struct cpu *c, u16 sel, u64 desc, enum task_reason why, u32 error,
                      u64 old_flags)
{
    struct segment tr = desc_segment(desc, sel);
    const struct tss_layout *l = is_tss32(tr.attr) ? &tss32 : &tss16;
    u32 err = sel & ~3u;
    bool nested = why == TASK_CALL || why == TASK_GATE;

    if (!(tr.attr & SEG_P))
        cpu_raise(c, EXC_NP, err);
    if (tr.limit < l->min_limit)
        cpu_raise(c, EXC_TS, err);
    struct tss_image t = read_tss(c, &tr);
    u32 new_flags = t.flags;
    u16 old = c->s.tr.sel;
    if (why == TASK_IRET)
        old_flags &= ~(u64)FLAG_NT;
    write_tss(c, c->next_rip, old_flags);
    if (!nested)
        set_busy(c, old, false);
    if (nested) {
        mmu_write_sys(c, lin32(tr.base, 0), 2, old);
        new_flags |= FLAG_NT;
    }
    if (why != TASK_IRET)
        set_busy(c, sel, true);
    tr.attr |= TSS_BUSY;
    commit(c, &t, &tr, new_flags);
    load_segments(c, &t);
    if (error != NO_ERROR_CODE) {
        struct frame f = frame_here(c);
        frame_push(c, &f, l->size, error);
        frame_commit(c, &f);
    }
    if (c->code != CODE64 && t.ip > c->s.seg[CS].limit)
        cpu_gp(c, 0);
    if (t.trap)
        c->dr6_pending |= DR6_BT;
}

void task_switch(struct cpu *c, u16 sel, u64 desc, enum task_reason why, u32 error)
{
    switch_to(c, sel, desc, why, error, c->s.rflags);
}

void task_gate(struct cpu *c, u16 sel, u64 ret, u64 flags, u32 error)
{
    u64 lin;

    if (sel & 4)
        cpu_gp(c, sel & ~3u);
    u64 d = desc_read(c, sel, EXC_GP, &lin);
    unsigned type = d >> 40 & 0x1f;
    if (type != 1 && type != 9)
        cpu_gp(c, sel & ~3u);
    c->next_rip = ret;
    switch_to(c, sel, d, TASK_GATE, error, flags);
}
