/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * User-mode NAT: libslirp is the network's router, DHCP and DNS server.  The guest is 10.0.2.15,
 * the host appears as 10.0.2.2 (its loopback included), DNS is 10.0.2.3.
 *
 * libslirp is not thread-safe: everything that calls it runs on the loop's thread.  Frames from
 * vCPU threads wait in `tx` until a job takes them there.  What sockets libslirp wants watched
 * changes with every call, so after each the wanted set is read (slirp_pollfds_fill) and the
 * loop's watches are brought in line with it; a descriptor's number serves as its index.
 *
 * Frames with segmentation from the guest are handed to libslirp whole, as one large TCP segment
 * with its checksum completed: it need not be a frame that fits a wire.  IPv6 is off.
 */
#include "base/endian.h"
#include "net/net.h"
#include "net/offload.h"
#include "net/queue.h"

#include <errno.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { USER_BATCH = 64 };

static const u32 user_net = 0x0a000200, user_host = 0x0a000202, user_dns = 0x0a000203,
                 user_guest = 0x0a00020f;

struct user;

struct user_fd {
    struct loop_fd watch;
    struct user *user;
    u32 wanted; /* epoll events, in the round numbered `round` */
    u32 revents;
    u64 round;
};

struct user {
    struct nic_backend b; /* first */
    Slirp *slirp;
    struct loop *loop;
    struct clock *clock;
    struct trace *trace;
    struct net_queue tx, rx; /* from and to the card */
    struct loop_job tx_job, rx_job;
    struct timer timer;  /* what slirp_pollfds_fill() asked for */
    struct user_fd **fd; /* by descriptor */
    int nfd;
    u64 round;
};

/* ------------------------------------------------------- the loop's watches -- */

static void user_event(void *opaque, u32 revents);

static u32 to_epoll(int slirp)
{
    return (slirp & SLIRP_POLL_IN ? EPOLLIN : 0) | (slirp & SLIRP_POLL_OUT ? EPOLLOUT : 0) |
           (slirp & SLIRP_POLL_PRI ? EPOLLPRI : 0);
}

static int from_epoll(u32 ep)
{
    return (ep & EPOLLIN ? SLIRP_POLL_IN : 0) | (ep & EPOLLOUT ? SLIRP_POLL_OUT : 0) |
           (ep & EPOLLPRI ? SLIRP_POLL_PRI : 0) | (ep & EPOLLERR ? SLIRP_POLL_ERR : 0) |
           (ep & EPOLLHUP ? SLIRP_POLL_HUP : 0);
}

static struct user_fd *get_fd(struct user *u, int fd)
{
    struct user_fd **table, *f;

    if (fd >= u->nfd) {
        int n = max(fd + 1, 64 + u->nfd * 2);

        table = realloc(u->fd, n * sizeof(*table));
        if (!table)
            return NULL;
        memset(table + u->nfd, 0, (n - u->nfd) * sizeof(*table));
        u->fd = table;
        u->nfd = n;
    }
    f = u->fd[fd];
    if (!f) {
        f = calloc(1, sizeof(*f));
        if (!f)
            return NULL;
        f->user = u;
        f->watch = (struct loop_fd){.fd = fd, .fn = user_event, .opaque = f};
        u->fd[fd] = f;
    }
    return f;
}

static int add_poll(int fd, int events, void *opaque)
{
    struct user *u = opaque;
    struct user_fd *f = get_fd(u, fd);

    if (!f)
        return -1;
    if (f->round != u->round) {
        f->round = u->round;
        f->wanted = 0;
    }
    f->wanted |= to_epoll(events);
    return fd;
}

static int get_revents(int idx, void *opaque)
{
    struct user *u = opaque;

    return idx >= 0 && idx < u->nfd && u->fd[idx] ? from_epoll(u->fd[idx]->revents) : 0;
}

