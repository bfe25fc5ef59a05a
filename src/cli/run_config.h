/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `wirt run` was asked for.
 */
#ifndef WIRT_CLI_RUN_CONFIG_H
#define WIRT_CLI_RUN_CONFIG_H

#include "appliance/xlcfg.h"
#include "board/config.h"
#include "cli/saved_options.h"
#include "core/savefile.h"
#include "ui/vnc.h"
#include "ui/web.h"

enum { RUN_QMP_MAX = 2, RUN_VNC_MAX = 2 };

enum display_kind { DISPLAY_NONE, DISPLAY_TEXT };

struct run_config {
    struct machine_config m; /* without its chardevs */
    const char *engine;      /* "auto", "kvm", "soft", "interp" */
    const char *cpu;
    bool verbose, check, stats, perf_map, no_reboot, snapshot, help;
    const char *trace; /* NULL = none */
    enum display_kind display;
    struct vnc_config vnc[RUN_VNC_MAX];
    unsigned nvncs;
    struct web_config web; /* port 0 = none */
    const char *screenshot;
    const char *serial[MACHINE_SERIALS_MAX]; /* NULL = not given */
    const char *console;
    const char *capture;
    char *qmp[RUN_QMP_MAX]; /* paths */
    unsigned nqmps;
    bool have_uuid, have_name, have_vga;
    struct xlcfg *xl;           /* what a Xen configuration file gave, NULL = none */
    struct saved_options saved; /* what the machine is made of */
    const char *load;           /* a saved machine; NULL = none */
    struct save_in *in;         /* it, open */
    bool clone;
    char *text; /* m.options */
};

/* argv[0] is the subcommand.  Strings point into argv where they can; release with
 * run_config_free().  -EINVAL and the like with one line. */
int run_config_parse(struct run_config *c, int argc, char **argv, struct err *e);
void run_config_free(struct run_config *c);

#endif
