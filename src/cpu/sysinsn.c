/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System instructions that transfer control, change flags, or manage the processor: far branches,
 * INT, IRET, SYSCALL, SYSENTER, PUSHF, POPF, CLI, STI, HLT, CPUID, RDTSC, TLB invalidation; and the
 * I/O permission check.  SDM volume 2; volume 3, chapters 5, 6 and 20.
 *
 * SYSCALL follows AMD (it works in compatibility and legacy mode as well), and so SYSENTER is
 * undefined in long mode.
 */
#include "cpu/sysinsn.h"

#include "cpu/exception.h"
#include "cpu/far.h"
#include "cpu/operand.h"
#include "cpu/ops.h"
#include "cpu/perfctr.h"
#include "cpu/ring3.h"

static void need_cpl0(struct cpu *c)
{
    if (c->cpl)
        cpu_gp(c, 0);
}

static unsigned iopl(const struct cpu *c)
{
    return (c->s.rflags & FLAG_IOPL) >> 12;
}

/* ------------------------------------------------ flags -- */

void flags_write(struct cpu *c, u64 v, u64 mask)
{
    u64 old = c->s.rflags;

    c->s.rflags = (old & ~mask) | (v & mask) | FLAG_1;
    if ((old ^ c->s.rflags) & FLAG_AC)
        cpu_mmu_idx(c);
    c->leave = true;
}

void exec_cli(struct cpu *c, const struct insn *i)
{
    bool vme = c->s.cr4 & CR4_VME, pvi = c->s.cr4 & CR4_PVI;

    if (c->cpl <= iopl(c))
        flags_write(c, 0, FLAG_IF);
    else if (c->cpl == 3 && (c->vm86 ? vme : pvi))
        flags_write(c, 0, FLAG_VIF);
    else
        cpu_gp(c, 0);
}

void exec_sti(struct cpu *c, const struct insn *i)
{
    bool vme = c->s.cr4 & CR4_VME, pvi = c->s.cr4 & CR4_PVI;

    if (c->cpl <= iopl(c)) {
        c->s.int_shadow = !(c->s.rflags & FLAG_IF);
        flags_write(c, FLAG_IF, FLAG_IF);
    } else if (c->cpl == 3 && (c->vm86 ? vme : pvi) && !(c->s.rflags & FLAG_VIP)) {
        flags_write(c, FLAG_VIF, FLAG_VIF);
    } else {
        cpu_gp(c, 0);
    }
}

void exec_clac(struct cpu *c, const struct insn *i)
{
    if (c->cpl)
        cpu_ud(c);
    flags_write(c, 0, FLAG_AC);
}

void exec_stac(struct cpu *c, const struct insn *i)
{
    if (c->cpl)
        cpu_ud(c);
    flags_write(c, FLAG_AC, FLAG_AC);
}

void exec_pushf(struct cpu *c, const struct insn *i)
{
    u64 f = c->s.rflags & ~(u64)(FLAG_VM | FLAG_RF);

    if (c->vm86 && iopl(c) < 3) {
        if (!(c->s.cr4 & CR4_VME) || i->opsize != 2)
            cpu_gp(c, 0);
        f = (f & ~(u64)FLAG_IF) | FLAG_IOPL | (f & FLAG_VIF ? FLAG_IF : 0);
    }
    stack_push(c, i->opsize, f);
}

void exec_popf(struct cpu *c, const struct insn *i)
{
    u64 mask = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_AC | FLAG_ID;
    bool vme = c->vm86 && iopl(c) < 3;

    if (vme && (!(c->s.cr4 & CR4_VME) || i->opsize != 2))
        cpu_gp(c, 0);
    u64 v = stack_peek(c, i->opsize, 0);
    if (vme) {
        if (((v & FLAG_IF) && (c->s.rflags & FLAG_VIP)) || (v & FLAG_TF))
            cpu_gp(c, 0);
        v = (v & ~(u64)FLAG_VIF) | (v & FLAG_IF ? FLAG_VIF : 0);
        mask = (mask & 0xffff) | FLAG_VIF;
    } else {
        if (c->cpl <= iopl(c))
            mask |= FLAG_IF;
        if (c->cpl == 0)
            mask |= FLAG_IOPL;
        if (i->opsize == 2) {
            mask &= 0xffff;
        } else {
            v &= ~(u64)(FLAG_RF | FLAG_VIF | FLAG_VIP);
            mask |= FLAG_RF | (c->cpl == 0 && !c->vm86 ? FLAG_VIF | FLAG_VIP : 0);
        }
    }
    stack_add(c, i->opsize);
    flags_write(c, v, mask);
}

