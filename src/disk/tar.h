/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tar archives, read in place: where in the archive a member's bytes are.  An appliance in one file
 * (OVA, XVA) is a tar, and its disks are used without unpacking it:
 *
 *     tar://PATH#MEMBER         the bytes of one member
 *     tar://PATH#FOLDER/@SIZE   an XVA's disk of SIZE bytes (xva.c)
 *
 * is a file name to everything in src/disk that opens one for reading.  In an overlay PATH may be
 * relative to the overlay's folder.  `%` and `#` of the path are
 * written %25 and %23.
 */
#ifndef WIRT_DISK_TAR_H
#define WIRT_DISK_TAR_H

#include "disk/file.h"

#define TAR_SCHEME "tar://"
enum { TAR_BLOCK = 512, TAR_NAME_MAX = 4096 };

struct tar_member {
    const char *name; /* without "./" in front; valid during the call */
    u64 offset, size; /* bytes in the archive */
};

/* Calls fn for each regular file in the archive's order, until it returns something else than 0,
 * which tar_walk() returns: negative with *e filled by fn.  -EINVAL with a line that does not name
 * the archive: no tar, cut short.  Bounded by the file's size. */
int tar_walk(struct file *f, int (*fn)(void *opaque, const struct tar_member *m, struct err *e),
             void *opaque, struct err *e);
/* The first member of that name.  -ENOENT. */
int tar_find(struct file *f, const char *name, u64 *offset, u64 *size, struct err *e);
/* Do these 512 bytes begin an archive? */
bool tar_probe(const u8 head[TAR_BLOCK]);

bool tar_is_url(const char *path);
/* malloc'ed; NULL: no memory.  disk_size: of an XVA's disk, else 0. */
char *tar_url(const char *archive, const char *member, u64 disk_size);
/* The same for us, PATH_MAX bytes to out, of one whose path is relative to folder ("" = the root).
 */
int tar_url_in(const char *folder, const char *url, char *out, struct err *e);
/* Takes one apart: PATH_MAX bytes to archive, TAR_NAME_MAX to member; *disk_size is 0 but for an
 * XVA's disk.  -EINVAL. */
int tar_url_parse(const char *url, char *archive, char *member, u64 *disk_size, struct err *e);

#endif
