/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The web server: libwebsockets on one thread.  Files come from the blob that was packed at build
 * time, found by exact name, so no path of a request reaches the file system.  A viewer's WebSocket
 * is joined to the VNC server by a socket pair; the serial console's to the tap.  What the machine
 * itself must do is posted to its loop.
 *
 * Who knows the token owns the machine.  It is in the path, so that all links are relative; no
 * Referer is sent, nothing is cached, no other page may frame this one.
 */
#include "ui/web.h"
#include "ui/listen.h"
#include "ui/screenshot.h"
#include "ui/web_assets.h"

#include <errno.h>
#include <fcntl.h>
#include <libwebsockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CHUNK = 16 << 10,
    BRIDGE_OUT = 64 << 10, /* from the VNC server at once */
    BRIDGE_IN = 64 << 10,  /* to it, while it does not take it */
    CONNECTIONS_MAX = 64,
    TIMEOUT_S = 20,
    NEW_FDS_MAX = 8,
};

enum { PROTO_HTTP, PROTO_VNC, PROTO_SERIAL, PROTO_PIPE, PROTO_LISTEN };

struct web {
    struct web_machine m;
    char token[WEB_TOKEN_LEN + 1];
    struct lws_context *lws;
    struct lws_vhost *vhost;
    pthread_t thread;
    bool started;
    bool stop; /* atomic */

    struct loop_job job;
    pthread_mutex_t lock; /* guards what follows; a leaf lock */
    unsigned pressed;
    int fd[NEW_FDS_MAX]; /* ends of socket pairs for the VNC server */
    unsigned nfds;
};

static struct web *web_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

/* On the machine's loop. */
static void on_job(void *opaque)
{
    struct web *w = opaque;
    int fd[NEW_FDS_MAX];
    pthread_mutex_lock(&w->lock);
    unsigned pressed = w->pressed, n = w->nfds;
    memcpy(fd, w->fd, sizeof(fd));
    w->pressed = w->nfds = 0;
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < n; i++)
        vnc_add(w->m.vnc, fd[i]);
    if (pressed)
        w->m.press(w->m.opaque, pressed);
}

/* -------------------------------------------------------------------- HTTP -- */

/* libwebsockets zeroes it for each connection. */
struct reply {
    const u8 *body;
    size_t len, pos;
    u8 *owned; /* body, when it is to be freed */
};

static void forget(struct reply *r)
{
    free(r->owned);
    memset(r, 0, sizeof(*r));
}

static int respond(struct lws *wsi, struct reply *r, unsigned status, const char *type, bool gzip)
{
    static const struct {
        const char *name, *value;
    } headers[] = {
        {"cache-control:", "no-store"},
        {"referrer-policy:", "no-referrer"},
        {"x-content-type-options:", "nosniff"},
        {"x-frame-options:", "DENY"},
        {"cross-origin-resource-policy:", "same-origin"},
        {"cross-origin-opener-policy:", "same-origin"},
        {"content-security-policy:",
         "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
         "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"},
        {"content-encoding:", "gzip"}, /* the last: left out otherwise */
    };
    u8 buf[LWS_PRE + 2048], *start = buf + LWS_PRE, *p = start, *end = buf + sizeof(buf) - 1;
    if (lws_add_http_common_headers(wsi, status, type, r->len, &p, end))
        return -1;
    for (unsigned i = 0; i < ARRAY_SIZE(headers) - !gzip; i++)
        if (lws_add_http_header_by_name(wsi, (const u8 *)headers[i].name,
                                        (const u8 *)headers[i].value, (int)strlen(headers[i].value),
                                        &p, end))
            return -1;
    if (lws_finalize_write_http_header(wsi, start, &p, end))
        return -1;
    lws_callback_on_writable(wsi);
    return 0;
}

static int respond_text(struct lws *wsi, struct reply *r, unsigned status, const char *text)
{
    r->body = (const u8 *)text;
    r->len = strlen(text);
    return respond(wsi, r, status, "text/plain", false);
}

static int send_more(struct lws *wsi, struct reply *r)
{
    u8 buf[LWS_PRE + CHUNK];
    size_t n = min(r->len - r->pos, (size_t)CHUNK);
    bool last = r->pos + n == r->len;
    if (!r->body)
        return 0;
    memcpy(buf + LWS_PRE, r->body + r->pos, n);
    if (lws_write(wsi, buf + LWS_PRE, n, last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) != (int)n)
        return -1;
    r->pos += n;
    if (!last) {
        lws_callback_on_writable(wsi);
        return 0;
    }
    forget(r);
    return lws_http_transaction_completed(wsi) ? -1 : 0;
}

