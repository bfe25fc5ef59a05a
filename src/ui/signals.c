/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Signals by signalfd.
 */
#include "ui/signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

static sigset_t ours(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGWINCH);
    return set;
}

void signals_block(void)
{
    sigset_t set = ours();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void on_signal(void *opaque, u32 revents)
{
    struct signals *s = opaque;
    struct signalfd_siginfo info;
    if (read(s->fd.fd, &info, sizeof(info)) == sizeof(info))
        s->fn(s->opaque, (int)info.ssi_signo);
}

int signals_open(struct signals *s, struct loop *l, void (*fn)(void *opaque, int sig), void *opaque,
                 struct err *e)
{
    sigset_t set = ours();
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return err_set(e, errno, "signalfd: %s", strerror(errno));
    *s = (struct signals){.fd = {.fd = fd, .events = EPOLLIN, .fn = on_signal, .opaque = s},
                          .loop = l,
                          .fn = fn,
                          .opaque = opaque};
    return loop_fd_add(l, &s->fd, e);
}

void signals_close(struct signals *s)
{
    if (!s->loop)
        return;
    if (s->fd.added)
        loop_fd_del(s->loop, &s->fd);
    close(s->fd.fd);
    s->loop = NULL;
}
