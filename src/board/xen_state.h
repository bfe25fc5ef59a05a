/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine of a Xen guest without a PC to and from the file of a saved machine: the guest is
 * suspended (xen_suspend()), and wakes up in a new domain.
 */
#ifndef WIRT_BOARD_XEN_STATE_H
#define WIRT_BOARD_XEN_STATE_H

#include "board/vm_state.h"
#include "board/xen_pvh.h"

/* The sections of a suspended domain of any kind, and a new domain made from them when memory,
 * processors and the clock are in place: -EINVAL with one line. */
void xen_put_domain(struct xen *x, struct save_out *s);
int xen_get_domain(struct xen *x, const struct save_in *in, struct err *e);
bool xen_domain_section(const char *name);

/* On the loop's thread, with the guest suspended and the machine paused.  -errno with one line: the
 * old file is then as it was. */
int xen_pvh_save(struct xen_pvh *m, const char *path, struct err *e);
/* A machine that is open and has not run goes on from the file.  -EINVAL with one line when the
 * file is of a machine that is made differently.  `in` must live until the machine is closed. */
int xen_pvh_load(struct xen_pvh *m, const struct save_in *in, enum vm_memory how, struct err *e);

#endif
