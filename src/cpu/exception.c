/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Delivery of exceptions and interrupts: interrupt vectors of real mode, gates of protected and
 * long mode, stack switches, double and triple faults, debug exceptions.  SDM volume 3, chapters 6
 * and 17.
 *
 * A fault on the way unwinds into deliver(), which makes it a double fault or puts it in the place
 * of the first.  All checks and all pushes come before the first register changes, so the guest
 * state is that of the instruction in hand until delivery has succeeded.
 */
#include "cpu/exception.h"

#include "cpu/interp.h"
#include "cpu/mmu.h"
#include "cpu/ring3.h"
#include "cpu/segment.h"
#include "cpu/stackframe.h"
#include "cpu/sysinsn.h"
#include "cpu/task.h"

#include <string.h>

enum { GATE_TASK = 5, GATE_INT16 = 6, GATE_TRAP16 = 7, GATE_INT32 = 14, GATE_TRAP32 = 15 };
enum { DR6_BD = 1 << 13, DR7_GD = 1 << 13 };

/* Flags that entering a handler clears besides IF. */
enum { ENTRY_CLEARS = FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM };

static bool has_error_code(unsigned vector)
{
    return vector == EXC_DF || (vector >= EXC_TS && vector <= EXC_PF) || vector == EXC_AC;
}

/* RFLAGS as saved: faults come back with RF set, so that a code breakpoint does not hit twice. */
static u64 saved_flags(const struct cpu *c, unsigned vector, enum int_source src)
{
    u64 f = c->s.rflags;

    if (src == INT_EXC && vector != EXC_DB && vector != EXC_DF && vector != EXC_MC)
        f |= FLAG_RF;
    return f;
}

static void enter_flags(struct cpu *c, bool interrupt_gate)
{
    c->s.rflags &= ~(u64)ENTRY_CLEARS;
    if (interrupt_gate)
        c->s.rflags &= ~(u64)FLAG_IF;
}

/* ------------------------------------------------ real mode -- */

static void deliver_real(struct cpu *c, unsigned vector, u64 ret, u64 flags)
{
    struct frame f = frame_here(c);

    if (vector * 4 + 3 > c->s.idtr.limit)
        cpu_gp(c, vector * 8 + 2);
    u32 entry = (u32)mmu_read_sys(c, (u32)(c->s.idtr.base + vector * 4), 4);
    frame_push(c, &f, 2, flags);
    frame_push(c, &f, 2, c->s.seg[CS].sel);
    frame_push(c, &f, 2, ret);
    frame_commit(c, &f);
    c->s.rflags &= ~(u64)(FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF);
    c->s.seg[CS].sel = (u16)(entry >> 16);
    c->s.seg[CS].base = entry >> 16 << 4;
    c->next_rip = entry & 0xffff;
    cpu_derive(c);
}

/* ------------------------------------------------ protected mode -- */

/* The code segment that a gate leads to; *dpl gets the privilege level it will run at. */
static struct segment gate_target(struct cpu *c, u16 sel, unsigned *dpl)
{
    u64 lin;
    u32 err = sel & ~3u;

    if (!err)
        cpu_gp(c, 0);
    u64 d = desc_read(c, sel, EXC_GP, &lin);
    unsigned type = d >> 40 & 0x1f;
    *dpl = desc_dpl(d);
    if ((type & 0x18) != 0x18 || *dpl > c->cpl)
        cpu_gp(c, err);
    if (!(d >> 47 & 1))
        cpu_raise(c, EXC_NP, err);
    if (type & 4)
        *dpl = c->cpl; /* conforming */
    if (c->long_mode && (d >> 53 & 3) != 1)
        cpu_gp(c, err); /* must be 64-bit code */
    desc_set_accessed(c, lin, d);
    struct segment s = desc_segment(d, (u16)((sel & ~3u) | *dpl));
    return s;
}

static void push_data_segments(struct cpu *c, struct frame *f, unsigned size)
{
    frame_push(c, f, size, c->s.seg[GS].sel);
    frame_push(c, f, size, c->s.seg[FS].sel);
    frame_push(c, f, size, c->s.seg[DS].sel);
    frame_push(c, f, size, c->s.seg[ES].sel);
}

