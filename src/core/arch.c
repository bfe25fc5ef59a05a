/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A processor's state after RESET and INIT: SDM volume 3, tables 10-1 and 10-2.
 */
#include "core/arch.h"

#include <string.h>

enum { DR7_RESET = 0x400, MXCSR_RESET = 0x1f80, MXCSR_MASK = 0xffff };
#define DR6_RESET 0xffff0ff0u
#define PAT_RESET 0x0007040600070406ull

static void set_segment(struct segment *s, u16 sel, u64 base, u16 attr)
{
    *s = (struct segment){.sel = sel, .base = base, .limit = 0xffff, .attr = attr};
}

/* What RESET and INIT have in common. */
static void start_over(struct cpu_state *s, bool bsp)
{
    memset(s->gpr, 0, sizeof(s->gpr));
    s->gpr[RDX] = 0x600; /* family 6; the exact signature is CPUID's */
    s->rip = 0xfff0;
    s->rflags = FLAG_1;
    for (unsigned i = 0; i < SEG_COUNT; i++)
        set_segment(&s->seg[i], 0, 0, SEG_P | SEG_S | 3);
    set_segment(&s->seg[CS], 0xf000, 0xffff0000u, SEG_P | SEG_S | 11);
    set_segment(&s->ldtr, 0, 0, SEG_P | 2);
    set_segment(&s->tr, 0, 0, SEG_P | 11);
    s->gdtr = s->idtr = (struct desc_table){.base = 0, .limit = 0xffff};
    s->cr2 = s->cr3 = s->cr4 = 0;
    memset(s->dr, 0, sizeof(s->dr));
    s->dr[6] = DR6_RESET;
    s->dr[7] = DR7_RESET;
    s->efer = 0;
    s->debugctl = 0;
    s->halted = false;
    s->wait_sipi = !bsp;
    s->nmi_blocked = false;
    s->int_shadow = false;
}

void cpu_state_reset(struct cpu_state *s, bool bsp)
{
    memset(s, 0, sizeof(*s));
    start_over(s, bsp);
    s->cr0 = CR0_ET | CR0_NW | CR0_CD;
    s->xcr0 = 1;
    s->pat = PAT_RESET;
    s->misc_enable = 1; /* fast strings */
    s->x.fcw = 0x40;
    s->x.ftw = 0xff; /* all registers hold +0.0 */
    s->x.mxcsr = MXCSR_RESET;
    s->x.mxcsr_mask = MXCSR_MASK;
    s->x.xstate_bv = 3;
}

void cpu_state_init(struct cpu_state *s, bool bsp)
{
    u64 cache_bits = s->cr0 & (CR0_CD | CR0_NW);

    start_over(s, bsp);
    s->cr0 = CR0_ET | cache_bits;
}
