/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instruction tests: one instruction from one state, run on the real processor and on an engine.
 *
 *   make.c    makes an encoding of a row of the op table and a state in which it does something
 *   native.c  runs it on the processor under us, in user mode, by way of signal frames
 *   guest.c   runs it in a small machine on an engine, in user mode, by way of the guest's IDT
 *   test_insn.c  compares
 *
 * Both sides see the same addresses: two pages of data that can be written and one that can only
 * be read, with nothing mapped around them, and a page of code.
 */
#ifndef WIRT_TESTS_INSN_TEST_H
#define WIRT_TESTS_INSN_TEST_H

#include "core/engine.h"
#include "cpu/ops.h"

#define DATA_BASE 0x10000000ull
#define CODE_BASE 0x20000000ull
#define GS_BASE   0x0ffff000ull
enum { DATA_RW = 2 * 4096, DATA_SIZE = 3 * 4096 };
/* Selectors as Linux has them. */
enum { SEL_CODE32 = 0x23, SEL_DATA = 0x2b, SEL_CODE64 = 0x33 };
/* 16-bit code: the first entry of the LDT, base CODE_BASE, 4 KiB. */
enum { SEL_CODE16 = 0x07 };

struct insn_case {
    u8 code[32]; /* the instruction, then INT3 */
    struct insn insn;
    u32 offset;  /* where in the code page it stands */
    bool step;   /* ends by single step (branches), else by the INT3 after it */
    bool no_avx; /* the engine keeps no upper halves of vector registers */
    u8 size;     /* of the memory operand */
    u32 target;  /* where in data a state image lies (size 255), 0 = nowhere */
    u64 gpr[16];
    u64 rflags;
    struct xsave_area x;
    u8 data[DATA_SIZE];
};

/* What came of it.  Faults: the vector, its error code and CR2. */
struct insn_result {
    u8 vector; /* EXC_BP: it ran; EXC_DB: it ran, single step */
    u64 error, cr2;
    u64 gpr[16], rip, rflags;
    struct xsave_area x;
    u8 data[DATA_SIZE];
};

/* RIP at the start of a case. */
static inline u64 case_rip(const struct insn_case *c)
{
    return (c->insn.mode == CODE16 ? 0 : CODE_BASE) + c->offset;
}

/* A 64-bit random number; *s is the state. */
u64 rng(u64 *s);

/* False when this try gave no encoding of the row; data and x are kept from call to call and only
 * partly made new. */
bool case_make(struct insn_case *c, const struct op_row *r, enum code_mode mode, u64 *seed);
/* Rows that cannot be compared in user mode, or not yet; NULL = can be, else why not. */
const char *row_skipped(const struct op_row *r);

/* After guest_open(): the engine's signal handlers go on working.  False: not on this host. */
bool native_open(void);
/* Whether the host's kernel lets us run such code. */
bool native_has(enum code_mode mode);
void native_run(const struct insn_case *c, struct insn_result *out);

struct guest;
struct guest *guest_open(const struct engine_ops *engine);
void guest_run(struct guest *g, const struct insn_case *c, struct insn_result *out);
/* Whether the engine's processor has the row's instruction on this host. */
bool guest_offers(const struct guest *g, const struct op_row *r);
bool guest_has_avx(const struct guest *g);
/* What the engine has to say about how it ran, on stderr. */
void guest_stats(struct guest *g);
void guest_close(struct guest *g);

#endif
