/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the program, the kernel and Xen, all in ring 3: exceptions, events and system calls enter
 * the kernel by a frame on its stack, HYPERVISOR_iret leaves it, SYSCALL in the kernel is a
 * hypercall (Xen's arch/x86/x86_64/entry.S has the frame; arch-x86/xen-x86_64.h has
 * iret_context).
 *
 * Interrupts are events: what masks them is vcpu_info's evtchn_upcall_mask, which stands for
 * RFLAGS.IF in every frame.  VCPU_INTR says that one may be waiting; it is lowered when the mask is
 * found set, for whoever clears the mask comes here afterwards, by iret or another call.
 */
#include "pv/xen/pv.h"

#include "cpu/interp.h"
#include "cpu/mmu.h"

#include <string.h>

enum { FRAME_WORDS = 2 + 4 + 1 + 5 };

/* ------------------------------------------------------------ in and out -- */

static struct pv_vcpu *enter(struct cpu *c)
{
    struct pv_vcpu *v = pv_of(c);

    v->c = c;
    vcpu_set_inside(c->vcpu, true);
    return v;
}

/* Requests that came meanwhile are looked at before the guest's next instruction. */
static void leave(struct pv_vcpu *v, struct cpu *c)
{
    const struct xen_vcpu_info *i = v->xv->info;

    if (__atomic_load_n(&i->evtchn_upcall_pending, __ATOMIC_SEQ_CST) &&
        !__atomic_load_n(&i->evtchn_upcall_mask, __ATOMIC_SEQ_CST))
        vcpu_raise(c->vcpu, VCPU_INTR);
    c->leave = true;
    vcpu_set_inside(c->vcpu, false);
}

void pv_crash(struct pv_vcpu *v, struct cpu *c, const char *why)
{
    trace(v->xv->x->trace, xen, "cpu%u: domain crashed at %04x:%llx: %s", c->vcpu->index,
          c->s.seg[CS].sel, (unsigned long long)c->s.rip, why);
    c->triple_fault = true;
    c->leave = true;
}

void pv_toggle(struct pv_vcpu *v, struct cpu *c)
{
    bool kernel = !c->s.ring3_kernel;
    u64 base = c->s.seg[GS].base;

    c->s.seg[GS].base = c->s.kernel_gs_base;
    c->s.kernel_gs_base = base;
    ring3_switch(c, kernel, (kernel ? v->kernel_l4 : v->user_l4) << PAGE_SHIFT);
}

/* ---------------------------------------------------------------- frames -- */

void pv_bounce(struct pv_vcpu *v, struct cpu *c, u64 ip, u32 error, bool masks, bool failsafe)
{
    struct xen_vcpu_info *info = v->xv->info;
    bool from_kernel = c->s.ring3_kernel;
    u8 mask = __atomic_load_n(&info->evtchn_upcall_mask, __ATOMIC_RELAXED);
    u64 f[FRAME_WORDS], n = 0;

    if (!ip) {
        pv_crash(v, c, "no handler");
        return;
    }
    f[n++] = c->s.gpr[RCX];
    f[n++] = c->s.gpr[R11];
    if (failsafe)
        for (unsigned i = 0; i < 4; i++)
            f[n++] = c->s.seg[(const u8[]){DS, ES, FS, GS}[i]].sel;
    if (error != NO_ERROR_CODE)
        f[n++] = error;
    f[n++] = c->s.rip;
    f[n++] = (from_kernel ? c->s.seg[CS].sel & ~3u : c->s.seg[CS].sel) | (u64)mask << 32;
    f[n++] = (c->s.rflags & ~(u64)(FLAG_IF | FLAG_IOPL)) | (mask ? 0 : FLAG_IF);
    f[n++] = c->s.gpr[RSP];
    f[n++] = c->s.seg[SS].sel;
    if (!from_kernel)
        pv_toggle(v, c);
    u64 sp = ((from_kernel ? c->s.gpr[RSP] : v->kernel_sp) & ~15ull) - n * 8;
    if (!pv_copy(c, sp, f, n * 8, true)) {
        pv_crash(v, c, "the kernel's stack is not writable");
        return;
    }
    if (masks)
        __atomic_store_n(&info->evtchn_upcall_mask, 1, __ATOMIC_SEQ_CST);
    c->s.rflags &= ~(u64)(FLAG_AC | FLAG_VM | FLAG_RF | FLAG_NT | FLAG_TF);
    c->s.gpr[RSP] = sp;
    c->s.seg[CS] = pv_flat_code(FLAT_RING3_CS64);
    c->s.seg[SS] = pv_flat_data(FLAT_RING3_SS64);
    c->s.rip = ip;
    if (unlikely(c->code != CODE64))
        cpu_derive(c);
}

