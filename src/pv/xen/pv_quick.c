/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A system call of a program and its return, as most of them are: pv_trap.c without what is seldom
 * needed.  Whatever is out of the ordinary here is left to that file, before anything has changed.
 *
 * The frame is read and written by the kernel's TLB as the kernel itself would, and vcpu.inside
 * stays 0: a processor that takes the stack's page away waits until this one looks at its events,
 * as for any store of translated code.
 */
#include "pv/xen/pv.h"

/* Nothing watches, and no flag changes which TLB serves. */
static bool is_plain(const struct cpu *c, u64 rflags)
{
    return !(rflags & (FLAG_AC | FLAG_TF | FLAG_RF)) && !(c->s.dr[7] & 0xff) && !c->s.int_shadow &&
           !c->vm->trace.mask && c->code == CODE64;
}

static void change_side(struct pv_vcpu *v, struct cpu *c, bool kernel)
{
    u64 base = c->s.seg[GS].base;

    c->s.seg[GS].base = c->s.kernel_gs_base;
    c->s.kernel_gs_base = base;
    ring3_switch64(c, kernel, (kernel ? v->kernel_l4 : v->user_l4) << PAGE_SHIFT);
}

static bool into_kernel(struct pv_vcpu *v, struct cpu *c)
{
    struct xen_vcpu_info *info = v->xv->info;
    enum { WORDS = 7 };
    u64 sp = (v->kernel_sp & ~15ull) - WORDS * 8, rflags = c->s.rflags;
    u64 *f = tlb_lookup(&c->tlbs[MMU_KERNEL], sp, WORDS * 8, TLB_WRITE);
    u8 mask = __atomic_load_n(&info->evtchn_upcall_mask, __ATOMIC_RELAXED);

    if (!f || !v->entry[PV_SYSCALL] || !v->entry_masks[PV_SYSCALL] || !is_plain(c, rflags))
        return false;
    f[0] = c->next_rip; /* RCX */
    f[1] = rflags;      /* R11 */
    f[2] = c->next_rip;
    f[3] = FLAT_RING3_CS64 | (u64)mask << 32;
    f[4] = (rflags & ~(u64)(FLAG_IF | FLAG_IOPL)) | (mask ? 0 : FLAG_IF);
    f[5] = c->s.gpr[RSP];
    f[6] = FLAT_RING3_SS64;
    __atomic_store_n(&info->evtchn_upcall_mask, 1, __ATOMIC_RELEASE);
    change_side(v, c, true);
    c->s.gpr[RCX] = c->next_rip;
    c->s.gpr[R11] = rflags;
    c->s.gpr[RSP] = sp;
    c->s.rflags = rflags & ~(u64)(FLAG_VM | FLAG_NT);
    c->s.seg[CS] = pv_flat_code(FLAT_RING3_CS64);
    c->s.seg[SS] = pv_flat_data(FLAT_RING3_SS64);
    c->s.rip = v->entry[PV_SYSCALL];
    return true;
}

static bool iret(struct pv_vcpu *v, struct cpu *c)
{
    struct xen_vcpu_info *info = v->xv->info;
    const struct pv_return *r = &v->last;
    const struct iret_context *f =
        tlb_lookup(&c->tlbs[MMU_KERNEL], c->s.gpr[RSP], sizeof(*f), TLB_READ);

    if (!f)
        return false;
    struct iret_context i = {f->rax, f->r11,    f->rcx, f->flags, f->rip,
                             f->cs,  f->rflags, f->rsp, f->ss}; /* others may write it */
    if ((i.cs & 3) != 3 || !v->user_l4 || !is_plain(c, c->s.rflags) || !is_plain(c, i.rflags))
        return false;
    if (r->cs.sel != (u16)(i.cs | 3) || r->ss.sel != (u16)(i.ss | 3) || !(r->cs.attr & SEG_L) ||
        r->gen != __atomic_load_n(&v->xv->x->pv->descriptors, __ATOMIC_ACQUIRE))
        return false;
    change_side(v, c, false);
    c->s.rip = i.rip;
    c->s.gpr[RAX] = i.rax;
    c->s.gpr[RSP] = i.rsp;
    c->s.gpr[RCX] = i.flags & VGCF_in_syscall ? i.rip : i.rcx;
    c->s.gpr[R11] = i.flags & VGCF_in_syscall ? i.rflags : i.r11;
    c->s.rflags = (i.rflags & PV_IRET_FLAGS) | FLAG_IF | FLAG_1;
    c->s.seg[CS] = r->cs;
    c->s.seg[SS] = r->ss;
    bool masked = !(i.rflags & FLAG_IF);
    __atomic_store_n(&info->evtchn_upcall_mask, masked, __ATOMIC_SEQ_CST);
    if (!masked && __atomic_load_n(&info->evtchn_upcall_pending, __ATOMIC_SEQ_CST))
        __atomic_or_fetch(&c->vcpu->events, VCPU_INTR, __ATOMIC_SEQ_CST); /* its own: it is awake */
    return true;
}

bool pv_quick_syscall(struct cpu *c)
{
    struct pv_vcpu *v = pv_of(c);

    if (!c->s.ring3_kernel)
        return into_kernel(v, c);
    return (u32)c->s.gpr[RAX] == HYPERVISOR_iret && iret(v, c);
}
