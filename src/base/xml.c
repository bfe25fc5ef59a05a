/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Made by expat.  Nodes and strings come from chunks that are freed together.
 */
#include "base/xml.h"

#include <ctype.h>
#include <errno.h>
#include <expat.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEPTH_MAX = 64,
    ELEMENTS_MAX = 200000,
    TEXT_MAX = 1 << 20, /* bytes of one element's */
    CHUNK = 64 << 10,
};

struct chunk {
    struct chunk *next;
    size_t used, room;
    max_align_t mem[];
};

struct xml_doc {
    struct chunk *chunks;
    struct xml *root;
};

struct level {
    struct xml *x, *last; /* last child */
    size_t text_at;       /* where its text begins in parser.text */
};

struct parser {
    XML_Parser expat;
    struct xml_doc *doc;
    struct xml_bounds most;
    struct level level[DEPTH_MAX];
    unsigned depth, elements;
    char *text; /* of all levels, the innermost last */
    size_t len, room;
    struct err *e;
    int r;
};

static void fail(struct parser *p, int r)
{
    if (!p->r)
        p->r = r;
    XML_StopParser(p->expat, XML_FALSE);
}

static void *get(struct parser *p, size_t n)
{
    struct chunk *c = p->doc->chunks;

    n = align_up(n, sizeof(max_align_t));
    if (!c || c->room - c->used < n) {
        size_t room = max(n, (size_t)CHUNK);
        c = malloc(sizeof(*c) + room);
        if (!c) {
            fail(p, err_set(p->e, ENOMEM, "out of memory"));
            return NULL;
        }
        *c = (struct chunk){.next = p->doc->chunks, .room = room};
        p->doc->chunks = c;
    }
    void *out = (char *)c->mem + c->used;
    c->used += n;
    return out;
}

static const char *copy(struct parser *p, const char *s, size_t n)
{
    char *out = get(p, n + 1);

    if (out) {
        memcpy(out, s, n);
        out[n] = 0;
    }
    return out;
}

static const char *local_name(struct parser *p, const char *name)
{
    const char *colon = strrchr(name, ':');

    name = colon ? colon + 1 : name;
    return copy(p, name, strlen(name));
}

static struct xml *node(struct parser *p, const char *name)
{
    struct xml *x = get(p, sizeof(*x));

    if (!x)
        return NULL;
    *x = (struct xml){.text = "", .line = (unsigned)XML_GetCurrentLineNumber(p->expat)};
    x->name = local_name(p, name);
    return x->name ? x : NULL;
}

static void on_start(void *opaque, const XML_Char *name, const XML_Char **attributes)
{
    struct parser *p = opaque;
    struct level *up = p->depth ? &p->level[p->depth - 1] : NULL;

    if (p->r)
        return;
    if (p->depth == p->most.depth || p->elements++ == p->most.elements) {
        fail(p, err_set(p->e, EINVAL, "elements are nested too deeply, or too many"));
        return;
    }
    struct xml *x = node(p, name);
    if (!x)
        return;
    struct xml_attr **tail = &x->attr;
    for (; *attributes; attributes += 2) {
        struct xml_attr *a = get(p, sizeof(*a));
        if (!a)
            return;
        *a = (struct xml_attr){local_name(p, attributes[0]),
                               copy(p, attributes[1], strlen(attributes[1])), NULL};
        if (!a->name || !a->value)
            return;
        *tail = a;
        tail = &a->next;
    }
    if (!up)
        p->doc->root = x;
    else if (up->last)
        up->last->next = x;
    else
        up->x->child = x;
    if (up) {
        up->last = x;
        x->parent = up->x;
    }
    p->level[p->depth++] = (struct level){.x = x, .text_at = p->len};
}

static void on_text(void *opaque, const XML_Char *s, int len)
{
    struct parser *p = opaque;

    if (p->r || !p->depth)
        return;
    if (p->len + (size_t)len - p->level[p->depth - 1].text_at > TEXT_MAX) {
        fail(p, err_set(p->e, EINVAL, "a text of more than %d bytes", TEXT_MAX));
        return;
    }
    if (p->len + (size_t)len > p->room) {
        size_t room = (p->len + (size_t)len) * 2;
        char *more = realloc(p->text, room);
        if (!more) {
            fail(p, err_set(p->e, ENOMEM, "out of memory"));
            return;
        }
        p->text = more;
        p->room = room;
    }
    memcpy(p->text + p->len, s, (size_t)len);
    p->len += (size_t)len;
}