/* ------------------------------------------------------------ exceptions -- */

static bool has_error_code(unsigned vector)
{
    return vector == EXC_DF || (vector >= EXC_TS && vector <= EXC_PF) || vector == EXC_AC;
}

void pv_inject(struct pv_vcpu *v, struct cpu *c, unsigned vector, u32 error)
{
    const struct pv_trap *t = &v->trap[vector];

    if (vector == EXC_PF)
        v->xv->info->arch_cr2 = c->s.cr2;
    if (!has_error_code(vector))
        error = NO_ERROR_CODE;
    else if (error == NO_ERROR_CODE)
        error = 0;
    if (!t->ip)
        trace(v->xv->x->trace, xen, "cpu%u: exception %u error %x cr2 %llx, and no handler",
              c->vcpu->index, vector, error, (unsigned long long)c->s.cr2);
    pv_bounce(v, c, t->ip, error, t->masks, false);
}

static void exception(struct cpu *c)
{
    struct pv_vcpu *v = enter(c);
    unsigned vector = c->exc.vector;
    u32 error = c->exc.error;
    bool kernel = c->s.ring3_kernel, done = false, tried = v->diverted;

    if (tried) { /* an instruction that writes a page table, and faults elsewhere: no second try */
        v->diverted = false;
        ring3_divert(c, 0, NULL);
    }
    if (vector == EXC_GP && !error && kernel)
        done = pv_emulate(v, c);
    else if (vector == EXC_UD)
        done = pv_forced_cpuid(c);
    else if (vector == EXC_PF && kernel && !tried &&
             (error & (PF_P | PF_W | PF_RSVD)) == (PF_P | PF_W))
        done = pv_table_write(v, c);
    else if (vector == EXC_NM)
        c->s.cr0 &= ~(u64)CR0_TS; /* the guest's handler finds it so */
    if (!done)
        pv_inject(v, c, vector, error);
    c->next_rip = c->s.rip;
    leave(v, c);
}

static bool store(struct cpu *c, u64 lin)
{
    struct pv_vcpu *v = enter(c);
    bool done = pv_table_store(v, c, lin);

    leave(v, c);
    return done;
}

static bool privileged(struct cpu *c)
{
    struct pv_vcpu *v = enter(c);
    bool done = pv_emulate(v, c);

    leave(v, c);
    return done;
}

static void interrupt(struct cpu *c, unsigned vector, enum int_source src)
{
    struct pv_vcpu *v = pv_of(c);

    if (src == INT_SOFT && vector != EXC_BP && vector != EXC_OF &&
        (!v->trap[vector].ip || (!c->s.ring3_kernel && v->trap[vector].dpl < 3)))
        cpu_gp(c, vector * 8 + 2);
    enter(c);
    c->s.rip = c->next_rip;
    pv_inject(v, c, vector, NO_ERROR_CODE);
    c->next_rip = c->s.rip;
    leave(v, c);
}

/* ---------------------------------------------------------- system calls -- */

/* CS and SS: the last ones again if no descriptor has changed since. */
static bool load_cs_ss(struct pv_vcpu *v, struct cpu *c, u16 cs, u16 ss)
{
    u32 gen = __atomic_load_n(&v->xv->x->pv->descriptors, __ATOMIC_ACQUIRE);
    struct pv_return *r = &v->last;

    if (likely(r->cs.sel == cs && r->ss.sel == ss && r->gen == gen)) {
        bool same_mode = c->code == CODE64 && r->cs.attr & SEG_L;
        c->s.seg[CS] = r->cs;
        c->s.seg[SS] = r->ss;
        if (!same_mode)
            cpu_derive(c);
        return true;
    }
    if (!ring3_load_cs_ss(c, cs, ss))
        return false;
    if (!((cs | ss) & 4)) /* an LDT may change unseen */
        *r = (struct pv_return){c->s.seg[CS], c->s.seg[SS], gen};
    return true;
}

