/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `wirt disk check`.
 */
#include "cli/disk/disk.h"

#include <string.h>

/* qemu-img's. */
enum { SOUND = 0, DAMAGED = 2, LEAKS = 3, NO_CHECK = 63 };

static void say(void *opaque, const char *line)
{
    const struct disk_args *a = opaque;
    if (!a->quiet)
        fprintf(a->json ? stderr : stdout, "%s\n", line);
}

static void put(json_t *j, const char *name, u64 v, bool always)
{
    if (v || always)
        json_object_set_new(j, name, json_integer((json_int_t)v));
}

static void print_json(const struct disk_args *a, const char *format, const struct disk_check *c)
{
    json_t *j = json_object();
    json_object_set_new(j, "filename", disk_json_text(a->arg[0]));
    json_object_set_new(j, "format", json_string(format));
    put(j, "check-errors", 0, true);
    put(j, "image-end-offset", c->end, false);
    put(j, "corruptions", c->errors, false);
    put(j, "leaks", c->leaks, false);
    put(j, "corruptions-fixed", c->errors_fixed, false);
    put(j, "leaks-fixed", c->leaks_fixed, false);
    put(j, "total-clusters", c->total, false);
    put(j, "allocated-clusters", c->allocated, false);
    put(j, "compressed-clusters", c->compressed, false);
    disk_print_json(j);
}

static void print_text(const struct disk_check *c)
{
    if (c->errors_fixed || c->leaks_fixed)
        printf("Repaired: %llu errors, %llu leaks.\n", (unsigned long long)c->errors_fixed,
               (unsigned long long)c->leaks_fixed);
    if (c->errors)
        printf("%llu errors: the image is damaged%s.\n", (unsigned long long)c->errors,
               c->errors_fixed ? " still" : "; --repair all may mend it");
    if (c->leaks)
        printf("%llu leaked clusters: no data is lost; --repair leaks gives the room back.\n",
               (unsigned long long)c->leaks);
    if (!c->errors && !c->leaks)
        puts("The image is sound.");
    if (c->total)
        printf("%llu of %llu clusters allocated (%.2f%%), %llu compressed; it ends at %llu.\n",
               (unsigned long long)c->allocated, (unsigned long long)c->total,
               100.0 * (double)c->allocated / (double)c->total, (unsigned long long)c->compressed,
               (unsigned long long)c->end);
}

int disk_verb_check(struct disk_args *a, struct err *e)
{
    struct disk_options o = disk_args_open(a, a->format, a->repair_leaks);
    struct disk_check c = {
        .repair_leaks = a->repair_leaks, .repair_all = a->repair_all, .say = say, .opaque = a};
    struct img *im;
    int r;
    o.no_parent = o.for_check = true;
    r = img_open(&im, a->arg[0], &o, e);
    if (r)
        return r;
    if (!im->fmt->check) {
        fprintf(stderr, "wirt: %s: there is nothing to check in %s images\n", a->arg[0],
                im->fmt->title);
        img_close(im);
        return NO_CHECK;
    }
    r = disk_check(im, &c, e);
    if (!r && a->repair_leaks && (r = img_flush(im)))
        err_set(e, -r, "%s: cannot write it: %s", a->arg[0], strerror(-r));
    if (!r && a->json)
        print_json(a, im->fmt->name, &c);
    else if (!r && !a->quiet)
        print_text(&c);
    img_close(im);
    return r ? r : c.errors ? DAMAGED : c.leaks ? LEAKS : SOUND;
}
