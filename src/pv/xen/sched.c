/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Giving the processor away, and ending the machine: sched.h.
 */
#include "pv/xen/internal.h"

#include <sched.h>

/* --------------------------------------------------------------- poll -- */

/* Is one of the vCPU's ports pending?  evt_lock held. */
static bool any_pending(const struct xen_vcpu *v)
{
    for (unsigned i = 0; i < v->npoll; i++)
        if (evtchn_is_pending(v->x, v->poll_port[i]))
            return true;
    return false;
}

/* Sleeps until a port is pending, the time is over, or the vCPU is wanted for something else; the
 * guest looks itself which it was. */
static void sleep_poll(struct xen_call *k, u64 deadline)
{
    struct xen_vcpu *v = k->v;
    struct xen *x = k->x;
    u32 wake = VCPU_POLL | VCPU_NMI | VCPU_INIT | VCPU_FLUSH | VCPU_CODE | VCPU_CALL | VCPU_LEAVE |
               (k->p->interrupts ? VCPU_INTR : 0);

    pthread_mutex_lock(&x->evt_lock);
    bool wait = !any_pending(v) && (!deadline || deadline > clock_now(x->vm->clock));
    v->polling = wait;
    if (wait && deadline)
        timer_set(x->vm->clock, &v->poll, deadline);
    pthread_mutex_unlock(&x->evt_lock);
    if (!wait)
        return;
    vcpu_wait(v->vcpu, wake);
    pthread_mutex_lock(&x->evt_lock);
    v->polling = false;
    timer_del(x->vm->clock, &v->poll);
    vcpu_lower(v->vcpu, VCPU_POLL);
    pthread_mutex_unlock(&x->evt_lock);
}

/* ports pointer u64, nr_ports u32, timeout u64 */
static s64 poll(struct xen_call *k)
{
    struct {
        u64 ports;
        u32 nr, pad;
        u64 timeout;
    } a;
    u32 port[ARRAY_SIZE(k->v->poll_port)];

    if (!guest_read(k, k->a[1], &a, sizeof(a)))
        return -XEN_EFAULT;
    if (a.nr > ARRAY_SIZE(port))
        return -XEN_EINVAL;
    if (!guest_read(k, a.ports, port, a.nr * sizeof(*port)))
        return -XEN_EFAULT;
    for (unsigned i = 0; i < a.nr; i++) {
        if (port[i] >= XEN_PORTS_MAX)
            return -XEN_EINVAL;
        k->v->poll_port[i] = (u16)port[i];
    }
    k->v->npoll = a.nr;
    sleep_poll(k, a.timeout);
    return 0;
}

/* ----------------------------------------------------------- shutdown -- */

static s64 shut_down(struct xen_call *k)
{
    struct vm *vm = k->x->vm;
    u32 reason;

    if (!guest_read(k, k->a[1], &reason, sizeof(reason)))
        return -XEN_EFAULT;
    switch (reason) {
    case SHUTDOWN_poweroff:
        vm_request_end(vm, VM_POWEROFF, 0);
        break;
    case SHUTDOWN_reboot:
    case SHUTDOWN_crash:
    case SHUTDOWN_watchdog:
        trace(&vm->trace, xen, "shutdown, reason %u", reason);
        vm_request_reset(vm);
        break;
    case SHUTDOWN_suspend:
        return suspend_call(k);
    default:
        return -XEN_EINVAL;
    }
    /* the caller must not come back */
    k->p->interrupts = false;
    k->result = PV_HALT;
    return 0;
}

s64 xen_sched_op(struct xen_call *k)
{
    u32 code;

    switch ((u32)k->a[0]) {
    case SCHEDOP_yield:
        sched_yield();
        return 0;
    case SCHEDOP_block: {
        struct xen_vcpu *v = k->v;
        __atomic_store_n(&v->info->evtchn_upcall_mask, 0, __ATOMIC_SEQ_CST);
        k->p->interrupts |= k->x->pv != NULL;
        k->result = PV_HALT;
        return 0;
    }
    case SCHEDOP_shutdown:
        return shut_down(k);
    case SCHEDOP_shutdown_code:
        return guest_read(k, k->a[1], &code, sizeof(code)) ? 0 : -XEN_EFAULT;
    case SCHEDOP_poll:
        return poll(k);
    default:
        return -XEN_ENOSYS;
    }
}
