/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `monitor` lines, done by the control socket's commands (src/control), those of them that reach
 * the machine alone: a debugger may be another user's, and writes no files here.
 */
#include "control/qmp.h"
#include "gdb/internal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct gdb_monitor {
    struct gdb_session *s;
    struct qmp *qmp;
    bool waiting; /* for the answer to a line */
};

static const struct {
    const char *line, *command, *help;
} commands[] = {
    {"info status", "query-status", "whether the machine runs"},
    {"info cpus", "query-cpus-fast", "its processors"},
    {"info name", "query-name", "what it is called"},
    {"info version", "query-version", "which Wirt this is"},
    {"info kvm", "query-kvm", "whether KVM runs it"},
    {"info block", "query-block", "its drives"},
    {"info screen", "x-screen-text", "the text on its screen"},
    {"system_reset", "system_reset", "presses its reset button"},
    {"system_powerdown", "system_powerdown", "presses its power button"},
    {"nmi", "inject-nmi", "raises an NMI on each processor"},
    {"quit", "quit", "ends it"},
};

/* -------------------------------------------------------------------- output -- */

static void print(struct gdb_session *s, const char *text)
{
    size_t left = strlen(text);

    while (left) {
        size_t n = min(left, (size_t)GDB_PACKET_MAX / 2 - 8);
        gdb_begin(&s->out);
        gdb_text(&s->out, "O");
        gdb_hex(&s->out, text, n);
        gdb_session_send(s);
        text += n;
        left -= n;
    }
}

static void print_help(struct gdb_session *s)
{
    char line[160];

    for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
        snprintf(line, sizeof(line), "%-18s %s\n", commands[i].line, commands[i].help);
        print(s, line);
    }
    print(s, "physical [on|off]  whether addresses are physical ones\n");
}

/* ---------------------------------------------------------------- the command -- */

static void print_value(struct gdb_session *s, const json_t *v)
{
    const json_t *inner = json_is_object(v) && json_object_size(v) == 1
                              ? json_object_iter_value(json_object_iter((json_t *)v))
                              : NULL;
    char *text;

    if (json_is_object(v) && !json_object_size(v))
        return;
    if (json_is_string(inner)) { /* a screen */
        print(s, json_string_value(inner));
        print(s, "\n");
        return;
    }
    text = json_dumps(v, JSON_INDENT(2) | JSON_ENCODE_ANY);
    print(s, text ? text : "out of memory");
    print(s, "\n");
    free(text);
}

static void on_line(void *opaque, const char *line, size_t n)
{
    struct gdb_monitor *m = opaque;
    json_t *v = json_loadb(line, n, 0, NULL);
    const json_t *ret = json_object_get(v, "return"), *error = json_object_get(v, "error");

    if (m->waiting && (ret || error)) {
        m->waiting = false;
        if (ret) {
            print_value(m->s, ret);
        } else {
            const char *why = json_string_value(json_object_get(error, "desc"));
            print(m->s, why ? why : "it failed");
            print(m->s, "\n");
        }
        gdb_reply(m->s, "OK");
    }
    json_decref(v);
}

static void on_ready(void *opaque)
{
}

static struct gdb_monitor *monitor_open(struct gdb_session *s)
{
    static const struct qmp_ops ops = {on_line, on_ready};
    static const char hello[] = "{\"execute\":\"qmp_capabilities\"}";
    struct gdb_monitor *m = calloc(1, sizeof(*m));

    if (!m)
        return NULL;
    m->s = s;
    m->qmp = qmp_new(s->control, &ops, m);
    if (!m->qmp) {
        free(m);
        return NULL;
    }
    qmp_input(m->qmp, hello, sizeof(hello) - 1);
    return m;
}

static void execute(struct gdb_session *s, const char *command)
{
    char text[96];

    if (s->control && !s->monitor)
        s->monitor = monitor_open(s);
    if (!s->monitor) {
        print(s, "this machine has no control socket\n");
        gdb_reply(s, "OK");
        return;
    }
    s->monitor->waiting = true;
    int n = snprintf(text, sizeof(text), "{\"execute\":\"%s\"}", command);
    qmp_input(s->monitor->qmp, text, (size_t)n);
}

void gdb_monitor_line(struct gdb_session *s, const char *line)
{
    char text[512];

    if (!strcmp(line, "help") || !strcmp(line, "info")) {
        print_help(s);
    } else if (!strncmp(line, "physical", 8)) {
        if (!strcmp(line, "physical on") || !strcmp(line, "physical off"))
            s->physical = line[10] == 'n';
        print(s, s->physical ? "addresses are physical\n" : "addresses are the guest's\n");
    } else {
        for (unsigned i = 0; i < ARRAY_SIZE(commands); i++)
            if (!strcmp(line, commands[i].line)) {
                execute(s, commands[i].command);
                return;
            }
        snprintf(text, sizeof(text), "\"%.100s\" is none of its commands; help lists them\n", line);
        print(s, text);
    }
    gdb_reply(s, "OK");
}

void gdb_monitor_close(struct gdb_session *s)
{
    if (!s->monitor)
        return;
    qmp_free(s->monitor->qmp);
    free(s->monitor);
    s->monitor = NULL;
}
