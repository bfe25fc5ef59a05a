/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio entropy device.  Virtio 1.1, 5.4: one queue of buffers to fill.
 *
 * getrandom(2) never runs dry and does not wait once the host is up.  So that a guest cannot keep
 * us busy with it, each tenth of a second has a budget; what is asked beyond waits for the next.
 */
#include "dev/virtio_rng.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

enum { QUEUE_SIZE = 64, BUDGET = 128 << 10, CHUNK = 256 };
#define PERIOD_NS (NS_PER_SEC / 10)

static struct virtio_rng *of(struct virtio_dev *d)
{
    return container_of(d, struct virtio_rng, vp.dev);
}

/* Bytes put into the chain, 0 when the host has none. */
static u32 fill_chain(struct virtio_rng *v, u64 want)
{
    u8 buf[CHUNK];
    u64 done = 0;

    while (done < want) {
        ssize_t n = getrandom(buf, min(want - done, sizeof(buf)), GRND_NONBLOCK);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        iov_put(virtq_in(&v->chain), v->chain.nin, done, buf, (size_t)n);
        done += (u64)n;
    }
    return (u32)done;
}

static void serve(struct virtio_rng *v)
{
    struct virtio_dev *d = &v->vp.dev;
    struct virtq *q = &d->queue[0];
    u64 now = clock_now(v->clock);
    bool any = false, more;

    if (now - v->started >= PERIOD_NS) {
        v->started = now;
        v->budget = BUDGET;
    }
    do {
        while (v->budget && virtq_pop(d, q, &v->chain)) {
            u32 n = fill_chain(v, min(v->chain.in_len, (u64)v->budget));

            v->budget -= max(n, 1u);
            virtq_push(d, q, &v->chain, n);
            any = true;
        }
        more = virtq_kick(d, q, true);
    } while (more && v->budget);
    if (any)
        virtq_signal(d, q);
    if (more)
        timer_set(v->clock, &v->refill, v->started + PERIOD_NS);
}

static void notify(struct virtio_dev *d, unsigned n)
{
    serve(of(d));
}

static void refill(void *opaque)
{
    struct virtio_rng *v = opaque;

    pthread_mutex_lock(v->vp.dev.lock);
    serve(v);
    pthread_mutex_unlock(v->vp.dev.lock);
}

static void reset(struct virtio_dev *d)
{
    timer_del(of(d)->clock, &of(d)->refill);
}

static const struct virtio_ops ops = {.notify = notify, .reset = reset};

int virtio_rng_init(struct virtio_rng *v, struct pci_bus *b, unsigned devfn, struct clock *c)
{
    const struct virtio_pci_info info = {.name = "virtio-rng",
                                         .id = VIRTIO_ID_RNG,
                                         .class_code = 0x00ff00,
                                         .nqueues = 1,
                                         .queue_size = QUEUE_SIZE,
                                         .ops = &ops};

    memset(v, 0, sizeof(*v));
    v->clock = c;
    v->budget = BUDGET;
    v->refill = (struct timer){.fn = refill, .opaque = v};
    return virtio_pci_init(&v->vp, b, devfn, &info);
}

void virtio_rng_destroy(struct virtio_rng *v)
{
    timer_del(v->clock, &v->refill);
}

static int loaded(void *obj, struct err *e)
{
    struct virtio_rng *v = obj;

    v->started = clock_now(v->clock);
    return 0;
}

static const struct field virtio_rng_fields[] = {
    FIELD_MAX(struct virtio_rng, budget, BUDGET),
};

const struct state_desc virtio_rng_state = {.name = "virtio_rng",
                                            .version = 1,
                                            .fields = virtio_rng_fields,
                                            .nfields = ARRAY_SIZE(virtio_rng_fields),
                                            .loaded = loaded};
