/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames that wait: from vCPU threads for the loop's thread, and from there for the card.
 */
#include "net/queue.h"

#include "net/net.h"
#include "net/offload.h"

#include <stdlib.h>
#include <string.h>

void net_queue_init(struct net_queue *q)
{
    *q = (struct net_queue){.tail = &q->head};
    pthread_mutex_init(&q->lock, NULL);
}

void net_queue_destroy(struct net_queue *q)
{
    struct net_frame *f;

    while ((f = net_queue_pop(q)))
        free(f);
    pthread_mutex_destroy(&q->lock);
}

static struct net_frame *copy_frame(const struct iovec *iov, int niov, const struct nic_offload *o)
{
    struct net_frame *f;
    size_t len = 0;

    for (int i = 0; i < niov; i++) {
        if (iov[i].iov_len > NIC_FRAME_MAX - len)
            return NULL;
        len += iov[i].iov_len;
    }
    f = malloc(sizeof(*f) + len);
    if (!f)
        return NULL;
    f->next = NULL;
    f->len = 0;
    f->offload = o ? *o : (struct nic_offload){0};
    for (int i = 0; i < niov; i++) {
        memcpy(f->data + f->len, iov[i].iov_base, iov[i].iov_len);
        f->len += iov[i].iov_len;
    }
    return f;
}

bool net_queue_push(struct net_queue *q, const struct iovec *iov, int niov,
                    const struct nic_offload *o)
{
    struct net_frame *f = NULL;
    bool room;

    pthread_mutex_lock(&q->lock);
    room = q->count < NET_QUEUE_MAX;
    pthread_mutex_unlock(&q->lock);
    if (room)
        f = copy_frame(iov, niov, o);
    pthread_mutex_lock(&q->lock);
    if (f && q->count < NET_QUEUE_MAX) {
        *q->tail = f;
        q->tail = &f->next;
        q->count++;
        f = NULL;
        room = true;
    } else {
        q->dropped++;
        room = false;
    }
    pthread_mutex_unlock(&q->lock);
    free(f);
    return room;
}

struct net_frame *net_queue_pop(struct net_queue *q)
{
    struct net_frame *f;

    pthread_mutex_lock(&q->lock);
    f = q->head;
    if (f) {
        q->head = f->next;
        if (!q->head)
            q->tail = &q->head;
        q->count--;
    }
    pthread_mutex_unlock(&q->lock);
    return f;
}

bool net_queue_empty(struct net_queue *q)
{
    bool empty;

    pthread_mutex_lock(&q->lock);
    empty = !q->head;
    pthread_mutex_unlock(&q->lock);
    return empty;
}

void net_queue_unpop(struct net_queue *q, struct net_frame *f)
{
    pthread_mutex_lock(&q->lock);
    f->next = q->head;
    q->head = f;
    if (!f->next)
        q->tail = &f->next;
    q->count++;
    pthread_mutex_unlock(&q->lock);
}

struct way {
    struct net_queue *q;
    struct nic_frontend *front;
};

static void give(struct net_queue *q, struct nic_frontend *front, const u8 *frame, size_t len,
                 const struct nic_offload *o)
{
    struct iovec iov = {.iov_base = (void *)frame, .iov_len = len};

    if (!net_queue_empty(q) || !front->receive(front->opaque, &iov, 1, o))
        net_queue_push(q, &iov, 1, o);
}

static void give_piece(void *opaque, const u8 *frame, size_t len)
{
    struct way *w = opaque;

    give(w->q, w->front, frame, len, NULL);
}

void net_to_card(struct net_queue *q, struct nic_frontend *front, const u8 *frame, size_t len,
                 const struct nic_offload *o)
{
    struct way w = {q, front};

    if (!front)
        return;
    if (o && !o->flags && !o->gso_type)
        o = NULL;
    if (o && !front->offload)
        net_offload_finish(frame, len, o, give_piece, &w);
    else
        give(q, front, frame, len, o);
}

bool net_queue_flush(struct net_queue *q, struct nic_frontend *front)
{
    struct net_frame *f;

    while (front && (f = net_queue_pop(q))) {
        struct iovec iov = {.iov_base = f->data, .iov_len = f->len};
        bool o = f->offload.flags || f->offload.gso_type;

        /* It may have stopped taking offload meanwhile: such a frame is lost, as on a wire. */
        if (!(o && !front->offload) &&
            !front->receive(front->opaque, &iov, 1, o ? &f->offload : NULL)) {
            net_queue_unpop(q, f);
            return false;
        }
        free(f);
    }
    return true;
}
