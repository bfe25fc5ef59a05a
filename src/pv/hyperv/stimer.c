/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Synthetic timers (TLFS, "Timers"): four a processor, in units of 100 ns of the partition's
 * reference time, one-shot at a time or periodic, told by a message or by an interrupt of their
 * own.
 *
 * A periodic timer's expiries that the host was late for, or whose message found its slot full, are
 * one: the times stay those of the first, so that none is lost for good and none comes twice.
 */
#include "pv/hyperv/internal.h"

#include <string.h>

enum { MIN_INTERVAL = 20000 /* ns between two callbacks of a timer */ };

static unsigned sint_of(u64 config)
{
    return config >> STIMER_SINT_SHIFT & 15;
}

/* Waits for timer_due, or for nothing. */
static void arm(struct hv_vcpu *v, unsigned n)
{
    struct clock *c = v->hv->vm->clock;
    u64 due = v->timer_due[n];

    if (!due || due > UINT64_MAX / 200) /* not in this machine's life */
        timer_del(c, &v->timer[n].timer);
    else
        timer_set(c, &v->timer[n].timer, due * 100);
}

static void stop(struct hv_vcpu *v, unsigned n)
{
    v->timer_due[n] = 0;
    v->timer_waits &= (u8)~BIT(n);
    arm(v, n);
}

/* After its registers changed. */
static void start(struct hv_vcpu *v, unsigned n)
{
    u64 config = v->timer_config[n], count = v->timer_count[n];

    stop(v, n);
    if (!(config & STIMER_ENABLE) || !count)
        return;
    v->timer_due[n] = config & STIMER_PERIODIC ? hv_time(v->hv) + count : count;
    if (v->timer_due[n] < count && config & STIMER_PERIODIC)
        v->timer_due[n] = UINT64_MAX;
    arm(v, n);
}

/* The guest is told; false: the slot is full. */
static bool tell(struct hv_vcpu *v, unsigned n)
{
    u64 config = v->timer_config[n];
    struct hv_message m = {.type = HV_MESSAGE_TIMER_EXPIRED,
                           .payload_size = sizeof(struct hv_timer_message)};
    struct hv_timer_message t = {n, 0, v->timer_due[n], hv_time(v->hv)};

    if (config & STIMER_DIRECT) {
        lapic_inject(&v->hv->lapics->lapic[v->vcpu->index], config >> STIMER_VECTOR_SHIFT & 0xff,
                     false);
        return true;
    }
    memcpy(m.payload, &t, sizeof(t));
    return synic_post(v, sint_of(config), &m);
}

static void expire(struct hv_vcpu *v, unsigned n)
{
    u64 now = hv_time(v->hv), count = v->timer_count[n];

    if (!tell(v, n)) {
        v->timer_waits |= BIT(n);
        return;
    }
    v->timer_waits &= (u8)~BIT(n);
    if (!(v->timer_config[n] & STIMER_PERIODIC)) {
        v->timer_config[n] &= ~(u64)STIMER_ENABLE;
        v->timer_due[n] = 0;
        return;
    }
    v->timer_due[n] += ((now - min(now, v->timer_due[n])) / count + 1) * count;
    v->timer_due[n] = max(v->timer_due[n], now + MIN_INTERVAL / 100);
    arm(v, n);
}

static void fire(void *opaque)
{
    struct hv_timer *t = opaque;
    struct hv_vcpu *v = t->v;
    struct hyperv *hv = v->hv;

    pthread_mutex_lock(&hv->lock);
    if (v->timer_due[t->n] && hv_time(hv) >= v->timer_due[t->n] && !timer_armed(&t->timer))
        expire(v, t->n);
    pthread_mutex_unlock(&hv->lock);
}

void stimer_slot_free(struct hv_vcpu *v)
{
    for (unsigned n = 0; n < HV_TIMERS; n++)
        if (v->timer_waits & BIT(n))
            expire(v, n);
}

bool stimer_rdmsr(struct hv_vcpu *v, u32 msr, u64 *val)
{
    unsigned n = (msr - HV_X64_MSR_STIMER0_CONFIG) / 2;

    if (msr < HV_X64_MSR_STIMER0_CONFIG || msr > HV_X64_MSR_STIMER3_COUNT)
        return false;
    *val = msr & 1 ? v->timer_count[n] : v->timer_config[n];
    return true;
}

bool stimer_wrmsr(struct hv_vcpu *v, u32 msr, u64 val)
{
    if (msr < HV_X64_MSR_STIMER0_CONFIG || msr > HV_X64_MSR_STIMER3_COUNT)
        return false;
    unsigned n = (msr - HV_X64_MSR_STIMER0_CONFIG) / 2;
    u64 *config = &v->timer_config[n];
    if (msr & 1) {
        v->timer_count[n] = val;
        if (!val)
            *config &= ~(u64)STIMER_ENABLE;
        else if (*config & STIMER_AUTO_ENABLE)
            *config |= STIMER_ENABLE;
    } else {
        if (val & ~(u64)STIMER_BITS ||
            (val & STIMER_DIRECT && (val >> STIMER_VECTOR_SHIFT & 0xff) < 16))
            return false;
        *config = val;
        if (!(val & STIMER_DIRECT) && !sint_of(val)) /* no source, no timer */
            *config &= ~(u64)STIMER_ENABLE;
    }
    start(v, n);
    return true;
}

void stimer_init(struct hv_vcpu *v)
{
    for (unsigned n = 0; n < HV_TIMERS; n++) {
        v->timer[n].v = v;
        v->timer[n].n = n;
        v->timer[n].timer.fn = fire;
        v->timer[n].timer.opaque = &v->timer[n];
    }
}

void stimer_reset(struct hv_vcpu *v)
{
    for (unsigned n = 0; n < HV_TIMERS; n++) {
        v->timer_config[n] = v->timer_count[n] = 0;
        stop(v, n);
    }
}

void stimer_loaded(struct hv_vcpu *v)
{
    for (unsigned n = 0; n < HV_TIMERS; n++)
        arm(v, n);
}
