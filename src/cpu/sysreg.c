/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions on control, debug, descriptor-table and model-specific registers.  SDM volume 2;
 * volume 3, chapters 2 and 17.
 */
#include "cpu/exception.h"
#include "cpu/msr.h"
#include "cpu/operand.h"
#include "cpu/ops.h"
#include "cpu/sysinsn.h"

#include <string.h>

enum { DR6_BD = 1 << 13, DR7_GD = 1 << 13 };
#define DR6_FIXED    0xffff0ff0u
#define DR6_WRITABLE 0xe00fu
#define DR7_FIXED    0x400u
#define DR7_WRITABLE 0xffff2bffu
#define CR3_NOFLUSH  BIT64(63)
#define CR3_PCID     0xfffu

static void need_cpl0(struct cpu *c)
{
    if (c->cpl)
        cpu_gp(c, 0);
}

static void need_protected(struct cpu *c)
{
    if (c->real || c->vm86)
        cpu_ud(c);
}

static void umip(struct cpu *c)
{
    if ((c->s.cr4 & CR4_UMIP) && c->cpl)
        cpu_gp(c, 0);
}

/* ------------------------------------------------ control registers -- */

/* PAE paging outside long mode: each present PDPTE must be free of reserved bits. */
static void check_pdptes(struct cpu *c, u64 cr3)
{
    u64 rsvd = ~(BIT64(c->model->phys_bits) - 1) | 0x1e6;

    for (unsigned i = 0; i < 4; i++) {
        u64 e = bus_read(&c->vm->mmio, (cr3 & 0xffffffe0u) + 8 * i, 8);
        if ((e & 1) && (e & rsvd))
            cpu_gp(c, 0);
    }
}

void cr0_write(struct cpu *c, u64 v)
{
    u64 known =
        CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG;
    u64 old = c->s.cr0;

    if (v >> 32)
        cpu_gp(c, 0);
    v = (v & known) | CR0_ET;
    if (((v & CR0_PG) && !(v & CR0_PE)) || ((v & CR0_NW) && !(v & CR0_CD)))
        cpu_gp(c, 0);
    u64 efer = c->s.efer & ~(u64)EFER_LMA;
    if ((v & CR0_PG) && !(old & CR0_PG)) {
        if (efer & EFER_LME) {
            if (!(c->s.cr4 & CR4_PAE) || (c->s.seg[CS].attr & SEG_L))
                cpu_gp(c, 0);
            efer |= EFER_LMA;
        } else if (c->s.cr4 & CR4_PAE) {
            check_pdptes(c, c->s.cr3);
        }
    } else if (v & CR0_PG) {
        efer = c->s.efer;
    } else if ((old & CR0_PG) && (c->code == CODE64 || (c->s.cr4 & CR4_PCIDE))) {
        cpu_gp(c, 0);
    }
    c->s.cr0 = v;
    c->s.efer = efer;
    if ((v ^ old) & (CR0_PG | CR0_WP | CR0_PE | CR0_AM)) {
        mmu_flush(c, true);
        cpu_derive(c);
    }
    c->leave = true;
    if ((v ^ old) & (CR0_PE | CR0_PG))
        trace(&c->vm->trace, cpu, "cpu%u: CR0 %llx EFER %llx", c->vcpu->index,
              (unsigned long long)v, (unsigned long long)efer);
}

void cr3_write(struct cpu *c, u64 v)
{
    u64 old = c->s.cr3;
    bool pcids = c->s.cr4 & CR4_PCIDE, keep = pcids && v & CR3_NOFLUSH;

    if (c->long_mode) {
        if (pcids)
            v &= ~CR3_NOFLUSH;
        if (v >> c->model->phys_bits)
            cpu_gp(c, 0);
    } else {
        v = (u32)v;
        if ((c->s.cr0 & CR0_PG) && (c->s.cr4 & CR4_PAE))
            check_pdptes(c, v);
    }
    c->s.cr3 = v;
    if (!pcids)
        mmu_flush(c, false);
    else if (!keep || v != old)
        mmu_switch(c, old & CR3_PCID, v & CR3_PCID, keep);
    c->leave = true;
}

