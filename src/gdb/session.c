/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A conversation: bytes in, packets out, the machine's stops and starts.  All-stop: while the
 * debugger's user looks, the whole machine is paused, its clock too; while it runs, the debugger
 * waits for one stop reply.
 *
 * Two vCPUs may stop at once.  One is told of; the other's stop, if it is a watch, is told of when
 * the machine is to go on (a breakpoint is found again anyway).
 */
#include "gdb/internal.h"

#include <stdlib.h>
#include <string.h>

enum { SIGNAL_INT = 2, SIGNAL_TRAP = 5 };

/* ------------------------------------------------------------------ sending -- */

static void send_again(struct gdb_session *s)
{
    s->ops.send(s->ops.opaque, s->out.buf, s->out.len);
}

void gdb_session_send(struct gdb_session *s)
{
    gdb_end(&s->out);
    send_again(s);
}

void gdb_reply(struct gdb_session *s, const char *text)
{
    gdb_begin(&s->out);
    gdb_text(&s->out, text);
    gdb_session_send(s);
}

/* ----------------------------------------------------------------- stopping -- */

static void pause(struct gdb_session *s)
{
    bool was = s->resuming;

    if (s->vm->paused)
        return;
    s->resuming = true;
    vm_pause(s->vm);
    s->resuming = was;
    s->stops_it = true;
}

void gdb_stop_reply(struct gdb_session *s, unsigned signal, unsigned cpu)
{
    static const char *const watch[] = {
        [DEBUG_WRITE] = "watch", [DEBUG_READ] = "rwatch", [DEBUG_ACCESS] = "awatch"};
    const struct vcpu_debug *d = &s->vm->vcpu[cpu].debug;

    gdb_begin(&s->out);
    gdb_format(&s->out, "T%02xthread:%x;", signal, cpu + 1);
    if (d->why == DEBUG_WATCH && d->kind < ARRAY_SIZE(watch) && watch[d->kind])
        gdb_format(&s->out, "%s:%llx;", watch[d->kind], (unsigned long long)d->addr);
    else if (d->why == DEBUG_BREAK && s->hwbreak)
        gdb_text(&s->out, "hwbreak:;");
}

/* Which vCPU has something to say, or VM_CPUS_MAX. */
static unsigned find_stop(const struct gdb_session *s)
{
    for (unsigned i = 0; i < s->vm->ncpus; i++)
        if (s->vm->vcpu[i].debug.why != DEBUG_NONE && s->vm->vcpu[i].debug.stopped)
            return i;
    return VM_CPUS_MAX;
}

/* The machine stands: tells the debugger, who waits. */
static void tell(struct gdb_session *s)
{
    unsigned cpu = find_stop(s);
    bool trap = cpu < s->vm->ncpus;

    s->running = false;
    if (trap)
        s->cpu = s->resume_cpu = cpu;
    gdb_stop_reply(s, trap ? SIGNAL_TRAP : SIGNAL_INT, s->cpu);
    gdb_session_send(s);
    if (trap)
        s->vm->vcpu[cpu].debug.why = DEBUG_NONE;
}

void gdb_tell_stop(struct gdb_session *s)
{
    gdb_stop_reply(s, SIGNAL_TRAP, s->cpu);
    gdb_session_send(s);
}

/* A vCPU came to a point, or is through its step. */
static void on_stopped(void *opaque)
{
    struct gdb_session *s = opaque;

    if (!s->running)
        return;
    pause(s);
    tell(s);
}

static void vcpu_stopped(void *opaque)
{
    struct gdb_session *s = opaque;

    loop_post(s->vm->loop, &s->stopped);
}

static void on_vm_event(void *opaque, enum vm_event ev)
{
    struct gdb_session *s = opaque;

    if (ev == VM_EVENT_END && s->running) {
        gdb_begin(&s->out);
        gdb_format(&s->out, s->vm->end == VM_FAILED ? "X%02x" : "W%02x",
                   s->vm->end == VM_FAILED ? 6 : s->vm->exit_code & 0xff);
        gdb_session_send(s);
        s->running = false;
        s->over = true;
    } else if (ev == VM_EVENT_PAUSE && !s->resuming && s->running) {
        tell(s); /* somebody else has paused the machine */
    }
}

/* ----------------------------------------------------------------- going on -- */

/* A watch that two vCPUs met at once is told of now. */
static bool old_news(struct gdb_session *s)
{
    unsigned cpu = find_stop(s);

    if (cpu == VM_CPUS_MAX)
        return false;
    tell(s);
    return true;
}

