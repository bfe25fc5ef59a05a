/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A debugger's points (core/debug.h) and steps.  Watches, and stops of DEBUG_OWN, are in the
 * processor's own debug registers, and then the guest's DR0-DR7 have no effect.  Other stops are
 * INT3s in guest memory: put there when the machine goes on, where the vCPUs' page tables have it
 * then, and taken out when it is parked, so that whoever looks at a machine that stands (a
 * debugger, a saved machine) sees the guest's bytes.  Linux: Documentation/virt/kvm/api.rst,
 * KVM_SET_GUEST_DEBUG.
 */
#include "cpu/stops.h"
#include "kvm/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

enum { DR6_BS = 1 << 14, INT3 = 0xcc };

/* The host's address of a linear one, as any vCPU has it; NULL: it is no RAM. */
static u8 *find_code(struct vm *vm, u64 lin)
{
    u64 gpa, len = 1;

    for (unsigned i = 0; i < vm->ncpus; i++)
        if (vm->engine->translate(&vm->vcpu[i], lin, &gpa))
            return mem_map(&vm->dma, gpa & __atomic_load_n(&vm->a20_mask, __ATOMIC_ACQUIRE), &len,
                           true);
    return NULL;
}

void kvm_int3_place(struct engine *en)
{
    const struct debug *d = &en->vm->debug;

    en->nint3 = 0;
    for (unsigned i = 0; i < d->nexec; i++) {
        u8 *at = d->exec[i].kinds & BIT(DEBUG_EXEC) ? find_code(en->vm, d->exec[i].addr) : NULL;
        if (!at)
            continue;
        en->int3[en->nint3++] = (struct kvm_int3){.at = at, .was = *at};
        *at = INT3;
        mem_wrote(&en->vm->mem, at, 1);
    }
}

/* Backwards: two linear addresses may be one byte. */
void kvm_int3_remove(struct engine *en)
{
    while (en->nint3) {
        const struct kvm_int3 *p = &en->int3[--en->nint3];
        if (*p->at == INT3) /* the guest may have loaded other code there */
            *p->at = p->was;
        mem_wrote(&en->vm->mem, p->at, 1);
    }
}

int kvm_debug_set(struct engine_vcpu *k)
{
    struct kvm_guest_debug d = {0};
    const struct cpu *c = &k->c;
    u64 dr[4] = {0}, dr7;

    if (k->en->nint3)
        d.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
    if (debug_make_registers(&c->vm->debug, dr, &dr7)) {
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

    if (k->run->debug.arch.exception == EXC_BP) {
        if (!debug_stops_at(d, k->run->debug.arch.pc))
            return INTERPRET; /* the guest's own */
        stops_now(&k->c, DEBUG_BREAK);
        return STOPPED;
    }

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
