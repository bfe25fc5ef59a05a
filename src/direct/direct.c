/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When a program runs directly, and what passes between the processor's state and the process.
 *
 * A turn in the process costs about twenty microseconds, more than a system call takes in the
 * translator; so only programs that stay out of their kernel for long get there, and those whose
 * turns become short, or that fault pages in all the time, go back.
 */
#include "direct/direct.h"

#include "base/clock.h"
#include "cpu/exception.h"
#include "cpu/interp.h"
#include "cpu/ring3.h"
#include "cpu/segment.h"
#include "direct/shadow.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SPACES = 4, KNOWN = 64, ENTRIES = 4 };

/* Microseconds. */
enum {
    STAY_ENTER = 300, /* in the program, between two times in its kernel, to run directly */
    STAY_LEAVE = 100, /* and to be sent back */
    WAIT_MIN = 20000, /* for another try */
    WAIT_MAX = 2000000,
    FAULTS_MAX = 5000, /* spent with page-ins, before anybody asks what came of it */
};

/* Selectors of a 64-bit program, as Linux hosts have them, and so what a guest must have. */
enum { USER_CS = 0x33, USER_SS = 0x2b };

/* Of a program's own doing, and to be had by ptrace(2). */
#define PROGRAM_FLAGS (FLAGS_ARITH | FLAG_DF | FLAG_AC | FLAG_TF)
/* Of a program's own doing, but not to be given to a process: child_apply() takes them away. */
#define STICKY_FLAGS (FLAG_NT | FLAG_ID)
/* Those that a process has not got, or that it would be stopped by. */
#define BAD_FLAGS                                                                                  \
    (FLAG_TF | FLAG_RF | FLAG_NT | FLAG_IOPL | FLAG_VM | FLAG_VIF | FLAG_VIP | FLAG_ID)

/* What is known of a program, by its root table. */
struct program {
    u64 root;
    u64 stay;          /* ns, about, between two times in its kernel; of its own time */
    u64 until;         /* host TSC: not before */
    u64 wait;          /* cycles: how long the next wait is */
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
    struct program known[KNOWN], *now;
    bool in_program;
    unsigned entries; /* into the kernel, since `since`; 0: nobody counts */
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

static u64 now(void)
{
    return __builtin_ia32_rdtsc();
}

/* ------------------------------------------------------------ address spaces -- */

static u16 loaded_pcid(const struct cpu *c)
{
    return c->s.cr4 & CR4_PCIDE ? c->s.cr3 & 0xfff : 0;
}

static struct shadow *find(struct direct *d, u16 pcid)
{
    for (unsigned i = 0; i < SPACES; i++)
        if (d->space[i].valid && d->space[i].pcid == pcid)
            return &d->space[i];
    return NULL;
}

static void hook_flush(struct mmu_shadow *h, bool others)
{
    struct direct *d = (struct direct *)h;
    struct shadow *s = find(d, loaded_pcid(d->c));

    d->stats.flushes++;
    for (unsigned i = 0; i < SPACES; i++)
        if (d->space[i].valid && (others || s == &d->space[i]))
            shadow_flush(&d->space[i]);
}

static void hook_flush_page(struct mmu_shadow *h, u64 lin)
{
    struct direct *d = (struct direct *)h;

    for (unsigned i = 0; i < SPACES; i++) /* a global page may be in all */
        if (d->space[i].valid)
            shadow_flush_page(&d->space[i], lin);
}

static void hook_drop_pcid(struct mmu_shadow *h, u16 pcid)
{
    struct direct *d = (struct direct *)h;
    struct shadow *s = find(d, pcid);

    if (s)
        shadow_flush(s);
}

static void hook_turn_to(struct mmu_shadow *h, u16 to, bool keep)
{
    if (!keep)
        hook_drop_pcid(h, to);
}

static void hook_sync(struct mmu_shadow *h, u64 ram_page)
{
    struct direct *d = (struct direct *)h;

    if (ram_page != UINT64_MAX && !(d->owner.ram_bits[ram_page] & MAPPED_W))
        return;
    for (unsigned i = 0; i < SPACES; i++)
        if (d->space[i].valid)
            shadow_sync(&d->owner, &d->space[i], ram_page);
    if (ram_page != UINT64_MAX)
        d->owner.ram_bits[ram_page] &= (u8)~MAPPED_W;
}

void direct_code_gone(struct direct *d, u64 ram_page)
{
    if (likely(!(d->owner.ram_bits[ram_page] & (MAPPED_X | REFUSED))))
        return;
    d->owner.ram_bits[ram_page] &= (u8) ~(MAPPED_X | REFUSED);
    for (unsigned i = 0; i < SPACES; i++)
        if (d->space[i].valid)
            shadow_code_gone(&d->space[i], ram_page);
}

static void hold_code(struct shadow_owner *o, u64 ram_page)
{
    struct direct *d = container_of(o, struct direct, owner);

    d->stats.screened++;
    d->ops->hold_code(d->opaque, ram_page);
}

/* The loaded address space's process; NULL: it can have none. */
static struct shadow *space(struct direct *d)
{
    u16 pcid = loaded_pcid(d->c);
    struct shadow *s = find(d, pcid);

