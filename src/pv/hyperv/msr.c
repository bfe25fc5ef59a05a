/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The synthetic MSRs (TLFS, "MSR Reference") that belong to the partition, to time and to the local
 * APIC; synic.c and stimer.c have theirs.
 */
#include "pv/hyperv/internal.h"

#include <string.h>

enum { APIC_HZ = 1000000000 }; /* dev/lapic_timer.c */

static bool put(struct hyperv *hv, u64 gpa, const void *p, u64 len)
{
    return mem_write(&hv->vm->dma, gpa, p, len);
}

/* or eax, 0x80000000; vmmcall; ret.  The bit tells our calls from those of an interface below; in
 * 32-bit code it lies where the input value has a bit that says nothing here. */
static void show_hypercall_page(struct hyperv *hv)
{
    static const u8 code[] = {0x0d, 0, 0, 0, 0x80, 0x0f, 0x01, 0xd9, 0xc3};
    u8 page[PAGE_SIZE];

    memset(page, 0xcc, sizeof(page));
    memcpy(page, code, sizeof(code));
    put(hv, hv->hypercall_page & ~(u64)PAGE_MASK, page, sizeof(page));
}

static bool write_hypercall(struct hyperv *hv, u64 val)
{
    if (hv->hypercall_page & HV_HYPERCALL_LOCKED)
        return true;
    if (!hv->guest_os_id)
        val &= ~(u64)HV_PAGE_ENABLE; /* not before the guest has said who it is */
    hv->hypercall_page = val;
    if (val & HV_PAGE_ENABLE)
        show_hypercall_page(hv);
    return true;
}

/* The partition reference TSC.  The TSC is the machine's clock in ticks, so one pair of numbers
 * stays right. */
void hv_tsc_page(struct hyperv *hv)
{
    struct clock *c = hv->vm->clock;
    u64 gpa = hv->tsc_page & ~(u64)PAGE_MASK;
    u64 tsc = clock_tsc(c);
    struct hv_reference_tsc_page p = {
        .scale = (u64)(((unsigned __int128)(NS_PER_SEC / 100) << 64) / clock_tsc_hz(c))};
    u8 page[PAGE_SIZE] = {0};

    if (!(hv->tsc_page & HV_PAGE_ENABLE))
        return;
    p.offset =
        (s64)(clock_tsc_to_ns(c, tsc) / 100) - (s64)(((unsigned __int128)tsc * p.scale) >> 64);
    memcpy(page, &p, sizeof(p));
    if (put(hv, gpa, page, sizeof(page)))
        mem_write32(&hv->vm->dma, gpa, 1); /* last: the sequence makes it good */
}

static void crashed(struct hyperv *hv, const struct hv_vcpu *v)
{
    const u64 *p = hv->crash_param;

    trace(hv->trace, hyperv, "cpu %u: the guest has crashed: %llx %llx %llx %llx %llx",
          v->vcpu->index, (unsigned long long)p[0], (unsigned long long)p[1],
          (unsigned long long)p[2], (unsigned long long)p[3], (unsigned long long)p[4]);
}

static bool read_partition(struct hv_vcpu *v, u32 msr, u64 *val)
{
    struct hyperv *hv = v->hv;

    switch (msr) {
    case HV_X64_MSR_GUEST_OS_ID:
        *val = hv->guest_os_id;
        return true;
    case HV_X64_MSR_HYPERCALL:
        *val = hv->hypercall_page;
        return true;
    case HV_X64_MSR_VP_INDEX:
        *val = v->vcpu->index;
        return true;
    case HV_X64_MSR_RESET:
        *val = 0;
        return true;
    case HV_X64_MSR_TIME_REF_COUNT:
        *val = hv_time(hv);
        return true;
    case HV_X64_MSR_REFERENCE_TSC:
        *val = hv->tsc_page;
        return true;
    case HV_X64_MSR_TSC_FREQUENCY:
        *val = clock_tsc_hz(hv->vm->clock);
        return true;
    case HV_X64_MSR_APIC_FREQUENCY:
        *val = APIC_HZ;
        return true;
    case HV_X64_MSR_VP_ASSIST_PAGE:
        *val = v->assist_page;
        return true;
    case HV_X64_MSR_CRASH_P0 ... HV_X64_MSR_CRASH_P4:
        *val = hv->crash_param[msr - HV_X64_MSR_CRASH_P0];
        return true;
    case HV_X64_MSR_CRASH_CTL:
        *val = HV_CRASH_NOTIFY;
        return true;
    case HV_X64_MSR_TSC_INVARIANT_CONTROL:
        *val = hv->tsc_invariant;
        return true;
    default:
        return synic_rdmsr(v, msr, val) || stimer_rdmsr(v, msr, val);
    }
}

