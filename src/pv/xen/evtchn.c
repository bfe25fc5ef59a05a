/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event channels (event_channel.h): ports, what they are bound to, and the two-level bitmaps in
 * shared_info.  The other ABI, event words in queues, is evtchn_fifo.c's.
 *
 * The guest has one partner, the back ends as domain 0, who live in this process: a send to one
 * calls its handler.  Left out: channels from the guest to itself, and physical interrupts (there
 * are none).
 *
 * An upcall is a vector in the vCPU's local APIC (HVMOP_set_evtchn_upcall_vector), a vector past
 * the APIC or an interrupt line (HVM_PARAM_CALLBACK_IRQ).
 */
#include "pv/xen/internal.h"

#include <string.h>

/* ------------------------------------------------------------- delivery -- */

void evtchn_deliver(struct xen_vcpu *v)
{
    struct xen *x = v->x;

    if (!__atomic_load_n(&v->info->evtchn_upcall_pending, __ATOMIC_ACQUIRE))
        return;
    if (x->pv)
        vcpu_raise(v->vcpu, VCPU_INTR);
    else if (v->upcall_vector)
        lapic_inject(&x->lapics->lapic[v->id], v->upcall_vector, false);
    else if (x->callback_vector)
        lapic_inject(&x->lapics->lapic[v->id], x->callback_vector, true);
    else if (x->callback_gsi >= 0 && v->id == 0)
        irq_pulse(&x->cfg.callback[x->callback_gsi]);
}

void evtchn_upcall(struct xen_vcpu *v)
{
    if (__atomic_exchange_n(&v->info->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST))
        return;
    guest_wrote(v->x, v->info, sizeof(*v->info));
    evtchn_deliver(v);
}

static bool test_bit(const u64 *bits, u32 n)
{
    return __atomic_load_n(&bits[n / 64], __ATOMIC_SEQ_CST) >> (n % 64) & 1;
}

/* The bit's old value. */
static bool set_bit(u64 *bits, u32 n)
{
    return __atomic_fetch_or(&bits[n / 64], BIT64(n % 64), __ATOMIC_SEQ_CST) >> (n % 64) & 1;
}

static bool clear_bit(u64 *bits, u32 n)
{
    return __atomic_fetch_and(&bits[n / 64], ~BIT64(n % 64), __ATOMIC_SEQ_CST) >> (n % 64) & 1;
}

static void select_word(struct xen *x, u32 port)
{
    struct xen_vcpu *v = &x->vcpu[x->port[port].vcpu];

    if (!set_bit(&v->info->evtchn_pending_sel, port / 64))
        evtchn_upcall(v);
}

void evtchn_wake_polls(struct xen *x, u32 port)
{
    for (unsigned i = 0; i < x->nvcpus; i++) {
        struct xen_vcpu *v = &x->vcpu[i];
        for (unsigned n = 0; v->polling && n < v->npoll; n++)
            if (v->poll_port[n] == port)
                vcpu_raise(v->vcpu, VCPU_POLL);
    }
}

void evtchn_set_pending(struct xen *x, u32 port)
{
    if (x->fifo) {
        fifo_set_pending(x, port);
    } else {
        if (set_bit(x->shared->evtchn_pending, port))
            return;
        if (!test_bit(x->shared->evtchn_mask, port))
            select_word(x, port);
    }
    evtchn_wake_polls(x, port);
}

bool evtchn_is_pending(struct xen *x, u32 port)
{
    return x->fifo ? fifo_is_pending(x, port) : test_bit(x->shared->evtchn_pending, port);
}

void evtchn_notify(struct xen *x, u32 port)
{
    pthread_mutex_lock(&x->evt_lock);
    if (port && port < XEN_PORTS_MAX && x->port[port].state == ECS_INTERDOMAIN)
        evtchn_set_pending(x, port);
    pthread_mutex_unlock(&x->evt_lock);
}

void evtchn_virq(struct xen_vcpu *v, unsigned virq)
{
    pthread_mutex_lock(&v->x->evt_lock);
    if (v->virq_port[virq])
        evtchn_set_pending(v->x, v->virq_port[virq]);
    pthread_mutex_unlock(&v->x->evt_lock);
}

/* ---------------------------------------------------------------- ports -- */

/* A free port, made `state`; 0 = none. */
static u32 take_port(struct xen *x, enum ecs state)
{
    for (u32 p = x->next_port; p < XEN_PORTS_MAX; p++) {
        struct evtchn *e = &x->port[p];
        if (e->state != ECS_FREE)
            continue;
        *e = (struct evtchn){.state = (u8)state,
                             .priority = EVTCHN_FIFO_PRIORITY_DEFAULT,
                             .last_priority = EVTCHN_FIFO_PRIORITY_DEFAULT};
        x->next_port = p + 1;
        return p;
    }
    x->next_port = XEN_PORTS_MAX;
    return 0;
}

