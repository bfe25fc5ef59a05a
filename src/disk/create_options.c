/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of images that are made, "name=value,...", as qemu-img -o has them.  No value has a comma
 * in it.
 */
#include "disk/img.h"
#include "disk/tools.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *next_option(const char *p)
{
    p += strcspn(p, ",");
    return p + (*p == ',');
}

/* The text behind "name="; its length to *len. */
static const char *find_option(const char *all, const char *name, size_t n, size_t *len)
{
    for (const char *p = all; p && *p; p = next_option(p)) {
        if (!strncmp(p, name, n) && p[n] == '=') {
            *len = strcspn(p + n + 1, ",");
            return p + n + 1;
        }
    }
    return NULL;
}

int create_text(const struct disk_create *c, const char *name, char *buf, size_t room,
                struct err *e)
{
    size_t n;
    const char *v = find_option(c->options, name, strlen(name), &n);

    if (v && n >= room)
        return err_set(e, EINVAL, "%s=%.*s: too long", name, (int)min(n, (size_t)200), v);
    if (v)
        snprintf(buf, room, "%.*s", (int)n, v);
    return 0;
}

int create_choice(const struct disk_create *c, const char *name, const char *const *words,
                  unsigned *v, struct err *e)
{
    char buf[64] = "", all[200] = "";
    int r = create_text(c, name, buf, sizeof(buf), e);

    if (r || !*buf)
        return r;
    for (unsigned i = 0; words[i]; i++) {
        if (!strcasecmp(buf, words[i])) {
            *v = i;
            return 0;
        }
        size_t n = strlen(all);
        snprintf(all + n, sizeof(all) - n, "%s%s", i ? ", " : "", words[i]);
    }
    return err_set(e, EINVAL, "%s=%s: none of %s", name, buf, all);
}

int create_size(const struct disk_create *c, const char *name, u64 *v, struct err *e)
{
    static const char suffixes[] = "KMGTPE";
    char buf[64] = "", *end;
    u64 n;
    int r = create_text(c, name, buf, sizeof(buf), e);

    if (r || !*buf)
        return r;
    errno = 0;
    n = strtoull(buf, &end, 0);
    const char *s = *end ? strchr(suffixes, *end & ~0x20) : NULL;
    if (*end && s && *s && !end[1]) {
        unsigned shift = 10 * (unsigned)(s - suffixes + 1);

        if (n > UINT64_MAX >> shift)
            errno = ERANGE;
        n <<= shift;
        end++;
    }
    if (errno || *end || buf[0] < '0' || buf[0] > '9')
        return err_set(e, EINVAL, "%s=%s: not a size", name, buf);
    *v = n;
    return 0;
}

int create_bool(const struct disk_create *c, const char *name, bool *v, struct err *e)
{
    static const char *const words[] = {"off", "on", "no", "yes", "false", "true", NULL};
    unsigned i = *v;
    int r = create_choice(c, name, words, &i, e);

    *v = i & 1;
    return r;
}

int create_check_form(const char *options, struct err *e)
{
    const char *p = options && *options ? options : NULL;

    while (p) {
        size_t name = strcspn(p, "=,"), len = strcspn(p, ","), other;

        if (!name)
            return err_set(e, EINVAL, "\"%s\": one of the options has no name", options);
        if (len <= name + 1)
            return err_set(e, EINVAL, "%.*s: needs a value", (int)name, p);
        if (find_option(options, p, name, &other) != p + name + 1)
            return err_set(e, EINVAL, "%.*s: given twice", (int)name, p);
        p = p[len] ? p + len + 1 : NULL;
    }
    return 0;
}

int create_check_options(const struct format *f, const char *options, struct err *e)
{
    int r = create_check_form(options, e);

    for (const char *p = options; !r && p && *p; p = next_option(p)) {
        size_t n = strcspn(p, "=");
        const struct create_option *o = f->options;

        while (o && o->name && (strlen(o->name) != n || strncmp(o->name, p, n)))
            o++;
        if (!o || !o->name)
            r = err_set(e, EINVAL, "%.*s: %s images have no such option", (int)n, p, f->title);
    }
    return r;
}
