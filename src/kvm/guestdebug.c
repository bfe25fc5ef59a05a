/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A debugger's points (core/debug.h) in the processor's own debug registers, and its steps.  While
 * there are any the guest's DR0-DR7 have no effect.  Linux: Documentation/virt/kvm/api.rst,
 * KVM_SET_GUEST_DEBUG.
 */
#include "cpu/stops.h"
#include "kvm/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

enum { DR6_BS = 1 << 14 };

int kvm_debug_set(struct engine_vcpu *k)
{
    struct kvm_guest_debug d = {0};
    const struct cpu *c = &k->c;
    u64 dr[4] = {0}, dr7;

    if (c->debug & (CPU_STOPS | CPU_WATCHES)) {
        debug_make_registers(&c->vm->debug, dr, &dr7);
        d.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
        memcpy(d.arch.debugreg, dr, sizeof(dr));
        d.arch.debugreg[7] = dr7;
    }
    if (c->debug & CPU_STEP) {
        d.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
        if (k->en->block_irq && !c->vcpu->debug.step_irqs)
            d.control |= KVM_GUESTDBG_BLOCKIRQ;
    }
    if (!d.control && !k->guest_debug)
        return 0;
    if (ioctl(k->fd, KVM_SET_GUEST_DEBUG, &d)) {
        fprintf(stderr, "wirt: vCPU %u: KVM_SET_GUEST_DEBUG: %s\n", c->vcpu->index,
                strerror(errno));
        return -EIO;
    }
    k->guest_debug = d.control;
    return 0;
}

/* Which watch a register belongs to. */
static void watch_hit(struct engine_vcpu *k, u64 addr)
{
    const struct debug *d = &k->c.vm->debug;
    const struct debug_watch *w = debug_watches(d, addr, 1, BIT(DEBUG_WRITE) | BIT(DEBUG_READ));

    if (!w)
        return;
    stops_now(&k->c, DEBUG_WATCH);
    k->c.vcpu->debug.addr = w->addr;
    k->c.vcpu->debug.kind = w->kind;
}

enum kvm_after kvm_on_debug(struct engine_vcpu *k)
{
    const struct debug *d = &k->c.vm->debug;
    u64 dr6 = k->run->debug.arch.dr6, dr[4] = {0}, dr7;

    debug_make_registers(d, dr, &dr7);
    for (unsigned i = 0; i < 4; i++) {
        if (!(dr6 >> i & 1) || !(dr7 >> 2 * i & 2))
            continue;
        if (dr7 >> (16 + 4 * i) & 3)
            watch_hit(k, dr[i]);
        else
            stops_now(&k->c, DEBUG_BREAK);
    }
    if (dr6 & DR6_BS)
        stops_step_done(&k->c);
    return k->c.debug & CPU_STOPPED ? STOPPED : GO_ON;
}
