/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Local APICs that an engine runs itself: how their registers come and go.  What is moved how is
 * the engine's business (src/kvm/apic.c).
 */
#include "dev/lapic_internal.h"

u64 lapic_give(struct lapic *l)
{
    u64 deadline;

    pthread_mutex_lock(&l->lock);
    lapic_timer_leave(l);
    deadline = lapic_timer_tsc_deadline(l);
    pthread_mutex_unlock(&l->lock);
    return deadline;
}

void lapic_take(struct lapic *l, u64 tsc_deadline)
{
    pthread_mutex_lock(&l->lock);
    l->esr_pending = 0;
    l->tsc_deadline = tsc_deadline;
    lapic_timer_enter(l);
    pthread_mutex_unlock(&l->lock);
}

void lapic_taken(struct lapic *l)
{
    pthread_mutex_lock(&l->lock);
    lapic_timer_rearm(l);
    lapic_update_intr(l);
    pthread_mutex_unlock(&l->lock);
}

void lapic_mirror(struct lapic *l, u64 base, u8 tpr)
{
    pthread_mutex_lock(&l->lock);
    __atomic_store_n(&l->base, base, __ATOMIC_RELAXED);
    __atomic_store_n(&l->tpr, (tpr & 15u) << 4, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&l->lock);
}

void lapic_route(void *opaque, unsigned n, u64 addr, u32 data)
{
    struct lapic_bus *b = opaque;

    pthread_mutex_lock(&b->lock);
    if (b->route[n].addr != addr || b->route[n].data != data) {
        b->route[n] = (struct lapic_route){addr, data};
        if (b->host)
            b->host->routed(b->host_opaque);
    }
    pthread_mutex_unlock(&b->lock);
}