/* ------------------------------------------------ far branches, INT -- */

/* The far pointer of CALL, JMP: direct, or in memory. */
static u16 far_pointer(struct cpu *c, const struct insn *i, u64 *off)
{
    if (i->opnd[0].kind == OPND_FAR) {
        *off = i->imm;
        return i->imm2;
    }
    u64 lin = mem_linear(c, i, i->opsize + 2, SEG_READ);
    *off = mmu_read(c, lin, i->opsize);
    return (u16)mmu_read(c, lin + i->opsize, 2);
}

void exec_callf(struct cpu *c, const struct insn *i)
{
    u64 off;
    u16 sel = far_pointer(c, i, &off);

    far_call(c, sel, off, i->opsize);
}

void exec_jmpf(struct cpu *c, const struct insn *i)
{
    u64 off;
    u16 sel = far_pointer(c, i, &off);

    far_jmp(c, sel, off, i->opsize);
}

void exec_retf(struct cpu *c, const struct insn *i)
{
    far_ret(c, i->opsize, i->nops ? (u16)i->imm : 0);
}

void exec_iret(struct cpu *c, const struct insn *i)
{
    far_iret(c, i->opsize);
}

/* CR4.VME: the bit of this vector in the redirection map below the I/O permission map. */
static bool vme_redirects(struct cpu *c, unsigned vector)
{
    const struct segment *tr = &c->s.tr;

    if ((tr->attr & 0xd) != 9 || tr->limit < 0x67)
        return false;
    u32 off = (u32)mmu_read_sys(c, (u32)(tr->base + 0x66), 2) - 32 + vector / 8;
    if (off > tr->limit)
        return false;
    return !(mmu_read_sys(c, (u32)(tr->base + off), 1) >> (vector & 7) & 1);
}

void exec_int(struct cpu *c, const struct insn *i)
{
    unsigned vector = (u8)i->imm;

    if (c->vm86) {
        if ((c->s.cr4 & CR4_VME) && vme_redirects(c, vector)) {
            software_interrupt_vm86(c, vector);
            return;
        }
        if (iopl(c) < 3)
            cpu_gp(c, 0);
    }
    software_interrupt(c, vector, INT_SOFT);
}

void exec_int3(struct cpu *c, const struct insn *i)
{
    software_interrupt(c, EXC_BP, INT_SOFT);
}

void exec_int1(struct cpu *c, const struct insn *i)
{
    software_interrupt(c, EXC_DB, INT_ICE);
}

void exec_into(struct cpu *c, const struct insn *i)
{
    if (c->s.rflags & FLAG_OF)
        software_interrupt(c, EXC_OF, INT_SOFT);
}

/* ------------------------------------------------ fast system calls -- */

static void flat_segment(struct cpu *c, enum seg_reg seg, u16 sel, u16 attr)
{
    c->s.seg[seg] = (struct segment){.sel = sel, .limit = UINT32_MAX, .attr = attr};
}

/* CS and SS of a fast system call or its return; code64: a 64-bit code segment. */
static void flat_pair(struct cpu *c, u16 cs, u16 ss, unsigned dpl, bool code64)
{
    u16 common = SEG_P | SEG_S | SEG_G | (u16)(dpl << 5);

    flat_segment(c, CS, cs, common | 11 | (code64 ? SEG_L : SEG_DB));
    flat_segment(c, SS, ss, common | 3 | SEG_DB);
}

