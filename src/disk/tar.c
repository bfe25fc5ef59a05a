/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The headers of tar archives: POSIX.1-2017 "pax" (ustar headers, extended headers with path and
 * size), GNU's long names and sizes in base 256, and the older form without a magic.  Links,
 * folders and devices are passed over; so are sparse members, whose bytes are not in one piece.
 */
#include "disk/tar.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    T_NAME = 0,
    T_SIZE = 124,
    T_CHECKSUM = 148,
    T_TYPE = 156,
    T_MAGIC = 257,
    T_PREFIX = 345,
    NAME_FIELD = 100,
    PREFIX_FIELD = 155,
    EXTRA_MAX = 64 << 10, /* bytes of an extended header */
};

/* What extended headers say of the member that follows. */
struct extra {
    char name[TAR_NAME_MAX];
    bool has_name, has_size;
    u64 size;
};

/* Octal digits with blanks around, or GNU's base 256.  False: neither, or too large. */
static bool number(const u8 *p, unsigned n, u64 *v)
{
    unsigned i = 0;

    *v = 0;
    if (p[0] == 0x80) {
        for (i = 1; i < n; i++) {
            if (*v >> 55)
                return false;
            *v = *v << 8 | p[i];
        }
        return true;
    }
    while (i < n && p[i] == ' ')
        i++;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
        *v = *v << 3 | (u64)(p[i] - '0');
    return i == n || p[i] == 0 || p[i] == ' ';
}

/* The sum of all bytes with the field itself as blanks; old programs added signed ones. */
static bool checksum_fits(const u8 *h)
{
    u64 want;
    s64 plain = 0, with_sign = 0;

    for (unsigned i = 0; i < TAR_BLOCK; i++) {
        u8 c = i >= T_CHECKSUM && i < T_CHECKSUM + 8 ? ' ' : h[i];
        plain += c;
        with_sign += (s8)c;
    }
    return number(h + T_CHECKSUM, 8, &want) && ((s64)want == plain || (s64)want == with_sign);
}

static bool all_zero(const u8 *h)
{
    for (unsigned i = 0; i < TAR_BLOCK; i++)
        if (h[i])
            return false;
    return true;
}

bool tar_probe(const u8 head[TAR_BLOCK])
{
    u64 size;

    return head[T_NAME] && checksum_fits(head) && number(head + T_SIZE, 12, &size);
}

/* "LENGTH KEY=VALUE\n", one after the other. */
static void take_pax(struct extra *x, char *p, const char *end)
{
    while (p < end) {
        char *key, *value, *after;
        u64 len = strtoull(p, &key, 10);
        if (key == p || *key != ' ' || len > (u64)(end - p) || len < (u64)(key - p) + 4)
            return;
        after = p + len;
        if (after[-1] != '\n')
            return;
        after[-1] = 0;
        value = strchr(++key, '=');
        if (!value)
            return;
        *value++ = 0;
        if (!strcmp(key, "path") && strlen(value) < TAR_NAME_MAX) {
            strcpy(x->name, value);
            x->has_name = true;
        } else if (!strcmp(key, "size")) {
            char *rest;
            errno = 0;
            x->size = strtoull(value, &rest, 10);
            x->has_size = *value >= '0' && *value <= '9' && !*rest && !errno;
        }
        p = after;
    }
}

static int take_extra(struct file *f, struct extra *x, u8 type, u64 at, u64 size, struct err *e)
{
    if (size > EXTRA_MAX)
        return err_set(e, EINVAL, "an extended tar header of %llu bytes", (unsigned long long)size);
    char *text = calloc(1, size + 1);
    int r = text ? file_read(f, at, text, size) : -ENOMEM;
    if (r) {
        free(text);
        return err_set(e, -r, "%s", strerror(-r));
    }
    if (type == 'x') {
        take_pax(x, text, text + size);
    } else if (type == 'L' && strlen(text) < TAR_NAME_MAX) {
        strcpy(x->name, text);
        x->has_name = true;
    }
    free(text);
    return 0;
}

static void name_of(const u8 *h, char out[TAR_NAME_MAX])
{
    unsigned n = 0;

    /* GNU's magic ends in blanks, and there is something else in the place of the prefix */
    if (!memcmp(h + T_MAGIC, "ustar", 6) && h[T_PREFIX])
        n = (unsigned)snprintf(out, TAR_NAME_MAX, "%.*s/", PREFIX_FIELD,
                               (const char *)h + T_PREFIX);
    snprintf(out + n, TAR_NAME_MAX - n, "%.*s", NAME_FIELD, (const char *)h + T_NAME);
}

static const char *plain_name(const char *name)
{
    while (name[0] == '.' && name[1] == '/')
        name += 2;
    return name;
}

int tar_walk(struct file *f, int (*fn)(void *opaque, const struct tar_member *m, struct err *e),
             void *opaque, struct err *e)
{
    struct extra x = {.has_name = false};
    u8 h[TAR_BLOCK];
    u64 size, next;
    int r;

    for (u64 at = 0; at + TAR_BLOCK <= f->size; at = next) {
        r = file_read(f, at, h, sizeof(h));
        if (r)
            return err_set(e, -r, "%s", strerror(-r));
        if (all_zero(h))
            return 0;
        if (!checksum_fits(h) || !number(h + T_SIZE, 12, &size))
            return err_set(e, EINVAL, "no tar header at byte %llu", (unsigned long long)at);
        u8 type = h[T_TYPE];
        bool about_next = type == 'x' || type == 'L' || type == 'K' || type == 'g';
        if (x.has_size && !about_next)
            size = x.size;
        at += TAR_BLOCK;
        if (type >= '1' && type <= '6')
            size = 0; /* links, folders, devices hold nothing */
        if (!range_within(at, size, 0, f->size))
            return err_set(e, EINVAL, "the archive is cut short: a member ends behind its end");
        next = at + align_up(size, TAR_BLOCK);
        if (about_next) {
            r = type == 'x' || type == 'L' ? take_extra(f, &x, type, at, size, e) : 0;
            if (r)
                return r;
            continue;
        }
        if (!x.has_name)
            name_of(h, x.name);
        if (!type || type == '0' || type == '7') {
            r = fn(opaque, &(struct tar_member){plain_name(x.name), at, size}, e);
            if (r)
                return r;
        }
        x.has_name = x.has_size = false;
    }
    return 0;
}

struct find {
    const char *name;
    u64 offset, size;
};

static int compare(void *opaque, const struct tar_member *m, struct err *e)
{
    struct find *s = opaque;

    if (strcmp(m->name, s->name))
        return 0;
    s->offset = m->offset;
    s->size = m->size;
    return 1;
}

int tar_find(struct file *f, const char *name, u64 *offset, u64 *size, struct err *e)
{
    struct find s = {.name = name};
    int r = tar_walk(f, compare, &s, e);

    if (r < 0)
        return r;
    if (!r)
        return err_set(e, ENOENT, "the archive has no %s", name);
    *offset = s.offset;
    *size = s.size;
    return 0;
}
