/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stacks in the making; see stackframe.h.  SDM volume 3, 5.8.5 and 6.12.1.
 */
#include "cpu/stackframe.h"

#include "cpu/mmu.h"
#include "cpu/segment.h"
#include "cpu/task.h"

static u64 width_mask(const struct segment *ss)
{
    return ss->attr & SEG_DB ? UINT32_MAX : 0xffff;
}

struct frame frame_here(struct cpu *c)
{
    struct frame f = {.ss = c->s.seg[SS], .flat = c->code == CODE64};

    f.mask = c->stack_size == 8 ? UINT64_MAX : c->stack_size == 4 ? UINT32_MAX : 0xffff;
    f.sp = c->s.gpr[RSP] & f.mask;
    return f;
}

struct frame frame_inner(struct cpu *c, unsigned cpl)
{
    u16 sel;
    u64 sp, lin, d;

    task_stack(c, cpl, &sel, &sp);
    u32 err = sel & ~3u;
    if (!err || !desc_try(c, sel, &d, &lin))
        cpu_raise(c, EXC_TS, err);
    unsigned type = d >> 40 & 0x1f;
    if ((sel & 3u) != cpl || desc_dpl(d) != cpl || (type & 0x1a) != 0x12)
        cpu_raise(c, EXC_TS, err);
    if (!(d >> 47 & 1))
        cpu_raise(c, EXC_SS, err);
    desc_set_accessed(c, lin, d);
    struct frame f = {.ss = desc_segment(d, sel), .sys = true, .inner = true, .error = err};
    f.mask = width_mask(&f.ss);
    f.sp = sp & f.mask;
    return f;
}

struct frame frame_long(struct cpu *c, u64 sp, unsigned cpl)
{
    return (struct frame){.sp = sp, .mask = UINT64_MAX, .sys = cpl < 3, .flat = true};
}

static u64 linear(struct cpu *c, const struct frame *f, u64 off, unsigned size)
{
    if (f->flat) {
        if (!canonical(off) || !canonical(off + size - 1))
            cpu_raise(c, EXC_SS, f->error);
        return off;
    }
    u64 last = off + size - 1;
    bool down = !c->real && !c->vm86 && (f->ss.attr & 4);
    if (f->inner)
        down = f->ss.attr & 4;
    if (down ? off <= f->ss.limit || last > f->mask : last > f->ss.limit)
        cpu_raise(c, EXC_SS, f->error);
    return (u32)(f->ss.base + off);
}

void frame_push(struct cpu *c, struct frame *f, unsigned size, u64 v)
{
    u64 sp = (f->sp - size) & f->mask, lin = linear(c, f, sp, size);

    if (f->sys)
        mmu_write_sys(c, lin, size, v);
    else
        mmu_write(c, lin, size, v);
    f->sp = sp;
}

u64 frame_pop(struct cpu *c, struct frame *f, unsigned size)
{
    u64 lin = linear(c, f, f->sp, size);
    u64 v = f->sys ? mmu_read_sys(c, lin, size) : mmu_read(c, lin, size);

    f->sp = (f->sp + size) & f->mask;
    return v;
}

void frame_commit(struct cpu *c, const struct frame *f)
{
    if (f->inner)
        c->s.seg[SS] = f->ss;
    if (f->mask == 0xffff)
        c->s.gpr[RSP] = (c->s.gpr[RSP] & ~0xffffull) | f->sp;
    else
        c->s.gpr[RSP] = f->sp;
}