void cr4_write(struct cpu *c, u64 v)
{
    static const struct {
        u32 bit;
        u16 feature;
    } by_feature[] = {
        {CR4_VME | CR4_PVI, FEAT_vme}, {CR4_DE, FEAT_de},          {CR4_PSE, FEAT_pse},
        {CR4_PAE, FEAT_pae},           {CR4_MCE, FEAT_mce},        {CR4_PGE, FEAT_pge},
        {CR4_OSFXSR, FEAT_fxsr},       {CR4_OSXMMEXCPT, FEAT_sse}, {CR4_UMIP, FEAT_umip},
        {CR4_FSGSBASE, FEAT_fsgsbase}, {CR4_PCIDE, FEAT_pcid},     {CR4_OSXSAVE, FEAT_xsave},
        {CR4_SMEP, FEAT_smep},         {CR4_SMAP, FEAT_smap},      {CR4_TSD, FEAT_tsc},
    };
    u64 may = CR4_PCE, old = c->s.cr4;

    for (unsigned i = 0; i < ARRAY_SIZE(by_feature); i++) {
        if (cpuid_has(c->model, by_feature[i].feature))
            may |= by_feature[i].bit;
    }
    if ((v & ~may) || (c->long_mode && !(v & CR4_PAE)))
        cpu_gp(c, 0);
    if ((v & ~old & CR4_PCIDE) && (!c->long_mode || (c->s.cr3 & 0xfff)))
        cpu_gp(c, 0);
    if ((c->s.cr0 & CR0_PG) && !c->long_mode && ((v & ~old) & CR4_PAE))
        check_pdptes(c, c->s.cr3);
    c->s.cr4 = v;
    if ((v ^ old) & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP))
        mmu_flush(c, true);
    cpu_derive(c);
}

static u8 get_tpr(const struct cpu *c)
{
    const struct vcpu_intc *ic = &c->vcpu->intc;

    return ic->get_tpr ? ic->get_tpr(ic->opaque) : 0;
}

static void set_tpr(struct cpu *c, u64 v)
{
    const struct vcpu_intc *ic = &c->vcpu->intc;

    if (v > 15)
        cpu_gp(c, 0);
    if (ic->set_tpr)
        ic->set_tpr(ic->opaque, (u8)v);
    c->leave = true;
}

void exec_movcr(struct cpu *c, const struct insn *i)
{
    bool write = i->opnd[0].kind == OPND_CR;
    const struct operand *cr = &i->opnd[write ? 0 : 1], *gpr = &i->opnd[write ? 1 : 0];

    need_cpl0(c);
    if (write) {
        u64 v = gpr_read(c, gpr->reg, gpr->size);
        switch (cr->reg) {
        case 0:
            cr0_write(c, v);
            return;
        case 2:
            c->s.cr2 = v;
            return;
        case 3:
            cr3_write(c, v);
            return;
        case 4:
            cr4_write(c, v);
            return;
        case 8:
            set_tpr(c, v);
            return;
        default:
            cpu_ud(c);
        }
    }
    u64 v;
    switch (cr->reg) {
    case 0:
        v = c->s.cr0;
        break;
    case 2:
        v = c->s.cr2;
        break;
    case 3:
        v = c->s.cr3;
        break;
    case 4:
        v = c->s.cr4;
        break;
    case 8:
        v = get_tpr(c);
        break;
    default:
        cpu_ud(c);
    }
    gpr_write(c, gpr->reg, gpr->size, v);
}

void exec_clts(struct cpu *c, const struct insn *i)
{
    need_cpl0(c);
    c->s.cr0 &= ~(u64)CR0_TS;
    c->leave = true;
}

void exec_lmsw(struct cpu *c, const struct insn *i)
{
    need_cpl0(c);
    u64 v = operand_read(c, i, 0);
    cr0_write(c, (c->s.cr0 & ~0xeull) | (v & 0xf)); /* PE can be set, not cleared */
}

void exec_smsw(struct cpu *c, const struct insn *i)
{
    umip(c);
    operand_write(c, i, 0, c->s.cr0);
}

/* ------------------------------------------------ debug registers -- */

