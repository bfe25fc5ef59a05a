/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The descriptors here are shared with other programs (the terminal with the shell), so they are
 * left in blocking mode: poll() is asked first, and no more is written than then fits.
 */
#include "ui/outq.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 512, FULL_WAIT_MS = 1000 };

static bool writable(const struct outq *q, int timeout_ms)
{
    struct pollfd p = {.fd = q->fd, .events = POLLOUT};
    return q->always || (poll(&p, 1, timeout_ms) > 0 && (p.revents & POLLOUT));
}

/* How many bytes went out; with the lock held. */
static size_t write_some(struct outq *q, const u8 *buf, size_t len)
{
    size_t done = 0;
    while (done < len && writable(q, 0)) {
        ssize_t n = write(q->fd, buf + done, q->always ? len - done : min(len - done, CHUNK + 0ul));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0)
            return len; /* nobody there any more: as good as written */
        done += (size_t)n;
    }
    return done;
}

static void flush(struct outq *q)
{
    while (q->len) {
        u32 run = min(q->len, OUTQ_SIZE - q->head);
        size_t n = write_some(q, q->ring + q->head, run);
        q->head = (u32)((q->head + n) % OUTQ_SIZE);
        q->len -= (u32)n;
        if (n < run)
            break;
    }
}

static void on_writable(void *opaque, u32 revents)
{
    struct outq *q = opaque;
    pthread_mutex_lock(&q->lock);
    if (revents & (EPOLLERR | EPOLLHUP))
        q->len = 0;
    flush(q);
    bool empty = !q->len;
    pthread_mutex_unlock(&q->lock);
    if (empty)
        loop_fd_del(q->loop, &q->watch);
}

static void on_arm(void *opaque)
{
    struct outq *q = opaque;
    pthread_mutex_lock(&q->lock);
    bool want = q->len && q->fd >= 0 && !q->always;
    pthread_mutex_unlock(&q->lock);
    if (!want || q->watch.added)
        return;
    q->watch = (struct loop_fd){.fd = q->fd, .events = EPOLLOUT, .fn = on_writable, .opaque = q};
    if (loop_fd_add(q->loop, &q->watch, NULL))
        q->always = true; /* epoll takes no such file: it never waits */
}

void outq_init(struct outq *q, struct loop *l)
{
    memset(q, 0, sizeof(*q));
    pthread_mutex_init(&q->lock, NULL);
    q->fd = -1;
    q->loop = l;
    q->arm = (struct loop_job){.fn = on_arm, .opaque = q};
}

void outq_set_fd(struct outq *q, int fd)
{
    struct stat st;
    if (q->watch.added)
        loop_fd_del(q->loop, &q->watch);
    pthread_mutex_lock(&q->lock);
    q->fd = fd;
    q->len = 0;
    q->always = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode);
    pthread_mutex_unlock(&q->lock);
}

void outq_write(struct outq *q, const u8 *buf, size_t len)
{
    bool waiting;
    pthread_mutex_lock(&q->lock);
    if (q->fd < 0)
        len = 0;
    if (!q->len && len) {
        size_t n = write_some(q, buf, len);
        buf += n;
        len -= n;
    }
    while (len) {
        u32 at = (q->head + q->len) % OUTQ_SIZE;
        u32 room = min(OUTQ_SIZE - q->len, OUTQ_SIZE - at);
        u32 n = (u32)min(len, (size_t)room);
        if (!n) {
            u32 before = q->len;
            if (writable(q, FULL_WAIT_MS))
                flush(q);
            if (q->len == before) {
                q->dropped += len;
                break;
            }
            continue;
        }
        memcpy(q->ring + at, buf, n);
        q->len += n;
        buf += n;
        len -= n;
    }
    waiting = q->len;
    pthread_mutex_unlock(&q->lock);
    if (waiting && q->loop)
        loop_post(q->loop, &q->arm);
}

void outq_drain(struct outq *q, int timeout_ms)
{
    pthread_mutex_lock(&q->lock);
    for (; q->fd >= 0 && q->len && timeout_ms > 0; timeout_ms -= 20) {
        u32 before = q->len;
        if (writable(q, 20))
            flush(q);
        if (q->len != before)
            timeout_ms += 20;
    }
    pthread_mutex_unlock(&q->lock);
}

void outq_destroy(struct outq *q)
{
    if (q->watch.added)
        loop_fd_del(q->loop, &q->watch);
    if (q->loop)
        loop_cancel(q->loop, &q->arm);
    pthread_mutex_destroy(&q->lock);
}
