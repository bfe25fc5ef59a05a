/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control transfers between code segments and privilege levels.  SDM volume 3, 5.8.
 */
#ifndef WIRT_CPU_FAR_H
#define WIRT_CPU_FAR_H

#include "cpu/cpu.h"

/* All write next_rip and CS, and raise as their instructions do.  opsize: 2, 4 or 8. */
void far_jmp(struct cpu *c, u16 sel, u64 off, unsigned opsize);
void far_call(struct cpu *c, u16 sel, u64 off, unsigned opsize);
void far_ret(struct cpu *c, unsigned opsize, unsigned release);
void far_iret(struct cpu *c, unsigned opsize);

#endif
