/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Privileged instructions of a kernel in ring 3: each faults, and those that Xen emulates
 * (arch/x86/pv/emul-priv-op.c) are done here.  Ports lead nowhere: reads give ones.  CPUID does not
 * fault; a kernel that wants Xen's answer puts an invalid instruction and "xen" before it, and gets
 * the same answer as everybody.
 */
#include "pv/xen/pv.h"

#include "cpu/mmu.h"
#include "cpu/msr.h"
#include "cpu/ops.h"
#include "cpu/segment.h"
#include "cpu/sysinsn.h"

#include <string.h>

enum { FORCED = 5 }; /* bytes of the prefix */

#define CR4_GUEST                                                                                  \
    ((u64)(CR4_TSD | CR4_DE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_FSGSBASE | CR4_OSXSAVE | CR4_PCE))
#define CR4_IGNORED ((u64)(CR4_PAE | CR4_PSE | CR4_PGE | CR4_MCE | CR4_VME | CR4_PVI))

/* The bytes at the instruction pointer, as many as can be read. */
static unsigned code_bytes(struct cpu *c, u8 *buf, unsigned want)
{
    unsigned n = 0;
    u64 gpa;

    while (n < want) {
        u64 lin = c->s.rip + n, len = min((u64)(want - n), PAGE_SIZE - (lin & PAGE_MASK));
        if (!mmu_debug_translate(c, lin, &gpa) || !mem_read(&c->vm->dma, gpa, buf + n, len))
            break;
        n += (unsigned)len;
    }
    return n;
}

/* What a kernel stores to page tables with are few instructions: the last ones are kept decoded. */
bool pv_fetch(struct cpu *c, struct insn *i)
{
    struct pv_fetched *f = &pv_of(c)->fetched[c->s.rip % PV_FETCHED];
    const u8 *at = tlb_lookup(&c->tlbs[c->mmu_idx], c->s.rip, INSN_MAX, TLB_EXEC);
    u8 buf[INSN_MAX];

    if (!at)
        return decode(i, buf, code_bytes(c, buf, sizeof(buf)), c->code) == DECODE_OK;
    memcpy(buf, at, sizeof(buf));
    if (!f->i.len || f->i.mode != c->code || memcmp(f->bytes, buf, sizeof(buf))) {
        f->i.len = 0;
        if (decode(i, buf, sizeof(buf), c->code) != DECODE_OK)
            return false;
        memcpy(f->bytes, buf, sizeof(buf));
        f->i = *i;
    }
    *i = f->i;
    return true;
}

/* ------------------------------------------------------------- registers -- */

static bool cr_read(struct pv_vcpu *v, struct cpu *c, unsigned n, u64 *val)
{
    switch (n) {
    case 0:
        *val = c->s.cr0;
        return true;
    case 2:
        *val = v->xv->info->arch_cr2;
        return true;
    case 3:
        *val = v->kernel_l4 << PAGE_SHIFT;
        return true;
    case 4:
        *val = v->cr4;
        return true;
    default:
        return false;
    }
}

static bool cr_write(struct pv_vcpu *v, struct cpu *c, unsigned n, u64 val)
{
    struct xen_pv *pv = v->xv->x->pv;
    int r;

    switch (n) {
    case 0:
        if ((val ^ c->s.cr0) & ~(u64)CR0_TS)
            return false;
        c->s.cr0 = val;
        return true;
    case 2:
        v->xv->info->arch_cr2 = val;
        return true;
    case 3:
        pv_lock(pv);
        r = pv_new_base(v, c, val >> PAGE_SHIFT);
        pv_unlock(pv);
        return !r;
    case 4: {
        static const struct {
            u32 bit;
            u16 feature;
        } need[] = {{CR4_FSGSBASE, FEAT_fsgsbase}, {CR4_OSXSAVE, FEAT_xsave}};
        u64 may = CR4_GUEST;
        for (unsigned i = 0; i < ARRAY_SIZE(need); i++)
            if (!cpuid_has(c->model, need[i].feature))
                may &= ~(u64)need[i].bit;
        if (val & ~(may | CR4_IGNORED))
            return false;
        v->cr4 = (val & ~(u64)(CR4_PSE | CR4_PGE)) | CR4_PAE;
        c->s.cr4 = (v->cr4 & may & ~(u64)CR4_PCE) | CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
        return true;
    }
    default:
        return false;
    }
}

