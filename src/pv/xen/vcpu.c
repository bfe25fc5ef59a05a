/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vCPU's record with the guest: vcpu_info, run state, clock page, and its two timers
 * (vcpu.h).  Processors of PVH and HVM guests start by INIT and SIPI through their local APICs;
 * down keeps one from running until up, as Linux does with the others when it wakes from a suspend.
 */
#include "pv/xen/pv.h"

#include <string.h>

enum { PERIOD_MIN = 1000000 }; /* ns */

static struct xen_vcpu_info *shared_slot(struct xen_vcpu *v)
{
    struct xen *x = v->x;

    /* Above 32 there is a place only where the guest registers one; until then one of ours that
     * nobody looks at: the rest of the page behind shared_info. */
    if (v->id < XEN_LEGACY_MAX_VCPUS)
        return &x->shared->vcpu_info[v->id];
    return (struct xen_vcpu_info *)(x->shared_page + PAGE_SIZE - sizeof(struct xen_vcpu_info));
}

/* ---------------------------------------------------------------- pages -- */

/* mfn u64, offset u32 */
static s64 register_vcpu_info(struct xen_call *k, struct xen_vcpu *v)
{
    struct {
        u64 mfn;
        u32 offset, pad;
    } a;
    struct xen *x = k->x;

    if (!guest_read(k, k->a[2], &a, sizeof(a)))
        return -XEN_EFAULT;
    if (a.offset > PAGE_SIZE - sizeof(struct xen_vcpu_info) || a.offset & 7)
        return -XEN_ENXIO;
    u8 *page = guest_page_hold(x, a.mfn);
    if (!page)
        return -XEN_EINVAL;
    pthread_mutex_lock(&x->evt_lock);
    if (v->info_registered) {
        pthread_mutex_unlock(&x->evt_lock);
        return -XEN_EINVAL;
    }
    struct xen_vcpu_info *to = (struct xen_vcpu_info *)(page + a.offset);
    memcpy(to, v->info, sizeof(*to));
    v->info = to;
    v->info_registered = true;
    /* What came meanwhile is looked for everywhere. */
    __atomic_store_n(&to->evtchn_pending_sel, UINT64_MAX, __ATOMIC_SEQ_CST);
    __atomic_store_n(&to->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST);
    guest_wrote(x, to, sizeof(*to));
    time_update(v);
    evtchn_deliver(v);
    pthread_mutex_unlock(&x->evt_lock);
    return 0;
}

static void runstate(const struct xen_vcpu *v, struct xen_runstate_info *r)
{
    u64 now = clock_now(v->x->vm->clock);

    /* All time since the start is running time: nothing is stolen that the guest could tell. */
    *r = (struct xen_runstate_info){.state = RUNSTATE_running, .state_entry_time = v->online_since};
    r->time[RUNSTATE_running] = now > v->online_since ? now - v->online_since : 0;
}

/* The argument is the address of the area's address; it is written once, see runstate(). */
static s64 register_runstate(struct xen_call *k, struct xen_vcpu *v)
{
    struct xen_runstate_info r;
    u64 gva;

    if (!guest_read(k, k->a[2], &gva, sizeof(gva)))
        return -XEN_EFAULT;
    runstate(v, &r);
    /* Xen takes an area that it cannot write; so do we */
    guest_write(k, gva, &r, sizeof(r));
    return 0;
}

static s64 register_time_area(struct xen_call *k, struct xen_vcpu *v)
{
    u64 gva, gpa;
    struct xen *x = k->x;

    if (!guest_read(k, k->a[2], &gva, sizeof(gva)))
        return -XEN_EFAULT;
    if (!gva) { /* none any more: Linux before it suspends */
        pthread_mutex_lock(&x->evt_lock);
        v->time_area = NULL;
        pthread_mutex_unlock(&x->evt_lock);
        return 0;
    }
    if ((gva & PAGE_MASK) > PAGE_SIZE - sizeof(struct xen_vcpu_time_info) || gva & 7 ||
        !k->p->translate(k->p, gva, true, &gpa))
        return -XEN_EFAULT;
    u8 *page = guest_page_hold(x, gpa >> PAGE_SHIFT);
    if (!page)
        return -XEN_EFAULT;
    pthread_mutex_lock(&x->evt_lock);
    v->time_area = (struct xen_vcpu_time_info *)(page + (gpa & PAGE_MASK));
    time_update(v);
    pthread_mutex_unlock(&x->evt_lock);
    return 0;
}