static void release(struct vm *vm, unsigned cpu, enum gdb_action what, bool irqs)
{
    struct vcpu_debug *d = &vm->vcpu[cpu].debug;

    pthread_mutex_lock(&vm->lock);
    d->why = DEBUG_NONE;
    d->stopped = what == GDB_STAY;
    d->step = what == GDB_STEP;
    d->step_irqs = irqs;
    pthread_mutex_unlock(&vm->lock);
}

void gdb_resume(struct gdb_session *s, const enum gdb_action *what)
{
    struct vm *vm = s->vm;

    for (unsigned i = 0; i < vm->ncpus; i++)
        if (vm->vcpu[i].debug.why == DEBUG_BREAK || vm->vcpu[i].debug.why == DEBUG_STEP)
            vm->vcpu[i].debug.why = DEBUG_NONE;
    s->running = true;
    if (old_news(s))
        return;
    for (unsigned i = 0; i < vm->ncpus; i++)
        release(vm, i, what[i], s->step_irqs);
    s->stops_it = false;
    s->resuming = true;
    vm_resume(vm);
    s->resuming = false;
}

void gdb_let_go(struct gdb_session *s)
{
    struct vm *vm = s->vm;
    bool goes_on = !vm->paused || s->stops_it;

    s->resuming = true;
    vm_pause(vm);
    debug_clear(&vm->debug);
    for (unsigned i = 0; i < vm->ncpus; i++)
        release(vm, i, GDB_GO, false);
    s->running = false;
    if (goes_on)
        vm_resume(vm);
    s->stops_it = false;
    s->resuming = false;
}

/* -------------------------------------------------------------------- bytes -- */

static void interrupt(struct gdb_session *s)
{
    if (!s->running)
        return;
    pause(s);
    tell(s);
}

void gdb_session_input(struct gdb_session *s, const u8 *buf, size_t n)
{
    for (size_t i = 0; i < n && !s->over; i++) {
        switch (gdb_take(&s->in, buf[i])) {
        case GDB_NOTHING:
            break;
        case GDB_INTERRUPT:
            interrupt(s);
            break;
        case GDB_AGAIN:
            if (!s->no_ack && s->out.len)
                send_again(s);
            break;
        case GDB_STRANGE: /* a web page's request, perhaps */
            s->over = true;
            break;
        case GDB_BAD:
            if (!s->no_ack)
                s->ops.send(s->ops.opaque, (const u8 *)"-", 1);
            break;
        case GDB_PACKET:
            if (!s->no_ack)
                s->ops.send(s->ops.opaque, (const u8 *)"+", 1);
            interrupt(s); /* who asks while it runs wants it to stand */
            pause(s);     /* or the control socket has let it run */
            gdb_command(s);
            break;
        }
    }
    if (s->over)
        s->ops.hang_up(s->ops.opaque);
}

/* --------------------------------------------------------------------- life -- */

struct gdb_session *gdb_session_new(struct vm *vm, struct control *control, enum gdb_arch arch,
                                    const struct gdb_session_ops *ops)
{
    struct gdb_session *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->vm = vm;
    s->control = control;
    s->ops = *ops;
    s->regs = arch == GDB_I386 ? &gdb_regs_i386 : &gdb_regs_x86_64;
    s->xml = gdb_regs_xml(s->regs);
    s->state = aligned_alloc(64, align_up(sizeof(*s->state), 64));
    if (!s->xml || !s->state) {
        free(s->xml);
        free(s->state);
        free(s);
        return NULL;
    }
    s->stopped = (struct loop_job){.fn = on_stopped, .opaque = s};
    s->watcher = (struct vm_watcher){.fn = on_vm_event, .opaque = s};
    bool stood = vm->paused;
    pause(s);
    s->stops_it = !stood || vm->start_paused;
    vm->start_paused = false;
    vm->debug.stopped = vcpu_stopped;
    vm->debug.opaque = s;
    vm_watch(vm, &s->watcher);
    return s;
}

void gdb_session_free(struct gdb_session *s)
{
    struct vm *vm = s->vm;

    gdb_monitor_close(s);
    vm_unwatch(vm, &s->watcher);
    gdb_let_go(s);
    vm->debug.stopped = NULL;
    loop_cancel(vm->loop, &s->stopped);
    free(s->xml);
    free(s->state);
    free(s);
}