static void free_port(struct xen *x, u32 port)
{
    struct evtchn *e = &x->port[port];

    if (e->state == ECS_VIRQ)
        x->vcpu[e->vcpu].virq_port[e->virq] = 0;
    if (x->fifo)
        fifo_clear_pending(x, port);
    else
        clear_bit(x->shared->evtchn_pending, port);
    u16 vcpu = e->last_vcpu;
    u8 priority = e->last_priority;
    *e = (struct evtchn){.state = ECS_FREE, .last_vcpu = vcpu, .last_priority = priority};
    x->next_port = min(x->next_port, port);
}

u16 evtchn_alloc(struct xen *x)
{
    pthread_mutex_lock(&x->evt_lock);
    u32 port = take_port(x, ECS_UNBOUND);
    x->port[port].remote = XEN_DOMID_BACKEND;
    pthread_mutex_unlock(&x->evt_lock);
    return (u16)port;
}

bool evtchn_bind(struct xen *x, u32 port, void (*handler)(void *opaque), void *opaque)
{
    bool ok = false;

    if (!port || port >= XEN_PORTS_MAX)
        return false;
    pthread_mutex_lock(&x->evt_lock);
    struct evtchn *e = &x->port[port];
    if (e->state == ECS_UNBOUND && e->remote == XEN_DOMID_BACKEND) {
        e->state = ECS_INTERDOMAIN;
        e->handler = handler;
        e->opaque = opaque;
        ok = true;
        /* as Xen does: something may have been sent before */
        evtchn_set_pending(x, port);
    }
    pthread_mutex_unlock(&x->evt_lock);
    return ok;
}

void evtchn_unbind(struct xen *x, u32 port)
{
    if (!port || port >= XEN_PORTS_MAX)
        return;
    pthread_mutex_lock(&x->evt_lock);
    struct evtchn *e = &x->port[port];
    if (e->state == ECS_INTERDOMAIN) {
        e->state = ECS_UNBOUND;
        e->handler = NULL;
    }
    pthread_mutex_unlock(&x->evt_lock);
}

/* --------------------------------------------------------------- calls -- */

/* dom u16, remote_dom u16, port u32 (out) */
static s64 alloc_unbound(struct xen_call *k)
{
    struct {
        u16 dom, remote_dom;
        u32 port;
    } a;

    if (!guest_read(k, k->a[1], &a, sizeof(a)))
        return -XEN_EFAULT;
    if (!is_self(a.dom))
        return -XEN_EPERM;
    pthread_mutex_lock(&k->x->evt_lock);
    a.port = take_port(k->x, ECS_UNBOUND);
    if (a.port)
        k->x->port[a.port].remote = is_self(a.remote_dom) ? XEN_DOMID_GUEST : a.remote_dom;
    pthread_mutex_unlock(&k->x->evt_lock);
    if (!a.port)
        return -XEN_ENOSPC;
    return guest_write(k, k->a[1], &a, sizeof(a)) ? 0 : -XEN_EFAULT;
}

/* virq u32, vcpu u32, port u32 (out) */
static s64 bind_virq(struct xen_call *k)
{
    struct {
        u32 virq, vcpu, port;
    } a;
    struct xen *x = k->x;
    s64 r = 0;

    if (!guest_read(k, k->a[1], &a, sizeof(a)))
        return -XEN_EFAULT;
    if (a.virq >= NR_VIRQS)
        return -XEN_EINVAL;
    if (a.vcpu >= x->nvcpus)
        return -XEN_ENOENT;
    bool per_vcpu = a.virq == VIRQ_TIMER || a.virq == VIRQ_DEBUG;
    if (!per_vcpu && a.vcpu)
        return -XEN_EINVAL;
    pthread_mutex_lock(&x->evt_lock);
    u16 *bound = &x->vcpu[a.vcpu].virq_port[a.virq];
    if (*bound) {
        r = -XEN_EEXIST;
    } else if (!(a.port = take_port(x, ECS_VIRQ))) {
        r = -XEN_ENOSPC;
    } else {
        x->port[a.port].vcpu = (u16)a.vcpu;
        x->port[a.port].virq = (u8)a.virq;
        *bound = (u16)a.port;
    }
    pthread_mutex_unlock(&x->evt_lock);
    if (r)
        return r;
    return guest_write(k, k->a[1], &a, sizeof(a)) ? 0 : -XEN_EFAULT;
}

