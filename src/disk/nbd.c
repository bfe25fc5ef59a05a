/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk on a Network Block Device server, through libnbd: a struct file with a URL for a path
 * (nbd://host/export, nbd+unix:///export?socket=path, nbds:// with TLS).  Any format may lie in it.
 *
 * One thread owns the connection.  A request is a chain of commands, one at a time; up to
 * IN_FLIGHT requests are under way side by side.  Where the server takes only whole blocks of more
 * than was asked for, a write reads the block first, and is alone then.
 *
 * When the connection is lost, requests under way are made again on a new one; if there is none
 * within RECONNECT_SECONDS, or they were lost LOST_MAX times (a server that answers nonsense), they
 * fail with EIO, and later requests try again.
 */
#include "disk/disk_int.h"

#include <errno.h>
#include <libnbd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    IN_FLIGHT = 64,
    CONNECT_SECONDS = 20,
    RECONNECT_SECONDS = 10,
    LOST_MAX = 8,         /* connections that one command may cost */
    BLOCK_MAX = 64 << 10, /* the server's smallest block */
    PAYLOAD = 32 << 20,   /* bytes of a read or write, where the server says nothing */
    ZERO_BUF = 1 << 20,   /* zeros sent at once to a server that knows no zeroing */
    ZERO_CHUNK = 1 << 30,
};

enum phase { PH_PLAIN, PH_READ_BLOCK, PH_WRITE_BLOCK, PH_FLUSH };

struct nbd_file;

/* A request under way. */
struct op {
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
    struct op *next;
};

struct nbd_file {
    struct file f;        /* first */
    struct nbd_handle *h; /* NULL = not connected; the thread's */
    char why[256];        /* the last error of the connection */
    u32 block;            /* smallest, bytes */
    u32 payload;          /* greatest, bytes */
    bool can_flush, can_fua, can_trim, can_zero, unsafe;
    pthread_t thread;
    int wake; /* eventfd */

    pthread_mutex_t lock; /* guards head, tail, stop; a leaf */
    struct blk_req *head, **tail;
    bool stop;

    /* The thread's own. */
    struct op *waiting, **waiting_tail; /* not begun */
    struct op *finished;                /* whose command ended */
    unsigned active;                    /* ops whose command is under way */
    bool lost;                          /* the last try to connect failed */
    bool alone;                         /* one that must be alone is among them */
};

static u64 now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 1000 + (u64)t.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------ connecting -- */

/* libnbd's message without the function's name. */
static void note_error(struct nbd_file *n)
{
    const char *m = nbd_get_error(), *rest = m ? strstr(m, ": ") : NULL;

    if (m && !strncmp(m, "nbd_", 4) && rest)
        m = rest + 2;
    snprintf(n->why, sizeof(n->why), "%s", m ? m : "not connected");
    for (char *c = n->why; *c; c++)
        if ((u8)*c < ' ')
            *c = ' ';
}

static void disconnect(struct nbd_file *n)
{
    if (n->h)
        nbd_close(n->h);
    n->h = NULL;
}

static bool is_dead(struct nbd_handle *h)
{
    return nbd_aio_is_dead(h) || nbd_aio_is_closed(h);
}

/* False: not within that time, *why says the rest. */
static bool try_connect(struct nbd_file *n, u64 deadline)
{
    struct nbd_handle *h = nbd_create();
    bool ok = h && nbd_set_uri_allow_transports(h, LIBNBD_ALLOW_TRANSPORT_TCP |
                                                       LIBNBD_ALLOW_TRANSPORT_UNIX) == 0;

    ok = ok && nbd_aio_connect_uri(h, n->f.path) == 0;
    while (ok && !nbd_aio_is_ready(h)) {
        u64 now = now_ms();
        int r = now < deadline ? nbd_poll(h, (int)(deadline - now)) : 0;

        if (r < 0 || is_dead(h)) {
            ok = false;
        } else if (!r) {
            nbd_close(h);
            snprintf(n->why, sizeof(n->why), "the server does not answer");
            return false;
        }
    }
    if (ok) {
        n->h = h;
        return true;
    }
    note_error(n);
    if (h)
        nbd_close(h);
    return false;
}

static u32 limit(int64_t v, u32 none, u32 most)
{
    return v <= 0 ? none : v > most ? most : (u32)v;
}

