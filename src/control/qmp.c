/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP (QEMU's docs/interop/qmp-spec.rst): greeting, negotiation, commands one at a time.  Messages
 * need no newline between them, so their ends are found by counting braces; what is no JSON is
 * skipped to the next newline.  No out-of-band execution.
 */
#include "control/qmp.h"
#include "control/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct qmp {
    struct control_call call; /* valid while busy */
    const struct qmp_ops *ops;
    void *opaque;
    bool negotiated, busy, gone;
    bool taking; /* inside qmp_input() */
    json_t *id;  /* of the command under way, or NULL */

    /* The message that comes in. */
    char buf[QMP_MESSAGE_MAX];
    size_t len;
    unsigned depth;
    bool in_string, escaped, skip;

    struct qmp *next, **link;
};

/* ---------------------------------------------------------------- replies -- */

/* Takes v over. */
static void send_json(struct qmp *q, json_t *v)
{
    char *text = v ? json_dumps(v, 0) : NULL;
    json_decref(v);
    if (!text)
        return;
    size_t n = strlen(text);
    char *line = realloc(text, n + 3);
    if (line) {
        memcpy(line + n, "\r\n", 3);
        if (!q->gone)
            q->ops->send(q->opaque, line, n + 2);
    }
    free(line ? line : text);
}

static void reply(struct qmp *q, const char *key, json_t *v)
{
    json_t *o = json_object();
    json_object_set_new(o, key, v);
    if (q->id)
        json_object_set(o, "id", q->id);
    json_decref(q->id);
    q->id = NULL;
    send_json(q, o);
}

static void error(struct qmp *q, const char *class, const char *desc)
{
    json_t *text = json_string(desc); /* NULL when it is not UTF-8 */
    reply(q, "error",
          json_pack("{s:s, s:o}", "class", class, "desc",
                    text ? text : json_string("(a message that is not UTF-8)")));
}

/* --------------------------------------------------------------- commands -- */

static void finish(struct qmp *q, int code, const char *msg)
{
    json_t *ret = q->call.ret;
    q->call.ret = NULL;
    json_decref(q->call.args);
    q->call.args = NULL;
    q->busy = false;
    if (code) {
        json_decref(ret);
        error(q, "GenericError", msg);
    } else {
        reply(q, "return", ret);
    }
}

static void unlink_session(struct qmp *q)
{
    *q->link = q->next;
    if (q->next)
        q->next->link = q->link;
    json_decref(q->id);
    free(q);
}

void control_done(struct control_call *call, const struct err *why)
{
    struct qmp *q = container_of(call, struct qmp, call);
    finish(q, why ? why->code : 0, why ? why->msg : "");
    if (q->gone)
        unlink_session(q);
    else if (!q->taking)
        q->ops->ready(q->opaque);
}

static void capabilities(struct qmp *q, json_t *args)
{
    const json_t *enable = json_object_get(args, "enable");
    if (q->negotiated) {
        error(q, "CommandNotFound",
              "Capabilities negotiation is already complete, command ignored");
    } else if (enable && (!json_is_array(enable) || json_array_size(enable))) {
        error(q, "GenericError", "No such capability: none is offered");
    } else {
        q->negotiated = true;
        reply(q, "return", json_object());
    }
}

/* args is taken over. */
static void execute(struct qmp *q, const char *name, json_t *args)
{
    struct control *c = q->call.control;
    const struct control_command *cmd = control_find(c, name);
    struct err e = {0};
    char text[256];
    int r;

    if (!strcmp(name, "qmp_capabilities")) {
        capabilities(q, args);
        json_decref(args);
        return;
    }
    if (!cmd || !q->negotiated) {
        if (cmd)
            snprintf(text, sizeof(text),
                     "Expecting capabilities negotiation with 'qmp_capabilities'");
        else
            snprintf(text, sizeof(text), "The command %.100s has not been found", name);
        json_decref(args);
        error(q, "CommandNotFound", text);
        return;
    }
    r = control_check_args(cmd, args, &e);
    if (r) {
        json_decref(args);
        error(q, "GenericError", e.msg);
        return;
    }
    q->busy = true;
    q->call.args = args;
    q->call.ret = json_object();
    q->call.state = NULL;
    q->call.cancel = NULL;
    r = cmd->fn(&q->call, &e);
    if (r != CONTROL_PENDING && q->busy)
        finish(q, r, e.code ? e.msg : strerror(-r));
}