/* What the kernel put on its stack; RAX is what this returns. */
static u64 iret(struct pv_vcpu *v, struct cpu *c)
{
    struct iret_context f;

    if (!pv_copy(c, c->s.gpr[RSP], &f, sizeof(f), false)) {
        pv_crash(v, c, "iret without a stack");
        return 0;
    }
    if ((f.cs & 3) == 3) {
        if (!v->user_l4) {
            pv_crash(v, c, "iret to a program without page tables");
            return 0;
        }
        pv_toggle(v, c);
    }
    c->next_rip = c->s.rip = f.rip;
    c->s.gpr[RSP] = f.rsp;
    c->s.gpr[RCX] = f.flags & VGCF_in_syscall ? f.rip : f.rcx;
    c->s.gpr[R11] = f.flags & VGCF_in_syscall ? f.rflags : f.r11;
    u64 old = c->s.rflags;
    c->s.rflags = (f.rflags & PV_IRET_FLAGS) | FLAG_IF | FLAG_1;
    if ((old ^ c->s.rflags) & FLAG_AC)
        cpu_mmu_idx(c);
    __atomic_store_n(&v->xv->info->evtchn_upcall_mask, !(f.rflags & FLAG_IF), __ATOMIC_RELEASE);
    u16 cs = (u16)(f.cs | 3), ss = (u16)(f.ss | 3);
    if (!load_cs_ss(v, c, cs, ss)) {
        c->s.seg[CS].sel = cs;
        c->s.seg[SS].sel = ss;
        pv_bounce(v, c, v->entry[PV_FAILSAFE], NO_ERROR_CODE, v->entry_masks[PV_FAILSAFE], true);
        c->next_rip = c->s.rip;
    }
    return f.rax;
}

s64 pv_iret(struct xen_call *k)
{
    return (s64)iret(&k->x->pv->vcpu[k->v->id], pv_cpu(k));
}

static bool translate(struct pv_call *p, u64 lin, bool write, u64 *gpa)
{
    return mmu_probe(p->opaque, lin, write, gpa);
}

static void hypercall(struct pv_vcpu *v, struct cpu *c)
{
    struct xen_vcpu_info *info = v->xv->info;
    struct pv_call p = {
        .vcpu = c->vcpu,
        .gpr = c->s.gpr,
        .long_mode = true,
        .interrupts = !__atomic_load_n(&info->evtchn_upcall_mask, __ATOMIC_RELAXED),
        .tsc_offset = c->s.tsc_offset,
        .translate = translate,
        .opaque = c,
    };

    if ((u32)c->s.gpr[RAX] == HYPERVISOR_iret) { /* half of all calls, and without arguments */
        c->s.gpr[RAX] = iret(v, c);
        trace(&c->vm->trace, xen, "cpu%u: [%u] iret %llx %llx = 0", c->vcpu->index, HYPERVISOR_iret,
              (unsigned long long)c->s.rip, (unsigned long long)c->s.gpr[RSP]);
        return;
    }
    c->s.gpr[RCX] = c->next_rip;
    c->s.gpr[R11] = c->s.rflags;
    switch (xen_hypercall(v->xv->x, &p)) {
    case PV_AGAIN:
        c->next_rip = c->s.rip;
        break;
    case PV_HALT:
        if (p.interrupts)
            c->s.halted = true;
        else
            c->s.wait_sipi = true; /* shut down: no event wakes it */
        break;
    case PV_UD:
    case PV_DONE:
        break;
    }
}

static void syscall(struct cpu *c)
{
    struct pv_vcpu *v = pv_of(c);
    enum pv_entry which = c->code == CODE64 ? PV_SYSCALL : PV_SYSCALL32;

    if (!c->s.ring3_kernel && !v->entry[which])
        cpu_ud(c);
    enter(c);
    if (c->s.ring3_kernel) {
        hypercall(v, c);
    } else {
        c->s.gpr[RCX] = c->next_rip;
        c->s.gpr[R11] = c->s.rflags & ~(u64)FLAG_RF;
        c->s.rip = c->next_rip;
        c->s.seg[CS].sel = which == PV_SYSCALL ? FLAT_RING3_CS64 : FLAT_RING3_CS32;
        c->s.seg[SS].sel = FLAT_RING3_SS64;
        pv_bounce(v, c, v->entry[which], NO_ERROR_CODE, v->entry_masks[which], false);
        c->next_rip = c->s.rip;
    }
    leave(v, c);
}

/* SYSENTER leaves no address behind: the frame says what Xen's does, and the kernel knows the rest.
 */
