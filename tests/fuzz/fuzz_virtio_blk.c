/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio block device and its transport, with a disk in memory that answers at once, or from a
 * thread.
 */
#include "dev/virtio_blk.h"

#include <errno.h>

#include "virtio_fuzz.h"

enum { DISK_SIZE = 64 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fake {
    struct blk b; /* first */
    u8 *bytes;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    struct blk_req *head;
    bool stop;
};

static int serve(struct fake *d, struct blk_req *r)
{
    u64 at = r->offset, sum = 0;

    if (r->op == BLK_FLUSH)
        return 0;
    BUG_ON(!range_within(r->offset, r->len, 0, DISK_SIZE) || (r->offset | r->len) % 512);
    if (r->op == BLK_DISCARD || r->op == BLK_WRITE_ZEROES) {
        memset(d->bytes + at, 0, r->len);
        return 0;
    }
    for (int i = 0; i < r->niov; i++)
        sum += r->iov[i].iov_len;
    BUG_ON(sum != r->len);
    for (int i = 0; i < r->niov; at += r->iov[i++].iov_len) {
        if (r->op == BLK_READ)
            memcpy(r->iov[i].iov_base, d->bytes + at, r->iov[i].iov_len);
        else
            memcpy(d->bytes + at, r->iov[i].iov_base, r->iov[i].iov_len);
    }
    return r->offset % 7 == 0 ? 0 : r->offset % 5 ? 0 : -EIO;
}

static void *thread(void *opaque)
{
    struct fake *d = opaque;

    pthread_mutex_lock(&d->lock);
    while (!d->stop || d->head) {
        struct blk_req *r = d->head;

        if (!r) {
            pthread_cond_wait(&d->cond, &d->lock);
            continue;
        }
        d->head = r->next;
        pthread_mutex_unlock(&d->lock);
        r->done(r, serve(d, r));
        pthread_mutex_lock(&d->lock);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

static void submit(struct blk *b, struct blk_req *r)
{
    struct fake *d = (struct fake *)b;

    if (r->offset / 512 % 2) {
        r->done(r, serve(d, r));
        return;
    }
    pthread_mutex_lock(&d->lock);
    r->next = d->head;
    d->head = r;
    pthread_cond_signal(&d->cond);
    pthread_mutex_unlock(&d->lock);
}

static const struct blk_ops fake_ops = {.submit = submit};

static void event(struct vfuzz *f, u8 a, u16 b, u32 v)
{
    virtio_blk_resized(container_of(f->vp, struct virtio_blk, vp));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct virtio_blk v;
    static struct vfuzz f;
    struct fake d = {.b = {.ops = &fake_ops, .size = DISK_SIZE, .block_size = 512}};
    struct virtio_blk_options o = {.serial = "fuzz"};

    if (size < 1)
        return 0;
    o.queues = 1 + (data[0] & 1);
    d.b.readonly = (data[0] & 0xc) == 0xc;
    d.bytes = calloc(1, DISK_SIZE);
    pthread_mutex_init(&d.lock, NULL);
    pthread_cond_init(&d.cond, NULL);
    BUG_ON(pthread_create(&d.thread, NULL, thread, &d));
    vfuzz_begin(&f);
    BUG_ON(virtio_blk_init(&v, &f.g.pci, FUZZ_DEVFN, &d.b, &o, NULL));
    f.vp = &v.vp;
    f.event = event;
    vfuzz_run(&f, data, size);
    virtio_blk_destroy(&v);
    pthread_mutex_lock(&d.lock);
    d.stop = true;
    pthread_cond_signal(&d.cond);
    pthread_mutex_unlock(&d.lock);
    pthread_join(d.thread, NULL);
    vg_end(&f.g);
    free(d.bytes);
    return 0;
}
