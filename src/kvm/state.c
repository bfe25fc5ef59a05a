/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The architectural state (core/arch.h) in KVM's structures and back.
 *
 * What moves: general registers, segments, control and debug registers, XCR0, the XSAVE area, the
 * MSRs of moving[], interrupt shadow and NMI mask.  All else is user-owned: KVM either exits for it
 * (MSRs, by the filter of model.c) or does not know it.
 *
 * core/arch.h has no event half delivered.  One that KVM holds (an exit came while it was being
 * delivered) is delivered in software when the state is fetched.
 */
#include "kvm/kvm.h"

#include "cpu/exception.h"
#include "cpu/mmu.h"
#include "dev/lapic.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

_Static_assert(sizeof(struct xsave_area) <= sizeof(struct kvm_xsave), "XSAVE area");

static const struct {
    u32 msr;
    u32 offset;
} moving[] = {
    {0x174, offsetof(struct cpu_state, sysenter_cs)},
    {0x175, offsetof(struct cpu_state, sysenter_esp)},
    {0x176, offsetof(struct cpu_state, sysenter_eip)},
    {0x277, offsetof(struct cpu_state, pat)},
    {0xc0000081, offsetof(struct cpu_state, star)},
    {0xc0000082, offsetof(struct cpu_state, lstar)},
    {0xc0000083, offsetof(struct cpu_state, cstar)},
    {0xc0000084, offsetof(struct cpu_state, sfmask)},
    {0xc0000102, offsetof(struct cpu_state, kernel_gs_base)},
    {0xc0000103, offsetof(struct cpu_state, tsc_aux)}, /* last: not every host has it */
};

struct msr_block {
    struct kvm_msrs head;
    struct kvm_msr_entry entry[ARRAY_SIZE(moving)];
};

static int failed(struct engine_vcpu *k, const char *what)
{
    int code = errno;

    fprintf(stderr, "wirt: vCPU %u: KVM refuses %s: %s\n", k->c.vcpu->index, what, strerror(code));
    return -code;
}

unsigned kvm_mode(const struct cpu_state *s)
{
    if (!(s->cr0 & CR0_PE))
        return MODE_REAL;
    if (!(s->cr0 & CR0_PG))
        return MODE_FLAT;
    return s->efer & EFER_LMA ? MODE_LONG : MODE_PAGED;
}

/* ------------------------------------------------------------ registers -- */

static void regs_out(const struct cpu_state *s, struct kvm_regs *r)
{
    const u64 *g = s->gpr;

    *r = (struct kvm_regs){
        .rax = g[RAX],
        .rbx = g[RBX],
        .rcx = g[RCX],
        .rdx = g[RDX],
        .rsi = g[RSI],
        .rdi = g[RDI],
        .rsp = g[RSP],
        .rbp = g[RBP],
        .r8 = g[R8],
        .r9 = g[R9],
        .r10 = g[R10],
        .r11 = g[R11],
        .r12 = g[R12],
        .r13 = g[R13],
        .r14 = g[R14],
        .r15 = g[R15],
        .rip = s->rip,
        .rflags = s->rflags,
    };
}

static void regs_in(struct cpu_state *s, const struct kvm_regs *r)
{
    const u64 g[16] = {r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
                       r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15};

    memcpy(s->gpr, g, sizeof(g));
    s->rip = r->rip;
    s->rflags = r->rflags | FLAG_1;
}

static struct kvm_segment segment_out(const struct segment *s)
{
    return (struct kvm_segment){
        .base = s->base,
        .limit = s->limit,
        .selector = s->sel,
        .type = s->attr & SEG_TYPE,
        .present = !!(s->attr & SEG_P),
        .dpl = (s->attr & SEG_DPL) >> 5,
        .db = !!(s->attr & SEG_DB),
        .s = !!(s->attr & SEG_S),
        .l = !!(s->attr & SEG_L),
        /* VMX checks it against the limit; in real mode it may be a descriptor's of long ago */
        .g = s->limit > 0xfffff || (s->attr & SEG_G && (s->limit & 0xfff) == 0xfff),
        .avl = !!(s->attr & SEG_AVL),
        .unusable = !(s->attr & SEG_P),
    };
}

