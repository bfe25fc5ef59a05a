/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio split queues, and what a virtio device is to its transport.  Virtio 1.1, chapters 2 and 6.
 *
 * The guest is hostile: a descriptor is read once into a private copy, and the copy is checked; the
 * length of a chain, its bytes and its tables are bounded.  A queue that breaks the rules stops
 * until reset, and the device says DEVICE_NEEDS_RESET.
 *
 * Everything here wants the device's lock held (virtio_dev.lock).
 */
#ifndef WIRT_DEV_VIRTIO_H
#define WIRT_DEV_VIRTIO_H

#include "base/trace.h"
#include "base/types.h"
#include "core/mem.h"
#include "core/state.h"

#include <pthread.h>
#include <sys/uio.h>

/* Device IDs (virtio 1.1, chapter 5). */
enum {
    VIRTIO_ID_NET = 1,
    VIRTIO_ID_BLOCK = 2,
    VIRTIO_ID_CONSOLE = 3,
    VIRTIO_ID_RNG = 4,
    VIRTIO_ID_BALLOON = 5,
    VIRTIO_ID_GPU = 16,
    VIRTIO_ID_INPUT = 18,
};

/* Device status bits (2.1). */
enum {
    VIRTIO_S_ACKNOWLEDGE = 1,
    VIRTIO_S_DRIVER = 2,
    VIRTIO_S_DRIVER_OK = 4,
    VIRTIO_S_FEATURES_OK = 8,
    VIRTIO_S_NEEDS_RESET = 64,
    VIRTIO_S_FAILED = 128,
};

/* Feature bits that belong to the transport and the queues (6). */
#define VIRTIO_F_NOTIFY_ON_EMPTY BIT64(24)
#define VIRTIO_F_ANY_LAYOUT      BIT64(27)
#define VIRTIO_F_INDIRECT_DESC   BIT64(28)
#define VIRTIO_F_EVENT_IDX       BIT64(29)
#define VIRTIO_F_VERSION_1       BIT64(32)

enum {
    VIRTQ_SIZE_MAX = 1024,                /* entries of a queue */
    VIRTQ_CHAIN_MAX = 256,                /* descriptors of one chain */
    VIRTQ_IOV_MAX = VIRTQ_CHAIN_MAX + 16, /* a buffer may cross from one piece of RAM to another */
    VIRTIO_QUEUES = 20,
    VIRTIO_NO_VECTOR = 0xffff,
};

struct virtq {
    u16 size_max; /* what the device offers; 0 = no such queue */
    u16 size;     /* what the driver chose, a power of two */
    u16 vector;   /* MSI-X, VIRTIO_NO_VECTOR = none */
    bool enabled;
    bool broken;   /* the guest broke the rules: nothing more until reset */
    bool kick_off; /* the device polls and wants no notifications now */
    bool signalled_valid;
    u16 last_avail;        /* next entry of the available ring to look at */
    u16 used_idx;          /* next entry of the used ring to fill */
    u16 signalled_used;    /* used_idx at the last interrupt decision */
    u64 desc, avail, used; /* guest addresses */
};

/* A chain of buffers taken from a queue: first what the device reads (out), then what it writes
 * (in).  The host addresses stay valid as long as the machine. */
struct virtq_chain {
    u16 head;
    u16 nout, nin; /* entries of iov */
    u64 out_len, in_len;
    struct iovec iov[VIRTQ_IOV_MAX];
};

static inline const struct iovec *virtq_in(const struct virtq_chain *c)
{
    return c->iov + c->nout;
}

struct virtio_dev;

struct virtio_ops {
    /* Device configuration space, bytes off..off+size of it; size 1, 2 or 4. */
    u32 (*config_read)(struct virtio_dev *d, unsigned off, unsigned size);
    void (*config_write)(struct virtio_dev *d, unsigned off, unsigned size, u32 v); /* or NULL */
    /* The driver has set DRIVER_OK; features are final.  May be NULL. */
    void (*driver_ok)(struct virtio_dev *d);
    /* The driver put buffers into queue n.  Never blocks. */
    void (*notify)(struct virtio_dev *d, unsigned n);
    /* Takes back everything: when it returns no request touches guest memory.  It may wait on
     * a condition variable of the device's lock.  May be NULL. */
    void (*reset)(struct virtio_dev *d);
};

struct virtio_dev {
    const struct virtio_ops *ops;
    struct trace *trace;
    const char *name;
    struct dma dma;
    pthread_mutex_t *lock;
    u16 id; /* VIRTIO_ID_* */
    u16 nqueues;
    u16 config_len; /* bytes */
    u64 host_features, features;
    u8 status;
    u8 isr; /* bit 0: queue, bit 1: configuration */
    u8 config_gen;
    u16 config_vector;
    bool resetting;  /* ops->reset() is under way */
    bool bus_master; /* the transport lets it reach memory */
    struct virtq queue[VIRTIO_QUEUES];

    /* The transport's: an interrupt with this vector (and the cause already in isr). */
    void (*interrupt)(struct virtio_dev *d, u16 vector);
};

static inline bool virtio_has(const struct virtio_dev *d, u64 feature)
{
    return d->features & feature;
}

/* May the device use its queues now? */
bool virtio_ready(const struct virtio_dev *d);

/* Status register write of the driver; 0 resets the device. */
void virtio_set_status(struct virtio_dev *d, u8 status);
void virtio_reset(struct virtio_dev *d);
/* Configuration space changed: generation and interrupt. */
void virtio_config_changed(struct virtio_dev *d);
/* The guest broke a rule of queue q (NULL: of the device). */
void virtio_broken(struct virtio_dev *d, struct virtq *q, const char *why);

/* Anything to take?  False for a queue that is off or broken. */
bool virtq_avail(struct virtio_dev *d, struct virtq *q);
/* Takes the next chain; false = none, or the queue is broken. */
bool virtq_pop(struct virtio_dev *d, struct virtq *q, struct virtq_chain *c);
/* Puts back the chain taken last, untouched. */
void virtq_unpop(struct virtq *q);
/* Gives a chain back with the number of bytes written to it from its first in buffer on; marks
 * that memory as written. */
void virtq_push(struct virtio_dev *d, struct virtq *q, const struct virtq_chain *c, u32 len);
/* The same in two steps, for several chains that must appear at once: fill(0), fill(1), ...,
 * flush(count). */
void virtq_fill(struct virtio_dev *d, struct virtq *q, const struct virtq_chain *c, u32 len,
                unsigned ahead);
void virtq_flush(struct virtio_dev *d, struct virtq *q, unsigned count);
/* Interrupts, unless the driver wants none. */
void virtq_signal(struct virtio_dev *d, struct virtq *q);
/* Asks for (on) or against notifications; true = on was asked and there is something to take
 * already. */
bool virtq_kick(struct virtio_dev *d, struct virtq *q, bool on);

/* Copies between a chain and a buffer, from byte off of the out (in) part; the bytes copied. */
size_t iov_get(const struct iovec *iov, unsigned n, u64 off, void *buf, size_t len);
size_t iov_put(const struct iovec *iov, unsigned n, u64 off, const void *buf, size_t len);
/* Cuts off..off+len out of iov into out (as many entries at most); the entries used. */
unsigned iov_slice(struct iovec *out, unsigned nout, const struct iovec *iov, unsigned n, u64 off,
                   u64 len);

extern const struct state_desc virtio_state; /* of struct virtio_dev */

#endif
