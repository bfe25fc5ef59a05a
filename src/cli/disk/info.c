/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `wirt disk info`.  Everything is put into the JSON that qemu-img would print; the text for people
 * is made from that.
 */
#include "cli/cli.h"
#include "cli/disk/disk.h"
#include "cli/disk/list.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct collect {
    json_t *top, *specific;
};

/* What qemu-img has beside "format-specific", not in it. */
static json_t *place(struct collect *c, const char *key)
{
    static const char *const keys[] = {"cluster-size",     "dirty-flag",
                                       "backing-filename", "backing-filename-format",
                                       "encrypted",        "compressed"};
    for (unsigned i = 0; i < ARRAY_SIZE(keys); i++)
        if (!strcmp(key, keys[i]))
            return c->top;
    return c->specific;
}

static void text(struct disk_info *i, const char *key, const char *value)
{
    json_object_set_new(place(i->opaque, key), key, disk_json_text(value));
}

static void number(struct disk_info *i, const char *key, u64 value)
{
    json_object_set_new(place(i->opaque, key), key, json_integer((json_int_t)value));
}

static void flag(struct disk_info *i, const char *key, bool value)
{
    json_object_set_new(place(i->opaque, key), key, json_boolean(value));
}

static u64 allocated(const struct file *f)
{
    struct stat st;
    return !f->is_remote && stat(f->path, &st) == 0 ? (u64)st.st_blocks * 512 : 0;
}

static json_t *describe(struct img *im, struct err *e)
{
    struct collect c = {json_object(), json_object()};
    struct disk_info info = {text, number, flag, &c};
    struct disk_snapshot *snap;
    u64 size = allocated(im->file);
    const char *backing;
    unsigned n;
    for (unsigned i = 0; i < im->nextra; i++)
        size += allocated(im->extra[i]);
    json_object_set_new(c.top, "filename", disk_json_text(im->path));
    json_object_set_new(c.top, "format", json_string(im->fmt->name));
    json_object_set_new(c.top, "virtual-size", json_integer((json_int_t)im->b.size));
    json_object_set_new(c.top, "actual-size", json_integer((json_int_t)size));
    json_object_set_new(c.top, "dirty-flag", json_false());
    disk_info(im, &info);
    backing = json_string_value(json_object_get(c.top, "backing-filename"));
    if (backing) {
        const char *slash = strrchr(im->path, '/');
        char full[PATH_MAX * 2];
        bool alone = *backing == '/' || !slash || strstr(backing, "://");
        snprintf(full, sizeof(full), "%.*s%s", alone ? 0 : (int)(slash + 1 - im->path), im->path,
                 backing);
        json_object_set_new(c.top, "full-backing-filename", disk_json_text(full));
    }
    if (json_object_size(c.specific))
        json_object_set_new(c.top, "format-specific",
                            json_pack("{s:s, s:O}", "type", im->fmt->name, "data", c.specific));
    json_decref(c.specific);
    if (disk_snapshots(im, &snap, &n, e)) {
        json_decref(c.top);
        return NULL;
    }
    if (n)
        json_object_set_new(c.top, "snapshots", snapshots_json(snap, n));
    free(snap);
    return c.top;
}

/* ------------------------------------------------------------------ for people -- */

static void print_line(const char *s)
{
    char *copy = strdup(s);
    puts(copy ? err_plain(copy) : "?");
    free(copy);
}

static void print_value(const char *key, const json_t *v)
{
    char label[64];
    snprintf(label, sizeof(label), "%s", key);
    for (char *p = label; *p; p++)
        *p = *p == '-' ? ' ' : *p;
    printf("  %-22s ", label);
    if (json_is_string(v))
        print_line(json_string_value(v));
    else if (json_is_integer(v))
        printf("%lld\n", (long long)json_integer_value(v));
    else
        puts(json_is_true(v) ? "yes" : "no");
}

static void print_text(const json_t *top, struct img *im, struct err *e)
{
    char size[32], used[32];
    u64 bytes = (u64)json_integer_value(json_object_get(top, "virtual-size"));
    struct disk_snapshot *snap;
    const char *key;
    json_t *v;
    unsigned n;
    print_line(im->path);
    printf("  %-22s %s\n", "format", im->fmt->name);
    printf("  %-22s %s (%llu bytes)\n", "size of the disk", disk_human(size, bytes),
           (unsigned long long)bytes);
    printf("  %-22s %s\n", "room on the host",
           disk_human(used, (u64)json_integer_value(json_object_get(top, "actual-size"))));
    json_object_foreach((json_t *)top, key, v)
    {
        static const char *const done[] = {
            "filename",  "format",          "virtual-size", "actual-size",
            "snapshots", "format-specific", "dirty-flag",   "full-backing-filename"};
        bool skip = false;
        for (unsigned i = 0; i < ARRAY_SIZE(done); i++)
            skip |= !strcmp(key, done[i]);
        if (!skip || (!strcmp(key, "dirty-flag") && json_is_true(v)))
            print_value(key, v);
    }
    json_object_foreach(json_object_get(json_object_get(top, "format-specific"), "data"), key, v)
        print_value(key, v);
    if (!disk_snapshots(im, &snap, &n, e) && n) {
        puts("  snapshots");
        snapshots_print(snap, n, "    ");
        free(snap);
    }
}

int disk_verb_info(struct disk_args *a, struct err *e)
{
    struct disk_options o = disk_args_open(a, a->format, false);
    json_t *all = json_array();
    struct img *top = NULL;
    int r;
    o.no_parent = !a->chain;
    r = img_open(&top, a->arg[0], &o, e);
    for (struct img *im = r ? NULL : top; im && !r; im = im->parent) {
        json_t *j = describe(im, e);
        if (!j) {
            r = -e->code;
            break;
        }
        if (!a->json) {
            if (im != top)
                putchar('\n');
            print_text(j, im, e);
        }
        json_array_append_new(all, j);
    }
    if (!r && a->json)
        disk_print_json(a->chain ? json_incref(all) : json_incref(json_array_get(all, 0)));
    json_decref(all);
    img_close(top);
    return r ? r : CLI_OK;
}
