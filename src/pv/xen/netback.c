/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network back end (io/netif.h): scatter-gather, checksum and segmentation offload both ways,
 * several queues, split event channels.
 *
 * Frames that leave are copied whole out of the granted pages into one buffer of ours before
 * anything looks at them.  Frames that arrive are copied into as many granted pages as they need;
 * when the guest has not posted enough, the frame waits with the network and the next request asks
 * for it again.
 *
 * Left out: the control ring (hash configuration), multicast control, XDP headroom.
 */
#include "pv/xen/netback.h"

#include "base/endian.h"
#include "pv/xen/grant.h"
#include "pv/xen/internal.h"
#include "pv/xen/xenbus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    NETTXF_csum_blank = 1,
    NETTXF_data_validated = 2,
    NETTXF_more_data = 4,
    NETTXF_extra_info = 8,
    NETRXF_data_validated = 1,
    NETRXF_csum_blank = 2,
    NETRXF_more_data = 4,
    NETRXF_extra_info = 8,
    NETIF_RSP_OKAY = 0,
    NETIF_RSP_ERROR = -1,
    NETIF_RSP_NULL = 1,
    EXTRA_TYPE_GSO = 1,
    EXTRA_FLAG_MORE = 1,
    GSO_TCPV4 = 1,
    GSO_TCPV6 = 2,
};
enum { TX_ENTRY = 12, RX_ENTRY = 8, ENTRIES = 256, QUEUES_MAX = 4, SLOTS_MAX = 18, EXTRAS_MAX = 4 };
enum { NIC_GSO_V4 = 1, NIC_GSO_V6 = 4 }; /* struct nic_offload */

struct vif_queue {
    struct netback *b;
    pthread_mutex_t lock; /* before the grants', evt_lock and the network's */
    struct xenbus_ring tx, rx;
    bool live;
    u32 tx_cons, tx_prod, rx_cons, rx_prod; /* requests taken, responses given */
    u16 tx_port, rx_port;
    bool rx_waiting; /* the network has a frame for which there was no room */
    u8 frame[NIC_FRAME_MAX];
};

struct netback {
    struct xenbus_dev dev;
    struct nic_backend *net;
    struct nic_frontend front;
    u8 mac[6];
    bool sg, gso;
    unsigned nqueues;
    struct vif_queue q[QUEUES_MAX];
    struct loop_job more;
    struct netback *next;
};

static struct netback *of(struct xenbus_dev *d)
{
    return container_of(d, struct netback, dev);
}

static struct xen_sring *sring(struct xenbus_ring *r)
{
    return (struct xen_sring *)r->page[0];
}

/* Publishes the responses up to prod; does the front end want to know? */
static bool push(struct vif_queue *q, struct xenbus_ring *ring, u32 old, u32 prod)
{
    struct xen_sring *s = sring(ring);

    __atomic_store_n(&s->rsp_prod, prod, __ATOMIC_SEQ_CST);
    guest_wrote(q->b->dev.x, s, sizeof(*s));
    return prod - __atomic_load_n(&s->rsp_event, __ATOMIC_SEQ_CST) < prod - old;
}

/* -------------------------------------------------------------- transmit -- */

/* A frame as the guest's slots describe it. */
struct tx_frame {
    unsigned nslots, nextras;
    struct {
        u32 ref;
        u16 offset, flags, id, size;
    } slot[SLOTS_MAX];
    u8 gso_type;
    u16 gso_size;
    bool bad;
};

static void tx_get(struct vif_queue *q, u8 *e)
{
    xenbus_ring_get(&q->tx, SRING_HEAD + q->tx_cons++ % ENTRIES * TX_ENTRY, e, TX_ENTRY);
}

static void tx_respond(struct vif_queue *q, u16 id, s16 status)
{
    u8 rsp[4];

    le16_put(rsp, id);
    le16_put(rsp + 2, (u16)status);
    xenbus_ring_put(q->b->dev.x, &q->tx, SRING_HEAD + q->tx_prod++ % ENTRIES * TX_ENTRY, rsp,
                    sizeof(rsp));
}

static void get_extras(struct vif_queue *q, u32 prod, struct tx_frame *f)
{
    u8 e[TX_ENTRY];

    do {
        if (q->tx_cons == prod || f->nextras == EXTRAS_MAX) {
            f->bad = true;
            return;
        }
        tx_get(q, e);
        f->nextras++;
        if (e[0] == EXTRA_TYPE_GSO) {
            f->gso_size = le16_get(e + 2);
            f->gso_type = e[4];
        }
    } while (e[1] & EXTRA_FLAG_MORE);
}

