/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process: how it is made, and what is asked of it by ptrace(2).
 *
 * It begins as a copy of this one and ends up empty: the code that runs after clone() makes system
 * calls only, and the stub takes away everything but itself.
 */
#include "direct/child.h"

#include "base/endian.h"

#include <elf.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { VDSO_MAX = 64 << 10 }; /* bytes; of the host's kernel's page of functions */
enum { PAGE = 4096, STUB_CODE = PAGE, STUB_DATA = 8 * PAGE, STUB_FLAGS = STUB_DATA - 8 };
_Static_assert(STUB_CODE + STUB_DATA == CHILD_COPIES_AT, "copies lie behind the list");
_Static_assert(CHILD_OPS * sizeof(struct child_op) <= STUB_FLAGS, "the list has room");

/* Where pages of a guest's programs are not: between a program and its libraries.  Drawn by lot. */
#define STUB_LOW  0x100000000000ull
#define STUB_HIGH 0x500000000000ull

/* rbx = list, r12 = how many, rsp = flags that hide what the program has left (NT and ID are not to
 * be had by ptrace).  Stops at int3: all are done if r12 is 0. */
extern const u8 direct_stub[], direct_stub_end[];
asm(".pushsection .rodata\n"
    "direct_stub:\n"
    "   popfq\n"
    "   test %r12, %r12\n"
    "   jz 2f\n"
    "1: mov (%rbx), %rax\n"
    "   mov 8(%rbx), %rdi\n"
    "   mov 16(%rbx), %rsi\n"
    "   mov 24(%rbx), %rdx\n"
    "   mov 32(%rbx), %r10\n"
    "   mov 40(%rbx), %r8\n"
    "   mov 48(%rbx), %r9\n"
    "   syscall\n"
    "   cmp $-4096, %rax\n"
    "   ja 2f\n"
    "   add $56, %rbx\n"
    "   dec %r12\n"
    "   jnz 1b\n"
    "2: int3\n"
    "direct_stub_end:\n"
    ".popsection\n");

/* ------------------------------------------------------- in the process itself -- */

/* What it may call: mmap, mprotect and munmap. */
static const struct sock_filter filter[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 4),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 3, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 2, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_munmap, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static long leave_rseq(void)
{
#ifdef RSEQ_SIG
    if (__rseq_size)
        return syscall(SYS_rseq, (u8 *)__builtin_thread_pointer() + __rseq_offset, 32,
                       RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
#endif
    return 0;
}

static long close_all_but(int low, int high)
{
    return (low && syscall(SYS_close_range, 0, low - 1, 0)) ||
           (high > low + 1 && syscall(SYS_close_range, low + 1, high - 1, 0)) ||
           syscall(SYS_close_range, high + 1, ~0u, 0);
}

/* The copy's last steps as one of this program; a failure shows as an end instead of the stub's
 * stop. */
static _Noreturn void become(const struct child *ch, int stub_fd, pid_t parent)
{
    const struct sock_fprog prog = {ARRAY_SIZE(filter), (struct sock_filter *)filter};
    u64 data = ch->stub + STUB_CODE;
    sigset_t none;

    sigemptyset(&none);
    if (leave_rseq() || syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(u64)) ||
        syscall(SYS_setpgid, 0, 0) || syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) ||
        syscall(SYS_getppid) != parent || /* too late for that: it has gone already */
        syscall(SYS_prctl, PR_SET_NAME, "wirt-guest", 0, 0, 0) ||
        syscall(SYS_prctl, PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0) ||
        syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        (u64)syscall(SYS_mmap, ch->stub, STUB_CODE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED,
                     stub_fd, 0) != ch->stub ||
        (u64)syscall(SYS_mmap, data, STUB_DATA, PROT_READ, MAP_SHARED | MAP_FIXED, stub_fd,
                     STUB_CODE) != data ||
        close_all_but(min(ch->ram_fd, stub_fd), max(ch->ram_fd, stub_fd)) ||
        syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog))
        syscall(SYS_exit_group, 1);
    register u64 count asm("r12") = ch->nops;
    asm volatile("mov %3, %%rsp; jmp *%0"
                 :
                 : "r"(ch->stub), "b"(data), "r"(count), "r"(data + STUB_FLAGS)
                 : "memory");
    __builtin_unreachable();
}

/* --------------------------------------------------------------------- making it -- */

static int stub_open(struct child *ch)
{
    int fd = memfd_create("wirt-stub", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, CHILD_COPIES_AT + CHILD_COPIES * PAGE) ||
        pwrite(fd, direct_stub, (size_t)(direct_stub_end - direct_stub), 0) < 0)
        goto failed;
    void *list = mmap(NULL, STUB_DATA + CHILD_COPIES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                      STUB_CODE);
    if (list == MAP_FAILED)
        goto failed;
    ch->ops = list;
    ch->copies = (u8 *)list + STUB_DATA;
    le64_put((u8 *)list + STUB_FLAGS, FLAG_1);
    return fd;
