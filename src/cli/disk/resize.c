/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `wirt disk resize`.
 */
#include "cli/cli.h"
#include "cli/disk/disk.h"
#include "cli/parse.h"

#include <errno.h>
#include <string.h>

static int new_size(const char *arg, u64 now, u64 *size, struct err *e)
{
    bool sign = *arg == '+' || *arg == '-';
    u64 v;
    int r = parse_size(&v, arg + sign, 1, e);
    if (r)
        return r;
    if (*arg == '-' && v >= now)
        return err_set(e, EINVAL, "%s: the disk has only %llu bytes", arg, (unsigned long long)now);
    *size = *arg == '+' ? now + v : *arg == '-' ? now - v : v;
    return 0;
}

int disk_verb_resize(struct disk_args *a, struct err *e)
{
    struct disk_options o = disk_args_open(a, a->format, true);
    char from[32], to[32];
    struct img *im;
    u64 size = 0, old;
    int r = img_open(&im, a->arg[0], &o, e);
    if (r)
        return r;
    old = im->b.size;
    r = new_size(a->arg[1], old, &size, e);
    if (!r && size < old && !a->shrink)
        r = err_set(
            e, EINVAL,
            "%s: would get smaller, %llu instead of %llu bytes, and what is behind would be "
            "lost (--shrink does it)",
            a->arg[0], (unsigned long long)size, (unsigned long long)old);
    if (!r)
        r = disk_resize(im, size, e);
    if (!r && (r = img_flush(im)))
        err_set(e, -r, "%s: cannot write it: %s", a->arg[0], strerror(-r));
    if (!r && !a->quiet)
        printf("%s: %s, was %s\n", a->arg[0], disk_human(to, im->b.size), disk_human(from, old));
    img_close(im);
    return r ? r : CLI_OK;
}
