/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Model-specific registers.  SDM volume 4.
 */
#ifndef WIRT_CPU_MSR_H
#define WIRT_CPU_MSR_H

#include "cpu/cpu.h"

/* False = #GP. */
bool msr_read(struct cpu *c, u32 msr, u64 *v);
bool msr_write(struct cpu *c, u32 msr, u64 v);

#endif
