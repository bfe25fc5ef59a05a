/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading the file of a saved machine.  It may come from anywhere: every length is checked before
 * it is believed, and sections must fill the file from end to end, so that no byte is without a
 * check.
 */
#include "base/crc32c.h"
#include "base/endian.h"
#include "core/savefile.h"
#include "core/savefile_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

struct save_in {
    int fd;
    char *path;
    u64 size; /* of the file */
    u8 id[SAVE_ID_LEN];
    u64 table;
    unsigned n;
    struct save_section *sections;

    u64 memory; /* bytes of guest memory */
    u64 memory_at;
    u32 chunk;
    u64 chunks;
    const u8 *index; /* rows of memory.index */
    u64 *at;         /* where each chunk's stored bytes begin, from memory_at */
};

static int damaged(const struct save_in *s, struct err *e, const char *part, const char *how)
{
    return err_set(e, EINVAL, "%s: %s: %s", s->path, part, how);
}

static int read_at(const struct save_in *s, void *buf, u64 len, u64 at, struct err *e)
{
    u8 *p = buf;

    while (len) {
        ssize_t n = pread(s->fd, p, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, errno, "%s: %s", s->path, strerror(errno));
        if (!n)
            return damaged(s, e, "file", "ends too early");
        p += n;
        at += (u64)n;
        len -= (u64)n;
    }
    return 0;
}

/* ----------------------------------------------------------- head and table -- */

static int read_head(struct save_in *s, u32 *table_crc, struct err *e)
{
    u8 h[HEAD_SIZE], tail[TAIL_SIZE];

    if (s->size < HEAD_SIZE + TAIL_SIZE)
        return err_set(e, EINVAL, "%s: not a saved machine: %llu bytes are too few", s->path,
                       (unsigned long long)s->size);
    int r = read_at(s, h, sizeof(h), 0, e);
    if (r)
        return r;
    if (memcmp(h + HEAD_MAGIC, HEAD_MAGIC_TEXT, 8))
        return damaged(s, e, "header", "not a saved machine");
    if (crc32c(0, h, HEAD_CRC) != le32_get(h + HEAD_CRC))
        return damaged(s, e, "header", "damaged");
    if (le32_get(h + HEAD_VERSION) != SAVE_VERSION)
        return err_set(e, EINVAL, "%s: header: version %u; this Wirt reads version %u", s->path,
                       le32_get(h + HEAD_VERSION), SAVE_VERSION);
    if (le32_get(h + HEAD_LEN) != HEAD_SIZE || le32_get(h + HEAD_RESERVED))
        return damaged(s, e, "header", "impossible");
    if (le64_get(h + HEAD_FILE_SIZE) != s->size)
        return err_set(e, EINVAL, "%s: file: %llu bytes where %llu belong", s->path,
                       (unsigned long long)s->size,
                       (unsigned long long)le64_get(h + HEAD_FILE_SIZE));
    s->table = le64_get(h + HEAD_TABLE);
    s->n = le32_get(h + HEAD_SECTIONS);
    *table_crc = le32_get(h + HEAD_TABLE_CRC);
    memcpy(s->id, h + HEAD_ID, SAVE_ID_LEN);
    u64 rows = s->size - TAIL_SIZE - s->table;
    if (s->table < HEAD_SIZE || s->table > s->size - TAIL_SIZE || s->n > SAVE_SECTIONS_MAX ||
        rows != (u64)s->n * ROW_SIZE)
        return damaged(s, e, "header", "impossible");
    r = read_at(s, tail, sizeof(tail), s->size - TAIL_SIZE, e);
    if (!r && (memcmp(tail + TAIL_MAGIC, TAIL_MAGIC_TEXT, 8) ||
               le64_get(tail + TAIL_FILE_SIZE) != s->size))
        return damaged(s, e, "tail", "damaged");
    return r;
}

static bool good_name(const u8 *name)
{
    size_t n = strnlen((const char *)name, SAVE_NAME_MAX);

    if (!n || n == SAVE_NAME_MAX)
        return false;
    for (size_t i = 0; i < SAVE_NAME_MAX; i++)
        if (i < n ? name[i] <= ' ' || name[i] > '~' : name[i])
            return false;
    return true;
}

static int read_section(struct save_in *s, struct save_section *c, const u8 *row, u64 *at,
                        struct err *e)
{
    u32 crc = le32_get(row + ROW_CRC);

