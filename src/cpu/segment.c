/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segmentation: limit and type checks, descriptors, loading of data segment registers, the stack.
 * SDM volume 3, chapters 3 and 5; volume 2, MOV, LDS.
 *
 * In real mode a load sets selector and base only and leaves limit and attributes, so "big real"
 * mode works.  A null selector in FS or GS clears its base, as Intel's processors do.
 */
#include "cpu/segment.h"

#include "cpu/ring3.h"

/* ------------------------------------------------ linear addresses -- */

static _Noreturn void seg_fault(struct cpu *c, enum seg_reg seg)
{
    cpu_raise(c, seg == SS ? EXC_SS : EXC_GP, 0);
}

static bool limit_ok(const struct segment *s, u64 off, unsigned size, bool expand_down)
{
    u64 last = off + size - 1;

    if (expand_down)
        return off > s->limit && last <= (s->attr & SEG_DB ? 0xffffffffull : 0xffffull);
    return last <= s->limit;
}

u64 seg_linear_slow(struct cpu *c, enum seg_reg seg, u64 off, unsigned size, enum seg_access a)
{
    const struct segment *s = &c->s.seg[seg];
    bool code = s->attr & 8, rw = s->attr & 2;

    if (size == 0)
        size = 1;
    if (c->code == CODE64) {
        u64 lin = off + (seg >= FS ? s->base : 0), last = lin + size - 1;
        if (!canonical(lin) || !canonical(last))
            seg_fault(c, seg);
        return lin;
    }
    if (c->real || c->vm86) {
        if (off + size - 1 > s->limit)
            seg_fault(c, seg);
        return (u32)(s->base + off);
    }
    if (!(s->attr & SEG_P) || (a == SEG_READ && code && !rw) || (a == SEG_WRITE && (code || !rw)) ||
        (a == SEG_EXEC && !code))
        cpu_raise(c, seg == SS ? EXC_SS : EXC_GP, 0);
    if (!limit_ok(s, off, size, !code && (s->attr & 4)))
        seg_fault(c, seg);
    return (u32)(s->base + off);
}

void seg_derive(struct cpu *c, enum seg_reg seg)
{
    const struct segment *s = &c->s.seg[seg];
    u8 ok = 0;

    if (c->code == CODE64)
        return; /* has no use for it, and leaving it comes by cpu_derive() */
    if (c->real || c->vm86) {
        ok = BIT(SEG_READ) | BIT(SEG_WRITE) | BIT(SEG_EXEC);
    } else if ((s->attr & SEG_P) && (s->attr & SEG_S)) {
        if (s->attr & 8)
            ok = BIT(SEG_EXEC) | (s->attr & 2 ? BIT(SEG_READ) : 0);
        else if (!(s->attr & 4))
            ok = BIT(SEG_READ) | (s->attr & 2 ? BIT(SEG_WRITE) : 0);
    }
    c->seg_ok[seg] = ok;
}

/* ------------------------------------------------ descriptors -- */

bool desc_try(struct cpu *c, u16 sel, u64 *desc, u64 *lin)
{
    u64 base = c->s.gdtr.base;
    u32 limit = c->s.gdtr.limit;

    if (unlikely(cpu_ring3(c))) {
        *lin = 0; /* nobody writes it: the accessed bit is set */
        return cpu_ring3(c)->descriptor(c, sel, desc);
    }
    if (sel & 4) {
        if (!(c->s.ldtr.attr & SEG_P) || !(c->s.ldtr.sel & ~3u))
            return false;
        base = c->s.ldtr.base;
        limit = c->s.ldtr.limit;
    }
    if ((sel | 7u) > limit)
        return false;
    *lin = base + (sel & ~7u);
    if (!c->long_mode)
        *lin = (u32)*lin;
    *desc = mmu_read_sys(c, *lin, 8);
    return true;
}

u64 desc_read(struct cpu *c, u16 sel, unsigned vector, u64 *lin)
{
    u64 desc;

    if (!desc_try(c, sel, &desc, lin))
        cpu_raise(c, vector, sel & ~3u);
    return desc;
}

void desc_set_accessed(struct cpu *c, u64 lin, u64 desc)
{
    if (!(desc >> 40 & 1))
        mmu_write_sys(c, lin + 5, 1, (desc >> 40 & 0xff) | 1);
}

