/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One QMP conversation, without the socket under it.  On the loop's thread.
 */
#ifndef WIRT_CONTROL_QMP_H
#define WIRT_CONTROL_QMP_H

#include "control/control.h"

enum { QMP_MESSAGE_MAX = 64 << 10, QMP_DEPTH_MAX = 32 };

struct qmp;

struct qmp_ops {
    /* A whole line, its end included. */
    void (*send)(void *opaque, const char *line, size_t n);
    /* A pending command is done: qmp_input() takes bytes again.  Not called from qmp_input(). */
    void (*ready)(void *opaque);
};

/* Sends the greeting.  NULL when memory is short. */
struct qmp *qmp_new(struct control *c, const struct qmp_ops *ops, void *opaque);
/* Takes bytes and answers; returns how many it took: fewer than n while a command is pending. */
size_t qmp_input(struct qmp *q, const char *buf, size_t n);
/* The client has gone; ops are not called any more.  A command under way goes on. */
void qmp_free(struct qmp *q);

/* ---- between qmp.c and control.c ---- */

void qmp_send_event(struct qmp *q, const char *line, size_t n);
/* Every conversation ends, with what is under way. */
void qmp_cancel_all(struct control *c);

#endif
