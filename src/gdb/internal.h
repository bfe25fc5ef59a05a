/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A conversation with a debugger, among the files of this room.
 */
#ifndef WIRT_GDB_INTERNAL_H
#define WIRT_GDB_INTERNAL_H

#include "base/loop.h"
#include "gdb/gdb.h"
#include "gdb/packet.h"
#include "gdb/regs.h"

struct gdb_monitor;

/* What a resumed vCPU is to do. */
enum gdb_action { GDB_STAY, GDB_GO, GDB_STEP };

struct gdb_session {
    struct vm *vm;
    struct control *control;
    struct gdb_session_ops ops;
    const struct gdb_regs *regs;
    struct gdb_in in;
    struct gdb_out out;
    char *xml;               /* target.xml */
    struct cpu_state *state; /* room for one vCPU's */

    unsigned cpu, resume_cpu; /* of Hg and Hc: the vCPU's index */
    unsigned next_listed;     /* qsThreadInfo */
    bool no_ack, physical, over;
    bool swbreak, hwbreak; /* the debugger knows these stop reasons */
    bool step_irqs;

    bool running;    /* the debugger waits for a stop reply */
    bool stops_it;   /* the machine stands because of us */
    bool resuming;   /* our own vm_resume() and vm_pause() are no news */
    bool interrupts; /* the stop in hand was asked for */
    struct vm_watcher watcher;
    struct loop_job stopped;
    struct gdb_monitor *monitor;
};

/* ---- session.c ---- */

void gdb_session_send(struct gdb_session *s); /* the packet in s->out */
void gdb_reply(struct gdb_session *s, const char *text);
/* By what the resumed vCPUs are to do, one for each; starts the machine. */
void gdb_resume(struct gdb_session *s, const enum gdb_action *what);
/* Makes the stop reply for this vCPU in s->out. */
void gdb_stop_reply(struct gdb_session *s, unsigned signal, unsigned cpu);
/* The last stop's again. */
void gdb_tell_stop(struct gdb_session *s);
/* No points, and the machine goes on. */
void gdb_let_go(struct gdb_session *s);

/* ---- commands.c ---- */

/* The packet in s->in. */
void gdb_command(struct gdb_session *s);

/* ---- query.c: q and Q packets ---- */

/* False: not known. */
bool gdb_query(struct gdb_session *s, const char *text);

/* ---- memory.c ---- */

/* m and x, M and X (binary); the text behind the letter.  False: it makes no sense, and nothing is
 * answered yet. */
bool gdb_memory_read(struct gdb_session *s, const char *text, bool binary);
bool gdb_memory_write(struct gdb_session *s, const char *text, bool binary);

/* ---- monitor.c ---- */

/* A line of `monitor`; answers. */
void gdb_monitor_line(struct gdb_session *s, const char *line);
void gdb_monitor_close(struct gdb_session *s);

#endif
