/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Several processors: VCPUOP_initialise, up and down (vcpu.h), and the state in which one begins
 * (arch-x86/xen.h: vcpu_guest_context).
 */
#include "pv/xen/pv.h"

#include "cpu/mmu.h"

#include <stdlib.h>
#include <string.h>

enum { CONTEXT_CR3 = 3, CONTEXT_USER_CR3 = 1 };

void xen_pv_state(struct cpu_state *s)
{
    const u16 common = SEG_P | SEG_S | SEG_G | SEG_DPL;
    const struct segment data = {
        .sel = FLAT_RING3_SS64, .limit = UINT32_MAX, .attr = common | SEG_DB | 3};

    s->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    s->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    s->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    s->rflags = FLAG_IF | FLAG_1;
    s->seg[CS] =
        (struct segment){.sel = FLAT_RING3_CS64, .limit = UINT32_MAX, .attr = common | SEG_L | 11};
    s->seg[SS] = s->seg[DS] = s->seg[ES] = data;
    s->seg[FS] = s->seg[GS] = s->ldtr = s->tr = (struct segment){0};
    s->kernel_gs_base = 0;
    s->ring3_kernel = true;
    s->halted = s->wait_sipi = false;
}

/* ------------------------------------------------------------- initialise -- */

static bool context_ok(const struct pv_context *x)
{
    for (unsigned i = 0; i < 256; i++)
        if (!canonical(x->trap[i].address))
            return false;
    return canonical(x->regs.rip) && canonical(x->fs_base) && canonical(x->gs_base_kernel) &&
           canonical(x->gs_base_user) && canonical(x->event_callback_eip) &&
           canonical(x->failsafe_callback_eip) && canonical(x->syscall_callback_eip);
}

/* What belongs to Xen: tables and callbacks.  The registers wait for the processor's own thread. */
static s64 take_context(struct pv_vcpu *v, const struct pv_context *x)
{
    struct xen_pv *pv = v->xv->x->pv;
    u64 kernel = x->ctrlreg[CONTEXT_CR3] >> PAGE_SHIFT;
    u64 user = x->ctrlreg[CONTEXT_USER_CR3] >> PAGE_SHIFT;

    if (!context_ok(x) || x->gdt_ents > FIRST_RESERVED_GDT_ENTRY)
        return -XEN_EINVAL;
    pv_lock(pv);
    s64 r = pv_gdt_load(v, x->gdt_frames, (u32)x->gdt_ents);
    if (!r)
        r = pv_type_get(pv, kernel, PT_L4);
    if (!r) {
        v->kernel_l4 = kernel;
        r = user ? pv_type_get(pv, user, PT_L4) : 0;
        v->user_l4 = r ? 0 : user;
        if (r) {
            pv_type_put(pv, kernel);
            v->kernel_l4 = 0;
        }
    }
    pv_unlock(pv);
    if (r)
        return -XEN_EINVAL;
    for (unsigned i = 0; i < 256; i++) {
        const struct trap_info *t = &x->trap[i];
        v->trap[i] = (struct pv_trap){t->address, t->cs, t->flags & 3, t->flags & 4};
    }
    v->kernel_sp = x->kernel_sp;
    v->iopl = (x->regs.rflags & FLAG_IOPL) >> 12;
    v->entry[PV_EVENT] = x->event_callback_eip;
    v->entry_masks[PV_EVENT] = true;
    v->entry[PV_FAILSAFE] = x->failsafe_callback_eip;
    v->entry_masks[PV_FAILSAFE] = x->flags & VGCF_failsafe_disables_events;
    v->entry[PV_SYSCALL] = x->syscall_callback_eip;
    v->entry_masks[PV_SYSCALL] = x->flags & VGCF_syscall_disables_events;
    return 0;
}

static s64 initialise(struct xen_call *k, struct pv_vcpu *v)
{
    struct pv_context *x = malloc(sizeof(*x));
    s64 r;

    if (!x)
        return -XEN_ENOMEM;
    if (v->initialised)
        r = -XEN_EEXIST;
    else if (!guest_read(k, k->a[2], x, sizeof(*x)))
        r = -XEN_EFAULT;
    else
        r = take_context(v, x);
    if (!r) {
        v->context = x;
        v->initialised = true;
        __atomic_store_n(&v->xv->info->evtchn_upcall_mask, 1, __ATOMIC_SEQ_CST);
        return 0;
    }
    free(x);
    return r;
}

static void load_regs(struct cpu_state *s, const struct pv_user_regs *r)
{
    const u64 from[16] = {[RAX] = r->rax, [RCX] = r->rcx, [RDX] = r->rdx, [RBX] = r->rbx,
                          [RSP] = r->rsp, [RBP] = r->rbp, [RSI] = r->rsi, [RDI] = r->rdi,
                          [R8] = r->r8,   [R9] = r->r9,   [R10] = r->r10, [R11] = r->r11,
                          [R12] = r->r12, [R13] = r->r13, [R14] = r->r14, [R15] = r->r15};

    memcpy(s->gpr, from, sizeof(from));
    s->rip = r->rip;
    s->rflags = (r->rflags & (FLAGS_ARITH | FLAG_DF)) | FLAG_IF | FLAG_1;
}

void pv_vcpu_begin(struct pv_vcpu *v, struct cpu_state *s)
{
    struct pv_context *x = v->context;

    if (!x)
        return;
    xen_pv_state(s);
    load_regs(s, &x->regs);
    s->seg[FS].base = x->fs_base;
    s->seg[GS].base = x->gs_base_kernel;
    s->kernel_gs_base = x->gs_base_user;
    s->cr3 = v->kernel_l4 << PAGE_SHIFT;
    v->cr4 = CR4_PAE;
    v->context = NULL;
    free(x);
}

void pv_vcpu_start(struct pv_vcpu *v, struct cpu *c)
{
    pv_vcpu_begin(v, &c->s);
    c->s.wait_sipi = c->s.halted = false;
    mmu_flush_all(c);
    cpu_derive(c);
    trace(&c->vm->trace, xen, "cpu%u: up at %llx", c->vcpu->index, (unsigned long long)c->s.rip);
}

/* ---------------------------------------------------------------- up, down -- */

static s64 down(struct xen_call *k, struct pv_vcpu *v)
{
    __atomic_store_n(&v->up, false, __ATOMIC_SEQ_CST);
    if (v->xv == k->v)
        pv_cpu(k)->s.wait_sipi = true;
    else
        vcpu_raise(v->xv->vcpu, VCPU_INIT); /* pv_trap.c: it looks at `up` */
    return 0;
}

s64 pv_vcpu_op(struct xen_call *k, struct xen_vcpu *to)
{
    struct xen_pv *pv = k->x->pv;
    struct pv_vcpu *v = &pv->vcpu[to->id];
    s64 r = 0;

    switch ((u32)k->a[0]) {
    case VCPUOP_initialise:
        pv_lock(pv);
        r = initialise(k, v);
        pv_unlock(pv);
        return r;
    case VCPUOP_up:
        if (!v->initialised)
            return -XEN_EINVAL;
        __atomic_store_n(&v->up, true, __ATOMIC_SEQ_CST);
        vcpu_raise(to->vcpu, VCPU_SIPI);
        return 0;
    case VCPUOP_down:
        return down(k, v);
    case VCPUOP_is_up:
        return __atomic_load_n(&v->up, __ATOMIC_SEQ_CST);
    default:
        return -XEN_ENOSYS;
    }
}