    for (unsigned i = 0; !s && i < SPACES; i++)
        if (!d->space[i].valid)
            s = &d->space[i];
    if (!s) {
        s = d->space;
        for (unsigned i = 1; i < SPACES; i++)
            if ((s32)(d->space[i].turn - s->turn) < 0)
                s = &d->space[i];
    }
    s->turn = ++d->turn;
    if (!s->page && shadow_open(s))
        return NULL;
    if (!s->valid || s->pcid != pcid)
        shadow_flush(s);
    s->valid = true;
    s->pcid = pcid;
    if (s->child.pid)
        return s;
    shadow_flush(s);
    s->drop_all = false;
    if (child_start(&s->child, d->c->vm->mem.fd))
        return NULL;
    d->stats.processes++;
    return s;
}

/* ------------------------------------------------------------ open and close -- */

struct direct *direct_open(struct cpu *c, const struct direct_ops *ops, void *opaque)
{
    struct direct *d = calloc(1, sizeof(*d));

    if (d)
        d->owner.ram_bits = calloc(c->vm->mem.size >> PAGE_SHIFT, 1);
    if (!d || !d->owner.ram_bits) {
        free(d);
        return NULL;
    }
    d->hooks =
        (struct mmu_shadow){hook_flush, hook_flush_page, hook_turn_to, hook_drop_pcid, hook_sync};
    d->owner.c = d->c = c;
    d->owner.hold_code = hold_code;
    d->ops = ops;
    d->opaque = opaque;
    d->running = -1;
    d->always = c->vm->cpu.direct == DIRECT_ALWAYS;
    d->now = d->known;
    d->thread = pthread_self();
    for (unsigned i = 0; i < SPACES; i++)
        d->space[i].child.pidfd = -1;
    c->shadow = &d->hooks;
    return d;
}

void direct_close(struct direct *d)
{
    if (!d)
        return;
    d->c->shadow = NULL;
    for (unsigned i = 0; i < SPACES; i++)
        shadow_close(&d->space[i]);
    free(d->owner.ram_bits);
    free(d);
}

const struct direct_stats *direct_stats(const struct direct *d)
{
    return &d->stats;
}

void direct_kick(struct direct *d)
{
    int fd = __atomic_load_n(&d->running, __ATOMIC_SEQ_CST);

    if (fd >= 0)
        child_interrupt(fd);
}

/* ------------------------------------------------------------ when -- */

static u64 cpu_time(clockid_t clock)
{
    struct timespec t = {0};

    clock_gettime(clock, &t);
    return (u64)t.tv_sec * NS_PER_SEC + (u64)t.tv_nsec;
}

/* The program that was left or entered. */
static void recognize(struct direct *d)
{
    u64 root = d->c->s.cr3 >> PAGE_SHIFT | BIT64(63);
    struct program *p = &d->known[root % KNOWN];

    if (p->root != root)
        *p = (struct program){.root = root, .wait = WAIT_MIN * d->per_us};
    if (d->now != p)
        d->entries = 0;
    d->now = p;
}

static void not_before(struct direct *d, u64 cycles)
{
    struct program *p = d->now;

    p->until = now() + cycles;
    p->stay = 0;
    d->entries = 0;
}

/* Into the kernel.  The clock is read at some times only; and when it says that they are rare, once
 * more with that of the processor's time, which does not count what others had of it. */
static void left_program(struct direct *d)
{
    bool begins = !d->entries;

    if (!begins && d->entries++ < ENTRIES)
        return;
    u64 us = begins ? 0 : (now() - d->since) / ENTRIES / d->per_us;
    if (!begins && d->exact)
        d->now->stay = (cpu_time(CLOCK_THREAD_CPUTIME_ID) - d->cpu_since) / ENTRIES;
    d->exact = !begins && !d->exact && us >= STAY_ENTER;
    d->entries = 1;
    d->since = now();
    if (d->exact)
        d->cpu_since = cpu_time(CLOCK_THREAD_CPUTIME_ID);
}

void direct_slept(struct direct *d)
{
    d->entries = 0;
}

bool direct_wanted(struct direct *d, bool program)
{
    if (!program) {
        if (d->in_program) {
            d->in_program = false;
            left_program(d);
        }
        return false;
    }
    if (!d->in_program) {
        d->in_program = true;
        if (unlikely(!d->per_us))
            d->per_us = clock_tsc_hz(d->c->vm->clock) / 1000000;
        recognize(d);
    }
    if (unlikely(d->always))
        return !d->off;
    if (likely(d->now->stay < STAY_ENTER * NS_PER_US) || d->off)
        return false;
    return now() > d->now->until;
}

/* The state is one that the process can take over. */
static bool fits(const struct direct *d)
{
    const struct cpu *c = d->c;
    const struct cpu_state *s = &c->s;
    const struct mem *m = &c->vm->mem;

    return s->seg[CS].sel == USER_CS && s->seg[SS].sel == USER_SS && !s->seg[DS].sel &&
           !s->seg[ES].sel && !s->seg[FS].sel && !s->seg[GS].sel && c->cpl == 3 &&
           (s->rflags & (FLAG_IF | BAD_FLAGS)) == FLAG_IF && (s->cr4 & CR4_FSGSBASE) &&
           (s->efer & EFER_SCE) && /* SYSCALL has written RCX and R11 */
           !cpu_must_step(c) && !c->debug && !c->log && !cpu_ring3(c) && m->shared && !m->lazy;
}

/* Faults that bring pages in cost more than the program's own speed gains? */
static void look_back(struct direct *d)
{
    struct program *p = d->now;
    u64 some = FAULTS_MAX * d->per_us;

    if (p->faulting < some && p->ran < 16 * some)
        return;
    if (p->faulting > p->ran / 2) {
        not_before(d, p->wait);
        p->wait = min(2 * p->wait, WAIT_MAX * d->per_us);
    } else {
        p->wait = WAIT_MIN * d->per_us;
    }
    p->ran = p->faulting = 0;
}

/* A turn came to its end in the kernel. */
static void look_at_stay(struct direct *d, u64 ns)
{
    struct program *p = d->now;

    p->stay = (3 * p->stay + ns) / 4;
    if (p->stay < STAY_LEAVE * NS_PER_US)
        not_before(d, WAIT_MIN * d->per_us);
}

/* ------------------------------------------------------------ registers -- */

static void registers_out(const struct cpu_state *s, struct user_regs_struct *r)
{
    *r = (struct user_regs_struct){
        .rax = s->gpr[RAX],
        .rcx = s->gpr[RCX],
        .rdx = s->gpr[RDX],
        .rbx = s->gpr[RBX],
        .rsp = s->gpr[RSP],
        .rbp = s->gpr[RBP],
        .rsi = s->gpr[RSI],
        .rdi = s->gpr[RDI],
        .r8 = s->gpr[R8],
        .r9 = s->gpr[R9],
        .r10 = s->gpr[R10],
        .r11 = s->gpr[R11],
        .r12 = s->gpr[R12],
        .r13 = s->gpr[R13],
        .r14 = s->gpr[R14],
        .r15 = s->gpr[R15],
        .rip = s->rip,
        .eflags = (s->rflags & PROGRAM_FLAGS) | FLAG_IF | FLAG_1,
        .cs = USER_CS,
        .ss = USER_SS,
        .fs_base = s->seg[FS].base,
        .gs_base = s->seg[GS].base,
    };
}

static void registers_in(struct cpu_state *s, const struct user_regs_struct *r)
{
    const u64 gpr[16] = {r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
                         r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15};

    memcpy(s->gpr, gpr, sizeof(gpr));
    s->rip = r->rip;
    s->rflags &= ~(u64)(PROGRAM_FLAGS | STICKY_FLAGS);
    s->rflags |= r->eflags & (PROGRAM_FLAGS | STICKY_FLAGS);
    s->seg[FS].base = r->fs_base;
    s->seg[GS].base = r->gs_base;
}

/* What a far jump checks that the host has checked by its own table. */
static void load_code_segment(struct cpu *c, u16 sel)
{
    u64 lin, desc = desc_read(c, sel, EXC_GP, &lin);
    unsigned type = desc >> 40 & 0x1f, conforming = type & 4;

    if ((type & 0x18) != 0x18 || (!conforming && desc_dpl(desc) != 3) || (desc >> 53 & 3) == 3)
        cpu_gp(c, sel & ~3u);
    if (!(desc >> 47 & 1))
        cpu_raise(c, EXC_NP, sel & ~3u);
    c->s.seg[CS] = desc_segment(desc, sel);
}

/* A program that loads segment registers had them from the host's table; what the guest's own says
 * is so from now on. */
catches_exceptions static void load_segments(struct cpu *c, const struct user_regs_struct *r)
{
    void *outer[5];
    u64 fs = r->fs_base, gs = r->gs_base;

    memcpy(outer, c->unwind, sizeof(outer));
    c->next_rip = c->s.rip;
    if (!__builtin_setjmp(c->unwind)) {
        if (r->cs != USER_CS)
            load_code_segment(c, (u16)r->cs);
        seg_load(c, DS, (u16)r->ds);
        seg_load(c, ES, (u16)r->es);
        seg_load(c, FS, (u16)r->fs);
        seg_load(c, GS, (u16)r->gs);
        if (r->ss != USER_SS)
            seg_load(c, SS, (u16)r->ss);
        c->s.seg[FS].base = fs;
        c->s.seg[GS].base = gs;
        cpu_derive(c);
    } else {
        exception_deliver(c);
    }
    memcpy(c->unwind, outer, sizeof(outer));
}

static bool segments_differ(const struct user_regs_struct *r)
{
    return r->cs != USER_CS || r->ss != USER_SS || r->ds || r->es || r->fs || r->gs;
}

/* ------------------------------------------------------------ a turn -- */

/* Stands before the instruction again that a trap was behind; the interpreter does it. */
static void trap_back(struct direct *d, struct user_regs_struct *r, int code)
{
    u8 last;

    if (code == TRAP_TRACE || code == TRAP_HWBKPT)
        return;
    /* CC: INT3; F1: INT1; CD 03: INT 3 */
    const u8 *p = tlb_lookup(&d->c->tlbs[MMU_USER], r->rip - 1, 1, TLB_EXEC);
    if (!p && mmu_fill(d->c, r->rip - 1, TLB_EXEC))
        p = tlb_lookup(&d->c->tlbs[MMU_USER], r->rip - 1, 1, TLB_EXEC);
    last = p ? *p : 0xcc;
    if (code == TRAP_BRKPT) /* INT1, which some hosts stop before */
        r->rip -= last == 0xf1;
    else
        r->rip -= last == 0x03 ? 2 : 1;
}

/* The old page of time functions, which the host's kernel has answered for, in part. */
static void vsyscall_back(struct user_regs_struct *r, const siginfo_t *info)
{
    u64 at = (u64)info->si_call_addr;

    if (at >> 12 != 0xffffffffff600000 >> 12)
        return;
    r->rip = at;
    r->rsp -= 8;
}

/* Runs until something is not the process's business; r and *info say what. */
static enum direct_turn run(struct direct *d, struct shadow *s, struct user_regs_struct *r,
                            enum child_stop *why, siginfo_t *info, bool *broken)
{
    for (;;) {
        if (!child_run(&s->child, r, why, info)) {
            *why = CHILD_KICKED;
            not_before(d, WAIT_MAX * d->per_us);
            return DIRECT_SOFT;
        }
        switch (*why) {
        case CHILD_GONE:
            return DIRECT_BROKEN;
        case CHILD_KICKED:
            return DIRECT_DONE;
        case CHILD_SYSCALL:
            d->stats.calls++;
            r->rip -= 2;
            return DIRECT_STEP;
        case CHILD_SIGNAL:
            break;
        }
        if (info->si_signo == SIGTRAP) {
            trap_back(d, r, info->si_code);
            return DIRECT_STEP;
        }
        if (info->si_signo == SIGSYS)
            vsyscall_back(r, info);
        d->stats.faults++;
        if (info->si_signo != SIGSEGV ||
            (info->si_code != SEGV_MAPERR && info->si_code != SEGV_ACCERR))
            return DIRECT_STEP;
        u64 start = now();
        enum page_in in = shadow_page_in(&d->owner, s, (u64)info->si_addr, r->rip);
        d->now->faulting += now() - start;
        d->stats.page_ins++;
        *broken = in == PAGE_IN_BROKEN;
        if (in != PAGE_IN_DONE)
            return in == PAGE_IN_SOFT ? DIRECT_STEP : DIRECT_SOON;
        if (vcpu_events(d->c->vcpu))
            return DIRECT_DONE;
    }
}

/* Processes belong to the thread that made them. */
static void own_processes(struct direct *d)
{
    if (pthread_equal(d->thread, pthread_self()))
        return;
    d->thread = pthread_self();
    for (unsigned i = 0; i < SPACES; i++) {
        child_end(&d->space[i].child);
        d->space[i].valid = false;
    }
}

/* A host that lets us have no process, or none with so many mappings: a few times is enough. */
static void failed(struct direct *d, struct shadow *s)
{
    enum { TIMES = 8 };

    if (s) {
        child_end(&s->child);
        s->valid = false;
    }
    d->off = ++d->failures == TIMES;
}

/* In a page that the process may not execute: perhaps not for long. */
static enum direct_turn wait_for_page(struct direct *d)
{
    enum { TIMES = 64, MICROSECONDS = 2000 };