static unsigned debug_reg(struct cpu *c, unsigned reg)
{
    if (reg > 7 || ((reg == 4 || reg == 5) && (c->s.cr4 & CR4_DE)))
        cpu_ud(c);
    return reg == 4 || reg == 5 ? reg + 2 : reg;
}

void exec_movdr(struct cpu *c, const struct insn *i)
{
    bool write = i->opnd[0].kind == OPND_DR;
    const struct operand *gpr = &i->opnd[write ? 1 : 0];
    unsigned dr = debug_reg(c, i->opnd[write ? 0 : 1].reg);

    need_cpl0(c);
    if (c->s.dr[7] & DR7_GD)
        debug_trap(c, DR6_BD);
    if (!write) {
        gpr_write(c, gpr->reg, gpr->size, c->s.dr[dr]);
        return;
    }
    u64 v = gpr_read(c, gpr->reg, gpr->size);
    if (dr >= 6 && v >> 32)
        cpu_gp(c, 0);
    if (dr < 4 && gpr->size == 8 && !canonical(v))
        cpu_gp(c, 0);
    if (dr == 6)
        v = (v & DR6_WRITABLE) | DR6_FIXED;
    else if (dr == 7)
        v = (v & DR7_WRITABLE) | DR7_FIXED;
    c->s.dr[dr] = v;
    cpu_mmu_idx(c);
    c->leave = true;
}

/* ------------------------------------------------ descriptor tables -- */

static void load_table(struct cpu *c, const struct insn *i, struct desc_table *t)
{
    unsigned size = i->mode == CODE64 ? 8 : 4;

    need_cpl0(c);
    u64 lin = mem_linear(c, i, size + 2, SEG_READ);
    u16 limit = (u16)mmu_read(c, lin, 2);
    u64 base = mmu_read(c, lin + 2, size);
    if (size == 8 && !canonical(base))
        cpu_gp(c, 0);
    if (i->opsize == 2 && size == 4)
        base &= 0xffffff;
    *t = (struct desc_table){.base = base, .limit = limit};
}

static void store_table(struct cpu *c, const struct insn *i, const struct desc_table *t)
{
    unsigned size = i->mode == CODE64 ? 8 : 4;
    u8 buf[10];

    umip(c);
    memcpy(buf, &t->limit, 2);
    memcpy(buf + 2, &t->base, 8);
    mmu_write_bytes(c, mem_linear(c, i, size + 2, SEG_WRITE), buf, size + 2);
}

void exec_lgdt(struct cpu *c, const struct insn *i)
{
    load_table(c, i, &c->s.gdtr);
}

void exec_lidt(struct cpu *c, const struct insn *i)
{
    load_table(c, i, &c->s.idtr);
}

void exec_sgdt(struct cpu *c, const struct insn *i)
{
    store_table(c, i, &c->s.gdtr);
}

void exec_sidt(struct cpu *c, const struct insn *i)
{
    store_table(c, i, &c->s.idtr);
}

void exec_sldt(struct cpu *c, const struct insn *i)
{
    need_protected(c);
    umip(c);
    operand_write(c, i, 0, c->s.ldtr.sel);
}

void exec_str(struct cpu *c, const struct insn *i)
{
    need_protected(c);
    umip(c);
    operand_write(c, i, 0, c->s.tr.sel);
}

/* The system segment of LLDT and LTR; in long mode its descriptor has 16 bytes. */
static struct segment system_segment(struct cpu *c, u16 sel, u64 *lin, u64 *desc)
{
    u32 err = sel & ~3u;

    if (sel & 4)
        cpu_gp(c, err);
    *desc = desc_read(c, sel, EXC_GP, lin);
    struct segment s = desc_segment(*desc, sel);
    if (c->long_mode) {
        if ((sel | 7u) + 8 > c->s.gdtr.limit)
            cpu_gp(c, err);
        u64 high = mmu_read_sys(c, *lin + 8, 8);
        s.base |= high << 32;
        if (!canonical(s.base) || (high >> 40 & 0x1f))
            cpu_gp(c, err);
    }
    return s;
}

