/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Screen, keyboard and pointer of a Xen guest: the back ends vfb and vkbd.
 */
#ifndef WIRT_PV_XEN_SCREEN_H
#define WIRT_PV_XEN_SCREEN_H

#include "pv/xen/xen.h"

struct fbback;
struct kbdback;

/* Puts a vfb in front of the guest, and itself behind display d, which stays the caller's. */
int fbback_open(struct xen *x, struct display *d, struct err *e);
/* Disconnected. */
void fbback_close(struct xen *x);

/* Puts a vkbd in front of the guest, and fills *sink.  width, height: what the pointer's place is
 * told in. */
int kbdback_open(struct xen *x, struct input_sink *sink, u32 width, u32 height, struct err *e);
void kbdback_close(struct xen *x);

#endif