static bool move_cr(struct pv_vcpu *v, struct cpu *c, const struct insn *i)
{
    bool write = i->opnd[0].kind == OPND_CR;
    unsigned cr = i->opnd[write ? 0 : 1].reg, gpr = i->opnd[write ? 1 : 0].reg;

    return write ? cr_write(v, c, cr, c->s.gpr[gpr]) : cr_read(v, c, cr, &c->s.gpr[gpr]);
}

static bool move_dr(struct cpu *c, const struct insn *i)
{
    bool write = i->opnd[0].kind == OPND_DR;
    unsigned dr = i->opnd[write ? 0 : 1].reg, gpr = i->opnd[write ? 1 : 0].reg;

    if (dr > 7 || dr == 4 || dr == 5)
        return false;
    if (!write) {
        c->s.gpr[gpr] = c->s.dr[dr];
        return true;
    }
    u64 val = c->s.gpr[gpr];
    if (dr < 4 && (!canonical(val) || (val >= PV_M2P_START && val < PV_M2P_END)))
        return false;
    c->s.dr[dr] = dr == 6   ? (val & 0xe00f) | 0xffff0ff0
                  : dr == 7 ? (val & 0xffff03ff) | 0x400
                            : val;
    cpu_mmu_idx(c);
    return true;
}

/* ------------------------------------------------------------------ MSRs -- */

#define MSR_EFER           0xc0000080u
#define MSR_FS_BASE        0xc0000100u
#define MSR_GS_BASE        0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX        0xc0000103u

enum {
    MSR_TSC = 0x10,
    MSR_APIC_BASE = 0x1b,
    MSR_BIOS_SIGN_ID = 0x8b,
    MSR_MCG_CAP = 0x179,
    MSR_MCG_CTL = 0x17b,
    MSR_MISC_ENABLE = 0x1a0,
    MSR_MC0_CTL = 0x400,
    MSR_MC_END = 0x480,
    MSR_PAT = 0x277,
};
#define PAT_XEN        0x050100070406ull
#define HYPERCALL_MSR  0x40000000u
#define APIC_BASE_NONE 0xfee00000ull

/* Machine checks never come; a kernel looks for some that are left over. */
static bool is_mca(u32 msr)
{
    return (msr >= MSR_MCG_CAP && msr <= MSR_MCG_CTL) || (msr >= MSR_MC0_CTL && msr < MSR_MC_END);
}

static u64 *base_msr(struct cpu *c, u32 msr)
{
    switch (msr) {
    case MSR_FS_BASE:
        return &c->s.seg[FS].base;
    case MSR_GS_BASE:
        return &c->s.seg[GS].base;
    case MSR_KERNEL_GS_BASE:
        return &c->s.kernel_gs_base;
    default:
        return NULL;
    }
}

static bool read_msr(struct cpu *c, u32 msr, u64 *val)
{
    const u64 *base = base_msr(c, msr);

    if (base) {
        *val = *base;
        return true;
    }
    switch (msr) {
    case MSR_APIC_BASE:
        *val = APIC_BASE_NONE | (c->vcpu->index ? 0 : BIT(8));
        return true;
    case MSR_PAT:
        *val = PAT_XEN;
        return true;
    case MSR_EFER:
        *val = c->s.efer & (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE);
        return true;
    case MSR_TSC:
    case MSR_BIOS_SIGN_ID:
    case MSR_MISC_ENABLE:
    case MSR_TSC_AUX:
        return msr_read(c, msr, val);
    default: /* AMD's own, which read as zero */
        return (msr >> 16 == 0xc001 || is_mca(msr)) && msr_read(c, msr, val);
    }
}

static bool write_msr(struct cpu *c, u32 msr, u64 val)
{
    u64 *base = base_msr(c, msr);

    if (base) {
        if (!canonical(val))
            return false;
        *base = val;
        return true;
    }
    switch (msr) {
    case MSR_PAT:
        return val == PAT_XEN;
    case MSR_EFER:
        return !((val ^ c->s.efer) & ~(u64)EFER_LMA);
    case MSR_BIOS_SIGN_ID:
    case MSR_MISC_ENABLE: /* taken, and without effect */
        return true;
    case HYPERCALL_MSR:
        return c->vm->pv.ops->wrmsr(c->vm->pv.opaque, c->vcpu, msr, val);
    default:
        if (is_mca(msr))
            return msr_write(c, msr, val);
        return msr >> 16 == 0xc001 && msr_read(c, msr, &val);
    }
}

