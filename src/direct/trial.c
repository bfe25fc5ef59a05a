/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "direct/trial.h"

#include "direct/child.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, CODE = 0x400000, TURNS = 100 };

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The page of guest memory holds a program that calls its kernel again and again. */
static const char *run_turns(struct child *ch, struct direct_trial *t)
{
    const u64 stop[4] = {CODE + 2};
    struct user_regs_struct r = {.rip = CODE, .cs = 0x33, .ss = 0x2b, .eflags = FLAG_IF | FLAG_1};
    enum child_stop why;
    siginfo_t info;

    ch->ops[ch->nops++] = (struct child_op){
        SYS_mmap, {CODE, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, (u64)ch->ram_fd, 0}};
    if (!child_apply(ch))
        return "its process cannot map memory";
    for (unsigned i = 0; i < TURNS; i++) {
        double start = seconds();
        r.rip = CODE;
        if (!child_run(ch, &r, &why, &info) || why != CHILD_SYSCALL || r.rip != CODE + 2)
            return "a system call of its process does not stop it";
        double us = (seconds() - start) * 1e6;
        t->turn_us = i ? min(t->turn_us, us) : us;
    }
    t->stops = child_stop_at(ch, stop) && child_run(ch, &r, &why, &info) && why == CHILD_SIGNAL &&
               info.si_signo == SIGTRAP && info.si_code == TRAP_HWBKPT;
    return NULL;
}

void direct_trial(struct direct_trial *t)
{
    static const u8 code[] = {0x0f, 0x05, 0x90, 0xeb, 0xfb}; /* SYSCALL; NOP; JMP to it */
    struct child ch = {.pidfd = -1};
    int fd = memfd_create("wirt-trial", MFD_CLOEXEC);

    *t = (struct direct_trial){0};
    if (fd < 0 || ftruncate(fd, PAGE) || pwrite(fd, code, sizeof(code), 0) != sizeof(code)) {
        snprintf(t->why, sizeof(t->why), "memfd_create: %s", strerror(errno));
    } else {
        int r = child_start(&ch, fd);
        const char *why =
            r ? "no process to trace can be made (ptrace, seccomp, pidfd)" : run_turns(&ch, t);
        if (why)
            snprintf(t->why, sizeof(t->why), "%s", why);
    }
    child_end(&ch);
    if (fd >= 0)
        close(fd);
}