static void deliver_protected(struct cpu *c, unsigned vector, enum int_source src, u32 error,
                              u64 ret, u64 flags)
{
    u32 err = vector * 8 + 2;
    unsigned dpl;

    if (vector * 8 + 7 > c->s.idtr.limit)
        cpu_gp(c, err);
    u64 g = mmu_read_sys(c, (u32)(c->s.idtr.base + vector * 8), 8);
    unsigned type = g >> 40 & 0x1f;
    if (type != GATE_TASK && type != GATE_INT16 && type != GATE_TRAP16 && type != GATE_INT32 &&
        type != GATE_TRAP32)
        cpu_gp(c, err);
    if (src == INT_SOFT && desc_dpl(g) < c->cpl)
        cpu_gp(c, err);
    if (!(g >> 47 & 1))
        cpu_raise(c, EXC_NP, err);
    if (type == GATE_TASK) {
        task_gate(c, (u16)(g >> 16), ret, flags, error);
        return;
    }
    unsigned size = type >= GATE_INT32 ? 4 : 2;
    u64 off = (g & 0xffff) | (size == 4 ? g >> 48 << 16 : 0);
    bool from_vm86 = c->vm86;
    struct segment cs = gate_target(c, (u16)(g >> 16), &dpl);
    if (from_vm86 && dpl != 0)
        cpu_gp(c, cs.sel & ~3u);
    bool inner = dpl < c->cpl;
    struct frame f = inner ? frame_inner(c, dpl) : frame_here(c);
    if (from_vm86)
        push_data_segments(c, &f, size);
    if (inner) {
        frame_push(c, &f, size, c->s.seg[SS].sel);
        frame_push(c, &f, size, c->s.gpr[RSP]);
    }
    frame_push(c, &f, size, flags);
    frame_push(c, &f, size, c->s.seg[CS].sel);
    frame_push(c, &f, size, ret);
    if (error != NO_ERROR_CODE)
        frame_push(c, &f, size, error);
    if (off > cs.limit)
        cpu_gp(c, 0);
    frame_commit(c, &f);
    if (from_vm86) {
        static const u8 cleared[] = {GS, FS, DS, ES};
        for (unsigned i = 0; i < ARRAY_SIZE(cleared); i++)
            c->s.seg[cleared[i]] = (struct segment){0};
    }
    enter_flags(c, !(type & 1));
    c->s.seg[CS] = cs;
    c->next_rip = off;
    cpu_derive(c);
}

/* ------------------------------------------------ long mode -- */

static void deliver_long(struct cpu *c, unsigned vector, enum int_source src, u32 error, u64 ret,
                         u64 flags)
{
    u32 err = vector * 8 + 2;
    u64 lin = c->s.idtr.base + vector * 16;
    unsigned dpl;

    if (vector * 16 + 15 > c->s.idtr.limit)
        cpu_gp(c, err);
    u64 g = mmu_read_sys(c, lin, 8), high = mmu_read_sys(c, lin + 8, 8);
    unsigned type = g >> 40 & 0x1f, ist = g >> 32 & 7;
    if (type != GATE_INT32 && type != GATE_TRAP32)
        cpu_gp(c, err);
    if (src == INT_SOFT && desc_dpl(g) < c->cpl)
        cpu_gp(c, err);
    if (!(g >> 47 & 1))
        cpu_raise(c, EXC_NP, err);
    u64 off = (g & 0xffff) | (g >> 48 << 16) | high << 32;
    struct segment cs = gate_target(c, (u16)(g >> 16), &dpl);
    bool inner = dpl < c->cpl;
    u64 sp = ist ? task_stack64(c, ist + 3) : inner ? task_stack64(c, dpl) : c->s.gpr[RSP];
    struct frame f = frame_long(c, sp & ~15ull, dpl);
    frame_push(c, &f, 8, c->s.seg[SS].sel);
    frame_push(c, &f, 8, c->s.gpr[RSP]);
    frame_push(c, &f, 8, flags);
    frame_push(c, &f, 8, c->s.seg[CS].sel);
    frame_push(c, &f, 8, ret);
    if (error != NO_ERROR_CODE)
        frame_push(c, &f, 8, error);
    if (!canonical(off))
        cpu_gp(c, 0);
    if (inner)
        c->s.seg[SS] = (struct segment){.sel = (u16)dpl, .attr = (u16)(dpl << 5)};
    c->s.gpr[RSP] = f.sp;
    enter_flags(c, !(type & 1));
    c->s.seg[CS] = cs;
    c->next_rip = off;
    cpu_derive(c);
}

/* Once; raises.  Goes on at c->next_rip. */
static void deliver_once(struct cpu *c, unsigned vector, enum int_source src, u32 error, u64 ret)
{
    u64 flags = saved_flags(c, vector, src);

    if (c->real)
        deliver_real(c, vector, ret, flags);
    else if (c->long_mode)
        deliver_long(c, vector, src, error, ret, flags);
    else
        deliver_protected(c, vector, src, error, ret, flags);
}

/* ------------------------------------------------ faults on faults -- */

enum fault_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE };

static enum fault_class class_of(unsigned vector, enum int_source src)
{
    if (src != INT_EXC)
        return BENIGN;
    switch (vector) {
    case EXC_DE:
    case EXC_TS:
    case EXC_NP:
    case EXC_SS:
    case EXC_GP:
        return CONTRIBUTORY;
    case EXC_PF:
        return PAGE_FAULT;
    case EXC_DF:
        return DOUBLE;
    default:
        return BENIGN;
    }
}

