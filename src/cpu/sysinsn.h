/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What system instructions share with others.
 */
#ifndef WIRT_CPU_SYSINSN_H
#define WIRT_CPU_SYSINSN_H

#include "cpu/cpu.h"

/* Raises #GP(0) unless IN, OUT, INS or OUTS of size 1, 2 or 4 at this port is allowed (IOPL, I/O
 * permission bitmap, virtual-8086 mode). */
void io_permission(struct cpu *c, u16 port, unsigned size);

/* After an access of an allowed port: a DR7 I/O breakpoint becomes a #DB after the instruction. */
void io_breakpoint(struct cpu *c, u16 port, unsigned size);

/* Writes the bits of RFLAGS that `mask` names and sees to what depends on them: TLB choice (AC),
 * the run loop (IF, TF, RF).  The one way to change more than arithmetic flags. */
void flags_write(struct cpu *c, u64 v, u64 mask);

/* The guest's time-stamp counter as RDTSC gives it. */
u64 cpu_tsc(struct cpu *c);

/* Does what MOV to CR0, CR3, CR4 do after their privilege check; raises #GP. */
void cr0_write(struct cpu *c, u64 v);
void cr3_write(struct cpu *c, u64 v);
void cr4_write(struct cpu *c, u64 v);

#endif