/* Takes the slots of one frame; false: the rest of it is not in the ring yet, which an honest guest
 * does not do: what is there is dropped. */
static bool get_frame(struct vif_queue *q, u32 prod, struct tx_frame *f)
{
    bool more = true;

    *f = (struct tx_frame){0};
    while (more) {
        u8 e[TX_ENTRY];
        unsigned n = f->nslots;

        f->bad |= q->tx_cons == prod || n == SLOTS_MAX;
        if (q->tx_cons == prod)
            return false;
        tx_get(q, e);
        if (n == SLOTS_MAX) { /* too many: the rest of it goes too */
            tx_respond(q, le16_get(e + 8), NETIF_RSP_ERROR);
            more = le16_get(e + 6) & NETTXF_more_data;
            continue;
        }
        f->slot[n].ref = le32_get(e);
        f->slot[n].offset = le16_get(e + 4);
        f->slot[n].flags = le16_get(e + 6);
        f->slot[n].id = le16_get(e + 8);
        f->slot[n].size = le16_get(e + 10);
        more = f->slot[n].flags & NETTXF_more_data;
        f->nslots++;
        if (!n && f->slot[0].flags & NETTXF_extra_info)
            get_extras(q, prod, f);
    }
    return !f->bad;
}

/* One piece of the guest's page behind what is in q->frame. */
static bool copy_slot(struct vif_queue *q, u32 *at, u32 ref, u32 offset, u32 size)
{
    struct xen *x = q->b->dev.x;
    u8 *page;

    if (offset + size > PAGE_SIZE || size > NIC_FRAME_MAX - *at || grant_map(x, ref, false, &page))
        return false;
    memcpy(q->frame + *at, page + offset, size);
    grant_unmap(x, ref, false);
    *at += size;
    return true;
}

static bool copy_frame(struct vif_queue *q, const struct tx_frame *f, u32 *len)
{
    u32 rest = 0;

    /* the first slot's size is the whole frame's */
    for (unsigned i = 1; i < f->nslots; i++)
        rest += f->slot[i].size;
    if (f->bad || f->slot[0].size < rest)
        return false;
    *len = 0;
    if (!copy_slot(q, len, f->slot[0].ref, f->slot[0].offset, f->slot[0].size - rest))
        return false;
    for (unsigned i = 1; i < f->nslots; i++)
        if (!copy_slot(q, len, f->slot[i].ref, f->slot[i].offset, f->slot[i].size))
            return false;
    return *len >= 14;
}

static bool offload(struct vif_queue *q, const struct tx_frame *f, u32 len, struct nic_offload *o)
{
    *o = (struct nic_offload){0};
    if (f->gso_size && f->gso_type) {
        if (f->gso_type != GSO_TCPV4 && f->gso_type != GSO_TCPV6)
            return false;
        o->gso_type = f->gso_type == GSO_TCPV4 ? NIC_GSO_V4 : NIC_GSO_V6;
        o->gso_size = f->gso_size;
    }
    if (o->gso_type || f->slot[0].flags & NETTXF_csum_blank)
        return netback_csum_place(q->frame, len, o) || !o->gso_type;
    return true;
}

static void send_frame(struct vif_queue *q, const struct tx_frame *f)
{
    struct nic_offload o;
    u32 len;
    bool ok = copy_frame(q, f, &len) && offload(q, f, len, &o);

    if (ok && q->b->net) {
        struct iovec iov = {q->frame, len};
        q->b->net->ops->send(q->b->net, &iov, 1, o.flags || o.gso_type ? &o : NULL);
    }
    /* a response for each slot, in the slots' order; extras get an empty one each */
    for (unsigned i = 0; i < f->nslots; i++) {
        tx_respond(q, f->slot[i].id, ok ? NETIF_RSP_OKAY : NETIF_RSP_ERROR);
        for (unsigned k = 0; !i && k < f->nextras; k++)
            tx_respond(q, 0, NETIF_RSP_NULL);
    }
}

static bool transmit(struct vif_queue *q)
{
    struct xen_sring *s = sring(&q->tx);
    u32 old = q->tx_prod;
    struct tx_frame f;

    for (;;) {
        u32 prod = __atomic_load_n(&s->req_prod, __ATOMIC_ACQUIRE);
        if (prod - q->tx_cons > ENTRIES) {
            trace(q->b->dev.x->trace, xen, "vif %u: request index %u behind %u", q->b->dev.id, prod,
                  q->tx_cons);
            q->live = false;
            return false;
        }
        for (unsigned n = 0; q->tx_cons != prod && n < ENTRIES; n++) {
            get_frame(q, prod, &f);
            send_frame(q, &f);
        }
        __atomic_store_n(&s->req_event, q->tx_cons + 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&s->req_prod, __ATOMIC_SEQ_CST) == q->tx_cons)
            break;
    }
    return push(q, &q->tx, old, q->tx_prod);
}

