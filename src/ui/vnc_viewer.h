/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One VNC viewer: between vnc.c and vnc_viewer.c.  On the loop's thread.
 */
#ifndef WIRT_UI_VNC_VIEWER_H
#define WIRT_UI_VNC_VIEWER_H

#include "core/display.h"
#include "ui/input.h"

struct vnc_viewer;

/* While no viewer's thread runs; NULL when memory is short. */
struct vnc_viewer *vnc_viewer_new(struct display *d, struct input *in, const char *name);
/* Takes the socket over and starts; local: the viewer is on this host; password "" = none.  -EBUSY
 * when it has a viewer already, and other errors; the socket is the caller's then. */
int vnc_viewer_start(struct vnc_viewer *v, int fd, bool local, const char *password);
/* Ends the connection, if there is one, and waits for that. */
void vnc_viewer_stop(struct vnc_viewer *v);
void vnc_viewer_free(struct vnc_viewer *v); /* NULL does nothing */

#endif
