/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct execution: 64-bit programs of a guest run on the host's processor as they are, at their
 * own addresses, in a confined process each (child.h), while their kernel runs in the translator.
 * docs/direct.md tells when and how.
 *
 * All is the vCPU thread's, but direct_kick().
 */
#ifndef WIRT_DIRECT_DIRECT_H
#define WIRT_DIRECT_DIRECT_H

#include "cpu/cpu.h"

struct direct;

/* What became of it; added up by the engine. */
struct direct_stats {
    u64 runs, cycles, calls, faults, page_ins, steps, screened, processes, flushes;
};

struct direct_ops {
    /* Writes to page ram_page of the memfd are to be told (direct_code_gone()). */
    void (*hold_code)(void *opaque, u64 ram_page);
};

/* Before the first; NULL: no memory. */
struct direct *direct_open(struct cpu *c, const struct direct_ops *ops, void *opaque);
void direct_close(struct direct *d);

/* Between two instructions of the translator's: a kernel's (false) or a 64-bit program's that has
 * its vector registers.  True: the program is to run directly. */
bool direct_wanted(struct direct *d, bool program);

/* The processor was halted. */
void direct_slept(struct direct *d);

enum direct_turn {
    DIRECT_DONE,   /* it ran; something has to be looked at */
    DIRECT_STEP,   /* the instruction at s.rip is for the interpreter */
    DIRECT_SOFT,   /* the code from there on is for the translator */
    DIRECT_SOON,   /* the same, but only in this page */
    DIRECT_BROKEN, /* the program's registers are lost: told on stderr */
};
/* Runs the program at s.rip, perhaps.  Its vector registers are in s.x. */
enum direct_turn direct_turn(struct direct *d);

/* Code of this page was written, or writes to it will not be told any more. */
void direct_code_gone(struct direct *d, u64 ram_page);

/* From any thread: direct_turn() comes back soon. */
void direct_kick(struct direct *d);

const struct direct_stats *direct_stats(const struct direct *d);

#endif