static void ask_flags(struct nbd_file *n)
{
    n->can_flush = nbd_can_flush(n->h) == 1;
    n->can_fua = nbd_can_fua(n->h) == 1;
    n->can_trim = nbd_can_trim(n->h) == 1;
    n->can_zero = nbd_can_zero(n->h) == 1;
    n->block = limit(nbd_get_block_size(n->h, LIBNBD_SIZE_MINIMUM), 1, UINT32_MAX);
    n->payload = limit(nbd_get_block_size(n->h, LIBNBD_SIZE_MAXIMUM), PAYLOAD, PAYLOAD);
    n->payload = (u32)align_down(n->payload, max(n->block, 1u));
}

/* Can we work with its blocks? */
static bool blocks_fit(const struct nbd_file *n)
{
    return is_pow2(n->block) && n->block <= BLOCK_MAX && n->payload;
}

/* A new connection must lead to the same disk. */
static bool reconnect(struct nbd_file *n, u64 deadline)
{
    disconnect(n);
    while (now_ms() < deadline) {
        if (try_connect(n, deadline)) {
            u32 block = n->block;

            ask_flags(n);
            if (nbd_get_size(n->h) == (int64_t)n->f.size && n->block <= block && blocks_fit(n) &&
                (n->f.readonly || nbd_is_read_only(n->h) == 0))
                return true;
            snprintf(n->why, sizeof(n->why), "the server has another disk now");
            disconnect(n);
            return false;
        }
        usleep(200000);
    }
    return false;
}

/* -------------------------------------------------------------------- commands -- */

static int command_done(void *opaque, int *error)
{
    struct op *o = opaque;

    o->error = *error;
    o->next = o->n->finished;
    o->n->finished = o;
    o->n->active--;
    return 1; /* libnbd forgets the command */
}

/* A part of the block at pos is asked for: the bytes of it, else 0. */
static u64 part_of_block(const struct op *o)
{
    u64 at = o->r->offset + o->pos, in = at % o->n->block, left = o->len - o->pos;

    if (!in && left >= o->n->block)
        return 0;
    return min(o->n->block - in, left);
}

/* Begins the next command of o; -1: libnbd did not take it. */
static int64_t issue(struct op *o)
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