/* c->exc is the exception met while `first` was being delivered; makes it what comes next. */
static void combine(struct cpu *c, unsigned first, enum int_source src)
{
    enum fault_class a = class_of(first, src), b = class_of(c->exc.vector, INT_EXC);

    if (a == DOUBLE && b != BENIGN) {
        trace(&c->vm->trace, cpu, "cpu%u: triple fault at %04x:%llx (exception %u)", c->vcpu->index,
              c->s.seg[CS].sel, (unsigned long long)c->s.rip, c->exc.vector);
        c->triple_fault = true;
        c->leave = true;
    } else if ((a == CONTRIBUTORY && b == CONTRIBUTORY) || (a == PAGE_FAULT && b != BENIGN)) {
        c->exc.vector = EXC_DF;
        c->exc.error = 0;
    } else if (src != INT_SOFT && c->exc.vector >= EXC_TS && c->exc.vector <= EXC_GP) {
        c->exc.error |= 1; /* EXT: not the program's doing */
    }
}

catches_exceptions static void deliver(struct cpu *c, unsigned vector, enum int_source src)
{
    void *outer[5];
    volatile unsigned now = vector;
    volatile enum int_source how = src;

    memcpy(outer, c->unwind, sizeof(outer));
    if (__builtin_setjmp(c->unwind)) {
        combine(c, now, how);
        now = c->exc.vector;
        how = INT_EXC;
    }
    if (!c->triple_fault) {
        u32 error = NO_ERROR_CODE;
        if (how == INT_EXC && has_error_code(now) && !c->real)
            error = c->exc.error == NO_ERROR_CODE ? 0 : c->exc.error;
        c->exc.active = true;
        deliver_once(c, now, how, error, c->s.rip);
        c->s.rip = c->next_rip;
    }
    c->exc.active = false;
    memcpy(c->unwind, outer, sizeof(outer));
}

void exception_deliver(struct cpu *c)
{
    const struct ring3_ops *r3 = cpu_ring3(c);

    c->rmw_hva = NULL;
    c->dr6_pending = 0;
    c->s.int_shadow = false;
    if (unlikely(r3))
        r3->exception(c);
    else
        deliver(c, c->exc.vector, INT_EXC);
}

void interrupt_deliver(struct cpu *c, unsigned vector, enum int_source src)
{
    deliver(c, vector, src);
}

void software_interrupt(struct cpu *c, unsigned vector, enum int_source src)
{
    const struct ring3_ops *r3 = cpu_ring3(c);

    if (unlikely(r3))
        r3->interrupt(c, vector, src);
    else
        deliver_once(c, vector, src, NO_ERROR_CODE, c->next_rip);
}

void software_interrupt_vm86(struct cpu *c, unsigned vector)
{
    struct frame f = frame_here(c);
    u32 entry = (u32)mmu_read_sys(c, vector * 4, 4);
    u64 flags = c->s.rflags;

    /* with IOPL below 3 the program sees its virtual IF */
    if ((flags & FLAG_IOPL) != FLAG_IOPL) {
        flags &= ~(u64)FLAG_IF;
        flags |= FLAG_IOPL | (flags & FLAG_VIF ? FLAG_IF : 0);
    }
    frame_push(c, &f, 2, flags);
    frame_push(c, &f, 2, c->s.seg[CS].sel);
    frame_push(c, &f, 2, c->next_rip);
    frame_commit(c, &f);
    u64 clear = FLAG_TF | FLAG_NT;
    clear |= (c->s.rflags & FLAG_IOPL) == FLAG_IOPL ? FLAG_IF : FLAG_VIF;
    flags_write(c, 0, clear);
    c->s.seg[CS].sel = (u16)(entry >> 16);
    c->s.seg[CS].base = entry >> 16 << 4;
    c->next_rip = entry & 0xffff;
    cpu_derive(c);
}

/* ------------------------------------------------ debug exceptions -- */

void debug_trap(struct cpu *c, u64 dr6)
{
    c->s.dr[6] |= dr6;
    c->s.dr[7] &= ~(u64)DR7_GD;
    cpu_raise(c, EXC_DB, NO_ERROR_CODE);
}

void debug_check_fetch(struct cpu *c, u64 lin)
{
    u64 hit = 0;

    for (unsigned i = 0; i < 4; i++) {
        bool on = c->s.dr[7] >> (2 * i) & 3, code = !(c->s.dr[7] >> (16 + 4 * i) & 3);
        if (on && code && c->s.dr[i] == lin)
            hit |= BIT(i);
    }
    if (hit)
        debug_trap(c, hit);
}
