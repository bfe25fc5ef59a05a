/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asynchronous I/O on one file.  Three ways for a request, in this order:
 *
 * 1. A small read whose bytes are in the host's page cache is copied at once, where the owner
 *    allows it (blk_req.may_inline): preadv2 with RWF_NOWAIT.  That is the shortest way for a guest
 *    that waits for one block after the other.
 * 2. io_uring, where the host lets us: the submitter queues it, one thread takes the completions.
 * 3. A few threads that do the plain system calls: hosts without io_uring (containers forbid it
 *    often), operations that it has not, and requests that came back short or interrupted; those
 *    are simply done again from the start.
 *
 * In DISK_DIRECT mode a request that is not aligned goes through the page cache; the kernel keeps
 * the two coherent.
 *
 * Locks: aio.lock guards the queue and the ring's submission side; no other lock is taken under it.
 * done() is called with no lock of ours held.
 */
#include "disk/disk_int.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    POOL_THREADS = 4,
    RING_ENTRIES = 128,
    INLINE_MAX = 64 << 10, /* bytes that a submitter copies itself */
    IOV_WINDOW = 64,
};

struct aio {
    const struct disk_file *f;
    pthread_mutex_t lock;
    pthread_cond_t work; /* the queue has something, or stop */
    pthread_cond_t idle; /* in_flight fell to 0 */
    struct blk_req *head, **tail;
    unsigned in_flight;
    unsigned threads, sleeping;
    pthread_t thread[POOL_THREADS];
    bool stop;

    bool uring;
    struct io_uring ring;
    pthread_t reaper;
};

int disk_iov_slice(struct iovec *out, int nout, const struct iovec *iov, int niov, u64 off, u64 len)
{
    int n = 0;

    for (int i = 0; i < niov && n < nout && len; i++) {
        if (off >= iov[i].iov_len) {
            off -= iov[i].iov_len;
            continue;
        }
        u64 part = min((u64)iov[i].iov_len - off, len);

        out[n++] = (struct iovec){(u8 *)iov[i].iov_base + off, part};
        len -= part;
        off = 0;
    }
    return n;
}

/* ----------------------------------------------------- one request, here and now -- */

static int read_all(const struct disk_file *f, int fd, const struct blk_req *r)
{
    u64 done = 0;

    while (done < r->len) {
        struct iovec w[IOV_WINDOW];
        u64 at = r->offset + done, left = r->len - done;
        bool behind = f->window && at >= f->size;
        if (f->window && !behind)
            left = min(left, f->size - at);
        int n = disk_iov_slice(w, IOV_WINDOW, r->iov, r->niov, done, left);
        ssize_t k = behind ? 0 : preadv(fd, w, n, (off_t)(f->base + at));

        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -errno;
        if (k == 0) { /* behind the end of the file, in its last sector */
            for (int i = 0; i < n; i++)
                memset(w[i].iov_base, 0, w[i].iov_len);
            for (int i = 0; i < n; i++)
                k += (ssize_t)w[i].iov_len;
        }
        done += (u64)k;
    }
    return 0;
}

static int write_all(const struct disk_file *f, int fd, const struct blk_req *r)
{
    bool sync = r->fua || f->cache == DISK_WRITETHROUGH;
    u64 done = 0;

    while (done < r->len) {
        struct iovec w[IOV_WINDOW];
        int n = disk_iov_slice(w, IOV_WINDOW, r->iov, r->niov, done, r->len - done);
        ssize_t k = pwritev(fd, w, n, (off_t)(r->offset + done));

        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -errno;
        if (k == 0)
            return -EIO;
        done += (u64)k;
    }
    if (sync && f->cache != DISK_UNSAFE && fdatasync(fd) < 0)
        return -errno;
    return 0;
}

static int write_zeros(const struct disk_file *f, u64 off, u64 len)
{
    u8 *zeros = calloc(1, 64 * KIB);
    int r = zeros ? 0 : -ENOMEM;

    while (len && !r) {
        ssize_t k = pwrite(f->fd, zeros, min(len, 64 * KIB), (off_t)off);

        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            r = k < 0 ? -errno : -EIO;
            break;
        }
        off += (u64)k;
        len -= (u64)k;
    }
    free(zeros);
    return r;
}

static bool unsupported(int err)
{
    return err == EOPNOTSUPP || err == ENOTTY || err == EINVAL || err == ENOSYS || err == ENODEV;
}

static int do_discard(const struct disk_file *f, u64 off, u64 len)
{
    int r;

    if (f->is_device) {
        u64 range[2] = {off, len};

        r = ioctl(f->fd, BLKDISCARD, range);
    } else {
        r = fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len);
    }
    /* Discard is advice: where the host cannot, nothing happens. */
    return r < 0 && !unsupported(errno) ? -errno : 0;
}

