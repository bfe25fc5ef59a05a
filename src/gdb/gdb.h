/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A debugger's way into a machine: GDB's remote serial protocol ("Debugging with GDB", appendix E),
 * as gdb and lldb speak it.  One client at a time, on the machine's event loop; each virtual
 * processor is a thread, 1 for vCPU 0.  Whoever connects owns the guest: docs/debugging.md.
 *
 * Everything here on the loop's thread, or before it runs.
 */
#ifndef WIRT_GDB_GDB_H
#define WIRT_GDB_GDB_H

#include "base/err.h"
#include "control/control.h"
#include "core/vm.h"
#include "ui/listen.h"

/* What register set the debugger is told of. */
enum gdb_arch { GDB_X86_64, GDB_I386 };

struct gdb_config {
    struct listen_place at;
    bool wait; /* the machine starts when the debugger says so */
    enum gdb_arch arch;
};

/* "1234", ":1234", "tcp::1234", "tcp:ADDRESS:1234", "ADDRESS:1234", "unix:PATH", and behind it
 * ",wait", ",public", ",arch=i386|x86-64".  As listen_parse(). */
int gdb_parse(struct gdb_config *c, const char *spec, struct err *e);

struct gdb;

/* Listens.  control: serves `monitor`, may be NULL.  All outlive the gdb. */
int gdb_open(struct gdb **out, struct vm *vm, struct control *control, const struct gdb_config *c,
             struct err *e);
/* Says goodbye to the debugger, and takes the socket away.  NULL does nothing. */
void gdb_close(struct gdb *g);

/* ---- one conversation, without the socket under it ---- */

struct gdb_session;

struct gdb_session_ops {
    void (*send)(void *opaque, const u8 *buf, size_t n);
    void (*hang_up)(void *opaque); /* the conversation is over; gdb_session_free() follows */
    void *opaque;
};

/* Stops the machine.  NULL: no memory. */
struct gdb_session *gdb_session_new(struct vm *vm, struct control *control, enum gdb_arch arch,
                                    const struct gdb_session_ops *ops);
void gdb_session_input(struct gdb_session *s, const u8 *buf, size_t n);
/* Takes all points back; the machine goes on if the session has stopped it. */
void gdb_session_free(struct gdb_session *s);

#endif
