/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM's paravirtual interface (--pv kvm), which the kernel provides by itself: clock, end of
 * interrupt without an exit, steal time, page faults of the host that the guest can wait for doing
 * something else.  Linux: Documentation/virt/kvm/x86/cpuid.rst and msr.rst.
 *
 * Here is what the guest is told of it, and its state: registers that hold addresses of shared
 * structures, and the clock, which stands while the machine does.
 */
#include "kvm/kvm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

enum {
    F_CLOCKSOURCE = 0,
    F_NOP_IO_DELAY = 1,
    F_CLOCKSOURCE2 = 3,
    F_ASYNC_PF = 4,
    F_STEAL_TIME = 5,
    F_PV_EOI = 6,
    F_ASYNC_PF_INT = 14,
    F_CLOCKSOURCE_STABLE = 24,
};

/* Those whose work is an interrupt or the end of one want the kernel's local APIC. */
#define ALWAYS                                                                                     \
    (BIT(F_CLOCKSOURCE) | BIT(F_NOP_IO_DELAY) | BIT(F_CLOCKSOURCE2) | BIT(F_STEAL_TIME) |          \
     BIT(F_CLOCKSOURCE_STABLE))
#define WITH_APIC (BIT(F_ASYNC_PF) | BIT(F_PV_EOI) | BIT(F_ASYNC_PF_INT))

/* The registers, in the order in which they are set. */
static const struct {
    u32 msr;
    u8 feature;
    u32 offset;
} saved[] = {
    {0x4b564d01, F_CLOCKSOURCE2, offsetof(struct kvm_pv, system_time)},
    {0x4b564d03, F_STEAL_TIME, offsetof(struct kvm_pv, steal_time)},
    {0x4b564d04, F_PV_EOI, offsetof(struct kvm_pv, pv_eoi)},
    {0x4b564d06, F_ASYNC_PF_INT, offsetof(struct kvm_pv, async_pf_int)},
    {0x4b564d02, F_ASYNC_PF, offsetof(struct kvm_pv, async_pf)},
};

static const struct field pv_fields[] = {
    FIELD_MAX(struct kvm_pv, clock, INT64_MAX),
    FIELD(struct kvm_pv, system_time),
    FIELD(struct kvm_pv, steal_time),
    FIELD(struct kvm_pv, pv_eoi),
    FIELD_MAX(struct kvm_pv, async_pf_int, 0xff),
    FIELD(struct kvm_pv, async_pf),
};
const struct state_desc kvm_pv_state = STATE_DESC("kvm", 1, pv_fields);

int kvm_pv_open(struct engine *en, struct err *e)
{
    en->pv = 0;
    if (!en->vm->cpu.kvm_pv)
        return 0;
    for (unsigned i = 0; i < en->offered->nent; i++)
        if (en->offered->entries[i].function == 0x40000001)
            en->pv = en->offered->entries[i].eax & (ALWAYS | (en->split ? WITH_APIC : 0));
    if (!(en->pv & BIT(F_CLOCKSOURCE2)) ||
        ioctl(en->kvm, KVM_CHECK_EXTENSION, KVM_CAP_ADJUST_CLOCK) <= 0)
        return err_set(e, ENOTSUP, "--pv kvm: the kernel does not offer its clock to guests");
    return 0;
}

unsigned kvm_pv_leaves(const struct engine *en, struct kvm_cpuid_entry2 *to)
{
    if (!en->pv)
        return 0;
    to[0] = (struct kvm_cpuid_entry2){.function = 0x40000000, .eax = 0x40000001};
    memcpy(&to[0].ebx, "KVMK", 4);
    memcpy(&to[0].ecx, "VMKV", 4);
    memcpy(&to[0].edx, "M\0\0\0", 4);
    to[1] = (struct kvm_cpuid_entry2){.function = 0x40000001, .eax = en->pv};
    return 2;
}

/* One that belongs to no feature of the guest's does not count. */
static int move(struct engine_vcpu *k, unsigned n, unsigned long how)
{
    u64 *at = (u64 *)((u8 *)&k->pv + saved[n].offset);
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } m = {.head.nmsrs = 1, .entry = {.index = saved[n].msr, .data = *at}};

    if (!(k->en->pv & BIT(saved[n].feature)))
        return 0;
    if (ioctl(k->fd, how, &m) != 1) {
        fprintf(stderr, "wirt: vCPU %u: KVM refuses MSR %#x = %#llx\n", k->c.vcpu->index,
                saved[n].msr, (unsigned long long)*at);
        return -EINVAL;
    }
    *at = m.entry.data;
    return 0;
}

int kvm_pv_give(struct engine *en)
{
    struct kvm_clock_data clock = {0};
    int r = 0;

    if (!en->pv)
        return 0;
    clock.clock = en->vm->vcpu[0].e->pv.clock;
    if (ioctl(en->fd, KVM_SET_CLOCK, &clock)) {
        fprintf(stderr, "wirt: KVM_SET_CLOCK: %s\n", strerror(errno));
        return -EINVAL;
    }
    for (unsigned i = 0; i < en->vm->ncpus && !r; i++) {
        struct engine_vcpu *k = en->vm->vcpu[i].e;
        for (unsigned n = 0; n < ARRAY_SIZE(saved) && !r && k->pv_new; n++)
            r = move(k, n, KVM_SET_MSRS);
        k->pv_new = false;
        ioctl(k->fd, KVM_KVMCLOCK_CTRL, 0); /* it stood: no soft lockup.  No clock yet: an error */
    }
    return r;
}

void kvm_pv_take(struct engine *en)
{
    struct kvm_clock_data clock = {0};
    int r = 0;

    if (!en->pv)
        return;
    if (ioctl(en->fd, KVM_GET_CLOCK, &clock))
        fprintf(stderr, "wirt: KVM_GET_CLOCK: %s\n", strerror(errno));
    for (unsigned i = 0; i < en->vm->ncpus && !r; i++) {
        struct engine_vcpu *k = en->vm->vcpu[i].e;
        k->pv.clock = clock.clock;
        for (unsigned n = 0; n < ARRAY_SIZE(saved) && !r; n++)
            r = move(k, n, KVM_GET_MSRS);
    }
}

void kvm_pv_reset(struct engine_vcpu *k)
{
    u64 clock = k->pv.clock;

    k->pv = (struct kvm_pv){.clock = clock};
    k->pv_new = true;
}
