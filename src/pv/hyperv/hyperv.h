/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Microsoft's hypervisor interface ("Viridian"), offered by Wirt itself to guests that look for it:
 * what the Hypervisor Top Level Functional Specification (TLFS, version 6.0b) has a guest find by
 * CPUID and use by MSRs and hypercalls.  There is no VMBus.  docs/hyperv.md tells what is there.
 */
#ifndef WIRT_PV_HYPERV_HYPERV_H
#define WIRT_PV_HYPERV_HYPERV_H

#include "core/pv.h"
#include "core/state.h"
#include "core/vm.h"
#include "dev/lapic.h"

enum { HV_SINTS = 16, HV_TIMERS = 4, HV_CRASH_PARAMS = 5 };

struct hyperv;

/* What a virtual processor has; all under hyperv.lock. */
struct hv_vcpu {
    struct hyperv *hv;
    struct vcpu *vcpu;
    u64 assist_page;
    u64 scontrol, siefp, simp, sint[HV_SINTS];
    u64 timer_config[HV_TIMERS], timer_count[HV_TIMERS];
    u64 timer_due[HV_TIMERS]; /* reference time, 0 = not armed */
    u8 timer_waits;           /* a bit a timer: its message found its slot full */
    struct hv_timer {
        struct hv_vcpu *v;
        unsigned n;
        struct timer timer;
    } timer[HV_TIMERS];
};

struct hyperv {
    struct vm *vm;
    struct lapic_bus *lapics;
    struct trace *trace;
    struct pv below; /* another interface beside this one (ops NULL = none): leaves, MSRs, calls */

    pthread_mutex_t lock; /* before the local APICs' */
    u64 guest_os_id, hypercall_page, tsc_page, tsc_invariant;
    u64 crash_param[HV_CRASH_PARAMS];
    unsigned nvcpus;
    struct hv_vcpu vcpu[VM_CPUS_MAX];
};

/* Hangs itself into vm->pv, over what is there; vm's processors and lapics are open.  -errno with
 * one line. */
int hyperv_open(struct hyperv **out, struct vm *vm, struct lapic_bus *lapics, struct err *e);
void hyperv_reset(struct hyperv *hv); /* all vCPUs are parked */
void hyperv_close(struct hyperv *hv); /* NULL is allowed; before what lies below is closed */

extern const struct state_desc hyperv_state;      /* of struct hyperv */
extern const struct state_desc hyperv_vcpu_state; /* of struct hv_vcpu; after the local APICs' */

#endif