void exec_lldt(struct cpu *c, const struct insn *i)
{
    u64 lin, desc;

    need_protected(c);
    need_cpl0(c);
    u16 sel = (u16)operand_read(c, i, 0);
    if (!(sel & ~3u)) {
        c->s.ldtr = (struct segment){.sel = sel};
        return;
    }
    struct segment s = system_segment(c, sel, &lin, &desc);
    if ((s.attr & (SEG_S | SEG_TYPE)) != 2)
        cpu_gp(c, sel & ~3u);
    if (!(s.attr & SEG_P))
        cpu_raise(c, EXC_NP, sel & ~3u);
    c->s.ldtr = s;
}

void exec_ltr(struct cpu *c, const struct insn *i)
{
    u64 lin, desc;

    need_protected(c);
    need_cpl0(c);
    u16 sel = (u16)operand_read(c, i, 0);
    if (!(sel & ~3u))
        cpu_gp(c, 0);
    struct segment s = system_segment(c, sel, &lin, &desc);
    unsigned type = s.attr & (SEG_S | SEG_TYPE);
    if (type != 9 && (type != 1 || c->long_mode))
        cpu_gp(c, sel & ~3u);
    if (!(s.attr & SEG_P))
        cpu_raise(c, EXC_NP, sel & ~3u);
    mmu_write_sys(c, lin + 5, 1, (desc >> 40 & 0xff) | 2);
    s.attr |= 2;
    c->s.tr = s;
}

/* ------------------------------------------------ looking at descriptors -- */

/* The descriptor of LAR, LSL, VERR, VERW if this code may see it. */
static bool visible(struct cpu *c, u16 sel, u64 *d)
{
    u64 lin;

    if (!(sel & ~3u) || !desc_try(c, sel, d, &lin))
        return false;
    bool conforming = (*d >> 40 & 0x1c) == 0x1c;
    return conforming || (desc_dpl(*d) >= c->cpl && desc_dpl(*d) >= (sel & 3u));
}

static void set_zf(struct cpu *c, bool on)
{
    c->s.rflags = (c->s.rflags & ~(u64)FLAG_ZF) | (on ? FLAG_ZF : 0);
}

void exec_lar(struct cpu *c, const struct insn *i)
{
    static const u16 legacy =
        BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(9) | BIT(11) | BIT(12);
    static const u16 longm = BIT(2) | BIT(9) | BIT(11) | BIT(12);
    u64 d;

    need_protected(c);
    u16 sel = (u16)operand_read(c, i, 1);
    bool ok = visible(c, sel, &d);
    if (ok && !(d >> 44 & 1))
        ok = (c->long_mode ? longm : legacy) >> (d >> 40 & 0xf) & 1;
    /* Intel calls bits 16-19 undefined; processors give the limit's. */
    if (ok)
        gpr_write(c, i->opnd[0].reg, i->opnd[0].size, d >> 32 & 0x00ffff00);
    set_zf(c, ok);
}

void exec_lsl(struct cpu *c, const struct insn *i)
{
    static const u16 legacy = BIT(1) | BIT(2) | BIT(3) | BIT(9) | BIT(11);
    static const u16 longm = BIT(2) | BIT(9) | BIT(11);
    u64 d;

    need_protected(c);
    u16 sel = (u16)operand_read(c, i, 1);
    bool ok = visible(c, sel, &d);
    if (ok && !(d >> 44 & 1))
        ok = (c->long_mode ? longm : legacy) >> (d >> 40 & 0xf) & 1;
    if (ok)
        gpr_write(c, i->opnd[0].reg, i->opnd[0].size, desc_segment(d, sel).limit);
    set_zf(c, ok);
}

void exec_verr(struct cpu *c, const struct insn *i)
{
    u64 d;

    need_protected(c);
    u16 sel = (u16)operand_read(c, i, 0);
    bool ok = visible(c, sel, &d) && (d >> 44 & 1) && ((d >> 40 & 0xa) != 8);
    set_zf(c, ok);
}

void exec_verw(struct cpu *c, const struct insn *i)
{
    u64 d;

    need_protected(c);
    u16 sel = (u16)operand_read(c, i, 0);
    bool ok = visible(c, sel, &d) && (d >> 40 & 0x1a) == 0x12;
    set_zf(c, ok);
}

