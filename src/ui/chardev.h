/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands behind serial ports and consoles: the terminal, a file, a unix socket.
 */
#ifndef WIRT_UI_CHARDEV_H
#define WIRT_UI_CHARDEV_H

#include "base/err.h"
#include "base/loop.h"
#include "core/backend.h"

/* What the keys behind Ctrl-A do; on the loop's thread. */
struct stdio_keys {
    void (*quit)(void *opaque);
    void (*reset)(void *opaque);
    void (*power_button)(void *opaque);
    void *opaque;
};

/*
 * Standard input and output; a terminal is put into raw mode until close, and restored when the
 * process dies from a signal too.  Once a process.  End of input is not the end of the machine.
 */
int chardev_stdio_open(struct chardev **out, struct loop *l, const struct stdio_keys *keys,
                       struct err *e);

/* Output goes to a file, made or emptied first; there is no input. */
int chardev_file_open(struct chardev **out, const char *path, struct err *e);

/* A listening socket at path, one client at a time; what the guest says while nobody listens is
 * lost.  -EADDRINUSE when somebody serves it; a dead socket file is replaced. */
int chardev_unix_open(struct chardev **out, struct loop *l, const char *path, struct err *e);

/* spec: "stdio", "none" (*out = NULL), "file:PATH", "unix:PATH". */
int chardev_open(struct chardev **out, const char *spec, struct loop *l,
                 const struct stdio_keys *keys, struct err *e);

#endif
