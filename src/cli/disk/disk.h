/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside `wirt disk`: its commands and what they share.
 */
#ifndef WIRT_CLI_DISK_DISK_H
#define WIRT_CLI_DISK_DISK_H

#include "cli/options.h"
#include "disk/img.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

struct disk_args {
    const char *format, *format2, *target_format, *backing, *backing_format, *internal, *vhd_size;
    char *options; /* of all -o, joined; malloc'ed */
    bool compress, no_create, force, progress, shrink, strict, chain, json, share, external, quiet;
    bool repair_leaks, repair_all, help, list_options;
    bool have_length;
    u64 sparse, start, length;
    unsigned jobs;
    enum disk_cache cache, source_cache;
    const char *arg[3]; /* what is no option */
    unsigned nargs;
};

/* A command: its exit status, or -errno and *e for the verb's own status of failures. */
struct disk_verb {
    const char *name;
    int (*fn)(struct disk_args *a, struct err *e);
    int failed;
    const char *args;
    unsigned least, most;
    const char *help, *more, *status;
};
extern const struct disk_verb disk_verbs[]; /* verbs.tab; a NULL name ends it */
extern const struct opt_set disk_options_set;

#define VERB(name, failed, args, least, most, help, more, status)                                  \
    int disk_verb_##name(struct disk_args *a, struct err *e);
#include "cli/disk/verbs.tab"
#undef VERB

/* ---- help.c ---- */
void disk_help(FILE *f, const char *verb); /* NULL or unknown = all */
void disk_man(FILE *f);
void disk_bash(FILE *f);
void disk_help_options(FILE *f, const struct format *format); /* -o help */

/* ---- disk.c ---- */
/* How to open an image for reading, or to change it. */
struct disk_options disk_args_open(const struct disk_args *a, const char *format, bool write);
/* A format by a file's suffix, "raw" when it says nothing. */
const char *disk_format_of(const char *path);
/* "4 GiB" and the like. */
const char *disk_human(char out[32], u64 bytes);
void disk_print_json(json_t *j); /* drops it */
/* A file's name or a text of an image: what is no UTF-8 shows as ?. */
json_t *disk_json_text(const char *s);

/* ---- stage.c: a file that appears under its name when it is whole ---- */
struct stage {
    char *final; /* its name in the end */
    char *path;  /* where to make it */
    char *dir;   /* the folder that is for it alone, NULL = none */
    bool in_place, force;
    struct file *guard; /* holds the lock of the file that is replaced */
};

/* named: other files are named in it relative to its directory, so it must be made there.  Refuses
 * what exists, unless `force`, and what somebody uses. */
int stage_open(struct stage *s, const char *target, bool named, bool force, struct err *e);
/* Renames; sync: what the names say is on the disk when it returns. */
int stage_commit(struct stage *s, bool sync, struct err *e);
/* Removes what was not committed, and frees. */
void stage_close(struct stage *s);
/* Puts the final name into a message that has the other. */
void stage_fix(const struct stage *s, struct err *e);

/* ---- progress.c ---- */
struct progress {
    const char *what;
    u64 total;
    bool bar, lines, shown;
    unsigned percent;
    struct timespec start;
    sigset_t signals, old; /* blocked between open and close */
    int signal;            /* that came, 0 = none */
};

/* Blocks the signals that end a program, so that what was begun can be taken back; to be called
 * before images are opened, which starts threads.  The caller sets p->total. */
void progress_open(struct progress *p, const struct disk_args *a, const char *what);
/* walk.h's tick(); opaque is the struct progress.  False when a signal came. */
bool progress_tick(void *opaque, u64 done);
/* Ends the program by the signal that came, if one did. */
void progress_close(struct progress *p);

#endif
