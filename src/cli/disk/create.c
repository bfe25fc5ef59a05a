/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `wirt disk create`.
 */
#include "cli/cli.h"
#include "cli/disk/disk.h"
#include "cli/disk/new.h"
#include "cli/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Takes "name=value" out of a list of options; the value, malloc'ed, or NULL. */
static char *take_out(char *options, const char *name)
{
    size_t n = strlen(name);
    for (char *p = options; p && *p; p += strcspn(p, ","), p += *p == ',') {
        size_t len = strcspn(p, ",");
        if (strncmp(p, name, n) || p[n] != '=')
            continue;
        char *value = strndup(p + n + 1, len - n - 1);
        if (p[len] == ',')
            memmove(p, p + len + 1, strlen(p + len + 1) + 1);
        else
            p[p > options ? -1 : 0] = 0;
        return value;
    }
    return NULL;
}

int new_image_open(struct new_image *n, struct disk_args *a, const char *target, const char *format,
                   u64 size, struct err *e)
{
    *n = (struct new_image){.format = format ? format : disk_format_of(target)};
    int r = create_check_form(a->options, e);
    if (r)
        return err_prefix(e, "--options");
    n->backing = take_out(a->options, "backing_file");
    n->backing_format = take_out(a->options, "backing_fmt");
    n->size = take_out(a->options, "size");
    n->create = (struct disk_create){.size = size,
                                     .backing = a->backing ? a->backing : n->backing,
                                     .backing_format =
                                         a->backing_format ? a->backing_format : n->backing_format,
                                     .options = a->options && *a->options ? a->options : NULL,
                                     .io = {.allow_external = a->external, .cache = DISK_UNSAFE}};
    if (n->backing && a->backing)
        return err_set(e, EINVAL, "--backing: backing_file names another");
    if (n->backing_format && a->backing_format)
        return err_set(e, EINVAL, "--backing-format: backing_fmt names another");
    if (n->size && size)
        return err_set(e, EINVAL, "size=%s: the new image has a size already", n->size);
    if (n->create.backing_format && !n->create.backing)
        return err_set(e, EINVAL, "--backing-format: there is no --backing");
    if (n->size)
        r = parse_size(&n->create.size, n->size, 1, e);
    if (r)
        return err_prefix(e, "size");
    r = stage_open(&n->stage, target, n->create.backing, a->force, e);
    if (r)
        return r;
    n->create.path = n->stage.path;
    r = disk_create(n->format, &n->create, e);
    if (r)
        stage_fix(&n->stage, e);
    return r;
}

void new_image_close(struct new_image *n)
{
    stage_close(&n->stage);
    free(n->backing);
    free(n->backing_format);
    free(n->size);
}

int disk_verb_create(struct disk_args *a, struct err *e)
{
    struct progress p;
    struct new_image n;
    char text[32];
    u64 size = 0;
    int r;
    if (a->nargs > 1 && parse_size(&size, a->arg[1], 1, e))
        return -e->code;
    progress_open(&p, a, "");
    r = new_image_open(&n, a, a->arg[0], a->format, size, e);
    progress_tick(&p, 0);
    if (!r && !p.signal)
        r = stage_commit(&n.stage, true, e);
    new_image_close(&n);
    progress_close(&p);
    if (r || a->quiet)
        return r;
    struct disk_options o = disk_args_open(a, n.format, false);
    struct img *im;
    o.no_parent = o.allow_external = true;
    if (!img_open(&im, a->arg[0], &o, NULL)) {
        printf("%s: %s, %s\n", a->arg[0], n.format, disk_human(text, im->b.size));
        img_close(im);
    }
    return CLI_OK;
}
