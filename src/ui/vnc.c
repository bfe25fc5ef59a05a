/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VNC.  Each viewer has a thread and a libvncserver screen of its own, whose frame buffer is the
 * viewer's copy of the picture (struct display_view): a slow or hostile viewer blocks nobody else,
 * and drawing is shared by all viewers in struct display.  Listening is on the machine's loop.
 *
 * The screens are made once, before there are threads, because libvncserver's making of one is not
 * thread-safe.  libvncserver also answers WebSocket handshakes on its port without looking at the
 * Origin, by which any web page could reach a machine on loopback: such viewers are hung up on.
 *
 * No clipboard: no guest offers one without an agent inside.  No TLS: libvncserver has it for
 * WebSockets only; a unix socket or an SSH tunnel is the private way.
 */
#include "ui/vnc.h"
#include "ui/vnc_viewer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct listener {
    struct vnc *vnc;
    struct loop_fd watch;
    char path[LISTEN_ADDRESS_MAX]; /* of a unix socket, else "" */
    char password[VNC_PASSWORD_MAX + 1];
};

struct vnc {
    struct loop *loop;
    struct vnc_viewer *viewer[VNC_VIEWERS_MAX];
    struct listener listener[VNC_LISTENERS_MAX];
    unsigned nlisteners;
};

/* ----------------------------------------------------------------- options -- */

static int parse_option(void *opaque, const char *text, struct err *e)
{
    struct vnc_config *c = opaque;
    int r = listen_file_option(c->password_file, text, "password-file", e);

    if (!r)
        return err_set(e, EINVAL, "\"%s\" is neither password-file=FILE nor public", text);
    return min(r, 0);
}

int vnc_parse(struct vnc_config *c, const char *spec, struct err *e)
{
    static const struct listen_form form = {.places = "ADDRESS:DISPLAY or unix:PATH",
                                            .number = "display",
                                            .port_0 = 5900,
                                            .takes_unix = true,
                                            .option = parse_option};

    memset(c, 0, sizeof(*c));
    return listen_parse(&c->at, spec, &form, c, e) ? err_prefix(e, "vnc") : 0;
}

/* ------------------------------------------------------------------ listen -- */

static int read_password(char *buf, const char *path, struct err *e)
{
    char text[64] = "";
    struct stat st;
    FILE *f = fopen(path, "re");
    if (!f)
        return err_set(e, errno, "%s: %s", path, strerror(errno));
    bool open_to_all = !fstat(fileno(f), &st) && (st.st_mode & 077);
    if (!fgets(text, sizeof(text), f))
        *text = 0;
    fclose(f);
    text[strcspn(text, "\r\n")] = 0;
    if (open_to_all)
        return err_set(e, EPERM, "%s: others may read it: chmod 600", path);
    if (!*text || strlen(text) > VNC_PASSWORD_MAX)
        return err_set(e, EINVAL, "%s: a VNC password has 1 to %d characters", path,
                       VNC_PASSWORD_MAX);
    strcpy(buf, text);
    return 0;
}

static bool is_local(int fd)
{
    struct sockaddr_storage a = {0};
    socklen_t n = sizeof(a);
    if (getpeername(fd, (struct sockaddr *)&a, &n))
        return false;
    if (a.ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)&a)->sin6_addr);
    if (a.ss_family == AF_INET)
        return ntohl(((struct sockaddr_in *)&a)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return a.ss_family == AF_UNIX;
}

static int add(struct vnc *v, int fd, bool local, const char *password)
{
    for (unsigned i = 0; i < VNC_VIEWERS_MAX; i++)
        if (!vnc_viewer_start(v->viewer[i], fd, local, password))
            return 0;
    close(fd);
    return -EAGAIN;
}

int vnc_add(struct vnc *v, int fd)
{
    return add(v, fd, false, "");
}

static void on_connect(void *opaque, u32 revents)
{
    struct listener *l = opaque;
    int one = 1, fd = accept4(l->watch.fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (!*l->path)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    add(l->vnc, fd, is_local(fd), l->password);
}

int vnc_listen(struct vnc *v, const struct vnc_config *c, struct err *e)
{
    if (v->nlisteners == VNC_LISTENERS_MAX)
        return err_set(e, E2BIG, "vnc: more than %d places", VNC_LISTENERS_MAX);
    struct listener *l = &v->listener[v->nlisteners];
    memset(l, 0, sizeof(*l));
    l->vnc = v;
    int r = *c->password_file ? read_password(l->password, c->password_file, e) : 0;
    if (!r && c->at.is_public && !*c->password_file)
        r = err_set(e, EPERM, "vnc: public lets everyone in: give a password-file, too");
    if (r)
        return r;
    int fd = listen_open(&c->at, VNC_VIEWERS_MAX, e);
    if (fd < 0)
        return err_prefix(e, "vnc");
    if (!c->at.port)
        strcpy(l->path, c->at.address);
    l->watch = (struct loop_fd){.fd = fd, .events = EPOLLIN, .fn = on_connect, .opaque = l};
    v->nlisteners++;
    return loop_fd_add(v->loop, &l->watch, e);
}

/* -------------------------------------------------------------------- life -- */

int vnc_open(struct vnc **out, struct loop *l, struct display *d, struct input *in,
             const char *name, struct err *e)
{
    struct vnc *v = calloc(1, sizeof(*v));
    if (!v)
        return err_set(e, ENOMEM, "vnc: out of memory");
    v->loop = l;
    for (unsigned i = 0; i < VNC_VIEWERS_MAX; i++) {
        v->viewer[i] = vnc_viewer_new(d, in, name);
        if (!v->viewer[i]) {
            vnc_close(v);
            return err_set(e, ENOMEM, "vnc: out of memory");
        }
    }
    *out = v;
    return 0;
}

void vnc_close(struct vnc *v)
{
    if (!v)
        return;
    for (unsigned i = 0; i < v->nlisteners; i++) {
        struct listener *l = &v->listener[i];
        loop_fd_del(v->loop, &l->watch);
        close(l->watch.fd);
        if (*l->path)
            unlink(l->path);
    }
    for (unsigned i = 0; i < VNC_VIEWERS_MAX; i++)
        vnc_viewer_free(v->viewer[i]);
    free(v);
}
