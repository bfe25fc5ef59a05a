/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A software processor: everything that the interpreter and the translator share about one vCPU.
 *
 * How an instruction runs: `s.rip` is the address of the instruction in hand until it has finished;
 * `next_rip` is where it goes on (branches write it).  An exception leaves the instruction by
 * cpu_raise(), which does not return: it unwinds to the run loop, which delivers it.  So a handler
 * checks and reads everything that may fault before it changes any state.
 *
 * Only this vCPU's own thread touches it; requests from others come through vcpu.events.
 */
#ifndef WIRT_CPU_CPU_H
#define WIRT_CPU_CPU_H

#include "base/trace.h"
#include "core/arch.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "cpu/cpuid.h"
#include "cpu/insn.h"
#include "cpu/tlb.h"

/* Exceptions, SDM volume 3, table 6-1. */
enum {
    EXC_DE = 0,
    EXC_DB = 1,
    EXC_NMI = 2,
    EXC_BP = 3,
    EXC_OF = 4,
    EXC_BR = 5,
    EXC_UD = 6,
    EXC_NM = 7,
    EXC_DF = 8,
    EXC_TS = 10,
    EXC_NP = 11,
    EXC_SS = 12,
    EXC_GP = 13,
    EXC_PF = 14,
    EXC_MF = 16,
    EXC_AC = 17,
    EXC_MC = 18,
    EXC_XM = 19,
};

/* Error code bits of #PF. */
enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16 };

#define NO_ERROR_CODE UINT32_MAX

/* Which TLB serves: by privilege, and for supervisor code by EFLAGS.AC under SMAP.  MMU_SLOW is
 * never filled: alignment checks or data breakpoints are on, and every access goes the slow way. */
enum mmu_idx { MMU_KERNEL, MMU_USER, MMU_KERNEL_AC, MMU_SLOW, MMU_IDX_COUNT };

struct cpu {
    struct cpu_state s; /* architectural; first */

    u64 next_rip;

    /* Derived from s by cpu_derive(). */
    u8 cpl;
    u8 code;       /* enum code_mode */
    u8 stack_size; /* 2, 4 or 8: the width of the stack pointer */
    bool real;     /* CR0.PE clear */
    bool vm86;
    bool long_mode; /* EFER.LMA */
    bool user;      /* which TLB and page rights: cpl == 3, but for a kernel in ring 3 */

    /* Which segments plain accesses may use: bit SEG_READ, SEG_WRITE, clear also for expand-down.
     * Kept by cpu_derive() and whoever loads a segment register (seg_derive()). */
    u8 seg_ok[SEG_COUNT];

    struct tlb *tlb;   /* &tlbs[mmu_idx], or &tlbs[MMU_SLOW]; see cpu_mmu_idx() */
    u8 mmu_idx;        /* enum mmu_idx by rights; never MMU_SLOW */
    bool tlb_huge;     /* a 1 GiB page was entered since the last flush */
    u64 tlb_large[64]; /* which 2 MiB regions (hashed) hold parts of large pages */
    struct tlb tlbs[MMU_IDX_COUNT];
    struct code_map code_map;
    struct walk_cache {  /* where the last walks of 4-level paging found a 2 MiB region; mmu.c */
        u64 tag;         /* lin >> 21, and walk_side */
        u64 epoch;       /* good while *mmu_walk_epoch() is the same */
        const u8 *table; /* its page table, or NULL: one page of 2 MiB */
        u64 gpa;         /* of that page */
        bool user, write, nx, global, dirty;
    } walks[512];
    u64 walk_side;     /* tells the walks of a program from those of its kernel in ring 3 */
    u64 walk_epoch[2]; /* count flushes of walks; [1]: of a kernel's upper half */
    u64 tlb_epoch;     /* counts flushes of the TLB, of one page too */
    struct pcid_contexts *pcids; /* mmu_pcid.c's; NULL until the first */
    struct mmu_shadow *shadow;   /* of direct execution (src/direct), or NULL */
    u32 fill_error;              /* of the page fault that mmu_fill() found, or NO_ERROR_CODE */
    u8 *rmw_hva; /* mmu_rmw() gave this address in a page whose writes must be told */
    u8 *divert;  /* ring3_divert(): what stands for page divert_page, or NULL */
    u64 divert_page;
    struct ram_range {
        u64 base, size; /* guest-physical; whole pages */
        u8 *hva, *whva; /* where reads and writes go; whva NULL: not writable */
    } ram[2];           /* the regions that page walks hit last; mmu.c */

