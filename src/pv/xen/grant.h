/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's grant table, as back ends use it: a reference that the guest wrote into a ring
 * becomes a page of its memory, if the guest has really granted it to domain 0.
 */
#ifndef WIRT_PV_XEN_GRANT_H
#define WIRT_PV_XEN_GRANT_H

#include "pv/xen/xen.h"

struct grants;

int grant_open(struct xen *x, struct err *e);
void grant_reset(struct xen *x);
void grant_close(struct xen *x);

/* GNTST_okay and the page's host address, or a negative GNTST_*.  The entry stays marked as in use
 * until grant_unmap() with the same `write`.  Any thread, any back end's lock held. */
int grant_map(struct xen *x, u32 ref, bool write, u8 **hva);
void grant_unmap(struct xen *x, u32 ref, bool write);

/* XENMAPSPACE_grant_table: the frame's page at guest frame gfn; 0 or -XEN_E*.  xen.lock held. */
s64 grant_place(struct xen *x, u64 idx, u64 gfn);

/* For a PV guest: every page of the table at its frame (pv.h). */
void grant_show(struct xen *x);

#endif
