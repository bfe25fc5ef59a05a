/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots of a whole machine, memory and disks together: a saved machine (board/pc_state.h) named
 * TAG.wirt in a folder of the machine's own, and the same tag in each of its disks.  Raw disks have
 * a copy TAG.disk-N there.
 *
 * The folder is $XDG_STATE_HOME/wirt/NAME, else ~/.local/state/wirt/NAME.
 */
#ifndef WIRT_BOARD_SNAPSHOTS_H
#define WIRT_BOARD_SNAPSHOTS_H

#include "board/pc.h"

/* On the loop's thread; the machine stands still meanwhile and is then as it was (paused or not).
 * -EEXIST: there is one of this tag. */
int snapshot_take(struct pc *pc, const char *tag, struct err *e);
/* When disks were brought back and memory then could not be, the machine ends (VM_FAILED). */
int snapshot_restore(struct pc *pc, const char *tag, struct err *e);
int snapshot_delete(struct pc *pc, const char *tag, struct err *e);

struct snapshot {
    char tag[64];
    s64 seconds; /* since 1970 UTC */
    u64 size;    /* bytes of the file */
};
/* Those of a machine of this name, running or not, oldest first; *list is malloc'ed.  None: 0. */
int snapshot_list(const char *name, struct snapshot **list, unsigned *n, struct err *e);

#endif