static void begin_command(struct op *o)
{
    o->error = 0;
    o->n->active++;
    if (issue(o) >= 0)
        return;
    /* Not taken: a lost connection, or what libnbd itself refuses. */
    note_error(o->n);
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

static void op_end(struct op *o, int result)
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
static int op_prepare(struct op *o)
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
static bool op_advance(struct op *o)
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

static void enqueue(struct nbd_file *n, struct op *o)
{
    o->phase = PH_PLAIN;
    o->next = NULL;
    *n->waiting_tail = o;
    n->waiting_tail = &o->next;
}

static void take_finished(struct nbd_file *n)
{
    while (n->finished) {
        struct op *o = n->finished;

        n->finished = o->next;
        if (o->error == ENOTCONN || o->error == ESHUTDOWN || (o->error && is_dead(n->h))) {
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
        struct op *o = calloc(1, sizeof(*o));
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
        struct op *o = n->waiting;

        n->waiting = o->next;
        if (!n->waiting)
            n->waiting_tail = &n->waiting;
        n->alone = o->alone;
        begin_command(o);
    }
}

static void fail_waiting(struct nbd_file *n)
{
    struct op *o = n->waiting;

    n->waiting = NULL;
    n->waiting_tail = &n->waiting;
    while (o) {
        struct op *next = o->next;

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
    if (is_dead(n->h))
        note_error(n);
}

static void *nbd_thread(void *opaque)
{
    struct nbd_file *n = opaque;
    bool stop = false;

    while (!stop) {
        take_queue(n);
        if (n->h && is_dead(n->h)) {
            take_finished(n); /* libnbd ended all of them */
            disconnect(n);
        }
        if (n->waiting && !n->h) {
            n->lost = !reconnect(n, now_ms() + (n->lost ? 1 : RECONNECT_SECONDS) * 1000);
            if (n->lost)
                fail_waiting(n);
        }
        if (n->h) {
            start_waiting(n);
            take_finished(n);
            if (is_dead(n->h) || (n->waiting && !n->active))
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

/* ---------------------------------------------------------------- struct file -- */

static void wake(struct nbd_file *n)
{
    u64 one = 1;

    while (write(n->wake, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

static void nbd_submit(struct file *f, struct blk_req *r)
{
    struct nbd_file *n = (struct nbd_file *)f;

    r->next = NULL;
    pthread_mutex_lock(&n->lock);
    *n->tail = r;
    n->tail = &r->next;
    pthread_mutex_unlock(&n->lock);
    wake(n);
}

struct sync_call {
    struct blk_req r;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
    int result;
};

static void sync_done(struct blk_req *r, int result)
{
    struct sync_call *c = container_of(r, struct sync_call, r);

    pthread_mutex_lock(&c->lock);
    c->result = result;
    c->done = true;
    pthread_cond_signal(&c->cond);
    pthread_mutex_unlock(&c->lock);
}

static int nbd_execute(struct file *f, const struct blk_req *r)
{
    struct sync_call c = {.r = *r};

    c.r.done = sync_done;
    pthread_mutex_init(&c.lock, NULL);
    pthread_cond_init(&c.cond, NULL);
    nbd_submit(f, &c.r);
    pthread_mutex_lock(&c.lock);
    while (!c.done)
        pthread_cond_wait(&c.cond, &c.lock);
    pthread_mutex_unlock(&c.lock);
    pthread_cond_destroy(&c.cond);
    pthread_mutex_destroy(&c.lock);
    return c.result;
}

static int nbd_truncate(struct file *f, u64 size)
{
    return size <= f->size ? 0 : -ENOSPC;
}

static void nbd_free(struct nbd_file *n)
{
    disconnect(n);
    if (n->wake >= 0)
        close(n->wake);
    pthread_mutex_destroy(&n->lock);
    free(n->f.path);
    free(n);
}

static void nbd_file_close(struct file *f)
{
    struct nbd_file *n = (struct nbd_file *)f;

    pthread_mutex_lock(&n->lock);
    n->stop = true;
    pthread_mutex_unlock(&n->lock);
    wake(n);
    pthread_join(n->thread, NULL);
    if (n->h && !is_dead(n->h))
        nbd_shutdown(n->h, 0);
    nbd_free(n);
}

static const struct file_ops nbd_ops = {.execute = nbd_execute,
                                        .submit = nbd_submit,
                                        .truncate = nbd_truncate,
                                        .close = nbd_file_close};

static int look_at_export(struct nbd_file *n, bool write, struct err *e)
{
    int64_t size = nbd_get_size(n->h);

    ask_flags(n);
    if (size <= 0)
        return err_set(e, EINVAL, "the server's export has no size");
    if (write && nbd_is_read_only(n->h))
        return err_set(e, EROFS,
                       "the server only lets it be read (\"readonly\" or \"snapshot\" "
                       "would do)");
    if (!blocks_fit(n))
        return err_set(e, EINVAL, "the server's blocks are of %u bytes", n->block);
    n->f.size = (u64)size;
    n->f.block_size = nbd_get_block_size(n->h, LIBNBD_SIZE_PREFERRED) >= 4096 ? 4096 : 512;
    return 0;
}

bool nbd_is_url(const char *path)
{
    static const char *const schemes[] = {"nbd://", "nbd+unix://", "nbds://", "nbds+unix://"};

    for (unsigned i = 0; i < ARRAY_SIZE(schemes); i++)
        if (!strncmp(path, schemes[i], strlen(schemes[i])))
            return true;
    return false;
}

int nbd_file_open(struct file **f, const char *path, unsigned flags, const struct disk_options *o,
                  struct err *e)
{
    bool write = flags & (FILE_WRITE | FILE_CREATE);
    struct nbd_file *n = calloc(1, sizeof(*n));
    int r = 0;

    if (!n)
        return err_set(e, ENOMEM, "out of memory");
    pthread_mutex_init(&n->lock, NULL);
    n->tail = &n->head;
    n->waiting_tail = &n->waiting;
    n->unsafe = o->cache == DISK_UNSAFE;
    n->wake = eventfd(0, EFD_CLOEXEC);
    n->f = (struct file){.ops = &nbd_ops,
                         .readonly = !write,
                         .is_device = true,
                         .is_remote = true,
                         .path = strdup(path)};
    if (n->wake < 0 || !n->f.path)
        r = err_set(e, ENOMEM, "out of memory");
    else if (!try_connect(n, now_ms() + CONNECT_SECONDS * 1000))
        r = err_set(e, ECONNREFUSED, "%s", n->why);
    if (!r)
        r = look_at_export(n, write, e);
    if (!r && pthread_create(&n->thread, NULL, nbd_thread, n))
        r = err_set(e, EAGAIN, "cannot start a thread");
    if (r) {
        nbd_free(n);
        return r;
    }
    *f = &n->f;
    return 0;
}