failed:;
    int r = -errno;
    if (fd >= 0)
        close(fd);
    return r;
}

static void op_add(struct child *ch, u64 nr, u64 addr, u64 len)
{
    ch->ops[ch->nops++] = (struct child_op){nr, {addr, len}};
}

static bool wait_stop(struct child *ch, int *status)
{
    pid_t r;

    do
        r = waitpid(ch->pid, status, __WALL);
    while (r < 0 && errno == EINTR);
    if (r == ch->pid && WIFSTOPPED(*status))
        return true;
    ch->pid = 0; /* it is dead, and has been waited for */
    return false;
}

static bool is_fault(int sig)
{
    return sig == SIGTRAP || sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE ||
           sig == SIGSYS;
}

/* Until the stub's int3; false: it came to another end. */
static bool stub_stops(struct child *ch)
{
    u64 end = ch->stub + (u64)(direct_stub_end - direct_stub);
    struct user_regs_struct r;
    siginfo_t info;
    int status;

    for (;;) {
        if (!wait_stop(ch, &status))
            return false;
        if (WSTOPSIG(status) == SIGTRAP && !ptrace(PTRACE_GETREGS, ch->pid, 0, &r) && r.rip == end)
            return r.r12 == 0;
        /* child_interrupt() came too late for the program, or somebody sent a signal */
        if (ptrace(PTRACE_GETSIGINFO, ch->pid, 0, &info) ||
            (is_fault(WSTOPSIG(status)) && info.si_code > 0) || ptrace(PTRACE_CONT, ch->pid, 0, 0))
            return false;
    }
}

static bool xstate_open(struct child *ch)
{
    u8 *buf = calloc(1, CHILD_XSTATE_MAX);
    struct iovec v = {buf, CHILD_XSTATE_MAX};

    if (!buf || ptrace(PTRACE_GETREGSET, ch->pid, NT_X86_XSTATE, &v) || v.iov_len < 576 ||
        v.iov_len >= CHILD_XSTATE_MAX || !(ch->xstate_seen = calloc(1, v.iov_len))) {
        free(buf);
        return false;
    }
    ch->xstate = buf;
    ch->xstate_len = v.iov_len;
    return true;
}

int child_start(struct child *ch, int ram_fd)
{
    u64 lot = 0;

    child_end(ch);
    if (getrandom(&lot, sizeof(lot), 0) != sizeof(lot))
        return -EIO;
    ch->stub_len = STUB_CODE + STUB_DATA;
    ch->stub = align_down(STUB_LOW + lot % (STUB_HIGH - STUB_LOW), PAGE);
    ch->ram_fd = ram_fd;
    int fd = stub_open(ch);
    if (fd < 0)
        return fd;
    ch->copies_fd = fd;
    op_add(ch, SYS_munmap, 0, ch->stub);
    op_add(ch, SYS_munmap, ch->stub + ch->stub_len, CHILD_TOP - ch->stub - ch->stub_len);
    /* no handlers of ours between: this is a thread among others, and they hold locks */
    pid_t parent = getpid(), pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        become(ch, fd, parent);
    int r = pid < 0 ? -errno : 0;
    close(fd);
    if (r) {
        child_end(ch);
        return r;
    }
    ch->pid = pid;
    ch->nops = 0;
    if (!stub_stops(ch) ||
        ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD) ||
        !xstate_open(ch) || (ch->pidfd = (int)syscall(SYS_pidfd_open, pid, 0)) < 0) {
        child_end(ch);
        return -EPERM;
    }
    return 0;
}

void child_end(struct child *ch)
{
    int status;

    if (ch->pid) {
        kill(ch->pid, SIGKILL);
        while (ch->pid && wait_stop(ch, &status))
            ;
    }
    if (ch->pidfd >= 0)
        close(ch->pidfd);
    if (ch->ops)
        munmap(ch->ops, STUB_DATA + CHILD_COPIES * PAGE);
    free(ch->xstate);
    free(ch->xstate_seen);
    *ch = (struct child){.pidfd = -1};
}

/* ------------------------------------------------------------------ using it -- */

bool child_apply(struct child *ch)
{
    struct user_regs_struct r = {
        .rip = ch->stub,
        .rbx = ch->stub + STUB_CODE,
        .r12 = ch->nops,
        .rsp = ch->stub + STUB_CODE + STUB_FLAGS,
        .cs = 0x33,
        .ss = 0x2b,
        .eflags = FLAG_IF | FLAG_1,
        .orig_rax = UINT64_MAX,
    };

    if (!ch->nops && !ch->flags_left)
        return true;
    ch->nops = 0;
    ch->flags_left = false;
    return !ptrace(PTRACE_SETREGS, ch->pid, 0, &r) && !ptrace(PTRACE_CONT, ch->pid, 0, 0) &&
           stub_stops(ch);
}