/* One whole JSON text. */
static void message(struct qmp *q)
{
    json_error_t why;
    char text[sizeof(why.text) + 40];
    json_t *v = json_loadb(q->buf, q->len, JSON_REJECT_DUPLICATES, &why);
    json_t *name, *args;

    if (!v) {
        snprintf(text, sizeof(text), "JSON parse error, %s", why.text);
        error(q, "GenericError", text);
        return;
    }
    q->id = json_incref(json_object_get(v, "id"));
    name = json_object_get(v, "execute");
    args = json_object_get(v, "arguments");
    if (!json_is_object(v)) {
        error(q, "GenericError", "QMP input must be a JSON object");
    } else if (json_object_get(v, "exec-oob")) {
        error(q, "GenericError",
              "QMP input member 'exec-oob' is unexpected: out-of-band execution "
              "is not offered");
    } else if (!json_is_string(name)) {
        error(q, "GenericError",
              name ? "QMP input member 'execute' must be a string"
                   : "QMP input lacks member 'execute'");
    } else if (args && !json_is_object(args)) {
        error(q, "GenericError", "QMP input member 'arguments' must be an object");
    } else {
        const char *key;
        json_t *member;
        json_object_foreach(v, key, member) if (strcmp(key, "execute") && strcmp(key, "id") &&
                                                strcmp(key, "arguments"))
        {
            snprintf(text, sizeof(text), "QMP input member '%.60s' is unexpected", key);
            error(q, "GenericError", text);
            json_decref(v);
            return;
        }
        execute(q, json_string_value(name), args ? json_incref(args) : json_object());
    }
    json_decref(v);
}

/* ------------------------------------------------------------------ input -- */

static void start_over(struct qmp *q)
{
    q->len = 0;
    q->depth = 0;
    q->in_string = q->escaped = false;
}

static void garbage(struct qmp *q, const char *why, char c)
{
    start_over(q);
    q->skip = c != '\n';
    error(q, "GenericError", why);
}

/* One more byte; true when the message is whole. */
static bool take(struct qmp *q, char c)
{
    if (q->skip) {
        q->skip = c != '\n';
        return false;
    }
    if (!q->depth) {
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            return false;
        if (c != '{' && c != '[') {
            garbage(q, "JSON parse error, a message is an object", c);
            return false;
        }
    }
    if (q->len == sizeof(q->buf)) {
        garbage(q, "JSON parse error, the message is too long", c);
        return false;
    }
    q->buf[q->len++] = c;
    if (q->in_string) {
        if (q->escaped)
            q->escaped = false;
        else if (c == '\\')
            q->escaped = true;
        else if (c == '"')
            q->in_string = false;
    } else if (c == '"') {
        q->in_string = true;
    } else if (c == '{' || c == '[') {
        if (++q->depth > QMP_DEPTH_MAX)
            garbage(q, "JSON parse error, too deeply nested", c);
    } else if (c == '}' || c == ']') {
        return !--q->depth;
    }
    return false;
}

size_t qmp_input(struct qmp *q, const char *buf, size_t n)
{
    size_t i = 0;
    q->taking = true;
    while (i < n && !q->busy)
        if (take(q, buf[i++])) {
            message(q);
            start_over(q);
        }
    q->taking = false;
    return i;
}

void qmp_send_event(struct qmp *q, const char *line, size_t n)
{
    if (q->negotiated && !q->gone)
        q->ops->send(q->opaque, line, n);
}

/* ------------------------------------------------------------------- life -- */

struct qmp *qmp_new(struct control *c, const struct qmp_ops *ops, void *opaque)
{
    int major = 0, minor = 0, micro = 0;
    struct qmp *q = calloc(1, sizeof(*q));
    if (!q)
        return NULL;
    q->call.control = c;
    q->call.machine = &c->m;
    q->ops = ops;
    q->opaque = opaque;
    q->next = c->sessions;
    q->link = &c->sessions;
    if (q->next)
        q->next->link = &q->next;
    c->sessions = q;
    sscanf(WIRT_VERSION, "%d.%d.%d", &major, &minor, &micro);
    send_json(q, json_pack("{s:{s:{s:{s:i, s:i, s:i}, s:s}, s:[]}}", "QMP", "version", "qemu",
                           "micro", micro, "minor", minor, "major", major, "package",
                           "Wirt " WIRT_VERSION, "capabilities"));
    return q;
}

void qmp_free(struct qmp *q)
{
    q->gone = true;
    if (!q->busy)
        unlink_session(q);
}

void qmp_cancel_all(struct control *c)
{
    while (c->sessions) {
        struct qmp *q = c->sessions;
        if (q->busy) {
            if (q->call.cancel)
                q->call.cancel(&q->call);
            json_decref(q->call.args);
            json_decref(q->call.ret);
        }
        unlink_session(q);
    }
}