/* ------------------------------------------------ MSRs and XCR0 -- */

void exec_rdmsr(struct cpu *c, const struct insn *i)
{
    u32 msr = (u32)c->s.gpr[RCX];
    u64 v;

    need_cpl0(c);
    bool ok = msr_read(c, msr, &v);
    trace(&c->vm->trace, msr, "cpu%u: rdmsr %08x = %llx%s", c->vcpu->index, msr,
          (unsigned long long)v, ok ? "" : " (unknown)");
    if (!ok)
        cpu_gp(c, 0);
    c->s.gpr[RAX] = (u32)v;
    c->s.gpr[RDX] = v >> 32;
}

void exec_wrmsr(struct cpu *c, const struct insn *i)
{
    u32 msr = (u32)c->s.gpr[RCX];
    u64 v = (u32)c->s.gpr[RAX] | c->s.gpr[RDX] << 32;

    need_cpl0(c);
    bool ok = msr_write(c, msr, v);
    trace(&c->vm->trace, msr, "cpu%u: wrmsr %08x = %llx%s", c->vcpu->index, msr,
          (unsigned long long)v, ok ? "" : " (refused)");
    if (!ok)
        cpu_gp(c, 0);
    c->leave = true;
}

void exec_xgetbv(struct cpu *c, const struct insn *i)
{
    u32 n = (u32)c->s.gpr[RCX];

    if (!(c->s.cr4 & CR4_OSXSAVE))
        cpu_ud(c);
    if (n > 1 || (n == 1 && !cpuid_has(c->model, FEAT_xgetbv1)))
        cpu_gp(c, 0);
    u64 v = n ? c->s.xcr0 & (c->s.x.xstate_bv | 2) : c->s.xcr0;
    if (c->shadow && c->user)
        c->shadow->executed(c->shadow, c->s.rip + i->len - 3);
    c->s.gpr[RAX] = (u32)v;
    c->s.gpr[RDX] = v >> 32;
}

void exec_xsetbv(struct cpu *c, const struct insn *i)
{
    u64 v = (u32)c->s.gpr[RAX] | c->s.gpr[RDX] << 32;
    u64 may = cpuid_has(c->model, FEAT_avx) ? 7 : 3;

    if (!(c->s.cr4 & CR4_OSXSAVE))
        cpu_ud(c);
    need_cpl0(c);
    if ((u32)c->s.gpr[RCX] || !(v & 1) || (v & ~may) || (v & 6) == 4)
        cpu_gp(c, 0);
    c->s.xcr0 = v;
    c->leave = true;
}

/* Bases of FS and GS; CR4.FSGSBASE. */
static u64 *fsgs(struct cpu *c, enum seg_reg seg)
{
    if (!(c->s.cr4 & CR4_FSGSBASE))
        cpu_ud(c);
    return &c->s.seg[seg].base;
}

static void write_fsgs(struct cpu *c, const struct insn *i, enum seg_reg seg)
{
    u64 *base = fsgs(c, seg), v = reg_read(c, &i->opnd[0]);

    if (!canonical(v))
        cpu_gp(c, 0);
    *base = v;
}

void exec_rdfsbase(struct cpu *c, const struct insn *i)
{
    reg_write(c, &i->opnd[0], *fsgs(c, FS));
}

void exec_rdgsbase(struct cpu *c, const struct insn *i)
{
    reg_write(c, &i->opnd[0], *fsgs(c, GS));
}

void exec_wrfsbase(struct cpu *c, const struct insn *i)
{
    write_fsgs(c, i, FS);
}

void exec_wrgsbase(struct cpu *c, const struct insn *i)
{
    write_fsgs(c, i, GS);
}

/* ------------------------------------------------ segment registers -- */

void exec_movsr(struct cpu *c, const struct insn *i)
{
    if (i->opnd[1].kind == OPND_SREG) {
        operand_write(c, i, 0, c->s.seg[i->opnd[1].reg].sel);
        return;
    }
    enum seg_reg seg = i->opnd[0].reg;
    if (seg == CS || seg >= SEG_COUNT)
        cpu_ud(c);
    seg_load(c, seg, (u16)operand_read(c, i, 1));
}
