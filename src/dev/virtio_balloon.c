/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio memory balloon.  Virtio 1.1, 5.5; free page reporting is 5.5.6.8 of virtio 1.2.
 *
 * A page in the balloon, or one reported free, is a hole in the memfd: it costs the host nothing
 * and reads as zeros when the guest touches it again, so leaving the balloon needs no work.
 *
 * Holes are punched on the loop's thread, a bounded number a turn: the guest's processor that
 * notified goes on meanwhile.
 */
#include "dev/virtio_balloon.h"

#include "base/endian.h"

#include <linux/falloc.h>
#include <string.h>

#define F_MUST_TELL_HOST BIT64(0)
#define F_STATS_VQ       BIT64(1)
#define F_DEFLATE_ON_OOM BIT64(2)
#define F_REPORTING      BIT64(5)

enum { INFLATE, DEFLATE, STATS, QUEUES = 4, QUEUE_SIZE = 128, CONFIG_LEN = 8 };
enum { PFNS_MAX = 1024, STAT_SIZE = 10, CHAINS_A_TURN = 32 };

static struct virtio_balloon *of(struct virtio_dev *d)
{
    return container_of(d, struct virtio_balloon, vp.dev);
}

/* Queues are numbered without gaps, whatever was negotiated. */
static unsigned reporting_queue(const struct virtio_dev *d)
{
    return virtio_has(d, F_STATS_VQ) ? STATS + 1 : STATS;
}

static u32 config_read(struct virtio_dev *d, unsigned off, unsigned size)
{
    u8 c[CONFIG_LEN];
    u32 out = 0;

    le32_put(c, of(d)->num_pages);
    le32_put(c + 4, of(d)->actual);
    memcpy(&out, c + off, size);
    return out;
}

static void config_write(struct virtio_dev *d, unsigned off, unsigned size, u32 val)
{
    if (off == 4 && size == 4) {
        of(d)->actual = val;
        trace(d->trace, virtio, "%s: holds %u pages", d->name, val);
    }
}

/* Whole pages of RAM at a ram offset; what is not RAM is left alone. */
static void punch(struct mem *m, u64 off, u64 len)
{
    u64 first = align_up(off, PAGE_SIZE), end = align_down(off + len, PAGE_SIZE);

    if (first >= end || !range_within(first, end - first, 0, m->ram_size))
        return;
    mem_discard(m, first, end - first);
}

/* The driver's list of page numbers; neighbours go together. */
static void inflate(struct virtio_balloon *v)
{
    struct virtio_dev *d = &v->vp.dev;
    struct mem *m = d->dma.mem;
    u64 off = 0, len = 0;
    u8 pfn[4];

    for (u64 at = 0; at + 4 <= v->chain.out_len && at < 4 * PFNS_MAX; at += 4) {
        u64 n = PAGE_SIZE;
        u8 *p;

        iov_get(v->chain.iov, v->chain.nout, at, pfn, 4);
        p = mem_map(&d->dma, (u64)le32_get(pfn) << PAGE_SHIFT, &n, true);
        if (!p || n < PAGE_SIZE)
            continue;
        u64 here = (u64)(p - m->hva);

        if (len && here == off + len) {
            len += PAGE_SIZE;
        } else if (len && here + PAGE_SIZE == off) {
            off = here;
            len += PAGE_SIZE;
        } else {
            punch(m, off, len);
            off = here;
            len = PAGE_SIZE;
        }
    }
    punch(m, off, len);
}

static void report(struct virtio_balloon *v)
{
    struct mem *m = v->vp.dev.dma.mem;
    const struct iovec *in = virtq_in(&v->chain);

    for (unsigned i = 0; i < v->chain.nin; i++)
        punch(m, (u64)((u8 *)in[i].iov_base - m->hva), in[i].iov_len);
}

/* True: there is more than a turn's worth. */
static bool take(struct virtio_balloon *v, unsigned n)
{
    struct virtio_dev *d = &v->vp.dev;
    struct virtq *q = &d->queue[n];
    unsigned count = 0;

    while (count < CHAINS_A_TURN && virtq_pop(d, q, &v->chain)) {
        if (n == INFLATE)
            inflate(v);
        else if (n == reporting_queue(d))
            report(v);
        virtq_push(d, q, &v->chain, 0);
        count++;
    }
    if (count)
        virtq_signal(d, q);
    return virtq_kick(d, q, true);
}

