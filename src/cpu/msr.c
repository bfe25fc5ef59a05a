/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Model-specific registers: SDM volume 4, chapter 2; AMD APM volume 2, appendix A.
 *
 * An unknown register is #GP and a trace.  A few that AMD processors of every family have, and
 * that kernels and firmware touch without asking CPUID, read as zero and take any write.
 */
#include "cpu/msr.h"

#include "cpu/mmu.h"
#include "cpu/perfctr.h"
#include "cpu/sysinsn.h"

enum {
    MSR_TSC = 0x10,
    MSR_PLATFORM_ID = 0x17,
    MSR_APIC_BASE = 0x1b,
    MSR_EBL_CR_POWERON = 0x2a,
    MSR_FEATURE_CONTROL = 0x3a,
    MSR_TSC_ADJUST = 0x3b,
    MSR_BIOS_UPDT_TRIG = 0x79,
    MSR_BIOS_SIGN_ID = 0x8b,
    MSR_MTRRCAP = 0xfe,
    MSR_BBL_CR_CTL3 = 0x11e,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175,
    MSR_SYSENTER_EIP = 0x176,
    MSR_MCG_CAP = 0x179,
    MSR_MCG_STATUS = 0x17a,
    MSR_PERF_STATUS = 0x198,
    MSR_PERF_CTL = 0x199,
    MSR_THERM_STATUS = 0x19c,
    MSR_MISC_ENABLE = 0x1a0,
    MSR_DEBUGCTL = 0x1d9,
    MSR_LBR_FROM = 0x1db,
    MSR_LBR_INT_TO = 0x1de,
    MSR_MTRR_PHYS = 0x200,
    MSR_MTRR_FIX64K = 0x250,
    MSR_MTRR_FIX16K = 0x258,
    MSR_MTRR_FIX4K = 0x268,
    MSR_PAT = 0x277,
    MSR_MTRR_DEF = 0x2ff,
    MSR_TSC_DEADLINE = 0x6e0,
    MSR_X2APIC = 0x800,
    MSR_X2APIC_END = 0x8ff,
};
#define MSR_EFER           0xc0000080u
#define MSR_STAR           0xc0000081u
#define MSR_LSTAR          0xc0000082u
#define MSR_CSTAR          0xc0000083u
#define MSR_SFMASK         0xc0000084u
#define MSR_FS_BASE        0xc0000100u
#define MSR_GS_BASE        0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX        0xc0000103u
#define MSR_PATCH_LOADER   0xc0010020u

enum { MTRRCAP_FIX = 1 << 8, MTRRCAP_WC = 1 << 10 };

/* Registers without effect here; see above. */
static const u32 inert[] = {
    0xc0010010,                                     /* SYSCFG */
    0xc0010015,                                     /* HWCR */
    0xc0010016, 0xc0010017, 0xc0010018, 0xc0010019, /* IORR */
    0xc001001a,                                     /* TOP_MEM */
    0xc001001d,                                     /* TOP_MEM2 */
    0xc001001f,                                     /* NB_CFG */
    0xc0010044,                                     /* MC4_CTL_MASK */
    0xc0010055,                                     /* interrupt pending message */
    0xc0010058,                                     /* MMIO configuration base */
    0xc0010111, 0xc0010112, 0xc0010113,             /* SMM */
    0xc0010114,                                     /* VM_CR */
    0xc0010117,                                     /* VM_HSAVE_PA */
    0xc0010140, 0xc0010141,                         /* OS visible workarounds */
    0xc0011004, 0xc0011005,                         /* CPUID override */
    0xc0011020,                                     /* LS_CFG */
    0xc0011021,                                     /* IC_CFG */
    0xc0011022,                                     /* DC_CFG */
    0xc0011023,                                     /* BU_CFG */
    0xc0011029,                                     /* DE_CFG */
    0xc001102a,                                     /* BU_CFG2 */
    0xc001102c,                                     /* EX_CFG */
};

static bool is_inert(u32 msr)
{
    for (unsigned i = 0; i < ARRAY_SIZE(inert); i++) {
        if (inert[i] == msr)
            return true;
    }
    return false;
}

/* ------------------------------------------------ MTRRs -- */

