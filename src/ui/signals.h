/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SIGTERM, SIGINT and SIGHUP as events of the loop, so that a machine ends in order.
 */
#ifndef WIRT_UI_SIGNALS_H
#define WIRT_UI_SIGNALS_H

#include "base/err.h"
#include "base/loop.h"

struct signals {
    struct loop_fd fd;
    struct loop *loop;
    void (*fn)(void *opaque, int sig);
    void *opaque;
};

/* Before any other thread exists: blocks the three and SIGWINCH, and ignores SIGPIPE. */
void signals_block(void);
int signals_open(struct signals *s, struct loop *l, void (*fn)(void *opaque, int sig), void *opaque,
                 struct err *e);
void signals_close(struct signals *s);

#endif
