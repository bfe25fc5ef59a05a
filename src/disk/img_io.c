/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests on an image.  What the map answers at once and needs no new room goes straight to the
 * files, on the submitter's thread and without waiting; everything else (metadata that must be
 * read, allocation, compressed clusters, zeroes, flush) goes to a few workers that do it with plain
 * calls (img_rw.c).
 */
#include "base/trace.h"
#include "disk/disk_int.h"
#include "disk/img_int.h"
#include "disk/live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PIECES_MAX = 48, WRITE_BACK_SECONDS = 5 };

/* ------------------------------------------------------------------- epochs -- */

u32 img_enter(struct img *im)
{
    struct img_io *io = im->io;

    for (;;) {
        u32 e = __atomic_load_n(&io->epoch, __ATOMIC_SEQ_CST);

        __atomic_add_fetch(&io->under_way[e & 1], 1, __ATOMIC_SEQ_CST);
        if (likely(__atomic_load_n(&io->epoch, __ATOMIC_SEQ_CST) == e))
            return e;
        img_leave(im, e);
    }
}

void img_leave(struct img *im, u32 epoch)
{
    __atomic_sub_fetch(&im->io->under_way[epoch & 1], 1, __ATOMIC_SEQ_CST);
}

/* ---------------------------------------------------------------------- map -- */

void iov_zero(const struct iovec *iov, int niov, u64 off, u64 len)
{
    for (int i = 0; i < niov && len; i++) {
        if (off >= iov[i].iov_len) {
            off -= iov[i].iov_len;
            continue;
        }
        u64 n = min((u64)iov[i].iov_len - off, len);

        memset((u8 *)iov[i].iov_base + off, 0, n);
        len -= n;
        off = 0;
    }
}

int img_map_chain(struct img *im, u64 off, u64 len, bool nowait, struct extent *x,
                  struct img **from)
{
    for (;;) {
        int r;

        if (nowait && pthread_mutex_trylock(&im->lock))
            return -EAGAIN;
        if (!nowait)
            pthread_mutex_lock(&im->lock);
        r = im->fmt->map(im, off, len, nowait, x);
        pthread_mutex_unlock(&im->lock);
        if (r)
            return r;
        BUG_ON(!x->len);
        x->len = len = min(x->len, len);
        if (from)
            *from = im;
        if (x->kind != EXTENT_HOLE)
            return 0;
        im = im->parent;
        if (!im || off >= im->b.size) {
            x->kind = EXTENT_ZERO;
            return 0;
        }
        len = min(len, im->b.size - off);
    }
}

/* ------------------------------------------------------------ straight to files -- */

struct part {
    struct blk_req sub; /* first */
    struct whole *whole;
    struct file *file;
};

/* A request of ours that stands for one of the guest's. */
struct whole {
    struct img *im;
    struct blk_req *req;
    u32 left; /* atomic */
    int result;
    u32 epoch;
    struct part part[];
};

static void finish(struct img *im, struct blk_req *r, int result)
{
    if (result && im->opt.trace)
        trace(im->opt.trace, block, "%s op %d at %llu: %s", im->b.path, r->op,
              (unsigned long long)r->offset, strerror(-result));
    r->done(r, result);
    __atomic_sub_fetch(&im->io->in_flight, 1, __ATOMIC_RELEASE);
}

static void whole_put(struct whole *w)
{
    struct img *im = w->im;
    struct blk_req *req = w->req;
    int result;

    if (__atomic_sub_fetch(&w->left, 1, __ATOMIC_ACQ_REL))
        return;
    result = __atomic_load_n(&w->result, __ATOMIC_RELAXED);
    img_leave(im, w->epoch);
    free(w);
    finish(im, req, result);
}

static void part_done(struct blk_req *sub, int result)
{
    struct part *p = container_of(sub, struct part, sub);
    struct whole *w = p->whole;

    if (unlikely(result)) {
        __atomic_store_n(&p->file->doubt, true, __ATOMIC_RELAXED);
        __atomic_store_n(&w->result, result, __ATOMIC_RELAXED);
    }
    whole_put(w);
}

