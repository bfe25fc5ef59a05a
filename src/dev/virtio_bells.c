/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Notifications of a virtio function by eventfds: the guest's processor goes on while the loop's
 * thread looks at the queue.
 */
#include "base/loop.h"
#include "dev/virtio_pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct bell {
    struct virtio_pci *p;
    unsigned queue;
    struct loop_fd watch;
};

struct virtio_bells {
    struct loop *loop;
    unsigned count;
    struct bell bell[VIRTIO_QUEUES];
    struct doorbell legacy[VIRTIO_QUEUES], modern[VIRTIO_QUEUES];
};

static void rung(void *opaque, u32 events)
{
    struct bell *b = opaque;
    u64 times;

    if (read(b->watch.fd, &times, sizeof(times)) != sizeof(times))
        return;
    pthread_mutex_lock(&b->p->pci.lock);
    if (!b->p->dev.resetting)
        virtio_pci_notify(b->p, b->queue);
    pthread_mutex_unlock(&b->p->pci.lock);
}

static int add(struct virtio_bells *l, struct virtio_pci *p, unsigned n, struct err *e)
{
    struct bell *b = &l->bell[n];
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0)
        return err_set(e, errno, "%s: an eventfd: %s", p->dev.name, strerror(errno));
    *b = (struct bell){p, n, {.fd = fd, .events = EPOLLIN, .fn = rung, .opaque = b}};
    l->legacy[n] = (struct doorbell){VIRTIO_PCI_LEGACY_NOTIFY, (u16)n, true, fd};
    l->modern[n] = (struct doorbell){
        .off = VIRTIO_PCI_NOTIFY + (u64)n * VIRTIO_PCI_NOTIFY_STEP,
        .fd = fd,
    };
    l->count++;
    return loop_fd_add(l->loop, &b->watch, e);
}

int virtio_pci_add_bells(struct virtio_pci *p, struct loop *loop, struct err *e)
{
    struct virtio_bells *l = calloc(1, sizeof(*l));
    int r = 0;

    if (!l)
        return err_set(e, ENOMEM, "%s: out of memory", p->dev.name);
    l->loop = loop;
    p->bells = l;
    for (unsigned i = 0; i < p->dev.nqueues && !r; i++)
        r = add(l, p, i, e);
    if (r) {
        virtio_pci_free_bells(p);
        return r;
    }
    p->legacy.bell = l->legacy;
    p->modern.bell = l->modern;
    p->legacy.nbells = p->modern.nbells = l->count;
    return 0;
}

void virtio_pci_free_bells(struct virtio_pci *p)
{
    struct virtio_bells *l = p->bells;

    if (!l)
        return;
    p->bells = NULL;
    p->legacy.nbells = p->modern.nbells = 0;
    for (unsigned i = 0; i < l->count; i++) {
        loop_fd_del(l->loop, &l->bell[i].watch);
        close(l->bell[i].watch.fd);
    }
    free(l);
}