bool child_run(struct child *ch, struct user_regs_struct *regs, enum child_stop *why,
               siginfo_t *info)
{
    int status;

    regs->orig_rax = UINT64_MAX;
    regs->eflags &= ~(u64)FLAG_RF; /* which a fault leaves, and which lets it pass a stop */
    if (ptrace(PTRACE_SETREGS, ch->pid, 0, regs) || ptrace(PTRACE_SYSEMU, ch->pid, 0, 0))
        return false;
    *why = CHILD_GONE;
    if (!wait_stop(ch, &status) || ptrace(PTRACE_GETREGS, ch->pid, 0, regs))
        return true;
    if (regs->cs != 0x33 && regs->rip - getauxval(AT_SYSINFO_EHDR) < VDSO_MAX)
        regs->rip = 0; /* SYSCALL in 32-bit code comes out at a place of ours, which is no guest's
                          business */
    ch->flags_left |= !!(regs->eflags & (FLAG_NT | FLAG_ID));
    if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
        *why = CHILD_SYSCALL;
        regs->rax = regs->orig_rax;
        return true;
    }
    if (ptrace(PTRACE_GETSIGINFO, ch->pid, 0, info))
        return true;
    *why = info->si_code <= 0 ? CHILD_KICKED : CHILD_SIGNAL; /* <= 0: a process sent it */
    return true;
}

static bool debug_register(struct child *ch, unsigned n, u64 v)
{
    return !ptrace(PTRACE_POKEUSER, ch->pid, offsetof(struct user, u_debugreg[n]), v);
}

bool child_stop_at(struct child *ch, const u64 addr[4])
{
    u64 dr7 = 0; /* of each: local enable; execution, one byte */

    if (!memcmp(ch->stops, addr, sizeof(ch->stops)))
        return true;
    if (!debug_register(ch, 7, 0))
        return false;
    for (unsigned i = 0; i < 4; i++) {
        if (addr[i] && !debug_register(ch, i, addr[i]))
            return false;
        dr7 |= addr[i] ? 1ull << (2 * i) : 0;
    }
    memcpy(ch->stops, addr, sizeof(ch->stops));
    return debug_register(ch, 7, dr7);
}

/* What a guest's processor has of MXCSR: not AMD's bit 17, which programs may set all the same. */
enum { MXCSR_BITS = 0xffff };
enum { XSTATE_BV = 512, XSTATE_HEADER = 64, SW_RESERVED = 464 };

/* Lays x out as the process's area has it, which is the same but for what is not the guest's; SDM
 * volume 1, 13.4. */
static void lay_out(struct child *ch, const struct xsave_area *x)
{
    bool avx = ch->xstate_len >= sizeof(*x);

    memcpy(ch->xstate, x, SW_RESERVED);
    memset(ch->xstate + offsetof(struct xsave_area, fop), 0, 2 + 8 + 8); /* FOP, FIP, FDP */
    memset(ch->xstate + XSTATE_BV, 0, XSTATE_HEADER);
    ch->xstate[XSTATE_BV] = avx ? 7 : 3;
    if (avx)
        memcpy(ch->xstate + offsetof(struct xsave_area, ymmh), x->ymmh, sizeof(x->ymmh));
}

bool child_put_vectors(struct child *ch, const struct xsave_area *x)
{
    struct iovec v = {ch->xstate, ch->xstate_len};

    lay_out(ch, x);
    if (ch->seen && !memcmp(ch->xstate, ch->xstate_seen, ch->xstate_len))
        return true;
    if (ptrace(PTRACE_SETREGSET, ch->pid, NT_X86_XSTATE, &v))
        return false;
    memcpy(ch->xstate_seen, ch->xstate, ch->xstate_len);
    ch->seen = true;
    return true;
}

bool child_get_vectors(struct child *ch, struct xsave_area *x)
{
    struct iovec v = {ch->xstate, ch->xstate_len};

    if (ptrace(PTRACE_GETREGSET, ch->pid, NT_X86_XSTATE, &v) || v.iov_len != ch->xstate_len)
        return false;
    u64 bv = le64_get(ch->xstate + XSTATE_BV);
    u32 mask = x->mxcsr_mask;
    memcpy(x, ch->xstate, offsetof(struct xsave_area, rsvd1));
    x->mxcsr_mask = mask;
    x->mxcsr &= MXCSR_BITS;
    x->fop = 0;
    x->fip = x->fdp = 0;
    if (ch->xstate_len >= sizeof(*x))
        memcpy(x->ymmh, ch->xstate + offsetof(struct xsave_area, ymmh), sizeof(x->ymmh));
    x->xstate_bv |= bv & 7;
    /* what the guest's processor has not got goes with the next registers that are put */
    ch->seen = !(bv & ~7ull);
    lay_out(ch, x);
    memcpy(ch->xstate_seen, ch->xstate, ch->xstate_len);
    return true;
}

clockid_t child_clock(const struct child *ch)
{
    clockid_t id = CLOCK_MONOTONIC;

    clock_getcpuclockid(ch->pid, &id);
    return id;
}

void child_interrupt(int pidfd)
{
    syscall(SYS_pidfd_send_signal, pidfd, SIGUSR1, NULL, 0);
}
