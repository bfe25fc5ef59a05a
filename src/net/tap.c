/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tap interface of the host: an existing one (made for this user with `ip tuntap add`), or a new
 * one where we may make it, which goes away with the machine.  Bringing it up and giving it
 * addresses is the host's administration, not ours.
 *
 * Frames carry a virtio-net header, so that checksums and segmentation are left to whoever does
 * them best: the host's kernel does them for frames from the guest; frames to the guest come with
 * offload only while the card takes it, which is looked at before each batch.
 */
#include "net/net.h"
#include "net/offload.h"
#include "net/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { TAP_BATCH = 64, TAP_IOV = 64 };

_Static_assert(sizeof(struct nic_offload) == 10, "struct nic_offload is the header of a tap");

struct tap {
    struct nic_backend b; /* first */
    struct loop *loop;
    struct trace *trace;
    struct loop_fd watch;
    struct loop_job ready_job;
    struct net_queue rx;
    int offload; /* what TUNSETOFFLOAD was told: 0, 1; -1 = nothing yet */
    u8 buf[sizeof(struct nic_offload) + NIC_FRAME_MAX];
};

static void set_offload(struct tap *t)
{
    int want = t->b.front && t->b.front->offload;

    if (want == t->offload)
        return;
    t->offload = want;
    if (ioctl(t->watch.fd, TUNSETOFFLOAD, want ? TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 : 0) < 0)
        trace(t->trace, net, "tap: TUNSETOFFLOAD: %s", strerror(errno));
}

static void tap_readable(void *opaque, u32 revents)
{
    struct tap *t = opaque;
    struct nic_offload o;

    set_offload(t);
    for (int i = 0; i < TAP_BATCH; i++) {
        ssize_t n = read(t->watch.fd, t->buf, sizeof(t->buf));

        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR) { /* the interface was removed or is down */
                trace(t->trace, net, "tap: read: %s", strerror(errno));
                if (errno == EBADFD || errno == ENODEV)
                    loop_fd_del(t->loop, &t->watch);
            }
            return;
        }
        if ((size_t)n <= sizeof(o))
            continue;
        memcpy(&o, t->buf, sizeof(o));
        net_to_card(&t->rx, t->b.front, t->buf + sizeof(o), n - sizeof(o), &o);
        if (!net_queue_empty(&t->rx)) { /* the card is full: let the host keep the rest */
            loop_fd_mod(t->loop, &t->watch, 0);
            return;
        }
    }
}

static void tap_flush(void *opaque)
{
    struct tap *t = opaque;

    if (net_queue_flush(&t->rx, t->b.front))
        loop_fd_mod(t->loop, &t->watch, EPOLLIN);
}

static void tap_ready(struct nic_backend *b)
{
    struct tap *t = (struct tap *)b;

    loop_post(t->loop, &t->ready_job);
}

/* A frame that the interface does not take at once is lost, as on a wire. */
static void tap_send(struct nic_backend *b, const struct iovec *iov, int niov,
                     const struct nic_offload *o)
{
    struct tap *t = (struct tap *)b;
    struct nic_offload none = {0};
    struct iovec v[TAP_IOV];

    if (niov > TAP_IOV - 1) {
        trace(t->trace, net, "tap: a frame of %d pieces is dropped", niov);
        return;
    }
    v[0] = (struct iovec){.iov_base = o ? (void *)o : &none, .iov_len = sizeof(none)};
    memcpy(v + 1, iov, niov * sizeof(*iov));
    if (writev(t->watch.fd, v, niov + 1) < 0)
        trace(t->trace, net, "tap: write: %s", strerror(errno));
}

static void tap_close(struct nic_backend *b)
{
    struct tap *t = (struct tap *)b;

    loop_fd_del(t->loop, &t->watch);
    loop_cancel(t->loop, &t->ready_job);
    net_queue_destroy(&t->rx);
    close(t->watch.fd);
    free(t);
}

static const struct nic_backend_ops tap_ops = {
    .send = tap_send,
    .ready = tap_ready,
    .close = tap_close,
};

static int open_interface(const char *ifname, struct err *e)
{
    struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int size = sizeof(struct nic_offload);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return err_set(e, errno, "tap %s: /dev/net/tun: %s", ifname, strerror(errno));
    strncpy(ifr.ifr_name, ifname, IFNAMSIZ - 1);
    if (ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &size) < 0) {
        int code = errno;

        close(fd);
        if (code == EPERM)
            return err_set(e, code,
                           "tap %s: not allowed (make it with: ip tuntap add %s mode tap "
                           "user NAME)",
                           ifname, ifname);
        return err_set(e, code, "tap %s: %s", ifname,
                       code == EBUSY ? "is in use by another program" : strerror(code));
    }
    return fd;
}

int net_tap_open(struct nic_backend **out, const char *ifname, struct loop *l, struct trace *tr,
                 struct err *e)
{
    struct tap *t;
    int fd = open_interface(ifname, e);

    if (fd < 0)
        return fd;
    t = calloc(1, sizeof(*t));
    if (!t) {
        close(fd);
        return err_set(e, ENOMEM, "tap %s: out of memory", ifname);
    }
    t->b.ops = &tap_ops;
    t->loop = l;
    t->trace = tr;
    t->offload = -1;
    t->watch = (struct loop_fd){.fd = fd, .events = EPOLLIN, .fn = tap_readable, .opaque = t};
    t->ready_job = (struct loop_job){.fn = tap_flush, .opaque = t};
    net_queue_init(&t->rx);
    set_offload(t);
    if (loop_fd_add(l, &t->watch, e)) {
        int code = e ? -e->code : -EIO;

        tap_close(&t->b);
        return code;
    }
    *out = &t->b;
    return 0;
}