static bool rdmsr(struct cpu *c)
{
    u32 msr = (u32)c->s.gpr[RCX];
    u64 val = 0;
    bool ok = read_msr(c, msr, &val);

    trace(&c->vm->trace, msr, "cpu%u: rdmsr %08x = %llx%s", c->vcpu->index, msr,
          (unsigned long long)val, ok ? "" : " (unknown)");
    if (ok) {
        c->s.gpr[RAX] = (u32)val;
        c->s.gpr[RDX] = val >> 32;
    }
    return ok;
}

static bool wrmsr(struct cpu *c)
{
    u32 msr = (u32)c->s.gpr[RCX];
    u64 val = (u32)c->s.gpr[RAX] | c->s.gpr[RDX] << 32;
    bool ok = write_msr(c, msr, val);

    trace(&c->vm->trace, msr, "cpu%u: wrmsr %08x = %llx%s", c->vcpu->index, msr,
          (unsigned long long)val, ok ? "" : " (refused)");
    return ok;
}

static bool xsetbv(struct cpu *c)
{
    u64 val = (u32)c->s.gpr[RAX] | c->s.gpr[RDX] << 32;
    u64 may = cpuid_has(c->model, FEAT_avx) ? 7 : 3;

    if (!(c->s.cr4 & CR4_OSXSAVE) || (u32)c->s.gpr[RCX] || !(val & 1) || val & ~may ||
        (val & 6) == 4)
        return false;
    c->s.xcr0 = val;
    return true;
}

/* ---------------------------------------------------------------- others -- */

static void read_tsc(struct cpu *c, bool aux)
{
    u64 t = cpu_tsc(c);

    c->s.gpr[RAX] = (u32)t;
    c->s.gpr[RDX] = t >> 32;
    if (aux)
        c->s.gpr[RCX] = (u32)c->s.tsc_aux;
}

static bool invlpg(struct cpu *c, const struct insn *i)
{
    mmu_flush_page(c, insn_ea(c, i) + (i->seg >= FS ? c->s.seg[i->seg].base : 0));
    return true;
}

/* Ports: a kernel with an I/O privilege level that lets it try finds nobody there, and a timer that
 * stands still: Linux reads all ones there 100,000 times before it gives up. */
static bool port_in(struct pv_vcpu *v, struct cpu *c, const struct insn *i)
{
    u16 port = i->opnd[1].kind == OPND_IMM ? (u8)i->imm : (u16)c->s.gpr[RDX];

    if (v->iopl < 1)
        return false;
    gpr_write(c, RAX, i->opnd[0].size, port >= 0x40 && port <= 0x43 ? 0 : UINT64_MAX);
    return true;
}

static bool one(struct pv_vcpu *v, struct cpu *c, const struct insn *i)
{
    switch (i->op) {
    case OP_rdmsr:
        return rdmsr(c);
    case OP_wrmsr:
        return wrmsr(c);
    case OP_movcr:
        return move_cr(v, c, i);
    case OP_movdr:
        return move_dr(c, i);
    case OP_rdtsc: /* with CR4.TSD */
    case OP_rdtscp:
        read_tsc(c, i->op == OP_rdtscp);
        return true;
    case OP_clts:
        c->s.cr0 &= ~(u64)CR0_TS;
        return true;
    case OP_xsetbv:
        return xsetbv(c);
    case OP_invlpg:
        return invlpg(c, i);
    case OP_wbinvd:
        return true;
    case OP_in:
        return port_in(v, c, i);
    case OP_out:
    case OP_cli:
    case OP_sti:
        return v->iopl >= 1; /* without effect */
    default:
        return false;
    }
}

bool pv_emulate(struct pv_vcpu *v, struct cpu *c)
{
    struct insn i;

    if (c->code != CODE64 || !pv_fetch(c, &i))
        return false;
    c->next_rip = c->s.rip + i.len;
    if (!one(v, c, &i))
        return false;
    c->s.rip += i.len;
    return true;
}

bool pv_forced_cpuid(struct cpu *c)
{
    static const u8 prefix[FORCED + 2] = {0x0f, 0x0b, 'x', 'e', 'n', 0x0f, 0xa2};
    u8 b[sizeof(prefix)];

    if (code_bytes(c, b, sizeof(b)) < sizeof(b) || memcmp(b, prefix, sizeof(b)))
        return false;
    struct cpuid_regs r = cpuid_query(c, (u32)c->s.gpr[RAX], (u32)c->s.gpr[RCX]);
    c->s.gpr[RAX] = r.eax;
    c->s.gpr[RBX] = r.ebx;
    c->s.gpr[RCX] = r.ecx;
    c->s.gpr[RDX] = r.edx;
    c->s.rip += sizeof(prefix);
    return true;
}
