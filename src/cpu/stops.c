/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/stops.h"

#include "cpu/mmu.h"

void stops_begin(struct cpu *c)
{
    const struct debug *d = &c->vm->debug;

    c->debug = (u8)((d->nexec ? CPU_STOPS : 0) | (d->nwatch ? CPU_WATCHES : 0) |
                    (c->vcpu->debug.step ? CPU_STEP : 0));
    if (likely(c->debug_gen == d->gen))
        return;
    c->debug_gen = d->gen;
    mmu_flush_all(c);
}

void stops_now(struct cpu *c, enum debug_why why)
{
    c->debug |= CPU_STOPPED;
    if (c->vcpu->debug.why == DEBUG_NONE || c->vcpu->debug.why == DEBUG_STEP)
        c->vcpu->debug.why = why;
}

void stops_look_at(struct cpu *c, u64 lin, u64 len, bool write)
{
    const struct debug_watch *w =
        debug_watches(&c->vm->debug, lin, len, BIT(write ? DEBUG_WRITE : DEBUG_READ));

    if (!w)
        return;
    stops_now(c, DEBUG_WATCH);
    c->vcpu->debug.addr = w->addr;
    c->vcpu->debug.kind = w->kind;
    c->leave = true;
}
