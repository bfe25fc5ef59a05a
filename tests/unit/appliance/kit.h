/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For the tests of appliances: a folder with files in it, and a description read from there.
 */
#include "appliance/appliance.h"
#include "disk/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct kit {
    struct machine_config m;
    struct appliance_run run;
    struct appliance_options o;
    struct appliance *a;
    struct err e;
    char folder[64], path[256];
    char said[8000];
};

static inline void kit_say(void *opaque, const char *line)
{
    struct kit *k = opaque;
    size_t n = strlen(k->said);

    snprintf(k->said + n, sizeof(k->said) - n, "%s\n", line);
}

static inline void kit_open(struct kit *k)
{
    memset(k, 0, sizeof(*k));
    strcpy(k->folder, "/tmp/wirt-test-XXXXXX");
    assert_non_null(mkdtemp(k->folder));
}

static inline const char *kit_path(struct kit *k, const char *name)
{
    snprintf(k->path, sizeof(k->path), "%s/%s", k->folder, name);
    return k->path;
}

static inline void kit_bytes(struct kit *k, const char *name, const void *p, size_t n)
{
    char *slash = strrchr(kit_path(k, name), '/');

    *slash = 0;
    mkdir(k->path, 0777);
    *slash = '/';
    FILE *f = fopen(k->path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
}

static inline void kit_file(struct kit *k, const char *name, const char *text)
{
    kit_bytes(k, name, text, strlen(text));
}

/* Something to be a disk. */
static inline void kit_disk(struct kit *k, const char *name)
{
    static const char disk[4096] = "a disk";

    kit_bytes(k, name, disk, sizeof(disk));
}

static inline void kit_drop(struct kit *k)
{
    for (unsigned i = 0; i < k->m.ndisks; i++) {
        free((char *)k->m.disk[i].path);
        free(k->m.disk[i].clone);
    }
    for (unsigned i = 0; i < k->m.usb.ndisks; i++)
        free((char *)k->m.usb.disk[i].path);
    k->m.ndisks = k->m.usb.ndisks = 0;
    appliance_free(k->a);
    k->a = NULL;
    k->said[0] = 0;
    k->e = (struct err){0};
}

/* Looks at the file of that name and reads it as what it is. */
static inline int kit_read(struct kit *k, const char *name)
{
    const struct appliance_format *f = NULL;

    kit_drop(k);
    machine_config_init(&k->m);
    memset(&k->run, 0, sizeof(k->run));
    k->o.say = kit_say;
    k->o.opaque = k;
    int r = appliance_find(&f, kit_path(k, name), &k->e);
    if (r)
        return r;
    if (!f)
        return err_set(&k->e, ENOENT, "%s: is no description", name);
    return appliance_read(&k->a, f, k->path, &k->o, &k->m, &k->run, &k->e);
}

static inline void kit_good(struct kit *k, const char *name)
{
    if (kit_read(k, name))
        fail_msg("%s", k->e.msg);
}

/* Text is a description that must be refused with these words. */
static inline void kit_bad(struct kit *k, const char *name, const char *text, const char *why)
{
    kit_file(k, name, text);
    if (!kit_read(k, name))
        fail_msg("taken, but not for: %s", why);
    if (!strstr(k->e.msg, why) || strchr(k->e.msg, '\n'))
        fail_msg("wanted \"%s\": %s", why, k->e.msg);
}

static inline void kit_said(struct kit *k, const char *what)
{
    if (!strstr(k->said, what))
        fail_msg("not said: \"%s\" but: %s", what, k->said);
}

/* Is disk n the folder's file of that name? */
static inline void kit_is(struct kit *k, unsigned n, const char *name)
{
    char real[4096];

    assert_true(n < k->m.ndisks);
    assert_non_null(realpath(kit_path(k, name), real));
    assert_string_equal(k->m.disk[n].path, real);
}

static inline void kit_close(struct kit *k)
{
    char cmd[100];

    kit_drop(k);
    snprintf(cmd, sizeof(cmd), "rm -rf %s", k->folder);
    assert_int_equal(system(cmd), 0);
}

/* ---- tar archives, made by hand ---- */

struct kit_tar {
    u8 *p;
    size_t n;
};

static inline void kit_tar_add(struct kit_tar *t, const char *name, char type, const void *data,
                               size_t len)
{
    size_t room = align_up(len, TAR_BLOCK);
    unsigned sum = 0;

    t->p = realloc(t->p, t->n + TAR_BLOCK + room);
    assert_non_null(t->p);
    u8 *h = t->p + t->n;
    memset(h, 0, TAR_BLOCK + room);
    snprintf((char *)h, 100, "%s", name);
    sprintf((char *)h + 100, "0000644");
    sprintf((char *)h + 124, "%011zo", len);
    memset(h + 148, ' ', 8);
    h[156] = (u8)type;
    memcpy(h + 257, "ustar\00000", 8);
    for (unsigned i = 0; i < TAR_BLOCK; i++)
        sum += h[i];
    sprintf((char *)h + 148, "%06o", sum);
    memcpy(h + TAR_BLOCK, data, len);
    t->n += TAR_BLOCK + room;
}

static inline void kit_tar_end(struct kit *k, struct kit_tar *t, const char *name)
{
    t->p = realloc(t->p, t->n + 2 * TAR_BLOCK);
    assert_non_null(t->p);
    memset(t->p + t->n, 0, 2 * TAR_BLOCK);
    kit_bytes(k, name, t->p, t->n + 2 * TAR_BLOCK);
    free(t->p);
    *t = (struct kit_tar){0};
}
