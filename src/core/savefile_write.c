/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing the file of a saved machine.
 *
 * Everything goes to PATH.part.  The header is written last; then the file is made safe (fsync),
 * takes its name, and the folder is made safe: a save that fails or is killed at any point leaves
 * the old file.  What it leaves behind is PATH.part, which the next save to PATH overwrites.
 */
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/io.h"
#include "core/savefile.h"
#include "core/savefile_int.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>
#include <zstd.h>

enum { BUF_SIZE = 1 << 20, ZSTD_LEVEL = 1 };

struct save_out {
    int fd;
    char path[PATH_MAX], part[PATH_MAX];
    u8 *buf;
    size_t held; /* bytes of buf */
    u64 at;      /* where the next byte goes, those in buf counted */
    u8 id[SAVE_ID_LEN];
    u8 *rows; /* of the table */
    unsigned nrows;
    int error; /* the first, an errno */
};

static int fail_name(const char *path, struct err *e)
{
    return err_set(e, ENAMETOOLONG, "%.60s...: the name is too long", path);
}

int save_create(struct save_out **out, const char *path, struct err *e)
{
    struct save_out *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return err_set(e, ENOMEM, "%s: out of memory", path);
    s->fd = -1;
    s->buf = malloc(BUF_SIZE);
    s->rows = calloc(SAVE_SECTIONS_MAX, ROW_SIZE);
    if (!s->buf || !s->rows) {
        r = err_set(e, ENOMEM, "%s: out of memory", path);
        goto fail;
    }
    if (snprintf(s->path, sizeof(s->path), "%s", path) >= (int)sizeof(s->path) ||
        snprintf(s->part, sizeof(s->part), "%s.part", path) >= (int)sizeof(s->part)) {
        r = fail_name(path, e);
        goto fail;
    }
    /* Others must not read a machine's memory. */
    s->fd = open(s->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->fd < 0) {
        r = err_set(e, errno, "%s: %s", s->part, strerror(errno));
        goto fail;
    }
    if (flock(s->fd, LOCK_EX | LOCK_NB)) {
        r = err_set(e, EBUSY, "%s: another save is writing it", s->part);
        close(s->fd);
        s->fd = -1;
        goto fail;
    }
    if (ftruncate(s->fd, 0)) {
        r = err_set(e, errno, "%s: %s", s->part, strerror(errno));
        goto fail;
    }
    if (getrandom(s->id, sizeof(s->id), 0) != sizeof(s->id))
        s->error = errno;
    s->at = HEAD_SIZE;
    *out = s;
    return 0;
fail:
    save_abort(s);
    return r;
}

/* Nothing after the first error. */
static void put_at(struct save_out *s, const void *data, size_t len, u64 at)
{
    if (!s->error)
        s->error = write_at(s->fd, data, len, at);
}

static void flush(struct save_out *s)
{
    put_at(s, s->buf, s->held, s->at - s->held);
    s->held = 0;
}

static void append(struct save_out *s, const void *data, size_t len)
{
    if (s->held + len > BUF_SIZE)
        flush(s);
    if (len > BUF_SIZE) {
        put_at(s, data, len, s->at);
        s->at += len;
        return;
    }
    memcpy(s->buf + s->held, data, len);
    s->held += len;
    s->at += len;
}

static void add_row(struct save_out *s, const char *name, u32 version, u32 crc, u64 offset, u64 len)
{
    u8 *row = s->rows + (size_t)s->nrows * ROW_SIZE;

    BUG_ON(strlen(name) >= SAVE_NAME_MAX);
    if (s->nrows == SAVE_SECTIONS_MAX) {
        s->error = s->error ? s->error : E2BIG;
        return;
    }
    s->nrows++;
    memcpy(row + ROW_NAME, name, strlen(name));
    le32_put(row + ROW_VERSION, version);
    le32_put(row + ROW_CRC, crc);
    le64_put(row + ROW_OFFSET, offset);
    le64_put(row + ROW_LEN, len);
}

void save_put(struct save_out *s, const char *name, u32 version, const void *data, u64 len)
{
    if (len > SAVE_SECTION_MAX) {
        s->error = s->error ? s->error : EFBIG;
        return;
    }
    add_row(s, name, version, crc32c(0, data, len), s->at, len);
    append(s, data, len);
}

/* ----------------------------------------------------------------- memory -- */

struct packer {
    struct save_out *s;
    const u8 *hva;
    u64 size;
    u32 chunk;
    u8 *index; /* the next row */
    ZSTD_CCtx *z;
    u8 *packed;
    size_t room;
};

static bool all_zero(const u8 *p, size_t len)
{
    return !p[0] && !memcmp(p, p + 1, len - 1);
}