/* --------------------------------------------------------------- receive -- */

struct rx_slot {
    u16 id;
    u32 ref;
};

static struct rx_slot rx_get(struct vif_queue *q)
{
    u8 e[RX_ENTRY];

    xenbus_ring_get(&q->rx, SRING_HEAD + q->rx_cons++ % ENTRIES * RX_ENTRY, e, sizeof(e));
    return (struct rx_slot){le16_get(e), le32_get(e + 4)};
}

static void rx_respond(struct vif_queue *q, u16 id, u16 flags, s16 status)
{
    u8 rsp[RX_ENTRY] = {0};

    le16_put(rsp, id);
    le16_put(rsp + 4, flags);
    le16_put(rsp + 6, (u16)status);
    xenbus_ring_put(q->b->dev.x, &q->rx, SRING_HEAD + q->rx_prod++ % ENTRIES * RX_ENTRY, rsp,
                    sizeof(rsp));
}

static void rx_extra(struct vif_queue *q, const struct nic_offload *o)
{
    u8 e[RX_ENTRY] = {EXTRA_TYPE_GSO, 0};

    rx_get(q);
    le16_put(e + 2, o->gso_size);
    e[4] = (o->gso_type & 0x7f) == NIC_GSO_V4 ? GSO_TCPV4 : GSO_TCPV6;
    xenbus_ring_put(q->b->dev.x, &q->rx, SRING_HEAD + q->rx_prod++ % ENTRIES * RX_ENTRY, e,
                    sizeof(e));
}

/* Requests that the guest has posted, at most ENTRIES; asks for an event at the next one beyond
 * `wanted` if there are fewer. */
static u32 posted(struct vif_queue *q, u32 wanted)
{
    struct xen_sring *s = sring(&q->rx);
    u32 n = __atomic_load_n(&s->req_prod, __ATOMIC_SEQ_CST) - q->rx_cons;

    if (n < wanted) {
        __atomic_store_n(&s->req_event, q->rx_cons + wanted, __ATOMIC_SEQ_CST);
        guest_wrote(q->b->dev.x, s, sizeof(*s));
        n = __atomic_load_n(&s->req_prod, __ATOMIC_SEQ_CST) - q->rx_cons;
    }
    return n <= ENTRIES ? n : 0;
}

/* False: no room now. */
static bool put_frame(struct vif_queue *q, u32 len, const struct nic_offload *o)
{
    struct xen *x = q->b->dev.x;
    u32 pages = (len + PAGE_SIZE - 1) / PAGE_SIZE, old = q->rx_prod;
    bool gso = o && o->gso_type & 0x7f;

    if (posted(q, pages + gso) < pages + gso)
        return false;
    for (u32 at = 0; at < len; at += PAGE_SIZE) {
        u32 n = min(len - at, (u32)PAGE_SIZE);
        struct rx_slot slot = rx_get(q);
        u16 flags = at + n < len ? NETRXF_more_data : 0;
        s16 status = (s16)n;
        u8 *page;

        if (!at && o && o->flags & 1)
            flags |= NETRXF_csum_blank | NETRXF_data_validated;
        if (!at && gso)
            flags |= NETRXF_extra_info;
        if (grant_map(x, slot.ref, true, &page)) {
            status = NETIF_RSP_ERROR;
        } else {
            memcpy(page, q->frame + at, n);
            guest_wrote(x, page, n);
            grant_unmap(x, slot.ref, true);
        }
        rx_respond(q, slot.id, flags, status);
        if (!at && gso)
            rx_extra(q, o);
    }
    if (push(q, &q->rx, old, q->rx_prod))
        evtchn_notify(x, q->rx_port);
    return true;
}

