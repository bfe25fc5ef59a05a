/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network back end: a Xen virtual interface in front of any --net.
 */
#ifndef WIRT_PV_XEN_NETBACK_H
#define WIRT_PV_XEN_NETBACK_H

#include "pv/xen/xen.h"

struct netback;

/* Puts card n at the end of x's list and itself in front of nic->net, which stays the caller's. */
int netback_open(struct xen *x, unsigned n, const struct xen_nic *nic, struct err *e);
/* All of x; disconnected.  On the loop's thread, or when it does not run. */
void netback_close_all(struct xen *x);

/* netoffload.c: where the checksum of a frame is that its sender left blank; false: it is neither
 * TCP nor UDP.  gso_type and gso_size of *o are set already, or 0. */
bool netback_csum_place(const u8 *frame, u32 len, struct nic_offload *o);
/* A queue for a frame: the same one for all of a connection. */
unsigned netback_hash(const u8 *frame, u32 len);

#endif
