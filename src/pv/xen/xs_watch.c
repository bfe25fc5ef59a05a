/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guest's connection to the store has of its own: watches and transactions.  There are
 * XS_WATCHES_MAX and XS_TX_MAX of them; a transaction works on a copy of the tree, and fails when
 * somebody else has changed the tree meanwhile.
 */
#include "pv/xen/xs_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------- watches -- */

static void event(struct xenstore *s, const struct xs_guest_watch *w, const char *path)
{
    char buf[XS_PATH_MAX + XS_TOKEN_MAX];
    size_t h = strlen(XS_HOME);
    const char *told = path;

    if (w->relative && !strncmp(path, XS_HOME, h) && path[h] == '/')
        told = path + h + 1;
    size_t a = strlen(told) + 1, b = strlen(w->token) + 1;
    memcpy(buf, told, a);
    memcpy(buf + a, w->token, b);
    if (XS_OUT_SIZE - s->conn.out_len < 2 * XS_MESSAGE_MAX ||
        !wire_queue(s, XS_WATCH_EVENT, 0, 0, buf, (u32)(a + b)))
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

void xs_watches_drop(struct xs_conn *c)
{
    for (unsigned i = 0; i < XS_WATCHES_MAX; i++)
        watch_drop(c, &c->watch[i]);
}

/* Path and token of a (un)watch; false: malformed. */
static bool watch_args(struct xs_request *r, char *path, const char **token, bool *relative)
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
    return xs_absolute(r->p, path);
}

int xs_watch_request(struct xenstore *s, struct xs_request *r)
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
    wire_ok(s, r);
    event(s, free_one, path);
    return 1;
}

int xs_unwatch_request(struct xenstore *s, struct xs_request *r)
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

void xs_txs_drop(struct xs_conn *c)
{
    for (unsigned i = 0; i < XS_TX_MAX; i++)
        if (c->tx[i].id)
            tx_drop(&c->tx[i]);
}

int xs_tx_start(struct xenstore *s, struct xs_request *r)
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
        wire_reply(s, r, id, (u32)strlen(id) + 1);
        return 1;
    }
    return -ENOSPC;
}

int xs_tx_end(struct xenstore *s, struct xs_request *r)
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
    wire_ok(s, r);
    for (unsigned i = 0; i < done.nchanges; i++)
        xs_fire(s, done.change[i].path, done.change[i].removed);
    tx_drop(&done);
    return 1;
}