/* On the loop's thread. */
static bool receive(void *opaque, const struct iovec *iov, int niov, const struct nic_offload *o)
{
    struct netback *b = opaque;
    u8 head[128];
    u32 len = 0, nhead = 0;
    bool taken = true;

    for (int i = 0; i < niov; i++) {
        u32 n = (u32)min(iov[i].iov_len, sizeof(head) - (size_t)nhead);
        memcpy(head + nhead, iov[i].iov_base, n);
        nhead += n;
        len += (u32)iov[i].iov_len;
    }
    unsigned nqueues = __atomic_load_n(&b->nqueues, __ATOMIC_ACQUIRE);
    if (!nqueues || len > NIC_FRAME_MAX || len < 14)
        return true;
    struct vif_queue *q = &b->q[nqueues > 1 ? netback_hash(head, nhead) % nqueues : 0];
    pthread_mutex_lock(&q->lock);
    if (q->live && (len <= PAGE_SIZE || b->sg)) {
        u32 at = 0;
        for (int i = 0; i < niov; i++) {
            memcpy(q->frame + at, iov[i].iov_base, iov[i].iov_len);
            at += (u32)iov[i].iov_len;
        }
        taken = put_frame(q, len, o);
        q->rx_waiting = !taken;
    }
    pthread_mutex_unlock(&q->lock);
    return taken;
}

/* On the loop's thread: the guest has posted pages, or has just connected: an emulated card that
 * had the network gives it up. */
static void ask_for_more(void *opaque)
{
    struct netback *b = opaque;

    if (!b->net)
        return;
    if (__atomic_load_n(&b->nqueues, __ATOMIC_ACQUIRE))
        b->net->front = &b->front;
    b->net->ops->ready(b->net);
}

/* The front end's events, on its vCPU's thread; with split channels each sees both rings. */
static void on_event(void *opaque)
{
    struct vif_queue *q = opaque;
    bool tell = false, more = false;

    pthread_mutex_lock(&q->lock);
    if (q->live) {
        tell = transmit(q);
        more = q->rx_waiting;
        q->rx_waiting = false;
    }
    pthread_mutex_unlock(&q->lock);
    if (tell)
        evtchn_notify(q->b->dev.x, q->tx_port);
    if (more)
        loop_post(q->b->dev.x->vm->loop, &q->b->more);
}

/* ----------------------------------------------------------- connection -- */

static void announce(struct xenbus_dev *d)
{
    struct netback *b = of(d);
    char path[XS_PATH_MAX], mac[18];
    static const char *const features[] = {"feature-sg",        "feature-gso-tcpv4",
                                           "feature-gso-tcpv6", "feature-ipv6-csum-offload",
                                           "feature-rx-copy",   "feature-split-event-channels"};

    for (unsigned i = 0; i < ARRAY_SIZE(features); i++)
        xenbus_back_write(d, features[i], "1");
    xenbus_back_write(d, "feature-rx-flip", "0");
    xenbus_back_write(d, "multi-queue-max-queues", "%d", QUEUES_MAX);
    xenbus_back_write(d, "handle", "%u", d->id);
    xenbus_back_write(d, "hotplug-status", "connected");
    snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", b->mac[0], b->mac[1], b->mac[2],
             b->mac[3], b->mac[4], b->mac[5]);
    xenbus_back_write(d, "mac", "%s", mac);
    const struct {
        const char *name, *value;
    } nodes[] = {{"mac", mac}, {"mtu", "1500"}};
    for (unsigned i = 0; i < ARRAY_SIZE(nodes); i++) {
        snprintf(path, sizeof(path), "%s/%s", d->front, nodes[i].name);
        xs_write(d->x->store, path, "%s", nodes[i].value);
    }
    snprintf(path, sizeof(path), "%s/handle", d->front);
    xs_write(d->x->store, path, "%u", d->id);
}

/* The event channels, one for both ways or one each. */
static int connect_events(struct vif_queue *q, const char *dir)
{
    struct xenbus_dev *d = &q->b->dev;
    char node[64];
    u64 tx, rx;

    snprintf(node, sizeof(node), "%sevent-channel-tx", dir);
    if (xenbus_front_number(d, node, XEN_PORTS_MAX - 1, &tx)) {
        snprintf(node, sizeof(node), "%sevent-channel-rx", dir);
        if (!xenbus_front_number(d, node, XEN_PORTS_MAX - 1, &rx))
            return -ENOENT;
    } else {
        snprintf(node, sizeof(node), "%sevent-channel", dir);
        if (!xenbus_front_number(d, node, XEN_PORTS_MAX - 1, &tx))
            return -ENOENT;
        rx = tx;
    }
    if (!evtchn_bind(d->x, (u32)tx, on_event, q))
        return -EINVAL;
    q->tx_port = (u16)tx;
    if (rx != tx && !evtchn_bind(d->x, (u32)rx, on_event, q))
        return -EINVAL;
    q->rx_port = (u16)rx;
    return 0;
}