/* Watches what libslirp wants watched now, and sets the timer. */
static void sync_watches(struct user *u)
{
    u32 timeout = UINT32_MAX;

    u->round++;
    slirp_pollfds_fill(u->slirp, &timeout, add_poll, u);
    for (int i = 0; i < u->nfd; i++) {
        struct user_fd *f = u->fd[i];

        if (!f)
            continue;
        if (f->round != u->round || !f->wanted) {
            loop_fd_del(u->loop, &f->watch);
        } else if (f->watch.added) {
            loop_fd_mod(u->loop, &f->watch, f->wanted);
        } else {
            f->watch.events = f->wanted;
            loop_fd_add(u->loop, &f->watch, NULL);
        }
    }
    if (timeout == UINT32_MAX)
        timer_del(u->clock, &u->timer);
    else
        timer_set(u->clock, &u->timer, clock_now(u->clock) + max(timeout, 1u) * 1000000ull);
}

static void user_event(void *opaque, u32 revents)
{
    struct user_fd *f = opaque;
    struct user *u = f->user;

    f->revents = revents;
    slirp_pollfds_poll(u->slirp, 0, get_revents, u);
    f->revents = 0;
    sync_watches(u);
}

static void user_timer(void *opaque)
{
    struct user *u = opaque;

    slirp_pollfds_poll(u->slirp, 0, get_revents, u);
    sync_watches(u);
}

/* ----------------------------------------------------- libslirp's callbacks -- */

static ssize_t cb_send_packet(const void *buf, size_t len, void *opaque)
{
    struct user *u = opaque;

    trace(u->trace, net, "user: %zu bytes to the guest", len);
    net_to_card(&u->rx, u->b.front, buf, len, NULL);
    return len;
}

static void cb_guest_error(const char *msg, void *opaque)
{
    struct user *u = opaque;

    trace(u->trace, net, "user: guest error: %s", msg);
}

static int64_t cb_clock(void *opaque)
{
    struct user *u = opaque;

    return clock_now(u->clock);
}

/* Only IPv6 router advertisements use these. */
struct user_timer {
    struct timer t;
    SlirpTimerCb cb;
    void *cb_opaque;
};

static void timer_fired(void *opaque)
{
    struct user_timer *t = opaque;

    t->cb(t->cb_opaque);
}

static void *cb_timer_new(SlirpTimerCb cb, void *cb_opaque, void *opaque)
{
    struct user_timer *t = calloc(1, sizeof(*t));

    if (t) {
        t->cb = cb;
        t->cb_opaque = cb_opaque;
        t->t.fn = timer_fired;
        t->t.opaque = t;
    }
    return t;
}

static void cb_timer_free(void *timer, void *opaque)
{
    struct user *u = opaque;
    struct user_timer *t = timer;

    if (t)
        timer_del(u->clock, &t->t);
    free(t);
}

static void cb_timer_mod(void *timer, int64_t ms, void *opaque)
{
    struct user *u = opaque;
    struct user_timer *t = timer;

    if (t)
        timer_set(u->clock, &t->t, ms * 1000000ull);
}

static void cb_register_fd(int fd, void *opaque)
{
}

/* Called before the descriptor is closed, after which its number may come again. */
static void cb_unregister_fd(int fd, void *opaque)
{
    struct user *u = opaque;

    if (fd >= 0 && fd < u->nfd && u->fd[fd])
        loop_fd_del(u->loop, &u->fd[fd]->watch);
}

static void cb_notify(void *opaque)
{
}

static const SlirpCb slirp_callbacks = {
    .send_packet = cb_send_packet,
    .guest_error = cb_guest_error,
    .clock_get_ns = cb_clock,
    .timer_new = cb_timer_new,
    .timer_free = cb_timer_free,
    .timer_mod = cb_timer_mod,
    .register_poll_fd = cb_register_fd,
    .unregister_poll_fd = cb_unregister_fd,
    .notify = cb_notify,
};

/* ------------------------------------------------------------- the back end -- */

/* A frame that is to be cut has the pseudo header's sum of the whole, so that it may stay whole. */
static void input(struct user *u, struct net_frame *f)
{
    const struct nic_offload *o = &f->offload;

    trace(u->trace, net, "user: %u bytes from the guest", f->len);
    if (o->flags & NIC_CSUM_NEEDED && !net_checksum(f->data, f->len, o))
        return;
    slirp_input(u->slirp, f->data, f->len);
}

