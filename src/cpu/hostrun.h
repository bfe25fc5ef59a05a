/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running x87, MMX, SSE and AVX instructions on the host's own units (cpu/hostrun.c).  All on the
 * vCPU's own thread.
 */
#ifndef WIRT_CPU_HOSTRUN_H
#define WIRT_CPU_HOSTRUN_H

#include "cpu/cpu.h"

/* Makes c->hostrun; -errno.  The first one of the process also takes over SIGFPE, which it hands
 * on when it is not about a guest's instruction. */
int hostrun_open(struct cpu *c, struct err *e);
void hostrun_close(struct cpu *c);

/* What an instruction's unit asks of CR0, CR4, XCR0, the CPU model and pending x87 exceptions;
 * raises #UD, #NM, #MF.  exec_hostrun() calls it; so do the vector handlers written in C. */
void hostrun_check(struct cpu *c, const struct insn *i);

/* A pending unmasked x87 exception: raises #MF. */
void x87_check_pending(struct cpu *c);

/* After FCW and FSW were loaded from memory: reserved bits of FCW are fixed, and ES and B say
 * whether an exception is pending, whatever the image said. */
static inline void x87_settle(struct xsave_area *x)
{
    x->fcw = (x->fcw & 0x1f7f) | 0x40;
    x->fsw &= ~0x8080;
    if (x->fsw & ~x->fcw & 0x3f)
        x->fsw |= 0x8080;
}

/* Raises #NM for an x87 instruction when CR0 asks for it. */
void x87_check_nm(struct cpu *c);

#endif
