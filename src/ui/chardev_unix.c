/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A serial port behind a unix socket: `socat -,raw,echo=0 unix:PATH` is its terminal.
 */
#include "ui/chardev.h"
#include "ui/listen.h"
#include "ui/outq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct chardev_unix {
    struct chardev c;
    struct loop *loop;
    struct outq out;
    struct loop_fd listener, client; /* client.fd -1: nobody */
    struct loop_job pump;
    u8 buf[4096];
    size_t pos, len;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

static void hang_up(struct chardev_unix *u)
{
    if (u->client.fd < 0)
        return;
    outq_set_fd(&u->out, -1);
    if (u->client.added)
        loop_fd_del(u->loop, &u->client);
    close(u->client.fd);
    u->client.fd = -1;
    u->pos = u->len = 0;
    loop_fd_mod(u->loop, &u->listener, EPOLLIN);
}

static void deliver(struct chardev_unix *u)
{
    if (u->pos < u->len && u->c.input)
        u->pos += u->c.input(u->c.opaque, u->buf + u->pos, u->len - u->pos);
}

static void on_client(void *opaque, u32 revents)
{
    struct chardev_unix *u = opaque;
    deliver(u);
    if (u->pos < u->len) {
        loop_fd_mod(u->loop, &u->client, 0);
        if (revents & (EPOLLHUP | EPOLLERR))
            hang_up(u);
        return;
    }
    ssize_t n = recv(u->client.fd, u->buf, sizeof(u->buf), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        hang_up(u);
        return;
    }
    u->pos = 0;
    u->len = (size_t)n;
    deliver(u);
}

static void on_pump(void *opaque)
{
    struct chardev_unix *u = opaque;
    deliver(u);
    if (u->pos == u->len && u->client.fd >= 0)
        loop_fd_mod(u->loop, &u->client, EPOLLIN);
}

static void on_connect(void *opaque, u32 revents)
{
    struct chardev_unix *u = opaque;
    int fd = accept4(u->listener.fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    u->client = (struct loop_fd){.fd = fd, .events = EPOLLIN, .fn = on_client, .opaque = u};
    if (loop_fd_add(u->loop, &u->client, NULL)) {
        close(fd);
        u->client.fd = -1;
        return;
    }
    outq_set_fd(&u->out, fd);
    loop_fd_mod(u->loop, &u->listener, 0);
}

static void unix_ready(struct chardev *c)
{
    struct chardev_unix *u = container_of(c, struct chardev_unix, c);
    loop_post(u->loop, &u->pump);
}

static void unix_write(struct chardev *c, const u8 *buf, size_t len)
{
    struct chardev_unix *u = container_of(c, struct chardev_unix, c);
    outq_write(&u->out, buf, len);
}

static void unix_close(struct chardev *c)
{
    struct chardev_unix *u = container_of(c, struct chardev_unix, c);
    outq_drain(&u->out, 500);
    hang_up(u);
    loop_cancel(u->loop, &u->pump);
    outq_destroy(&u->out);
    if (u->listener.added)
        loop_fd_del(u->loop, &u->listener);
    if (u->listener.fd >= 0) {
        close(u->listener.fd);
        unlink(u->path);
    }
    free(u);
}

static const struct chardev_ops unix_ops = {unix_write, unix_ready, unix_close};

int chardev_unix_open(struct chardev **out, struct loop *l, const char *path, struct err *e)
{
    struct chardev_unix *u = calloc(1, sizeof(*u));
    if (!u)
        return err_set(e, ENOMEM, "%s: out of memory", path);
    int fd = unix_listen(path, 1, e), r;
    if (fd < 0) {
        free(u);
        return fd;
    }
    strcpy(u->path, path); /* unix_listen() has looked at its length */
    u->c.ops = &unix_ops;
    u->loop = l;
    u->client.fd = -1;
    u->pump = (struct loop_job){.fn = on_pump, .opaque = u};
    u->listener = (struct loop_fd){.fd = fd, .events = EPOLLIN, .fn = on_connect, .opaque = u};
    outq_init(&u->out, l);
    *out = &u->c;
    r = loop_fd_add(l, &u->listener, e);
    if (r) {
        unix_close(&u->c);
        *out = NULL;
    }
    return r;
}
