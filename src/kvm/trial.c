/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trial guests of one page of code: a loop that counts down from 1000, an OUT, an SSE2 addition
 * whose sum goes out too, HLT.  Then one that reads the TSC.  Linux:
 * Documentation/virt/kvm/api.rst.
 *
 * Memory: code at 1000h, page tables at 10000h (identity, 2 MiB pages).
 */
#include "kvm/trial.h"

#include "core/arch.h"
#include "kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    TRIAL_MEMORY = 1 << 20,
    GPA_CODE = 0x1000,
    GPA_PML4 = 0x10000, /* PDPT and page directory follow */
    GPA_PAE = 0x13000,
    PORT_LOOP = 0x10,
    PORT_SUM = 0x11,
    PORT_TSC_LOW = 0x12,
    PORT_TSC_HIGH = 0x13,
    TSC_SLACK = 1 << 20, /* processors' TSCs may be apart */
    ADDEND = 0x1234567,
    LOOP_US_MAX = 1000, /* where VT is, it takes some ten, and a slow host's hundred */
    PATIENCE_MS = 120,  /* a mode */
};

/* mov ecx,1000; 1: dec ecx; jnz 1b; out PORT_LOOP,eax; movd xmm0,eax; paddd xmm0,xmm0;
 * movd eax,xmm0; out PORT_SUM,eax; hlt */
static const u8 code16[] = {0x66, 0xb9, 0xe8, 3,    0,    0,    0x66, 0x49, 0x75, 0xfc,
                            0x66, 0xe7, 0x10, 0x66, 0x0f, 0x6e, 0xc0, 0x66, 0x0f, 0xfe,
                            0xc0, 0x66, 0x0f, 0x7e, 0xc0, 0x66, 0xe7, 0x11, 0xf4};
static const u8 code32[] = {0xb9, 0xe8, 3,    0,    0,    0xff, 0xc9, 0x75, 0xfc,
                            0xe7, 0x10, 0x66, 0x0f, 0x6e, 0xc0, 0x66, 0x0f, 0xfe,
                            0xc0, 0x66, 0x0f, 0x7e, 0xc0, 0xe7, 0x11, 0xf4};

/* rdtsc; out PORT_TSC_LOW,eax; mov eax,edx; out PORT_TSC_HIGH,eax; hlt */
static const u8 code_tsc[] = {0x0f, 0x31, 0xe7, 0x12, 0x89, 0xd0, 0xe7, 0x13, 0xf4};

static const struct {
    unsigned bit;
    const char *name;
} modes[] = {
    {MODE_LONG, "64-bit mode"},
    {MODE_PAGED, "32-bit mode with paging"},
    {MODE_FLAT, "protected mode"},
    {MODE_REAL, "real mode"},
};

struct trial {
    struct kvm_trial *t;
    int kvm, vm, vcpu;
    u8 *mem;
    struct kvm_run *run;
    size_t run_size;
    struct kvm_sregs sregs;
    timer_t timer;
    bool have_timer;
    sigset_t old_mask;
};

/* Keeps the first reason. */
static void printf_like(2, 3) wrong(struct trial *x, const char *fmt, ...)
{
    va_list ap;

    if (*x->t->why)
        return;
    va_start(ap, fmt);
    vsnprintf(x->t->why, sizeof(x->t->why), fmt, ap);
    va_end(ap);
}

static double now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* A signal after ms ends KVM_RUN; 0: none any more. */
static void set_alarm(struct trial *x, unsigned ms)
{
    struct itimerspec its = {.it_value = {ms / 1000, ms % 1000 * 1000000l}};
    const struct timespec now = {0};
    sigset_t set;

    timer_settime(x->timer, 0, &its, NULL);
    sigemptyset(&set);
    sigaddset(&set, kvm_kick_signal());
    while (!ms && sigtimedwait(&set, NULL, &now) > 0)
        ;
}

static void put64(struct trial *x, u32 gpa, u64 v)
{
    memcpy(x->mem + gpa, &v, sizeof(v));
}

static void make_memory(struct trial *x)
{
    enum { P = 1, W = 2, A = 0x20, D = 0x40, PS = 0x80 };

    put64(x, GPA_PML4, (GPA_PML4 + 0x1000) | P | W | A);
    put64(x, GPA_PML4 + 0x1000, (GPA_PML4 + 0x2000) | P | W | A);
    put64(x, GPA_PAE, (GPA_PML4 + 0x2000) | P);
    put64(x, GPA_PML4 + 0x2000, P | W | A | D | PS);
}