static void take_all(void *opaque)
{
    struct virtio_balloon *v = opaque;
    struct virtio_dev *d = &v->vp.dev;
    bool more;

    pthread_mutex_lock(d->lock);
    more = take(v, INFLATE);
    more |= take(v, DEFLATE);
    if (virtio_has(d, F_REPORTING))
        more |= take(v, reporting_queue(d));
    pthread_mutex_unlock(d->lock);
    if (more)
        loop_post(v->loop, &v->more);
}

/* The driver keeps one buffer in the queue; we hold it until we want to know again. */
static void take_stats(struct virtio_balloon *v)
{
    struct virtio_dev *d = &v->vp.dev;
    struct virtq *q = &d->queue[STATS];
    u8 raw[STAT_SIZE];

    if (v->stats_held || !virtq_pop(d, q, &v->stats))
        return;
    v->stats_held = true;
    for (unsigned i = 0; i < 2 * VBALLOON_STATS; i++) {
        if (iov_get(v->stats.iov, v->stats.nout, i * STAT_SIZE, raw, STAT_SIZE) < STAT_SIZE)
            break;
        if (le16_get(raw) < VBALLOON_STATS)
            v->stat[le16_get(raw)] = le64_get(raw + 2);
    }
    virtq_kick(d, q, true);
}

static void notify(struct virtio_dev *d, unsigned n)
{
    struct virtio_balloon *v = of(d);

    if (n == STATS && virtio_has(d, F_STATS_VQ))
        take_stats(v);
    else
        loop_post(v->loop, &v->more);
}

static void reset(struct virtio_dev *d)
{
    of(d)->stats_held = false;
    of(d)->actual = 0;
}

static const struct virtio_ops ops = {
    .config_read = config_read, .config_write = config_write, .notify = notify, .reset = reset};

int virtio_balloon_init(struct virtio_balloon *v, struct pci_bus *b, unsigned devfn, struct loop *l)
{
    const struct virtio_pci_info info = {.name = "virtio-balloon",
                                         .id = VIRTIO_ID_BALLOON,
                                         .class_code = 0x00ff00,
                                         .config_len = CONFIG_LEN,
                                         .nqueues = QUEUES,
                                         .queue_size = QUEUE_SIZE,
                                         .features = F_STATS_VQ | F_DEFLATE_ON_OOM | F_REPORTING,
                                         .ops = &ops};

    memset(v, 0, sizeof(*v));
    v->loop = l;
    v->more = (struct loop_job){.fn = take_all, .opaque = v};
    memset(v->stat, 0xff, sizeof(v->stat));
    return virtio_pci_init(&v->vp, b, devfn, &info);
}

void virtio_balloon_destroy(struct virtio_balloon *v)
{
    loop_cancel(v->loop, &v->more);
}

void virtio_balloon_set_target(struct virtio_balloon *v, u64 bytes)
{
    u64 pages = min(bytes, v->vp.dev.dma.mem->ram_size) >> PAGE_SHIFT;

    pthread_mutex_lock(v->vp.dev.lock);
    v->num_pages = (u32)min(pages, (u64)UINT32_MAX);
    virtio_config_changed(&v->vp.dev);
    pthread_mutex_unlock(v->vp.dev.lock);
}

void virtio_balloon_ask_stats(struct virtio_balloon *v)
{
    struct virtio_dev *d = &v->vp.dev;
    struct virtq *q = &d->queue[STATS];

    pthread_mutex_lock(d->lock);
    if (v->stats_held) {
        v->stats_held = false;
        virtq_push(d, q, &v->stats, 0);
        virtq_signal(d, q);
    }
    pthread_mutex_unlock(d->lock);
}

/* A held statistics buffer is not saved: it is taken again from the ring, where its entry still
 * stands in front of last_avail. */
static int loaded(void *obj, struct err *e)
{
    struct virtio_balloon *v = obj;

    if (v->stats_held) {
        v->stats_held = false;
        virtq_unpop(&v->vp.dev.queue[STATS]);
    }
    return 0;
}

static const struct field virtio_balloon_fields[] = {
    FIELD(struct virtio_balloon, num_pages),
    FIELD(struct virtio_balloon, actual),
    FIELD_ARRAY(struct virtio_balloon, stat),
    FIELD_MAX(struct virtio_balloon, stats_held, 1),
};

const struct state_desc virtio_balloon_state = {.name = "virtio_balloon",
                                                .version = 1,
                                                .fields = virtio_balloon_fields,
                                                .nfields = ARRAY_SIZE(virtio_balloon_fields),
                                                .loaded = loaded};
