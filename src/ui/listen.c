/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets: bind, listen, connect.
 */
#include "ui/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int address(struct sockaddr_un *a, const char *path, struct err *e)
{
    memset(a, 0, sizeof(*a));
    a->sun_family = AF_UNIX;
    if (!*path || strlen(path) >= sizeof(a->sun_path))
        return err_set(e, ENAMETOOLONG, "%s: %s for the name of a socket", path,
                       *path ? "too long" : "too short");
    strcpy(a->sun_path, path);
    return 0;
}

/* A socket file that nobody answers is left over from a program that died.  Any other file is
 * refused by connect() in the same words, and is the user's. */
static bool is_dead(const struct sockaddr_un *a)
{
    struct stat st;
    if (lstat(a->sun_path, &st) || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool dead =
        fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof(*a)) && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return dead;
}

int unix_listen(const char *path, int backlog, struct err *e)
{
    struct sockaddr_un a;
    int r = address(&a, path, e);
    if (r)
        return r;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(e, errno, "%s: %s", path, strerror(errno));
    fchmod(fd, 0600); /* what bind() then gives the file, before anybody can connect */
    if (bind(fd, (struct sockaddr *)&a, sizeof(a))) {
        r = errno;
        if (r == EADDRINUSE && is_dead(&a) && !unlink(path))
            r = bind(fd, (struct sockaddr *)&a, sizeof(a)) ? errno : 0;
    }
    if (!r && listen(fd, backlog))
        r = errno;
    if (r) {
        close(fd);
        return err_set(e, r, "%s: %s", path, strerror(r));
    }
    return fd;
}

static bool is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

int tcp_listen(const char *address, unsigned port, bool is_public, struct err *e)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    struct addrinfo *a;
    char text[16];
    int one = 1, r = 0, fd = -1;
    snprintf(text, sizeof(text), "%u", port);
    if (getaddrinfo(address, text, &hints, &a))
        return err_set(e, EINVAL, "\"%s\" is no address", address);
    if (!is_loopback(a->ai_addr) && !is_public)
        r = err_set(e, EPERM, "%s is not loopback; \"public\" behind it allows that", address);
    else
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (!r && (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
               bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, 16)))
        r = err_set(e, errno, "%s port %u: %s", address, port, strerror(errno));
    freeaddrinfo(a);
    if (r && fd >= 0)
        close(fd);
    return r ? r : fd;
}

int unix_connect(const char *path, struct err *e)
{
    struct sockaddr_un a;
    int r = address(&a, path, e);
    if (r)
        return r;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a))) {
        r = errno;
        if (fd >= 0)
            close(fd);
        return err_set(e, r, "%s: %s", path, strerror(r));
    }
    return fd;
}
