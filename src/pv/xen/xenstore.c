/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store as back ends use it, and who is told of changes.
 */
#include "pv/xen/xs_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void xenstore_lock(struct xenstore *s)
{
    pthread_mutex_lock(&s->lock);
}

void xenstore_unlock(struct xenstore *s)
{
    pthread_mutex_unlock(&s->lock);
}

/* -------------------------------------------------------------- watches -- */

static bool below(const char *path, const char *top)
{
    size_t n = strlen(top);

    return !strncmp(path, top, n) && (!path[n] || path[n] == '/' || n == 1);
}

/* Does a watch on `watched` see this change? */
bool xs_concerns(const char *watched, const char *path, bool removed)
{
    return below(path, watched) || (removed && below(watched, path));
}

void xs_fire(struct xenstore *s, const char *path, bool removed)
{
    s->generation++;
    wire_fire(s, path, removed);
    for (struct xs_watcher *w = s->watchers; w; w = w->next)
        if (xs_concerns(w->path, path, removed))
            w->changed(w->opaque, path);
}

void xs_watch(struct xenstore *s, struct xs_watcher *w)
{
    w->next = s->watchers;
    s->watchers = w;
}

/* ------------------------------------------------------ for domain 0 -- */

bool xs_write(struct xenstore *s, const char *path, const char *fmt, ...)
{
    char value[XS_VALUE_MAX];
    struct xs_node *n, *made;
    va_list ap;

    va_start(ap, fmt);
    int len = vsnprintf(value, sizeof(value), fmt, ap);
    va_end(ap);
    if (len < 0 || len >= (int)sizeof(value) || !xs_path_ok(path))
        return false;
    if (xs_make(&s->tree, path, XEN_DOMID_BACKEND, &n, &made) || xs_set_value(n, value, (u32)len))
        return false;
    xs_fire(s, path, false);
    wire_flush(s);
    return true;
}

unsigned xs_parse_perm(const char *text, struct xs_perm *p)
{
    static const char letters[] = "nrwb";
    const char *l = *text ? strchr(letters, *text) : NULL;
    char *end;
    unsigned long dom = text[0] && text[1] >= '0' && text[1] <= '9' ? strtoul(text + 1, &end, 10)
                                                                    : UINT16_MAX + 1ul;

    if (!l || dom > UINT16_MAX)
        return 0;
    *p = (struct xs_perm){(u16)dom, (u8)(l - letters)};
    return (unsigned)(end - text);
}

void xs_perms(struct xenstore *s, const char *path, const char *perms)
{
    struct xs_node *n = xs_find(&s->tree, path);
    struct xs_perm p[XS_PERMS_MAX];
    unsigned np = 0;

    while (n && np < XS_PERMS_MAX && *perms) {
        perms += xs_parse_perm(perms, &p[np++]);
        perms += *perms == ',';
    }
    if (n && np)
        xs_set_perms(&s->tree, n, p, np);
}

void xs_rm(struct xenstore *s, const char *path)
{
    struct xs_node *n = xs_find(&s->tree, path);

    if (!n || !n->parent)
        return;
    xs_remove(&s->tree, n);
    xs_fire(s, path, true);
    wire_flush(s);
}

bool xs_read(struct xenstore *s, const char *path, char *buf, size_t size)
{
    const struct xs_node *n = xs_find(&s->tree, path);

    if (!n || n->len >= size || (n->len && memchr(n->value, 0, n->len)))
        return false;
    if (n->len)
        memcpy(buf, n->value, n->len);
    buf[n->len] = 0;
    return true;
}

bool xs_read_number(struct xenstore *s, const char *path, u64 max, u64 *v)
{
    char buf[24], *end;

    if (!xs_read(s, path, buf, sizeof(buf)) || buf[0] < '0' || buf[0] > '9')
        return false;
    errno = 0;
    *v = strtoull(buf, &end, 10);
    return !*end && !errno && *v <= max;
}

void xs_dump(struct xenstore *s, FILE *f)
{
    const struct xs_node *n = s->tree.root;
    char path[XS_PATH_MAX];

    for (;;) {
        if (n->parent && xs_path_of(n, path))
            fprintf(f, "%s = \"%.*s\"\n", path, (int)n->len, n->value ? n->value : "");
        if (n->child) {
            n = n->child;
            continue;
        }
        while (n->parent && !n->next)
            n = n->parent;
        if (!n->parent)
            return;
        n = n->next;
    }
}

/* ------------------------------------------------------------------ life -- */

int xenstore_open(struct xen *x, struct err *e)
{
    struct xenstore *s = x->store = calloc(1, sizeof(*s));

    if (!s || xs_tree_init(&s->tree))
        return err_set(e, ENOMEM, "xenstore: no memory");
    s->x = x;
    pthread_mutex_init(&s->lock, NULL);
    return 0;
}

void xenstore_reset(struct xen *x, bool keep_nodes)
{
    struct xenstore *s = x->store;

    pthread_mutex_lock(&s->lock);
    if (!keep_nodes) {
        xs_tree_free(&s->tree);
        BUG_ON(xs_tree_init(&s->tree));
        s->generation++;
    }
    wire_reset(s);
    pthread_mutex_unlock(&s->lock);
}

void xenstore_close(struct xen *x)
{
    struct xenstore *s = x->store;

    if (!s)
        return;
    wire_free(s);
    xs_tree_free(&s->tree);
    pthread_mutex_destroy(&s->lock);
    free(s);
    x->store = NULL;
}
