/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The screen, keyboard and pointer for VNC viewers (RFC 6143), by libvncserver.
 */
#ifndef WIRT_UI_VNC_H
#define WIRT_UI_VNC_H

#include "base/err.h"
#include "base/loop.h"
#include "core/display.h"
#include "ui/input.h"
#include "ui/listen.h"

enum { VNC_VIEWERS_MAX = 8, VNC_LISTENERS_MAX = 4, VNC_PASSWORD_MAX = 8 };

struct vnc;

/* Where to listen: what --display vnc=SPEC says. */
struct vnc_config {
    struct listen_place at;
    char password_file[LISTEN_FILE_MAX]; /* "" = none */
};

/* "127.0.0.1:1" (display 1 is port 5901), ":1", "[::1]:1", "unix:PATH", each with
 * [,password-file=FILE][,public].  As listen_parse(). */
int vnc_parse(struct vnc_config *c, const char *spec, struct err *e);

/* name: the window's title.  d and in outlive it. */
int vnc_open(struct vnc **out, struct loop *l, struct display *d, struct input *in,
             const char *name, struct err *e);
/* On the loop's thread, or before it runs; any number up to VNC_LISTENERS_MAX. */
int vnc_listen(struct vnc *v, const struct vnc_config *c, struct err *e);
/* A viewer over this connected stream socket, which is taken over; without a password.  On the
 * loop's thread.  -EAGAIN when there are VNC_VIEWERS_MAX. */
int vnc_add(struct vnc *v, int fd);
/* Every viewer's connection ends. */
void vnc_close(struct vnc *v); /* NULL does nothing */

#endif