struct segment desc_segment(u64 desc, u16 sel)
{
    struct segment s = {
        .base = (desc >> 16 & 0xffffff) | (desc >> 56) << 24,
        .limit = (desc & 0xffff) | (desc >> 48 & 0xf) << 16,
        .sel = sel,
        .attr = desc >> 40 & 0xf0ff,
    };

    if (s.attr & SEG_S)
        s.attr |= 1; /* loading sets the accessed bit */
    if (s.attr & SEG_G)
        s.limit = s.limit << 12 | 0xfff;
    return s;
}

/* ------------------------------------------------ loads -- */

static void loaded(struct cpu *c, enum seg_reg seg)
{
    if (seg == SS) {
        c->stack_size = c->code == CODE64 ? 8 : !c->vm86 && (c->s.seg[SS].attr & SEG_DB) ? 4 : 2;
        c->s.int_shadow = true;
        c->leave = true;
    }
    seg_derive(c, seg);
}

void seg_load_real(struct cpu *c, enum seg_reg seg, u16 sel)
{
    struct segment *s = &c->s.seg[seg];

    s->sel = sel;
    s->base = (u32)sel << 4;
    if (c->vm86) {
        s->limit = 0xffff;
        s->attr = SEG_P | SEG_DPL | SEG_S | 3;
    }
    loaded(c, seg);
}

static void load_null(struct cpu *c, enum seg_reg seg, u16 sel)
{
    if (seg == SS && (c->code != CODE64 || c->cpl == 3 || (sel & 3) != c->cpl))
        cpu_gp(c, 0);
    c->s.seg[seg] = (struct segment){.sel = sel, .attr = seg == SS ? (u16)(c->cpl << 5) : 0};
    loaded(c, seg);
}

void seg_load(struct cpu *c, enum seg_reg seg, u16 sel)
{
    u64 lin;
    u32 err = sel & ~3u;

    if (c->real || c->vm86) {
        seg_load_real(c, seg, sel);
        return;
    }
    if (!err) {
        load_null(c, seg, sel);
        return;
    }
    u64 desc = desc_read(c, sel, EXC_GP, &lin);
    unsigned type = desc >> 40 & 0xf, dpl = desc_dpl(desc), rpl = sel & 3;
    bool user = desc >> 44 & 1, present = desc >> 47 & 1, code = type & 8;
    if (seg == SS) {
        if (rpl != c->cpl || !user || code || !(type & 2) || dpl != c->cpl)
            cpu_gp(c, err);
        if (!present)
            cpu_raise(c, EXC_SS, err);
    } else {
        if (!user || (code && !(type & 2)))
            cpu_gp(c, err);
        if (!(code && (type & 4)) && (rpl > dpl || c->cpl > dpl))
            cpu_gp(c, err);
        if (!present)
            cpu_raise(c, EXC_NP, err);
    }
    desc_set_accessed(c, lin, desc);
    c->s.seg[seg] = desc_segment(desc, sel);
    loaded(c, seg);
}

/* ------------------------------------------------ the stack -- */

static u64 sp_cut(const struct cpu *c, u64 sp)
{
    return c->stack_size == 8 ? sp : c->stack_size == 4 ? (u32)sp : (u16)sp;
}

static void sp_set(struct cpu *c, u64 sp)
{
    if (c->stack_size == 2)
        sp = (c->s.gpr[RSP] & ~0xffffull) | (u16)sp;
    else if (c->stack_size == 4)
        sp = (u32)sp;
    c->s.gpr[RSP] = sp;
}

void stack_push(struct cpu *c, unsigned size, u64 v)
{
    u64 sp = sp_cut(c, c->s.gpr[RSP] - size);

    mmu_write(c, seg_linear(c, SS, sp, size, SEG_WRITE), size, v);
    sp_set(c, sp);
}

u64 stack_pop(struct cpu *c, unsigned size)
{
    u64 sp = sp_cut(c, c->s.gpr[RSP]);
    u64 v = mmu_read(c, seg_linear(c, SS, sp, size, SEG_READ), size);

    sp_set(c, sp + size);
    return v;
}

u64 stack_peek(struct cpu *c, unsigned size, unsigned offset)
{
    u64 sp = sp_cut(c, c->s.gpr[RSP] + offset);

    return mmu_read(c, seg_linear(c, SS, sp, size, SEG_READ), size);
}

void stack_add(struct cpu *c, s64 n)
{
    sp_set(c, c->s.gpr[RSP] + (u64)n);
}
