/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one table of hypercalls, and the way in.  Arguments come in RDI, RSI, RDX, R10, R8, the
 * number in EAX, the result goes to RAX (xen.h).  64-bit callers in kernel mode only: a 32-bit
 * guest's structures have other layouts, and no kernel that speaks PVH or PV here is 32 bits wide.
 *
 * A call that is not in the table is -ENOSYS, one that only the control domain may make -EPERM.
 */
#include "pv/xen/pv.h"

#include "core/arch.h"

enum { MULTICALL_TURN = 64 }; /* entries before the vCPU looks at its events */

static s64 control_only(struct xen_call *k)
{
    return -XEN_EPERM;
}

static s64 unsupported(struct xen_call *k)
{
    return -XEN_EOPNOTSUPP;
}

/* There is nothing to switch: run states are written once (vcpu.c). */
static s64 vm_assist(struct xen_call *k)
{
    enum { VMASST_TYPE_runstate_update_flag = 5 };
    if (k->x->pv)
        return pv_vm_assist(k);
    return k->a[0] <= 1 && k->a[1] == VMASST_TYPE_runstate_update_flag ? 0 : -XEN_EINVAL;
}

static xen_call_fn multicall;

static const struct {
    const char *name;
    xen_call_fn *fn;
    bool pv; /* classic PV guests only */
} calls[HYPERCALLS] = {
    [HYPERVISOR_set_trap_table] = {"set_trap_table", pv_set_trap_table, true},
    [HYPERVISOR_mmu_update] = {"mmu_update", pv_mmu_update, true},
    [HYPERVISOR_set_gdt] = {"set_gdt", pv_set_gdt, true},
    [HYPERVISOR_stack_switch] = {"stack_switch", pv_stack_switch, true},
    [HYPERVISOR_set_callbacks] = {"set_callbacks", pv_set_callbacks, true},
    [HYPERVISOR_fpu_taskswitch] = {"fpu_taskswitch", pv_fpu_taskswitch, true},
    [HYPERVISOR_set_debugreg] = {"set_debugreg", pv_set_debugreg, true},
    [HYPERVISOR_get_debugreg] = {"get_debugreg", pv_get_debugreg, true},
    [HYPERVISOR_update_descriptor] = {"update_descriptor", pv_update_descriptor, true},
    [HYPERVISOR_update_va_mapping] = {"update_va_mapping", pv_update_va_mapping, true},
    [HYPERVISOR_set_timer_op] = {"set_timer_op", pv_set_timer_op, true},
    [HYPERVISOR_update_va_mapping_otherdomain] = {"update_va_mapping_otherdomain",
                                                  pv_update_va_mapping_otherdomain, true},
    [HYPERVISOR_iret] = {"iret", pv_iret, true},
    [HYPERVISOR_set_segment_base] = {"set_segment_base", pv_set_segment_base, true},
    [HYPERVISOR_mmuext_op] = {"mmuext_op", pv_mmuext_op, true},
    [HYPERVISOR_nmi_op] = {"nmi_op", pv_nmi_op, true},
    [HYPERVISOR_callback_op] = {"callback_op", pv_callback_op, true},
    [HYPERVISOR_physdev_op] = {"physdev_op", pv_physdev_op, true},
    [HYPERVISOR_platform_op] = {"platform_op", control_only},
    [HYPERVISOR_memory_op] = {"memory_op", xen_memory_op},
    [HYPERVISOR_multicall] = {"multicall", multicall},
    [HYPERVISOR_xen_version] = {"xen_version", xen_version_op},
    [HYPERVISOR_console_io] = {"console_io", xen_console_io},
    [HYPERVISOR_grant_table_op] = {"grant_table_op", xen_grant_table_op},
    [HYPERVISOR_vm_assist] = {"vm_assist", vm_assist},
    [HYPERVISOR_vcpu_op] = {"vcpu_op", xen_vcpu_op},
    [HYPERVISOR_sched_op] = {"sched_op", xen_sched_op},
    [HYPERVISOR_event_channel_op] = {"event_channel_op", xen_event_channel_op},
    [HYPERVISOR_hvm_op] = {"hvm_op", xen_hvm_op},
    [HYPERVISOR_sysctl] = {"sysctl", control_only},
    [HYPERVISOR_domctl] = {"domctl", control_only},
    [HYPERVISOR_kexec_op] = {"kexec_op", control_only},
    [HYPERVISOR_xenpmu_op] = {"xenpmu_op", unsupported},
};