    if (!good_name(row + ROW_NAME))
        return damaged(s, e, "table of sections", "impossible name");
    memcpy(c->name, row + ROW_NAME, SAVE_NAME_MAX);
    c->version = le32_get(row + ROW_VERSION);
    c->len = le64_get(row + ROW_LEN);
    if (le64_get(row + ROW_OFFSET) != *at || c->len > s->table - *at)
        return damaged(s, e, c->name, "is not where it belongs");
    for (struct save_section *o = s->sections; o < c; o++)
        if (!strcmp(o->name, c->name))
            return damaged(s, e, c->name, "is there twice");
    *at += c->len;
    if (!strcmp(c->name, SAVE_MEMORY)) {
        s->memory_at = *at - c->len;
        return crc || c->version != 1 ? damaged(s, e, c->name, "impossible") : 0;
    }
    if (c->len > SAVE_SECTION_MAX)
        return damaged(s, e, c->name, "too long");
    c->data = malloc(c->len + 1);
    if (!c->data)
        return err_set(e, ENOMEM, "%s: %s: out of memory", s->path, c->name);
    int r = read_at(s, c->data, c->len, *at - c->len, e);
    if (!r && crc32c(0, c->data, c->len) != crc)
        r = damaged(s, e, c->name, "damaged");
    return r;
}

static int read_table(struct save_in *s, u32 crc, struct err *e)
{
    u64 len = (u64)s->n * ROW_SIZE, at = HEAD_SIZE;
    u8 *rows = malloc(len + 1);

    s->sections = calloc(s->n + 1, sizeof(*s->sections));
    if (!rows || !s->sections) {
        free(rows);
        return err_set(e, ENOMEM, "%s: out of memory", s->path);
    }
    int r = read_at(s, rows, len, s->table, e);
    if (!r && crc32c(0, rows, len) != crc)
        r = damaged(s, e, "table of sections", "damaged");
    for (unsigned i = 0; !r && i < s->n; i++)
        r = read_section(s, &s->sections[i], rows + (size_t)i * ROW_SIZE, &at, e);
    if (!r && at != s->table)
        r = damaged(s, e, "table of sections", "does not cover the file");
    free(rows);
    return r;
}

/* ----------------------------------------------------------------- memory -- */

u64 save_chunk_len(const struct save_in *s, u64 i)
{
    return min((u64)s->chunk, s->memory - i * s->chunk);
}

static const u8 *row_of(const struct save_in *s, u64 i)
{
    return s->index + i * CHUNK_ROW;
}

static int read_index(struct save_in *s, struct err *e)
{
    const struct save_section *ix = save_find(s, SAVE_INDEX), *mem = save_find(s, SAVE_MEMORY);
    u64 at = 0;

    if (!ix && !mem)
        return 0;
    if (!ix || !mem || ix->version != 1 || ix->len < INDEX_HEAD)
        return damaged(s, e, SAVE_INDEX, "impossible");
    s->memory = le64_get(ix->data + INDEX_MEMORY);
    s->chunk = le32_get(ix->data + INDEX_CHUNK);
    if (!is_pow2(s->chunk) || s->chunk < CHUNK_MIN || s->chunk > CHUNK_MAX || !s->memory ||
        s->memory % 4096 || le32_get(ix->data + INDEX_RESERVED))
        return damaged(s, e, SAVE_INDEX, "impossible");
    s->chunks = (s->memory - 1) / s->chunk + 1;
    if (s->chunks > CHUNKS_MAX || ix->len != INDEX_HEAD + s->chunks * CHUNK_ROW)
        return damaged(s, e, SAVE_INDEX, "impossible");
    s->index = ix->data + INDEX_HEAD;
    s->at = calloc(s->chunks, sizeof(*s->at));
    if (!s->at)
        return err_set(e, ENOMEM, "%s: out of memory", s->path);
    for (u64 i = 0; i < s->chunks; i++) {
        const u8 *row = row_of(s, i);
        u32 stored = le32_get(row + CHUNK_STORED);
        if (stored > save_chunk_len(s, i) ||
            (!stored && (le32_get(row + CHUNK_CRC) || le32_get(row + CHUNK_PLAIN))))
            return damaged(s, e, SAVE_INDEX, "impossible");
        s->at[i] = at;
        at += stored;
    }
    return at == mem->len ? 0 : damaged(s, e, SAVE_INDEX, "impossible");
}

