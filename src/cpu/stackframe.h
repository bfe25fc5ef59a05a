/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stack that is being written or read piece by piece before any register changes: interrupt
 * frames, call gates, far returns.  Pushes raise #SS or #PF; frame_commit() moves SS:RSP there.
 */
#ifndef WIRT_CPU_STACKFRAME_H
#define WIRT_CPU_STACKFRAME_H

#include "cpu/cpu.h"

struct frame {
    struct segment ss;
    u64 sp;
    u64 mask;   /* of the stack pointer's width */
    bool sys;   /* supervisor accesses: an inner level's stack while CPL is still 3 */
    bool inner; /* ss is another level's */
    bool flat;  /* long mode: no limit, addresses canonical */
    u32 error;  /* of #SS */
};

/* On the current stack. */
struct frame frame_here(struct cpu *c);
/* On the stack that the current TSS names for level cpl; checks its SS: #TS, #SS. */
struct frame frame_inner(struct cpu *c, unsigned cpl);
/* 64-bit mode: at this address, for level cpl. */
struct frame frame_long(struct cpu *c, u64 sp, unsigned cpl);

void frame_push(struct cpu *c, struct frame *f, unsigned size, u64 v);
u64 frame_pop(struct cpu *c, struct frame *f, unsigned size);
void frame_commit(struct cpu *c, const struct frame *f);

#endif