static int do_write_zeroes(const struct disk_file *f, const struct blk_req *r)
{
    off_t off = (off_t)r->offset, len = (off_t)r->len;
    int k = -1;

    if (r->unmap)
        k = fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);
    if (k < 0)
        k = fallocate(f->fd, FALLOC_FL_ZERO_RANGE, off, len);
    if (k < 0 && !unsupported(errno))
        return -errno;
    if (k < 0) {
        k = write_zeros(f, r->offset, r->len);
        if (k < 0)
            return k;
    }
    if ((r->fua || f->cache == DISK_WRITETHROUGH) && fdatasync(f->fd) < 0)
        return -errno;
    return 0;
}

static int do_flush(const struct disk_file *f)
{
    if (f->readonly || f->cache == DISK_UNSAFE)
        return 0;
    return fdatasync(f->fd) < 0 ? -errno : 0;
}

/* The descriptor that can take this request's alignment. */
static int fd_for(const struct disk_file *f, const struct blk_req *r)
{
    if (f->direct_fd < 0 || (r->offset | r->len) & (f->align - 1))
        return f->fd;
    for (int i = 0; i < r->niov; i++)
        if (((uintptr_t)r->iov[i].iov_base | r->iov[i].iov_len) & (f->align - 1))
            return f->fd;
    return f->direct_fd;
}

int aio_execute(const struct disk_file *f, const struct blk_req *r)
{
    switch (r->op) {
    case BLK_READ:
        return read_all(f, fd_for(f, r), r);
    case BLK_WRITE:
        return write_all(f, fd_for(f, r), r);
    case BLK_FLUSH:
        return do_flush(f);
    case BLK_DISCARD:
        return do_discard(f, r->offset, r->len);
    case BLK_WRITE_ZEROES:
        return do_write_zeroes(f, r);
    }
    return -EINVAL;
}

static void finish(struct aio *a, struct blk_req *r, int result)
{
    if (result && a->f->trace)
        trace(a->f->trace, block, "%s op %d at %llu: %s", a->f->path, r->op,
              (unsigned long long)r->offset, strerror(-result));
    r->done(r, result);
    pthread_mutex_lock(&a->lock);
    if (--a->in_flight == 0)
        pthread_cond_broadcast(&a->idle);
    pthread_mutex_unlock(&a->lock);
}

/* --------------------------------------------------------------- the threads -- */

static void *pool_thread(void *opaque)
{
    struct aio *a = opaque;

    pthread_mutex_lock(&a->lock);
    for (;;) {
        while (!a->head && !a->stop) {
            a->sleeping++;
            pthread_cond_wait(&a->work, &a->lock);
            a->sleeping--;
        }
        if (!a->head)
            break;
        struct blk_req *r = a->head;

        a->head = r->next;
        if (!a->head)
            a->tail = &a->head;
        pthread_mutex_unlock(&a->lock);
        finish(a, r, aio_execute(a->f, r));
        pthread_mutex_lock(&a->lock);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* With the lock held.  A thread that cannot be made is no error as long as there is one. */
static void pool_grow(struct aio *a)
{
    if (a->sleeping || a->threads == POOL_THREADS)
        return;
    if (pthread_create(&a->thread[a->threads], NULL, pool_thread, a) == 0)
        a->threads++;
}

static void pool_submit(struct aio *a, struct blk_req *r)
{
    r->next = NULL;
    pthread_mutex_lock(&a->lock);
    *a->tail = r;
    a->tail = &r->next;
    pool_grow(a);
    pthread_cond_signal(&a->work);
    pthread_mutex_unlock(&a->lock);
}

/* ------------------------------------------------------------------ io_uring -- */

static void *reaper_thread(void *opaque)
{
    struct aio *a = opaque;

    for (;;) {
        struct io_uring_cqe *cqe;
        int k = io_uring_wait_cqe(&a->ring, &cqe);

        if (k == -EINTR || k == -EAGAIN)
            continue;
        BUG_ON(k < 0);
        struct blk_req *r = io_uring_cqe_get_data(cqe);
        int result = cqe->res;

        io_uring_cqe_seen(&a->ring, cqe);
        if (!r) /* aio_close() says good-bye */
            return NULL;
        if (r->op == BLK_FLUSH ? result == 0 : result >= 0 && (u64)result == r->len)
            finish(a, r, 0);
        else if (r->op == BLK_FLUSH && result != -ECANCELED && result != -EINTR &&
                 result != -EAGAIN && result != -EINVAL)
            finish(a, r, result); /* a failed fdatasync must not be asked again */
        else
            pool_submit(a, r);
    }
}

/* Reads of what is around the window, which show zeros. */
static bool behind_window(const struct disk_file *f, const struct blk_req *r)
{
    return f->window && r->offset + r->len > f->size;
}

/* False: this one is for the threads. */
static bool uring_submit(struct aio *a, struct blk_req *r)
{
    const struct disk_file *f = a->f;
    int fd = r->op == BLK_FLUSH ? f->fd : fd_for(f, r);
    bool sync = r->fua || f->cache == DISK_WRITETHROUGH;

    if (!a->uring || r->op > BLK_FLUSH || r->niov > IOV_MAX || r->len > INT32_MAX ||
        behind_window(f, r))
        return false;
    pthread_mutex_lock(&a->lock);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&a->ring);

    if (!sqe) {
        pthread_mutex_unlock(&a->lock);
        return false;
    }
    switch (r->op) {
    case BLK_READ:
        io_uring_prep_readv(sqe, fd, r->iov, (unsigned)r->niov, f->base + r->offset);
        break;
    case BLK_WRITE:
        io_uring_prep_writev2(sqe, fd, r->iov, (unsigned)r->niov, r->offset, sync ? RWF_DSYNC : 0);
        break;
    default:
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
        break;
    }
    /* Through the page cache the kernel would copy on our time: let its worker do it. */
    if (fd != f->direct_fd)
        sqe->flags |= IOSQE_ASYNC;
    io_uring_sqe_set_data(sqe, r);
    int k;

    do
        k = io_uring_submit(&a->ring);
    while (k == -EINTR);
    if (k < 0) {
        /* The kernel took nothing.  The entry cannot be taken back, but it can be made one that
         * tells nobody; it goes out with the next submission. */
        io_uring_prep_nop(sqe);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    }
    pthread_mutex_unlock(&a->lock);
    return k >= 0;
}

static void uring_open(struct aio *a)
{
    if (io_uring_queue_init(RING_ENTRIES, &a->ring, IORING_SETUP_CLAMP) < 0)
        return;
    /* 5.17 and later; older kernels use the threads. */
    if (!(a->ring.features & IORING_FEAT_CQE_SKIP) ||
        pthread_create(&a->reaper, NULL, reaper_thread, a) != 0) {
        io_uring_queue_exit(&a->ring);
        return;
    }
    a->uring = true;
}

static void uring_close(struct aio *a)
{
    struct io_uring_sqe *sqe;

    if (!a->uring)
        return;
    pthread_mutex_lock(&a->lock);
    sqe = io_uring_get_sqe(&a->ring);
    BUG_ON(!sqe);
    io_uring_prep_nop(sqe);
    io_uring_sqe_set_data(sqe, NULL);
    while (io_uring_submit(&a->ring) < 0)
        usleep(1000);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->reaper, NULL);
    io_uring_queue_exit(&a->ring);
}

