/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An OVF package: its description, and where its files are: beside it (.ovf), or with it in a tar
 * (.ova).
 */
#ifndef WIRT_APPLIANCE_OVF_H
#define WIRT_APPLIANCE_OVF_H

#include "appliance/appliance_int.h"

enum { OVF_CONTROLLERS_MAX = 64 };

struct ovf_controller {
    const char *id;
    enum ap_bus bus;
    unsigned number; /* of its bus: 0, 1... */
    const char *type;
};

struct ovf {
    struct appliance *a;
    const char *archive; /* the tar; NULL = the files lie in a->folder */
    const struct xml *envelope, *system, *hardware;
    const char *configuration; /* DeploymentOptionSection; NULL = there are none */
    struct ovf_controller controller[OVF_CONTROLLERS_MAX];
    unsigned ncontrollers;
};

/* The description text (XML) of o->a, whose files are as o->archive says. */
int ovf_read_text(struct ovf *o, const char *text, size_t len, struct err *e);
/* Where the package's file of that name is; *path is kept. */
int ovf_locate(struct ovf *o, const char *href, const char **path, struct err *e);
/* ovf_items.c: what the VirtualHardwareSection has. */
int ovf_read_items(struct ovf *o, struct err *e);
/* "ovf:/disk/ID" or "ovf:/file/ID", a disk: fills d->file or d->fresh. */
int ovf_host_resource(struct ovf *o, const char *resource, struct ap_drive *d, struct err *e);
/* Bytes of a quantity in units such as "byte * 2^20" (DSP0004, annex C) or "MegaBytes". */
bool ovf_units(const char *quantity, const char *units, u64 *bytes);

#endif