u64 save_memory_size(const struct save_in *s)
{
    return s->memory;
}

u32 save_chunk_size(const struct save_in *s)
{
    return s->chunk;
}

u64 save_chunk_count(const struct save_in *s)
{
    return s->chunks;
}

bool save_chunk_zero(const struct save_in *s, u64 i)
{
    return !le32_get(row_of(s, i) + CHUNK_STORED);
}

u32 save_chunk_crc(const struct save_in *s, u64 i)
{
    return le32_get(row_of(s, i) + CHUNK_PLAIN);
}

struct save_decoder {
    ZSTD_DCtx *z;
    u8 buf[];
};

struct save_decoder *save_decoder_new(const struct save_in *s)
{
    struct save_decoder *d = malloc(sizeof(*d) + s->chunk);

    if (d && !(d->z = ZSTD_createDCtx())) {
        free(d);
        d = NULL;
    }
    return d;
}

static int chunk_damaged(const struct save_in *s, u64 i, struct err *e)
{
    return err_set(e, EINVAL, "%s: memory at 0x%llx: damaged", s->path,
                   (unsigned long long)i * s->chunk);
}

void save_decoder_free(struct save_decoder *d)
{
    if (d)
        ZSTD_freeDCtx(d->z);
    free(d);
}

int save_chunk_check(const struct save_in *s, struct save_decoder *d, u64 i, struct err *e)
{
    u32 stored = le32_get(row_of(s, i) + CHUNK_STORED);
    int r = stored ? read_at(s, d->buf, stored, s->memory_at + s->at[i], e) : 0;

    if (!r && crc32c(0, d->buf, stored) != le32_get(row_of(s, i) + CHUNK_CRC))
        r = chunk_damaged(s, i, e);
    return r;
}

int save_chunk_read(const struct save_in *s, struct save_decoder *d, u64 i, u8 *buf, struct err *e)
{
    u32 stored = le32_get(row_of(s, i) + CHUNK_STORED), len = (u32)save_chunk_len(s, i);
    bool packed = stored && stored != len;
    u8 *to = packed ? d->buf : buf;
    int r;

    if (!stored) {
        memset(buf, 0, len);
        return 0;
    }
    r = read_at(s, to, stored, s->memory_at + s->at[i], e);
    if (r)
        return r;
    bool good = crc32c(0, to, stored) == le32_get(row_of(s, i) + CHUNK_CRC);
    if (good && packed)
        good = ZSTD_decompressDCtx(d->z, buf, len, d->buf, stored) == len;
    if (!good || crc32c(0, buf, len) != save_chunk_crc(s, i))
        return chunk_damaged(s, i, e);
    return 0;
}

/* ---------------------------------------------------------- open and close -- */

int save_open(struct save_in **out, const char *path, struct err *e)
{
    struct save_in *s = calloc(1, sizeof(*s));
    struct stat st;
    u32 crc = 0;
    int r;

    if (!s || !(s->path = strdup(path))) {
        free(s);
        return err_set(e, ENOMEM, "%s: out of memory", path);
    }
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 || fstat(s->fd, &st)) {
        r = err_set(e, errno, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        r = err_set(e, EINVAL, "%s: not a regular file", path);
    } else {
        s->size = (u64)st.st_size;
        r = read_head(s, &crc, e);
    }
    if (!r)
        r = read_table(s, crc, e);
    if (!r)
        r = read_index(s, e);
    if (r) {
        save_close(s);
        return r;
    }
    *out = s;
    return 0;
}

void save_close(struct save_in *s)
{
    if (!s)
        return;
    for (unsigned i = 0; s->sections && i < s->n; i++)
        free(s->sections[i].data);
    if (s->fd >= 0)
        close(s->fd);
    free(s->sections);
    free(s->at);
    free(s->path);
    free(s);
}

const char *save_path(const struct save_in *s)
{
    return s->path;
}

const u8 *save_id(const struct save_in *s)
{
    return s->id;
}

const struct save_section *save_at(const struct save_in *s, unsigned i)
{
    return i < s->n ? &s->sections[i] : NULL;
}

const struct save_section *save_find(const struct save_in *s, const char *name)
{
    for (unsigned i = 0; i < s->n; i++)
        if (!strcmp(s->sections[i].name, name))
            return &s->sections[i];
    return NULL;
}
