/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machine descriptions of other hypervisors, as a machine's configuration: docs/appliances.md says
 * which, and what becomes of each field.  A description comes from a stranger: what it names must
 * lie in its own directory (or archive), and all of it is bounded.
 */
#ifndef WIRT_APPLIANCE_APPLIANCE_H
#define WIRT_APPLIANCE_APPLIANCE_H

#include "board/config.h"

#include <stdio.h>

struct appliance;
struct appliance_format;

/* What a description asks of the run and not of the machine. */
struct appliance_run {
    bool no_reboot; /* a reset ends the machine */
    bool have_name, have_uuid;
    bool have_screen; /* it says which, or that there is one */
};

/* Told of each thing that is done in another way here, or not at all: a line without its newline.
 */
typedef void appliance_say(void *opaque, const char *line);

struct appliance_options {
    bool allow_external; /* files that are named may lie anywhere */
    bool virtio;         /* disks on virtio, whatever the description says */
    bool no_verify;      /* digests are not checked */
    const char *system;  /* of several machines: the id or name of one; NULL = there is one */
    const char *writes;  /* folder for what is written to images that are only read; NULL =
                            ITS_PATH.wirt */
    appliance_say *say;  /* may be NULL */
    void *opaque;
};

/* How far the checking of digests is, in bytes; false ends it with -ECANCELED. */
typedef bool appliance_tick(void *opaque, u64 done, u64 total);

/*
 * Which kind of description is at path, found by looking into it: *f is NULL when it is none, but
 * (as far as anybody knows) a disk.  -errno with a line that names the file for what is a
 * description and cannot be read; what cannot be opened at all is none.
 */
int appliance_find(const struct appliance_format **f, const char *path, struct err *e);

/*
 * Reads it into *m, which machine_config_init() has filled; what it does not say stays.  Strings in
 * *m belong to *a until appliance_free(), but paths of disks, which are malloc'ed as
 * run_config_free() wants them.  *o must live as long.  -errno with a line that names file, line
 * and field.  appliance_free() is called after errors too.
 */
int appliance_read(struct appliance **a, const struct appliance_format *f, const char *path,
                   const struct appliance_options *o, struct machine_config *m,
                   struct appliance_run *run, struct err *e);
/*
 * Before the machine is opened: checks digests, and sees to it that there is a place for what is
 * written to images which are only read, unless all of it is thrown away (snapshot).  m as
 * appliance_read() left it, or with more disks.
 */
int appliance_prepare(struct appliance *a, struct machine_config *m, bool snapshot,
                      appliance_tick *tick, void *opaque, struct err *e);
/* What it holds and what becomes of it, for people. */
void appliance_print(const struct appliance *a, const struct machine_config *m, FILE *f);
void appliance_free(struct appliance *a); /* NULL is fine */

#endif
