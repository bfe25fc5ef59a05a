/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's connection to the store: messages in a page with two rings of 1 KiB (io/xs_wire.h).
 *
 * Requests are copied out of the ring before they are looked at.  What does not fit into the ring
 * of replies waits in a queue; while there is no room in it for another reply, no request is taken,
 * and watch events that would fill it are lost.
 */
#include "pv/xen/xs_internal.h"

#include "base/endian.h"

#include <errno.h>
#include <string.h>

enum { RING = 1024, HEADER = 16, TURN = 256 };

struct xs_ring {
    u8 req[RING], rsp[RING];
    u32 req_cons, req_prod, rsp_cons, rsp_prod;
    u32 server_features, connection, error, evtchn_port;
};

static struct xs_ring *ring(struct xenstore *s)
{
    return (struct xs_ring *)s->x->special[XEN_SPECIAL_STORE];
}

/* --------------------------------------------------------------- replies -- */

bool wire_queue(struct xenstore *s, u32 type, u32 id, u32 tx, const void *p, u32 len)
{
    struct xs_conn *c = &s->conn;
    u8 head[HEADER];

    if (len > XS_PAYLOAD_MAX || HEADER + len > XS_OUT_SIZE - c->out_len)
        return false;
    le32_put(head, type);
    le32_put(head + 4, id);
    le32_put(head + 8, tx);
    le32_put(head + 12, len);
    for (u32 i = 0; i < HEADER + len; i++)
        c->out[(c->out_head + c->out_len + i) % XS_OUT_SIZE] =
            i < HEADER ? head[i] : ((const u8 *)p)[i - HEADER];
    c->out_len += HEADER + len;
    return true;
}

void wire_reply(struct xenstore *s, const struct xs_request *r, const void *p, u32 len)
{
    wire_queue(s, r->type, r->id, r->tx_id, p, len);
}

void wire_ok(struct xenstore *s, const struct xs_request *r)
{
    wire_reply(s, r, "OK", 3);
}

static void reply_error(struct xenstore *s, const struct xs_request *r, int error)
{
    static const struct {
        int error;
        const char *name;
    } names[] = {
        {-EINVAL, "EINVAL"}, {-EACCES, "EACCES"}, {-EEXIST, "EEXIST"}, {-ENOENT, "ENOENT"},
        {-ENOMEM, "ENOMEM"}, {-ENOSPC, "ENOSPC"}, {-ENOSYS, "ENOSYS"}, {-EBUSY, "EBUSY"},
        {-EAGAIN, "EAGAIN"}, {-E2BIG, "E2BIG"},   {-EPERM, "EPERM"},
    };
    const char *name = "EIO";

    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (names[i].error == error)
            name = names[i].name;
    wire_queue(s, XS_ERROR, r->id, r->tx_id, name, (u32)strlen(name) + 1);
}

void wire_flush(struct xenstore *s)
{
    struct xs_conn *c = &s->conn;
    struct xs_ring *r = ring(s);
    u32 cons = __atomic_load_n(&r->rsp_cons, __ATOMIC_ACQUIRE), prod = r->rsp_prod, n = 0;

    if (prod - cons > RING)
        return; /* nonsense: no room */
    for (; c->out_len && prod - cons < RING; n++) {
        r->rsp[prod++ % RING] = c->out[c->out_head];
        c->out_head = (c->out_head + 1) % XS_OUT_SIZE;
        c->out_len--;
    }
    if (!n)
        return;
    __atomic_store_n(&r->rsp_prod, prod, __ATOMIC_SEQ_CST);
    guest_wrote(s->x, r, sizeof(*r));
    evtchn_notify(s->x, c->port);
}

static void handle(struct xenstore *s)
{
    struct xs_conn *c = &s->conn;
    char payload[XS_PAYLOAD_MAX + 1];
    struct xs_request r = {le32_get(c->in),
                           le32_get(c->in + 4),
                           le32_get(c->in + 8),
                           le32_get(c->in + 12),
                           payload,
                           &s->tree,
                           NULL};
    int e = 0;

    memcpy(payload, c->in + HEADER, r.len);
    payload[r.len] = 0;
    for (unsigned i = 0; r.tx_id && i < XS_TX_MAX; i++)
        if (c->tx[i].id == r.tx_id)
            r.tx = &c->tx[i];
    if (r.tx)
        r.tree = &r.tx->tree;
    else if (r.tx_id)
        e = -ENOENT;
    if (!e)
        e = xs_serve(s, &r);
    trace(s->x->trace, xen, "xenstore: %u %s = %d", r.type, payload, e);
    if (!e)
        wire_ok(s, &r);
    else if (e < 0)
        reply_error(s, &r, e);
}

/* Takes bytes of the next message out of the ring; true: it is whole. */
static bool take(struct xenstore *s, struct xs_ring *r)
{
    struct xs_conn *c = &s->conn;
    u32 prod = __atomic_load_n(&r->req_prod, __ATOMIC_ACQUIRE), cons = r->req_cons;
    u32 want = HEADER;

    if (prod - cons > RING) { /* nonsense: begin anew from where the guest is */
        __atomic_store_n(&r->req_cons, prod, __ATOMIC_SEQ_CST);
        c->nin = 0;
        return false;
    }
    for (;;) {
        if (c->nin >= HEADER) {
            u32 len = le32_get(c->in + 12);
            want = len <= XS_PAYLOAD_MAX ? HEADER + len : HEADER;
            if (len > XS_PAYLOAD_MAX) { /* cannot be followed: the connection is lost for good */
                r->error = 1;
                cons = prod;
                c->nin = 0;
                want = HEADER;
                break;
            }
        }
        if (c->nin == want || cons == prod)
            break;
        c->in[c->nin++] = r->req[cons++ % RING];
    }
    __atomic_store_n(&r->req_cons, cons, __ATOMIC_SEQ_CST);
    return c->nin >= HEADER && c->nin == want;
}

/* The guest's event, on its vCPU's thread: there are requests, or room for replies. */
static void on_event(void *opaque)
{
    struct xenstore *s = opaque;
    struct xs_ring *r = ring(s);

    pthread_mutex_lock(&s->lock);
    for (unsigned n = 0; n < TURN; n++) {
        wire_flush(s);
        if (XS_OUT_SIZE - s->conn.out_len < 2 * XS_MESSAGE_MAX || !take(s, r))
            break;
        handle(s);
        s->conn.nin = 0;
    }
    wire_flush(s);
    guest_wrote(s->x, r, sizeof(*r));
    evtchn_notify(s->x, s->conn.port); /* there is room for requests */
    pthread_mutex_unlock(&s->lock);
}

/* ------------------------------------------------------------------ life -- */

void wire_free(struct xenstore *s)
{
    xs_watches_drop(&s->conn);
    xs_txs_drop(&s->conn);
}

void wire_reset(struct xenstore *s)
{
    struct xs_conn *c = &s->conn;

    wire_free(s);
    c->nin = 0;
    c->out_head = c->out_len = 0;
    c->port = evtchn_alloc(s->x);
    evtchn_bind(s->x, c->port, on_event, s);
    s->x->param[HVM_PARAM_STORE_EVTCHN] = c->port;
    s->x->param[HVM_PARAM_STORE_PFN] = s->x->cfg.special_gfn + XEN_SPECIAL_STORE;
}
