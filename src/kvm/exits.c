/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why KVM_RUN came back, and what the guest left for.  Linux: Documentation/virt/kvm/api.rst, "The
 * kvm_run structure".
 */
#include "cpu/msr.h"
#include "kvm/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

static void on_pio(struct engine_vcpu *k)
{
    const struct kvm_run *r = k->run;
    struct bus *b = &k->c.vm->pio;
    u8 *p = (u8 *)r + r->io.data_offset;

    for (u32 i = 0; i < r->io.count; i++, p += r->io.size) {
        u32 v = 0;
        if (r->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&v, p, r->io.size);
            bus_write(b, r->io.port, r->io.size, v);
        } else {
            v = (u32)bus_read(b, r->io.port, r->io.size);
            memcpy(p, &v, r->io.size);
        }
    }
    k->stats.pio++;
}

/* Writes to memory come here too, from read-only slots (shadow RAM that reads from ROM). */
void kvm_mmio_write(struct vm *vm, u64 gpa, const u8 *data, unsigned len)
{
    u64 v = 0;

    gpa &= __atomic_load_n(&vm->a20_mask, __ATOMIC_ACQUIRE);
    len = min(len, 8u);
    memcpy(&v, data, len);
    const struct region *to = bus_find(&vm->mmio, gpa);
    if (to && !to->ops)
        mem_write(&vm->dma, gpa, &v, len);
    else
        bus_write(&vm->mmio, gpa, len, v);
}

static void on_mmio(struct engine_vcpu *k)
{
    struct kvm_run *r = k->run;
    struct vm *vm = k->c.vm;

    k->stats.mmio++;
    if (r->mmio.is_write) {
        kvm_mmio_write(vm, r->mmio.phys_addr, r->mmio.data, r->mmio.len);
        return;
    }
    u64 a20 = __atomic_load_n(&vm->a20_mask, __ATOMIC_ACQUIRE);
    unsigned len = min(r->mmio.len, 8u);
    u64 v = bus_read(&vm->mmio, r->mmio.phys_addr & a20, len);
    memcpy(r->mmio.data, &v, len);
}

static void on_msr(struct engine_vcpu *k, bool write)
{
    struct kvm_run *r = k->run;
    u64 v = 0;
    bool ok;

    k->stats.msr++;
    if (write) {
        ok = msr_write(&k->c, r->msr.index, r->msr.data);
    } else {
        ok = msr_read(&k->c, r->msr.index, &v);
        r->msr.data = v;
    }
    r->msr.error = !ok;
    trace(&k->c.vm->trace, msr, "cpu%u: %s %#x: %#llx%s", k->c.vcpu->index,
          write ? "wrmsr" : "rdmsr", r->msr.index, (unsigned long long)r->msr.data,
          ok ? "" : ", #GP");
}

enum kvm_after kvm_on_failure(struct engine_vcpu *k)
{
    const struct kvm_run *r = k->run;

    k->stats.failures++;
    trace(&k->c.vm->trace, cpu, "cpu%u: KVM cannot: exit %u, %u", k->c.vcpu->index, r->exit_reason,
          r->exit_reason == KVM_EXIT_INTERNAL_ERROR ? r->internal.suberror : 0);
    return INTERPRET;
}

enum kvm_after kvm_after_exit(struct engine_vcpu *k)
{
    k->completes = false;
    switch (k->run->exit_reason) {
    case KVM_EXIT_IO:
        on_pio(k);
        k->completes = true;
        return GO_ON;
    case KVM_EXIT_MMIO:
        on_mmio(k);
        k->completes = true;
        return GO_ON;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        on_msr(k, k->run->exit_reason == KVM_EXIT_X86_WRMSR);
        k->completes = true;
        return GO_ON;
    case KVM_EXIT_HLT:
        k->stats.hlt++;
        k->c.s.halted = true;
        return GO_ON;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        k->stats.window++;
        return GO_ON;
    case KVM_EXIT_DEBUG:
        k->stats.other++;
        return kvm_on_debug(k);
    case KVM_EXIT_IOAPIC_EOI:
        k->stats.eoi++;
        kvm_apics_eoi(k->en, k->run->eoi.vector);
        return GO_ON;
    case KVM_EXIT_INTR:
    case KVM_EXIT_SET_TPR:
        k->stats.other++;
        return GO_ON;
    case KVM_EXIT_SHUTDOWN:
        return TRIPLE;
    case KVM_EXIT_INTERNAL_ERROR:
    case KVM_EXIT_FAIL_ENTRY:
    case KVM_EXIT_EXCEPTION:
    case KVM_EXIT_UNKNOWN:
        return kvm_on_failure(k);
    default:
        fprintf(stderr, "wirt: vCPU %u: KVM left for a reason that is not known here, %u\n",
                k->c.vcpu->index, k->run->exit_reason);
        return FAILED;
    }
}

void kvm_complete(struct engine_vcpu *k)
{
    while (k->completes) {
        k->run->immediate_exit = 1;
        int r = ioctl(k->fd, KVM_RUN, 0);
        k->run->immediate_exit = 0;
        k->completes = false;
        if (!r)
            kvm_after_exit(k);
    }
}