static void header(struct lws *wsi, enum lws_token_indexes t, char *buf, int size)
{
    if (lws_hdr_copy(wsi, buf, size, t) < 0)
        strcpy(buf, lws_hdr_total_length(wsi, t) ? "?" : ""); /* too long is nobody's */
}

static bool let_in(struct lws *wsi)
{
    char host[128], origin[160];
    header(wsi, WSI_TOKEN_HOST, host, sizeof(host));
    header(wsi, WSI_TOKEN_ORIGIN, origin, sizeof(origin));
    return web_origin_ok(host, origin);
}

static int press(struct lws *wsi, struct reply *r, const char *what)
{
    struct web *w = web_of(wsi);
    unsigned bit = !strcmp(what, "power") ? WEB_POWER : !strcmp(what, "reset") ? WEB_RESET : 0;
    if (!bit)
        return respond_text(wsi, r, HTTP_STATUS_NOT_FOUND, "no such button\n");
    pthread_mutex_lock(&w->lock);
    w->pressed |= bit;
    pthread_mutex_unlock(&w->lock);
    loop_post(w->m.loop, &w->job);
    return respond_text(wsi, r, HTTP_STATUS_OK, "pressed\n");
}

static int screenshot(struct lws *wsi, struct reply *r)
{
    r->len = screenshot_png(web_of(wsi)->m.display, &r->owned);
    r->body = r->owned;
    if (!r->len)
        return respond_text(wsi, r, HTTP_STATUS_SERVICE_UNAVAILABLE, "the screen shows nothing\n");
    return respond(wsi, r, HTTP_STATUS_OK, "image/png", false);
}

static int request(struct lws *wsi, struct reply *r, const char *path)
{
    bool post = lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI);
    bool get = lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI);
    forget(r);
    const char *name = web_path(path, web_of(wsi)->token);
    if (!name)
        return respond_text(wsi, r, HTTP_STATUS_FORBIDDEN, "wrong token\n");
    if (!let_in(wsi))
        return respond_text(wsi, r, HTTP_STATUS_FORBIDDEN, "wrong host or origin\n");
    if (post && !strncmp(name, "do/", 3))
        return press(wsi, r, name + 3);
    if (!get)
        return respond_text(wsi, r, HTTP_STATUS_METHOD_NOT_ALLOWED, "no such method here\n");
    if (!strcmp(name, "screenshot.png"))
        return screenshot(wsi, r);
    for (unsigned i = 0; i < web_asset_count; i++)
        if (!strcmp(name, web_assets[i].name)) {
            r->body = web_blob + web_assets[i].offset;
            r->len = web_assets[i].len;
            return respond(wsi, r, HTTP_STATUS_OK, web_assets[i].type, true);
        }
    return respond_text(wsi, r, HTTP_STATUS_NOT_FOUND, "nothing here\n");
}

static int on_http(struct lws *wsi, enum lws_callback_reasons why, void *user, void *in, size_t len)
{
    struct reply *r = user;
    switch (why) {
    case LWS_CALLBACK_HTTP:
        return request(wsi, r, in);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return send_more(wsi, r);
    case LWS_CALLBACK_CLOSED_HTTP:
        if (r)
            forget(r);
        return 0;
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION: /* a WebSocket without a protocol's name */
    case LWS_CALLBACK_ESTABLISHED:
        return -1;
    default:
        return 0;
    }
}

/* -------------------------------------------------------- WebSocket and VNC -- */

/* Between a viewer's WebSocket and our end of the VNC server's socket pair. */
struct bridge {
    struct lws *ws, *pipe; /* NULL once closed */
    int fd;                /* the pipe's */
    u8 out[LWS_PRE + BRIDGE_OUT];
    size_t out_len;
    u8 in[BRIDGE_IN];
    size_t in_len;
};

