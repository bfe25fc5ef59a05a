/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Appliances on the command line: --appliance, `wirt info`, and the bar while digests are checked.
 */
#include "cli/cli.h"
#include "cli/disk/disk.h"
#include "cli/run_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int take_word(struct appliance_options *o, char *w, struct err *e)
{
    if (!strcmp(w, "allow-external"))
        o->allow_external = true;
    else if (!strcmp(w, "no-verify"))
        o->no_verify = true;
    else if (!strcmp(w, "bus=virtio"))
        o->virtio = true;
    else if (!strcmp(w, "bus=ide"))
        o->virtio = false;
    else if (!strncmp(w, "writes=", 7) && w[7])
        o->writes = w + 7;
    else if (!strncmp(w, "system=", 7) && w[7])
        o->system = w + 7;
    else
        return err_set(e, EINVAL,
                       "\"%s\" is none of allow-external, no-verify, bus=ide, bus=virtio, "
                       "writes=FOLDER, system=NAME",
                       w);
    return 0;
}

int run_appliance_option(struct run_config *c, const char *arg, struct err *e)
{
    char *save = NULL;
    int r = 0;
    if (c->how_text)
        return err_set(e, EINVAL, "is given twice");
    c->how_text = strdup(arg);
    if (!c->how_text)
        return err_set(e, ENOMEM, "out of memory");
    for (char *w = strtok_r(c->how_text, ",", &save); w && !r; w = strtok_r(NULL, ",", &save))
        r = take_word(&c->how, w, e);
    return r;
}

static void say(void *opaque, const char *line)
{
    fprintf(stderr, "wirt: %s\n", line);
}

int run_appliance_read(struct run_config *c, const char *path, struct err *e)
{
    struct appliance_run run = {0};
    c->how.say = say;
    int r = appliance_read(&c->appliance, c->appliance_format, path, &c->how, &c->m, &run, e);
    c->no_reboot |= run.no_reboot;
    c->have_name |= run.have_name;
    c->have_uuid |= run.have_uuid;
    c->have_vga |= run.have_screen;
    return r;
}

static bool tick(void *opaque, u64 done, u64 total)
{
    struct progress *p = opaque;
    p->total = total;
    return done % (16 * MIB) && done < total ? true : progress_tick(p, done);
}

int run_appliance_prepare(struct run_config *c, struct err *e)
{
    const struct disk_args plain = {0};
    struct progress p;
    if (!c->appliance)
        return 0;
    progress_open(&p, &plain, "Checking");
    int r = appliance_prepare(c->appliance, &c->m, c->snapshot, tick, &p, e);
    progress_close(&p);
    return r;
}

int cli_info(int argc, char **argv)
{
    struct appliance_options o = {.allow_external = true};
    struct machine_config *m = calloc(1, sizeof(*m));
    const struct appliance_format *f = NULL;
    struct appliance_run run = {0};
    struct appliance *a = NULL;
    struct err e = {0};
    if (!m || argc != 2 || argv[1][0] == '-') {
        fprintf(stderr, "usage: wirt info FILE\n");
        free(m);
        return CLI_ERROR;
    }
    machine_config_init(m);
    int r = appliance_find(&f, argv[1], &e);
    if (!r && !f)
        r = err_set(&e, ENOENT, "%s: describes no machine; `wirt disk info` looks at disk images",
                    argv[1]);
    if (!r)
        r = appliance_read(&a, f, argv[1], &o, m, &run, &e);
    if (r)
        fprintf(stderr, "wirt: %s\n", e.msg);
    else
        appliance_print(a, m, stdout);
    for (unsigned i = 0; i < m->ndisks; i++)
        free((char *)m->disk[i].path);
    for (unsigned i = 0; i < m->usb.ndisks; i++)
        free((char *)m->usb.disk[i].path);
    appliance_free(a);
    free(m);
    return r ? CLI_ERROR : CLI_OK;
}
