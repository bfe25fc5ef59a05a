/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands that save a machine.  The machine stands still meanwhile, and so does its event loop.
 */
#include "board/pc_state.h"
#include "board/snapshots.h"
#include "control/internal.h"

#include <errno.h>
#include <stdlib.h>

/* To a file; then the machine ends, unless "keep-running" is given. */
static int save(struct control_call *call, struct err *e)
{
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
