/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other end of a control socket, for subcommands: one call at a time, waiting for its reply.
 */
#ifndef WIRT_CONTROL_CLIENT_H
#define WIRT_CONTROL_CLIENT_H

#include "base/err.h"
#include "base/types.h"

#include <jansson.h>

struct qmp_client;

/* machine: a name, or the path of a socket when it has a '/' in it.  -ENOENT with one line when no
 * such machine runs. */
int qmp_connect(struct qmp_client **out, const char *machine, struct err *e);
/*
 * args (stolen) may be NULL.  0, and *ret (unless NULL) the reply, for json_decref(); or -errno
 * with one line, the machine's own words included.  timeout_ms: how long to wait, -1 = for ever.
 */
int qmp_call(struct qmp_client *c, const char *command, json_t *args, json_t **ret, int timeout_ms,
             struct err *e);
/* Waits until the machine ends the connection. */
int qmp_wait_end(struct qmp_client *c, int timeout_ms, struct err *e);
void qmp_disconnect(struct qmp_client *c); /* NULL does nothing */

#endif
