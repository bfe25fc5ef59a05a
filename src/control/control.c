/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket: listening, clients, events, the tables of commands.
 */
#include "control/control.h"
#include "control/internal.h"
#include "ui/listen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { IN_SIZE = 4096, OUT_MAX = 1 << 20 };

struct control_client {
    struct control *control;
    struct loop_fd watch;
    struct qmp *qmp;
    char in[IN_SIZE];
    size_t pos, len; /* what a pending command keeps waiting */
    char *out;       /* what the socket had no room for */
    size_t out_len, out_size;
    bool dead; /* to be dropped at the next chance */
    struct loop_job job;
    struct control_client *next;
};

/* ---------------------------------------------------------------- clients -- */

static void drop(struct control_client *cl)
{
    struct control *c = cl->control;
    for (struct control_client **p = &c->clients; *p; p = &(*p)->next)
        if (*p == cl) {
            *p = cl->next;
            break;
        }
    c->nclients--;
    loop_cancel(c->m.vm->loop, &cl->job);
    loop_fd_del(c->m.vm->loop, &cl->watch);
    close(cl->watch.fd);
    if (cl->qmp)
        qmp_free(cl->qmp);
    free(cl->out);
    free(cl);
}

/* Output that waits is for the client to fetch before it asks for more. */
static void update_watch(struct control_client *cl)
{
    u32 events = cl->out_len ? EPOLLOUT : cl->pos < cl->len ? 0 : EPOLLIN;
    loop_fd_mod(cl->control->m.vm->loop, &cl->watch, events);
}

static bool keep(struct control_client *cl, const char *buf, size_t n)
{
    if (cl->out_len + n > OUT_MAX)
        return false;
    if (cl->out_len + n > cl->out_size) {
        size_t size = max(cl->out_size * 2, cl->out_len + n);
        char *p = realloc(cl->out, size);
        if (!p)
            return false;
        cl->out = p;
        cl->out_size = size;
    }
    memcpy(cl->out + cl->out_len, buf, n);
    cl->out_len += n;
    return true;
}

