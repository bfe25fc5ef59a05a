/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The socket: one debugger at a time, others are turned away.  A connection that breaks is as good
 * as a detach: points go, the machine goes on.
 */
#include "gdb/gdb.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OUT_MAX = 1 << 20, IN_SIZE = 4096 };

struct gdb {
    struct vm *vm;
    struct control *control;
    struct gdb_config config;
    struct loop_fd listener, client; /* client.fd -1: nobody */
    struct gdb_session *session;
    u8 *out; /* what the socket had no room for */
    size_t out_len;
    bool dead; /* the client is to be dropped */
};

/* -------------------------------------------------------------- the command line -- */

static int parse_option(void *opaque, const char *text, struct err *e)
{
    struct gdb_config *c = opaque;

    if (!strcmp(text, "wait"))
        c->wait = true;
    else if (!strcmp(text, "arch=i386"))
        c->arch = GDB_I386;
    else if (!strcmp(text, "arch=x86-64"))
        c->arch = GDB_X86_64;
    else if (strcmp(text, "server") && strcmp(text, "wait=off") && strcmp(text, "nowait"))
        return err_set(e, EINVAL, "\"%s\" is none of wait, public, arch=i386, arch=x86-64", text);
    return 0;
}

int gdb_parse(struct gdb_config *c, const char *spec, struct err *e)
{
    static const struct listen_form form = {.places = "PORT, ADDRESS:PORT or unix:PATH",
                                            .number = "port",
                                            .number_min = 1,
                                            .takes_unix = true,
                                            .takes_port = true,
                                            .option = parse_option};

    memset(c, 0, sizeof(*c));
    return listen_parse(&c->at, spec, &form, c, e);
}

/* --------------------------------------------------------------------- client -- */

static void drop(struct gdb *g)
{
    if (g->client.fd < 0)
        return;
    gdb_session_free(g->session);
    g->session = NULL;
    loop_fd_del(g->vm->loop, &g->client);
    close(g->client.fd);
    g->client.fd = -1;
    free(g->out);
    g->out = NULL;
    g->out_len = 0;
    g->dead = false;
}

static size_t write_some(struct gdb *g, const u8 *buf, size_t n)
{
    ssize_t r;

    do
        r = send(g->client.fd, buf, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (r < 0 && errno == EINTR);
    if (r < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        g->dead = true;
    return r > 0 ? (size_t)r : 0;
}

/* Output that waits is for the client to fetch before it asks for more. */
static void update_watch(struct gdb *g)
{
    loop_fd_mod(g->vm->loop, &g->client, g->out_len ? EPOLLOUT : EPOLLIN);
}

static void on_send(void *opaque, const u8 *buf, size_t n)
{
    struct gdb *g = opaque;
    size_t done = g->dead || g->out_len ? 0 : write_some(g, buf, n);

    if (g->dead || done == n)
        return;
    if (!g->out)
        g->out = malloc(OUT_MAX);
    if (!g->out || g->out_len + n - done > OUT_MAX) {
        g->dead = true;
        return;
    }
    memcpy(g->out + g->out_len, buf + done, n - done);
    g->out_len += n - done;
    update_watch(g);
}

static void on_hang_up(void *opaque)
{
    struct gdb *g = opaque;

    g->dead = true;
}

static void on_client(void *opaque, u32 revents)
{
    struct gdb *g = opaque;
    u8 buf[IN_SIZE];

    if (revents & EPOLLOUT) {
        size_t n = write_some(g, g->out, g->out_len);
        g->out_len -= n;
        memmove(g->out, g->out + n, g->out_len);
        update_watch(g);
    }
    if ((revents & EPOLLIN) && !g->out_len) {
        ssize_t n = recv(g->client.fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (n > 0)
            gdb_session_input(g->session, buf, (size_t)n);
        else if (!n || (errno != EAGAIN && errno != EINTR))
            g->dead = true;
    } else if (revents & (EPOLLHUP | EPOLLERR)) {
        g->dead = true;
    }
    if (g->dead)
        drop(g);
}

static bool may_connect(const struct gdb *g, int fd)
{
    struct ucred who;
    socklen_t n = sizeof(who);

    return g->config.at.port || (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) &&
                                 (who.uid == geteuid() || who.uid == 0));
}

static void on_connect(void *opaque, u32 revents)
{
    struct gdb *g = opaque;
    const struct gdb_session_ops ops = {on_send, on_hang_up, g};
    int one = 1, fd = accept4(g->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    if (g->client.fd >= 0 || !may_connect(g, fd)) {
        close(fd);
        return;
    }
    if (g->config.at.port)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    g->session = gdb_session_new(g->vm, g->control, g->config.arch, &ops);
    g->client = (struct loop_fd){.fd = fd, .events = EPOLLIN, .fn = on_client, .opaque = g};
    if (!g->session || loop_fd_add(g->vm->loop, &g->client, NULL)) {
        if (g->session)
            gdb_session_free(g->session);
        g->session = NULL;
        close(fd);
        g->client.fd = -1;
    }
}

/* ----------------------------------------------------------------------- life -- */

int gdb_open(struct gdb **out, struct vm *vm, struct control *control, const struct gdb_config *c,
             struct err *e)
{
    struct gdb *g = calloc(1, sizeof(*g));

    if (!g)
        return err_set(e, ENOMEM, "out of memory");
    g->vm = vm;
    g->control = control;
    g->config = *c;
    g->client.fd = -1;
    int fd = listen_open(&c->at, 1, e);
    if (fd < 0) {
        free(g);
        return fd;
    }
    g->listener = (struct loop_fd){.fd = fd, .events = EPOLLIN, .fn = on_connect, .opaque = g};
    int r = loop_fd_add(vm->loop, &g->listener, e);
    if (r) {
        close(fd);
        free(g);
        return r;
    }
    vm->start_paused |= c->wait;
    *out = g;
    return 0;
}

void gdb_close(struct gdb *g)
{
    if (!g)
        return;
    drop(g);
    loop_fd_del(g->vm->loop, &g->listener);
    close(g->listener.fd);
    if (!g->config.at.port)
        unlink(g->config.at.address);
    free(g);
}
