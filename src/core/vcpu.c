/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/vcpu.h"

#include "core/vm.h"

#include <sched.h>

enum { SPINS = 64 }; /* before another thread gets the processor */

void vcpu_raise(struct vcpu *v, u32 events)
{
    bool asleep;

    if ((__atomic_fetch_or(&v->events, events, __ATOMIC_ACQ_REL) & events) == events)
        return; /* whoever raised them first has woken it */
    pthread_mutex_lock(&v->lock);
    asleep = v->asleep;
    if (asleep)
        pthread_cond_signal(&v->wake);
    pthread_mutex_unlock(&v->lock);
    if (!asleep && v->e && v->vm->engine->kick)
        v->vm->engine->kick(v);
}

void vcpu_wait(struct vcpu *v, u32 wanted)
{
    pthread_mutex_lock(&v->lock);
    v->asleep = true;
    while (!(vcpu_events(v) & wanted))
        pthread_cond_wait(&v->wake, &v->lock);
    v->asleep = false;
    pthread_mutex_unlock(&v->lock);
}

static bool has_flushed(const struct vcpu *v)
{
    u32 ev = vcpu_events(v);

    return !(ev & VCPU_FLUSH) || ev & VCPU_LEAVE || !v->started ||
           __atomic_load_n(&v->asleep, __ATOMIC_RELAXED) ||
           __atomic_load_n(&v->inside, __ATOMIC_SEQ_CST);
}

void vcpu_await_flush(struct vm *vm, u64 vcpus)
{
    unsigned spins = 0;

    for (unsigned i = 0; i < vm->ncpus; i++)
        while (vcpus >> i & 1 && !has_flushed(&vm->vcpu[i]))
            if (++spins > SPINS)
                sched_yield();
}
