/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine `interp`: the interpreter behind the engine seam.  It is the reference; `soft` is the
 * fast one.
 */
#include "core/engine.h"
#include "cpu/interp.h"
#include "cpu/mmu.h"

#include <errno.h>
#include <stdlib.h>

struct engine {
    struct vm *vm;
    u64 insns[VM_CPUS_MAX]; /* of processors already closed */
};

struct engine_vcpu {
    struct cpu cpu;
};

static struct engine *interp_open(struct vm *vm, struct err *e)
{
    struct engine *en = calloc(1, sizeof(*en));

    if (!en) {
        err_set(e, ENOMEM, "engine interp: no memory");
        return NULL;
    }
    en->vm = vm;
    return en;
}

static void interp_close(struct engine *en)
{
    free(en);
}

static int interp_vcpu_open(struct engine *en, struct vcpu *v, struct err *e)
{
    struct engine_vcpu *ev = aligned_alloc(64, align_up(sizeof(*ev), 64));

    if (!ev)
        return err_set(e, ENOMEM, "vCPU %u: no memory", v->index);
    int rc = cpu_open(&ev->cpu, v, e);
    if (rc) {
        free(ev);
        return rc;
    }
    v->e = ev;
    return 0;
}

static void interp_vcpu_close(struct vcpu *v)
{
    if (!v->e)
        return;
    v->vm->e->insns[v->index] = v->e->cpu.insn_count;
    cpu_close(&v->e->cpu);
    free(v->e);
    v->e = NULL;
}

static enum run_exit engine_run(struct vcpu *v)
{
    return interp_run(&v->e->cpu);
}

/* vcpu.events is looked at after each block: nothing to do. */
static void interp_kick(struct vcpu *v)
{
}

static void interp_get_state(struct vcpu *v, struct cpu_state *s)
{
    *s = v->e->cpu.s;
}

static void interp_set_state(struct vcpu *v, const struct cpu_state *s)
{
    struct cpu *c = &v->e->cpu;

    c->s = *s;
    c->triple_fault = false;
    c->dr6_pending = 0;
    mmu_flush_all(c);
    cpu_derive(c);
}

static bool interp_translate(struct vcpu *v, u64 lin, u64 *gpa)
{
    return mmu_debug_translate(&v->e->cpu, lin, gpa);
}

static void interp_print_stats(struct engine *en, FILE *f)
{
    for (unsigned i = 0; i < en->vm->ncpus; i++) {
        const struct vcpu *v = &en->vm->vcpu[i];
        u64 n = v->e ? v->e->cpu.insn_count : en->insns[i];
        fprintf(f, "vCPU %u: %llu instructions interpreted\n", i, (unsigned long long)n);
    }
}

const struct engine_ops engine_interp = {
    .name = "interp",
    .open = interp_open,
    .close = interp_close,
    .vcpu_open = interp_vcpu_open,
    .vcpu_close = interp_vcpu_close,
    .run = engine_run,
    .kick = interp_kick,
    .get_state = interp_get_state,
    .set_state = interp_set_state,
    .translate = interp_translate,
    .print_stats = interp_print_stats,
};
