/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of this folder know of each other.
 */
#ifndef WIRT_PV_HYPERV_INTERNAL_H
#define WIRT_PV_HYPERV_INTERNAL_H

#include "pv/hyperv/hyperv.h"
#include "pv/hyperv/tlfs.h"

#include "base/clock.h"
#include "core/mem.h"

/* Where another interface's leaves and MSRs lie while ours come first. */
enum { HV_BELOW_LEAVES = 0x100, HV_BELOW_MSRS = 0x200 };

/* The partition's reference time: 100 ns since the machine began. */
static inline u64 hv_time(struct hyperv *hv)
{
    return clock_now(hv->vm->clock) / 100;
}

/* cpuid.c */
bool hv_cpuid(void *opaque, struct vcpu *v, u32 leaf, u32 sub, u32 r[4]);
/* msr.c: false = #GP */
bool hv_rdmsr(void *opaque, struct vcpu *v, u32 msr, u64 *val);
bool hv_wrmsr(void *opaque, struct vcpu *v, u32 msr, u64 val);
/* Writes the reference TSC page, if there is one; hv->lock held. */
void hv_tsc_page(struct hyperv *hv);
/* hypercall.c */
enum pv_result hv_hypercall(void *opaque, struct pv_call *p);

/* synic.c; with hv->lock held */
bool synic_rdmsr(struct hv_vcpu *v, u32 msr, u64 *val);
bool synic_wrmsr(struct hv_vcpu *v, u32 msr, u64 val);
/* Puts a message into the slot of a SINT, and its interrupt with it.  False: the slot is full, and
 * the guest will write EOM; or there is no SynIC. */
bool synic_post(struct hv_vcpu *v, unsigned sint, const struct hv_message *m);
void synic_reset(struct hv_vcpu *v);
void synic_loaded(struct hv_vcpu *v); /* the local APIC learns which vectors end by themselves */

/* stimer.c; with hv->lock held */
void stimer_init(struct hv_vcpu *v);
void stimer_reset(struct hv_vcpu *v);
void stimer_loaded(struct hv_vcpu *v);
bool stimer_rdmsr(struct hv_vcpu *v, u32 msr, u64 *val);
bool stimer_wrmsr(struct hv_vcpu *v, u32 msr, u64 val);
void stimer_slot_free(struct hv_vcpu *v); /* EOM: messages that wait are tried again */

#endif
