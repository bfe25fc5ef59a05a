/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A turn: the program runs in its process until something is not the process's business, and the
 * interpreter does the instruction at which it stopped.
 */
#include "cpu/exception.h"
#include "direct/internal.h"

#include <stdio.h>
#include <stdlib.h>

struct direct *direct_open(struct cpu *c, const struct direct_ops *ops, void *opaque)
{
    struct direct *d = calloc(1, sizeof(*d));

    if (d)
        d->owner.ram_bits = calloc(c->vm->mem.size >> PAGE_SHIFT, 1);
    if (!d || !d->owner.ram_bits) {
        free(d);
        return NULL;
    }
    d->c = c;
    d->ops = ops;
    d->opaque = opaque;
    d->running = -1;
    d->always = c->vm->cpu.direct == DIRECT_ALWAYS;
    d->now = d->known;
    spaces_open(d);
    return d;
}

void direct_close(struct direct *d)
{
    if (!d)
        return;
    spaces_close(d);
    free(d->owner.ram_bits);
    free(d);
}

const struct direct_stats *direct_stats(const struct direct *d)
{
    return &d->stats;
}

void direct_kick(struct direct *d)
{
    int fd = __atomic_load_n(&d->running, __ATOMIC_SEQ_CST);

    if (fd >= 0)
        child_interrupt(fd);
}

/* Runs until something is not the process's business; r and *info say what. */
static enum direct_turn run(struct direct *d, struct shadow *s, struct user_regs_struct *r,
                            enum child_stop *why, siginfo_t *info, bool *broken)
{
    for (;;) {
        bool ran = child_run(&s->child, r, why, info);
        if (r->cs != USER_CS)
            shadow_is_mixed(s);
        if (!ran) {
            *why = CHILD_KICKED;
            when_unfit(d);
            return DIRECT_SOFT;
        }
        switch (*why) {
        case CHILD_GONE:
            return DIRECT_BROKEN;
        case CHILD_KICKED:
            return DIRECT_DONE;
        case CHILD_SYSCALL:
            d->stats.calls++;
            r->rip = r->rip >= 2 ? r->rip - 2 : 0; /* 0: child_run() found it nowhere */
            return DIRECT_STEP;
        case CHILD_SIGNAL:
            break;
        }
        if (info->si_signo == SIGTRAP) {
            registers_before_trap(d->c, r, info->si_code);
            return DIRECT_STEP;
        }
        if (info->si_signo == SIGSYS)
            registers_before_vsyscall(r, info);
        d->stats.faults++;
        /* with NT or ID nothing is mapped: the stub would take them away */
        if (info->si_signo != SIGSEGV || s->child.flags_left ||
            (info->si_code != SEGV_MAPERR && info->si_code != SEGV_ACCERR))
            return DIRECT_STEP;
        u64 start = direct_now();
        enum page_in in = shadow_page_in(&d->owner, s, (u64)info->si_addr, r->rip);
        d->now->faulting += direct_now() - start;
        d->stats.page_ins++;
        *broken = in == PAGE_IN_BROKEN;
        if (in != PAGE_IN_DONE)
            return in == PAGE_IN_SOFT ? DIRECT_STEP : DIRECT_SOON;
        if (vcpu_events(d->c->vcpu))
            return DIRECT_DONE;
    }
}

enum direct_turn direct_turn(struct direct *d)
{
    struct cpu *c = d->c;
    struct user_regs_struct r;
    enum child_stop why = CHILD_KICKED;
    siginfo_t info = {0};
    bool broken = false;
    struct shadow *s;

    if (!registers_fit(c)) {
        when_unfit(d);
        return DIRECT_SOFT;
    }
    s = spaces_loaded(d);
    if (s && shadow_refuses(s, c->s.rip))
        return when_refused(d);
    if (!s || !shadow_apply(s) || !child_put_vectors(&s->child, &c->s.x)) {
        spaces_failed(d, s);
        return DIRECT_SOFT;
    }
    registers_out(&c->s, &r);
    clockid_t clock = child_clock(&s->child);
    u64 start = direct_now(), ns = direct_cpu_time(clock), faulting = d->now->faulting;
    enum direct_turn t = DIRECT_SOFT;
    __atomic_store_n(&d->running, s->child.pidfd, __ATOMIC_SEQ_CST);
    if (!vcpu_events(c->vcpu))
        t = run(d, s, &r, &why, &info, &broken);
    __atomic_store_n(&d->running, -1, __ATOMIC_SEQ_CST);
    if (t == DIRECT_BROKEN || !s->child.pid || !child_get_vectors(&s->child, &c->s.x)) {
        fprintf(stderr, "vCPU %u: the process of a guest's program was ended\n", c->vcpu->index);
        return DIRECT_BROKEN;
    }
    ns = direct_cpu_time(clock) - ns;
    if (broken)
        spaces_failed(d, s);
    registers_in(c, &r);
    d->in_program = false;
    d->entries = 0;
    u64 cycles = direct_now() - start;
    d->waits = 0;
    d->stats.runs++;
    d->stats.cycles += cycles;
    d->now->ran += cycles - (d->now->faulting - faulting);
    when_turned(d, ns);
    if (why == CHILD_SIGNAL && info.si_signo == SIGTRAP && info.si_code == TRAP_TRACE) {
        c->s.dr[6] |= BIT(14); /* BS: the trap of POPF's TF, one instruction later */
        interrupt_deliver(c, EXC_DB, INT_EXC);
        return DIRECT_DONE;
    }
    if (t == DIRECT_STEP)
        d->stats.steps++;
    return t;
}