/* The place of an MTRR in the state, NULL: no such register. */
static u64 *mtrr(struct cpu_state *s, u32 msr)
{
    if (msr >= MSR_MTRR_PHYS && msr < MSR_MTRR_PHYS + 2 * MTRR_VAR_COUNT) {
        unsigned n = (msr - MSR_MTRR_PHYS) / 2;
        return msr & 1 ? &s->mtrr_mask[n] : &s->mtrr_base[n];
    }
    if (msr == MSR_MTRR_FIX64K)
        return &s->mtrr_fixed[0];
    if (msr == MSR_MTRR_FIX16K || msr == MSR_MTRR_FIX16K + 1)
        return &s->mtrr_fixed[1 + msr - MSR_MTRR_FIX16K];
    if (msr >= MSR_MTRR_FIX4K && msr < MSR_MTRR_FIX4K + 8)
        return &s->mtrr_fixed[3 + msr - MSR_MTRR_FIX4K];
    return NULL;
}

static bool mtrr_type_ok(u8 t)
{
    return t <= 6 && t != 2 && t != 3;
}

static bool pat_ok(u64 v)
{
    for (unsigned i = 0; i < 8; i++) {
        u8 t = (u8)(v >> (8 * i));
        if (t > 7 || t == 2 || t == 3)
            return false;
    }
    return true;
}

static bool mtrr_value_ok(const struct cpu *c, u32 msr, u64 v)
{
    u64 above = ~(BIT64(c->model->phys_bits) - 1);

    if (msr >= MSR_MTRR_FIX64K) {
        for (unsigned i = 0; i < 8; i++) {
            if (!mtrr_type_ok((u8)(v >> (8 * i))))
                return false;
        }
        return true;
    }
    if (msr & 1)
        return !(v & (above | 0x7ff));
    return !(v & (above | 0xf00)) && mtrr_type_ok((u8)v);
}

/* ------------------------------------------------ reading -- */

bool msr_read(struct cpu *c, u32 msr, u64 *v)
{
    const struct vcpu_intc *ic = &c->vcpu->intc;
    struct cpu_state *s = &c->s;
    const u64 *m = mtrr(s, msr);

    *v = 0;
    if (m) {
        *v = *m;
        return true;
    }
    if (perfctr_owns(msr)) {
        *v = perfctr_read(c, msr);
        return true;
    }
    if ((msr >= MSR_X2APIC && msr <= MSR_X2APIC_END) || msr == MSR_TSC_DEADLINE)
        return ic->rdmsr && ic->rdmsr(ic->opaque, msr, v);
    switch (msr) {
    case MSR_TSC:
        *v = cpu_tsc(c);
        return true;
    case MSR_APIC_BASE:
        *v = ic->get_base ? ic->get_base(ic->opaque) : 0;
        return true;
    case MSR_FEATURE_CONTROL:
        *v = 1; /* locked, nothing enabled */
        return true;
    case MSR_TSC_ADJUST:
        *v = s->tsc_adjust;
        return cpuid_has(c->model, FEAT_tsc_adjust);
    case MSR_MTRRCAP:
        *v = MTRRCAP_WC | MTRRCAP_FIX | MTRR_VAR_COUNT;
        return true;
    case MSR_SYSENTER_CS:
        *v = s->sysenter_cs;
        return true;
    case MSR_SYSENTER_ESP:
        *v = s->sysenter_esp;
        return true;
    case MSR_SYSENTER_EIP:
        *v = s->sysenter_eip;
        return true;
    case MSR_MCG_STATUS:
        *v = s->mcg_status;
        return true;
    case MSR_MISC_ENABLE:
        *v = s->misc_enable;
        return true;
    case MSR_DEBUGCTL:
        *v = s->debugctl;
        return true;
    case MSR_PAT:
        *v = s->pat;
        return true;
    case MSR_MTRR_DEF:
        *v = s->mtrr_def_type;
        return true;
    case MSR_EFER:
        *v = s->efer;
        return true;
    case MSR_STAR:
        *v = s->star;
        return true;
    case MSR_LSTAR:
        *v = s->lstar;
        return true;
    case MSR_CSTAR:
        *v = s->cstar;
        return true;
    case MSR_SFMASK:
        *v = s->sfmask;
        return true;
    case MSR_FS_BASE:
        *v = s->seg[FS].base;
        return true;
    case MSR_GS_BASE:
        *v = s->seg[GS].base;
        return true;
    case MSR_KERNEL_GS_BASE:
        *v = s->kernel_gs_base;
        return true;
    case MSR_TSC_AUX:
        *v = s->tsc_aux;
        return true;
    case MSR_PLATFORM_ID:
    case MSR_EBL_CR_POWERON:
    case MSR_BIOS_SIGN_ID:
    case MSR_BBL_CR_CTL3:
    case MSR_MCG_CAP:
    case MSR_PERF_STATUS:
    case MSR_PERF_CTL:
    case MSR_THERM_STATUS:
        return true;
    default:
        if (c->vm->pv.ops && c->vm->pv.ops->rdmsr(c->vm->pv.opaque, c->vcpu, msr, v))
            return true;
        return is_inert(msr) || (msr >= MSR_LBR_FROM && msr <= MSR_LBR_INT_TO);
    }
}

