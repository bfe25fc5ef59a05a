/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unix sockets: bind, listen, connect.
 */
#include "ui/listen.h"

#include <errno.h>
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