/* How many bytes went out. */
static size_t write_some(struct control_client *cl, const char *buf, size_t n)
{
    ssize_t r;
    do
        r = send(cl->watch.fd, buf, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (r < 0 && errno == EINTR);
    if (r < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        cl->dead = true;
    return r > 0 ? (size_t)r : 0;
}

static void on_send(void *opaque, const char *line, size_t n)
{
    struct control_client *cl = opaque;
    size_t done = 0;
    if (cl->dead)
        return;
    if (!cl->out_len)
        done = write_some(cl, line, n);
    if (!cl->dead && done < n && !keep(cl, line + done, n - done))
        cl->dead = true;
    if (cl->dead)
        loop_post(cl->control->m.vm->loop, &cl->job);
    else if (cl->watch.added)
        update_watch(cl);
}

static void take_input(struct control_client *cl)
{
    cl->pos += qmp_input(cl->qmp, cl->in + cl->pos, cl->len - cl->pos);
    if (!cl->dead)
        update_watch(cl);
}

static void on_ready(void *opaque)
{
    struct control_client *cl = opaque;
    loop_post(cl->control->m.vm->loop, &cl->job);
}

static void on_job(void *opaque)
{
    struct control_client *cl = opaque;
    if (!cl->dead)
        take_input(cl);
    if (cl->dead)
        drop(cl);
}

static void on_client(void *opaque, u32 revents)
{
    struct control_client *cl = opaque;
    if (revents & EPOLLOUT) {
        size_t n = write_some(cl, cl->out, cl->out_len);
        cl->out_len -= n;
        memmove(cl->out, cl->out + n, cl->out_len);
    }
    if ((revents & EPOLLIN) && cl->pos == cl->len && !cl->out_len) {
        ssize_t n = recv(cl->watch.fd, cl->in, sizeof(cl->in), MSG_DONTWAIT);
        cl->pos = 0;
        cl->len = n > 0 ? (size_t)n : 0;
        if (!n || (n < 0 && errno != EAGAIN && errno != EINTR))
            cl->dead = true;
        else
            take_input(cl);
    } else if (revents & (EPOLLHUP | EPOLLERR)) {
        cl->dead = true;
    }
    if (cl->dead)
        drop(cl);
    else
        update_watch(cl);
}

static bool is_ours(int fd)
{
    struct ucred who;
    socklen_t n = sizeof(who);
    return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) &&
           (who.uid == geteuid() || who.uid == 0);
}

static void on_connect(void *opaque, u32 revents)
{
    static const struct qmp_ops ops = {on_send, on_ready};
    struct control_socket *s = opaque;
    struct control *c = s->control;
    int fd = accept4(s->watch.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct control_client *cl = NULL;
    if (c->nclients < CONTROL_CLIENTS_MAX && is_ours(fd))
        cl = calloc(1, sizeof(*cl));
    if (!cl) {
        close(fd);
        return;
    }
    cl->control = c;
    cl->watch = (struct loop_fd){.fd = fd, .events = EPOLLIN, .fn = on_client, .opaque = cl};
    cl->job = (struct loop_job){.fn = on_job, .opaque = cl};
    cl->next = c->clients;
    c->clients = cl;
    c->nclients++;
    if (loop_fd_add(c->m.vm->loop, &cl->watch, NULL) || !(cl->qmp = qmp_new(c, &ops, cl)))
        drop(cl);
}

/* ----------------------------------------------------------------- events -- */

void control_event(struct control *c, const char *name, json_t *data)
{
    struct timeval now;
    gettimeofday(&now, NULL);
    json_t *o = json_pack("{s:{s:I, s:I}, s:s}", "timestamp", "seconds", (json_int_t)now.tv_sec,
                          "microseconds", (json_int_t)now.tv_usec, "event", name);
    if (data)
        json_object_set_new(o, "data", data);
    char *text = o ? json_dumps(o, 0) : NULL;
    size_t n = text ? strlen(text) : 0;
    char *line = text ? realloc(text, n + 3) : NULL;
    json_decref(o);
    if (!line) {
        free(text);
        return;
    }
    memcpy(line + n, "\r\n", 3);
    for (struct control_client *cl = c->clients; cl; cl = cl->next)
        if (cl->qmp)
            qmp_send_event(cl->qmp, line, n + 2);
    free(line);
}

static json_t *end_reason(const struct control *c)
{
    enum vm_end why = __atomic_load_n(&c->m.vm->end, __ATOMIC_ACQUIRE);
    bool guest = why == VM_POWEROFF || why == VM_RESET || why == VM_DEBUG;
    const char *reason = why == VM_QUIT     ? c->wants_quit ? "host-qmp-quit" : "host-signal"
                         : why == VM_RESET  ? "guest-reset"
                         : why == VM_FAILED ? "host-error"
                                            : "guest-shutdown";
    return json_pack("{s:b, s:s}", "guest", guest, "reason", reason);
}

static void on_vm_event(void *opaque, enum vm_event ev)
{
    struct control *c = opaque;
    switch (ev) {
    case VM_EVENT_RESET:
        control_event(c, "RESET",
                      json_pack("{s:b, s:s}", "guest", !c->wants_reset, "reason",
                                c->wants_reset ? "host-qmp-system-reset" : "guest-reset"));
        c->wants_reset = false;
        break;
    case VM_EVENT_PAUSE:
        control_input_paused(c);
        control_event(c, "STOP", NULL);
        break;
    case VM_EVENT_RESUME:
        control_event(c, "RESUME", NULL);
        break;
    case VM_EVENT_END:
        control_event(c, "SHUTDOWN", end_reason(c));
        break;
    }
}

/* ----------------------------------------------------------------- tables -- */

const struct control_command *control_find(const struct control *c, const char *name)
{
    for (unsigned t = 0; t < c->ntables; t++)
        for (unsigned i = 0; i < c->table[t].n; i++)
            if (!strcmp(c->table[t].rows[i].name, name))
                return &c->table[t].rows[i];
    return NULL;
}

void control_add(struct control *c, const struct control_command *table, unsigned n)
{
    BUG_ON(c->ntables == CONTROL_TABLES_MAX);
    for (unsigned i = 0; i < n; i++)
        BUG_ON(control_find(c, table[i].name));
    c->table[c->ntables].rows = table;
    c->table[c->ntables++].n = n;
}

static bool has_type(const json_t *v, enum control_type type)
{
    switch (type) {
    case CONTROL_STR:
        return json_is_string(v);
    case CONTROL_INT:
        return json_is_integer(v);
    case CONTROL_BOOL:
        return json_is_boolean(v);
    case CONTROL_OBJECT:
        return json_is_object(v);
    case CONTROL_ARRAY:
        return json_is_array(v);
    }
    return false;
}

int control_check_args(const struct control_command *cmd, const json_t *args, struct err *e)
{
    static const char *const type_names[] = {"string", "integer", "boolean", "object", "array"};
    const struct control_arg *a = cmd->args;
    size_t known = 0;
    for (unsigned i = 0; i < CONTROL_ARGS_MAX && a[i].name; i++) {
        const json_t *v = json_object_get(args, a[i].name);
        if (!v && !a[i].optional)
            return err_set(e, EINVAL, "Parameter '%s' is missing", a[i].name);
        if (v && !has_type(v, a[i].type))
            return err_set(e, EINVAL, "Invalid parameter type for '%s', expected: %s", a[i].name,
                           type_names[a[i].type]);
        known += v != NULL;
    }
    if (known == json_object_size(args))
        return 0;
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)args, key, v)
    {
        unsigned i = 0;
        while (i < CONTROL_ARGS_MAX && a[i].name && strcmp(a[i].name, key))
            i++;
        if (i == CONTROL_ARGS_MAX || !a[i].name)
            return err_set(e, EINVAL, "Parameter '%.100s' is unexpected", key);
    }
    return 0;
}