static bool set_registers(struct trial *x, unsigned mode)
{
    struct kvm_sregs s = x->sregs;
    struct kvm_regs r = {.rflags = 2, .rip = GPA_CODE, .rsp = 0x8000, .rax = ADDEND};
    struct kvm_segment data = {
        .limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
    struct kvm_segment code = data;

    code.selector = 8;
    code.type = 11;
    s.cs.base = s.cs.selector = 0;
    s.cr0 = CR0_ET | CR0_MP;
    s.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;
    if (mode != MODE_REAL) {
        s.cr0 |= CR0_PE;
        s.cs = code;
        s.ds = s.es = s.fs = s.gs = s.ss = data;
    }
    if (mode & (MODE_PAGED | MODE_LONG)) {
        s.cr0 |= CR0_PG;
        s.cr4 |= CR4_PAE;
        s.cr3 = mode == MODE_LONG ? GPA_PML4 : GPA_PAE;
    }
    if (mode == MODE_LONG) {
        s.efer = EFER_LME | EFER_LMA;
        s.cs.l = 1;
        s.cs.db = 0;
    }
    return !ioctl(x->vcpu, KVM_SET_SREGS, &s) && !ioctl(x->vcpu, KVM_SET_REGS, &r);
}

/* Runs to the next OUT, whose port must be this one; what was written in *v. */
static bool run_to(struct trial *x, const char *mode, u16 port, u32 *v)
{
    const struct kvm_run *r = x->run;

    set_alarm(x, PATIENCE_MS);
    int ret = ioctl(x->vcpu, KVM_RUN, 0), code = errno;
    set_alarm(x, 0);
    if (ret && code == EINTR)
        wrong(x, "%s: a loop of 1000 turns takes more than %u ms", mode, PATIENCE_MS);
    else if (ret)
        wrong(x, "%s: KVM_RUN: %s", mode, strerror(code));
    else if (r->exit_reason == KVM_EXIT_IO && r->io.direction == KVM_EXIT_IO_OUT &&
             r->io.port == port)
        memcpy(v, (const u8 *)r + r->io.data_offset, sizeof(*v));
    else if (port == PORT_SUM)
        wrong(x, "%s: an SSE2 instruction does not run (exit %u)", mode, r->exit_reason);
    else
        wrong(x, "%s: the trial guest does not run (exit %u)", mode, r->exit_reason);
    return !ret && r->exit_reason == KVM_EXIT_IO && r->io.port == port;
}

static void try_mode(struct trial *x, unsigned bit, const char *name)
{
    const u8 *code = bit == MODE_REAL ? code16 : code32;
    u32 v;

    memcpy(x->mem + GPA_CODE, code, bit == MODE_REAL ? sizeof(code16) : sizeof(code32));
    if (!set_registers(x, bit)) {
        wrong(x, "%s: KVM refuses its registers: %s", name, strerror(errno));
        return;
    }
    double from = now_us();
    if (!run_to(x, name, PORT_LOOP, &v))
        return;
    double took = now_us() - from;
    if (bit == MODE_LONG && (!x->t->loop_us || took < x->t->loop_us))
        x->t->loop_us = took;
    x->t->modes |= bit;
    if (!run_to(x, name, PORT_SUM, &v))
        return;
    if (v != 2 * ADDEND) {
        wrong(x, "%s: SSE2 calculates %#x + %#x = %#x", name, ADDEND, ADDEND, v);
        return;
    }
    x->t->whole |= bit;
}

/* The guest's TSC must be what we make it, or its clocks part when the machine stands. */
static void try_tsc(struct trial *x)
{
    static const char what[] = "the time stamp counter";
    u64 from = __builtin_ia32_rdtsc(), offset = 0 - from;
    struct kvm_device_attr a = {
        .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (u64)&offset};
    u32 low, high;

    if (ioctl(x->vcpu, KVM_SET_DEVICE_ATTR, &a))
        return; /* an older kernel: engine_kvm.c has another way */
    memcpy(x->mem + GPA_CODE, code_tsc, sizeof(code_tsc));
    if (!set_registers(x, MODE_LONG) || !run_to(x, what, PORT_TSC_LOW, &low) ||
        !run_to(x, what, PORT_TSC_HIGH, &high))
        return;
    u64 tsc = (u64)high << 32 | low;
    if (tsc > __builtin_ia32_rdtsc() - from + TSC_SLACK)
        wrong(x, "%s: KVM takes an offset for it that has no effect", what);
}

static bool open_vcpu(struct trial *x)
{
    struct kvm_userspace_memory_region slot = {.memory_size = TRIAL_MEMORY,
                                               .userspace_addr = (u64)x->mem};
    u8 block[sizeof(struct kvm_signal_mask) + 8] = {0};
    struct kvm_signal_mask *m = (struct kvm_signal_mask *)block;
    u64 all = ~BIT64(kvm_kick_signal() - 1);
    int size = ioctl(x->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

    kvm_place_tss(x->vm);
    m->len = 8;
    memcpy(m->sigset, &all, 8);
    if (ioctl(x->vm, KVM_SET_USER_MEMORY_REGION, &slot)) {
        wrong(x, "KVM_SET_USER_MEMORY_REGION: %s", strerror(errno));
        return false;
    }
    x->vcpu = ioctl(x->vm, KVM_CREATE_VCPU, 0);
    if (x->vcpu < 0 || size < (int)sizeof(struct kvm_run)) {
        wrong(x, "KVM_CREATE_VCPU: %s", strerror(errno));
        return false;
    }
    x->run_size = (size_t)size;
    void *p = mmap(NULL, x->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, x->vcpu, 0);
    if (p == MAP_FAILED || ioctl(x->vcpu, KVM_SET_SIGNAL_MASK, m) ||
        ioctl(x->vcpu, KVM_GET_SREGS, &x->sregs) || !kvm_give_all_cpuid(x->kvm, x->vcpu)) {
        wrong(x, "making a trial processor: %s", strerror(errno));
        return false;
    }
    x->run = p;
    return true;
}

static void try_all(struct trial *x, bool stop_early)
{
    struct kvm_trial *t = x->t;

    make_memory(x);
    for (unsigned i = 0; i < ARRAY_SIZE(modes) && !(stop_early && *t->why); i++) {
        unsigned bit = modes[i].bit;
        try_mode(x, bit, modes[i].name);
        if (bit != MODE_LONG)
            continue;
        /* the best of three */
        for (unsigned n = 0; n < 2 && t->whole & bit && t->loop_us > LOOP_US_MAX; n++)
            try_mode(x, bit, modes[i].name);
        if (t->loop_us > LOOP_US_MAX)
            wrong(x, "%s: a loop of 1000 turns takes %.0f us: this KVM emulates", modes[i].name,
                  t->loop_us);
    }
    if (!*t->why)
        try_tsc(x);
}

static void close_trial(struct trial *x)
{
    if (x->have_timer) {
        timer_delete(x->timer);
        pthread_sigmask(SIG_SETMASK, &x->old_mask, NULL);
    }
    if (x->run)
        munmap(x->run, x->run_size);
    if (x->mem != MAP_FAILED)
        munmap(x->mem, TRIAL_MEMORY);
    const int fds[] = {x->vcpu, x->vm, x->kvm};
    for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static bool open_trial(struct trial *x)
{
    struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = kvm_kick_signal()};
    sigset_t set;

    x->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (x->kvm < 0) {
        wrong(x, "%s", strerror(errno));
        return false;
    }
    x->t->opens = true;
    sigemptyset(&set);
    sigaddset(&set, kvm_kick_signal());
    pthread_sigmask(SIG_BLOCK, &set, &x->old_mask);
    ev._sigev_un._tid = gettid();
    x->have_timer = !timer_create(CLOCK_MONOTONIC, &ev, &x->timer);
    x->vm = ioctl(x->kvm, KVM_CREATE_VM, 0);
    x->mem = mmap(NULL, TRIAL_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!x->have_timer || x->vm < 0 || x->mem == MAP_FAILED) {
        wrong(x, "%s: %s", x->vm < 0 ? "KVM_CREATE_VM" : "making a trial guest", strerror(errno));
        return false;
    }
    return true;
}

void kvm_trial(struct kvm_trial *t, bool stop_early)
{
    struct trial x = {.t = t, .kvm = -1, .vm = -1, .vcpu = -1, .mem = MAP_FAILED};

    memset(t, 0, sizeof(*t));
    t->exists = !access("/dev/kvm", F_OK);
    if (!t->exists)
        wrong(&x, "it is not there");
    else if (open_trial(&x) && open_vcpu(&x))
        try_all(&x, stop_early);
    close_trial(&x);
}
