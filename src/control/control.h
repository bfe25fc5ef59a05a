/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine's control socket: QMP (QEMU's docs/interop/qmp-spec) on Unix sockets, on the machine's
 * event loop.  JSON objects one after another; greeting, capabilities negotiation (we offer none),
 * commands with "id", replies in order, events.  Sockets are for their owner alone (mode 0600, and
 * the peer's user is looked at); still, what comes in is bounded and checked, and nothing that
 * comes in ends more than its own connection.
 *
 * A command is a row of a table (control/commands.c); other files add theirs:
 *
 *     static const struct control_command rows[] = {
 *         {"snapshot-save", {{"tag", CONTROL_STR}, {"wait", CONTROL_BOOL, true}}, snapshot_save},
 *     };
 *     control_add(c, rows, ARRAY_SIZE(rows));
 *
 * Everything here on the loop's thread, or before it runs.
 */
#ifndef WIRT_CONTROL_CONTROL_H
#define WIRT_CONTROL_CONTROL_H

#include "base/err.h"
#include "board/pc.h"
#include "board/xen_pvh.h"
#include "core/display.h"
#include "core/vm.h"
#include "ui/input.h"

#include <jansson.h>

struct control;

/* What commands act on; it outlives the control. */
struct control_machine {
    struct vm *vm;
    struct pc *pc;           /* NULL: a Xen guest's machine, or a test */
    struct xen_pvh *xen;     /* the other way round */
    struct display *display; /* NULL = no screen */
    struct input *input;     /* NULL = no keyboard */
};

int control_open(struct control **out, const struct control_machine *m, struct err *e);
/* Also listens at this path. */
int control_listen(struct control *c, const char *path, struct err *e);
/* Also listens where machines of this name are looked for (control/place.h); -EEXIST when another
 * machine of this user has the name. */
int control_listen_name(struct control *c, const char *name, struct err *e);
/* Tells clients, ends commands under way, takes the socket files away.  NULL does nothing. */
void control_close(struct control *c);

/* An event for all clients that have negotiated; data (stolen) may be NULL. */
void control_event(struct control *c, const char *name, json_t *data);

/* --------------------------------------------------------------- commands -- */

enum { CONTROL_ARGS_MAX = 10, CONTROL_DONE = 0, CONTROL_PENDING = 1 };

enum control_type { CONTROL_STR, CONTROL_INT, CONTROL_BOOL, CONTROL_OBJECT, CONTROL_ARRAY };

struct control_arg {
    const char *name;
    enum control_type type;
    bool optional;
};

/* One command under way. */
struct control_call {
    struct control *control;
    const struct control_machine *machine;
    json_t *args; /* an object; has what the row demands, of the right types, and nothing else */
    json_t *ret;  /* the reply: an empty object, or what control_return() made it */
    void *state;  /* a pending handler's own */
    /* A pending handler sets it: the machine ends; lets go of the call without control_done(). */
    void (*cancel)(struct control_call *call);
};

/*
 * CONTROL_DONE, or -errno with one line in *e: the error reply (class GenericError).  Or
 * CONTROL_PENDING: the handler calls control_done() later, and the client's further commands wait
 * until then; a client that has gone meanwhile is taken care of.
 */
typedef int control_fn(struct control_call *call, struct err *e);

struct control_command {
    const char *name;
    struct control_arg args[CONTROL_ARGS_MAX]; /* up to a NULL name */
    control_fn *fn;
};

/* The table must outlive c.  A name that is there already: BUG_ON. */
void control_add(struct control *c, const struct control_command *table, unsigned n);

/* Sets the reply (stolen). */
void control_return(struct control_call *call, json_t *ret);
/* Ends a pending call: why->code 0 (or why NULL) = done. */
void control_done(struct control_call *call, const struct err *why);

/* Arguments; of an optional one that is not there the default. */
const char *control_str(const struct control_call *call, const char *name, const char *none);
s64 control_int(const struct control_call *call, const char *name, s64 none);
bool control_bool(const struct control_call *call, const char *name, bool none);

#endif
