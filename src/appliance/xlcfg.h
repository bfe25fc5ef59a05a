/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Xen's domain configuration, xl.cfg(5), xl-disk-configuration(5) and xl-network-configuration(5),
 * as a machine's configuration.
 */
#ifndef WIRT_APPLIANCE_XLCFG_H
#define WIRT_APPLIANCE_XLCFG_H

#include "board/config.h"

struct xlcfg;

/* What a file asks of the run and not of the machine. */
struct xlcfg_run {
    bool no_reboot; /* on_reboot = "destroy" */
    bool have_name, have_uuid;
    bool have_screen; /* vfb */
};

/* Told of each line's worth of what is not known or has no effect here, without a final newline. */
typedef void xlcfg_say(void *opaque, const char *line);

/*
 * Reads the file into *m, which machine_config_init() has filled; what the file does not say stays.
 * -errno with a line that names file and line number.  Strings in *m belong to *out until
 * xlcfg_free().
 */
int xlcfg_read(struct xlcfg **out, const char *path, struct machine_config *m,
               struct xlcfg_run *run, xlcfg_say *say, void *opaque, struct err *e);
/* The same from text; path is for messages. */
int xlcfg_parse(struct xlcfg **out, const char *path, const char *text, size_t len,
                struct machine_config *m, struct xlcfg_run *run, xlcfg_say *say, void *opaque,
                struct err *e);
void xlcfg_free(struct xlcfg *x);

#endif