static void put_chunk(struct packer *k, u64 off, size_t len)
{
    const u8 *p = k->hva + off;

    if (all_zero(p, len))
        return;
    size_t n = ZSTD_compressCCtx(k->z, k->packed, k->room, p, len, ZSTD_LEVEL);
    const u8 *stored = k->packed;
    if (ZSTD_isError(n) || n >= len) {
        stored = p;
        n = len;
    }
    le32_put(k->index + CHUNK_STORED, (u32)n);
    le32_put(k->index + CHUNK_CRC, crc32c(0, stored, n));
    le32_put(k->index + CHUNK_PLAIN, crc32c(0, p, len));
    append(k->s, stored, n);
}

/* Chunks that lie wholly in a hole of fd are not even looked at: reading shared memory would give
 * it pages. */
static void put_chunks(struct packer *k, int fd)
{
    u64 data = 0, hole = fd < 0 ? k->size : 0; /* the piece of data that was found last */

    for (u64 off = 0; off < k->size && !k->s->error; off += k->chunk, k->index += CHUNK_ROW) {
        size_t len = min((u64)k->chunk, k->size - off);
        if (off >= hole) {
            off_t d = lseek(fd, (off_t)off, SEEK_DATA);
            data = d < 0 ? k->size : (u64)d;
            off_t h = d < 0 ? -1 : lseek(fd, d, SEEK_HOLE);
            hole = h < 0 ? k->size : (u64)h;
        }
        if (data < off + len)
            put_chunk(k, off, len);
    }
}

static u32 chunk_size(u64 memory)
{
    u32 chunk = CHUNK_MIN;

    while (memory / chunk >= CHUNKS_MAX)
        chunk *= 2;
    return chunk;
}

void save_put_memory(struct save_out *s, const u8 *hva, u64 size, int fd)
{
    struct packer k = {.s = s, .hva = hva, .size = size, .chunk = chunk_size(size)};
    u64 count = (size + k.chunk - 1) / k.chunk, start = s->at;
    u64 index_len = INDEX_HEAD + count * CHUNK_ROW;
    u8 *index = calloc(1, index_len);

    BUG_ON(k.chunk > CHUNK_MAX);
    k.room = ZSTD_compressBound(k.chunk);
    k.packed = malloc(k.room);
    k.z = ZSTD_createCCtx();
    if (!index || !k.packed || !k.z) {
        s->error = s->error ? s->error : ENOMEM;
    } else {
        le64_put(index + INDEX_MEMORY, size);
        le32_put(index + INDEX_CHUNK, k.chunk);
        k.index = index + INDEX_HEAD;
        put_chunks(&k, fd);
        add_row(s, SAVE_MEMORY, 1, 0, start, s->at - start);
        save_put(s, SAVE_INDEX, 1, index, index_len);
    }
    ZSTD_freeCCtx(k.z);
    free(k.packed);
    free(index);
}

/* -------------------------------------------------------------------- end -- */

static void put_ends(struct save_out *s)
{
    u64 table = s->at, table_len = (u64)s->nrows * ROW_SIZE;
    u64 size = table + table_len + TAIL_SIZE;
    u8 head[HEAD_SIZE] = {0}, tail[TAIL_SIZE];

    append(s, s->rows, table_len);
    memcpy(tail + TAIL_MAGIC, TAIL_MAGIC_TEXT, 8);
    le64_put(tail + TAIL_FILE_SIZE, size);
    append(s, tail, sizeof(tail));
    flush(s);

    memcpy(head + HEAD_MAGIC, HEAD_MAGIC_TEXT, 8);
    le32_put(head + HEAD_VERSION, SAVE_VERSION);
    le32_put(head + HEAD_LEN, HEAD_SIZE);
    le64_put(head + HEAD_FILE_SIZE, size);
    le64_put(head + HEAD_TABLE, table);
    le32_put(head + HEAD_SECTIONS, s->nrows);
    le32_put(head + HEAD_TABLE_CRC, crc32c(0, s->rows, table_len));
    memcpy(head + HEAD_ID, s->id, SAVE_ID_LEN);
    le32_put(head + HEAD_CRC, crc32c(0, head, HEAD_CRC));
    put_at(s, head, sizeof(head), 0);
}

/* The folder's entry is on the disk too. */
static int sync_folder(const char *path)
{
    char copy[PATH_MAX];
    int r = 0;

    snprintf(copy, sizeof(copy), "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    if (fsync(fd) && errno != EINVAL) /* a file system that knows no such thing */
        r = errno;
    close(fd);
    return r;
}

static void release(struct save_out *s)
{
    if (s->fd >= 0)
        close(s->fd);
    free(s->rows);
    free(s->buf);
    free(s);
}

int save_commit(struct save_out *s, struct err *e)
{
    int r = 0;

    put_ends(s);
    if (!s->error && fsync(s->fd))
        s->error = errno;
    if (!s->error && rename(s->part, s->path))
        s->error = errno;
    if (s->error) {
        r = err_set(e, s->error, "%s: %s", s->path, strerror(s->error));
        save_abort(s);
        return r;
    }
    int code = sync_folder(s->path);
    if (code)
        r = err_set(e, code, "%s: %s", s->path, strerror(code));
    release(s);
    return r;
}

void save_abort(struct save_out *s)
{
    if (s->fd >= 0)
        unlink(s->part);
    release(s);
}
