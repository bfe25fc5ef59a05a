/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `wirt disk convert`.
 */
#include "cli/cli.h"
#include "cli/disk/disk.h"
#include "cli/disk/new.h"
#include "disk/copy.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static bool is_file(const struct file *f, const struct stat *st)
{
    return !f->is_remote && f->dev == st->st_dev && f->ino == st->st_ino;
}

/* Is the target a file that the source reads? */
static int check_apart(struct img *from, const char *target, struct err *e)
{
    struct stat st;
    if (stat(target, &st) < 0)
        return 0;
    for (struct img *im = from; im; im = im->parent) {
        bool same = is_file(im->file, &st);
        for (unsigned i = 0; i < im->nextra; i++)
            same |= is_file(im->extra[i], &st);
        if (same)
            return err_set(e, EINVAL, "%s: is %s", target,
                           im == from ? "the source itself" : "a file below the source");
    }
    return 0;
}

static int copy(struct disk_args *a, struct img *from, struct img *to, bool fresh,
                struct progress *p, struct err *e)
{
    struct disk_copy c = {.from = from,
                          .to = to,
                          .fresh = fresh,
                          .compress = a->compress,
                          .sparse = a->sparse,
                          .jobs = a->jobs,
                          .to_name = a->arg[1],
                          .tick = progress_tick,
                          .opaque = p};
    int r;
    if (to->b.size < from->b.size)
        r = err_set(e, ENOSPC, "%s: a disk of %llu bytes does not fit into one of %llu", a->arg[1],
                    (unsigned long long)from->b.size, (unsigned long long)to->b.size);
    else
        r = disk_copy(&c, e);
    img_close(to);
    return r;
}

static struct disk_options target_options(const struct disk_args *a, const char *format)
{
    return (struct disk_options){.format = format, .cache = a->cache, .allow_external = true};
}

/* Into what is there. */
static int convert_into(struct disk_args *a, struct img *from, struct progress *p, struct err *e)
{
    struct disk_options o = target_options(a, a->target_format);
    struct img *to;
    int r;
    if (a->options || a->backing || a->force)
        return err_set(e, EINVAL,
                       "--no-create: nothing is made, so no --options, --backing, --force");
    r = img_open(&to, a->arg[1], &o, e);
    return r ? r : copy(a, from, to, false, p, e);
}

static int convert_new(struct disk_args *a, struct img *from, struct progress *p, struct err *e)
{
    struct new_image n;
    struct img *to;
    int r = new_image_open(&n, a, a->arg[1], a->target_format, from->b.size, e);
    if (!r) {
        struct disk_options o = target_options(a, n.format);
        r = img_open(&to, n.stage.path, &o, e);
        if (!r)
            r = copy(a, from, to, !to->file->is_device && !to->file->is_remote, p, e);
        stage_fix(&n.stage, e);
    }
    if (!r && progress_tick(p, p->total))
        r = stage_commit(&n.stage, a->cache != DISK_UNSAFE, e);
    new_image_close(&n);
    return r;
}

int disk_verb_convert(struct disk_args *a, struct err *e)
{
    struct disk_options o = disk_args_open(a, a->format, false);
    struct progress p;
    struct img *from;
    int r;
    o.internal = a->internal;
    progress_open(&p, a, "convert"); /* before anything starts threads */
    r = img_open(&from, a->arg[0], &o, e);
    if (!r) {
        p.total = from->b.size;
        r = check_apart(from, a->arg[1], e);
        if (!r)
            r = (a->no_create ? convert_into : convert_new)(a, from, &p, e);
        img_close(from);
    }
    progress_close(&p);
    return r ? r : CLI_OK;
}
