/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hvm_op: parameters by which guest and machine find each other's pages and ports, and the upcall
 * vector (hvm/hvm_op.h, hvm/params.h).  None of it is for PV guests, whose start_info says all
 * that.
 */
#include "pv/xen/internal.h"

#include <string.h>

enum { CALLBACK_GSI = 0, CALLBACK_VECTOR = 2 };

/* HVM_PARAM_CALLBACK_IRQ: the kind in bits 63-56; evt_lock held. */
static bool set_callback(struct xen *x, u64 val)
{
    unsigned type = val >> 56;

    x->callback_vector = 0;
    x->callback_gsi = -1;
    if (!val)
        return true;
    if (type == CALLBACK_VECTOR && (u8)val >= 16)
        x->callback_vector = (u8)val;
    else if (type == CALLBACK_GSI && val < ARRAY_SIZE(x->cfg.callback))
        x->callback_gsi = (s16)val;
    else
        return false;
    evtchn_deliver(&x->vcpu[0]);
    return true;
}

/* domid u16, index u32, value u64 */
struct hvm_param {
    u16 domid, pad;
    u32 index;
    u64 value;
};

static s64 set_param(struct xen_call *k)
{
    struct hvm_param a;
    struct xen *x = k->x;
    s64 r = 0;

    if (!guest_read(k, k->a[1], &a, sizeof(a)))
        return -XEN_EFAULT;
    if (!is_self(a.domid))
        return -XEN_ESRCH;
    if (a.index >= HVM_NR_PARAMS)
        return -XEN_EINVAL;
    if (a.index != HVM_PARAM_CALLBACK_IRQ)
        return -XEN_EPERM;
    pthread_mutex_lock(&x->lock);
    pthread_mutex_lock(&x->evt_lock);
    if (set_callback(x, a.value))
        x->param[a.index] = a.value;
    else
        r = -XEN_EINVAL;
    pthread_mutex_unlock(&x->evt_lock);
    pthread_mutex_unlock(&x->lock);
    return r;
}

static s64 get_param(struct xen_call *k)
{
    struct hvm_param a;
    struct xen *x = k->x;

    if (!guest_read(k, k->a[1], &a, sizeof(a)))
        return -XEN_EFAULT;
    if (!is_self(a.domid))
        return -XEN_ESRCH;
    switch (a.index) {
    case HVM_PARAM_CALLBACK_IRQ:
    case HVM_PARAM_STORE_PFN:
    case HVM_PARAM_STORE_EVTCHN:
    case HVM_PARAM_PAE_ENABLED:
    case HVM_PARAM_CONSOLE_PFN:
    case HVM_PARAM_CONSOLE_EVTCHN:
        break;
    default:
        return a.index < HVM_NR_PARAMS ? -XEN_EPERM : -XEN_EINVAL;
    }
    pthread_mutex_lock(&x->lock);
    a.value = x->param[a.index];
    pthread_mutex_unlock(&x->lock);
    return guest_write(k, k->a[1], &a, sizeof(a)) ? 0 : -XEN_EFAULT;
}

/* vcpu u32, vector u8 */
static s64 set_upcall_vector(struct xen_call *k)
{
    struct {
        u32 vcpu;
        u8 vector, pad[3];
    } a;
    struct xen *x = k->x;

    if (!guest_read(k, k->a[1], &a, sizeof(a)))
        return -XEN_EFAULT;
    if (a.vcpu >= x->nvcpus)
        return -XEN_ENOENT;
    if (a.vector < 16)
        return -XEN_EINVAL;
    pthread_mutex_lock(&x->evt_lock);
    x->vcpu[a.vcpu].upcall_vector = a.vector;
    evtchn_deliver(&x->vcpu[a.vcpu]);
    pthread_mutex_unlock(&x->evt_lock);
    return 0;
}

/* domid u16, mem_type u16 (out), pad u32, pfn u64 */
static s64 get_mem_type(struct xen_call *k)
{
    struct {
        u16 domid, type, pad[2];
        u64 pfn;
    } a;

    if (!guest_read(k, k->a[1], &a, sizeof(a)))
        return -XEN_EFAULT;
    a.type = guest_page(k->x, a.pfn) ? HVMMEM_ram_rw : HVMMEM_mmio_dm;
    return guest_write(k, k->a[1], &a, sizeof(a)) ? 0 : -XEN_EFAULT;
}

s64 xen_hvm_op(struct xen_call *k)
{
    u64 now;

    if (k->x->pv)
        return -XEN_EINVAL;
    switch ((u32)k->a[0]) {
    case HVMOP_set_param:
        return set_param(k);
    case HVMOP_get_param:
        return get_param(k);
    case HVMOP_set_evtchn_upcall_vector:
        return set_upcall_vector(k);
    case HVMOP_get_mem_type:
        return get_mem_type(k);
    case HVMOP_get_time:
        now = clock_now(k->x->vm->clock);
        return guest_write(k, k->a[1], &now, sizeof(now)) ? 0 : -XEN_EFAULT;
    case HVMOP_pagetable_dying: /* there are no shadows that would want to know */
        return -XEN_EOPNOTSUPP;
    default:
        return -XEN_ENOSYS;
    }
}

void hvm_reset(struct xen *x)
{
    memset(x->param, 0, sizeof(x->param));
    x->param[HVM_PARAM_PAE_ENABLED] = 1;
    x->param[HVM_PARAM_CONSOLE_PFN] = x->cfg.special_gfn + XEN_SPECIAL_CONSOLE;
    x->callback_vector = 0;
    x->callback_gsi = -1;
}