static void sysenter(struct cpu *c)
{
    struct pv_vcpu *v = pv_of(c);

    if (c->s.ring3_kernel || !v->entry[PV_SYSENTER])
        cpu_gp(c, 0);
    enter(c);
    c->s.rip = 0;
    c->s.gpr[RSP] = 0;
    c->s.seg[CS].sel = 3;
    c->s.seg[SS].sel = FLAT_RING3_SS64;
    pv_bounce(v, c, v->entry[PV_SYSENTER], NO_ERROR_CODE, v->entry_masks[PV_SYSENTER], false);
    c->next_rip = c->s.rip;
    leave(v, c);
}

/* ---------------------------------------------------------------- events -- */

static bool event(struct cpu *c, u32 ev)
{
    struct pv_vcpu *v = pv_of(c);
    const struct xen_vcpu_info *info = v->xv->info;

    if (ev & VCPU_INIT) { /* VCPUOP_down */
        vcpu_lower(c->vcpu, VCPU_INIT);
        if (!__atomic_load_n(&v->up, __ATOMIC_ACQUIRE))
            c->s.wait_sipi = true;
    }
    if (ev & VCPU_SIPI) {
        vcpu_lower(c->vcpu, VCPU_SIPI);
        if (c->s.wait_sipi && __atomic_load_n(&v->up, __ATOMIC_ACQUIRE)) {
            enter(c);
            pv_vcpu_start(v, c);
            leave(v, c);
            return true;
        }
    }
    if (c->s.wait_sipi || c->s.int_shadow)
        return false;
    if (ev & VCPU_NMI) {
        vcpu_lower(c->vcpu, VCPU_NMI);
        if (v->trap[EXC_NMI].ip) {
            c->s.halted = false;
            enter(c);
            pv_inject(v, c, EXC_NMI, NO_ERROR_CODE);
            leave(v, c);
            return true;
        }
    }
    if (!(ev & VCPU_INTR))
        return false;
    vcpu_lower(c->vcpu, VCPU_INTR);
    if (!__atomic_load_n(&info->evtchn_upcall_pending, __ATOMIC_SEQ_CST) ||
        __atomic_load_n(&info->evtchn_upcall_mask, __ATOMIC_SEQ_CST))
        return false;
    c->s.halted = false;
    enter(c);
    pv_bounce(v, c, v->entry[PV_EVENT], NO_ERROR_CODE, true, false);
    leave(v, c);
    return true;
}

/* ------------------------------------------------------------ descriptors -- */

static bool ldt_read(struct pv_vcpu *v, struct cpu *c, unsigned index, u64 *d)
{
    u64 gpa, lin = v->ldt_base + index * 8ull;

    /* the LDT's pages are the kernel's */
    if (index >= v->ldt_entries || (c->s.ring3_kernel ? 0 : v->kernel_l4 == 0))
        return false;
    u64 cr3 = c->s.cr3;
    bool kernel = c->s.ring3_kernel;
    if (!kernel)
        ring3_switch(c, true, v->kernel_l4 << PAGE_SHIFT);
    bool ok = mmu_probe(c, lin, false, &gpa) && mem_read(&c->vm->dma, gpa, d, sizeof(*d)) &&
              pv_descriptor_ok(d);
    if (!kernel)
        ring3_switch(c, false, cr3);
    return ok;
}

static bool descriptor(struct cpu *c, u16 sel, u64 *d)
{
    static const u64 code32 = 0x00cffb000000ffffull, data = 0x00cff3000000ffffull,
                     code64 = 0x00affb000000ffffull;
    struct pv_vcpu *v = pv_of(c);
    unsigned index = sel >> 3;

    if (sel & 4)
        return ldt_read(v, c, index, d);
    switch (sel | 3) {
    case FLAT_RING3_CS32:
        *d = code32;
        return true;
    case FLAT_RING3_SS64:
        *d = data;
        return true;
    case FLAT_RING3_CS64:
        *d = code64;
        return true;
    }
    if (index >= v->gdt_entries)
        return false;
    /* frames of descriptor tables change under pv.lock only, each entry at once */
    const u64 *t = (const u64 *)pv_frame(v->xv->x->pv, v->gdt[index / 512]);
    *d = __atomic_load_n(&t[index % 512], __ATOMIC_RELAXED);
    return true;
}

const struct ring3_ops pv_ring3 = {
    .exception = exception,
    .store = store,
    .privileged = privileged,
    .interrupt = interrupt,
    .quick_syscall = pv_quick_syscall,
    .quick_fault = pv_quick_fault,
    .syscall = syscall,
    .sysenter = sysenter,
    .event = event,
    .descriptor = descriptor,
};
