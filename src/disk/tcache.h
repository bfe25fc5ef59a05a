/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bounded cache of pieces of an image's tables.  Formats read and change tables through it; what
 * was changed stays in memory until tcache_write() of its stage (disk/img.h: write_back()).
 *
 * Callers serialise calls (img.lock).  A pointer is good until the next tcache_get().
 */
#ifndef WIRT_DISK_TCACHE_H
#define WIRT_DISK_TCACHE_H

#include "disk/file.h"

struct tcache;

/* size: bytes of a piece, a power of two; most: pieces in memory (more only while all are dirty).
 * NULL = no memory. */
struct tcache *tcache_new(struct file *f, u32 size, unsigned most);
void tcache_free(struct tcache *c);

/* The piece at off (a multiple of size).  0; -EAGAIN: nowait and not there; -errno. */
int tcache_get(struct tcache *c, u64 off, bool nowait, u8 **p);
/* Makes a piece of zeros without reading the file; it is dirty in `stage`. */
int tcache_make(struct tcache *c, u64 off, unsigned stage, u8 **p);
/* p, from the last tcache_get(), was changed. A piece that is dirty already keeps its stage. */
void tcache_dirty(struct tcache *c, u8 *p, unsigned stage);
bool tcache_any(const struct tcache *c, unsigned stage);
bool tcache_full(const struct tcache *c); /* half of it is dirty */

/* Writes the dirty pieces of a stage; then tcache_done() says whether they are on the disk. */
int tcache_write(struct tcache *c, unsigned stage);
void tcache_done(struct tcache *c, bool ok);
/* For formats that write through a log: hands the next dirty piece of a stage to `copy` (size
 * bytes) instead of writing it; false = there is none.  tcache_done() afterwards, as for
 * tcache_write(). */
bool tcache_take(struct tcache *c, unsigned stage, u64 *off, u8 *copy);
/* Forgets what it knows of off..off+len, changes too. */
void tcache_drop(struct tcache *c, u64 off, u64 len);

#endif