    if (++d->waits <= TIMES)
        return DIRECT_SOON;
    d->waits = 0;
    d->now->until = now() + MICROSECONDS * d->per_us;
    return DIRECT_SOFT;
}

enum direct_turn direct_turn(struct direct *d)
{
    struct cpu *c = d->c;
    struct user_regs_struct r;
    enum child_stop why = CHILD_KICKED;
    siginfo_t info = {0};
    bool broken = false;
    struct shadow *s;

    if (!fits(d)) {
        not_before(d, WAIT_MIN * d->per_us);
        return DIRECT_SOFT;
    }
    own_processes(d);
    s = space(d);
    if (s && shadow_refuses(s, c->s.rip))
        return wait_for_page(d);
    if (!s || !shadow_apply(s) || !child_put_vectors(&s->child, &c->s.x)) {
        failed(d, s);
        return DIRECT_SOFT;
    }
    registers_out(&c->s, &r);
    clockid_t clock = child_clock(&s->child);
    u64 start = now(), ns = cpu_time(clock), faulting = d->now->faulting;
    enum direct_turn t = DIRECT_SOFT;
    __atomic_store_n(&d->running, s->child.pidfd, __ATOMIC_SEQ_CST);
    if (!vcpu_events(c->vcpu))
        t = run(d, s, &r, &why, &info, &broken);
    __atomic_store_n(&d->running, -1, __ATOMIC_SEQ_CST);
    if (t == DIRECT_BROKEN || !s->child.pid || !child_get_vectors(&s->child, &c->s.x)) {
        fprintf(stderr, "vCPU %u: the process of a guest's program was ended\n", c->vcpu->index);
        return DIRECT_BROKEN;
    }
    if (broken)
        failed(d, s);
    bool ac = (c->s.rflags ^ r.eflags) & FLAG_AC;
    registers_in(&c->s, &r);
    if (segments_differ(&r))
        load_segments(c, &r);
    else if (ac)
        cpu_derive(c);
    d->in_program = false;
    d->entries = 0;
    u64 cycles = now() - start;
    d->waits = 0;
    d->stats.runs++;
    d->stats.cycles += cycles;
    d->now->ran += cycles - (d->now->faulting - faulting);
    look_at_stay(d, cpu_time(clock) - ns);
    look_back(d);
    if (why == CHILD_SIGNAL && info.si_signo == SIGTRAP && info.si_code == TRAP_TRACE) {
        c->s.dr[6] |= BIT(14); /* BS: the trap of POPF's TF, one instruction later */
        interrupt_deliver(c, EXC_DB, INT_EXC);
        return DIRECT_DONE;
    }
    if (t == DIRECT_STEP)
        d->stats.steps++;
    return t;
}
