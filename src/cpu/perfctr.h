/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WIRT_CPU_PERFCTR_H
#define WIRT_CPU_PERFCTR_H

#include "cpu/cpu.h"

/* AMD APM volume 2, appendix A: PerfEvtSel0-3, PerfCtr0-3. */
#define MSR_PERF_EVT_SEL0 0xc0010000u
#define MSR_PERF_CTR0     0xc0010004u

bool perfctr_owns(u32 msr);
/* For an msr that it owns. */
u64 perfctr_read(struct cpu *c, u32 msr);
void perfctr_write(struct cpu *c, u32 msr, u64 v);
/* RDPMC; n below PERF_COUNT. */
u64 perfctr_count(struct cpu *c, unsigned n);

#endif
