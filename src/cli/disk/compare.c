/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `wirt disk compare`.
 */
#include "cli/disk/disk.h"
#include "disk/copy.h"

enum { EQUAL = 0, DIFFERENT = 1 };

static int compare(struct disk_args *a, struct img *x, struct img *y, struct progress *p,
                   struct err *e)
{
    u64 smaller = min(x->b.size, y->b.size);
    struct disk_diff d = {.a = x, .b = y, .jobs = a->jobs, .tick = progress_tick, .opaque = p};
    int r;
    if (x->b.size != y->b.size && a->strict) {
        if (!a->quiet)
            printf("The disks differ in size: %llu and %llu bytes.\n",
                   (unsigned long long)x->b.size, (unsigned long long)y->b.size);
        return DIFFERENT;
    }
    p->total = max(x->b.size, y->b.size);
    r = disk_diff(&d, e);
    if (r)
        return r;
    if (!a->quiet && d.differ)
        printf("The disks differ at offset %llu%s.\n", (unsigned long long)d.at,
               d.at >= smaller ? ", behind the end of the shorter one" : "");
    else if (!a->quiet)
        printf("The disks are equal%s.\n",
               x->b.size == y->b.size ? "" : ", but for zeros at the end of the longer one");
    return d.differ ? DIFFERENT : EQUAL;
}

int disk_verb_compare(struct disk_args *a, struct err *e)
{
    struct disk_options o = disk_args_open(a, a->format, false);
    struct img *x = NULL, *y = NULL;
    struct progress p;
    int r;
    progress_open(&p, a, "compare");
    o.internal = a->internal;
    r = img_open(&x, a->arg[0], &o, e);
    o.format = a->format2;
    o.internal = NULL;
    if (!r)
        r = img_open(&y, a->arg[1], &o, e);
    if (!r)
        r = compare(a, x, y, &p, e);
    img_close(y);
    img_close(x);
    progress_close(&p);
    return r;
}
