/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Hyper-V interface under a hostile guest.  The input is a list of steps of 12 bytes: what to
 * do, with which register or call, on which processor, and a value of 8 bytes (le).
 *
 *     0-3  a register is written   4  one is read   5-7  a hypercall   8  four bytes into memory
 *     9    the clock moves         10 a processor takes its interrupt, and ends it
 *     11   state is saved, changed at one place, and loaded            12 reset
 */
#include "../unit/pv/partition.h"

#include "base/endian.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEP = 12, STEPS_MAX = 400, CPUS = 2, STATE_MAX = 1024 };

/* Ranges of MSRs, and what lies beside them. */
static u32 msr_of(u8 b)
{
    static const u32 base[] = {HV_X64_MSR_GUEST_OS_ID, HV_X64_MSR_TIME_REF_COUNT,
                               HV_X64_MSR_EOI,         HV_X64_MSR_SCONTROL,
                               HV_X64_MSR_SINT0,       HV_X64_MSR_STIMER0_CONFIG,
                               HV_X64_MSR_CRASH_P0,    HV_X64_MSR_TSC_INVARIANT_CONTROL};

    return base[b >> 5] + (b & 31);
}

/* Addresses of pages that are there, and far-off values, beside what the input says. */
static u64 value_of(u8 kind, u64 v)
{
    switch (kind >> 6) {
    case 0:
        return v;
    case 1:
        return (v & 0xff) << PAGE_SHIFT | (v >> 8 & 3);
    case 2:
        return v & 0xfffff;
    default:
        return UINT64_MAX - (v & 0xffff);
    }
}

static void reload(struct partition *p, unsigned cpu, u64 v)
{
    bool whole = v & 1;
    const struct state_desc *d = whole ? &hyperv_state : &hyperv_vcpu_state;
    void *obj = whole ? (void *)p->hv : &p->hv->vcpu[cpu];
    u8 buf[STATE_MAX];
    size_t size = state_size(d);
    struct err e;

    BUG_ON(size > STATE_MAX);
    state_save(d, obj, buf);
    BUG_ON(state_load(d, obj, buf, size, &e)); /* what is saved is accepted */
    buf[(v >> 8 & 0xffff) % size] ^= (u8)(v >> 24);
    state_load(d, obj, buf, size, &e);
}

static void step(struct partition *p, const u8 *s)
{
    unsigned cpu = s[3] & 1;
    u64 raw = le32_get(s + 4) | (u64)le32_get(s + 8) << 32, v = value_of(s[3], raw), got;
    struct vcpu_intc *intc = &p->vm.vcpu[cpu].intc;

    switch (s[0] % 13) {
    case 0 ... 3:
        partition_wrmsr(p, cpu, msr_of(s[1]), v);
        break;
    case 4:
        partition_rdmsr(p, cpu, msr_of(s[1]), &got);
        break;
    case 5 ... 7:
        partition_call(p, cpu, s[1] | (u64)(s[2] & 1) << 16 | (raw & 0x3f) << 32, v, raw >> 8);
        break;
    case 8:
        le32_put(p->vm.mem.hva + (raw & (PARTITION_RAM - 4)), (u32)(raw >> 32));
        break;
    case 9:
        clock_advance(p->vm.clock, raw & 0xffffff);
        break;
    case 10:
        intc->ack(intc->opaque);
        partition_wrmsr(p, cpu, HV_X64_MSR_EOI, 0);
        break;
    case 11:
        reload(p, cpu, raw);
        break;
    case 12:
        hyperv_reset(p->hv);
        break;
    }
    for (unsigned i = 0; i < CPUS; i++)
        p->vm.vcpu[i].events &= VCPU_INTR;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct partition p;

    if (!p.hv)
        partition_open(&p, CPUS, NULL);
    hyperv_reset(p.hv);
    lapic_bus_reset(&p.lapics);
    partition_wrmsr(&p, 0, HV_X64_MSR_GUEST_OS_ID, 1);
    partition_wrmsr(&p, 0, HV_X64_MSR_HYPERCALL, 0x1001);
    for (size_t at = 0; at + STEP <= size && at < STEP * STEPS_MAX; at += STEP)
        step(&p, data + at);
    return 0;
}
