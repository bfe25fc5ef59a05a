/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real processor.  A trap gives us a signal frame; we write the state into it and return, so
 * that the kernel loads every register at once; the instruction runs, and the next signal frame
 * holds what came of it.  Changing CS in the frame gives 32-bit code.
 *
 * Registers hold no address of this program, and code in 32-bit mode cannot reach it.
 */
#include "insn_test.h"

#include <asm/ldt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* The kernel's signal frame: XSAVE area with the magic numbers of <asm/sigcontext.h>. */
enum { SW_RESERVED = 464 };

static struct {
    const struct insn_case *c;
    struct insn_result *out;
    enum { IDLE, LOADING, RUNNING } phase;
    gregset_t home; /* where to go back to */
    u8 home_fp[16384] __attribute__((aligned(64)));
    u32 home_fp_size;
    u8 *data, *code;
    bool has_32, has_16;
    struct sigaction engines[32]; /* handlers that were there before ours */
} native;

static const int reg_of[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                               REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                               REG_R12, REG_R13, REG_R14, REG_R15};

static u32 frame_size(const u8 *fp)
{
    u32 size;
    memcpy(&size, fp + SW_RESERVED + 4 + 4 + 8, 4); /* _fpx_sw_bytes.xstate_size */
    return size + 4;
}

static void load(ucontext_t *uc)
{
    const struct insn_case *c = native.c;
    greg_t *g = uc->uc_mcontext.gregs;
    u8 *fp = (u8 *)uc->uc_mcontext.fpregs;

    native.home_fp_size = frame_size(fp);
    memcpy(native.home_fp, fp, native.home_fp_size);
    memcpy(native.home, g, sizeof(native.home));

    for (unsigned n = 0; n < 16; n++)
        g[reg_of[n]] = c->gpr[n];
    g[REG_EFL] = c->rflags | (c->step ? FLAG_TF : 0);
    g[REG_RIP] = case_rip(c);
    u64 sel = c->insn.mode == CODE64   ? SEL_CODE64
              : c->insn.mode == CODE32 ? SEL_CODE32
                                       : SEL_CODE16;
    g[REG_CSGSFS] = (g[REG_CSGSFS] & ~0xffffll) | sel;

    memcpy(fp, &c->x, 32);               /* x87 control, MXCSR */
    memcpy(fp + 32, c->x.st, 128 + 256); /* ST and XMM */
    memcpy(fp + 576, c->x.ymmh, 256);
    u64 bv = 7;
    memcpy(fp + 512, &bv, 8);
}

static void save(ucontext_t *uc)
{
    struct insn_result *out = native.out;
    greg_t *g = uc->uc_mcontext.gregs;
    const u8 *fp = (const u8 *)uc->uc_mcontext.fpregs;
    u64 bv;

    out->vector = g[REG_TRAPNO];
    out->error = g[REG_ERR];
    out->cr2 = g[REG_CR2];
    for (unsigned n = 0; n < 16; n++)
        out->gpr[n] = g[reg_of[n]];
    out->rip = g[REG_RIP];
    out->rflags = g[REG_EFL];
    memcpy(&out->x, fp, sizeof(out->x));
    memcpy(&bv, fp + 512, 8);
    if (!(bv & 4))
        memset(out->x.ymmh, 0, sizeof(out->x.ymmh));
    if (!(bv & 2))
        memset(out->x.xmm, 0, sizeof(out->x.xmm));

    memcpy(g, native.home, sizeof(native.home));
    memcpy((u8 *)uc->uc_mcontext.fpregs, native.home_fp, native.home_fp_size);
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    switch (native.phase) {
    case LOADING:
        native.phase = RUNNING;
        load(context);
        return;
    case RUNNING:
        native.phase = IDLE;
        save(context);
        return;
    default: { /* the engine's own, a fault of the test, or an instruction that got astray */
        const struct sigaction *theirs = &native.engines[sig];
        if (theirs->sa_flags & SA_SIGINFO) {
            theirs->sa_sigaction(sig, info, context);
            return;
        }
        const greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
        char text[128];
        insn_print(&native.c->insn, CODE_BASE, text, sizeof(text));
        fprintf(stderr, "trap %lld at %llx after: %s\n", g[REG_TRAPNO], g[REG_RIP], text);
        _exit(3);
    }
    }
}

bool native_open(void)
{
    static u8 alt[65536] __attribute__((aligned(64)));
    static const int signals[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    stack_t st = {.ss_sp = alt, .ss_size = sizeof(alt)};
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    /* Bit 1: user mode may set GS's base.  Without AVX the signal frame is shorter. */
    if (!(getauxval(AT_HWCAP2) & 2) || !__builtin_cpu_supports("avx2"))
        return false;
    native.data = mmap((void *)DATA_BASE, DATA_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    native.code = mmap((void *)CODE_BASE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (native.data == MAP_FAILED || native.code == MAP_FAILED || sigaltstack(&st, NULL))
        return false;
    sigfillset(&sa.sa_mask);
    for (unsigned n = 0; n < ARRAY_SIZE(signals); n++)
        if (sigaction(signals[n], &sa, &native.engines[signals[n]]))
            return false;

    /* For 32-bit code; a kernel without it refuses the selector. */
    u32 ok = 0;
    __asm__("lar %1, %0; setz %b0" : "=r"(ok) : "r"(SEL_CODE32) : "cc");
    native.has_32 = ok & 1;
    struct user_desc d = {.base_addr = CODE_BASE, .limit = 0xfff, .contents = 2, .useable = 1};
    native.has_16 = native.has_32 && !syscall(SYS_modify_ldt, 1, &d, sizeof(d));
    __asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"(SEL_DATA));
    return true;
}

bool native_has(enum code_mode mode)
{
    return mode == CODE64 || (mode == CODE32 ? native.has_32 : native.has_16);
}

void native_run(const struct insn_case *c, struct insn_result *out)
{
    native.c = c;
    native.out = out;
    memcpy(native.code + c->offset, c->code, sizeof(c->code));
    if (mprotect(native.data + DATA_RW, DATA_SIZE - DATA_RW, PROT_READ | PROT_WRITE))
        abort();
    memcpy(native.data, c->data, DATA_SIZE);
    if (mprotect(native.data + DATA_RW, DATA_SIZE - DATA_RW, PROT_READ))
        abort();
    native.phase = LOADING;
    u64 theirs; /* an engine may keep something there */
    __asm__ volatile("rdgsbase %0; wrgsbase %1; int3; wrgsbase %0"
                     : "=&r"(theirs)
                     : "r"(GS_BASE)
                     : "memory");
    memcpy(out->data, native.data, DATA_SIZE);
}
