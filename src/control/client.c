/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QMP client.  Replies and events of ours are lines.
 */
#include "control/client.h"
#include "control/place.h"
#include "ui/listen.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4 << 20, HELLO_MS = 10000 };

struct qmp_client {
    int fd;
    char name[80]; /* for messages */
    char *buf;
    size_t len, size;
};

static s64 now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (s64)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* More bytes into buf; 0 = the end of the connection. */
static int receive(struct qmp_client *c, s64 end, struct err *e)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    s64 left = end < 0 ? -1 : max(end - now_ms(), (s64)0);
    int r = poll(&p, 1, (int)left);
    if (!r)
        return err_set(e, ETIMEDOUT, "%s: no answer", c->name);
    if (c->len + 4096 > c->size) {
        char *buf = c->size < LINE_MAX_BYTES ? realloc(c->buf, c->size * 2 + 8192) : NULL;
        if (!buf)
            return err_set(e, ENOMEM, "%s: an answer too long", c->name);
        c->buf = buf;
        c->size = c->size * 2 + 8192;
    }
    ssize_t n = recv(c->fd, c->buf + c->len, c->size - c->len, 0);
    if (n < 0 && errno == EINTR)
        return 1;
    if (n < 0 && errno != ECONNRESET)
        return err_set(e, errno, "%s: %s", c->name, strerror(errno));
    c->len += n > 0 ? (size_t)n : 0;
    return n > 0;
}

/* The next line as JSON; *out NULL at the end of the connection. */
static int next_message(struct qmp_client *c, s64 end, json_t **out, struct err *e)
{
    char *nl;
    int r;
    *out = NULL;
    while (!c->len || !(nl = memchr(c->buf, '\n', c->len))) {
        r = receive(c, end, e);
        if (r <= 0)
            return r;
    }
    size_t n = (size_t)(nl - c->buf) + 1;
    *out = json_loadb(c->buf, n, 0, NULL);
    c->len -= n;
    memmove(c->buf, nl + 1, c->len);
    return json_is_object(*out) ? 0 : err_set(e, EPROTO, "%s: no QMP", c->name);
}

static int send_all(struct qmp_client *c, const char *text, size_t n, struct err *e)
{
    while (n) {
        ssize_t r = send(c->fd, text, n, MSG_NOSIGNAL);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return err_set(e, errno, "%s: %s", c->name, strerror(errno));
        text += r;
        n -= (size_t)r;
    }
    return 0;
}

int qmp_call(struct qmp_client *c, const char *command, json_t *args, json_t **ret, int timeout_ms,
             struct err *e)
{
    s64 end = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    json_t *o = args ? json_pack("{s:s, s:o}", "execute", command, "arguments", args)
                     : json_pack("{s:s}", "execute", command);
    char *text = o ? json_dumps(o, 0) : NULL;
    json_decref(o);
    if (!text)
        return err_set(e, EINVAL, "%s: not UTF-8", command);
    size_t n = strlen(text);
    text[n] =
        '\n'; /* over the final 0: a command that ends the machine may leave no time for more */
    int r = send_all(c, text, n + 1, e);
    free(text);
    while (!r) {
        json_t *m, *v;
        r = next_message(c, end, &m, e);
        if (!r && !m)
            r = err_set(e, ECONNRESET, "%s: the machine ended", c->name);
        if (r) {
            json_decref(m);
            break;
        }
        if ((v = json_object_get(m, "return"))) {
            if (ret)
                *ret = json_incref(v);
            json_decref(m);
            return 0;
        }
        if ((v = json_object_get(m, "error"))) {
            const char *desc = json_string_value(json_object_get(v, "desc"));
            r = err_set(e, EIO, "%s: %s", c->name, desc ? desc : "an error without a description");
        }
        json_decref(m);
    }
    return r;
}

int qmp_wait_end(struct qmp_client *c, int timeout_ms, struct err *e)
{
    s64 end = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    for (;;) {
        json_t *m;
        int r = next_message(c, end, &m, e);
        if (r || !m) {
            json_decref(m);
            return r;
        }
        json_decref(m);
    }
}

int qmp_connect(struct qmp_client **out, const char *machine, struct err *e)
{
    char path[PLACE_PATH_MAX];
    struct qmp_client *c;
    json_t *hello = NULL;
    struct err why;
    int r = 0, fd;
    if (strchr(machine, '/')) {
        if (snprintf(path, sizeof(path), "%s", machine) >= (int)sizeof(path))
            r = err_set(e, ENAMETOOLONG, "%s: too long for the name of a socket", machine);
    } else {
        r = place_path(path, machine, ".sock", e);
    }
    if (r && r != -ENOENT)
        return r;
    fd = r ? r : unix_connect(path, &why);
    if (fd == -ENOENT || fd == -ECONNREFUSED)
        return err_set(e, ENOENT,
                       "no machine called \"%s\" runs; \"wirt list\" shows those that do", machine);
    if (fd < 0)
        return err_set(e, -fd, "%s", why.msg);
    c = calloc(1, sizeof(*c));
    if (!c) {
        close(fd);
        return err_set(e, ENOMEM, "out of memory");
    }
    c->fd = fd;
    snprintf(c->name, sizeof(c->name), "%s", machine);
    r = next_message(c, now_ms() + HELLO_MS, &hello, e);
    if (!r && !json_object_get(hello, "QMP"))
        r = err_set(e, EPROTO, "%s: no QMP", machine);
    json_decref(hello);
    if (!r)
        r = qmp_call(c, "qmp_capabilities", NULL, NULL, HELLO_MS, e);
    if (r) {
        qmp_disconnect(c);
        return r;
    }
    *out = c;
    return 0;
}

void qmp_disconnect(struct qmp_client *c)
{
    if (!c)
        return;
    close(c->fd);
    free(c->buf);
    free(c);
}