static void ring3_enter(struct cpu *c, void (*enter)(struct cpu *c))
{
    if (c->log) /* lockstep cannot try a call twice */
        c->log->broken = true;
    else
        enter(c);
}

void exec_syscall(struct cpu *c, const struct insn *i)
{
    u16 cs = (u16)(c->s.star >> 32) & 0xfffc;

    if (!(c->s.efer & EFER_SCE) || c->real || c->vm86)
        cpu_ud(c);
    if (unlikely(cpu_ring3(c))) {
        ring3_enter(c, cpu_ring3(c)->syscall);
        return;
    }
    if (c->long_mode) {
        bool from64 = c->code == CODE64;
        c->s.gpr[RCX] = c->next_rip;
        c->s.gpr[R11] = c->s.rflags & ~(u64)FLAG_RF;
        c->next_rip = from64 ? c->s.lstar : c->s.cstar;
        flags_write(c, 0, c->s.sfmask | FLAG_RF);
    } else {
        c->s.gpr[RCX] = (u32)c->next_rip;
        c->next_rip = (u32)c->s.star;
        flags_write(c, 0, FLAG_VM | FLAG_IF | FLAG_RF);
    }
    flat_pair(c, cs, (u16)(cs + 8), 0, c->long_mode);
    cpu_derive(c);
}

void exec_sysret(struct cpu *c, const struct insn *i)
{
    u16 base = (u16)(c->s.star >> 48);
    bool to64 = i->opsize == 8;

    if (!(c->s.efer & EFER_SCE) || c->real || c->vm86)
        cpu_ud(c);
    need_cpl0(c);
    if (to64 && !canonical(c->s.gpr[RCX]))
        cpu_gp(c, 0);
    c->next_rip = to64 ? c->s.gpr[RCX] : (u32)c->s.gpr[RCX];
    if (c->long_mode)
        flags_write(c, c->s.gpr[R11], 0x3c7fd7);
    else
        flags_write(c, FLAG_IF, FLAG_IF);
    flat_pair(c, (u16)(base + (to64 ? 16 : 0)) | 3, (u16)(base + 8) | 3, 3, to64);
    cpu_derive(c);
}

static void sysenter_check(struct cpu *c)
{
    if (c->long_mode && c->model->vendor[0] == 'A')
        cpu_ud(c);
    if (c->real || !(c->s.sysenter_cs & 0xfffc))
        cpu_gp(c, 0);
}

void exec_sysenter(struct cpu *c, const struct insn *i)
{
    u16 cs = (u16)c->s.sysenter_cs & 0xfffc;

    if (unlikely(cpu_ring3(c) && c->model->vendor[0] != 'A')) {
        ring3_enter(c, cpu_ring3(c)->sysenter);
        return;
    }
    sysenter_check(c);
    flags_write(c, 0, FLAG_VM | FLAG_IF | FLAG_RF);
    c->s.gpr[RSP] = c->long_mode ? c->s.sysenter_esp : (u32)c->s.sysenter_esp;
    c->next_rip = c->long_mode ? c->s.sysenter_eip : (u32)c->s.sysenter_eip;
    flat_pair(c, cs, (u16)(cs + 8), 0, c->long_mode);
    cpu_derive(c);
}

void exec_sysexit(struct cpu *c, const struct insn *i)
{
    u16 base = (u16)c->s.sysenter_cs & 0xfffc;
    bool to64 = i->opsize == 8;

    sysenter_check(c);
    need_cpl0(c);
    if (to64 && (!canonical(c->s.gpr[RDX]) || !canonical(c->s.gpr[RCX])))
        cpu_gp(c, 0);
    c->next_rip = to64 ? c->s.gpr[RDX] : (u32)c->s.gpr[RDX];
    c->s.gpr[RSP] = to64 ? c->s.gpr[RCX] : (u32)c->s.gpr[RCX];
    flat_pair(c, (u16)(base + (to64 ? 32 : 16)) | 3, (u16)(base + (to64 ? 40 : 24)) | 3, 3, to64);
    cpu_derive(c);
}

