/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A confined process whose address space is a guest program's: nothing is mapped in it but the
 * pages of guest memory that the program may reach, where the program has them, and a stub of two
 * kinds of pages at an address drawn by lot.  The vCPU's thread traces it (ptrace): each system
 * call, fault and signal of the program stops the process before the host's kernel does anything
 * of it.
 *
 * The process can do nothing to the host: what the program calls is never carried out
 * (PTRACE_SYSEMU), and a seccomp filter leaves it nothing but mmap, mprotect and munmap, which are
 * the stub's.  It has no file but guest memory.
 *
 * All is the one thread's that called child_start(), but child_interrupt().
 */
#ifndef WIRT_DIRECT_CHILD_H
#define WIRT_DIRECT_CHILD_H

#include "base/types.h"
#include "core/arch.h"

#include <signal.h>
#include <sys/types.h>
#include <sys/user.h>
#include <time.h>

/* <sys/user.h> has macros of the names that core/mem.h has, and one is another value. */
#undef PAGE_SHIFT
#undef PAGE_SIZE
#undef PAGE_MASK

enum { CHILD_COPIES = 16, CHILD_COPIES_AT = 9 << 12 };
enum { CHILD_OPS = 512, CHILD_XSTATE_MAX = 16 << 10 };

/* The end of the addresses that a process can map, as Linux has it. */
#define CHILD_TOP 0x7ffffffff000ull

/* A call that the stub makes. */
struct child_op {
    u64 nr, arg[6];
};

struct child {
    pid_t pid;     /* 0 = none */
    int pidfd;     /* for child_interrupt(); -1 = there was none yet */
    int ram_fd;    /* guest memory, by the number that it has in the process */
    int copies_fd; /* copies of pages, from CHILD_COPIES_AT on, likewise */
    u8 *copies;    /* CHILD_COPIES pages: this process's view */
    u64 stub;      /* where the stub lies in the process */
    u64 stub_len;
    struct child_op *ops; /* the list that the stub works off: this process's view */
    u32 nops;
    u8 *xstate, *xstate_seen; /* xstate_len bytes; what the process has, if `seen` */
    size_t xstate_len;
    bool seen;
    u64 stops[4];    /* child_stop_at() */
    bool flags_left; /* the program has set NT or ID */
};

enum child_stop {
    CHILD_KICKED,  /* child_interrupt() */
    CHILD_SYSCALL, /* rip is behind the instruction, rax as before it */
    CHILD_SIGNAL,  /* a fault or trap: `info` says which */
    CHILD_GONE,    /* the process is dead; its registers are lost */
};

/* Starts the process; -errno, with nothing left behind. */
int child_start(struct child *ch, int ram_fd);
/* Ends it and gives all back; good for what is zero but pidfd, -1. */
void child_end(struct child *ch);

/* Carries out the list; false: some was not done, and the process is good only for
 * child_get_vectors(), unless `pid` is 0. */
bool child_apply(struct child *ch);

/* Runs the program from *regs until it stops, and reads them again.  False: the registers are none
 * that a process can have, and it has not run. */
bool child_run(struct child *ch, struct user_regs_struct *regs, enum child_stop *why,
               siginfo_t *info);

/* Stops before the instructions at these addresses, 0 = none: a CHILD_SIGNAL with SIGTRAP and
 * TRAP_HWBKPT.  False: the host does not let us. */
bool child_stop_at(struct child *ch, const u64 addr[4]);

/* x87, SSE and AVX; false: the process did not take or give them. */
bool child_put_vectors(struct child *ch, const struct xsave_area *x);
bool child_get_vectors(struct child *ch, struct xsave_area *x);

/* Of the process's own time. */
clockid_t child_clock(const struct child *ch);

/* From any thread: child_run() comes back soon. */
void child_interrupt(int pidfd);

#endif
