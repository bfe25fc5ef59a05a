/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets: where, bind, listen, connect.
 */
#include "ui/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ------------------------------------------------------------------------ places -- */

static int parse_unix(struct listen_place *p, const char *path, struct err *e)
{
    if (!*path)
        return err_set(e, EINVAL, "\"unix:\" names no path");
    if (strlen(path) >= sizeof(p->address))
        return err_set(e, ENAMETOOLONG, "%s: too long for the name of a socket", path);
    strcpy(p->address, path);
    return 0;
}

static int parse_tcp(struct listen_place *p, char *where, const struct listen_form *f,
                     struct err *e)
{
    const unsigned last = 65535 - f->port_0;
    char *host = where + (f->takes_port && !strncmp(where, "tcp:", 4) ? 4 : 0);
    char *colon = strrchr(host, ':'), *end;
    const char *digits = colon ? colon + 1 : host;
    unsigned long number = strtoul(digits, &end, 10);
    size_t n = colon ? (size_t)(colon - host) : 0;

    if ((!colon && !f->takes_port) || *digits < '0' || *digits > '9' || *end)
        return err_set(e, EINVAL, "\"%s\" is not %s", where, f->places);
    if (number < f->number_min || number > last)
        return err_set(e, EINVAL, "%s %s: only %u to %u", f->number, digits, f->number_min, last);
    if (n > 1 && host[0] == '[' && host[n - 1] == ']') {
        host++;
        n -= 2;
    }
    host[n] = 0;
    if (!n || !strcmp(host, "localhost"))
        host = "127.0.0.1";
    if (strlen(host) >= sizeof(p->address))
        return err_set(e, EINVAL, "\"%s\" is no address", host);
    strcpy(p->address, host);
    p->port = f->port_0 + (unsigned)number;
    return 0;
}

int listen_parse(struct listen_place *p, const char *spec, const struct listen_form *f,
                 void *opaque, struct err *e)
{
    char text[1024], *rest = text;

    memset(p, 0, sizeof(*p));
    if (strlen(spec) >= sizeof(text))
        return err_set(e, EINVAL, "more than %zu characters", sizeof(text) - 1);
    strcpy(text, spec);
    char *where = strsep(&rest, ","), *option;
    if (!*where)
        return err_set(e, EINVAL, "says no place: %s", f->places);
    int r = f->takes_unix && !strncmp(where, "unix:", 5) ? parse_unix(p, where + 5, e)
                                                         : parse_tcp(p, where, f, e);
    while (!r && (option = strsep(&rest, ","))) {
        if (!strcmp(option, "public"))
            p->is_public = true;
        else if (!*option)
            r = err_set(e, EINVAL, "\"%s\": nothing behind a comma", spec);
        else
            r = f->option(opaque, option, e);
    }
    return r;
}

int listen_file_option(char file[LISTEN_FILE_MAX], const char *text, const char *key, struct err *e)
{
    size_t n = strlen(key);

    if (strncmp(text, key, n) || text[n] != '=')
        return 0;
    text += n + 1;
    if (!*text || strlen(text) >= LISTEN_FILE_MAX)
        return err_set(e, EINVAL, "%s=%s: %s for a file's name", key, text,
                       *text ? "too long" : "too short");
    strcpy(file, text);
    return 1;
}

/* ----------------------------------------------------------------------- sockets -- */

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

static int tcp_listen(const struct listen_place *p, int backlog, struct err *e)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    struct addrinfo *a;
    char text[16];
    int one = 1, r = 0, fd = -1;
    snprintf(text, sizeof(text), "%u", p->port);
    if (getaddrinfo(p->address, text, &hints, &a))
        return err_set(e, EINVAL, "\"%s\" is no address", p->address);
    if (!is_loopback(a->ai_addr) && !p->is_public)
        r = err_set(e, EPERM, "%s is not loopback; \"public\" behind it allows that", p->address);
    else
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (!r && (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
               bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, backlog)))
        r = err_set(e, errno, "%s port %u: %s", p->address, p->port, strerror(errno));
    freeaddrinfo(a);
    if (r && fd >= 0)
        close(fd);
    return r ? r : fd;
}

int listen_open(const struct listen_place *p, int backlog, struct err *e)
{
    return p->port ? tcp_listen(p, backlog, e) : unix_listen(p->address, backlog, e);
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