s64 hypercall_dispatch(struct xen_call *k)
{
    bool known = k->nr < HYPERCALLS && (!calls[k->nr].pv || k->x->pv);
    const char *name = known ? calls[k->nr].name : NULL;
    s64 r = -XEN_ENOSYS;
    u64 a0 = k->a[0], a1 = k->a[1];

    if (name)
        r = calls[k->nr].fn(k);
    trace(k->x->trace, xen, "cpu%u: [%u] %s %llu %llx = %lld%s", k->v->id, k->nr, name ? name : "?",
          (unsigned long long)a0, (unsigned long long)a1, (long long)r,
          k->result == PV_AGAIN ? " (goes on)" : "");
    return r;
}

/* xen.h: multicall_entry is op, result, args[6].  The entries lie in guest memory and may change;
 * each is copied once. */
static s64 multicall(struct xen_call *k)
{
    struct xen_call one = *k;
    u64 e[8];
    unsigned n = 0;

    while ((u32)k->a[1]) {
        if (n++ == MULTICALL_TURN) {
            k->result = PV_AGAIN;
            return 0;
        }
        if (!guest_read(k, k->a[0], e, sizeof(e)))
            return -XEN_EFAULT;
        one.nr = e[0] < HYPERCALLS ? (unsigned)e[0] : HYPERCALLS;
        one.result = PV_DONE;
        for (unsigned i = 0; i < ARRAY_SIZE(one.a); i++)
            one.a[i] = e[2 + i];
        bool nested = one.nr == HYPERVISOR_multicall || one.nr == HYPERVISOR_iret;
        s64 r = nested ? -XEN_EINVAL : hypercall_dispatch(&one);
        if (one.result == PV_AGAIN) { /* the entry keeps how far it came */
            for (unsigned i = 0; i < ARRAY_SIZE(one.a); i++)
                e[2 + i] = one.a[i];
            if (!guest_write(k, k->a[0], e, sizeof(e)))
                return -XEN_EFAULT;
            k->result = PV_AGAIN;
            return 0;
        }
        if (!guest_write(k, k->a[0] + 8, &r, sizeof(r)))
            return -XEN_EFAULT;
        k->a[0] += sizeof(e);
        k->a[1] = (u32)k->a[1] - 1;
        if (one.result == PV_HALT)
            k->result = PV_HALT;
    }
    return 0;
}

enum pv_result xen_hypercall(void *opaque, struct pv_call *p)
{
    struct xen *x = opaque;
    struct xen_call k = {.x = x, .p = p, .v = &x->vcpu[p->vcpu->index], .result = PV_DONE};
    static const u8 arg[5] = {RDI, RSI, RDX, R10, R8};

    k.nr = (u32)p->gpr[RAX];
    k.v->tsc_offset = p->tsc_offset;
    if (p->cpl || !p->long_mode) {
        s64 r = p->cpl ? -XEN_EPERM : -XEN_ENOSYS;
        p->gpr[RAX] = p->long_mode ? (u64)r : (u32)r;
        return PV_DONE;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(arg); i++)
        k.a[i] = p->gpr[arg[i]];
    s64 r = hypercall_dispatch(&k);
    if (k.result == PV_AGAIN) {
        for (unsigned i = 0; i < ARRAY_SIZE(arg); i++)
            p->gpr[arg[i]] = k.a[i];
    } else {
        p->gpr[RAX] = (u64)r;
    }
    return k.result;
}