static struct segment segment_in(const struct kvm_segment *k)
{
    unsigned attr = (k->type & SEG_TYPE) | (k->s ? SEG_S : 0) | (k->dpl & 3u) << 5 |
                    (k->present && !k->unusable ? SEG_P : 0) | (k->avl ? SEG_AVL : 0) |
                    (k->l ? SEG_L : 0) | (k->db ? SEG_DB : 0) | (k->g ? SEG_G : 0);

    return (struct segment){
        .base = k->base, .limit = k->limit, .sel = k->selector, .attr = (u16)attr};
}

/* The segments of struct kvm_sregs in the order of enum seg_reg. */
static struct kvm_segment *sregs_segment(struct kvm_sregs *r, unsigned n)
{
    struct kvm_segment *const seg[SEG_COUNT] = {&r->es, &r->cs, &r->ss, &r->ds, &r->fs, &r->gs};

    return seg[n];
}

static void sregs_out(const struct engine_vcpu *k, struct kvm_sregs *r)
{
    const struct cpu_state *s = &k->c.s;
    const struct vcpu_intc *ic = &k->c.vcpu->intc;

    memset(r, 0, sizeof(*r));
    for (unsigned n = 0; n < SEG_COUNT; n++)
        *sregs_segment(r, n) = segment_out(&s->seg[n]);
    r->ldt = segment_out(&s->ldtr);
    r->tr = segment_out(&s->tr);
    r->gdt.base = s->gdtr.base;
    r->gdt.limit = s->gdtr.limit;
    r->idt.base = s->idtr.base;
    r->idt.limit = s->idtr.limit;
    r->cr0 = s->cr0;
    r->cr2 = s->cr2;
    r->cr3 = s->cr3;
    r->cr4 = s->cr4;
    r->cr8 = ic->get_tpr ? ic->get_tpr(ic->opaque) : 0;
    r->efer = s->efer;
    r->apic_base = ic->get_base ? ic->get_base(ic->opaque) : 0xfee00900;
}

static void sregs_in(struct cpu_state *s, struct kvm_sregs *r)
{
    for (unsigned n = 0; n < SEG_COUNT; n++)
        s->seg[n] = segment_in(sregs_segment(r, n));
    s->ldtr = segment_in(&r->ldt);
    s->tr = segment_in(&r->tr);
    s->gdtr = (struct desc_table){r->gdt.base, r->gdt.limit};
    s->idtr = (struct desc_table){r->idt.base, r->idt.limit};
    s->cr0 = r->cr0;
    s->cr2 = r->cr2;
    s->cr3 = r->cr3;
    s->cr4 = r->cr4;
    s->efer = r->efer;
}

/* ------------------------------------------------------------- vectors -- */

static int xsave_out(struct engine_vcpu *k)
{
    struct kvm_xsave x = {0};
    struct xsave_area a = k->c.s.x;

    a.xstate_bv = (a.xstate_bv | 3) & k->en->xcr0;
    a.xcomp_bv = 0;
    memcpy(x.region, &a, sizeof(a));
    if (ioctl(k->fd, KVM_SET_XSAVE, &x))
        return failed(k, "the vector registers");
    return 0;
}

static int xsave_in(struct engine_vcpu *k)
{
    struct kvm_xsave x;
    struct xsave_area *a = &k->c.s.x;

    if (ioctl(k->fd, KVM_GET_XSAVE, &x))
        return failed(k, "to give the vector registers");
    memcpy(a, x.region, sizeof(*a));
    if (!(a->xstate_bv & 4))
        memset(a->ymmh, 0, sizeof(a->ymmh));
    a->xstate_bv = 3 | (a->xstate_bv & 4);
    a->xcomp_bv = 0;
    a->mxcsr_mask = 0xffff;
    return 0;
}

static int xcr_out(struct engine_vcpu *k)
{
    struct kvm_xcrs x = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = k->c.s.xcr0}}};

    if (!cpuid_has(k->c.model, FEAT_xsave))
        return 0; /* it is 1 and stays it */
    return ioctl(k->fd, KVM_SET_XCRS, &x) ? failed(k, "XCR0") : 0;
}

