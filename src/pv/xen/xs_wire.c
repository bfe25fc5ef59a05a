/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's connection to the store: messages in a page with two rings of 1 KiB (io/xs_wire.h).
 *
 * Requests are copied out of the ring before they are looked at.  What does not fit into the ring
 * of replies waits in a queue; while there is no room in it for another reply, no request is taken,
 * and watch events that would fill it are lost.  Nodes, watches and transactions have limits.
 */
#include "pv/xen/xs_internal.h"

#include "base/endian.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    XS_CONTROL = 0,
    XS_DIRECTORY = 1,
    XS_READ = 2,
    XS_GET_PERMS = 3,
    XS_WATCH = 4,
    XS_UNWATCH = 5,
    XS_TRANSACTION_START = 6,
    XS_TRANSACTION_END = 7,
    XS_GET_DOMAIN_PATH = 10,
    XS_WRITE = 11,
    XS_MKDIR = 12,
    XS_RM = 13,
    XS_SET_PERMS = 14,
    XS_WATCH_EVENT = 15,
    XS_ERROR = 16,
    XS_IS_DOMAIN_INTRODUCED = 17,
    XS_RESET_WATCHES = 21,
    XS_DIRECTORY_PART = 22,
};

enum { RING = 1024, HEADER = 16, TURN = 256 };
static const char home[] = "/local/domain/1";

struct xs_ring {
    u8 req[RING], rsp[RING];
    u32 req_cons, req_prod, rsp_cons, rsp_prod;
    u32 server_features, connection, error, evtchn_port;
};

/* A request in hand; the payload has a zero behind it. */
struct request {
    u32 type, id, tx_id, len;
    char *p;
    struct xs_tree *tree; /* the transaction's, or the store's */
    struct xs_tx *tx;
};

static struct xs_ring *ring(struct xenstore *s)
{
    return (struct xs_ring *)s->x->special[XEN_SPECIAL_STORE];
}

/* --------------------------------------------------------------- replies -- */

static bool queue(struct xenstore *s, u32 type, u32 id, u32 tx, const void *p, u32 len)
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

static void reply(struct xenstore *s, const struct request *r, const void *p, u32 len)
{
    queue(s, r->type, r->id, r->tx_id, p, len);
}

static void reply_ok(struct xenstore *s, const struct request *r)
{
    reply(s, r, "OK", 3);
}

static void reply_error(struct xenstore *s, const struct request *r, int error)
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
    queue(s, XS_ERROR, r->id, r->tx_id, name, (u32)strlen(name) + 1);
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

/* --------------------------------------------------------------- paths -- */

/* The absolute path of a guest's path, in buf of XS_PATH_MAX; false: malformed. */
static bool absolute(const char *p, char *buf)
{
    size_t n = strlen(p), h = strlen(home);

    if (p[0] == '/') {
        if (n >= XS_PATH_MAX)
            return false;
        memcpy(buf, p, n + 1);
    } else {
        if (h + 1 + n >= XS_PATH_MAX)
            return false;
        memcpy(buf, home, h);
        buf[h] = '/';
        memcpy(buf + h + 1, p, n + 1);
        if (!n)
            buf[h] = 0;
    }
    return xs_path_ok(buf);
}

/* The node that a request's first string names, if the guest may do this with it; NULL and *error
 * else. */
static struct xs_node *node_for(struct request *r, u8 perm, char *path, int *error)
{
    *error = -EINVAL;
    if (!r->len || !memchr(r->p, 0, r->len) || !absolute(r->p, path))
        return NULL;
    struct xs_node *n = xs_find(r->tree, path);
    *error = -ENOENT;
    if (n && !xs_may(n, XEN_DOMID_GUEST, perm)) {
        *error = -EACCES;
        n = NULL;
    }
    return n;
}

/* A change was made: at once known to all, or at the transaction's end. */
static int changed(struct xenstore *s, struct request *r, const char *path, bool removed)
{
    if (!r->tx) {
        xs_fire(s, path, removed);
        return 0;
    }
    char *copy = r->tx->nchanges < XS_TX_CHANGES ? strdup(path) : NULL;
    if (!copy)
        return -ENOSPC;
    r->tx->change[r->tx->nchanges].path = copy;
    r->tx->change[r->tx->nchanges++].removed = removed;
    return 0;
}

/* --------------------------------------------------------------- watches -- */