    /* The exception in hand, filled by cpu_raise(). */
    struct {
        u8 vector;
        bool active; /* being delivered: another one makes a double fault */
        u32 error;   /* or NO_ERROR_CODE */
    } exc;
    void *unwind[5];   /* __builtin_setjmp buffer of the run loop */
    bool split_locked; /* holds vm.split_lock; cpu_raise() gives it back */
    bool triple_fault; /* shut down: the run loop leaves with RUN_TRIPLE */
    u64 dr6_pending;   /* data and I/O breakpoints hit by this instruction: #DB after it */

    bool code_changed; /* this instruction wrote to a PAGE_CODE page: cached code is stale */
    bool leave;        /* the run loop must look at modes and events before the next instruction:
                          set by whatever changes mode, CPL, IF, paging, TF, breakpoints */
    u8 debug;          /* a debugger's: cpu/stops.h */
    u32 debug_gen;     /* debug.gen when the TLB was last flushed for it */
    u32 pauses;        /* PAUSE instructions, for giving way now and then */
    u64 insn_count;    /* instructions begun, for --stats and bisecting */

    const struct cpuid_model *model;
    struct vcpu *vcpu;
    struct vm *vm;
    struct icache *icache;   /* the interpreter's decoded code (cpu/interp.c) */
    struct hostrun *hostrun; /* stubs that run vector and x87 code (cpu/hostrun.c) */
    struct write_log *log;   /* lockstep: notes what is written; else NULL (cpu/mmu.h) */
    void *translator;        /* the translator's own, NULL under interp */
};

/* Recomputes what is derived after s was changed as a whole or a mode bit changed; sets `leave`. */
void cpu_derive(struct cpu *c);

/* Chooses the TLB after CPL or AC changed; cpu_derive() does it too. */
void cpu_mmu_idx(struct cpu *c);

/* Allocates what a software processor needs (TLBs, caches); -errno. */
int cpu_open(struct cpu *c, struct vcpu *v, struct err *e);
void cpu_close(struct cpu *c);

/* For each function that calls __builtin_setjmp(c->unwind): its frame must be found again without
 * what clang's AddressSanitizer keeps in a register. */
#define catches_exceptions __attribute__((noinline, no_sanitize_address))

/* Leaves the instruction with an exception.  error: NO_ERROR_CODE for vectors without one. */
_Noreturn void cpu_raise(struct cpu *c, unsigned vector, u32 error);

static inline _Noreturn void cpu_ud(struct cpu *c)
{
    cpu_raise(c, EXC_UD, NO_ERROR_CODE);
}

static inline _Noreturn void cpu_gp(struct cpu *c, u32 error)
{
    cpu_raise(c, EXC_GP, error);
}

/* The handler of an op table row; generated prototypes in ops.h: exec_add, exec_jcc, ... */
typedef void insn_fn(struct cpu *c, const struct insn *i);

/* ------------------------------------------------ general registers -- */

static inline u64 gpr_read(const struct cpu *c, unsigned reg, unsigned size)
{
    u64 v = c->s.gpr[reg];
    return size == 8 ? v : size == 4 ? (u32)v : size == 2 ? (u16)v : (u8)v;
}

/* 32-bit writes clear the upper half; 8- and 16-bit writes keep it. */
static inline void gpr_write(struct cpu *c, unsigned reg, unsigned size, u64 v)
{
    u64 *r = &c->s.gpr[reg];
    switch (size) {
    case 8:
        *r = v;
        break;
    case 4:
        *r = (u32)v;
        break;
    case 2:
        *r = (*r & ~0xffffull) | (u16)v;
        break;
    default:
        *r = (*r & ~0xffull) | (u8)v;
        break;
    }
}

#endif
