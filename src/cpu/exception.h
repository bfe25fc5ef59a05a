/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Delivery of exceptions and interrupts through IVT and IDT.  SDM volume 3, chapter 6.
 */
#ifndef WIRT_CPU_EXCEPTION_H
#define WIRT_CPU_EXCEPTION_H

#include "cpu/cpu.h"

enum int_source {
    INT_HW,   /* external interrupt or NMI */
    INT_EXC,  /* processor exception */
    INT_SOFT, /* INT n, INT3, INTO: gate DPL is checked */
    INT_ICE,  /* INT1: as software, gate DPL is not checked */
};

/* After cpu_raise() unwound: delivers c->exc at the instruction s.rip, double and triple faults
 * included (a triple fault sets c->triple_fault).  Returns normally; c->unwind is kept. */
void exception_deliver(struct cpu *c);

/* Delivers an external interrupt or NMI at the instruction boundary s.rip, with what goes wrong. */
void interrupt_deliver(struct cpu *c, unsigned vector, enum int_source src);

/* INT n, INT3, INTO, INT1 inside an instruction: the saved rip is next_rip.  Faults unwind. */
void software_interrupt(struct cpu *c, unsigned vector, enum int_source src);

/* INT n in virtual-8086 mode that CR4.VME redirects to the program's own vector. */
void software_interrupt_vm86(struct cpu *c, unsigned vector);

/* The #DB that single step, a data or I/O breakpoint or a task switch asks for; dr6: bits to set
 * in DR6.  Raised as a trap: s.rip must already be the next instruction's. */
_Noreturn void debug_trap(struct cpu *c, u64 dr6);

/* Raises #DB (fault) when a code breakpoint of DR7 stands at this linear address and RF is clear.
 */
void debug_check_fetch(struct cpu *c, u64 lin);

#endif
