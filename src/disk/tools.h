/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tools do with images besides reading and writing: `wirt disk` is made of this.  All
 * functions: 0 or -errno with one line that names the file.
 */
#ifndef WIRT_DISK_TOOLS_H
#define WIRT_DISK_TOOLS_H

#include "disk/disk.h"

struct img;
struct format;

enum {
    DISK_CAN_WRITE = 1 << 0,
    DISK_CAN_CREATE = 1 << 1,
    DISK_CAN_RESIZE = 1 << 2,
    DISK_CAN_CHECK = 1 << 3,
    DISK_CAN_REPAIR = 1 << 4,
    DISK_CAN_BACKING = 1 << 5,  /* has parents */
    DISK_CAN_SNAPSHOT = 1 << 6, /* internal ones */
    DISK_CAN_COMPRESS = 1 << 7, /* stores compressed clusters */
    DISK_BACKING_URL = 1 << 8,  /* what is in front of a colon in a parent's name is a protocol */
};

/* ---- create ---- */

struct create_option {
    const char *name; /* as qemu-img -o has it */
    const char *help;
};

struct disk_create {
    const char *path;
    u64 size;            /* bytes; 0 = the backing file's */
    const char *backing; /* as it shall be written in the image; NULL = none */
    const char *backing_format;
    const char *options;    /* "name=value,..." or NULL; see create_check_form() */
    struct disk_options io; /* how to open files: io, no_lock, cache, allow_external, trace */
};

int disk_create(const char *format, const struct disk_create *c, struct err *e);

/* Are options such a list, with a value for each name and no name twice?  "" and NULL are. */
int create_check_form(const char *options, struct err *e);
/* The same, and does the format have them all?  disk_create() asks this. */
int create_check_options(const struct format *f, const char *options, struct err *e);

/* For formats, in create(): the value of an option.  They leave buf and *v alone when it is not
 * given.  _size takes K, M, G, T, P and E, _bool on/off, _choice one of the words, which end with
 * NULL; _text refuses what there is no room for. */
int create_text(const struct disk_create *c, const char *name, char *buf, size_t room,
                struct err *e);
int create_choice(const struct disk_create *c, const char *name, const char *const *words,
                  unsigned *v, struct err *e);
int create_size(const struct disk_create *c, const char *name, u64 *v, struct err *e);
int create_bool(const struct disk_create *c, const char *name, bool *v, struct err *e);
/* Opens c->backing read-only, to look at it; close with img_close(). */
int create_open_backing(const struct disk_create *c, struct img **im, struct err *e);

/* ---- check ---- */

struct disk_check {
    bool repair_leaks, repair_all;    /* in */
    u64 errors, leaks;                /* found, and still there */
    u64 errors_fixed, leaks_fixed;    /* repaired */
    u64 allocated, total, compressed; /* clusters */
    u64 end;                          /* bytes of the file that are used */
    /* One line for each of the first findings; may be NULL. */
    void (*say)(void *opaque, const char *line);
    void *opaque;
};

/* -ENOTSUP where the format has no check.  Opened with for_check, and not readonly to repair. */
int disk_check(struct img *im, struct disk_check *c, struct err *e);

/* For formats.  settle(): what changed so far is on the disk when it returns, in the right order
 * (write_back() and its syncs). */
int settle(struct img *im);
void check_error(struct disk_check *c, bool fixed, const char *fmt, ...) printf_like(3, 4);
void check_leak(struct disk_check *c, bool fixed, const char *fmt, ...) printf_like(3, 4);

/* ---- info ---- */

struct disk_info {
    /* One of them for each thing that the format tells of itself: names as qemu-img's JSON has. */
    void (*text)(struct disk_info *i, const char *key, const char *value);
    void (*number)(struct disk_info *i, const char *key, u64 value);
    void (*flag)(struct disk_info *i, const char *key, bool value);
    void *opaque;
};

/* ---- snapshots ---- */

struct disk_snapshot {
    char id[64], name[256];
    s64 seconds; /* since 1970 UTC */
    u32 nanoseconds;
    u64 vm_state_size, vm_clock_ns, disk_size;
};

/* Internal snapshots of an idle image: what is "create", "apply" or "delete". */
int disk_snapshot(struct img *im, const char *what, const char *name, struct err *e);
/* *list is malloc'ed. */
int disk_snapshots(struct img *im, struct disk_snapshot **list, unsigned *n, struct err *e);

/* ---- the rest ---- */

/* Of an idle image; size in bytes. */
int disk_resize(struct img *im, u64 size, struct err *e);
void disk_info(struct img *im, struct disk_info *i);

#endif
