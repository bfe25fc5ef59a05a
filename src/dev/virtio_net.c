/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio network card.  Virtio 1.1, 5.1: queue 0 receives, 1 transmits, 2 controls.
 *
 * Each frame comes with a header that says which checksum is still to be made and how the frame is
 * to be cut; the back end takes and gives the same words (struct nic_offload), so offload costs
 * nothing here.  With mergeable buffers a frame may lie in several small buffers.
 *
 * Left out: more than one pair of queues, and receive-side scaling: the back ends are one thread.
 */
#include "dev/virtio_net.h"

#include "base/endian.h"

#include <errno.h>
#include <string.h>

#define F_CSUM           BIT64(0)
#define F_GUEST_CSUM     BIT64(1)
#define F_MTU            BIT64(3)
#define F_MAC            BIT64(5)
#define F_GUEST_TSO4     BIT64(7)
#define F_GUEST_TSO6     BIT64(8)
#define F_GUEST_ECN      BIT64(9)
#define F_GUEST_UFO      BIT64(10)
#define F_HOST_TSO4      BIT64(11)
#define F_HOST_TSO6      BIT64(12)
#define F_HOST_ECN       BIT64(13)
#define F_HOST_UFO       BIT64(14)
#define F_MRG_RXBUF      BIT64(15)
#define F_STATUS         BIT64(16)
#define F_CTRL_VQ        BIT64(17)
#define F_CTRL_RX        BIT64(18)
#define F_CTRL_VLAN      BIT64(19)
#define F_CTRL_RX_EXTRA  BIT64(20)
#define F_GUEST_ANNOUNCE BIT64(21)
#define F_CTRL_MAC_ADDR  BIT64(23)

enum { RX, TX, CTRL, QUEUES, QUEUE_SIZE = 256, CONFIG_LEN = 12, HDR_MAX = 12, HDR_OLD = 10 };
enum { STATUS_LINK_UP = 1, STATUS_ANNOUNCE = 2 };
enum { HDR_NEEDS_CSUM = 1, GSO_TCPV4 = 1, GSO_UDP = 3, GSO_TCPV6 = 4, GSO_ECN = 0x80 };
enum { CTRL_CLASS_RX, CTRL_CLASS_MAC, CTRL_CLASS_VLAN, CTRL_CLASS_ANNOUNCE };
enum { CTRL_OK = 0, CTRL_ERR = 1, CTRL_DATA_MAX = 4 + 6 * 256 };
enum { BUFFERS_MAX = 128 }; /* of one received frame */

static struct virtio_net *of(struct virtio_dev *d)
{
    return container_of(d, struct virtio_net, vp.dev);
}

static unsigned header_len(const struct virtio_dev *d)
{
    return d->features & (F_MRG_RXBUF | VIRTIO_F_VERSION_1) ? HDR_MAX : HDR_OLD;
}

/* ---------------------------------------------------------------- configuration -- */

static u32 config_read(struct virtio_dev *d, unsigned off, unsigned size)
{
    struct virtio_net *v = of(d);
    u8 c[CONFIG_LEN] = {0};
    u32 out = 0;

    memcpy(c, v->mac, 6);
    le16_put(c + 6, (u16)((v->link_up ? STATUS_LINK_UP : 0) | (v->announce ? STATUS_ANNOUNCE : 0)));
    le16_put(c + 8, 1); /* pairs of queues */
    le16_put(c + 10, v->opt.mtu);
    memcpy(&out, c + off, size);
    return out;
}

/* Drivers from before 1.0 set the address here. */
static void config_write(struct virtio_dev *d, unsigned off, unsigned size, u32 val)
{
    if (virtio_has(d, VIRTIO_F_VERSION_1) || off + size > 6)
        return;
    memcpy(of(d)->mac + off, &val, size);
}

/* May frames with offload come up?  What the driver has to take for that, all or nothing. */
static void set_offload(struct virtio_net *v)
{
    const u64 all = F_GUEST_CSUM | F_GUEST_TSO4 | F_GUEST_TSO6;

    v->front.offload = (v->vp.dev.features & all) == all;
}

static void driver_ok(struct virtio_dev *d)
{
    set_offload(of(d));
}

/* ---------------------------------------------------------------------- receive -- */