static void event(struct xenstore *s, const struct xs_guest_watch *w, const char *path)
{
    char buf[XS_PATH_MAX + XS_TOKEN_MAX];
    size_t h = strlen(home);
    const char *told = path;

    if (w->relative && !strncmp(path, home, h) && path[h] == '/')
        told = path + h + 1;
    size_t a = strlen(told) + 1, b = strlen(w->token) + 1;
    memcpy(buf, told, a);
    memcpy(buf + a, w->token, b);
    if (XS_OUT_SIZE - s->conn.out_len < 2 * XS_MESSAGE_MAX ||
        !queue(s, XS_WATCH_EVENT, 0, 0, buf, (u32)(a + b)))
        trace(s->x->trace, xen, "xenstore: the guest does not read: an event for %s is lost", path);
}

void wire_fire(struct xenstore *s, const char *path, bool removed)
{
    for (unsigned i = 0; s->conn.nwatches && i < XS_WATCHES_MAX; i++) {
        const struct xs_guest_watch *w = &s->conn.watch[i];
        if (!w->path || !xs_concerns(w->path, path, removed))
            continue;
        const struct xs_node *n = xs_find(&s->tree, path);
        if (!n || xs_may(n, XEN_DOMID_GUEST, XS_PERM_READ))
            event(s, w, removed && strlen(w->path) > strlen(path) ? w->path : path);
    }
}

static void watch_drop(struct xs_conn *c, struct xs_guest_watch *w)
{
    c->nwatches -= !!w->path;
    free(w->path);
    free(w->token);
    *w = (struct xs_guest_watch){0};
}

/* Path and token of a (un)watch; false: malformed. */
static bool watch_args(struct request *r, char *path, const char **token, bool *relative)
{
    const char *zero = r->len ? memchr(r->p, 0, r->len) : NULL;

    if (!zero)
        return false;
    *token = zero + 1;
    size_t left = r->len - (size_t)(*token - r->p), n = strnlen(*token, left);
    if (n == left || n >= XS_TOKEN_MAX)
        return false;
    *relative = r->p[0] != '/' && r->p[0] != '@';
    if (r->p[0] == '@') {
        if (strlen(r->p) >= XS_PATH_MAX)
            return false;
        strcpy(path, r->p);
        return true;
    }
    return absolute(r->p, path);
}

static int watch(struct xenstore *s, struct request *r)
{
    char path[XS_PATH_MAX];
    const char *token;
    bool relative;
    struct xs_guest_watch *free_one = NULL;

    if (!watch_args(r, path, &token, &relative))
        return -EINVAL;
    for (unsigned i = 0; i < XS_WATCHES_MAX; i++) {
        struct xs_guest_watch *w = &s->conn.watch[i];
        if (!w->path)
            free_one = free_one ? free_one : w;
        else if (!strcmp(w->path, path) && !strcmp(w->token, token))
            return -EEXIST;
    }
    if (!free_one)
        return -ENOSPC;
    *free_one = (struct xs_guest_watch){strdup(path), strdup(token), relative};
    s->conn.nwatches += !!free_one->path;
    if (!free_one->path || !free_one->token) {
        watch_drop(&s->conn, free_one);
        return -ENOMEM;
    }
    reply_ok(s, r);
    event(s, free_one, path);
    return 1;
}

static int unwatch(struct xenstore *s, struct request *r)
{
    char path[XS_PATH_MAX];
    const char *token;
    bool relative;

    if (!watch_args(r, path, &token, &relative))
        return -EINVAL;
    for (unsigned i = 0; i < XS_WATCHES_MAX; i++) {
        struct xs_guest_watch *w = &s->conn.watch[i];
        if (w->path && !strcmp(w->path, path) && !strcmp(w->token, token)) {
            watch_drop(&s->conn, w);
            return 0;
        }
    }
    return -ENOENT;
}

/* ---------------------------------------------------------- transactions -- */

static void tx_drop(struct xs_tx *t)
{
    for (unsigned i = 0; i < t->nchanges; i++)
        free(t->change[i].path);
    xs_tree_free(&t->tree);
    *t = (struct xs_tx){0};
}

