/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hardware task switches and the task-state segment.  SDM volume 3, chapter 7.
 */
#ifndef WIRT_CPU_TASK_H
#define WIRT_CPU_TASK_H

#include "cpu/cpu.h"

enum task_reason { TASK_JMP, TASK_CALL, TASK_IRET, TASK_GATE };

/* Switches to the task whose TSS selector is sel (descriptor raw).  Saves next_rip in the old TSS,
 * sets next_rip from the new one.  error: pushed on the new stack unless NO_ERROR_CODE. */
void task_switch(struct cpu *c, u16 sel, u64 desc, enum task_reason why, u32 error);

/* A task gate's TSS selector, for an interrupt: `ret` and `flags` go to the old TSS. */
void task_gate(struct cpu *c, u16 sel, u64 ret, u64 flags, u32 error);

/* SS:(R/E)SP of privilege level cpl from the current 16- or 32-bit TSS; raises #TS. */
void task_stack(struct cpu *c, unsigned cpl, u16 *ss, u64 *sp);
/* RSP0-2 (n = 0-2) or IST1-7 (n = 4-10) of the 64-bit TSS; raises #TS, or #SS/#GP if the address is
 * not canonical. */
u64 task_stack64(struct cpu *c, unsigned n);

#endif
