/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A filter in front of a back end that writes every frame of both directions to a pcap file
 * (the classic format with nanoseconds, magic a1b23c4d), stamped with the machine's virtual clock
 * on top of the wall time at which the file was opened.
 *
 * Each record is one write, so that the file is whole whenever it is looked at; after a write
 * fails, capturing stops and the network goes on.  Frames with offload are captured as the card
 * and the back end exchange them, before segmentation.
 */
#include "base/endian.h"
#include "net/net.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { IOV_MAX_CAPTURE = 64, LINKTYPE_ETHERNET = 1 };

struct capture {
    struct nic_backend outer; /* what the card sees; first */
    struct nic_backend *inner;
    struct nic_frontend front; /* what the back end sees */
    struct trace *trace;
    struct clock *clock;
    u64 epoch; /* wall time at virtual time 0, ns */
    int fd;    /* -1 after an error; guarded by lock */
    pthread_mutex_t lock;
};

static void record(struct capture *c, const struct iovec *iov, int niov)
{
    struct iovec v[IOV_MAX_CAPTURE];
    u64 now = c->epoch + clock_now(c->clock);
    u8 head[16];
    u32 len = 0;

    niov = min(niov, IOV_MAX_CAPTURE - 1);
    for (int i = 0; i < niov; i++) {
        v[i + 1] = iov[i];
        len += iov[i].iov_len;
    }
    le32_put(head, now / NS_PER_SEC);
    le32_put(head + 4, now % NS_PER_SEC);
    le32_put(head + 8, len);
    le32_put(head + 12, len);
    v[0] = (struct iovec){.iov_base = head, .iov_len = sizeof(head)};
    pthread_mutex_lock(&c->lock);
    if (c->fd >= 0 && writev(c->fd, v, niov + 1) != (ssize_t)(len + sizeof(head))) {
        trace(c->trace, net, "capture stops: %s", strerror(errno));
        close(c->fd);
        c->fd = -1;
    }
    pthread_mutex_unlock(&c->lock);
}

/* The card says what it takes in its own time. */
static void follow_front(struct capture *c)
{
    c->front.offload = c->outer.front && c->outer.front->offload;
}

static void capture_send(struct nic_backend *b, const struct iovec *iov, int niov,
                         const struct nic_offload *o)
{
    struct capture *c = (struct capture *)b;

    follow_front(c);
    record(c, iov, niov);
    c->inner->ops->send(c->inner, iov, niov, o);
}

static void capture_ready(struct nic_backend *b)
{
    struct capture *c = (struct capture *)b;

    follow_front(c);
    c->inner->ops->ready(c->inner);
}

static bool capture_receive(void *opaque, const struct iovec *iov, int niov,
                            const struct nic_offload *o)
{
    struct capture *c = opaque;
    struct nic_frontend *f = c->outer.front;

    follow_front(c);
    if (!f || (o && !f->offload)) /* nobody there, or it just stopped taking offload */
        return true;
    if (!f->receive(f->opaque, iov, niov, o))
        return false;
    record(c, iov, niov);
    return true;
}

static int capture_save(struct nic_backend *b, u8 **data, size_t *len)
{
    struct nic_backend *inner = ((struct capture *)b)->inner;

    *data = NULL;
    *len = 0;
    return inner->ops->save ? inner->ops->save(inner, data, len) : 0;
}

static int capture_load(struct nic_backend *b, const u8 *data, size_t len)
{
    struct nic_backend *inner = ((struct capture *)b)->inner;

    if (!inner->ops->load)
        return len ? -EINVAL : 0;
    return inner->ops->load(inner, data, len);
}

static void capture_close(struct nic_backend *b)
{
    struct capture *c = (struct capture *)b;

    c->inner->ops->close(c->inner);
    if (c->fd >= 0)
        close(c->fd);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static const struct nic_backend_ops capture_ops = {
    .send = capture_send,
    .ready = capture_ready,
    .close = capture_close,
    .save = capture_save,
    .load = capture_load,
};

int net_capture_open(struct nic_backend **out, struct nic_backend *inner, const char *file,
                     struct clock *clock, struct trace *t, struct err *e)
{
    struct capture *c = calloc(1, sizeof(*c));
    struct timespec ts;
    u8 head[24] = {0};
    int rc;

    if (!c)
        return err_set(e, ENOMEM, "capture file %s: out of memory", file);
    c->fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    le32_put(head, 0xa1b23c4d);
    le16_put(head + 4, 2);
    le16_put(head + 6, 4);
    le32_put(head + 16, NIC_FRAME_MAX);
    le32_put(head + 20, LINKTYPE_ETHERNET);
    if (c->fd < 0 || write(c->fd, head, sizeof(head)) != sizeof(head)) {
        rc = err_set(e, errno ? errno : EIO, "capture file %s: %s", file, strerror(errno));
        if (c->fd >= 0)
            close(c->fd);
        free(c);
        return rc;
    }
    clock_gettime(CLOCK_REALTIME, &ts);
    c->epoch = ts.tv_sec * NS_PER_SEC + ts.tv_nsec - clock_now(clock);
    c->clock = clock;
    c->trace = t;
    c->inner = inner;
    c->outer.ops = &capture_ops;
    c->front = (struct nic_frontend){.receive = capture_receive, .opaque = c};
    inner->front = &c->front;
    pthread_mutex_init(&c->lock, NULL);
    *out = &c->outer;
    return 0;
}