void exec_swapgs(struct cpu *c, const struct insn *i)
{
    need_cpl0(c);
    u64 base = c->s.seg[GS].base;
    c->s.seg[GS].base = c->s.kernel_gs_base;
    c->s.kernel_gs_base = base;
}

static bool pv_translate(struct pv_call *p, u64 lin, bool write, u64 *gpa)
{
    return mmu_probe(p->opaque, lin, write, gpa);
}

/* Both instructions are the hypercall, whatever the vendor: guests find out by trying. */
void exec_vmcall(struct cpu *c, const struct insn *i)
{
    const struct pv *pv = &c->vm->pv;
    struct pv_call p = {
        .vcpu = c->vcpu,
        .gpr = c->s.gpr,
        .cpl = c->cpl,
        .long_mode = c->code == CODE64,
        .interrupts = c->s.rflags & FLAG_IF,
        .tsc_offset = c->s.tsc_offset,
        .translate = pv_translate,
        .opaque = c,
    };

    if (!pv->ops || pv->ring3 || c->real || c->vm86)
        cpu_ud(c);
    if (c->log) { /* lockstep cannot try a call twice */
        c->log->broken = true;
        return;
    }
    c->leave = true; /* it may have moved memory or raised an event */
    switch (pv->ops->hypercall(pv->opaque, &p)) {
    case PV_UD:
        cpu_ud(c);
    case PV_AGAIN:
        c->next_rip = c->s.rip;
        break;
    case PV_HALT:
        c->s.halted = true;
        break;
    case PV_DONE:
        break;
    }
    flags_write(c, p.interrupts ? FLAG_IF : 0, FLAG_IF);
}

void exec_vmmcall(struct cpu *c, const struct insn *i)
{
    exec_vmcall(c, i);
}

/* ------------------------------------------------ processor -- */

void exec_hlt(struct cpu *c, const struct insn *i)
{
    need_cpl0(c);
    c->s.halted = true;
    c->leave = true;
}

void exec_cpuid(struct cpu *c, const struct insn *i)
{
    u32 leaf = (u32)c->s.gpr[RAX], sub = (u32)c->s.gpr[RCX];
    struct cpuid_regs r = cpuid_query(c, leaf, sub);

    trace(&c->vm->trace, cpuid, "cpu%u: %08x.%x = %08x %08x %08x %08x", c->vcpu->index, leaf, sub,
          r.eax, r.ebx, r.ecx, r.edx);
    c->s.gpr[RAX] = r.eax;
    c->s.gpr[RBX] = r.ebx;
    c->s.gpr[RCX] = r.ecx;
    c->s.gpr[RDX] = r.edx;
    if (c->shadow && c->user)
        c->shadow->executed(c->shadow, c->s.rip + i->len - 2);
}

u64 cpu_tsc(struct cpu *c)
{
    return clock_tsc(c->vm->clock) + (u64)c->s.tsc_offset;
}

static void need_tsc(struct cpu *c)
{
    if ((c->s.cr4 & CR4_TSD) && c->cpl)
        cpu_gp(c, 0);
}

void exec_rdtsc(struct cpu *c, const struct insn *i)
{
    need_tsc(c);
    u64 t = cpu_tsc(c);
    c->s.gpr[RAX] = (u32)t;
    c->s.gpr[RDX] = t >> 32;
}

void exec_rdtscp(struct cpu *c, const struct insn *i)
{
    exec_rdtsc(c, i);
    c->s.gpr[RCX] = (u32)c->s.tsc_aux;
}

void exec_rdpid(struct cpu *c, const struct insn *i)
{
    reg_write(c, &i->opnd[0], (u32)c->s.tsc_aux);
}