/* vcpu u32, port u32 (out) */
static s64 bind_ipi(struct xen_call *k)
{
    u32 a[2];
    struct xen *x = k->x;

    if (!guest_read(k, k->a[1], a, sizeof(a)))
        return -XEN_EFAULT;
    if (a[0] >= x->nvcpus)
        return -XEN_ENOENT;
    pthread_mutex_lock(&x->evt_lock);
    a[1] = take_port(x, ECS_IPI);
    if (a[1])
        x->port[a[1]].vcpu = (u16)a[0];
    pthread_mutex_unlock(&x->evt_lock);
    if (!a[1])
        return -XEN_ENOSPC;
    return guest_write(k, k->a[1], a, sizeof(a)) ? 0 : -XEN_EFAULT;
}

/* The port of a call whose argument is one; NULL, with evt_lock not held: no such port. */
static struct evtchn *port_of(struct xen_call *k, u32 *port, s64 *r)
{
    *r = -XEN_EFAULT;
    if (!guest_read(k, k->a[1], port, sizeof(*port)))
        return NULL;
    *r = -XEN_EINVAL;
    if (!*port || *port >= XEN_PORTS_MAX)
        return NULL;
    pthread_mutex_lock(&k->x->evt_lock);
    *r = 0;
    return &k->x->port[*port];
}

static s64 close_port(struct xen_call *k)
{
    u32 port;
    s64 r;
    struct evtchn *e = port_of(k, &port, &r);

    if (!e)
        return r;
    if (e->state == ECS_FREE || e->state == ECS_RESERVED)
        r = -XEN_EINVAL;
    else
        free_port(k->x, port);
    pthread_mutex_unlock(&k->x->evt_lock);
    return r;
}

static s64 send(struct xen_call *k)
{
    u32 port;
    s64 r;
    struct evtchn *e = port_of(k, &port, &r);
    void (*handler)(void *opaque) = NULL;
    void *opaque = NULL;

    if (!e)
        return r;
    switch (e->state) {
    case ECS_INTERDOMAIN:
        handler = e->handler;
        opaque = e->opaque;
        break;
    case ECS_IPI:
        evtchn_set_pending(k->x, port);
        break;
    case ECS_UNBOUND: /* silently lost, as in Xen */
        break;
    default:
        r = -XEN_EINVAL;
        break;
    }
    pthread_mutex_unlock(&k->x->evt_lock);
    if (handler)
        handler(opaque);
    return r;
}

/* dom u16, port u32; status u32, vcpu u32, union of 8 bytes */
static s64 status(struct xen_call *k)
{
    struct {
        u16 dom, pad;
        u32 port, status, vcpu, u[2];
    } a;
    struct xen *x = k->x;

    if (!guest_read(k, k->a[1], &a, sizeof(a)))
        return -XEN_EFAULT;
    if (!is_self(a.dom))
        return -XEN_EPERM;
    if (a.port >= XEN_PORTS_MAX)
        return -XEN_EINVAL;
    pthread_mutex_lock(&x->evt_lock);
    const struct evtchn *e = &x->port[a.port];
    a.vcpu = e->vcpu;
    a.u[0] = a.u[1] = 0;
    switch (e->state) {
    case ECS_UNBOUND:
        a.status = EVTCHNSTAT_unbound;
        a.u[0] = e->remote;
        break;
    case ECS_INTERDOMAIN:
        a.status = EVTCHNSTAT_interdomain;
        a.u[0] = e->remote;
        a.u[1] = a.port;
        break;
    case ECS_VIRQ:
        a.status = EVTCHNSTAT_virq;
        a.u[0] = e->virq;
        break;
    case ECS_IPI:
        a.status = EVTCHNSTAT_ipi;
        break;
    default:
        a.status = EVTCHNSTAT_closed;
        break;
    }
    pthread_mutex_unlock(&x->evt_lock);
    return guest_write(k, k->a[1], &a, sizeof(a)) ? 0 : -XEN_EFAULT;
}

/* port u32, vcpu u32 */
static s64 bind_vcpu(struct xen_call *k)
{
    u32 a[2];
    struct xen *x = k->x;
    s64 r = 0;

    if (!guest_read(k, k->a[1], a, sizeof(a)))
        return -XEN_EFAULT;
    if (a[1] >= x->nvcpus)
        return -XEN_ENOENT;
    if (!a[0] || a[0] >= XEN_PORTS_MAX)
        return -XEN_EINVAL;
    pthread_mutex_lock(&x->evt_lock);
    struct evtchn *e = &x->port[a[0]];
    bool global_virq = e->state == ECS_VIRQ && e->virq != VIRQ_TIMER && e->virq != VIRQ_DEBUG;
    if (e->state == ECS_UNBOUND || e->state == ECS_INTERDOMAIN || global_virq)
        e->vcpu = (u16)a[1];
    else
        r = -XEN_EINVAL;
    pthread_mutex_unlock(&x->evt_lock);
    return r;
}

