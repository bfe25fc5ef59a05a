/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Xen's domain configuration, xl.cfg(5), xl-disk-configuration(5) and xl-network-configuration(5),
 * as a machine's configuration.
 */
#ifndef WIRT_APPLIANCE_XLCFG_H
#define WIRT_APPLIANCE_XLCFG_H

#include "appliance/appliance.h"

struct xlcfg;

/*
 * Reads the text into *m, which machine_config_init() has filled; what it does not say stays.
 * path is for messages: -errno with a line that names file and line number.  Strings in *m belong
 * to *out until xlcfg_free(), which is called after errors too.
 */
int xlcfg_parse(struct xlcfg **out, const char *path, const char *text, size_t len,
                struct machine_config *m, struct appliance_run *run, appliance_say *say,
                void *opaque, struct err *e);
void xlcfg_free(struct xlcfg *x);

#endif
