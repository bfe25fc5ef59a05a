/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A debugger's points and steps (core/debug.h) as the software processor keeps them.
 *
 * Code: pages that hold a stop are entered by no cached code; their instructions run one by one,
 * with a look before each.  Data: pages that hold a watch get no TLB entry for data, and the slow
 * path looks at each access.  Nothing else costs anything while cpu.debug is 0.
 */
#ifndef WIRT_CPU_STOPS_H
#define WIRT_CPU_STOPS_H

#include "cpu/cpu.h"

/* Bits of cpu.debug. */
enum {
    CPU_STOPS = 1 << 0,   /* there are points of code */
    CPU_WATCHES = 1 << 1, /* and of data */
    CPU_STEP = 1 << 2,    /* one instruction is to be done */
    CPU_STOPPED = 1 << 3, /* vcpu.debug.why is set: leave run() */
};

static inline u64 cpu_code_linear(const struct cpu *c)
{
    return c->code == CODE64 ? c->s.rip : (u32)(c->s.seg[CS].base + c->s.rip);
}

/* When run() is entered. */
void stops_begin(struct cpu *c);

/* The vCPU is to leave run() for this. */
void stops_now(struct cpu *c, enum debug_why why);

/* Is the instruction at lin in a page that must be run one by one? */
static inline bool stops_in_page(const struct cpu *c, u64 lin)
{
    return unlikely(c->debug & CPU_STOPS) && debug_stops_in_page(&c->vm->debug, lin);
}

/* Before the instruction at s.rip: must the vCPU leave now? */
static inline bool stops_here(struct cpu *c)
{
    if (likely(!(c->debug & CPU_STOPS)) || !debug_stops_at(&c->vm->debug, cpu_code_linear(c)))
        return false;
    stops_now(c, DEBUG_BREAK);
    return true;
}

/* An instruction or an event is done. */
static inline void stops_step_done(struct cpu *c)
{
    if (unlikely(c->debug & CPU_STEP))
        stops_now(c, DEBUG_STEP);
}

/* An access of data that the slow path does. */
void stops_look_at(struct cpu *c, u64 lin, u64 len, bool write);

#endif
