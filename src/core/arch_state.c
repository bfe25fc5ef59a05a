/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A processor's state in a saved machine.  What is loaded comes from a file: what an engine relies
 * on (and what the host's XRSTOR and LDMXCSR fault on) is checked here.
 */
#include "core/arch.h"

#include <errno.h>

enum { XCR0_KNOWN = 7, MXCSR_ALLOWED = 0xffff, SEG_ATTR = 0xf0ff };

#define CR0_KNOWN                                                                                  \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD |     \
     CR0_PG)
#define CR4_KNOWN                                                                                  \
    (CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE |      \
     CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP |  \
     CR4_SMAP)
#define EFER_KNOWN (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_FFXSR | EFER_AUTOIBRS)
#define RFLAGS_KNOWN                                                                               \
    (FLAGS_ARITH | FLAG_1 | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_RF |          \
     FLAG_VM | FLAG_AC | FLAG_VIF | FLAG_VIP | FLAG_ID)

#define S struct cpu_state
#define SEGMENT(m)                                                                                 \
    FIELD(S, m.base), FIELD(S, m.limit), FIELD(S, m.sel), FIELD_MAX(S, m.attr, SEG_ATTR)

static const struct field cpu_fields[] = {
    FIELD_ARRAY(S, gpr),
    FIELD(S, rip),
    FIELD_MAX(S, rflags, RFLAGS_KNOWN),
    SEGMENT(seg[ES]),
    SEGMENT(seg[CS]),
    SEGMENT(seg[SS]),
    SEGMENT(seg[DS]),
    SEGMENT(seg[FS]),
    SEGMENT(seg[GS]),
    SEGMENT(ldtr),
    SEGMENT(tr),
    FIELD(S, gdtr.base),
    FIELD(S, gdtr.limit),
    FIELD(S, idtr.base),
    FIELD(S, idtr.limit),
    FIELD_MAX(S, cr0, CR0_KNOWN),
    FIELD(S, cr2),
    FIELD(S, cr3),
    FIELD_MAX(S, cr4, CR4_KNOWN),
    FIELD_ARRAY(S, dr),
    FIELD_MAX(S, xcr0, XCR0_KNOWN),
    FIELD_MAX(S, efer, EFER_KNOWN),
    FIELD(S, star),
    FIELD(S, lstar),
    FIELD(S, cstar),
    FIELD(S, sfmask),
    FIELD(S, kernel_gs_base),
    FIELD(S, sysenter_cs),
    FIELD(S, sysenter_esp),
    FIELD(S, sysenter_eip),
    FIELD(S, pat),
    FIELD(S, tsc_aux),
    FIELD(S, tsc_adjust),
    FIELD(S, misc_enable),
    FIELD(S, spec_ctrl),
    FIELD(S, debugctl),
    FIELD(S, tsc_offset),
    FIELD(S, mtrr_def_type),
    FIELD_ARRAY(S, mtrr_fixed),
    FIELD_ARRAY(S, mtrr_base),
    FIELD_ARRAY(S, mtrr_mask),
    FIELD(S, mcg_status),
    FIELD_ARRAY(S, perf_sel),
    FIELD_ARRAY(S, perf_ctr),
    FIELD_MAX(S, halted, 1),
    FIELD_MAX(S, wait_sipi, 1),
    FIELD_MAX(S, nmi_blocked, 1),
    FIELD_MAX(S, int_shadow, 1),
    FIELD(S, x.fcw),
    FIELD(S, x.fsw),
    FIELD(S, x.ftw),
    FIELD(S, x.fop),
    FIELD(S, x.fip),
    FIELD(S, x.fdp),
    FIELD_MAX(S, x.mxcsr, MXCSR_ALLOWED),
    FIELD(S, x.mxcsr_mask),
    FIELD_BYTES(S, x.st),
    FIELD_BYTES(S, x.xmm),
    FIELD_MAX(S, x.xstate_bv, XCR0_KNOWN),
    FIELD_BYTES(S, x.ymmh),
};
#undef S

static const char *wrong(const struct cpu_state *s)
{
    bool paging = s->cr0 & CR0_PG, lma = s->efer & EFER_LMA;

    if (!(s->rflags & FLAG_1) || s->rflags & ~(u64)RFLAGS_KNOWN)
        return "flags";
    if (s->cr0 & ~(u64)CR0_KNOWN || !(s->cr0 & CR0_ET) || (paging && !(s->cr0 & CR0_PE)) ||
        (s->cr0 & CR0_NW && !(s->cr0 & CR0_CD)))
        return "CR0";
    if (s->cr4 & ~(u64)CR4_KNOWN || (lma && !(s->cr4 & CR4_PAE)) || (s->cr4 & CR4_PCIDE && !lma))
        return "CR4";
    if (s->efer & ~(u64)EFER_KNOWN || lma != (paging && s->efer & EFER_LME))
        return "EFER";
    if (!(s->xcr0 & 1) || (s->xcr0 & 6) == 4)
        return "XCR0";
    for (unsigned i = 0; i < 8; i++)
        if (i >= 6 && s->dr[i] >> 32)
            return "debug registers";
    for (unsigned i = 0; i < SEG_COUNT; i++)
        if (s->seg[i].attr & ~SEG_ATTR)
            return "segments";
    if ((s->rflags & FLAG_VM || !(s->cr0 & CR0_PE)) && s->seg[CS].attr & SEG_L)
        return "code segment";
    return NULL;
}

static int cpu_loaded(void *obj, struct err *e)
{
    struct cpu_state *s = obj;
    const char *what = wrong(s);

    if (what)
        return err_set(e, EINVAL, "cpu: its %s are in no state that a processor can have", what);
    s->x.xcomp_bv = 0;
    return 0;
}

const struct state_desc cpu_state_desc = {
    .name = "cpu",
    .version = 1,
    .fields = cpu_fields,
    .nfields = ARRAY_SIZE(cpu_fields),
    .loaded = cpu_loaded,
};
