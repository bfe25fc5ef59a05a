/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tap on a serial port.
 */
#include "ui/chardev_tap.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct tap {
    struct chardev c; /* what the serial port has */
    struct chardev *inner;
    struct loop *loop;
    struct loop_job pump;
    pthread_mutex_t notify_lock; /* held while notify runs; before `lock` */
    void (*notify)(void *opaque);
    void *opaque;
    pthread_mutex_t lock; /* guards what follows */
    u64 written;          /* bytes, ever */
    u8 kept[TAP_KEPT];    /* a ring of the last */
    u8 typed[TAP_TYPED];
    size_t ntyped;
};

static void tap_write(struct chardev *c, const u8 *buf, size_t len)
{
    struct tap *t = container_of(c, struct tap, c);
    if (t->inner)
        t->inner->ops->write(t->inner, buf, len);
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < len; i++)
        t->kept[t->written++ % TAP_KEPT] = buf[i];
    pthread_mutex_unlock(&t->lock);
    pthread_mutex_lock(&t->notify_lock);
    if (t->notify)
        t->notify(t->opaque);
    pthread_mutex_unlock(&t->notify_lock);
}

static void on_pump(void *opaque)
{
    struct tap *t = opaque;
    u8 buf[TAP_TYPED];
    pthread_mutex_lock(&t->lock);
    size_t n = t->ntyped, taken = 0;
    memcpy(buf, t->typed, n);
    pthread_mutex_unlock(&t->lock);
    if (n && t->c.input)
        taken = t->c.input(t->c.opaque, buf, n);
    pthread_mutex_lock(&t->lock);
    t->ntyped -= taken;
    memmove(t->typed, t->typed + taken, t->ntyped);
    pthread_mutex_unlock(&t->lock);
}

static void tap_ready(struct chardev *c)
{
    struct tap *t = container_of(c, struct tap, c);
    loop_post(t->loop, &t->pump);
    if (t->inner && t->inner->ops->ready)
        t->inner->ops->ready(t->inner);
}

static size_t on_inner_input(void *opaque, const u8 *buf, size_t len)
{
    struct tap *t = opaque;
    return t->c.input ? t->c.input(t->c.opaque, buf, len) : len;
}

static void tap_close(struct chardev *c)
{
    struct tap *t = container_of(c, struct tap, c);
    if (t->inner)
        t->inner->ops->close(t->inner);
    loop_cancel(t->loop, &t->pump);
    pthread_mutex_destroy(&t->lock);
    pthread_mutex_destroy(&t->notify_lock);
    free(t);
}

static const struct chardev_ops tap_ops = {tap_write, tap_ready, tap_close};

int tap_open(struct tap **out, struct loop *l, struct chardev *inner, struct err *e)
{
    struct tap *t = calloc(1, sizeof(*t));
    if (!t)
        return err_set(e, ENOMEM, "out of memory");
    t->c.ops = &tap_ops;
    t->loop = l;
    t->inner = inner;
    t->pump = (struct loop_job){.fn = on_pump, .opaque = t};
    pthread_mutex_init(&t->lock, NULL);
    pthread_mutex_init(&t->notify_lock, NULL);
    if (inner) {
        inner->input = on_inner_input;
        inner->opaque = t;
    }
    *out = t;
    return 0;
}

struct chardev *tap_chardev(struct tap *t)
{
    return &t->c;
}

void tap_listen(struct tap *t, void (*notify)(void *opaque), void *opaque)
{
    pthread_mutex_lock(&t->notify_lock);
    t->notify = notify;
    t->opaque = opaque;
    pthread_mutex_unlock(&t->notify_lock);
}

size_t tap_read(struct tap *t, u64 *pos, u8 *buf, size_t n)
{
    size_t i = 0;
    pthread_mutex_lock(&t->lock);
    if (t->written > TAP_KEPT && *pos < t->written - TAP_KEPT)
        *pos = t->written - TAP_KEPT;
    while (i < n && *pos < t->written)
        buf[i++] = t->kept[(*pos)++ % TAP_KEPT];
    pthread_mutex_unlock(&t->lock);
    return i;
}

void tap_type(struct tap *t, const u8 *buf, size_t n)
{
    pthread_mutex_lock(&t->lock);
    n = min(n, TAP_TYPED - t->ntyped);
    memcpy(t->typed + t->ntyped, buf, n);
    t->ntyped += n;
    pthread_mutex_unlock(&t->lock);
    loop_post(t->loop, &t->pump);
}