static void hang_up(struct lws *wsi)
{
    if (wsi)
        lws_set_timeout(wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
}

static void closed(struct bridge *b, struct lws **end)
{
    *end = NULL;
    hang_up(b->ws);
    hang_up(b->pipe);
    if (!b->ws && !b->pipe)
        free(b);
}

/* Does the request's path say this, behind a right token? */
static bool asks_for(struct lws *wsi, const char *what)
{
    char path[WEB_TOKEN_LEN + 32];
    header(wsi, WSI_TOKEN_GET_URI, path, sizeof(path));
    const char *name = web_path(path, web_of(wsi)->token);
    return name && !strcmp(name, what) && let_in(wsi);
}

static int open_bridge(struct lws *wsi)
{
    struct web *w = web_of(wsi);
    struct bridge *b = calloc(1, sizeof(*b));
    int pair[2];
    lws_set_opaque_user_data(wsi, NULL);
    if (!b || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
        free(b);
        return -1;
    }
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    pthread_mutex_lock(&w->lock);
    bool room = w->nfds < NEW_FDS_MAX;
    if (room)
        w->fd[w->nfds++] = pair[1];
    pthread_mutex_unlock(&w->lock);
    lws_sock_file_fd_type fd = {.filefd = pair[0]};
    b->fd = pair[0];
    if (!room)
        close(pair[1]);
    else
        loop_post(w->m.loop, &w->job);
    b->pipe =
        room ? lws_adopt_descriptor_vhost(w->vhost, LWS_ADOPT_RAW_FILE_DESC, fd, "wirt-pipe", NULL)
             : NULL;
    if (!b->pipe) {
        close(pair[0]);
        free(b);
        return -1;
    }
    b->ws = wsi;
    lws_set_opaque_user_data(wsi, b);
    lws_set_opaque_user_data(b->pipe, b);
    return 0;
}

/* Bytes for the VNC server, behind those that wait. */
static int push_in(struct bridge *b, const u8 *buf, size_t len)
{
    if (!b->in_len) {
        ssize_t n = send(b->fd, buf, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return -1;
        n = max(n, (ssize_t)0);
        buf += n;
        len -= (size_t)n;
    }
    if (len > BRIDGE_IN - b->in_len)
        return -1;
    memcpy(b->in + b->in_len, buf, len);
    b->in_len += len;
    if (b->in_len) {
        lws_rx_flow_control(b->ws, 0);
        lws_callback_on_writable(b->pipe);
    }
    return 0;
}

static int on_vnc(struct lws *wsi, enum lws_callback_reasons why, void *user, void *in, size_t len)
{
    struct bridge *b = lws_get_opaque_user_data(wsi);
    switch (why) {
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return asks_for(wsi, "vnc") ? 0 : -1;
    case LWS_CALLBACK_ESTABLISHED:
        return open_bridge(wsi);
    case LWS_CALLBACK_RECEIVE:
        return b && b->pipe ? push_in(b, in, len) : -1;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        if (!b || !b->pipe)
            return -1;
        if (b->out_len && lws_write(wsi, b->out + LWS_PRE, b->out_len, LWS_WRITE_BINARY) < 0)
            return -1;
        b->out_len = 0;
        lws_rx_flow_control(b->pipe, 1);
        return 0;
    case LWS_CALLBACK_CLOSED:
        if (b)
            closed(b, &b->ws);
        return 0;
    default:
        return 0;
    }
}

static int on_pipe(struct lws *wsi, enum lws_callback_reasons why, void *user, void *in, size_t len)
{
    struct bridge *b = lws_get_opaque_user_data(wsi);
    ssize_t n;
    switch (why) {
    case LWS_CALLBACK_RAW_RX_FILE:
        if (!b || !b->ws)
            return -1;
        if (b->out_len) /* the WebSocket has not taken the last yet */
            return 0;
        n = recv(b->fd, b->out + LWS_PRE, BRIDGE_OUT, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (n <= 0)
            return -1;
        b->out_len = (size_t)n;
        lws_rx_flow_control(wsi, 0);
        lws_callback_on_writable(b->ws);
        return 0;
    case LWS_CALLBACK_RAW_WRITEABLE_FILE:
        if (!b || !b->ws)
            return -1;
        n = b->in_len ? send(b->fd, b->in, b->in_len, MSG_NOSIGNAL) : 0;
        if (n < 0 && errno != EAGAIN)
            return -1;
        n = max(n, (ssize_t)0);
        b->in_len -= (size_t)n;
        memmove(b->in, b->in + n, b->in_len);
        if (b->in_len)
            lws_callback_on_writable(wsi);
        else
            lws_rx_flow_control(b->ws, 1);
        return 0;
    case LWS_CALLBACK_RAW_CLOSE_FILE:
        if (b)
            closed(b, &b->pipe);
        return 0;
    default:
        return 0;
    }
}

/* ------------------------------------------------------------------ serial -- */

struct serial_session {
    u64 pos; /* what it has seen of the tap */
};

static int on_serial(struct lws *wsi, enum lws_callback_reasons why, void *user, void *in,
                     size_t len)
{
    struct web *w = web_of(wsi);
    struct serial_session *s = user;
    u8 buf[LWS_PRE + CHUNK];
    size_t n;
    switch (why) {
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return w->m.serial && asks_for(wsi, "serial") ? 0 : -1;
    case LWS_CALLBACK_ESTABLISHED:
        s->pos = 0;
        lws_callback_on_writable(wsi);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        tap_type(w->m.serial, in, len);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        n = tap_read(w->m.serial, &s->pos, buf + LWS_PRE, CHUNK);
        if (n && lws_write(wsi, buf + LWS_PRE, n, LWS_WRITE_BINARY) < 0)
            return -1;
        if (n == CHUNK)
            lws_callback_on_writable(wsi);
        return 0;
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        lws_callback_on_writable_all_protocol(lws_get_context(wsi), lws_get_protocol(wsi));
        return 0;
    default:
        return 0;
    }
}

/* ------------------------------------------------------------------ listen -- */

static int on_listen(struct lws *wsi, enum lws_callback_reasons why, void *user, void *in,
                     size_t len)
{
    int fd, one = 1;
    if (why != LWS_CALLBACK_RAW_RX_FILE)
        return 0;
    fd = accept4((int)(intptr_t)lws_get_opaque_user_data(wsi), NULL, NULL,
                 SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        lws_adopt_socket_vhost(web_of(wsi)->vhost, fd); /* closes it when it cannot */
    }
    return 0;
}

static const struct lws_protocols protocols[] = {
    [PROTO_HTTP] = {"http", on_http, sizeof(struct reply), 4096},
    [PROTO_VNC] = {"wirt-vnc", on_vnc, 0, 4096},
    [PROTO_SERIAL] = {"wirt-serial", on_serial, sizeof(struct serial_session), 4096},
    [PROTO_PIPE] = {"wirt-pipe", on_pipe, 0, 4096},
    [PROTO_LISTEN] = {"wirt-listen", on_listen, 0, 4096},
    {NULL, NULL, 0, 0},
};

/* -------------------------------------------------------------------- life -- */

static void *web_thread(void *opaque)
{
    struct web *w = opaque;
    while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE) && lws_service(w->lws, 0) >= 0)
        ;
    return NULL;
}

static void on_output(void *opaque)
{
    struct web *w = opaque;
    lws_cancel_service(w->lws);
}

static int start(struct web *w, int fd, struct err *e)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = protocols,
        .gid = -1,
        .uid = -1,
        .user = w,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .fd_limit_per_thread = CONNECTIONS_MAX,
        .timeout_secs = TIMEOUT_S,
        .keepalive_timeout = TIMEOUT_S,
        .server_string = "wirt",
    };
    lws_sock_file_fd_type listener = {.filefd = fd};
    lws_set_log_level(0, NULL);
    w->lws = lws_create_context(&info);
    w->vhost = w->lws ? lws_create_vhost(w->lws, &info) : NULL;
    struct lws *l = w->vhost ? lws_adopt_descriptor_vhost(w->vhost, LWS_ADOPT_RAW_FILE_DESC,
                                                          listener, "wirt-listen", NULL)
                             : NULL;
    if (!l) {
        close(fd);
        return err_set(e, EIO, "libwebsockets does not start");
    }
    lws_set_opaque_user_data(l, (void *)(intptr_t)fd);
    int r = pthread_create(&w->thread, NULL, web_thread, w);
    if (r)
        return err_set(e, r, "a thread for the web console: %s", strerror(r));
    w->started = true;
    if (w->m.serial)
        tap_listen(w->m.serial, on_output, w);
    return 0;
}