void control_return(struct control_call *call, json_t *ret)
{
    json_decref(call->ret);
    call->ret = ret ? ret : json_object();
}

const char *control_str(const struct control_call *call, const char *name, const char *none)
{
    const json_t *v = json_object_get(call->args, name);
    return v ? json_string_value(v) : none;
}

s64 control_int(const struct control_call *call, const char *name, s64 none)
{
    const json_t *v = json_object_get(call->args, name);
    return v ? json_integer_value(v) : none;
}

bool control_bool(const struct control_call *call, const char *name, bool none)
{
    const json_t *v = json_object_get(call->args, name);
    return v ? json_is_true(v) : none;
}

/* ------------------------------------------------------------------- life -- */

int control_open(struct control **out, const struct control_machine *m, struct err *e)
{
    struct control *c = calloc(1, sizeof(*c));
    if (!c)
        return err_set(e, ENOMEM, "control socket: out of memory");
    c->m = *m;
    control_add(c, control_commands, control_command_count);
    control_add(c, control_input_commands, control_input_command_count);
    control_add(c, control_save_commands, control_save_command_count);
    control_input_open(c);
    c->watcher = (struct vm_watcher){.fn = on_vm_event, .opaque = c};
    vm_watch(m->vm, &c->watcher);
    *out = c;
    return 0;
}

int control_listen(struct control *c, const char *path, struct err *e)
{
    if (c->nsockets == CONTROL_SOCKETS_MAX)
        return err_set(e, E2BIG, "%s: more than %d control sockets", path, CONTROL_SOCKETS_MAX);
    struct control_socket *s = &c->socket[c->nsockets];
    int fd = unix_listen(path, CONTROL_CLIENTS_MAX, e);
    if (fd < 0)
        return fd;
    s->control = c;
    s->watch = (struct loop_fd){.fd = fd, .events = EPOLLIN, .fn = on_connect, .opaque = s};
    snprintf(s->path, sizeof(s->path), "%s", path);
    c->nsockets++;
    return loop_fd_add(c->m.vm->loop, &s->watch, e);
}

int control_listen_name(struct control *c, const char *name, struct err *e)
{
    char path[PLACE_PATH_MAX];
    int r = place_take(&c->place, name, e);
    if (!r)
        r = place_path(path, name, ".sock", e);
    return r ? r : control_listen(c, path, e);
}

void control_close(struct control *c)
{
    if (!c)
        return;
    vm_unwatch(c->m.vm, &c->watcher);
    for (unsigned i = 0; i < c->nsockets; i++) {
        loop_fd_del(c->m.vm->loop, &c->socket[i].watch);
        close(c->socket[i].watch.fd);
        unlink(c->socket[i].path);
    }
    while (c->clients)
        drop(c->clients);
    qmp_cancel_all(c);
    control_input_close(c);
    place_release(&c->place);
    free(c);
}
