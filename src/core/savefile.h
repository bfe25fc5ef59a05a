/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file of a saved machine: named sections, and the guest's memory in compressed chunks that
 * are read one by one.  docs/savefile.md draws it.
 *
 * Each byte of it is covered by a check: a damaged file is refused with one line that names the
 * file and the part.
 */
#ifndef WIRT_CORE_SAVEFILE_H
#define WIRT_CORE_SAVEFILE_H

#include "base/err.h"
#include "base/types.h"

enum {
    SAVE_VERSION = 1,
    SAVE_NAME_MAX = 40, /* with the final zero */
    SAVE_SECTIONS_MAX = 1024,
    SAVE_ID_LEN = 16,
};
#define SAVE_SECTION_MAX (64 * MIB)

/* ---- writing ---- */

struct save_out;

/* Writes go to PATH.part, which is locked against other writers and takes the place of PATH in
 * save_commit(): before that, whatever was there stays whole. */
int save_create(struct save_out **s, const char *path, struct err *e);
/* Adds a section.  Errors of writing are kept until save_commit(). */
void save_put(struct save_out *s, const char *name, u32 version, const void *data, u64 len);
/* Adds guest memory, once.  size: bytes, a multiple of 4 KiB.  fd: where it lies at offset 0, so
 * that its holes need not be looked at; -1 = read it all. */
void save_put_memory(struct save_out *s, const u8 *hva, u64 size, int fd);
/* Makes it permanent.  Frees s on error too. */
int save_commit(struct save_out *s, struct err *e);
/* Gives up: leaves nothing behind. */
void save_abort(struct save_out *s);

/* ---- reading ---- */

struct save_in;

struct save_section {
    char name[SAVE_NAME_MAX];
    u32 version;
    u8 *data;
    u64 len;
};

/* Checks everything but the chunks of memory.  -EINVAL when it is damaged or no such file. */
int save_open(struct save_in **s, const char *path, struct err *e);
void save_close(struct save_in *s);
const char *save_path(const struct save_in *s);
/* A number of this save alone: SAVE_ID_LEN bytes. */
const u8 *save_id(const struct save_in *s);
/* NULL = there is none.  Lives as long as s. */
const struct save_section *save_find(const struct save_in *s, const char *name);
const struct save_section *save_at(const struct save_in *s, unsigned i); /* NULL behind the last */

/* Guest memory: its size in bytes (0 = there is none), and its chunks. */
u64 save_memory_size(const struct save_in *s);
u32 save_chunk_size(const struct save_in *s); /* bytes, a power of two */
u64 save_chunk_count(const struct save_in *s);
/* Bytes of chunk i: the chunk's size, or less at the end of memory. */
u64 save_chunk_len(const struct save_in *s, u64 i);
/* Is chunk i nothing but zeros? */
bool save_chunk_zero(const struct save_in *s, u64 i);
u32 save_chunk_crc(const struct save_in *s, u64 i); /* CRC-32C of its bytes */
/* Reads chunk i into buf.  -EINVAL when it is damaged.  Any thread; the decompressor is the
 * caller's, one a thread. */
struct save_decoder;
struct save_decoder *save_decoder_new(const struct save_in *s); /* NULL: no memory */
void save_decoder_free(struct save_decoder *d);
/* Checks its stored bytes alone. */
int save_chunk_check(const struct save_in *s, struct save_decoder *d, u64 i, struct err *e);
int save_chunk_read(const struct save_in *s, struct save_decoder *d, u64 i, u8 *buf, struct err *e);

#endif
