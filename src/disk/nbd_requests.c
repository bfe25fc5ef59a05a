/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * NBD: requests, each a chain of commands, and the thread that they run on.  See nbd.c.
 */
#include "disk/nbd_int.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    IN_FLIGHT = 64,
    RECONNECT_SECONDS = 10,
    LOST_MAX = 8,       /* connections that one command may cost */
    ZERO_BUF = 1 << 20, /* zeros sent at once to a server that knows no zeroing */
    ZERO_CHUNK = 1 << 30,
};

enum phase { PH_PLAIN, PH_READ_BLOCK, PH_WRITE_BLOCK, PH_FLUSH };

/* A request under way. */
struct nbd_op {
    struct nbd_file *n;
    struct blk_req *r;
    u8 *data;    /* its bytes in one piece; NULL for flush, discard, zeroes */
    bool bounce; /* data is ours */
    bool alone;  /* parts of the server's blocks are written */
    u32 zeros;   /* bytes of zeros in data */
    u64 pos, len, step;
    enum phase phase;
    u8 *block;     /* one block of the server's */
    int error;     /* of the last command, errno */
    unsigned lost; /* connections since a command of it ended well */
    struct nbd_op *next;
};

/* -------------------------------------------------------------------- commands -- */

static int command_done(void *opaque, int *error)
{
    struct nbd_op *o = opaque;

    o->error = *error;
    o->next = o->n->finished;
    o->n->finished = o;
    o->n->active--;
    return 1; /* libnbd forgets the command */
}

/* A part of the block at pos is asked for: the bytes of it, else 0. */
static u64 part_of_block(const struct nbd_op *o)
{
    u64 at = o->r->offset + o->pos, in = at % o->n->block, left = o->len - o->pos;

    if (!in && left >= o->n->block)
        return 0;
    return min(o->n->block - in, left);
}

/* Begins the next command of o; -1: libnbd did not take it. */
static int64_t issue(struct nbd_op *o)
{
    struct nbd_file *n = o->n;
    nbd_completion_callback done = {.callback = command_done, .user_data = o};
    u64 at = o->r->offset + o->pos, left = align_down(o->len - o->pos, n->block);
    u64 part = o->r->op == BLK_FLUSH || o->r->op == BLK_DISCARD ? 0 : part_of_block(o);
    u32 fua = o->r->fua && n->can_fua && o->r->op != BLK_READ ? LIBNBD_CMD_FLAG_FUA : 0;

    switch (o->phase) {
    case PH_FLUSH:
        return nbd_aio_flush(n->h, done, 0);
    case PH_WRITE_BLOCK:
        return nbd_aio_pwrite(n->h, o->block, n->block, at - at % n->block, done, fua);
    default:
        break;
    }
    if (part) {
        o->phase = PH_READ_BLOCK;
        o->step = part;
        return nbd_aio_pread(n->h, o->block, n->block, at - at % n->block, done, 0);
    }
    o->phase = PH_PLAIN;
    switch (o->r->op) {
    case BLK_READ:
        o->step = min(left, (u64)n->payload);
        return nbd_aio_pread(n->h, o->data + o->pos, o->step, at, done, 0);
    case BLK_WRITE:
        o->step = min(left, (u64)n->payload);
        return nbd_aio_pwrite(n->h, o->data + o->pos, o->step, at, done, fua);
    case BLK_WRITE_ZEROES:
        if (!n->can_zero) {
            o->step = min(left, (u64)o->zeros);
            return nbd_aio_pwrite(n->h, o->data, o->step, at, done, fua);
        }
        o->step = min(left, (u64)ZERO_CHUNK);
        return nbd_aio_zero(n->h, o->step, at, done,
                            fua | (o->r->unmap ? 0 : LIBNBD_CMD_FLAG_NO_HOLE));
    case BLK_DISCARD:
        o->step = min(left, (u64)ZERO_CHUNK);
        return nbd_aio_trim(n->h, o->step, at, done, fua);
    default:
        o->phase = PH_FLUSH;
        return nbd_aio_flush(n->h, done, 0);
    }
}