/* The pieces that r consists of, neighbours in a file put together; 0, or why not this way. */
static int find_pieces(struct img *im, struct blk_req *r, bool nowait, struct extent *x,
                       unsigned *count)
{
    unsigned n = 0;

    for (u64 pos = 0; pos < r->len;) {
        int k;

        if (n == PIECES_MAX)
            return -EAGAIN;
        if (r->op == BLK_READ) {
            k = img_map_chain(im, r->offset + pos, r->len - pos, nowait, &x[n], NULL);
        } else {
            if (nowait && pthread_mutex_trylock(&im->lock))
                return -EAGAIN;
            if (!nowait)
                pthread_mutex_lock(&im->lock);
            k = im->fmt->map(im, r->offset + pos, r->len - pos, nowait, &x[n]);
            if (!k && (x[n].kind != EXTENT_DATA || !x[n].in_place || (r->fua && im->dirty)))
                k = -EAGAIN;
            pthread_mutex_unlock(&im->lock);
        }
        if (k)
            return k;
        if (x[n].kind == EXTENT_COMPRESSED)
            return -EAGAIN;
        x[n].len = min(x[n].len, r->len - pos);
        pos += x[n].len;
        if (n && x[n].kind == x[n - 1].kind &&
            (x[n].kind == EXTENT_ZERO ||
             (x[n].file == x[n - 1].file && x[n].offset == x[n - 1].offset + x[n - 1].len)))
            x[n - 1].len += x[n].len;
        else
            n++;
    }
    *count = n;
    return 0;
}

static void submit_pieces(struct whole *w, const struct extent *x, unsigned n, struct iovec *iov)
{
    struct blk_req *r = w->req;
    u64 pos = 0;

    w->left = 1;
    for (unsigned i = 0; i < n; pos += x[i++].len) {
        struct part *p = &w->part[i];

        if (x[i].kind == EXTENT_ZERO) {
            iov_zero(r->iov, r->niov, pos, x[i].len);
            continue;
        }
        p->whole = w;
        p->file = x[i].file;
        p->sub = (struct blk_req){.op = r->op,
                                  .offset = x[i].offset,
                                  .len = x[i].len,
                                  .iov = r->iov,
                                  .niov = r->niov,
                                  .fua = r->fua,
                                  .may_inline = r->may_inline,
                                  .done = part_done};
        if (n > 1) {
            p->sub.iov = iov;
            p->sub.niov = disk_iov_slice(iov, r->niov, r->iov, r->niov, pos, x[i].len);
            iov += p->sub.niov;
        }
        __atomic_add_fetch(&w->left, 1, __ATOMIC_RELAXED);
        file_submit(x[i].file, &p->sub);
    }
    whole_put(w);
}

/* True: it is on its way (or done). */
static bool go_straight(struct img *im, struct blk_req *r, bool nowait)
{
    struct extent x[PIECES_MAX];
    struct whole *w;
    size_t niov;
    unsigned n;
    u32 epoch;

    if (r->op == BLK_WRITE && !__atomic_load_n(&im->io->begun, __ATOMIC_ACQUIRE))
        return false;
    epoch = img_enter(im);
    if (find_pieces(im, r, nowait, x, &n) ||
        (nowait && n == 1 && x[0].kind == EXTENT_ZERO && !r->may_inline)) {
        img_leave(im, epoch);
        return false;
    }
    niov = n > 1 ? (size_t)r->niov + n : 0;
    w = malloc(sizeof(*w) + n * sizeof(struct part) + niov * sizeof(struct iovec));
    if (!w) {
        img_leave(im, epoch);
        return false;
    }
    w->im = im;
    w->req = r;
    w->result = 0;
    w->epoch = epoch;
    submit_pieces(w, x, n, (struct iovec *)&w->part[n]);
    return true;
}

/* ------------------------------------------------------------------- workers -- */

static void work(struct img *im, struct blk_req *r)
{
    if ((r->op == BLK_READ || r->op == BLK_WRITE) && go_straight(im, r, false))
        return;
    finish(im, r, img_execute(im, r));
}

/* Waits for work; false = for long enough that it is time to write back. */
static bool wait_for_work(struct img_io *io)
{
    struct timespec t;
    int r;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += WRITE_BACK_SECONDS;
    io->sleeping++;
    r = pthread_cond_timedwait(&io->work, &io->qlock, &t);
    io->sleeping--;
    return r != ETIMEDOUT;
}

