/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The console: a page with two rings (io/console.h), hvc0 in Linux, and the hypercall console_io,
 * which a guest uses before it has found the page.
 *
 * The guest owns both indices of its side and may write nonsense: an output index further ahead
 * than the ring is long skips to it; input waits while its ring looks more than full.
 */
#include "pv/xen/internal.h"

#include <errno.h>
#include <stdlib.h>

struct xen_console {
    struct xen *x;
    struct chardev *chr;
    pthread_mutex_t lock;
    bool waiting; /* input waits for room */
    u16 port;
};

static u32 load(const u32 *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store(struct xen_console *c, u32 *p, u32 v)
{
    __atomic_store_n(p, v, __ATOMIC_SEQ_CST);
    guest_wrote(c->x, p, sizeof(*p));
}

static struct xencons_interface *ring(struct xen_console *c)
{
    return (struct xencons_interface *)c->x->special[XEN_SPECIAL_CONSOLE];
}

/* The guest's event: output is there, or room for input; on its vCPU's thread. */
static void on_event(void *opaque)
{
    struct xen_console *c = opaque;
    struct xencons_interface *r = ring(c);
    u8 buf[sizeof(r->out)];
    bool more, room;

    pthread_mutex_lock(&c->lock);
    u32 cons = load(&r->out_cons), prod = load(&r->out_prod), n = prod - cons;
    more = n != 0;
    if (n > sizeof(r->out)) {
        cons = prod;
        n = 0;
    }
    for (u32 i = 0; i < n; i++)
        buf[i] = r->out[(cons + i) % sizeof(r->out)];
    if (more)
        store(c, &r->out_cons, cons + n);
    if (n && c->chr)
        c->chr->ops->write(c->chr, buf, n);
    room = c->waiting && load(&r->in_prod) - load(&r->in_cons) < sizeof(r->in);
    if (room)
        c->waiting = false;
    pthread_mutex_unlock(&c->lock);
    if (more)
        evtchn_notify(c->x, c->port);
    if (room && c->chr && c->chr->ops->ready)
        c->chr->ops->ready(c->chr);
}

/* On the loop's thread. */
static size_t input(void *opaque, const u8 *buf, size_t len)
{
    struct xen_console *c = opaque;
    struct xencons_interface *r = ring(c);
    size_t n = 0;

    pthread_mutex_lock(&c->lock);
    u32 cons = load(&r->in_cons), prod = load(&r->in_prod);
    if (prod - cons <= sizeof(r->in))
        for (; n < len && prod - cons < sizeof(r->in); n++)
            r->in[prod++ % sizeof(r->in)] = buf[n];
    if (n)
        store(c, &r->in_prod, prod);
    c->waiting = n < len;
    pthread_mutex_unlock(&c->lock);
    if (n)
        evtchn_notify(c->x, c->port);
    return n;
}

/* command u32, count u32, buffer: what is written goes to the trace. */
s64 xen_console_io(struct xen_call *k)
{
    char line[129];
    u64 len = (u32)k->a[1], done = 0;

    if ((u32)k->a[0] != CONSOLEIO_write)
        return (u32)k->a[0] == CONSOLEIO_read ? 0 : -XEN_ENOSYS;
    if (len > 4096)
        len = 4096;
    while (done < len) {
        u64 n = min(len - done, sizeof(line) - 1);
        if (!guest_read(k, k->a[2] + done, line, n))
            return -XEN_EFAULT;
        for (u64 i = 0; i < n; i++)
            if ((u8)line[i] < ' ' || (u8)line[i] > '~')
                line[i] = ' ';
        line[n] = 0;
        trace(k->x->trace, xen, "console: %s", line);
        done += n;
    }
    return 0;
}

struct xen_console *console_open(struct xen *x, struct chardev *chr, struct err *e)
{
    struct xen_console *c = calloc(1, sizeof(*c));

    if (!c) {
        err_set(e, ENOMEM, "Xen console: no memory");
        return NULL;
    }
    c->x = x;
    c->chr = chr;
    pthread_mutex_init(&c->lock, NULL);
    if (chr) {
        chr->input = input;
        chr->opaque = c;
    }
    return c;
}

void console_reset(struct xen_console *c)
{
    c->port = evtchn_alloc(c->x);
    evtchn_bind(c->x, c->port, on_event, c);
    c->x->param[HVM_PARAM_CONSOLE_EVTCHN] = c->port;
}

void console_close(struct xen_console *c)
{
    if (!c)
        return;
    if (c->chr)
        c->chr->input = NULL;
    pthread_mutex_destroy(&c->lock);
    free(c);
}
