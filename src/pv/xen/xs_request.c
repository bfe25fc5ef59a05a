/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guest may ask of the store (docs/misc/xenstore.txt): nodes by path, with its rights.
 */
#include "pv/xen/xs_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------- paths -- */

/* The absolute path of a guest's path, in buf of XS_PATH_MAX; false: malformed. */
bool xs_absolute(const char *p, char *buf)
{
    size_t n = strlen(p), h = strlen(XS_HOME);

    if (p[0] == '/') {
        if (n >= XS_PATH_MAX)
            return false;
        memcpy(buf, p, n + 1);
    } else {
        if (h + 1 + n >= XS_PATH_MAX)
            return false;
        memcpy(buf, XS_HOME, h);
        buf[h] = '/';
        memcpy(buf + h + 1, p, n + 1);
        if (!n)
            buf[h] = 0;
    }
    return xs_path_ok(buf);
}

/* The node that a request's first string names, if the guest may do this with it; NULL and *error
 * else. */
static struct xs_node *node_for(struct xs_request *r, u8 perm, char *path, int *error)
{
    *error = -EINVAL;
    if (!r->len || !memchr(r->p, 0, r->len) || !xs_absolute(r->p, path))
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
static int changed(struct xenstore *s, struct xs_request *r, const char *path, bool removed)
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

/* ------------------------------------------------------------- requests -- */

static int directory(struct xenstore *s, struct xs_request *r)
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
    wire_reply(s, r, out, n);
    return 1;
}

/* The same in pieces: a generation, names from an offset on, and an empty one at the end. */
static int directory_part(struct xenstore *s, struct xs_request *r)
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
                wire_reply(s, r, out, n);
                return 1;
            }
            memcpy(out + n, c->name, len);
            n += (u32)len;
        }
        at += len;
    }
    out[n++] = 0;
    wire_reply(s, r, out, n);
    return 1;
}

static int read_value(struct xenstore *s, struct xs_request *r)
{
    char path[XS_PATH_MAX];
    int error;
    const struct xs_node *n = node_for(r, XS_PERM_READ, path, &error);

    if (!n)
        return error;
    wire_reply(s, r, n->value, n->len);
    return 1;
}

static int get_perms(struct xenstore *s, struct xs_request *r)
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
    wire_reply(s, r, out, len);
    return 1;
}

static int write_value(struct xenstore *s, struct xs_request *r, bool mkdir)
{
    char path[XS_PATH_MAX];
    struct xs_node *n, *made;
    const char *zero = r->len ? memchr(r->p, 0, r->len) : NULL;

    if (!zero || !xs_absolute(r->p, path))
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

static int rm(struct xenstore *s, struct xs_request *r)
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
    if (!n->parent || !strcmp(path, XS_HOME))
        return -EINVAL;
    xs_remove(r->tree, n);
    return changed(s, r, path, true);
}

static int set_perms(struct xenstore *s, struct xs_request *r)
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
int xs_serve(struct xenstore *s, struct xs_request *r)
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
        return xs_watch_request(s, r);
    case XS_UNWATCH:
        return xs_unwatch_request(s, r);
    case XS_RESET_WATCHES:
        xs_watches_drop(&s->conn);
        return 0;
    case XS_TRANSACTION_START:
        return xs_tx_start(s, r);
    case XS_TRANSACTION_END:
        return xs_tx_end(s, r);
    case XS_GET_DOMAIN_PATH: {
        char path[40];
        unsigned long dom = r->len ? strtoul(r->p, NULL, 10) : 0;
        snprintf(path, sizeof(path), "/local/domain/%lu", dom & UINT16_MAX);
        wire_reply(s, r, path, (u32)strlen(path) + 1);
        return 1;
    }
    case XS_IS_DOMAIN_INTRODUCED:
        wire_reply(s, r, r->len && strtoul(r->p, NULL, 10) <= XEN_DOMID_GUEST ? "T" : "F", 2);
        return 1;
    default:
        return -ENOSYS;
    }
}