static int xcr_in(struct engine_vcpu *k)
{
    struct kvm_xcrs x;

    if (!cpuid_has(k->c.model, FEAT_xsave))
        return 0;
    if (ioctl(k->fd, KVM_GET_XCRS, &x))
        return failed(k, "to give XCR0");
    for (unsigned i = 0; i < x.nr_xcrs; i++)
        if (x.xcrs[i].xcr == 0)
            k->c.s.xcr0 = x.xcrs[i].value;
    return 0;
}

/* ---------------------------------------------------------------- MSRs -- */

static unsigned msr_count(const struct engine_vcpu *k)
{
    return ARRAY_SIZE(moving) - !k->en->tsc_aux;
}

static u64 *msr_place(struct engine_vcpu *k, unsigned n)
{
    return (u64 *)((u8 *)&k->c.s + moving[n].offset);
}

static int msrs_out(struct engine_vcpu *k)
{
    struct msr_block b = {.head.nmsrs = msr_count(k)};

    for (unsigned i = 0; i < b.head.nmsrs; i++) {
        b.entry[i].index = moving[i].msr;
        b.entry[i].data = *msr_place(k, i);
    }
    int n = ioctl(k->fd, KVM_SET_MSRS, &b);
    if (n == (int)b.head.nmsrs)
        return 0;
    if (n >= 0) {
        fprintf(stderr, "wirt: vCPU %u: KVM refuses MSR %#x = %#llx\n", k->c.vcpu->index,
                moving[n].msr, (unsigned long long)b.entry[n].data);
        return -EINVAL;
    }
    return failed(k, "MSRs");
}

static int msrs_in(struct engine_vcpu *k)
{
    struct msr_block b = {.head.nmsrs = msr_count(k)};

    for (unsigned i = 0; i < b.head.nmsrs; i++)
        b.entry[i].index = moving[i].msr;
    int n = ioctl(k->fd, KVM_GET_MSRS, &b);
    if (n != (int)b.head.nmsrs)
        return failed(k, "to give MSRs");
    for (unsigned i = 0; i < b.head.nmsrs; i++)
        *msr_place(k, i) = b.entry[i].data;
    return 0;
}

/* -------------------------------------------------- debug, events, both -- */

static int debug_out(struct engine_vcpu *k)
{
    const u64 *dr = k->c.s.dr;
    struct kvm_debugregs d = {.db = {dr[0], dr[1], dr[2], dr[3]}, .dr6 = dr[6], .dr7 = dr[7]};

    return ioctl(k->fd, KVM_SET_DEBUGREGS, &d) ? failed(k, "debug registers") : 0;
}

static int debug_in(struct engine_vcpu *k)
{
    struct kvm_debugregs d;

    if (ioctl(k->fd, KVM_GET_DEBUGREGS, &d))
        return failed(k, "to give debug registers");
    memcpy(k->c.s.dr, d.db, 4 * sizeof(u64));
    k->c.s.dr[6] = d.dr6;
    k->c.s.dr[7] = d.dr7;
    return 0;
}

static int events_out(struct engine_vcpu *k)
{
    const struct cpu_state *s = &k->c.s;
    struct kvm_vcpu_events ev = {
        .flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW,
        .nmi.masked = s->nmi_blocked,
    };
    /* VMX knows the two kinds, and the one of STI only with IF set */
    if (s->int_shadow)
        ev.interrupt.shadow =
            s->rflags & FLAG_IF ? KVM_X86_SHADOW_INT_STI : KVM_X86_SHADOW_INT_MOV_SS;
    return ioctl(k->fd, KVM_SET_VCPU_EVENTS, &ev) ? failed(k, "events") : 0;
}

/* Does in software what KVM was about to do. */
static void deliver(struct engine_vcpu *k, const struct kvm_vcpu_events *ev)
{
    struct cpu *c = &k->c;

    if (ev->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT && ev->triple_fault.pending)
        c->triple_fault = true;
    if (ev->nmi.pending)
        vcpu_raise(c->vcpu, VCPU_NMI);
    if (ev->exception.injected || ev->exception.pending) {
        c->exc.vector = ev->exception.nr;
        c->exc.error = ev->exception.has_error_code ? ev->exception.error_code : NO_ERROR_CODE;
        /* INT3 and INTO are executed again */
        if (c->exc.vector != EXC_BP && c->exc.vector != EXC_OF)
            exception_deliver(c);
    } else if (ev->nmi.injected) {
        c->s.nmi_blocked = true;
        interrupt_deliver(c, EXC_NMI, INT_HW);
    } else if (ev->interrupt.injected && !ev->interrupt.soft) { /* INT n is executed again */
        interrupt_deliver(c, ev->interrupt.nr, INT_HW);
    }
}

