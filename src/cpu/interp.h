/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interpreter's run loop, whole and in the pieces that the translator uses.  All on the vCPU's
 * own thread.
 */
#ifndef WIRT_CPU_INTERP_H
#define WIRT_CPU_INTERP_H

#include "core/engine.h"
#include "cpu/cpu.h"

/* Runs until an event makes the vCPU leave (core/engine.h); sleeps in HLT. */
enum run_exit interp_run(struct cpu *c);

/* Exactly one instruction at s.rip, its exceptions delivered, with single step, RF, breakpoints and
 * the end of an interrupt shadow.  A repeated string instruction may come back before its end, with
 * rip still on it.  Returns normally whatever happens; c->unwind is kept. */
void interp_step(struct cpu *c);

/* Runs instruction i, which was decoded at s.rip, its exceptions delivered.  Only where neither TF,
 * RF, code breakpoints nor an interrupt shadow ask for more (cpu_must_step()). */
void interp_exec(struct cpu *c, const struct insn *i);

/* As interp_step(), but as many instructions as one cached block holds.  Looks at no events.
 * Single step, RF and the interrupt shadow make it one instruction. */
void interp_block(struct cpu *c);

/* Takes at most one pending event (INIT, SIPI, NMI, interrupt) if the state at this instruction
 * boundary lets it; true when it did.  Exceptions in the delivery are delivered too. */
bool cpu_take_event(struct cpu *c);

/* Sleeps while halted or waiting for SIPI; true when the vCPU may run instructions, false when it
 * must leave run() (VCPU_LEAVE). */
bool cpu_sleep(struct cpu *c);

/* Instructions must run one by one (interp_step()): TF, RF, an interrupt shadow, or code
 * breakpoints. */
static inline bool cpu_must_step(const struct cpu *c)
{
    return (c->s.rflags & (FLAG_TF | FLAG_RF)) || c->s.int_shadow || (c->s.dr[7] & 0xff);
}

struct icache;
struct icache *icache_new(void); /* NULL: no memory */
void icache_free(struct icache *ic);

#endif
