/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A Xen PVH guest's machine to and from the file of a saved machine: the guest is suspended
 * (xen_suspend()), and wakes up in a new domain.
 */
#ifndef WIRT_BOARD_XEN_STATE_H
#define WIRT_BOARD_XEN_STATE_H

#include "board/vm_state.h"
#include "board/xen_pvh.h"

/* On the loop's thread, with the guest suspended and the machine paused.  -errno with one line: the
 * old file is then as it was. */
int xen_pvh_save(struct xen_pvh *m, const char *path, struct err *e);
/* A machine that is open and has not run goes on from the file.  -EINVAL with one line when the
 * file is of a machine that is made differently.  `in` must live until the machine is closed. */
int xen_pvh_load(struct xen_pvh *m, const struct save_in *in, enum vm_memory how, struct err *e);

#endif