/* ------------------------------------------------ writing -- */

static bool write_efer(struct cpu *c, u64 v)
{
    u64 may = EFER_SCE | EFER_LMA;

    if (cpuid_has(c->model, FEAT_lm))
        may |= EFER_LME;
    if (cpuid_has(c->model, FEAT_nx))
        may |= EFER_NXE;
    if (cpuid_has(c->model, FEAT_fxsr_opt))
        may |= EFER_FFXSR;
    if (cpuid_has(c->model, FEAT_autoibrs))
        may |= EFER_AUTOIBRS;
    if (v & ~may)
        return false;
    if ((c->s.cr0 & CR0_PG) && ((v ^ c->s.efer) & EFER_LME))
        return false;
    c->s.efer = (v & ~(u64)EFER_LMA) | (c->s.efer & EFER_LMA);
    mmu_flush(c, true);
    cpu_derive(c);
    return true;
}

static void move_tsc(struct cpu *c, u64 delta)
{
    c->s.tsc_offset += (s64)delta;
    c->s.tsc_adjust += delta;
}

static bool write_base(u64 *reg, u64 v)
{
    if (!canonical(v))
        return false;
    *reg = v;
    return true;
}

bool msr_write(struct cpu *c, u32 msr, u64 v)
{
    const struct vcpu_intc *ic = &c->vcpu->intc;
    struct cpu_state *s = &c->s;
    u64 *m = mtrr(s, msr);

    if (m) {
        if (!mtrr_value_ok(c, msr, v))
            return false;
        *m = v;
        return true;
    }
    if (perfctr_owns(msr)) {
        perfctr_write(c, msr, v);
        return true;
    }
    if ((msr >= MSR_X2APIC && msr <= MSR_X2APIC_END) || msr == MSR_TSC_DEADLINE)
        return ic->wrmsr && ic->wrmsr(ic->opaque, msr, v);
    switch (msr) {
    case MSR_TSC:
        move_tsc(c, v - cpu_tsc(c));
        return true;
    case MSR_APIC_BASE:
        return ic->set_base && ic->set_base(ic->opaque, v);
    case MSR_TSC_ADJUST:
        if (!cpuid_has(c->model, FEAT_tsc_adjust))
            return false;
        move_tsc(c, v - s->tsc_adjust);
        return true;
    case MSR_SYSENTER_CS:
        s->sysenter_cs = (u32)v;
        return true;
    case MSR_SYSENTER_ESP:
        return write_base(&s->sysenter_esp, v);
    case MSR_SYSENTER_EIP:
        return write_base(&s->sysenter_eip, v);
    case MSR_MCG_STATUS:
        s->mcg_status = v;
        return v == 0;
    case MSR_MISC_ENABLE:
        s->misc_enable = v;
        return true;
    case MSR_DEBUGCTL:
        if (v & ~0x7full)
            return false;
        s->debugctl = v;
        return true;
    case MSR_PAT:
        if (!pat_ok(v))
            return false;
        s->pat = v;
        return true;
    case MSR_MTRR_DEF:
        if ((v & ~0xcffull) || !mtrr_type_ok((u8)v))
            return false;
        s->mtrr_def_type = v;
        return true;
    case MSR_EFER:
        return write_efer(c, v);
    case MSR_STAR:
        s->star = v;
        return true;
    case MSR_LSTAR:
        return write_base(&s->lstar, v);
    case MSR_CSTAR:
        return write_base(&s->cstar, v);
    case MSR_SFMASK:
        s->sfmask = (u32)v;
        return true;
    case MSR_FS_BASE:
        return write_base(&s->seg[FS].base, v);
    case MSR_GS_BASE:
        return write_base(&s->seg[GS].base, v);
    case MSR_KERNEL_GS_BASE:
        return write_base(&s->kernel_gs_base, v);
    case MSR_TSC_AUX:
        if (v >> 32)
            return false;
        s->tsc_aux = v;
        return true;
    case MSR_PLATFORM_ID:
    case MSR_EBL_CR_POWERON:
    case MSR_BIOS_UPDT_TRIG:
    case MSR_BIOS_SIGN_ID:
    case MSR_BBL_CR_CTL3:
    case MSR_PERF_CTL:
    case MSR_THERM_STATUS:
    case MSR_PATCH_LOADER:
        return true;
    default:
        if (c->vm->pv.ops && c->vm->pv.ops->wrmsr(c->vm->pv.opaque, c->vcpu, msr, v))
            return true;
        return is_inert(msr);
    }
}