/* ---------------------------------------------------------------- the outside -- */

/* Copies a small read that the page cache holds; false = it does not. */
static bool read_cached(struct aio *a, struct blk_req *r)
{
    ssize_t k;

    if (!r->may_inline || r->op != BLK_READ || r->len > INLINE_MAX || a->f->direct_fd >= 0 ||
        r->niov > IOV_MAX || behind_window(a->f, r))
        return false;
    k = preadv2(a->f->fd, r->iov, r->niov, (off_t)(a->f->base + r->offset), RWF_NOWAIT);
    return k >= 0 && (u64)k == r->len;
}

void aio_submit(struct aio *a, struct blk_req *r)
{
    if (read_cached(a, r) || (r->op == BLK_FLUSH && a->f->readonly)) {
        r->done(r, 0);
        return;
    }
    pthread_mutex_lock(&a->lock);
    a->in_flight++;
    pthread_mutex_unlock(&a->lock);
    if (r->op == BLK_FLUSH && a->f->cache == DISK_UNSAFE)
        pool_submit(a, r);
    else if (!uring_submit(a, r))
        pool_submit(a, r);
}

struct aio *aio_open(const struct disk_file *f, bool no_uring, struct err *e)
{
    struct aio *a = calloc(1, sizeof(*a));

    if (!a) {
        err_set(e, ENOMEM, "out of memory");
        return NULL;
    }
    a->f = f;
    a->tail = &a->head;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->work, NULL);
    pthread_cond_init(&a->idle, NULL);
    pthread_mutex_lock(&a->lock);
    pool_grow(a);
    pthread_mutex_unlock(&a->lock);
    if (!a->threads) {
        err_set(e, EAGAIN, "cannot start an I/O thread");
        aio_close(a);
        return NULL;
    }
    if (!no_uring)
        uring_open(a);
    return a;
}

void aio_close(struct aio *a)
{
    pthread_mutex_lock(&a->lock);
    while (a->in_flight)
        pthread_cond_wait(&a->idle, &a->lock);
    pthread_mutex_unlock(&a->lock);
    uring_close(a);
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_broadcast(&a->work);
    pthread_mutex_unlock(&a->lock);
    for (unsigned i = 0; i < a->threads; i++)
        pthread_join(a->thread[i], NULL);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->work);
    pthread_cond_destroy(&a->idle);
    free(a);
}

bool aio_has_uring(const struct aio *a)
{
    return a->uring;
}