static void on_end(void *opaque, const XML_Char *name)
{
    struct parser *p = opaque;

    if (p->r)
        return;
    struct level *l = &p->level[--p->depth];
    size_t from = l->text_at, to = p->len;
    while (from < to && isspace((u8)p->text[from]))
        from++;
    while (to > from && isspace((u8)p->text[to - 1]))
        to--;
    if (to > from) {
        const char *s = copy(p, p->text + from, to - from);
        if (!s)
            return;
        l->x->text = s;
    }
    p->len = l->text_at;
}

static void on_doctype(void *opaque, const XML_Char *name, const XML_Char *sys, const XML_Char *pub,
                       int internal)
{
    struct parser *p = opaque;

    fail(p, err_set(p->e, EINVAL, "line %lu: a document type, which it must not have",
                    XML_GetCurrentLineNumber(p->expat)));
}

int xml_parse(struct xml_doc **doc, const char *text, size_t len, const struct xml_bounds *most,
              struct err *e)
{
    struct parser *p = calloc(1, sizeof(*p));
    struct xml_doc *d = *doc = calloc(1, sizeof(*d));
    int r;

    BUG_ON(most && most->depth > DEPTH_MAX);
    if (p) {
        p->expat = XML_ParserCreate(NULL);
        p->doc = d;
        p->most = most ? *most : (struct xml_bounds){DEPTH_MAX, ELEMENTS_MAX};
        p->e = e;
    }
    if (!p || !d || !p->expat || len > INT32_MAX) {
        r = err_set(e, ENOMEM, "out of memory");
    } else {
        XML_SetUserData(p->expat, p);
        XML_SetElementHandler(p->expat, on_start, on_end);
        XML_SetCharacterDataHandler(p->expat, on_text);
        XML_SetStartDoctypeDeclHandler(p->expat, on_doctype);
        if (XML_Parse(p->expat, text, (int)len, 1) == XML_STATUS_ERROR && !p->r)
            p->r = err_set(e, EINVAL, "line %lu: %s", XML_GetCurrentLineNumber(p->expat),
                           XML_ErrorString(XML_GetErrorCode(p->expat)));
        r = p->r;
    }
    if (p) {
        if (p->expat)
            XML_ParserFree(p->expat);
        free(p->text);
    }
    free(p);
    if (r) {
        xml_free(d);
        *doc = NULL;
    }
    return r;
}

void xml_free(struct xml_doc *doc)
{
    if (!doc)
        return;
    while (doc->chunks) {
        struct chunk *c = doc->chunks;
        doc->chunks = c->next;
        free(c);
    }
    free(doc);
}

const struct xml *xml_root(const struct xml_doc *doc)
{
    return doc->root;
}

static const struct xml *from(const struct xml *x, const char *name, size_t n)
{
    while (x && (strncmp(x->name, name, n) || x->name[n]))
        x = x->next;
    return x;
}

const struct xml *xml_child(const struct xml *x, const char *name)
{
    return x ? from(x->child, name, strlen(name)) : NULL;
}

const struct xml *xml_next(const struct xml *x)
{
    return from(x->next, x->name, strlen(x->name));
}

const struct xml *xml_at(const struct xml *x, const char *path)
{
    while (x && *path) {
        size_t n = strcspn(path, "/");
        x = from(x->child, path, n);
        path += n + (path[n] == '/');
    }
    return x;
}

const struct xml *xml_find(const struct xml *top, const struct xml *after, const char *name)
{
    const struct xml *x = after ? after : top;

    while (x) {
        if (x->child) {
            x = x->child;
        } else {
            while (x && x != top && !x->next)
                x = x->parent;
            x = x && x != top ? x->next : NULL;
        }
        if (x && !strcmp(x->name, name))
            return x;
    }
    return NULL;
}

const char *xml_get(const struct xml *x, const char *attribute)
{
    for (const struct xml_attr *a = x ? x->attr : NULL; a; a = a->next)
        if (!strcmp(a->name, attribute))
            return a->value;
    return NULL;
}

const char *xml_text(const struct xml *x, const char *path)
{
    x = xml_at(x, path);
    return x ? x->text : NULL;
}