static int connect_queue(struct vif_queue *q, const char *dir)
{
    struct xenbus_dev *d = &q->b->dev;
    int r = xenbus_map_ring(d, dir, "tx-ring-ref", 1, &q->tx);

    if (!r)
        r = xenbus_map_ring(d, dir, "rx-ring-ref", 1, &q->rx);
    if (r)
        return r;
    q->tx_cons = q->tx_prod = __atomic_load_n(&sring(&q->tx)->rsp_prod, __ATOMIC_ACQUIRE);
    q->rx_cons = q->rx_prod = __atomic_load_n(&sring(&q->rx)->rsp_prod, __ATOMIC_ACQUIRE);
    q->rx_waiting = false;
    q->live = true;
    return connect_events(q, dir);
}

static int connect(struct xenbus_dev *d)
{
    struct netback *b = of(d);
    u64 queues = 1, v = 0;
    char dir[32];
    int r = 0;

    if (!xenbus_front_number(d, "request-rx-copy", 1, &v) || !v)
        return -EPROTONOSUPPORT;
    if (!xenbus_front_number(d, "multi-queue-num-queues", QUEUES_MAX, &queues) || !queues)
        queues = 1;
    b->sg = xenbus_front_number(d, "feature-sg", 1, &v) && v;
    b->gso = b->sg && xenbus_front_number(d, "feature-gso-tcpv4", 1, &v) && v &&
             xenbus_front_number(d, "feature-gso-tcpv6", 1, &v) && v &&
             xenbus_front_number(d, "feature-ipv6-csum-offload", 1, &v) && v;
    if (xenbus_front_number(d, "feature-no-csum-offload", 1, &v) && v)
        b->gso = false;
    b->front.offload = b->gso;
    for (unsigned i = 0; !r && i < queues; i++) {
        snprintf(dir, sizeof(dir), queues > 1 ? "queue-%u/" : "%.0u", i);
        pthread_mutex_lock(&b->q[i].lock);
        r = connect_queue(&b->q[i], dir);
        pthread_mutex_unlock(&b->q[i].lock);
    }
    if (r)
        return r;
    __atomic_store_n(&b->nqueues, (unsigned)queues, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < queues; i++) /* frames that it has sent meanwhile told nobody */
        on_event(&b->q[i]);
    loop_post(d->x->vm->loop, &b->more);
    return 0;
}

static void disconnect(struct xenbus_dev *d)
{
    struct netback *b = of(d);

    __atomic_store_n(&b->nqueues, 0, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < QUEUES_MAX; i++) {
        struct vif_queue *q = &b->q[i];
        pthread_mutex_lock(&q->lock);
        q->live = false;
        evtchn_unbind(d->x, q->tx_port);
        evtchn_unbind(d->x, q->rx_port);
        q->tx_port = q->rx_port = 0;
        xenbus_unmap_ring(d, &q->tx);
        xenbus_unmap_ring(d, &q->rx);
        if (q->rx_waiting) /* it is thrown away now */
            loop_post(d->x->vm->loop, &b->more);
        q->rx_waiting = false;
        pthread_mutex_unlock(&q->lock);
    }
    b->front.offload = false;
}

static const struct xenbus_ops ops = {announce, connect, disconnect};

/* ------------------------------------------------------------------ life -- */

int netback_open(struct xen *x, unsigned n, const struct xen_nic *nic, struct err *e)
{
    struct netback *b = calloc(1, sizeof(*b));

    if (!b)
        return err_set(e, ENOMEM, "Xen network card: no memory");
    b->net = nic->net;
    memcpy(b->mac, nic->mac, 6);
    b->more = (struct loop_job){.fn = ask_for_more, .opaque = b};
    b->front = (struct nic_frontend){.receive = receive, .opaque = b};
    for (unsigned i = 0; i < QUEUES_MAX; i++) {
        b->q[i].b = b;
        pthread_mutex_init(&b->q[i].lock, NULL);
    }
    b->next = x->nics;
    x->nics = b;
    xenbus_add(x, &b->dev, "vif", n, &ops);
    if (b->net && !x->cfg.hvm)
        b->net->front = &b->front;
    return 0;
}

void netback_close_all(struct xen *x)
{
    while (x->nics) {
        struct netback *b = x->nics;
        x->nics = b->next;
        if (b->net && b->net->front == &b->front)
            b->net->front = NULL;
        loop_cancel(x->vm->loop, &b->more);
        for (unsigned i = 0; i < QUEUES_MAX; i++)
            pthread_mutex_destroy(&b->q[i].lock);
        free(b);
    }
}