static int tx_start(struct xenstore *s, struct request *r)
{
    struct xs_conn *c = &s->conn;
    char id[16];

    if (r->tx)
        return -EBUSY;
    for (unsigned i = 0; i < XS_TX_MAX; i++) {
        struct xs_tx *t = &c->tx[i];
        if (t->id)
            continue;
        if (xs_tree_copy(&t->tree, &s->tree))
            return -ENOMEM;
        if (!++c->next_tx)
            c->next_tx = 1;
        t->id = c->next_tx;
        t->generation = s->generation;
        snprintf(id, sizeof(id), "%u", t->id);
        reply(s, r, id, (u32)strlen(id) + 1);
        return 1;
    }
    return -ENOSPC;
}

static int tx_end(struct xenstore *s, struct request *r)
{
    struct xs_tx *t = r->tx, done;

    if (!t)
        return -ENOENT;
    if (r->len != 2 || (r->p[0] != 'T' && r->p[0] != 'F') || r->p[1])
        return -EINVAL;
    if (r->p[0] == 'F') {
        tx_drop(t);
        return 0;
    }
    if (t->generation != s->generation) {
        tx_drop(t);
        return -EAGAIN;
    }
    struct xs_tree old = s->tree;
    s->tree = t->tree;
    t->tree = old;
    done = *t; /* what the changes set off may look at transactions */
    *t = (struct xs_tx){0};
    reply_ok(s, r);
    for (unsigned i = 0; i < done.nchanges; i++)
        xs_fire(s, done.change[i].path, done.change[i].removed);
    tx_drop(&done);
    return 1;
}

/* ------------------------------------------------------------- requests -- */

static int directory(struct xenstore *s, struct request *r)
{
    char path[XS_PATH_MAX], out[XS_PAYLOAD_MAX];
    int error;
    u32 n = 0;
    const struct xs_node *node = node_for(r, XS_PERM_READ, path, &error);

    if (!node)
        return error;
    for (const struct xs_node *c = node->child; c; c = c->next) {
        size_t len = strlen(c->name) + 1;
        if (len > sizeof(out) - n)
            return -E2BIG;
        memcpy(out + n, c->name, len);
        n += (u32)len;
    }
    reply(s, r, out, n);
    return 1;
}

/* The same in pieces: a generation, names from an offset on, and an empty one at the end. */
static int directory_part(struct xenstore *s, struct request *r)
{
    char path[XS_PATH_MAX], out[XS_PAYLOAD_MAX];
    int error;
    const struct xs_node *node = node_for(r, XS_PERM_READ, path, &error);
    const char *arg = r->p + strnlen(r->p, r->len) + 1;

    if (!node)
        return error;
    if (arg >= r->p + r->len || r->p[r->len - 1])
        return -EINVAL;
    u64 skip = strtoull(arg, NULL, 10), at = 0;
    u32 n = (u32)snprintf(out, sizeof(out), "%llu", (unsigned long long)s->generation) + 1;
    for (const struct xs_node *c = node->child; c; c = c->next) {
        size_t len = strlen(c->name) + 1;
        if (at >= skip) {
            if (len + 1 > sizeof(out) - n) {
                reply(s, r, out, n);
                return 1;
            }
            memcpy(out + n, c->name, len);
            n += (u32)len;
        }
        at += len;
    }
    out[n++] = 0;
    reply(s, r, out, n);
    return 1;
}

static int read_value(struct xenstore *s, struct request *r)
{
    char path[XS_PATH_MAX];
    int error;
    const struct xs_node *n = node_for(r, XS_PERM_READ, path, &error);

    if (!n)
        return error;
    reply(s, r, n->value, n->len);
    return 1;
}

static int get_perms(struct xenstore *s, struct request *r)
{
    char path[XS_PATH_MAX], out[XS_PERMS_MAX * 8];
    int error;
    u32 len = 0;
    const struct xs_node *n = node_for(r, XS_PERM_READ, path, &error);

    if (!n)
        return error;
    for (unsigned i = 0; i < n->nperms; i++)
        len += (u32)snprintf(out + len, sizeof(out) - len, "%c%u", "nrwb"[n->perm[i].perm & 3],
                             n -> perm[i].dom) +
               1;
    reply(s, r, out, len);
    return 1;
}

static int write_value(struct xenstore *s, struct request *r, bool mkdir)
{
    char path[XS_PATH_MAX];
    struct xs_node *n, *made;
    const char *zero = r->len ? memchr(r->p, 0, r->len) : NULL;

    if (!zero || !absolute(r->p, path))
        return -EINVAL;
    if (mkdir && xs_find(r->tree, path))
        return 0;
    u32 len = mkdir ? 0 : r->len - (u32)(zero + 1 - r->p);
    if (len > XS_VALUE_MAX)
        return -ENOSPC;
    int e = xs_make(r->tree, path, XEN_DOMID_GUEST, &n, &made);
    if (!e)
        e = xs_set_value(n, zero + 1, len);
    return e ? e : changed(s, r, path, false);
}