static void user_tx_job(void *opaque)
{
    struct user *u = opaque;
    struct net_frame *f;

    for (int i = 0; i < USER_BATCH; i++) {
        f = net_queue_pop(&u->tx);
        if (!f)
            break;
        input(u, f);
        free(f);
    }
    sync_watches(u);
    if (!net_queue_empty(&u->tx))
        loop_post(u->loop, &u->tx_job);
}

static void user_rx_job(void *opaque)
{
    struct user *u = opaque;

    net_queue_flush(&u->rx, u->b.front);
}

static void user_send(struct nic_backend *b, const struct iovec *iov, int niov,
                      const struct nic_offload *o)
{
    struct user *u = (struct user *)b;

    if (net_queue_push(&u->tx, iov, niov, o))
        loop_post(u->loop, &u->tx_job);
}

static void user_ready(struct nic_backend *b)
{
    struct user *u = (struct user *)b;

    loop_post(u->loop, &u->rx_job);
}

/* ---------------------------------------------------------- saved machines -- */

/*
 * What is kept: libslirp's addresses given by DHCP, and frames on their way to the card, each
 * behind its length (u32).  Connections are the host kernel's and stay behind: libslirp answers the
 * guest's next segment of one with a reset.
 */
struct bytes {
    u8 *p;
    size_t len, room;
    bool failed;
};

static void put_bytes(struct bytes *b, const void *from, size_t len)
{
    if (b->len + len > b->room) {
        size_t room = max(b->room * 2, b->len + len + 4096);
        u8 *p = realloc(b->p, room);
        if (!p) {
            b->failed = true;
            return;
        }
        b->p = p;
        b->room = room;
    }
    memcpy(b->p + b->len, from, len);
    b->len += len;
}

static ssize_t write_bytes(const void *buf, size_t len, void *opaque)
{
    put_bytes(opaque, buf, len);
    return (ssize_t)len;
}

static ssize_t read_bytes(void *buf, size_t len, void *opaque)
{
    struct bytes *b = opaque;
    size_t n = min(len, b->room - b->len);

    memcpy(buf, b->p + b->len, n);
    memset((u8 *)buf + n, 0, len - n);
    b->len += n;
    return (ssize_t)len;
}

static void put_u32(struct bytes *b, u32 v)
{
    u8 p[4];

    le32_put(p, v);
    put_bytes(b, p, sizeof(p));
}

/* libslirp's part, behind its version and length. */
static void put_slirp(struct user *u, struct bytes *b)
{
    struct bytes s = {0};

    slirp_state_save(u->slirp, write_bytes, &s);
    put_u32(b, (u32)slirp_state_version());
    put_u32(b, (u32)s.len);
    put_bytes(b, s.p, s.len);
    b->failed |= s.failed;
    free(s.p);
}

static int user_save(struct nic_backend *nb, u8 **data, size_t *len)
{
    struct user *u = (struct user *)nb;
    struct bytes b = {0};
    struct net_frame *f;

    while ((f = net_queue_pop(&u->tx))) {
        input(u, f);
        free(f);
    }
    sync_watches(u);
    put_slirp(u, &b);
    pthread_mutex_lock(&u->rx.lock);
    for (f = u->rx.head; f; f = f->next) {
        put_u32(&b, f->len);
        put_bytes(&b, f->data, f->len);
    }
    pthread_mutex_unlock(&u->rx.lock);
    if (b.failed) {
        free(b.p);
        return -ENOMEM;
    }
    *data = b.p;
    *len = b.len;
    return 0;
}

/* libslirp trusts what it reads: it gets only what has the form that it writes itself, which is
 * that of one without connections of its own (the first byte). */
static int load_slirp(struct user *u, const u8 *p, size_t len, size_t *used)
{
    struct bytes own = {0};
    int r = -EINVAL;

    put_slirp(u, &own);
    if (own.failed)
        r = -ENOMEM;
    else if (len >= own.len && !memcmp(p, own.p, 8) && own.len > 8 && !p[8]) {
        struct bytes from = {.p = (u8 *)p + 8, .room = own.len - 8};
        r = slirp_state_load(u->slirp, slirp_state_version(), read_bytes, &from) ? -EINVAL : 0;
        *used = own.len;
    }
    free(own.p);
    return r;
}