/* --------------------------------------------------------------- timers -- */

static void single_fired(void *opaque)
{
    struct xen_vcpu *v = opaque;
    bool due;

    pthread_mutex_lock(&v->x->evt_lock);
    due = v->single_at && clock_now(v->x->vm->clock) >= v->single_at;
    if (due)
        v->single_at = 0;
    pthread_mutex_unlock(&v->x->evt_lock);
    if (due)
        evtchn_virq(v, VIRQ_TIMER);
}

static void periodic_fired(void *opaque)
{
    struct xen_vcpu *v = opaque;
    struct clock *c = v->x->vm->clock;
    bool due;

    pthread_mutex_lock(&v->x->evt_lock);
    u64 now = clock_now(c);
    due = v->period && now >= v->periodic_at;
    if (due) {
        /* periods that were missed are not made up for */
        v->periodic_at += (1 + (now - v->periodic_at) / v->period) * v->period;
        timer_set(c, &v->periodic, v->periodic_at);
    }
    pthread_mutex_unlock(&v->x->evt_lock);
    if (due)
        evtchn_virq(v, VIRQ_TIMER);
}

static s64 set_periodic(struct xen_call *k, struct xen_vcpu *v)
{
    u64 period;
    struct clock *c = k->x->vm->clock;

    if (!guest_read(k, k->a[2], &period, sizeof(period)))
        return -XEN_EFAULT;
    if (period < PERIOD_MIN || period > 1ull << 62)
        return -XEN_EINVAL;
    pthread_mutex_lock(&k->x->evt_lock);
    v->period = period;
    v->periodic_at = clock_now(c) + period;
    timer_set(c, &v->periodic, v->periodic_at);
    pthread_mutex_unlock(&k->x->evt_lock);
    return 0;
}

static void stop_periodic(struct xen_vcpu *v)
{
    pthread_mutex_lock(&v->x->evt_lock);
    v->period = 0;
    timer_del(v->x->vm->clock, &v->periodic);
    pthread_mutex_unlock(&v->x->evt_lock);
}

/* timeout_abs_ns u64, flags u32 */
static s64 set_singleshot(struct xen_call *k, struct xen_vcpu *v)
{
    struct {
        u64 timeout;
        u32 flags, pad;
    } a;
    struct clock *c = k->x->vm->clock;

    if (!guest_read(k, k->a[2], &a, sizeof(a)))
        return -XEN_EFAULT;
    if (a.flags & VCPU_SSHOTTMR_future && a.timeout < clock_now(c))
        return -XEN_ETIME;
    pthread_mutex_lock(&k->x->evt_lock);
    v->single_at = max(a.timeout, 1ull);
    timer_set(c, &v->single, v->single_at);
    pthread_mutex_unlock(&k->x->evt_lock);
    return 0;
}

static void stop_singleshot(struct xen_vcpu *v)
{
    pthread_mutex_lock(&v->x->evt_lock);
    v->single_at = 0;
    timer_del(v->x->vm->clock, &v->single);
    pthread_mutex_unlock(&v->x->evt_lock);
}

static s64 set_down(struct xen_vcpu *v, bool down)
{
    __atomic_store_n(&v->down, down, __ATOMIC_SEQ_CST);
    vcpu_hold(v->vcpu, down);
    return 0;
}

