/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PC to and from the file of a saved machine (core/savefile.h).
 */
#ifndef WIRT_BOARD_PC_STATE_H
#define WIRT_BOARD_PC_STATE_H

#include "board/pc.h"
#include "board/vm_state.h"
#include "core/savefile.h"

/* A part of the machine whose state is a table; sections of the file are called NAME.INSTANCE. */
struct pc_part {
    const char *name;
    unsigned instance; /* of PCI functions: devfn */
    const struct state_desc *desc;
    void *obj;
};

enum { PC_PARTS_MAX = 512 };

struct pc_parts {
    struct pc_part part[PC_PARTS_MAX];
    unsigned n;
};

/* All parts, in the order in which they are to be loaded. */
void pc_list_parts(struct pc *pc, struct pc_parts *list);

/* Disk i, for all there are: the IDE function's four places, floppy drives, virtio and USB disks;
 * *b NULL: an empty drive.  False behind the last. */
bool pc_disk(struct pc *pc, unsigned i, struct blk **b);
/* With the machine paused: disk requests under way and timers that are due come to their end, and
 * what was written is on the disks. */
int pc_settle(struct pc *pc, struct err *e);

/*
 * Writes the machine to a file.  On the loop's thread, with the machine paused (vm_pause); it waits
 * for disk requests under way, so that what the file holds and what the disks hold fit together.
 * -errno with one line: the old file is then as it was, and the machine can go on.
 */
int pc_save(struct pc *pc, const char *path, struct err *e);

/* Is the file of a machine that is made like this one?  What pc_load() checks before it changes
 * anything. */
int pc_check(struct pc *pc, const struct save_in *in, struct err *e);
/*
 * Puts the machine into the state of the file: a machine that is open and not yet run (vm_run()
 * then goes on from there), or one that is paused, with VM_MEMORY_NOW.  It stays paused.  -EINVAL
 * with one line when the file is of a machine that is made differently; the machine must then not
 * run. `in` must live until pc_close().
 */
int pc_load(struct pc *pc, const struct save_in *in, enum vm_memory how, struct err *e);

/* The section "machine": cfg.options of the machine that was saved.  -EINVAL: it has none. */
int pc_saved_options(const struct save_in *in, const char **text, u64 *len, struct err *e);

#endif