static bool in_table(u8 (*table)[6], unsigned n, const u8 *mac)
{
    for (unsigned i = 0; i < n; i++)
        if (!memcmp(table[i], mac, 6))
            return true;
    return false;
}

static bool wanted(struct virtio_net *v, const u8 *head, size_t len)
{
    static const u8 broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    if (len < 14)
        return false;
    if (v->promisc)
        return true;
    if (len >= 16 && be16_get(head + 12) == 0x8100 && virtio_has(&v->vp.dev, F_CTRL_VLAN)) {
        unsigned id = be16_get(head + 14) & 0xfff;

        if (!(v->vlan[id / 32] >> id % 32 & 1))
            return false;
    }
    if (!memcmp(head, broadcast, 6))
        return !v->nobcast;
    if (head[0] & 1)
        return !v->nomulti &&
               (v->allmulti || v->multi_overflow || in_table(v->multi, v->nmulti, head));
    return !v->nouni && (v->alluni || v->uni_overflow || !memcmp(head, v->mac, 6) ||
                         in_table(v->uni, v->nuni, head));
}

static void put_header(u8 *h, const struct nic_offload *o)
{
    memset(h, 0, HDR_MAX);
    if (!o)
        return;
    h[0] = o->flags;
    h[1] = o->gso_type;
    le16_put(h + 2, o->hdr_len);
    le16_put(h + 4, o->gso_size);
    le16_put(h + 6, o->csum_start);
    le16_put(h + 8, o->csum_offset);
}

/* Copies from..from+len of header and frame into the chain that was popped last. */
static void put_part(struct virtio_net *v, const u8 *header, unsigned hlen, const struct iovec *iov,
                     int niov, u64 from, u64 len)
{
    const struct iovec *in = virtq_in(&v->chain);
    u64 at = 0;

    if (from < hlen) {
        u64 n = min(hlen - from, len);

        iov_put(in, v->chain.nin, 0, header + from, n);
        at = n;
    }
    for (int i = 0; i < niov && at < len; i++) {
        u64 skip = from + at - hlen;

        for (int k = 0; k < i; k++)
            skip -= min(skip, (u64)iov[k].iov_len);
        if (skip >= iov[i].iov_len)
            continue;
        u64 n = min((u64)iov[i].iov_len - skip, len - at);

        iov_put(in, v->chain.nin, at, (const u8 *)iov[i].iov_base + skip, n);
        at += n;
    }
}

enum rx_result { RX_DONE, RX_NO_BUFFER, RX_AGAIN, RX_DROP };

/* With RX_NO_BUFFER the driver is asked to notify when it adds to what there is; RX_AGAIN: it did
 * so meanwhile. */
static enum rx_result put_frame(struct virtio_net *v, const struct iovec *iov, int niov, u64 len,
                                const struct nic_offload *o)
{
    struct virtio_dev *d = &v->vp.dev;
    struct virtq *q = &d->queue[RX];
    unsigned hlen = header_len(d), used = 0, count_parts = 0;
    bool merge = virtio_has(d, F_MRG_RXBUF);
    u64 total = len + hlen, done = 0;
    u8 header[HDR_MAX], count[2];
    struct iovec count_iov[2];

    put_header(header, o);
    while (done < total) {
        u64 part;

        if (used == BUFFERS_MAX || !virtq_pop(d, q, &v->chain)) {
            bool again = used < BUFFERS_MAX && virtq_kick(d, q, true);

            q->last_avail = (u16)(q->last_avail - used);
            return used == BUFFERS_MAX || q->broken ? RX_DROP : again ? RX_AGAIN : RX_NO_BUFFER;
        }
        part = min(v->chain.in_len, total - done);
        if (part < total - done && (!merge || (!used && part < hlen) || !part)) {
            /* The buffers are too small for this frame; they stay with us. */
            q->last_avail = (u16)(q->last_avail - used - 1);
            return RX_DROP;
        }
        if (!used)
            count_parts = iov_slice(count_iov, 2, virtq_in(&v->chain), v->chain.nin, HDR_OLD, 2);
        put_part(v, header, hlen, iov, niov, done, part);
        virtq_fill(d, q, &v->chain, (u32)part, used++);
        done += part;
    }
    if (hlen == HDR_MAX) {
        le16_put(count, (u16)used);
        iov_put(count_iov, count_parts, 0, count, 2);
    }
    virtq_flush(d, q, used);
    return RX_DONE;
}