static void begin_command(struct nbd_op *o)
{
    o->error = 0;
    o->n->active++;
    if (issue(o) >= 0)
        return;
    /* Not taken: a lost connection, or what libnbd itself refuses. */
    nbd_note_error(o->n);
    command_done(o, &(int){nbd_get_errno() ? nbd_get_errno() : EIO});
}

/* -------------------------------------------------------------------- requests -- */

static void copy_iov(const struct blk_req *r, u8 *data, u64 len, bool out)
{
    for (int i = 0; i < r->niov && len; i++) {
        u64 n = min((u64)r->iov[i].iov_len, len);

        if (out)
            memcpy(r->iov[i].iov_base, data, n);
        else
            memcpy(data, r->iov[i].iov_base, n);
        data += n;
        len -= n;
    }
}

static void op_end(struct nbd_op *o, int result)
{
    struct blk_req *r = o->r;

    if (o->bounce && r->op == BLK_READ && !result)
        copy_iov(r, o->data, r->len, true);
    if (o->bounce)
        free(o->data);
    free(o->block);
    o->n->alone &= !o->alone;
    free(o);
    r->done(r, result);
}

/* 1 = it is done already. */
static int op_prepare(struct nbd_op *o)
{
    struct nbd_file *n = o->n;
    struct blk_req *r = o->r;
    u64 size = n->f.size, part = (r->offset | r->len) % n->block;

    o->len = r->offset < size ? min(r->len, size - r->offset) : 0;
    if (r->op == BLK_FLUSH)
        return n->can_flush && !n->unsafe ? 0 : 1;
    if (r->op != BLK_READ && o->len < r->len)
        return -ENOSPC;         /* a server's disk does not grow */
    if (r->op == BLK_DISCARD) { /* only whole blocks; advice at any rate */
        o->pos = align_up(r->offset, n->block) - r->offset;
        return o->pos < o->len && align_down(o->len - o->pos, n->block) && n->can_trim ? 0 : 1;
    }
    if (r->op == BLK_WRITE_ZEROES && !n->can_zero)
        o->bounce = true;
    if ((r->op == BLK_READ || r->op == BLK_WRITE) && r->niov != 1)
        o->bounce = true;
    if (r->op == BLK_READ && o->len < r->len)
        o->bounce = true;
    if (r->op == BLK_WRITE_ZEROES)
        o->zeros = min((u32)ZERO_BUF, n->payload);
    if (o->bounce) {
        o->data = calloc(1, o->zeros ? o->zeros : max(r->len, (u64)1));
        if (!o->data)
            return -ENOMEM;
        if (r->op == BLK_WRITE)
            copy_iov(r, o->data, r->len, false);
    } else if (r->niov == 1) {
        o->data = r->iov[0].iov_base;
    }
    if (part || o->len < r->len) {
        o->block = malloc(n->block);
        o->alone = r->op != BLK_READ;
        if (!o->block)
            return -ENOMEM;
    }
    return o->len ? 0 : 1;
}

/* Its command ended well.  True: there is another to do. */
static bool op_advance(struct nbd_op *o)
{
    struct blk_req *r = o->r;
    u64 in = (r->offset + o->pos) % o->n->block;

    if (o->phase == PH_FLUSH)
        return false;
    if (o->phase == PH_READ_BLOCK && r->op != BLK_READ) {
        if (r->op == BLK_WRITE)
            memcpy(o->block + in, o->data + o->pos, o->step);
        else
            memset(o->block + in, 0, o->step);
        o->phase = PH_WRITE_BLOCK;
        return true;
    }
    if (o->phase == PH_READ_BLOCK)
        memcpy(o->data + o->pos, o->block + in, o->step);
    o->pos += o->step;
    o->phase = PH_PLAIN;
    if (o->pos < o->len && (r->op != BLK_DISCARD || o->len - o->pos >= o->n->block))
        return true;
    if (r->op == BLK_READ || !r->fua || o->n->can_fua || !o->n->can_flush || o->n->unsafe)
        return false;
    o->phase = PH_FLUSH;
    return true;
}

static void enqueue(struct nbd_file *n, struct nbd_op *o)
{
    o->phase = PH_PLAIN;
    o->next = NULL;
    *n->waiting_tail = o;
    n->waiting_tail = &o->next;
}

