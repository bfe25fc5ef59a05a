/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Suspend and resume as Xen does it (docs/misc/xenstore-paths, sched.h): control/shutdown says
 * "suspend", the guest's drivers stop, and one vCPU calls SCHEDOP_shutdown with all others held by
 * the guest itself.  That call does not return until somebody says how it ends:
 *
 *     0  the guest is in a new domain: no port is bound, no page is shared, no grant is mapped, the
 *        store is new; what it was it builds again
 *     1  it was cancelled, and everything is as it was
 *
 * So a saved machine holds memory and processors, and of what is in this folder only which pages
 * the balloon has taken, and a classic PV guest's processors and page tables (pv_state.c).  The
 * saved instruction pointer is at the call, which the vCPU makes anew.
 */
#include "pv/xen/blkback.h"
#include "pv/xen/pv.h"
#include "pv/xen/xenbus.h"

#include <errno.h>
#include <string.h>

enum { NONE, ASKED, WAITING, CANCELLED, RESUMED };

static u8 state_of(const struct xen *x)
{
    return __atomic_load_n(&x->suspend, __ATOMIC_SEQ_CST);
}

static bool move(struct xen *x, u8 from, u8 to)
{
    return __atomic_compare_exchange_n(&x->suspend, &from, to, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

s64 suspend_call(struct xen_call *k)
{
    struct xen *x = k->x;

    if (move(x, RESUMED, NONE))
        return 0;
    if (x->pv && !pv_page(x->pv, k->a[2]))
        return -XEN_EINVAL;
    if (move(x, ASKED, WAITING)) {
        x->suspended_cpu = k->v->vcpu;
        x->suspended_info = k->a[2];
        loop_post(x->vm->loop, &x->suspended);
    }
    if (state_of(x) == WAITING) {
        vcpu_wait(k->v->vcpu, VCPU_POLL | VCPU_NMI | VCPU_INIT | VCPU_FLUSH | VCPU_CODE |
                                  VCPU_CALL | VCPU_LEAVE);
        vcpu_lower(k->v->vcpu, VCPU_POLL);
        k->result = PV_AGAIN;
        return 0;
    }
    move(x, CANCELLED, NONE);
    return 1; /* nobody has asked, or does not want it any more */
}

static void is_suspended(void *opaque)
{
    struct xen *x = opaque;

    if (state_of(x) == WAITING)
        x->on_suspended(x->on_suspended_opaque);
}

bool xen_suspend(struct xen *x, void (*done)(void *opaque), void *opaque)
{
    x->on_suspended = done;
    x->on_suspended_opaque = opaque;
    x->suspended = (struct loop_job){.fn = is_suspended, .opaque = x};
    if (!move(x, NONE, ASKED))
        return false;
    xen_shutdown_guest(x, "suspend");
    return true;
}

bool xen_is_suspended(const struct xen *x)
{
    return state_of(x) == WAITING;
}

void xen_suspend_cancel(struct xen *x)
{
    if (move(x, ASKED, NONE))
        return;
    loop_cancel(x->vm->loop, &x->suspended);
    if (move(x, WAITING, CANCELLED))
        vcpu_raise(x->suspended_cpu, VCPU_POLL);
}

void suspend_reset(struct xen *x)
{
    __atomic_store_n(&x->suspend, NONE, __ATOMIC_SEQ_CST);
    loop_cancel(x->vm->loop, &x->suspended);
}

/* ----------------------------------------------------------------- state -- */

static const struct field fields[] = {
    FIELD(struct xen_saved, wallclock),
    FIELD(struct xen_saved, target),
    FIELD(struct xen_saved, down),
    FIELD(struct xen_saved, frames),
};
const struct state_desc xen_saved_state = STATE_DESC("xen", 1, fields);

u8 *xen_save(struct xen *x, struct xen_saved *s, u64 *len)
{
    BUG_ON(state_of(x) != WAITING);
    *s = (struct xen_saved){
        .wallclock = x->cfg.wallclock, .target = x->ram_frames * 4, .frames = x->ram_frames};
    xenstore_lock(x->store);
    xs_read_number(x->store, "/local/domain/1/memory/target", UINT64_MAX, &s->target);
    xenstore_unlock(x->store);
    for (unsigned i = 0; i < x->nvcpus; i++)
        s->down |= (u64)x->vcpu[i].down << i;
    blkback_drain_all(x);
    if (x->pv)
        pv_settle(x);
    *len = (x->ram_frames / 64 + 1) * sizeof(u64);
    return (u8 *)x->populated;
}

int xen_load(struct xen *x, const struct xen_saved *s, const u8 *pages, u64 len)
{
    if (s->frames != x->ram_frames || len != (x->ram_frames / 64 + 1) * sizeof(u64))
        return -EINVAL;
    xen_reset(x);
    memcpy(x->populated, pages, len);
    x->current_pages = 0;
    for (u64 i = 0; i < x->ram_frames; i++)
        x->current_pages += x->populated[i / 64] >> (i % 64) & 1;
    for (unsigned i = 0; i < x->nvcpus; i++) {
        x->vcpu[i].down = s->down >> i & 1;
        vcpu_hold(x->vcpu[i].vcpu, x->vcpu[i].down);
    }
    x->cfg.wallclock = s->wallclock;
    time_wallclock(x);
    xen_set_memory(x, s->target);
    __atomic_store_n(&x->suspend, RESUMED, __ATOMIC_SEQ_CST);
    return 0;
}

void xen_stood(struct xen *x, u64 ns)
{
    pthread_mutex_lock(&x->evt_lock);
    x->cfg.wallclock += (s64)(ns / NS_PER_SEC);
    time_wallclock(x);
    pthread_mutex_unlock(&x->evt_lock);
}