static int events_in(struct engine_vcpu *k, struct kvm_vcpu_events *ev)
{
    if (ioctl(k->fd, KVM_GET_VCPU_EVENTS, ev))
        return failed(k, "to give events");
    k->c.s.nmi_blocked = ev->nmi.masked;
    k->c.s.int_shadow = ev->interrupt.shadow;
    return 0;
}

/* HLT and wait-for-SIPI, while local APICs are in the kernel. */
static int mp_state_out(struct engine_vcpu *k)
{
    struct cpu_state *s = &k->c.s;
    struct kvm_mp_state m = {.mp_state = s->wait_sipi ? KVM_MP_STATE_INIT_RECEIVED
                                         : s->halted  ? KVM_MP_STATE_HALTED
                                                      : KVM_MP_STATE_RUNNABLE};

    if (!k->en->split)
        return 0;
    if (ioctl(k->fd, KVM_SET_MP_STATE, &m))
        return failed(k, "to halt or to run");
    return 0;
}

/* First of all: INIT or SIPI that wait take effect by it. */
static int mp_state_in(struct engine_vcpu *k)
{
    struct cpu_state *s = &k->c.s;
    struct kvm_mp_state m;

    if (!k->en->split)
        return 0;
    if (ioctl(k->fd, KVM_GET_MP_STATE, &m))
        return failed(k, "to say whether it runs");
    s->halted = m.mp_state == KVM_MP_STATE_HALTED;
    s->wait_sipi =
        m.mp_state == KVM_MP_STATE_UNINITIALIZED || m.mp_state == KVM_MP_STATE_INIT_RECEIVED;
    return 0;
}

int kvm_fetch(struct engine_vcpu *k)
{
    struct cpu *c = &k->c;
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_vcpu_events ev;
    int r;

    if (k->here)
        return 0;
    kvm_complete(k);
    k->stats.fetches++;
    r = mp_state_in(k);
    /* Before the rest: it settles what exceptions that are under way do to CR2 and DR6. */
    if (!r)
        r = events_in(k, &ev);
    if (!r && ioctl(k->fd, KVM_GET_REGS, &regs))
        r = failed(k, "to give registers");
    if (!r && ioctl(k->fd, KVM_GET_SREGS, &sregs))
        r = failed(k, "to give segments");
    if (!r)
        r = xsave_in(k);
    if (!r)
        r = xcr_in(k);
    if (!r)
        r = msrs_in(k);
    if (!r)
        r = debug_in(k);
    if (r)
        return r;
    regs_in(&c->s, &regs);
    sregs_in(&c->s, &sregs);
    if (k->en->split)
        lapic_mirror(c->vcpu->intc.opaque, sregs.apic_base, (u8)sregs.cr8);
    k->here = true;
    mmu_flush_all(c);
    cpu_derive(c);
    deliver(k, &ev);
    return 0;
}

int kvm_put(struct engine_vcpu *k)
{
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    int r;

    k->stats.puts++;
    regs_out(&k->c.s, &regs);
    sregs_out(k, &sregs);
    r = ioctl(k->fd, KVM_SET_SREGS, &sregs) ? failed(k, "the processor's mode") : 0;
    if (!r)
        r = xcr_out(k);
    if (!r)
        r = xsave_out(k);
    if (!r)
        r = msrs_out(k);
    if (!r)
        r = debug_out(k);
    if (!r)
        r = events_out(k);
    if (!r && ioctl(k->fd, KVM_SET_REGS, &regs))
        r = failed(k, "registers");
    if (!r)
        r = mp_state_out(k);
    if (r)
        return r;
    k->here = false;
    k->ready = false;
    if (k->en->split) {
        /* Asleep it takes the PIC's interrupt at once; KVM would not come back to say so. */
        k->ready = k->c.s.halted;
        k->run->if_flag = !!(k->c.s.rflags & FLAG_IF);
        k->c.s.halted = k->c.s.wait_sipi = false;
    }
    return 0;
}
