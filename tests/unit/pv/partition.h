/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine with the Hyper-V interface and without code: its memory lies at 0, its processors never
 * run, the test moves the clock and touches MSRs and makes hypercalls in their name.
 */
#ifndef WIRT_TESTS_PV_PARTITION_H
#define WIRT_TESTS_PV_PARTITION_H

#include "core/vm.h"
#include "dev/lapic.h"
#include "pv/hyperv/internal.h"

#include <string.h>

#define PARTITION_RAM (1 * MIB)

struct partition {
    struct vm vm;
    struct lapic_bus lapics;
    struct region ram;
    struct hyperv *hv;
    enum pv_result result; /* of the last call */
};

static inline bool partition_rdmsr(struct partition *p, unsigned cpu, u32 msr, u64 *val)
{
    return p->vm.pv.ops->rdmsr(p->vm.pv.opaque, &p->vm.vcpu[cpu], msr, val);
}

static inline bool partition_wrmsr(struct partition *p, unsigned cpu, u32 msr, u64 val)
{
    return p->vm.pv.ops->wrmsr(p->vm.pv.opaque, &p->vm.vcpu[cpu], msr, val);
}

/* By the kernel, in 64-bit code; gives RAX. */
static inline u64 partition_call(struct partition *p, unsigned cpu, u64 input, u64 a, u64 b)
{
    u64 gpr[16] = {[RAX] = BIT(31), [RCX] = input, [RDX] = a, [R8] = b};
    struct pv_call k = {.vcpu = &p->vm.vcpu[cpu], .gpr = gpr, .long_mode = true};

    p->result = p->vm.pv.ops->hypercall(p->vm.pv.opaque, &k);
    return gpr[RAX];
}

static inline void partition_open(struct partition *p, unsigned cpus, const struct pv *below)
{
    const struct cpu_config cpu = {.count = cpus, .model = "qemu64"};
    struct err e = {0};

    memset(p, 0, sizeof(*p));
    BUG_ON(vm_init(&p->vm, "partition", PARTITION_RAM, &e));
    clock_free(p->vm.clock);
    p->vm.clock = clock_new_manual();
    BUG_ON(vm_open_cpus(&p->vm, &engine_interp, &cpu, &e));
    p->ram = (struct region){
        .name = "RAM", .size = PARTITION_RAM, .hva = p->vm.mem.hva, .whva = p->vm.mem.hva};
    BUG_ON(bus_map(&p->vm.mmio, &p->ram, 0));
    lapic_bus_init(&p->lapics, p->vm.vcpu, cpus, p->vm.clock, NULL, &p->vm.trace);
    for (unsigned i = 0; i < cpus; i++)
        p->lapics.lapic[i].svr = 0x1ff;
    if (below)
        p->vm.pv = *below;
    BUG_ON(hyperv_open(&p->hv, &p->vm, &p->lapics, &e));
}

static inline void partition_close(struct partition *p)
{
    hyperv_close(p->hv);
    lapic_bus_destroy(&p->lapics);
    vm_destroy(&p->vm);
}

#endif