/* There are four counters, as K7 and later have, and none of them counts. */
void exec_rdpmc(struct cpu *c, const struct insn *i)
{
    if ((!(c->s.cr4 & CR4_PCE) && c->cpl) || (u32)c->s.gpr[RCX] >= PERF_COUNT)
        cpu_gp(c, 0);
    u64 v = perfctr_count(c, (u32)c->s.gpr[RCX]);
    c->s.gpr[RAX] = (u32)v;
    c->s.gpr[RDX] = v >> 32;
}

void exec_invlpg(struct cpu *c, const struct insn *i)
{
    need_cpl0(c);
    u64 off = insn_ea(c, i);
    if (c->code == CODE64)
        mmu_flush_page(c, off + (i->seg >= FS ? c->s.seg[i->seg].base : 0));
    else
        mmu_flush_page(c, (u32)(off + c->s.seg[i->seg].base));
    c->leave = true;
}

void exec_invpcid(struct cpu *c, const struct insn *i)
{
    enum { INVPCID_PAGE, INVPCID_CONTEXT, INVPCID_ALL, INVPCID_ALL_BUT_GLOBAL };
    u64 type = reg_read(c, &i->opnd[0]), desc[2];

    need_cpl0(c);
    mmu_read_bytes(c, mem_linear(c, i, 16, SEG_READ), desc, 16);
    if (type > INVPCID_ALL_BUT_GLOBAL || (type < INVPCID_ALL && desc[0] >> 12) ||
        (type == INVPCID_PAGE && !canonical(desc[1])))
        cpu_gp(c, 0);
    if (type < INVPCID_ALL && !(c->s.cr4 & CR4_PCIDE) && desc[0])
        cpu_gp(c, 0);
    u16 loaded = c->s.cr4 & CR4_PCIDE ? c->s.cr3 & 0xfff : 0;
    if (type < INVPCID_ALL && desc[0] != loaded)
        mmu_drop_pcid(c, (u16)desc[0]);
    else if (type == INVPCID_PAGE)
        mmu_flush_page(c, desc[1]);
    else if (type == INVPCID_CONTEXT)
        mmu_flush_loaded(c);
    else
        mmu_flush(c, type == INVPCID_ALL);
    c->leave = true;
}

/* Caches do not show: nothing to write back. */
void exec_wbinvd(struct cpu *c, const struct insn *i)
{
    need_cpl0(c);
}

void exec_invd(struct cpu *c, const struct insn *i)
{
    need_cpl0(c);
}

/* No model offers MONITOR; if one did, MWAIT may wake at once. */
void exec_monitor(struct cpu *c, const struct insn *i)
{
    need_cpl0(c);
}

void exec_mwait(struct cpu *c, const struct insn *i)
{
    need_cpl0(c);
}

/* ------------------------------------------------ ports -- */

void io_permission(struct cpu *c, u16 port, unsigned size)
{
    const struct segment *tr = &c->s.tr;

    c->leave = true; /* a port may change the memory map or raise an interrupt */
    if (c->real || (!c->vm86 && c->cpl <= iopl(c)))
        return;
    if ((tr->attr & 0xd) != 9 || !(tr->attr & SEG_P) || tr->limit < 0x67)
        cpu_gp(c, 0);
    u32 off = (u32)mmu_read_sys(c, tr->base + 0x66, 2) + port / 8;
    if (off + 1 > tr->limit)
        cpu_gp(c, 0);
    u64 map = mmu_read_sys(c, tr->base + off, 2) >> (port & 7);
    if (map & (BIT(size) - 1))
        cpu_gp(c, 0);
}

void io_breakpoint(struct cpu *c, u16 port, unsigned size)
{
    if (likely(!(c->s.dr[7] & 0xff)) || !(c->s.cr4 & CR4_DE))
        return;
    for (unsigned n = 0; n < 4; n++) {
        unsigned rw = c->s.dr[7] >> (16 + 4 * n) & 3, len = c->s.dr[7] >> (18 + 4 * n) & 3;
        u64 addr = c->s.dr[n];
        if ((c->s.dr[7] >> (2 * n) & 3) && rw == 2 && port < addr + len + 1 && addr < port + size)
            c->dr6_pending |= BIT(n);
    }
}
