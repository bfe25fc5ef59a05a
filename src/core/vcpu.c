/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/vcpu.h"

#include "core/vm.h"

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
