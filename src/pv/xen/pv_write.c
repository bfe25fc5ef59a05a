/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel's store to one of its last-level page tables, which it sees read-only.
 *
 * The instruction runs once with a copy of the page in place of the page.  What it has changed in
 * the copy is checked and carried over entry by entry, as mmu_update would do it; if an entry is
 * refused, or another processor was faster, the registers are put back: the fault goes to the
 * guest, or the instruction runs again.
 */
#include "pv/xen/pv.h"

#include "cpu/hostalu.h"
#include "cpu/interp.h"
#include "cpu/mmu.h"
#include "cpu/ops.h"

#include <string.h>

HOST2_REG(and, "and", "")

/* The frame that lin is mapped to, if it is a page table in use; of level 1, as with Xen. */
static bool table_at(struct xen_pv *pv, struct cpu *c, u64 lin, u64 *mfn)
{
    u64 gpa;

    if (!mmu_debug_translate(c, lin, &gpa))
        return false;
    *mfn = gpa >> PAGE_SHIFT;
    const struct pv_page *p = pv_page(pv, *mfn);
    return p && p->uses && p->type == PT_L1;
}

/* 0, or the first error. */
static int carry_over(struct xen_pv *pv, u64 mfn, const u64 *before, const u64 *after)
{
    enum { SOME = 64 };

    for (unsigned k = 0; k < 512; k += SOME) {
        if (!memcmp(&before[k], &after[k], SOME * sizeof(u64)))
            continue;
        for (unsigned i = k; i < k + SOME; i++) {
            int r =
                before[i] == after[i] ? 0 : pv_entry_set(pv, mfn, i, after[i], false, &before[i]);
            if (r)
                return r;
        }
    }
    return 0;
}

/* The second operand. */
static bool source(const struct cpu *c, const struct insn *i, u64 *val)
{
    const struct operand *from = &i->opnd[1];

    if (from->kind == OPND_GPR)
        *val = gpr_read(c, from->reg, from->size);
    else if (from->kind == OPND_IMM)
        *val = i->imm;
    else
        return false;
    return true;
}

/* MOV or XCHG of 8 aligned bytes at lin, or AND of some of them, with LOCK or without. */
static bool is_store(struct cpu *c, const struct insn *i, u64 lin)
{
    unsigned size = i->opnd[0].size, off = lin & 7;

    if (!insn_is_mem(i, 0) || i->seg >= FS || insn_ea(c, i) != lin)
        return false;
    if (i->op == OP_and)
        return off + size <= 8;
    return (i->op == OP_mov || i->op == OP_xchg) && size == 8 && !off;
}

/* What it makes of the entry, the bytes from `off` on; *ax: flags, if it changes them. */
static u64 stored(const struct insn *i, unsigned off, u64 old, u64 val, u32 *ax)
{
    unsigned size = i->opnd[0].size;
    u64 mask = (size == 8 ? UINT64_MAX : BIT64(8 * size) - 1) << 8 * off;

    if (i->op != OP_and)
        return val;
    return (old & ~mask) | (host_and(old >> 8 * off, val, size, ax) << 8 * off & mask);
}

bool pv_table_store(struct pv_vcpu *v, struct cpu *c, u64 lin)
{
    struct xen_pv *pv = v->xv->x->pv;
    const struct mem *m = &c->vm->mem;
    u64 start = lin & ~7ull, val, old;
    const u8 *at = tlb_lookup(&c->tlbs[MMU_KERNEL], start, 8, TLB_READ);
    struct insn i;
    int r = -XEN_EAGAIN;
    u32 ax = 0;

    if (!at || !mem_owns(m, at) || c->code != CODE64 || cpu_must_step(c) || !pv_fetch(c, &i))
        return false;
    c->next_rip = c->s.rip + i.len;
    if (!is_store(c, &i, lin) || !source(c, &i, &val))
        return false;
    u64 mfn = (u64)(at - m->hva) >> PAGE_SHIFT;
    pv_lock(pv);
    const struct pv_page *p = pv_page(pv, mfn);
    if (p && p->uses && p->type == PT_L1) {
        do { /* processors set A and D meanwhile */
            old = __atomic_load_n((const u64 *)at, __ATOMIC_SEQ_CST);
            u64 now = stored(&i, lin & 7, old, val, &ax);
            r = pv_entry_set(pv, mfn, (unsigned)(lin & PAGE_MASK) / 8, now, false, &old);
        } while (r == -XEN_EAGAIN);
    }
    pv_unlock(pv);
    if (r)
        return false;
    if (i.op == OP_xchg)
        c->s.gpr[i.opnd[1].reg] = old;
    if (i.op == OP_and)
        flags_from_ax(c, ax);
    c->s.rip = c->next_rip;
    return true;
}

bool pv_table_write(struct pv_vcpu *v, struct cpu *c)
{
    struct xen_pv *pv = v->xv->x->pv;
    u64 lin = c->s.cr2, gpr[16], rip = c->s.rip, rflags = c->s.rflags, mfn;
    u64 before[512];
    struct insn i;
    bool done = true;

    if (cpu_must_step(c) && !(c->s.rflags & FLAG_RF))
        return false;
    pv_lock(pv);
    if (!pv_fetch(c, &i) || !table_at(pv, c, lin, &mfn)) {
        pv_unlock(pv);
        return false;
    }
    memcpy(before, pv_frame(pv, mfn), sizeof(before));
    memcpy(v->copy, before, sizeof(before));
    memcpy(gpr, c->s.gpr, sizeof(gpr));
    v->diverted = true;
    ring3_divert(c, align_down(lin, PAGE_SIZE), (u8 *)v->copy);
    interp_exec(c, &i);
    if (v->diverted) { /* it went through */
        v->diverted = false;
        ring3_divert(c, 0, NULL);
        int r = carry_over(pv, mfn, before, v->copy);
        if (r) {
            memcpy(c->s.gpr, gpr, sizeof(gpr));
            c->s.rip = rip;
            c->s.rflags = rflags;
            done = r == -XEN_EAGAIN; /* again */
        }
    }
    pv_unlock(pv);
    return done;
}