static void take_finished(struct nbd_file *n)
{
    while (n->finished) {
        struct nbd_op *o = n->finished;

        n->finished = o->next;
        if (o->error == ENOTCONN || o->error == ESHUTDOWN || (o->error && nbd_is_dead(n->h))) {
            /* On the next connection, from the command that was lost. */
            n->alone &= !o->alone;
            if (++o->lost > LOST_MAX)
                op_end(o, -EIO);
            else
                enqueue(n, o);
            continue;
        }
        o->lost = 0;
        if (o->error)
            op_end(o, -o->error);
        else if (op_advance(o))
            begin_command(o);
        else
            op_end(o, 0);
    }
}

static void take_queue(struct nbd_file *n)
{
    struct blk_req *r;

    pthread_mutex_lock(&n->lock);
    r = n->head;
    n->head = NULL;
    n->tail = &n->head;
    pthread_mutex_unlock(&n->lock);
    while (r) {
        struct blk_req *next = r->next;
        struct nbd_op *o = calloc(1, sizeof(*o));
        int k = -ENOMEM;

        if (o) {
            o->n = n;
            o->r = r;
            k = op_prepare(o);
        }
        if (!o)
            r->done(r, k);
        else if (k)
            op_end(o, k < 0 ? k : 0);
        else
            enqueue(n, o);
        r = next;
    }
}

static void start_waiting(struct nbd_file *n)
{
    while (n->waiting && n->active < IN_FLIGHT && !n->alone && (!n->waiting->alone || !n->active)) {
        struct nbd_op *o = n->waiting;

        n->waiting = o->next;
        if (!n->waiting)
            n->waiting_tail = &n->waiting;
        n->alone = o->alone;
        begin_command(o);
    }
}

static void fail_waiting(struct nbd_file *n)
{
    struct nbd_op *o = n->waiting;

    n->waiting = NULL;
    n->waiting_tail = &n->waiting;
    while (o) {
        struct nbd_op *next = o->next;

        op_end(o, -EIO);
        o = next;
    }
}

/* ------------------------------------------------------------------ the thread -- */

static void wait_for_something(struct nbd_file *n)
{
    struct pollfd p[2] = {{.fd = n->wake, .events = POLLIN}, {.fd = -1}};
    unsigned direction;
    u64 count;

    if (n->h) {
        direction = nbd_aio_get_direction(n->h);
        p[1].fd = nbd_aio_get_fd(n->h);
        p[1].events = (short)((direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
                              (direction & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0));
    }
    if (poll(p, 2, -1) < 0)
        return;
    if (p[0].revents && read(n->wake, &count, sizeof(count)) < 0)
        return;
    if (!n->h || !p[1].revents)
        return;
    direction = nbd_aio_get_direction(n->h);
    if (direction & LIBNBD_AIO_DIRECTION_READ && p[1].revents & (POLLIN | POLLHUP | POLLERR))
        nbd_aio_notify_read(n->h);
    else if (direction & LIBNBD_AIO_DIRECTION_WRITE && p[1].revents & (POLLOUT | POLLERR))
        nbd_aio_notify_write(n->h);
    if (nbd_is_dead(n->h))
        nbd_note_error(n);
}

void *nbd_thread(void *opaque)
{
    struct nbd_file *n = opaque;
    bool stop = false;

    while (!stop) {
        take_queue(n);
        if (n->h && nbd_is_dead(n->h)) {
            take_finished(n); /* libnbd ended all of them */
            nbd_disconnect(n);
        }
        if (n->waiting && !n->h) {
            n->lost = !nbd_reconnect(n, nbd_now_ms() + (n->lost ? 1 : RECONNECT_SECONDS) * 1000);
            if (n->lost)
                fail_waiting(n);
        }
        if (n->h) {
            start_waiting(n);
            take_finished(n);
            if (nbd_is_dead(n->h) || (n->waiting && !n->active))
                continue;
        }
        pthread_mutex_lock(&n->lock);
        stop = n->stop && !n->head && !n->active && !n->waiting;
        pthread_mutex_unlock(&n->lock);
        if (!stop)
            wait_for_something(n);
    }
    return NULL;
}
