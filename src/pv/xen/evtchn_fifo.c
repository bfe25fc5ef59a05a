/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The FIFO ABI of event channels: a word a port in pages that the guest gives, and a queue for each
 * priority on each vCPU, linked through the words (event_channel.h, and Xen's design document
 * "FIFO-based event channel ABI").
 *
 * The guest may write anything into words and control blocks at any time.  It can only lose its own
 * events by that: a link is never followed here, the tails are ours, and every loop is bounded.
 * All with evt_lock held.
 */
#include "pv/xen/internal.h"

#include "base/endian.h"

#include <string.h>

enum { CONTROL_SIZE = 8 + 4 * EVTCHN_FIFO_QUEUES, LINK_TRIES = 16 };

static u32 *word_of(const struct xen *x, u32 port)
{
    u8 *page = x->fifo_page[port / 1024];

    return page ? (u32 *)(page + port % 1024 * 4) : NULL;
}

static void told(struct xen *x, const u32 *word)
{
    guest_wrote(x, word, sizeof(*word));
}

bool fifo_is_pending(const struct xen *x, u32 port)
{
    const u32 *w = word_of(x, port);

    return w && (__atomic_load_n(w, __ATOMIC_SEQ_CST) & EVTCHN_FIFO_PENDING);
}

bool fifo_is_masked(const struct xen *x, u32 port)
{
    const u32 *w = word_of(x, port);

    return !w || (__atomic_load_n(w, __ATOMIC_SEQ_CST) & EVTCHN_FIFO_MASKED);
}

void fifo_clear_pending(struct xen *x, u32 port)
{
    u32 *w = word_of(x, port);

    if (w)
        __atomic_fetch_and(w, ~EVTCHN_FIFO_PENDING, __ATOMIC_SEQ_CST);
}

/* Makes the queue's last word point to port.  False: it is in no queue any more. */
static bool set_link(u32 *tail, u32 port)
{
    u32 w = __atomic_load_n(tail, __ATOMIC_SEQ_CST);

    for (unsigned i = 0; i < LINK_TRIES; i++) {
        if (!(w & EVTCHN_FIFO_LINKED))
            return false;
        u32 to = (w & ~(EVTCHN_FIFO_LINK_MASK | EVTCHN_FIFO_BUSY)) | port;
        if (__atomic_compare_exchange_n(tail, &w, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return true;
    }
    return false;
}

static void enqueue(struct xen *x, u32 port)
{
    struct evtchn *e = &x->port[port];
    struct xen_vcpu *v = &x->vcpu[e->vcpu];
    u8 *control = v->fifo.control;
    u16 *tail = &v->fifo.tail[e->priority];
    bool linked = false;

    if (!control)
        return;
    u16 *last = &x->vcpu[e->last_vcpu].fifo.tail[e->last_priority];
    if (last != tail && *last == port)
        *last = 0; /* it has left that queue */
    e->last_vcpu = e->vcpu;
    e->last_priority = e->priority;
    if (*tail && *tail != port) {
        u32 *t = word_of(x, *tail);
        linked = t && set_link(t, port);
        if (linked)
            told(x, t);
    }
    if (!linked)
        __atomic_store_n((u32 *)(control + 8) + e->priority, port, __ATOMIC_SEQ_CST);
    *tail = (u16)port;
    u32 ready = __atomic_fetch_or((u32 *)control, BIT(e->priority), __ATOMIC_SEQ_CST);
    guest_wrote(x, control, CONTROL_SIZE);
    if (!(ready >> e->priority & 1))
        evtchn_upcall(v);
}

void fifo_set_pending(struct xen *x, u32 port)
{
    u32 *w = word_of(x, port);

    if (!w) {
        x->port[port].pending = true;
        return;
    }
    u32 old = __atomic_fetch_or(w, EVTCHN_FIFO_PENDING, __ATOMIC_SEQ_CST);
    if (old & (EVTCHN_FIFO_MASKED | EVTCHN_FIFO_LINKED)) {
        told(x, w);
        return;
    }
    old = __atomic_fetch_or(w, EVTCHN_FIFO_LINKED, __ATOMIC_SEQ_CST);
    /* a link left over from another time must not be followed */
    __atomic_fetch_and(w, old & EVTCHN_FIFO_LINKED ? UINT32_MAX : ~EVTCHN_FIFO_LINK_MASK,
                       __ATOMIC_SEQ_CST);
    told(x, w);
    if (!(old & EVTCHN_FIFO_LINKED))
        enqueue(x, port);
}

void fifo_unmask(struct xen *x, u32 port)
{
    u32 *w = word_of(x, port);

    if (!w)
        return;
    u32 old = __atomic_fetch_and(w, ~EVTCHN_FIFO_MASKED, __ATOMIC_SEQ_CST);
    told(x, w);
    if (old & EVTCHN_FIFO_PENDING)
        fifo_set_pending(x, port);
}

s64 fifo_init_control(struct xen *x, u64 gfn, u32 offset, u32 vcpu)
{
    if (vcpu >= x->nvcpus)
        return -XEN_ENOENT;
    if (offset > PAGE_SIZE - CONTROL_SIZE || offset & 7)
        return -XEN_EINVAL;
    struct xen_vcpu *v = &x->vcpu[vcpu];
    if (v->fifo.control)
        return -XEN_EINVAL;
    u8 *page = guest_page_hold(x, gfn);
    if (!page)
        return -XEN_EINVAL;
    memset(page + offset, 0, CONTROL_SIZE);
    guest_wrote(x, page + offset, CONTROL_SIZE);
    v->fifo.control = page + offset;
    if (x->fifo)
        return 0;
    x->fifo = true;
    for (u32 p = 1; p < XEN_PORTS_MAX; p++) {
        x->port[p].pending = x->shared->evtchn_pending[p / 64] >> (p % 64) & 1;
        x->port[p].priority = x->port[p].last_priority = EVTCHN_FIFO_PRIORITY_DEFAULT;
    }
    return 0;
}

s64 fifo_expand_array(struct xen *x, u64 gfn)
{
    unsigned n = 0;

    if (!x->fifo)
        return -XEN_ENOSYS;
    while (n < XEN_FIFO_PAGES && x->fifo_page[n])
        n++;
    if (n == XEN_FIFO_PAGES)
        return -XEN_ENOSPC;
    u8 *page = guest_page_hold(x, gfn);
    if (!page)
        return -XEN_EINVAL;
    x->fifo_page[n] = page;
    for (u32 p = max(n * 1024u, 1u); p < (n + 1) * 1024; p++) {
        if (!x->port[p].pending || x->port[p].state <= ECS_RESERVED)
            continue;
        x->port[p].pending = false;
        fifo_set_pending(x, p);
    }
    return 0;
}

void fifo_reset(struct xen *x)
{
    x->fifo = false;
    memset(x->fifo_page, 0, sizeof(x->fifo_page));
    for (unsigned i = 0; i < x->nvcpus; i++)
        x->vcpu[i].fifo = (struct fifo_vcpu){0};
}