bool web_available(void)
{
    return true;
}

int web_open(struct web **out, const struct web_machine *m, const struct web_config *c,
             char url[WEB_URL_MAX], struct err *e)
{
    struct web *w = calloc(1, sizeof(*w));
    bool six = strchr(c->at.address, ':');
    if (!w)
        return err_set(e, ENOMEM, "out of memory");
    w->m = *m;
    w->job = (struct loop_job){.fn = on_job, .opaque = w};
    pthread_mutex_init(&w->lock, NULL);
    int r = web_token(w->token, c->token_file, e);
    int fd = r ? r : listen_open(&c->at, 16, e);
    r = fd < 0 ? fd : start(w, fd, e);
    if (r) {
        web_close(w);
        return r;
    }
    snprintf(url, WEB_URL_MAX, "http://%s%s%s:%u/%s/", six ? "[" : "", c->at.address,
             six ? "]" : "", c->at.port, w->token);
    *out = w;
    return 0;
}

void web_close(struct web *w)
{
    if (!w)
        return;
    if (w->m.serial)
        tap_listen(w->m.serial, NULL, NULL);
    if (w->started) {
        __atomic_store_n(&w->stop, true, __ATOMIC_RELEASE);
        lws_cancel_service(w->lws);
        pthread_join(w->thread, NULL);
    }
    if (w->lws)
        lws_context_destroy(w->lws);
    loop_cancel(w->m.loop, &w->job);
    for (unsigned i = 0; i < w->nfds; i++)
        close(w->fd[i]);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
