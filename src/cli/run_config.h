/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `wirt run` was asked for.
 */
#ifndef WIRT_CLI_RUN_CONFIG_H
#define WIRT_CLI_RUN_CONFIG_H

#include "appliance/appliance.h"
#include "board/config.h"
#include "cli/saved_options.h"
#include "core/savefile.h"
#include "core/vm.h"
#include "gdb/gdb.h"
#include "ui/vnc.h"
#include "ui/web.h"

enum { RUN_QMP_MAX = 2, RUN_VNC_MAX = 2 };

enum display_kind { DISPLAY_NONE, DISPLAY_TEXT };

struct run_config {
    struct machine_config m; /* without its chardevs */
    const char *engine;      /* "auto", "kvm", "soft", "interp" */
    enum irqchip irqchip;
    enum direct_use direct;
    const char *cpu;
    bool verbose, check, stats, perf_map, no_reboot, snapshot, help;
    const char *trace; /* NULL = none */
    enum display_kind display;
    struct vnc_config vnc[RUN_VNC_MAX];
    unsigned nvncs;
    struct web_config web; /* port 0 = none */
    struct gdb_config gdb;
    bool have_gdb;
    const char *screenshot;
    const char *serial[MACHINE_SERIALS_MAX]; /* NULL = not given */
    const char *console;
    const char *capture;
    char *qmp[RUN_QMP_MAX]; /* paths */
    unsigned nqmps;
    bool have_uuid, have_name, have_vga;
    struct appliance *appliance; /* what a description gave, NULL = there is none */
    const struct appliance_format *appliance_format;
    struct appliance_options how;    /* --appliance */
    int from_appliance;              /* which of `saved` names it, -1 = none */
    unsigned nets, cdroms, floppies; /* given on the command line */
    char *how_text;                  /* what `how` points into */
    struct saved_options saved;      /* what the machine is made of */
    const char *load;                /* a saved machine; NULL = none */
    struct save_in *in;              /* it, open */
    bool clone;
    char *text; /* m.options */
};

/* argv[0] is the subcommand.  Strings point into argv where they can; release with
 * run_config_free().  -EINVAL and the like with one line. */
int run_config_parse(struct run_config *c, int argc, char **argv, struct err *e);
void run_config_free(struct run_config *c);

/* ---- appliance.c: descriptions of other hypervisors ---- */
int run_appliance_option(struct run_config *c, const char *arg, struct err *e);
int run_appliance_read(struct run_config *c, const char *path, struct err *e);
/* After parsing, before the machine is opened: checks digests, makes room for what is written.  May
 * raise the signal that ended it. */
int run_appliance_prepare(struct run_config *c, struct err *e);

#endif