/* On the loop's thread. */
static bool receive(void *opaque, const struct iovec *iov, int niov, const struct nic_offload *o)
{
    struct virtio_net *v = opaque;
    struct virtio_dev *d = &v->vp.dev;
    struct virtq *q = &d->queue[RX];
    enum rx_result r = RX_DROP;
    u64 len = 0;
    u8 head[18];

    for (int i = 0; i < niov; i++)
        len += iov[i].iov_len;
    pthread_mutex_lock(d->lock);
    if (v->link_up && q->enabled && !q->broken && virtio_ready(d) && len <= NIC_FRAME_MAX &&
        wanted(v, head, iov_get(iov, (unsigned)niov, 0, head, sizeof(head)))) {
        do
            r = put_frame(v, iov, niov, len, o);
        while (r == RX_AGAIN);
    }
    if (r == RX_DONE) {
        v->rx_frames++;
        virtq_signal(d, q);
    } else if (r == RX_DROP) {
        v->rx_dropped++;
    }
    v->rx_waiting = r == RX_NO_BUFFER;
    pthread_mutex_unlock(d->lock);
    return r != RX_NO_BUFFER;
}

/* The guest has buffers again: on the loop's thread, without the lock. */
static void ask_for_more(void *opaque)
{
    struct virtio_net *v = opaque;

    pthread_mutex_lock(v->vp.dev.lock);
    v->rx_waiting = false;
    pthread_mutex_unlock(v->vp.dev.lock);
    if (v->net)
        v->net->ops->ready(v->net);
}

/* --------------------------------------------------------------------- transmit -- */

/* What the driver asks for must make sense for a frame of this length. */
static bool get_offload(const struct virtio_dev *d, const u8 *h, u64 len, struct nic_offload *o)
{
    *o = (struct nic_offload){.flags = h[0] & HDR_NEEDS_CSUM,
                              .gso_type = h[1],
                              .hdr_len = le16_get(h + 2),
                              .gso_size = le16_get(h + 4),
                              .csum_start = le16_get(h + 6),
                              .csum_offset = le16_get(h + 8)};
    if (o->flags && (!virtio_has(d, F_CSUM) || (u64)o->csum_start + o->csum_offset + 2 > len))
        return false;
    switch (o->gso_type & ~GSO_ECN) {
    case 0:
        o->gso_type = 0;
        return true;
    case GSO_TCPV4:
        return virtio_has(d, F_HOST_TSO4) && o->flags && o->gso_size;
    case GSO_TCPV6:
        return virtio_has(d, F_HOST_TSO6) && o->flags && o->gso_size;
    case GSO_UDP:
        return virtio_has(d, F_HOST_UFO) && o->gso_size;
    }
    return false;
}

static void send_frame(struct virtio_net *v)
{
    struct virtio_dev *d = &v->vp.dev;
    struct virtq_chain *c = &v->chain;
    unsigned hlen = header_len(d);
    u64 len = c->out_len - hlen;
    struct nic_offload o;
    struct iovec iov[VIRTQ_IOV_MAX];
    u8 header[HDR_MAX] = {0};
    unsigned n;

    iov_get(c->iov, c->nout, 0, header, hlen);
    if (len < 14 || len > NIC_FRAME_MAX || !get_offload(d, header, len, &o)) {
        trace(d->trace, virtio, "%s: frame of %llu bytes dropped", d->name,
              (unsigned long long)len);
        return;
    }
    n = iov_slice(iov, VIRTQ_IOV_MAX, c->iov, c->nout, hlen, len);
    v->tx_frames++;
    if (v->net && v->link_up)
        v->net->ops->send(v->net, iov, (int)n, o.flags || o.gso_type ? &o : NULL);
}

static void transmit(struct virtio_net *v)
{
    struct virtio_dev *d = &v->vp.dev;
    struct virtq *q = &d->queue[TX];

    do {
        virtq_kick(d, q, false);
        while (virtq_pop(d, q, &v->chain)) {
            if (v->chain.out_len < header_len(d)) {
                virtio_broken(d, q, "a frame without its header");
                return;
            }
            send_frame(v);
            virtq_push(d, q, &v->chain, 0);
        }
    } while (virtq_kick(d, q, true));
    virtq_signal(d, q);
}

/* ---------------------------------------------------------------------- control -- */

