/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A system call of a program, a page fault, and the return from both, as most of them are:
 * pv_trap.c without what is seldom needed.  Whatever is out of the ordinary here is left to that
 * file, before anything has changed.
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

enum { RING = 5 }; /* words of RIP, CS, RFLAGS, RSP, SS */

/* What a way into the kernel is made of. */
struct entry {
    u64 ip;       /* of the handler */
    u64 rcx, r11; /* in the frame */
    u32 error;    /* or NO_ERROR_CODE */
    u64 rip;
    u16 cs, ss;
};

/* As pv_bounce() with `masks`, and with nothing that could go wrong. */
static bool into_kernel(struct pv_vcpu *v, struct cpu *c, const struct entry *e)
{
    struct xen_vcpu_info *info = v->xv->info;
    bool kernel = c->s.ring3_kernel, coded = e->error != NO_ERROR_CODE;
    u64 bytes = (2 + coded + RING) * 8, rflags = c->s.rflags;
    u64 sp = ((kernel ? c->s.gpr[RSP] : v->kernel_sp) & ~15ull) - bytes;
    u64 *f = tlb_lookup(&c->tlbs[MMU_KERNEL], sp, (unsigned)bytes, TLB_WRITE);
    u8 mask = __atomic_load_n(&info->evtchn_upcall_mask, __ATOMIC_RELAXED);

    if (!f || !e->ip || !is_plain(c, rflags))
        return false;
    *f++ = e->rcx;
    *f++ = e->r11;
    if (coded)
        *f++ = e->error;
    f[0] = e->rip;
    f[1] = e->cs | (u64)mask << 32;
    f[2] = (rflags & ~(u64)(FLAG_IF | FLAG_IOPL)) | (mask ? 0 : FLAG_IF);
    f[3] = c->s.gpr[RSP];
    f[4] = e->ss;
    __atomic_store_n(&info->evtchn_upcall_mask, 1, __ATOMIC_RELEASE);
    if (!kernel)
        change_side(v, c, true);
    c->s.gpr[RSP] = sp;
    c->s.rflags = rflags & ~(u64)(FLAG_VM | FLAG_NT);
    c->s.seg[CS] = pv_flat_code(FLAT_RING3_CS64);
    c->s.seg[SS] = pv_flat_data(FLAT_RING3_SS64);
    c->s.rip = e->ip;
    return true;
}

static bool from_program(struct pv_vcpu *v, struct cpu *c)
{
    const struct entry e = {
        .ip = v->entry_masks[PV_SYSCALL] ? v->entry[PV_SYSCALL] : 0,
        .rcx = c->next_rip,
        .r11 = c->s.rflags,
        .error = NO_ERROR_CODE,
        .rip = c->next_rip,
        .cs = FLAT_RING3_CS64,
        .ss = FLAT_RING3_SS64,
    };

    if (!into_kernel(v, c, &e))
        return false;
    c->s.gpr[RCX] = e.rcx;
    c->s.gpr[R11] = e.r11;
    return true;
}

bool pv_quick_fault(struct cpu *c, u64 lin, u32 error)
{
    struct pv_vcpu *v = pv_of(c);
    const struct pv_trap *t = &v->trap[EXC_PF];
    const struct segment *cs = &c->s.seg[CS];
    const struct entry e = {
        .ip = t->masks ? t->ip : 0,
        .rcx = c->s.gpr[RCX],
        .r11 = c->s.gpr[R11],
        .error = error,
        .rip = c->s.rip,
        .cs = c->s.ring3_kernel ? cs->sel & ~3u : cs->sel,
        .ss = c->s.seg[SS].sel,
    };

    if (error & PF_RSVD || (c->s.ring3_kernel && (error & (PF_P | PF_W)) == (PF_P | PF_W)))
        return false; /* may be a store to a page table */
    if (!into_kernel(v, c, &e))
        return false;
    c->s.cr2 = lin;
    v->xv->info->arch_cr2 = lin;
    return true;
}

/* The segments that the frame asks for, as far as they are known: the kernel's, or the program's
 * last ones. */
static bool return_segments(struct pv_vcpu *v, const struct iret_context *i, struct segment *cs,
                            struct segment *ss)
{
    const struct pv_return *r = &v->last;

    if ((i->cs & 3) != 3) {
        *cs = pv_flat_code(FLAT_RING3_CS64);
        *ss = pv_flat_data(FLAT_RING3_SS64);
        return (u16)(i->cs | 3) == FLAT_RING3_CS64 && (u16)(i->ss | 3) == FLAT_RING3_SS64;
    }
    *cs = r->cs;
    *ss = r->ss;
    return v->user_l4 && r->cs.sel == (u16)i->cs && r->ss.sel == (u16)(i->ss | 3) &&
           r->cs.attr & SEG_L &&
           r->gen == __atomic_load_n(&v->xv->x->pv->descriptors, __ATOMIC_ACQUIRE);
}

static bool iret(struct pv_vcpu *v, struct cpu *c)
{
    struct xen_vcpu_info *info = v->xv->info;
    struct segment cs, ss;
    const struct iret_context *f =
        tlb_lookup(&c->tlbs[MMU_KERNEL], c->s.gpr[RSP], sizeof(*f), TLB_READ);

    if (!f)
        return false;
    struct iret_context i = {f->rax, f->r11,    f->rcx, f->flags, f->rip,
                             f->cs,  f->rflags, f->rsp, f->ss}; /* others may write it */
    if (!is_plain(c, c->s.rflags) || !is_plain(c, i.rflags) || !return_segments(v, &i, &cs, &ss))
        return false;
    if ((i.cs & 3) == 3)
        change_side(v, c, false);
    c->s.rip = i.rip;
    c->s.gpr[RAX] = i.rax;
    c->s.gpr[RSP] = i.rsp;
    c->s.gpr[RCX] = i.flags & VGCF_in_syscall ? i.rip : i.rcx;
    c->s.gpr[R11] = i.flags & VGCF_in_syscall ? i.rflags : i.r11;
    c->s.rflags = (i.rflags & PV_IRET_FLAGS) | FLAG_IF | FLAG_1;
    c->s.seg[CS] = cs;
    c->s.seg[SS] = ss;
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
        return from_program(v, c);
    return (u32)c->s.gpr[RAX] == HYPERVISOR_iret && iret(v, c);
}
