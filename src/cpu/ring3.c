/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the interface of a guest with its kernel in ring 3 asks of the processor.
 */
#include "cpu/ring3.h"

#include "cpu/segment.h"

void ring3_switch(struct cpu *c, bool kernel, u64 cr3)
{
    c->s.ring3_kernel = kernel;
    c->s.cr3 = cr3;
    cpu_derive(c);
}

/* A segment for ring 3: code or writable data, present. */
static bool load(struct cpu *c, u16 sel, bool code, struct segment *s)
{
    u64 d, lin;

    if (!(sel & ~3u) || (sel & 3) != 3 || !desc_try(c, sel, &d, &lin))
        return false;
    unsigned type = d >> 40 & 0x1f, dpl = desc_dpl(d);
    if (!(d >> 47 & 1) || (code ? (type & 0x18) != 0x18 : (type & 0x1a) != 0x12))
        return false;
    if (dpl != 3 && !(code && type & 4)) /* conforming code may be of an inner ring */
        return false;
    if (code && (d >> 53 & 3) == 3)
        return false;
    *s = desc_segment(d, sel);
    return true;
}

bool ring3_load_cs_ss(struct cpu *c, u16 cs, u16 ss)
{
    struct segment code, stack;

    if (!load(c, cs, true, &code) || !load(c, ss, false, &stack))
        return false;
    c->s.seg[CS] = code;
    c->s.seg[SS] = stack;
    cpu_derive(c);
    return true;
}

void ring3_divert(struct cpu *c, u64 page, u8 *copy)
{
    c->divert = copy;
    c->divert_page = page;
    if (copy)
        c->tlb = &c->tlbs[MMU_SLOW];
    else
        cpu_mmu_idx(c);
}