static u8 control_rx(struct virtio_net *v, u8 cmd, const u8 *data, size_t len)
{
    bool *const mode[] = {&v->promisc, &v->allmulti, &v->alluni,
                          &v->nomulti, &v->nouni,    &v->nobcast};

    if (cmd >= ARRAY_SIZE(mode) || len < 1)
        return CTRL_ERR;
    *mode[cmd] = data[0] != 0;
    return CTRL_OK;
}

/* One of the two tables; false = its length is wrong.  More than we keep is "all of them". */
static bool mac_table(const u8 **p, size_t *len, u8 (*table)[6], u8 *n, bool *overflow)
{
    u32 count;

    if (*len < 4)
        return false;
    count = le32_get(*p);
    *p += 4;
    *len -= 4;
    if (count > *len / 6)
        return false;
    *overflow = count > VNET_MAC_TABLE;
    *n = *overflow ? 0 : (u8)count;
    memcpy(table, *p, *n * 6u);
    *p += count * 6u;
    *len -= count * 6u;
    return true;
}

static u8 control_mac(struct virtio_net *v, u8 cmd, const u8 *data, size_t len, bool cut)
{
    if (cmd == 1 && len == 6) {
        memcpy(v->mac, data, 6);
        return CTRL_OK;
    }
    if (cmd != 0)
        return CTRL_ERR;
    if (cut) { /* longer than any table that we would keep */
        v->uni_overflow = v->multi_overflow = true;
        return CTRL_OK;
    }
    if (!mac_table(&data, &len, v->uni, &v->nuni, &v->uni_overflow) ||
        !mac_table(&data, &len, v->multi, &v->nmulti, &v->multi_overflow))
        return CTRL_ERR;
    return CTRL_OK;
}

static u8 control_vlan(struct virtio_net *v, u8 cmd, const u8 *data, size_t len)
{
    unsigned id = len >= 2 ? le16_get(data) : 4096;

    if (cmd > 1 || id > 4095)
        return CTRL_ERR;
    if (cmd == 0)
        v->vlan[id / 32] |= BIT(id % 32);
    else
        v->vlan[id / 32] &= ~BIT(id % 32);
    return CTRL_OK;
}

static u8 control(struct virtio_net *v)
{
    struct virtq_chain *c = &v->chain;
    u8 data[CTRL_DATA_MAX], head[2];
    size_t len;
    bool cut = c->out_len > sizeof(data) + sizeof(head);

    if (iov_get(c->iov, c->nout, 0, head, 2) < 2)
        return CTRL_ERR;
    len = iov_get(c->iov, c->nout, 2, data, sizeof(data));
    switch (head[0]) {
    case CTRL_CLASS_RX:
        return control_rx(v, head[1], data, len);
    case CTRL_CLASS_MAC:
        return control_mac(v, head[1], data, len, cut);
    case CTRL_CLASS_VLAN:
        return control_vlan(v, head[1], data, len);
    case CTRL_CLASS_ANNOUNCE:
        v->announce = false;
        return CTRL_OK;
    }
    return CTRL_ERR;
}

static void control_all(struct virtio_net *v)
{
    struct virtio_dev *d = &v->vp.dev;
    struct virtq *q = &d->queue[CTRL];

    do {
        while (virtq_pop(d, q, &v->chain)) {
            u8 ack = control(v);

            iov_put(virtq_in(&v->chain), v->chain.nin, 0, &ack, 1);
            virtq_push(d, q, &v->chain, v->chain.in_len ? 1 : 0);
        }
    } while (virtq_kick(d, q, true));
    virtq_signal(d, q);
}

/* ------------------------------------------------------------------------- life -- */

static void notify(struct virtio_dev *d, unsigned n)
{
    struct virtio_net *v = of(d);

    if (n == TX)
        transmit(v);
    else if (n == CTRL)
        control_all(v);
    else if (v->rx_waiting)
        loop_post(v->loop, &v->more);
}

static void reset(struct virtio_dev *d)
{
    struct virtio_net *v = of(d);

    /* Without a control queue everything is for the driver to sort out. */
    v->promisc = true;
    v->allmulti = v->alluni = v->nomulti = v->nouni = v->nobcast = false;
    v->uni_overflow = v->multi_overflow = false;
    v->nuni = v->nmulti = 0;
    v->announce = false;
    v->front.offload = false;
    memset(v->vlan, 0, sizeof(v->vlan));
    memcpy(v->mac, v->opt.mac, 6);
    if (v->rx_waiting)
        loop_post(v->loop, &v->more);
}

