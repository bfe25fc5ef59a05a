/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The architectural state of one x86-64 processor: what passes between engines, into a saved
 * machine, and into a debugger.  Nothing here is derived or cached.  Intel SDM volume 1, chapter 3
 * and volume 3, chapter 2.
 */
#ifndef WIRT_CORE_ARCH_H
#define WIRT_CORE_ARCH_H

#include "base/types.h"
#include "core/state.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };
enum seg_reg { ES, CS, SS, DS, FS, GS, SEG_COUNT };

/* RFLAGS */
enum {
    FLAG_CF = 1 << 0,
    FLAG_1 = 1 << 1, /* always set */
    FLAG_PF = 1 << 2,
    FLAG_AF = 1 << 4,
    FLAG_ZF = 1 << 6,
    FLAG_SF = 1 << 7,
    FLAG_TF = 1 << 8,
    FLAG_IF = 1 << 9,
    FLAG_DF = 1 << 10,
    FLAG_OF = 1 << 11,
    FLAG_IOPL = 3 << 12,
    FLAG_NT = 1 << 14,
    FLAG_RF = 1 << 16,
    FLAG_VM = 1 << 17,
    FLAG_AC = 1 << 18,
    FLAG_VIF = 1 << 19,
    FLAG_VIP = 1 << 20,
    FLAG_ID = 1 << 21,

    FLAGS_ARITH = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF,
};

enum {
    CR0_PE = 1 << 0,
    CR0_MP = 1 << 1,
    CR0_EM = 1 << 2,
    CR0_TS = 1 << 3,
    CR0_ET = 1 << 4,
    CR0_NE = 1 << 5,
    CR0_WP = 1 << 16,
    CR0_AM = 1 << 18,
    CR0_NW = 1 << 29,
    CR0_CD = 1 << 30,
};
#define CR0_PG BIT(31)

enum {
    CR4_VME = 1 << 0,
    CR4_PVI = 1 << 1,
    CR4_TSD = 1 << 2,
    CR4_DE = 1 << 3,
    CR4_PSE = 1 << 4,
    CR4_PAE = 1 << 5,
    CR4_MCE = 1 << 6,
    CR4_PGE = 1 << 7,
    CR4_PCE = 1 << 8,
    CR4_OSFXSR = 1 << 9,
    CR4_OSXMMEXCPT = 1 << 10,
    CR4_UMIP = 1 << 11,
    CR4_FSGSBASE = 1 << 16,
    CR4_PCIDE = 1 << 17,
    CR4_OSXSAVE = 1 << 18,
    CR4_SMEP = 1 << 20,
    CR4_SMAP = 1 << 21,
};

enum {
    EFER_SCE = 1 << 0,
    EFER_LME = 1 << 8,
    EFER_LMA = 1 << 10,
    EFER_NXE = 1 << 11,
    EFER_FFXSR = 1 << 14,
    EFER_AUTOIBRS = 1 << 21,
};

/* Segment attributes: the descriptor's bits 40-47 and 52-55, as VMX and SVM keep them. */
enum {
    SEG_TYPE = 0xf,
    SEG_S = 1 << 4, /* code or data (clear: system) */
    SEG_DPL = 3 << 5,
    SEG_P = 1 << 7,
    SEG_AVL = 1 << 12,
    SEG_L = 1 << 13,
    SEG_DB = 1 << 14,
    SEG_G = 1 << 15,
};

struct segment {
    u64 base;
    u32 limit; /* in bytes, G already applied */
    u16 sel;
    u16 attr; /* SEG_*; P clear = null or unusable */
};

struct desc_table {
    u64 base;
    u16 limit;
};

/* The XSAVE area in standard form: x87, SSE and AVX.  SDM volume 1, 13.4. */
struct xsave_area {
    u16 fcw, fsw;
    u8 ftw; /* abridged */
    u8 rsvd0;
    u16 fop;
    u64 fip, fdp;
    u32 mxcsr, mxcsr_mask;
    u8 st[8][16];
    u8 xmm[16][16];
    u8 rsvd1[96];
    u64 xstate_bv, xcomp_bv, rsvd2[6];
    u8 ymmh[16][16];
} __attribute__((aligned(64)));
_Static_assert(offsetof(struct xsave_area, ymmh) == 576, "XSAVE layout");

enum { MTRR_VAR_COUNT = 8, PERF_COUNT = 4 };

struct cpu_state {
    u64 gpr[16];
    u64 rip;
    u64 rflags; /* always whole; bit 1 set */
    struct segment seg[SEG_COUNT];
    struct segment ldtr, tr;
    struct desc_table gdtr, idtr;
    u64 cr0, cr2, cr3, cr4; /* CR8 is the local APIC's TPR */
    u64 dr[8];              /* 4 and 5 unused */
    u64 xcr0;
    u64 efer;
    u64 star, lstar, cstar, sfmask, kernel_gs_base;
    u64 sysenter_cs, sysenter_esp, sysenter_eip;
    u64 pat, tsc_aux, tsc_adjust, misc_enable, spec_ctrl, debugctl;
    s64 tsc_offset; /* guest TSC = clock_tsc() + this */
    u64 mtrr_def_type, mtrr_fixed[11], mtrr_base[MTRR_VAR_COUNT], mtrr_mask[MTRR_VAR_COUNT];
    u64 mcg_status;
    u64 perf_sel[PERF_COUNT];
    u64 perf_ctr[PERF_COUNT]; /* while it counts: less the guest TSC; see cpu/perfctr.c */

    bool halted;       /* in HLT, waits for an interrupt */
    bool wait_sipi;    /* an application processor before its start-up IPI */
    bool nmi_blocked;  /* until IRET */
    bool int_shadow;   /* STI, MOV SS, POP SS: the next instruction takes no interrupt */
    bool ring3_kernel; /* the kernel of a guest that has it in ring 3 is running (cpu/ring3.h) */

    struct xsave_area x;
};

/* State after power-on reset (SDM volume 3, table 10-1); bsp = not waiting for SIPI.
 * INIT keeps x87/SSE state, TSC, MTRRs and a few MSRs: cpu_state_init(). */
void cpu_state_reset(struct cpu_state *s, bool bsp);
void cpu_state_init(struct cpu_state *s, bool bsp);

/* Of struct cpu_state, for saved machines: combinations that no processor is in are refused. */
/* A linear address of 48 bits, sign-extended. */
static inline bool canonical(u64 lin)
{
    return (u64)(((s64)lin >> 47) + 1) <= 1;
}

extern const struct state_desc cpu_state_desc;

#endif
