/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files in memory that can lose power: a struct disk_io to put under images.
 *
 * What was written since the last flush of a file is kept beside what is durable.  sim_crash()
 * makes the files as a crash could leave them: of each unflushed write, each sector is there or is
 * not.  A call can also be made to fail.
 */
#ifndef WIRT_TESTS_FORMAT_SIMFILE_H
#define WIRT_TESTS_FORMAT_SIMFILE_H

#include "disk/file.h"

#include <pthread.h>

enum { SIM_FILES = 16 };

enum sim_fault {
    SIM_NONE,
    SIM_ENOSPC, /* writes that make a file longer; other calls go well */
    SIM_EIO,
    SIM_SHORT, /* half of it is written, then EIO */
    SIM_READ,  /* EIO, of reads */
};

struct sim_write {
    u64 off, len;
    u8 *data;      /* NULL = zeros (or a hole) */
    bool truncate; /* to off bytes */
    struct sim_write *next;
};

struct sim_data {
    char name[200];
    u8 *now, *durable; /* room bytes each; durable is NULL in what cannot crash */
    u64 size, durable_size, room;
    struct sim_write *first, **last;
    unsigned users;
    struct sim_data *origin; /* a clone's: what it is a copy of */
    u64 *touched;            /* a clone's: a bit for each page that may differ from it */
    struct sim_data *spare;  /* a clone that is not in use now and differs nowhere */
};

struct sim {
    struct disk_io io; /* first */
    pthread_mutex_t lock;
    struct sim_data *file[SIM_FILES];
    unsigned files;
    u64 calls, reads; /* calls: that change something or sync */

    /* Called before each of these, without the lock. */
    void (*hook)(struct sim *s, void *opaque);
    void *opaque;
    enum sim_fault fault;
    u64 fault_at;    /* in calls, or in reads */
    u64 fault_count; /* how many in a row */
    u64 limit;       /* bytes of a file; 0 = none (fuzzing: then ENOSPC) */
};

void sim_init(struct sim *s);
void sim_destroy(struct sim *s);
/* A file with these bytes, durable. */
void sim_put(struct sim *s, const char *name, const void *data, u64 size);
struct sim_data *sim_find(struct sim *s, const char *name);
/* The files of s as they could be after a crash now, into the empty *out.  keep: out of 256, how
 * probable it is that a sector was written.  They cannot crash once more. */
void sim_crash(struct sim *s, struct sim *out, u64 *random, unsigned keep);
/* Many cheap copies of s, one after the other, for fuzzing, into empty sims; s stays as it is from
 * now on.  Destroying a clone takes back what changed in it, and the next one uses its memory.  A
 * clone cannot crash, and its files end at `limit` (ENOSPC), which is always the same. */
void sim_clone(struct sim *s, struct sim *out, u64 limit);
/* Changes bytes of a file in place, behind everybody's back; data NULL: the caller did. */
void sim_patch(struct sim_data *d, u64 at, const void *data, u64 len);
/* To a file of the host. */
int sim_save(struct sim *s, const char *name, const char *path);

static inline u64 sim_random(u64 *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

#endif