static bool write_partition(struct hv_vcpu *v, u32 msr, u64 val)
{
    static const u8 none[PAGE_SIZE];
    struct hyperv *hv = v->hv;

    switch (msr) {
    case HV_X64_MSR_GUEST_OS_ID:
        hv->guest_os_id = val;
        if (!val)
            hv->hypercall_page &= ~(u64)HV_PAGE_ENABLE;
        return true;
    case HV_X64_MSR_HYPERCALL:
        return write_hypercall(hv, val);
    case HV_X64_MSR_RESET:
        if (val & 1)
            vm_request_reset(hv->vm);
        return true;
    case HV_X64_MSR_REFERENCE_TSC:
        hv->tsc_page = val;
        hv_tsc_page(hv);
        return true;
    case HV_X64_MSR_VP_ASSIST_PAGE:
        v->assist_page = val;
        if (val & HV_PAGE_ENABLE)
            put(hv, val & ~(u64)PAGE_MASK, none, sizeof(none));
        return true;
    case HV_X64_MSR_CRASH_P0 ... HV_X64_MSR_CRASH_P4:
        hv->crash_param[msr - HV_X64_MSR_CRASH_P0] = val;
        return true;
    case HV_X64_MSR_CRASH_CTL:
        if (val & HV_CRASH_NOTIFY)
            crashed(hv, v);
        return true;
    case HV_X64_MSR_TSC_INVARIANT_CONTROL:
        if (val >> 1)
            return false;
        hv->tsc_invariant |= val; /* once it is on it stays */
        return true;
    default:
        return synic_wrmsr(v, msr, val) || stimer_wrmsr(v, msr, val);
    }
}

/* The local APIC's registers, in either of its modes; false: none of them. */
static bool read_apic(struct hv_vcpu *v, u32 msr, u64 *val)
{
    struct lapic *l = &v->hv->lapics->lapic[v->vcpu->index];

    if (msr != HV_X64_MSR_ICR && msr != HV_X64_MSR_TPR)
        return false;
    *val = lapic_read(l, msr == HV_X64_MSR_ICR ? LAPIC_ICR : LAPIC_TPR);
    return true;
}

static bool write_apic(struct hv_vcpu *v, u32 msr, u64 val)
{
    struct lapic *l = &v->hv->lapics->lapic[v->vcpu->index];

    switch (msr) {
    case HV_X64_MSR_EOI:
        lapic_write(l, LAPIC_EOI, 0);
        return true;
    case HV_X64_MSR_ICR:
        lapic_write(l, LAPIC_ICR, val);
        return true;
    case HV_X64_MSR_TPR:
        lapic_write(l, LAPIC_TPR, val & 0xff);
        return true;
    default:
        return false;
    }
}

static bool is_below(const struct hyperv *hv, u32 msr)
{
    return hv->below.ops && msr - HV_X64_MSR_GUEST_OS_ID - HV_BELOW_MSRS < 0x100;
}

bool hv_rdmsr(void *opaque, struct vcpu *vcpu, u32 msr, u64 *val)
{
    struct hyperv *hv = opaque;
    struct hv_vcpu *v = &hv->vcpu[vcpu->index];
    bool ok;

    if (is_below(hv, msr))
        return hv->below.ops->rdmsr(hv->below.opaque, vcpu, msr - HV_BELOW_MSRS, val);
    if (read_apic(v, msr, val))
        return true;
    pthread_mutex_lock(&hv->lock);
    ok = read_partition(v, msr, val);
    pthread_mutex_unlock(&hv->lock);
    return ok;
}

bool hv_wrmsr(void *opaque, struct vcpu *vcpu, u32 msr, u64 val)
{
    struct hyperv *hv = opaque;
    struct hv_vcpu *v = &hv->vcpu[vcpu->index];
    bool ok;

    if (is_below(hv, msr))
        return hv->below.ops->wrmsr(hv->below.opaque, vcpu, msr - HV_BELOW_MSRS, val);
    if (write_apic(v, msr, val))
        return true;
    pthread_mutex_lock(&hv->lock);
    ok = write_partition(v, msr, val);
    pthread_mutex_unlock(&hv->lock);
    return ok;
}
