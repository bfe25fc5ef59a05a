/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software processor's frame: opening and closing, what is derived from the architectural
 * state, and the way out of an instruction by an exception.
 *
 * CPL is SS.DPL, as in VMX and SVM: it is right also between setting CR0.PE and the far jump that
 * follows, when CS still holds a real-mode selector whose low bits mean nothing.
 */
#include "cpu/cpu.h"

#include "cpu/hostrun.h"
#include "cpu/interp.h"
#include "cpu/mmu.h"
#include "cpu/ring3.h"
#include "cpu/segment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void cpu_mmu_idx(struct cpu *c)
{
    bool align = c->user && (c->s.rflags & FLAG_AC) && (c->s.cr0 & CR0_AM);
    bool watch = false;

    if (unlikely(c->s.dr[7] & 0xff)) {
        for (unsigned i = 0; i < 4; i++)
            watch |= (c->s.dr[7] >> (2 * i) & 3) && (c->s.dr[7] >> (16 + 4 * i) & 1);
    }
    if (c->user)
        c->mmu_idx = MMU_USER;
    else if ((c->s.cr4 & CR4_SMAP) && (c->s.rflags & FLAG_AC))
        c->mmu_idx = MMU_KERNEL_AC;
    else
        c->mmu_idx = MMU_KERNEL;
    c->tlb = &c->tlbs[align || watch ? MMU_SLOW : c->mmu_idx];
}

void cpu_derive(struct cpu *c)
{
    const struct cpu_state *s = &c->s;

    c->real = !(s->cr0 & CR0_PE);
    c->vm86 = !c->real && (s->rflags & FLAG_VM);
    c->long_mode = s->efer & EFER_LMA;
    c->cpl = c->real ? 0 : c->vm86 ? 3 : (s->seg[SS].attr & SEG_DPL) >> 5;
    c->user = c->cpl == 3 && !s->ring3_kernel;
    c->walk_side = c->user && cpu_ring3(c) ? BIT64(63) : 0;
    if (c->long_mode && (s->seg[CS].attr & SEG_L))
        c->code = CODE64;
    else if (c->vm86 || !(s->seg[CS].attr & SEG_DB))
        c->code = CODE16;
    else
        c->code = CODE32;
    c->stack_size = c->code == CODE64 ? 8 : !c->vm86 && (s->seg[SS].attr & SEG_DB) ? 4 : 2;
    for (unsigned i = 0; i < SEG_COUNT && c->code != CODE64; i++)
        seg_derive(c, i);
    cpu_mmu_idx(c);
    c->leave = true;
}

int cpu_open(struct cpu *c, struct vcpu *v, struct err *e)
{
    int rc;

    memset(c, 0, sizeof(*c));
    c->vcpu = v;
    c->vm = v->vm;
    struct cpuid_model *m = calloc(1, sizeof(*m));
    c->model = m;
    if (!m)
        return err_set(e, ENOMEM, "vCPU %u: no memory", v->index);
    rc = cpuid_model_find(m, v->vm->cpu.model ? v->vm->cpu.model : "max", e);
    if (rc)
        goto fail;
    if (v->vm->cpu.ring3)
        cpuid_model_ring3(m);
    if (v->vm->engine && v->vm->engine->cut_model)
        v->vm->engine->cut_model(v->vm->e, m);
    if (v->vm->cpu.features)
        cpuid_model_limit(m, v->vm->cpu.features, v->vm->cpu.features_len);
    c->icache = icache_new();
    if (!c->icache) {
        rc = err_set(e, ENOMEM, "vCPU %u: no memory for decoded code", v->index);
        goto fail;
    }
    rc = hostrun_open(c, e);
    if (rc)
        goto fail;
    cpu_state_reset(&c->s, v->index == 0);
    mmu_init(c);
    cpu_derive(c);
    return 0;
fail:
    cpu_close(c);
    return rc;
}

void cpu_close(struct cpu *c)
{
    hostrun_close(c);
    icache_free(c->icache);
    free((void *)c->model);
    free(c->pcids);
    c->pcids = NULL;
    c->icache = NULL;
    c->model = NULL;
}

void cpu_raise(struct cpu *c, unsigned vector, u32 error)
{
    trace(&c->vm->trace, exc, "cpu%u: exception %u error %x at %04x:%llx cr2 %llx", c->vcpu->index,
          vector, error == NO_ERROR_CODE ? 0 : error, c->s.seg[CS].sel,
          (unsigned long long)c->s.rip, (unsigned long long)c->s.cr2);
    /* Another processor may have changed the page tables since mmu_probe_write(). */
    if (unlikely(c->split_locked))
        mmu_split_unlock(c);
    c->exc.vector = vector;
    c->exc.error = error;
    __builtin_longjmp(c->unwind, 1);
}
