/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seam for a guest whose kernel runs in ring 3, as classic Xen PV guests do: what a processor
 * would look up in the IDT, GDT and MSRs is asked of the interface (src/pv) instead.
 *
 * CPL is 3 always, so privileged instructions fault and the interface emulates them.  Whether it is
 * the kernel that runs is cpu_state.ring3_kernel: then memory is reached with a supervisor's
 * rights, by the TLB MMU_KERNEL; else with a user's by MMU_USER.  The kernel's page tables and the
 * program's may be different ones: nothing walks page tables for the other side, so each TLB keeps
 * what it has when the sides change by ring3_switch().
 *
 * vm.pv.ring3 is NULL for everybody else, and is looked at only where an ordinary processor would
 * be slow anyway.  All are called on the vCPU's own thread.
 */
#ifndef WIRT_CPU_RING3_H
#define WIRT_CPU_RING3_H

#include "cpu/cpu.h"
#include "cpu/exception.h"

struct ring3_ops {
    /* Delivers c->exc, which was raised at s.rip, or makes it undone; returns normally, and goes on
     * at s.rip. */
    void (*exception)(struct cpu *c);
    /* INT n, INT3, INTO, INT1: goes on at next_rip; may raise. */
    void (*interrupt)(struct cpu *c, unsigned vector, enum int_source src);
    /* SYSCALL: goes on at next_rip; may raise. */
    void (*syscall)(struct cpu *c);
    /* Takes at most one event of vcpu.events at this instruction boundary; true when it did. */
    bool (*event)(struct cpu *c, u32 events);
    /* The descriptor that sel names, accessed bit set; false: behind the table's end. */
    bool (*descriptor)(struct cpu *c, u16 sel, u64 *desc);
};

static inline const struct ring3_ops *cpu_ring3(const struct cpu *c)
{
    return c->vm->pv.ring3;
}

/* To the kernel or to the program, with its own page tables (cr3 as in the register). */
void ring3_switch(struct cpu *c, bool kernel, u64 cr3);
/* Selector sel into CS or SS as IRET to ring 3 would load it; false: it would fault. */
bool ring3_load_cs_ss(struct cpu *c, u16 cs, u16 ss);

/* Where the instruction in hand would write linear page `page`, it writes `copy` (a whole page)
 * instead; its rights to that page are not asked for.  Every other access is as ever.  NULL ends
 * it. */
void ring3_divert(struct cpu *c, u64 page, u8 *copy);

#endif
