/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets that somebody else connects to.
 */
#ifndef WIRT_UI_LISTEN_H
#define WIRT_UI_LISTEN_H

#include "base/err.h"

/* Listens at path, mode 0600, non-blocking and close-on-exec; gives the descriptor or -errno:
 * -EADDRINUSE when somebody serves it.  A socket file that nobody serves is replaced; any other
 * file is the user's and stays. */
int unix_listen(const char *path, int backlog, struct err *e);
/* The same for TCP, with close-on-exec and SO_REUSEADDR.  address: numeric; one that is not
 * loopback is refused with -EPERM unless is_public. */
int tcp_listen(const char *address, unsigned port, bool is_public, struct err *e);
/* Connects; gives a blocking descriptor or -errno. */
int unix_connect(const char *path, struct err *e);

#endif
