/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block back end: a Xen virtual block device in front of any disk.
 */
#ifndef WIRT_PV_XEN_BLKBACK_H
#define WIRT_PV_XEN_BLKBACK_H

#include "pv/xen/xen.h"

struct blkback;

/* The device number that the guest sees for disk n: xvda, xvdb, ... */
unsigned blkback_vdev(unsigned n);
/* Puts a device at the end of x's list.  blk stays the caller's. */
int blkback_open(struct xen *x, unsigned n, const struct xen_disk *disk, struct err *e);
/* Waits until no request is under way; no vCPU runs. */
void blkback_drain_all(struct xen *x);
/* All of x; disconnected, with no request under way. */
void blkback_close_all(struct xen *x);

#endif
