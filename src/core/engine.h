/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine seam: how a machine's processors execute.  `soft` (src/translate), `interp` (src/cpu)
 * and `kvm` (src/kvm) stand behind it.
 */
#ifndef WIRT_CORE_ENGINE_H
#define WIRT_CORE_ENGINE_H

#include "base/err.h"
#include "base/types.h"
#include "core/arch.h"

#include <stdio.h>

struct vm;
struct vcpu;
struct engine;
struct engine_vcpu;
struct cpuid_model;

/* Why run() came back. */
enum run_exit {
    RUN_EVENT,   /* one of VCPU_LEAVE is raised */
    RUN_TRIPLE,  /* triple fault: the board resets the machine */
    RUN_DEBUG,   /* a debugger's point or step; vcpu.debug says which */
    RUN_DIFFERS, /* --check: the two engines disagree; told on stderr */
    RUN_ERROR,   /* host error, told on stderr */
};

struct engine_ops {
    const char *name;
    bool debug_registers; /* a debugger's points are the processor's own: debug_registers() <= 4 */
    bool doorbells;       /* it rings struct doorbell of regions (core/bus.h) */
    struct engine *(*open)(struct vm *vm, struct err *e); /* NULL on error */
    void (*close)(struct engine *en);
    /* Takes from a CPU model (cpu/cpuid.h) the features that the engine does not offer on this
     * host; NULL = it offers all. */
    void (*cut_model)(struct engine *en, struct cpuid_model *m);
    /* Once a vCPU, on the main thread, before its thread starts.  -errno. */
    int (*vcpu_open)(struct engine *en, struct vcpu *v, struct err *e);
    void (*vcpu_close)(struct vcpu *v);
    /* On the vCPU's own thread: runs, and sleeps in HLT, until there is a reason to come back. */
    enum run_exit (*run)(struct vcpu *v);
    /* From any thread: run() looks at vcpu.events soon. */
    void (*kick)(struct vcpu *v);
    /* While the vCPU is parked. */
    void (*get_state)(struct vcpu *v, struct cpu_state *s);
    void (*set_state)(struct vcpu *v, const struct cpu_state *s);
    /* Linear to physical (before the A20 gate) by the vCPU's page tables, for debuggers: no side
     * effects; false = not mapped. */
    bool (*translate)(struct vcpu *v, u64 lin, u64 *gpa);
    /* The engine's own interface, if it has one (KVM's, --pv kvm): what its guest has besides
     * struct cpu_state, a table for each vCPU, good while that is parked.  pv() NULL: this guest
     * has none. */
    const struct state_desc *pv_state;
    void *(*pv)(struct vcpu *v);
    /* All vCPUs are parked: what the engine kept of devices (KVM's local APICs) goes back to them.
     * On the loop's thread, after the clock has stopped if it stops at all; may be NULL. */
    void (*park)(struct engine *en);
    /* The physical map changed in [base, base+size).  From any thread; may be NULL. */
    void (*map)(struct engine *en, u64 base, u64 size);
    /* Clears PAGE_WATCH of the pages in [ram_off, ram_off+len) that the guest wrote since the last
     * call, and has later writes logged.  From any thread.  NULL: vCPUs obey PAGE_WATCH themselves
     * when VCPU_CODE is raised. */
    void (*dirty_log)(struct engine *en, u64 ram_off, u64 len);
    /* --stats, after all vCPUs stopped; may be NULL. */
    void (*print_stats)(struct engine *en, FILE *f);
};

extern const struct engine_ops engine_interp; /* src/cpu/engine_interp.c */
extern const struct engine_ops engine_soft;   /* src/translate/engine_soft.c */
extern const struct engine_ops engine_kvm;    /* src/kvm/engine_kvm.c */

#endif
