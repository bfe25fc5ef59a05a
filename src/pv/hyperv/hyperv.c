/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The partition: opens, resets, loads and closes its parts.
 */
#include "pv/hyperv/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct pv_ops ops = {
    .cpuid = hv_cpuid,
    .rdmsr = hv_rdmsr,
    .wrmsr = hv_wrmsr,
    .hypercall = hv_hypercall,
};

int hyperv_open(struct hyperv **out, struct vm *vm, struct lapic_bus *lapics, struct err *e)
{
    struct hyperv *hv = calloc(1, sizeof(*hv));

    *out = hv;
    if (!hv)
        return err_set(e, ENOMEM, "Hyper-V interface: no memory");
    hv->vm = vm;
    hv->lapics = lapics;
    hv->trace = &vm->trace;
    hv->below = vm->pv;
    hv->nvcpus = vm->ncpus;
    pthread_mutex_init(&hv->lock, NULL);
    for (unsigned i = 0; i < hv->nvcpus; i++) {
        hv->vcpu[i].hv = hv;
        hv->vcpu[i].vcpu = &vm->vcpu[i];
        stimer_init(&hv->vcpu[i]);
    }
    hyperv_reset(hv);
    vm->pv = (struct pv){.ops = &ops, .opaque = hv, .paged = hv->below.paged};
    return 0;
}

void hyperv_reset(struct hyperv *hv)
{
    pthread_mutex_lock(&hv->lock);
    hv->guest_os_id = hv->hypercall_page = hv->tsc_page = hv->tsc_invariant = 0;
    memset(hv->crash_param, 0, sizeof(hv->crash_param));
    for (unsigned i = 0; i < hv->nvcpus; i++) {
        struct hv_vcpu *v = &hv->vcpu[i];
        v->assist_page = 0;
        synic_reset(v);
        stimer_reset(v);
    }
    pthread_mutex_unlock(&hv->lock);
}

void hyperv_close(struct hyperv *hv)
{
    if (!hv)
        return;
    hv->vm->pv = hv->below;
    hyperv_reset(hv);
    pthread_mutex_destroy(&hv->lock);
    free(hv);
}

/* ----------------------------------------------------------- saved machines -- */

static int partition_loaded(void *obj, struct err *e)
{
    struct hyperv *hv = obj;

    pthread_mutex_lock(&hv->lock);
    hv_tsc_page(hv); /* the host may have another TSC */
    pthread_mutex_unlock(&hv->lock);
    return 0;
}

static const struct field partition_fields[] = {
    FIELD(struct hyperv, guest_os_id),       FIELD(struct hyperv, hypercall_page),
    FIELD(struct hyperv, tsc_page),          FIELD_MAX(struct hyperv, tsc_invariant, 1),
    FIELD_ARRAY(struct hyperv, crash_param),
};

const struct state_desc hyperv_state = {
    .name = "hyperv",
    .version = 1,
    .fields = partition_fields,
    .nfields = ARRAY_SIZE(partition_fields),
    .loaded = partition_loaded,
};

/* What the registers refuse is not loaded either. */
static int vcpu_loaded(void *obj, struct err *e)
{
    struct hv_vcpu *v = obj;

    for (unsigned n = 0; n < HV_TIMERS; n++) {
        u64 c = v->timer_config[n];
        bool armed = v->timer_due[n], waits = v->timer_waits & BIT(n);
        if (c & ~(u64)STIMER_BITS || (armed && !v->timer_count[n]) || (waits && !armed) ||
            (c & STIMER_DIRECT && (c >> STIMER_VECTOR_SHIFT & 0xff) < 16))
            return err_set(e, EINVAL, "hyperv-vcpu: timer %u has a state that cannot be", n);
    }
    for (unsigned n = 0; n < HV_SINTS; n++)
        if ((v->sint[n] & SINT_VECTOR) < 16 && !(v->sint[n] & (SINT_MASKED | SINT_POLLING)))
            return err_set(e, EINVAL, "hyperv-vcpu: source %u has no vector", n);
    pthread_mutex_lock(&v->hv->lock);
    synic_loaded(v);
    stimer_loaded(v);
    pthread_mutex_unlock(&v->hv->lock);
    return 0;
}

static const struct field vcpu_fields[] = {
    FIELD(struct hv_vcpu, assist_page),
    FIELD(struct hv_vcpu, scontrol),
    FIELD(struct hv_vcpu, siefp),
    FIELD(struct hv_vcpu, simp),
    FIELD_ARRAY(struct hv_vcpu, sint),
    FIELD_ARRAY(struct hv_vcpu, timer_config),
    FIELD_ARRAY(struct hv_vcpu, timer_count),
    FIELD_ARRAY(struct hv_vcpu, timer_due),
    FIELD_MAX(struct hv_vcpu, timer_waits, 15),
};

const struct state_desc hyperv_vcpu_state = {
    .name = "hyperv-vcpu",
    .version = 1,
    .fields = vcpu_fields,
    .nfields = ARRAY_SIZE(vcpu_fields),
    .loaded = vcpu_loaded,
};
