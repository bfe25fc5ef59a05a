/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What passes between the processor's state and the process. */
#include "cpu/exception.h"
#include "cpu/interp.h"
#include "cpu/ring3.h"
#include "cpu/segment.h"
#include "direct/internal.h"

#include <string.h>

/* Of a program's own doing, and to be had by ptrace(2). */
#define PROGRAM_FLAGS (FLAGS_ARITH | FLAG_DF | FLAG_AC | FLAG_TF)
/* Of a program's own doing, but not to be given to a process: child_apply() takes them away. */
#define STICKY_FLAGS (FLAG_NT | FLAG_ID)
/* Those that a process has not got, or that it would be stopped by. */
#define BAD_FLAGS                                                                                  \
    (FLAG_TF | FLAG_RF | FLAG_NT | FLAG_IOPL | FLAG_VM | FLAG_VIF | FLAG_VIP | FLAG_ID)

bool registers_fit(const struct cpu *c)
{
    const struct cpu_state *s = &c->s;
    const struct mem *m = &c->vm->mem;

    return s->seg[CS].sel == USER_CS && s->seg[SS].sel == USER_SS && !s->seg[DS].sel &&
           !s->seg[ES].sel && !s->seg[FS].sel && !s->seg[GS].sel && c->cpl == 3 &&
           (s->rflags & (FLAG_IF | BAD_FLAGS)) == FLAG_IF && (s->cr4 & CR4_FSGSBASE) &&
           (s->efer & EFER_SCE) && /* SYSCALL has written RCX and R11 */
           !cpu_must_step(c) && !c->debug && !c->log && !cpu_ring3(c) && m->shared && !m->lazy;
}

void registers_out(const struct cpu_state *s, struct user_regs_struct *r)
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

void registers_in(struct cpu *c, const struct user_regs_struct *r)
{
    struct cpu_state *s = &c->s;
    bool ac = (s->rflags ^ r->eflags) & FLAG_AC;
    const u64 gpr[16] = {r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
                         r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15};

    memcpy(s->gpr, gpr, sizeof(gpr));
    s->rip = r->rip;
    s->rflags &= ~(u64)(PROGRAM_FLAGS | STICKY_FLAGS);
    s->rflags |= r->eflags & (PROGRAM_FLAGS | STICKY_FLAGS);
    s->seg[FS].base = r->fs_base;
    s->seg[GS].base = r->gs_base;
    if (segments_differ(r))
        load_segments(c, r);
    else if (ac)
        cpu_derive(c);
}

void registers_before_trap(struct cpu *c, struct user_regs_struct *r, int code)
{
    u8 last;

    if (code == TRAP_TRACE || code == TRAP_HWBKPT)
        return;
    /* CC: INT3; F1: INT1; CD 03: INT 3 */
    const u8 *p = tlb_lookup(&c->tlbs[MMU_USER], r->rip - 1, 1, TLB_EXEC);
    if (!p && mmu_fill(c, r->rip - 1, TLB_EXEC))
        p = tlb_lookup(&c->tlbs[MMU_USER], r->rip - 1, 1, TLB_EXEC);
    last = p ? *p : 0xcc;
    if (code == TRAP_BRKPT) /* INT1, which some hosts stop before */
        r->rip -= last == 0xf1;
    else
        r->rip -= last == 0x03 ? 2 : 1;
}

void registers_before_vsyscall(struct user_regs_struct *r, const siginfo_t *info)
{
    u64 at = (u64)info->si_call_addr;

    if (at >> 12 != 0xffffffffff600000 >> 12)
        return;
    r->rip = at;
    r->rsp -= 8;
}