static int user_load(struct nic_backend *nb, const u8 *p, size_t len)
{
    struct user *u = (struct user *)nb;
    struct net_frame *f;
    size_t used = 0;
    int r = load_slirp(u, p, len, &used);

    if (r)
        return r;
    while ((f = net_queue_pop(&u->rx)))
        free(f);
    while ((f = net_queue_pop(&u->tx)))
        free(f);
    for (p += used, len -= used; len >= 4;) {
        u32 n = le32_get(p);
        struct iovec iov = {.iov_base = (void *)(p + 4), .iov_len = n};
        if (n > NIC_FRAME_MAX || n > len - 4)
            return -EINVAL;
        net_queue_push(&u->rx, &iov, 1, NULL);
        p += 4 + n;
        len -= 4 + n;
    }
    loop_post(u->loop, &u->rx_job);
    return len ? -EINVAL : 0;
}

static void user_close(struct nic_backend *b)
{
    struct user *u = (struct user *)b;

    u->b.front = NULL; /* connections that end now tell nobody */
    loop_cancel(u->loop, &u->tx_job);
    loop_cancel(u->loop, &u->rx_job);
    if (u->slirp)
        slirp_cleanup(u->slirp);
    timer_del(u->clock, &u->timer);
    for (int i = 0; i < u->nfd; i++)
        if (u->fd[i]) {
            loop_fd_del(u->loop, &u->fd[i]->watch);
            free(u->fd[i]);
        }
    free(u->fd);
    net_queue_destroy(&u->tx);
    net_queue_destroy(&u->rx);
    free(u);
}

static const struct nic_backend_ops user_ops = {
    .send = user_send,
    .ready = user_ready,
    .close = user_close,
    .save = user_save,
    .load = user_load,
};

static struct in_addr in(u32 addr)
{
    return (struct in_addr){.s_addr = htonl(addr)};
}

static int add_forward(struct user *u, const struct net_hostfwd *f, struct err *e)
{
    u32 guest = f->guest_addr ? f->guest_addr : user_guest;
    struct in_addr host = in(f->host_addr);
    char text[INET_ADDRSTRLEN];

    errno = 0;
    if (!slirp_add_hostfwd(u->slirp, f->udp, host, f->host_port, in(guest), f->guest_port))
        return 0;
    return err_set(e, errno ? errno : EADDRINUSE, "hostfwd: cannot listen on %s port %s:%u: %s",
                   f->udp ? "UDP" : "TCP", inet_ntop(AF_INET, &host, text, sizeof(text)),
                   f->host_port, strerror(errno ? errno : EADDRINUSE));
}

int net_user_open(struct nic_backend **out, const struct net_config *c, struct loop *l,
                  struct clock *clock, struct trace *t, struct err *e)
{
    struct user *u = calloc(1, sizeof(*u));
    const SlirpConfig cfg = {
        .version = 1,
        .restricted = c->restricted,
        .in_enabled = true,
        .vnetwork = in(user_net),
        .vnetmask = in(0xffffff00),
        .vhost = in(user_host),
        .vhostname = "wirt",
        .vdhcp_start = in(user_guest),
        .vnameserver = in(user_dns),
    };
    int rc = 0;

    if (!u)
        return err_set(e, ENOMEM, "user network: out of memory");
    u->b.ops = &user_ops;
    u->loop = l;
    u->clock = clock;
    u->trace = t;
    u->tx_job = (struct loop_job){.fn = user_tx_job, .opaque = u};
    u->rx_job = (struct loop_job){.fn = user_rx_job, .opaque = u};
    u->timer = (struct timer){.fn = user_timer, .opaque = u};
    net_queue_init(&u->tx);
    net_queue_init(&u->rx);
    u->slirp = slirp_new(&cfg, &slirp_callbacks, u);
    if (!u->slirp)
        rc = err_set(e, ENOMEM, "user network: libslirp does not start");
    for (unsigned i = 0; !rc && i < c->nfwd; i++)
        rc = add_forward(u, &c->fwd[i], e);
    if (rc) {
        user_close(&u->b);
        return rc;
    }
    sync_watches(u);
    *out = &u->b;
    return 0;
}
