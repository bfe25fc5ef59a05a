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
#include "cpu/mmu.h"

struct ring3_ops {
    /* Delivers c->exc, which was raised at s.rip, or makes it undone; returns normally, and goes on
     * at s.rip. */
    void (*exception)(struct cpu *c);
    /* INT n, INT3, INTO, INT1: goes on at next_rip; may raise. */
    void (*interrupt)(struct cpu *c, unsigned vector, enum int_source src);
    /* SYSCALL at s.rip, quickly: done and gone on at s.rip, or false and nothing has happened.
     * Where the registers, the TLB and the kernel's stack are not enough, it is for syscall().  It
     * may raise an event of its own vCPU.  General registers only, as for mmu_fill(). */
    bool (*quick_syscall)(struct cpu *c);
    /* The same for the page fault of an access to lin by the instruction at s.rip. */
    bool (*quick_fault)(struct cpu *c, u64 lin, u32 error);
    /* SYSCALL: goes on at next_rip; may raise, but not the kernel's. */
    void (*syscall)(struct cpu *c);
    void (*sysenter)(struct cpu *c); /* the same */
    /* The kernel's store at s.rip to lin, which it may read but not write: done and gone on at
     * s.rip, or false and nothing has happened. */
    bool (*store)(struct cpu *c, u64 lin);
    /* The kernel's privileged instruction at s.rip: the same. */
    bool (*privileged)(struct cpu *c);
    /* Takes at most one event of vcpu.events at this instruction boundary; true when it did. */
    bool (*event)(struct cpu *c, u32 events);
    /* The descriptor that sel names, accessed bit set; false: behind the table's end. */
    bool (*descriptor)(struct cpu *c, u16 sel, u64 *desc);
};

static inline const struct ring3_ops *cpu_ring3(const struct cpu *c)
{
    return c->vm->pv.ring3;
}

/*
 * Every change of such a guest's page tables is the interface's, which has them checked; so it can
 * take what was cached of an entry out of the TLB when the entry changes, and nothing has to be
 * emptied on suspicion.  Which part of the address space a table serves is found out by walks:
 * pv.walked[its frame] is RING3_NEVER, RING3_OFTEN (more than one), or where it begins, with bit 0.
 * A walk writes it before it reads the table, so whoever changes an entry first and looks here then
 * misses no walk.
 */
#define RING3_NEVER 0ull
#define RING3_OFTEN UINT64_MAX

/* The table at guest-physical address `table`, which serves 2^shift bytes, is about to be read for
 * lin. */
void ring3_walked(struct cpu *c, u64 table, u64 lin, unsigned shift);

/* What the kernel has of the upper half stays when its root table is exchanged for one with the
 * same upper half. */
static inline bool ring3_stays(const struct cpu *c, u64 lin, unsigned idx)
{
    return idx == MMU_KERNEL && lin >> 63 && cpu_ring3(c);
}

/* What is not global in the code map is the program's, and changes with its root table: such a
 * kernel's code in the lower half, which none has but to try, is looked up each time. */
static inline bool ring3_unmapped(const struct cpu *c, u64 rip)
{
    return !c->user && !(rip >> 63) && cpu_ring3(c);
}

/* On the vCPU's own thread, after the change in memory: */

/* The entry for the 2^shift bytes at lin changed: of level 1 with shift 12, and so on. */
void ring3_drop(struct cpu *c, u64 lin, unsigned shift);
/* A table that was walked is no table any more. */
static inline void ring3_forget(struct cpu *c)
{
    mmu_drop_pcids(c);
}

/* The kernel's or the program's root table is the frame `to` instead of `from`; same_upper: with
 * the same entries in its upper half.  What the TLB had of `from` is put aside, and comes back with
 * it unless ring3_drop() or ring3_forget() was called meanwhile. */
void ring3_new_root(struct cpu *c, bool kernel, bool same_upper, u64 from, u64 to);

/* To the kernel or to the program, with its own page tables (cr3 as in the register). */
void ring3_switch(struct cpu *c, bool kernel, u64 cr3);

/* The same in 64-bit code without debug registers in use and with RFLAGS.AC clear. */
static inline void ring3_switch64(struct cpu *c, bool kernel, u64 cr3)
{
    c->s.ring3_kernel = kernel;
    c->s.cr3 = cr3;
    c->user = !kernel;
    c->walk_side = kernel ? 0 : BIT64(63);
    c->mmu_idx = kernel ? MMU_KERNEL : MMU_USER;
    c->tlb = &c->tlbs[c->mmu_idx];
}
/* Selector sel into CS or SS as IRET to ring 3 would load it; false: it would fault. */
bool ring3_load_cs_ss(struct cpu *c, u16 cs, u16 ss);

/* Where the instruction in hand would write linear page `page`, it writes `copy` (a whole page)
 * instead; its rights to that page are not asked for.  Every other access is as ever.  NULL ends
 * it. */
void ring3_divert(struct cpu *c, u64 page, u8 *copy);

#endif
