/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `wirt disk snapshot`: those inside an image.
 */
#include "cli/cli.h"
#include "cli/disk/disk.h"
#include "cli/disk/list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

json_t *snapshots_json(const struct disk_snapshot *s, unsigned n)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < n; i++) {
        json_t *j = json_object();
        const struct {
            const char *name;
            u64 v;
        } v[] = {{"vm-state-size", s[i].vm_state_size},
                 {"date-sec", (u64)s[i].seconds},
                 {"date-nsec", s[i].nanoseconds},
                 {"vm-clock-sec", s[i].vm_clock_ns / 1000000000},
                 {"vm-clock-nsec", s[i].vm_clock_ns % 1000000000},
                 {"disk-size", s[i].disk_size}};
        json_object_set_new(j, "id", disk_json_text(s[i].id));
        json_object_set_new(j, "name", disk_json_text(s[i].name));
        for (unsigned k = 0; k < ARRAY_SIZE(v); k++)
            json_object_set_new(j, v[k].name, json_integer((json_int_t)v[k].v));
        json_array_append_new(list, j);
    }
    return list;
}

void snapshots_print(const struct disk_snapshot *s, unsigned n, const char *indent)
{
    printf("%s%-6s %-24s %-19s %10s %10s\n", indent, "ID", "NAME", "TAKEN", "DISK", "MEMORY");
    for (unsigned i = 0; i < n; i++) {
        char date[40] = "", disk[32] = "", memory[32] = "";
        struct disk_snapshot x = s[i];
        time_t t = (time_t)s[i].seconds;
        struct tm tm;
        if (localtime_r(&t, &tm))
            strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
        if (s[i].disk_size)
            disk_human(disk, s[i].disk_size);
        if (s[i].vm_state_size)
            disk_human(memory, s[i].vm_state_size);
        printf("%s%-6s %-24s %-19s %10s %10s\n", indent, err_plain(x.id), err_plain(x.name), date,
               disk, memory);
    }
}

static int list(struct disk_args *a, struct img *im, struct err *e)
{
    struct disk_snapshot *s;
    unsigned n;
    int r = disk_snapshots(im, &s, &n, e);
    if (r)
        return r;
    if (a->json)
        disk_print_json(snapshots_json(s, n));
    else if (n)
        snapshots_print(s, n, "");
    else
        printf("%s: no snapshots\n", a->arg[1]);
    free(s);
    return 0;
}

int disk_verb_snapshot(struct disk_args *a, struct err *e)
{
    static const char *const words[] = {"list", "create", "apply", "delete", NULL};
    const char *what = a->arg[0], *meant = nearest(what, words);
    bool write = strcmp(what, "list");
    struct disk_options o = disk_args_open(a, a->format, write);
    struct img *im;
    unsigned i = 0;
    while (words[i] && strcmp(what, words[i]))
        i++;
    if (!words[i])
        return err_set(e, EINVAL, "snapshot: \"%s\" is none of list, create, apply, delete%s%s%s",
                       what, meant ? "; did you mean " : "", meant ? meant : "", meant ? "?" : "");
    if (write && (a->nargs < 3 || !*a->arg[2]))
        return err_set(e, EINVAL, "snapshot %s: which name?", what);
    if (!write && a->nargs > 2)
        return err_set(e, EINVAL, "snapshot list: %s: one argument too many", a->arg[2]);
    o.no_parent = !write;
    int r = img_open(&im, a->arg[1], &o, e);
    if (r)
        return r;
    r = write ? disk_snapshot(im, what, a->arg[2], e) : list(a, im, e);
    if (!r && write && (r = img_flush(im)))
        err_set(e, -r, "%s: cannot write it: %s", a->arg[1], strerror(-r));
    img_close(im);
    return r ? r : CLI_OK;
}
