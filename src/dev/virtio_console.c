/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio console with one port: queue 0 to the guest, queue 1 from it.  Virtio 1.1, 5.3.
 *
 * Left out: more ports and their control queues (MULTIPORT); a machine has as many consoles as it
 * has devices.
 */
#include "dev/virtio_console.h"

#include "base/endian.h"

#include <string.h>

#define F_SIZE        BIT64(0)
#define F_EMERG_WRITE BIT64(2)

enum { RX, TX, QUEUES, QUEUE_SIZE = 128, CONFIG_LEN = 12, CONFIG_EMERG = 8 };
enum { OUT_MAX = 1 << 20 }; /* bytes of one buffer chain from the guest; the rest is dropped */

static struct virtio_console *of(struct virtio_dev *d)
{
    return container_of(d, struct virtio_console, vp.dev);
}

static u32 config_read(struct virtio_dev *d, unsigned off, unsigned size)
{
    u8 c[CONFIG_LEN] = {0};
    u32 out = 0;

    le16_put(c, of(d)->cols);
    le16_put(c + 2, of(d)->rows);
    le32_put(c + 4, 1); /* ports */
    memcpy(&out, c + off, size);
    return out;
}

static void config_write(struct virtio_dev *d, unsigned off, unsigned size, u32 val)
{
    struct virtio_console *v = of(d);
    u8 byte = (u8)val;

    if (off == CONFIG_EMERG && v->chr)
        v->chr->ops->write(v->chr, &byte, 1);
}

static void send(struct virtio_console *v)
{
    struct virtio_dev *d = &v->vp.dev;
    struct virtq *q = &d->queue[TX];

    do {
        virtq_kick(d, q, false);
        while (virtq_pop(d, q, &v->chain)) {
            u64 left = OUT_MAX;

            for (unsigned i = 0; v->chr && i < v->chain.nout && left; i++) {
                u64 n = min((u64)v->chain.iov[i].iov_len, left);

                v->chr->ops->write(v->chr, v->chain.iov[i].iov_base, n);
                left -= n;
            }
            virtq_push(d, q, &v->chain, 0);
        }
    } while (virtq_kick(d, q, true));
    virtq_signal(d, q);
}

static void notify(struct virtio_dev *d, unsigned n)
{
    struct virtio_console *v = of(d);

    if (n == TX)
        send(v);
    else if (v->waiting)
        loop_post(v->loop, &v->more);
}

/* The guest has buffers again: on the loop's thread, without the lock. */
static void ask_for_more(void *opaque)
{
    struct virtio_console *v = opaque;

    pthread_mutex_lock(v->vp.dev.lock);
    v->waiting = false;
    pthread_mutex_unlock(v->vp.dev.lock);
    if (v->chr && v->chr->ops->ready)
        v->chr->ops->ready(v->chr);
}

/* On the loop's thread. */
static size_t input(void *opaque, const u8 *buf, size_t len)
{
    struct virtio_console *v = opaque;
    struct virtio_dev *d = &v->vp.dev;
    struct virtq *q = &d->queue[RX];
    size_t done = 0;

    pthread_mutex_lock(d->lock);
    if (!q->enabled || q->broken || !virtio_ready(d)) {
        done = len; /* nobody is listening */
    } else {
        do {
            while (done < len && virtq_pop(d, q, &v->chain)) {
                size_t n = iov_put(virtq_in(&v->chain), v->chain.nin, 0, buf + done, len - done);

                virtq_push(d, q, &v->chain, (u32)n);
                done += n;
            }
            v->waiting = done < len;
        } while (v->waiting && virtq_kick(d, q, true));
        virtq_signal(d, q);
    }
    pthread_mutex_unlock(d->lock);
    return done;
}

static void reset(struct virtio_dev *d)
{
    if (of(d)->waiting)
        loop_post(of(d)->loop, &of(d)->more);
}

static const struct virtio_ops ops = {
    .config_read = config_read, .config_write = config_write, .notify = notify, .reset = reset};

int virtio_console_init(struct virtio_console *v, struct pci_bus *b, unsigned devfn, struct loop *l,
                        struct chardev *c)
{
    const struct virtio_pci_info info = {.name = "virtio-console",
                                         .id = VIRTIO_ID_CONSOLE,
                                         .class_code = 0x078000,
                                         .config_len = CONFIG_LEN,
                                         .nqueues = QUEUES,
                                         .queue_size = QUEUE_SIZE,
                                         .features = F_SIZE | F_EMERG_WRITE,
                                         .ops = &ops};
    int r;

    memset(v, 0, sizeof(*v));
    v->loop = l;
    v->chr = c;
    v->more = (struct loop_job){.fn = ask_for_more, .opaque = v};
    r = virtio_pci_init(&v->vp, b, devfn, &info);
    if (!r && c) {
        c->input = input;
        c->opaque = v;
    }
    return r;
}

void virtio_console_destroy(struct virtio_console *v)
{
    if (v->chr) {
        v->chr->input = NULL;
        v->chr->opaque = NULL;
    }
    if (v->loop)
        loop_cancel(v->loop, &v->more);
}

void virtio_console_resize(struct virtio_console *v, u16 cols, u16 rows)
{
    pthread_mutex_lock(v->vp.dev.lock);
    if (cols != v->cols || rows != v->rows) {
        v->cols = cols;
        v->rows = rows;
        virtio_config_changed(&v->vp.dev);
    }
    pthread_mutex_unlock(v->vp.dev.lock);
}

static const struct field virtio_console_fields[] = {
    FIELD(struct virtio_console, cols),
    FIELD(struct virtio_console, rows),
    FIELD_MAX(struct virtio_console, waiting, 1),
};

const struct state_desc virtio_console_state =
    STATE_DESC("virtio_console", 1, virtio_console_fields);