static void *worker(void *opaque)
{
    struct img *im = opaque;
    struct img_io *io = im->io;

    pthread_mutex_lock(&io->qlock);
    for (;;) {
        while (!io->head && !io->stop) {
            if (wait_for_work(io) || io->head || !__atomic_load_n(&im->dirty, __ATOMIC_RELAXED))
                continue;
            pthread_mutex_unlock(&io->qlock);
            img_flush(im); /* an error shows again at the guest's own flush */
            pthread_mutex_lock(&io->qlock);
        }
        struct blk_req *r = io->head;

        if (!r)
            break;
        io->head = r->next;
        if (!io->head)
            io->tail = &io->head;
        pthread_mutex_unlock(&io->qlock);
        work(im, r);
        pthread_mutex_lock(&io->qlock);
    }
    pthread_mutex_unlock(&io->qlock);
    return NULL;
}

static void enqueue(struct img *im, struct blk_req *r)
{
    struct img_io *io = im->io;
    bool nobody;

    r->next = NULL;
    pthread_mutex_lock(&io->qlock);
    *io->tail = r;
    io->tail = &r->next;
    if (!io->sleeping && io->threads < IMG_WORKERS &&
        pthread_create(&io->thread[io->threads], NULL, worker, im) == 0)
        io->threads++;
    nobody = !io->threads;
    if (nobody) {
        io->head = NULL;
        io->tail = &io->head;
    }
    pthread_cond_signal(&io->work);
    pthread_mutex_unlock(&io->qlock);
    if (nobody)
        finish(im, r, -EAGAIN);
}

static int refuses(const struct img *im, const struct blk_req *r)
{
    if (r->op == BLK_FLUSH)
        return 0;
    if ((r->offset | r->len) % DISK_SECTOR || !range_within(r->offset, r->len, 0, im->b.size))
        return -EINVAL;
    return r->op != BLK_READ && im->b.readonly ? -EROFS : 0;
}

static void img_submit(struct blk *b, struct blk_req *r)
{
    struct img *im = (struct img *)b;
    int k = refuses(im, r);

    if (im->opt.trace)
        trace(im->opt.trace, block, "%s op %d at %llu + %llu", b->path, r->op,
              (unsigned long long)r->offset, (unsigned long long)r->len);
    if (k || (r->op != BLK_FLUSH && !r->len) || (r->op == BLK_FLUSH && b->readonly)) {
        r->done(r, k);
        return;
    }
    __atomic_add_fetch(&im->io->in_flight, 1, __ATOMIC_RELAXED);
    if (r->op == BLK_WRITE && im->io->writethrough)
        r->fua = true;
    if ((r->op == BLK_READ || r->op == BLK_WRITE) && go_straight(im, r, true))
        return;
    enqueue(im, r);
}

static void img_blk_close(struct blk *b)
{
    img_close((struct img *)b);
}

const struct blk_ops img_blk_ops = {
    .submit = img_submit, .close = img_blk_close, .snapshot = img_snapshot};

/* ----------------------------------------------------------------------- life -- */

int img_start(struct img *im, struct err *e)
{
    struct img_io *io = calloc(1, sizeof(*io));
    pthread_condattr_t monotonic;

    if (!io)
        return err_set(e, ENOMEM, "out of memory");
    io->tail = &io->head;
    io->writethrough = im->opt.cache == DISK_WRITETHROUGH;
    io->begun = !im->fmt->begin_write;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&io->work, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&io->ranges_changed, NULL);
    pthread_mutex_init(&io->qlock, NULL);
    pthread_mutex_init(&io->rlock, NULL);
    pthread_mutex_init(&io->zlock, NULL);
    im->io = io;
    return 0;
}

void img_stop(struct img *im)
{
    struct img_io *io = im->io;

    if (!io)
        return;
    while (__atomic_load_n(&io->in_flight, __ATOMIC_ACQUIRE))
        usleep(200);
    pthread_mutex_lock(&io->qlock);
    io->stop = true;
    pthread_cond_broadcast(&io->work);
    pthread_mutex_unlock(&io->qlock);
    for (unsigned i = 0; i < io->threads; i++)
        pthread_join(io->thread[i], NULL);
    if (!im->b.readonly) {
        img_flush(im);
        /* Two more: they free what the first made free. */
        for (int i = 0; i < 3 && (io->freed || im->dirty); i++)
            img_flush(im);
    }
    while (io->freed) {
        struct freed *f = io->freed;

        io->freed = f->next;
        free(f);
    }
    pthread_cond_destroy(&io->work);
    pthread_cond_destroy(&io->ranges_changed);
    pthread_mutex_destroy(&io->qlock);
    pthread_mutex_destroy(&io->rlock);
    pthread_mutex_destroy(&io->zlock);
    free(io->unit);
    free(io);
    im->io = NULL;
}