static const struct virtio_ops ops = {.config_read = config_read,
                                      .config_write = config_write,
                                      .driver_ok = driver_ok,
                                      .notify = notify,
                                      .reset = reset};

int virtio_net_init(struct virtio_net *v, struct pci_bus *b, unsigned devfn, struct loop *l,
                    struct nic_backend *net, const struct virtio_net_options *o, struct err *e)
{
    struct virtio_pci_info info = {.name = "virtio-net",
                                   .id = VIRTIO_ID_NET,
                                   .class_code = 0x020000,
                                   .config_len = CONFIG_LEN,
                                   .nqueues = QUEUES,
                                   .queue_size = QUEUE_SIZE,
                                   .ops = &ops,
                                   .modern_only = o->modern_only};
    int r;

    memset(v, 0, sizeof(*v));
    v->loop = l;
    v->net = net;
    v->opt = *o;
    v->more = (struct loop_job){.fn = ask_for_more, .opaque = v};
    v->front = (struct nic_frontend){.receive = receive, .opaque = v};
    v->link_up = net != NULL;
    info.features = F_MAC | F_MRG_RXBUF | F_STATUS | F_CTRL_VQ | F_CTRL_RX | F_CTRL_VLAN |
                    F_CTRL_RX_EXTRA | F_CTRL_MAC_ADDR | F_GUEST_ANNOUNCE;
    if (!o->no_offload)
        info.features |= F_CSUM | F_HOST_TSO4 | F_HOST_TSO6 | F_HOST_ECN | F_GUEST_CSUM |
                         F_GUEST_TSO4 | F_GUEST_TSO6 | F_GUEST_ECN;
    if (o->mtu)
        info.features |= F_MTU;
    r = virtio_pci_init(&v->vp, b, devfn, &info);
    if (r)
        return err_set(e, -r, "virtio-net: PCI slot %u.%u is taken", devfn >> 3, devfn & 7);
    reset(&v->vp.dev);
    if (net)
        net->front = &v->front;
    return 0;
}

void virtio_net_destroy(struct virtio_net *v)
{
    if (v->net && v->net->front == &v->front)
        v->net->front = NULL;
    if (v->loop)
        loop_cancel(v->loop, &v->more);
}

void virtio_net_set_link(struct virtio_net *v, bool up)
{
    pthread_mutex_lock(v->vp.dev.lock);
    if (up != v->link_up) {
        v->link_up = up;
        v->announce = up && virtio_has(&v->vp.dev, F_GUEST_ANNOUNCE);
        virtio_config_changed(&v->vp.dev);
    }
    pthread_mutex_unlock(v->vp.dev.lock);
}

static int loaded(void *obj, struct err *e)
{
    set_offload(obj);
    return 0;
}

static const struct field virtio_net_fields[] = {
    FIELD_BYTES(struct virtio_net, mac),
    FIELD_MAX(struct virtio_net, link_up, 1),
    FIELD_MAX(struct virtio_net, announce, 1),
    FIELD_MAX(struct virtio_net, rx_waiting, 1),
    FIELD_MAX(struct virtio_net, promisc, 1),
    FIELD_MAX(struct virtio_net, allmulti, 1),
    FIELD_MAX(struct virtio_net, alluni, 1),
    FIELD_MAX(struct virtio_net, nomulti, 1),
    FIELD_MAX(struct virtio_net, nouni, 1),
    FIELD_MAX(struct virtio_net, nobcast, 1),
    FIELD_MAX(struct virtio_net, uni_overflow, 1),
    FIELD_MAX(struct virtio_net, multi_overflow, 1),
    FIELD_MAX(struct virtio_net, nuni, VNET_MAC_TABLE),
    FIELD_MAX(struct virtio_net, nmulti, VNET_MAC_TABLE),
    FIELD_BYTES(struct virtio_net, uni),
    FIELD_BYTES(struct virtio_net, multi),
    FIELD_ARRAY(struct virtio_net, vlan),
};

const struct state_desc virtio_net_state = {.name = "virtio_net",
                                            .version = 1,
                                            .fields = virtio_net_fields,
                                            .nfields = ARRAY_SIZE(virtio_net_fields),
                                            .loaded = loaded};
