/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segmentation: from segment and offset to a linear address, with every check of the mode, and
 * loading of segment registers.  SDM volume 3, chapters 3 and 5.
 */
#ifndef WIRT_CPU_SEGMENT_H
#define WIRT_CPU_SEGMENT_H

#include "cpu/cpu.h"
#include "cpu/mmu.h"

enum seg_access { SEG_READ, SEG_WRITE, SEG_EXEC };

/* The linear address of size bytes at seg:off; raises #GP or #SS (limit, type, null, canonical). */
u64 seg_linear_slow(struct cpu *c, enum seg_reg seg, u64 off, unsigned size, enum seg_access a);

static inline u64 seg_linear(struct cpu *c, enum seg_reg seg, u64 off, unsigned size,
                             enum seg_access a)
{
    if (likely(c->code == CODE64)) {
        u64 lin = off + (seg >= FS ? c->s.seg[seg].base : 0);
        /* canonical: bits 63-47 equal, for the first and the last byte */
        if (likely(canonical(lin) && canonical(lin + size - 1)))
            return lin;
    } else if (likely(c->seg_ok[seg] >> a & 1 && off + size - 1 <= c->s.seg[seg].limit)) {
        return (u32)(c->s.seg[seg].base + off);
    }
    return seg_linear_slow(c, seg, off, size, a);
}

/* The offset of insn's memory operand, cut to the address size.  next_rip is already set. */
static inline u64 insn_ea(const struct cpu *c, const struct insn *i)
{
    u64 ea = (u64)i->disp;
    if (i->base == MEM_RIP)
        ea += c->next_rip;
    else if (i->base != MEM_NONE)
        ea += c->s.gpr[i->base];
    if (i->index != MEM_NONE)
        ea += c->s.gpr[i->index] << i->scale;
    return i->addrsize == 8 ? ea : i->addrsize == 4 ? (u32)ea : (u16)ea;
}

/* MOV Sreg, POP Sreg, LDS...: checks, loads from the GDT or LDT, sets the accessed bit, raises.
 * Not for CS. */
void seg_load(struct cpu *c, enum seg_reg seg, u16 sel);
/* Real and virtual-8086 mode form: base = sel << 4. */
void seg_load_real(struct cpu *c, enum seg_reg seg, u16 sel);

/* After s.seg[seg] was changed: what is derived from it alone (seg_ok). */
void seg_derive(struct cpu *c, enum seg_reg seg);

/* ---- descriptors ---- */

/* Reads the 8 bytes of the descriptor that sel names; raises vector(sel) beyond the table's limit
 * (or null LDT).  *lin gets its linear address. */
u64 desc_read(struct cpu *c, u16 sel, unsigned vector, u64 *lin);
/* The same without raising: false when it is beyond the limit.  Page faults still raise. */
bool desc_try(struct cpu *c, u16 sel, u64 *desc, u64 *lin);
void desc_set_accessed(struct cpu *c, u64 lin, u64 desc);
/* Splits a descriptor (low 8 bytes) into a segment register. */
struct segment desc_segment(u64 desc, u16 sel);

static inline unsigned desc_dpl(u64 desc)
{
    return desc >> 45 & 3;
}

/* ---- the stack ---- */

/* Pushes and pops of size 2, 4 or 8 with the current stack width; RSP changes only when the access
 * has not faulted. */
void stack_push(struct cpu *c, unsigned size, u64 v);
u64 stack_pop(struct cpu *c, unsigned size);
/* The value at offset bytes above the top, without popping. */
u64 stack_peek(struct cpu *c, unsigned size, unsigned offset);
/* Adds to (r)(e)sp in the stack's width. */
void stack_add(struct cpu *c, s64 n);

#endif