static int rm(struct xenstore *s, struct request *r)
{
    char path[XS_PATH_MAX];
    int error;
    struct xs_node *n = node_for(r, XS_PERM_WRITE, path, &error);

    if (!n) { /* what is not there need not be removed, if its parent is */
        char *slash = error == -ENOENT ? strrchr(path, '/') : NULL;
        if (!slash || slash == path)
            return error;
        *slash = 0;
        return xs_find(r->tree, path) ? 0 : -ENOENT;
    }
    if (!n->parent || !strcmp(path, home))
        return -EINVAL;
    xs_remove(r->tree, n);
    return changed(s, r, path, true);
}

static int set_perms(struct xenstore *s, struct request *r)
{
    char path[XS_PATH_MAX];
    struct xs_perm p[XS_PERMS_MAX];
    unsigned np = 0;
    int error;
    struct xs_node *n = node_for(r, XS_PERM_NONE, path, &error);

    if (!n)
        return error;
    if (n->perm[0].dom != XEN_DOMID_GUEST)
        return -EACCES;
    for (const char *a = r->p + strlen(r->p) + 1, *end = r->p + r->len; a < end;) {
        unsigned used = np < XS_PERMS_MAX ? xs_parse_perm(a, &p[np]) : 0;
        if (!used || a[used])
            return -EINVAL;
        np++;
        a += used + 1;
    }
    if (!np)
        return -EINVAL;
    if (p[0].dom != XEN_DOMID_GUEST) /* what it owns counts against its limit: for good */
        return -EPERM;
    xs_set_perms(r->tree, n, p, np);
    return changed(s, r, path, false);
}

/* 1 = replied; 0 = "OK"; else an error. */
static int serve(struct xenstore *s, struct request *r)
{
    switch (r->type) {
    case XS_DIRECTORY:
        return directory(s, r);
    case XS_DIRECTORY_PART:
        return directory_part(s, r);
    case XS_READ:
        return read_value(s, r);
    case XS_GET_PERMS:
        return get_perms(s, r);
    case XS_WRITE:
        return write_value(s, r, false);
    case XS_MKDIR:
        return write_value(s, r, true);
    case XS_RM:
        return rm(s, r);
    case XS_SET_PERMS:
        return set_perms(s, r);
    case XS_WATCH:
        return watch(s, r);
    case XS_UNWATCH:
        return unwatch(s, r);
    case XS_RESET_WATCHES:
        for (unsigned i = 0; i < XS_WATCHES_MAX; i++)
            watch_drop(&s->conn, &s->conn.watch[i]);
        return 0;
    case XS_TRANSACTION_START:
        return tx_start(s, r);
    case XS_TRANSACTION_END:
        return tx_end(s, r);
    case XS_GET_DOMAIN_PATH: {
        char path[40];
        unsigned long dom = r->len ? strtoul(r->p, NULL, 10) : 0;
        snprintf(path, sizeof(path), "/local/domain/%lu", dom & UINT16_MAX);
        reply(s, r, path, (u32)strlen(path) + 1);
        return 1;
    }
    case XS_IS_DOMAIN_INTRODUCED:
        reply(s, r, r->len && strtoul(r->p, NULL, 10) <= XEN_DOMID_GUEST ? "T" : "F", 2);
        return 1;
    default:
        return -ENOSYS;
    }
}

static void handle(struct xenstore *s)
{
    struct xs_conn *c = &s->conn;
    char payload[XS_PAYLOAD_MAX + 1];
    struct request r = {le32_get(c->in),
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
        e = serve(s, &r);
    trace(s->x->trace, xen, "xenstore: %u %s = %d", r.type, payload, e);
    if (!e)
        reply_ok(s, &r);
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
    for (unsigned i = 0; i < XS_WATCHES_MAX; i++)
        watch_drop(&s->conn, &s->conn.watch[i]);
    for (unsigned i = 0; i < XS_TX_MAX; i++)
        if (s->conn.tx[i].id)
            tx_drop(&s->conn.tx[i]);
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
