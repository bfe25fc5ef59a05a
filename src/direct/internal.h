/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of this room share of one vCPU's direct execution. */
#ifndef WIRT_DIRECT_INTERNAL_H
#define WIRT_DIRECT_INTERNAL_H

#include "direct/direct.h"
#include "direct/shadow.h"

#include <pthread.h>
#include <time.h>

enum { SPACES = 4, KNOWN = 64, SEEN = 256 };

/* Selectors of a 64-bit program, as Linux hosts have them, and so what a guest must have. */
enum { USER_CS = 0x33, USER_SS = 0x2b };

/* What is known of a program, by its root table. */
struct program {
    u64 root;
    u64 stay;          /* ns, about, between two times in its kernel; of its own time */
    u64 until;         /* host TSC: not before */
    u64 wait;          /* us: how long the next wait is */
    u64 ran, faulting; /* cycles, since somebody asked */
};

struct direct {
    struct mmu_shadow hooks; /* first */
    struct shadow_owner owner;
    const struct direct_ops *ops;
    void *opaque;
    struct cpu *c;
    struct shadow space[SPACES];
    u32 turn;
    struct {
        u64 root; /* whose program: what another one does to a page that they share is not its */
        u64 ram_page; /* of the memfd, and 1 */
        u16 off;
    } seen[SEEN]; /* CPUID and XGETBV, as they were executed; the last ones */
    unsigned nseen;
    struct program known[KNOWN], *now;
    bool in_program;
    unsigned entries; /* into the kernel, since `since`; 0: nobody counts */
    unsigned sample;  /* how many of them until the clock is read */
    bool exact;       /* cpu_since is there, and decides */
    u64 since;        /* host TSC */
    u64 cpu_since;    /* ns of this thread's time */
    u64 per_us;       /* its cycles */
    bool always;
    unsigned failures;
    unsigned waits;   /* turns in pages that are refused */
    bool off;         /* this host does not let us */
    pthread_t thread; /* whose processes they are */
    int running;      /* the process's pidfd while it may run, or -1; atomic */
    struct direct_stats stats;
};

/* ---- spaces.c: the programs' processes ---- */

/* Sets the hooks. */
void spaces_open(struct direct *d);
void spaces_close(struct direct *d);
/* The loaded address space's process; NULL: it can have none. */
struct shadow *spaces_loaded(struct direct *d);
/* This process cannot be had, or takes no mappings; NULL: there was none. */
void spaces_failed(struct direct *d, struct shadow *s);

/* ---- when.c: who is worth it ---- */

static inline u64 direct_now(void)
{
    return __builtin_ia32_rdtsc();
}

u64 direct_cpu_time(clockid_t clock); /* ns */
/* The program goes on in the translator for some time. */
void when_not_before(struct direct *d, u64 us);
/* Its state is none that a process can take over. */
void when_unfit(struct direct *d);
/* It is in a page that the process may not execute: perhaps not for long. */
enum direct_turn when_refused(struct direct *d);
/* A turn came to its end in the kernel, after so many ns of its own time. */
void when_turned(struct direct *d, u64 ns);

/* ---- registers.c ---- */

/* The state is one that a process can take over. */
bool registers_fit(const struct cpu *c);
void registers_out(const struct cpu_state *s, struct user_regs_struct *r);
/* May raise an exception of the guest, and delivers it. */
void registers_in(struct cpu *c, const struct user_regs_struct *r);
/* After a trap (si_code of its SIGTRAP): stands before the instruction again that the trap was
 * behind, for the interpreter to do it. */
void registers_before_trap(struct cpu *c, struct user_regs_struct *r, int code);
/* After SIGSYS: the old page of time functions, which the host's kernel has answered for, in part.
 */
void registers_before_vsyscall(struct user_regs_struct *r, const siginfo_t *info);

#endif