s64 xen_vcpu_op(struct xen_call *k)
{
    u32 op = (u32)k->a[0];

    if ((u32)k->a[1] >= k->x->nvcpus)
        return -XEN_ENOENT;
    struct xen_vcpu *v = &k->x->vcpu[(u32)k->a[1]];
    if (k->x->pv) {
        s64 r = pv_vcpu_op(k, v);
        if (r != -XEN_ENOSYS)
            return r;
    }
    bool timer = op >= VCPUOP_set_periodic_timer && op <= VCPUOP_stop_singleshot_timer;
    if (timer && op != VCPUOP_set_periodic_timer && op != VCPUOP_stop_periodic_timer && v != k->v)
        return -XEN_EINVAL;
    switch (op) {
    case VCPUOP_up:
    case VCPUOP_down:
        return set_down(v, op == VCPUOP_down);
    case VCPUOP_is_up:
        return !__atomic_load_n(&v->down, __ATOMIC_SEQ_CST);
    case VCPUOP_get_runstate_info: {
        struct xen_runstate_info r;
        runstate(v, &r);
        return guest_write(k, k->a[2], &r, sizeof(r)) ? 0 : -XEN_EFAULT;
    }
    case VCPUOP_register_runstate_memory_area:
        return register_runstate(k, v);
    case VCPUOP_register_vcpu_time_memory_area:
        return register_time_area(k, v);
    case VCPUOP_register_vcpu_info:
        return register_vcpu_info(k, v);
    case VCPUOP_set_periodic_timer:
        return set_periodic(k, v);
    case VCPUOP_stop_periodic_timer:
        stop_periodic(v);
        return 0;
    case VCPUOP_set_singleshot_timer:
        return set_singleshot(k, v);
    case VCPUOP_stop_singleshot_timer:
        stop_singleshot(v);
        return 0;
    case VCPUOP_send_nmi:
        vcpu_raise(v->vcpu, VCPU_NMI);
        return 0;
    default:
        return -XEN_ENOSYS;
    }
}

/* ------------------------------------------------------------------ life -- */

/* INIT has emptied the APIC: an upcall that waited there comes again. */
static void after_init(void *opaque, unsigned index)
{
    struct xen *x = opaque;

    pthread_mutex_lock(&x->evt_lock);
    evtchn_deliver(&x->vcpu[index]);
    pthread_mutex_unlock(&x->evt_lock);
}

static void poll_over(void *opaque)
{
    struct xen_vcpu *v = opaque;

    pthread_mutex_lock(&v->x->evt_lock);
    if (v->polling)
        vcpu_raise(v->vcpu, VCPU_POLL);
    pthread_mutex_unlock(&v->x->evt_lock);
}

void vcpu_init(struct xen *x)
{
    x->nvcpus = x->vm->ncpus;
    for (unsigned i = 0; i < x->nvcpus; i++) {
        struct xen_vcpu *v = &x->vcpu[i];
        v->x = x;
        v->vcpu = &x->vm->vcpu[i];
        v->id = i;
        v->single = (struct timer){.fn = single_fired, .opaque = v};
        v->periodic = (struct timer){.fn = periodic_fired, .opaque = v};
        v->poll = (struct timer){.fn = poll_over, .opaque = v};
    }
    x->lapics->after_init = after_init;
    x->lapics->after_init_opaque = x;
}

void vcpu_reset(struct xen *x)
{
    for (unsigned i = 0; i < x->nvcpus; i++) {
        struct xen_vcpu *v = &x->vcpu[i];
        stop_periodic(v);
        stop_singleshot(v);
        v->info = shared_slot(v);
        v->info_registered = false;
        v->upcall_vector = 0;
        v->time_area = NULL;
        v->tsc_offset = 0;
        v->polling = false;
        v->down = false;
        v->online_since = clock_now(x->vm->clock);
        memset(v->virq_port, 0, sizeof(v->virq_port));
        if (i < XEN_LEGACY_MAX_VCPUS)
            time_update(v);
    }
}

void vcpu_stop(struct xen *x)
{
    for (unsigned i = 0; i < x->nvcpus; i++) {
        timer_del(x->vm->clock, &x->vcpu[i].single);
        timer_del(x->vm->clock, &x->vcpu[i].periodic);
        timer_del(x->vm->clock, &x->vcpu[i].poll);
    }
    x->lapics->after_init = NULL;
}