static s64 unmask(struct xen_call *k)
{
    u32 port;
    s64 r;
    struct xen *x = k->x;
    struct evtchn *e = port_of(k, &port, &r);

    if (!e)
        return r;
    if (e->state == ECS_FREE || e->state == ECS_RESERVED)
        r = -XEN_EINVAL;
    else if (x->fifo)
        fifo_unmask(x, port);
    else if (clear_bit(x->shared->evtchn_mask, port) && test_bit(x->shared->evtchn_pending, port))
        select_word(x, port);
    pthread_mutex_unlock(&x->evt_lock);
    return r;
}

/* Closes all ports and goes back to the two-level ABI. */
static s64 reset(struct xen_call *k)
{
    u16 dom;
    struct xen *x = k->x;

    if (!guest_read(k, k->a[1], &dom, sizeof(dom)))
        return -XEN_EFAULT;
    if (!is_self(dom))
        return -XEN_EPERM;
    pthread_mutex_lock(&x->evt_lock);
    for (u32 p = 1; p < XEN_PORTS_MAX; p++)
        if (x->port[p].state > ECS_RESERVED)
            free_port(x, p);
    fifo_reset(x);
    pthread_mutex_unlock(&x->evt_lock);
    return 0;
}

/* control_gfn u64, offset u32, vcpu u32, link_bits u8 (out) */
static s64 init_control(struct xen_call *k)
{
    struct {
        u64 gfn;
        u32 offset, vcpu;
        u8 link_bits, pad[7];
    } a;

    if (!guest_read(k, k->a[1], &a, sizeof(a)))
        return -XEN_EFAULT;
    a.link_bits = 17;
    pthread_mutex_lock(&k->x->evt_lock);
    s64 r = fifo_init_control(k->x, a.gfn, a.offset, a.vcpu);
    pthread_mutex_unlock(&k->x->evt_lock);
    if (r)
        return r;
    return guest_write(k, k->a[1], &a, sizeof(a)) ? 0 : -XEN_EFAULT;
}

static s64 expand_array(struct xen_call *k)
{
    u64 gfn;

    if (!guest_read(k, k->a[1], &gfn, sizeof(gfn)))
        return -XEN_EFAULT;
    pthread_mutex_lock(&k->x->evt_lock);
    s64 r = fifo_expand_array(k->x, gfn);
    pthread_mutex_unlock(&k->x->evt_lock);
    return r;
}

/* port u32, priority u32 */
static s64 set_priority(struct xen_call *k)
{
    u32 a[2];
    s64 r = 0;

    if (!guest_read(k, k->a[1], a, sizeof(a)))
        return -XEN_EFAULT;
    if (!a[0] || a[0] >= XEN_PORTS_MAX || a[1] > EVTCHN_FIFO_PRIORITY_MIN)
        return -XEN_EINVAL;
    pthread_mutex_lock(&k->x->evt_lock);
    if (!k->x->fifo)
        r = -XEN_ENOSYS;
    else if (k->x->port[a[0]].state <= ECS_RESERVED)
        r = -XEN_EINVAL;
    else
        k->x->port[a[0]].priority = (u8)a[1];
    pthread_mutex_unlock(&k->x->evt_lock);
    return r;
}

s64 xen_event_channel_op(struct xen_call *k)
{
    switch ((u32)k->a[0]) {
    case EVTCHNOP_alloc_unbound:
        return alloc_unbound(k);
    case EVTCHNOP_bind_virq:
        return bind_virq(k);
    case EVTCHNOP_bind_ipi:
        return bind_ipi(k);
    case EVTCHNOP_close:
        return close_port(k);
    case EVTCHNOP_send:
        return send(k);
    case EVTCHNOP_status:
        return status(k);
    case EVTCHNOP_bind_vcpu:
        return bind_vcpu(k);
    case EVTCHNOP_unmask:
        return unmask(k);
    case EVTCHNOP_reset:
        return reset(k);
    case EVTCHNOP_init_control:
        return init_control(k);
    case EVTCHNOP_expand_array:
        return expand_array(k);
    case EVTCHNOP_set_priority:
        return set_priority(k);
    case EVTCHNOP_bind_interdomain:
    case EVTCHNOP_bind_pirq:
        return -XEN_EINVAL;
    default:
        return -XEN_ENOSYS;
    }
}

void evtchn_reset(struct xen *x)
{
    memset(x->port, 0, XEN_PORTS_MAX * sizeof(*x->port));
    x->port[0].state = ECS_RESERVED;
    x->next_port = 1;
    fifo_reset(x);
}
