/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands that save a machine.  The machine stands still meanwhile, and so does its event loop.
 */
#include "board/pc_state.h"
#include "control/internal.h"

#include <errno.h>

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

const struct control_command control_save_commands[] = {
    {"x-save", {{"filename", CONTROL_STR}, {"keep-running", CONTROL_BOOL, true}}, save},
};
const unsigned control_save_command_count = ARRAY_SIZE(control_save_commands);
