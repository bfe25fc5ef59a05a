/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands that save a machine.  The machine stands still meanwhile, and so does its event loop.
 */
#include "board/pc_state.h"
#include "board/snapshots.h"
#include "board/xen_state.h"
#include "control/internal.h"

#include <errno.h>
#include <stdlib.h>

/* A Xen guest suspends itself first. */
struct xen_save {
    struct control_call *call;
    struct timer patience;
    struct err why;
};

enum { XEN_PATIENCE = 30 }; /* seconds */

/* NULL = the guest is not Xen's. */
static struct xen *domain(const struct control_call *call)
{
    const struct control_machine *m = call->machine;
    return m->xen ? m->xen->xen : m->pc ? m->pc->xen : NULL;
}

/* Ends the call: why says how. */
static void end_xen_save(struct xen_save *s)
{
    struct control_call *call = s->call;
    struct err why = s->why;
    timer_del(call->machine->vm->clock, &s->patience);
    free(s);
    control_done(call, &why);
}

static void on_suspended(void *opaque)
{
    struct xen_save *s = opaque;
    struct control_call *call = s->call;
    struct vm *vm = call->machine->vm;
    vm_pause(vm);
    const char *file = control_str(call, "filename", "");
    int r = call->machine->xen ? xen_pvh_save(call->machine->xen, file, &s->why)
                               : pc_save(call->machine->pc, file, &s->why);
    if (!r && !control_bool(call, "keep-running", false)) {
        call->control->wants_quit = true;
        vm_request_end(vm, VM_QUIT, 0);
    } else {
        xen_suspend_cancel(domain(call));
        vm_resume(vm);
    }
    end_xen_save(s);
}

static void not_suspended(void *opaque)
{
    struct xen_save *s = opaque;
    xen_suspend_cancel(domain(s->call));
    err_set(&s->why, ETIMEDOUT, "the guest did not suspend itself within %d seconds", XEN_PATIENCE);
    end_xen_save(s);
}

static void cancel_xen_save(struct control_call *call)
{
    struct xen_save *s = call->state;
    xen_suspend_cancel(domain(call));
    timer_del(call->machine->vm->clock, &s->patience);
    free(s);
}

static int save_xen(struct control_call *call, struct err *e)
{
    struct vm *vm = call->machine->vm;
    struct xen_save *s = calloc(1, sizeof(*s));
    if (!s)
        return err_set(e, ENOMEM, "out of memory");
    s->call = call;
    s->patience = (struct timer){.fn = not_suspended, .opaque = s};
    if (vm->paused || !xen_suspend(domain(call), on_suspended, s)) {
        bool paused = vm->paused;
        free(s);
        return err_set(e, EBUSY, "%s",
                       paused ? "the machine is paused: its guest cannot suspend"
                              : "the guest cannot suspend now");
    }
    timer_set(vm->clock, &s->patience, clock_now(vm->clock) + XEN_PATIENCE * NS_PER_SEC);
    call->state = s;
    call->cancel = cancel_xen_save;
    return CONTROL_PENDING;
}

/* To a file; then the machine ends, unless "keep-running" is given. */
static int save(struct control_call *call, struct err *e)
{
    if (domain(call))
        return save_xen(call, e);
    struct vm *vm = call->machine->vm;
    bool keep = control_bool(call, "keep-running", false), was_paused = vm->paused;
    if (!call->machine->pc)
        return err_set(e, ENODEV, "there is no machine to save");
    vm_pause(vm);
    int r = pc_save(call->machine->pc, control_str(call, "filename", ""), e);
    if (!r && !keep) {
        call->control->wants_quit = true;
        vm_request_end(vm, VM_QUIT, 0);
    } else if (!was_paused) {
        vm_resume(vm);
    }
    return r ? r : CONTROL_DONE;
}

static int need_machine(struct control_call *call, struct err *e)
{
    if (domain(call))
        return err_set(e, ENOTSUP,
                       "a Xen guest takes no snapshots: it must suspend itself to be saved");
    return call->machine->pc ? 0 : err_set(e, ENODEV, "there is no machine to save");
}

static int snapshot(struct control_call *call, struct err *e)
{
    int r = need_machine(call, e);
    return r ? r : snapshot_take(call->machine->pc, control_str(call, "tag", ""), e);
}

static int restore(struct control_call *call, struct err *e)
{
    int r = need_machine(call, e);
    return r ? r : snapshot_restore(call->machine->pc, control_str(call, "tag", ""), e);
}

static int forget(struct control_call *call, struct err *e)
{
    int r = need_machine(call, e);
    return r ? r : snapshot_delete(call->machine->pc, control_str(call, "tag", ""), e);
}

static int list(struct control_call *call, struct err *e)
{
    struct snapshot *l;
    unsigned n;
    int r = snapshot_list(call->machine->vm->name, &l, &n, e);
    if (r)
        return r;
    json_t *all = json_array();
    for (unsigned i = 0; i < n; i++)
        json_array_append_new(all,
                              json_pack("{s:s, s:I, s:I}", "tag", l[i].tag, "date-sec",
                                        (json_int_t)l[i].seconds, "size", (json_int_t)l[i].size));
    free(l);
    control_return(call, all);
    return CONTROL_DONE;
}

const struct control_command control_save_commands[] = {
    {"x-snapshot", {{"tag", CONTROL_STR}}, snapshot},
    {"x-snapshot-delete", {{"tag", CONTROL_STR}}, forget},
    {"x-restore", {{"tag", CONTROL_STR}}, restore},
    {"x-snapshots", {{0}}, list},
    {"x-save", {{"filename", CONTROL_STR}, {"keep-running", CONTROL_BOOL, true}}, save},
};
const unsigned control_save_command_count = ARRAY_SIZE(control_save_commands);
