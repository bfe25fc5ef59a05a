/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reader of saved machines: the input is the file.  Its first byte says whether the checksums
 * are put right first, so that what is behind them is reached too.
 */
#include "base/crc32c.h"
#include "base/endian.h"
#include "core/savefile.h"
#include "core/savefile_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 16, CHUNKS_READ = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Where the index of memory is, its rows get the sums of what they point to. */
static void fix_index(u8 *f, u64 at, u64 len, u64 memory_at, u64 memory_len)
{
    for (u64 row = INDEX_HEAD; row + CHUNK_ROW <= len; row += CHUNK_ROW) {
        u8 *r = f + at + row;
        u32 stored = le32_get(r + CHUNK_STORED);
        if (!stored || stored > memory_len)
            continue;
        le32_put(r + CHUNK_CRC, crc32c(0, f + memory_at, stored));
        memory_at += stored;
        memory_len -= stored;
    }
}

static void fix(u8 *f, size_t size)
{
    u64 table, memory_at = 0, memory_len = 0;
    u32 n;

    if (size < HEAD_SIZE + TAIL_SIZE)
        return;
    memcpy(f + HEAD_MAGIC, HEAD_MAGIC_TEXT, 8);
    le32_put(f + HEAD_VERSION, SAVE_VERSION);
    le32_put(f + HEAD_LEN, HEAD_SIZE);
    le32_put(f + HEAD_RESERVED, 0);
    le64_put(f + HEAD_FILE_SIZE, size);
    memcpy(f + size - TAIL_SIZE, TAIL_MAGIC_TEXT, 8);
    le64_put(f + size - 8, size);
    n = le32_get(f + HEAD_SECTIONS) % 16;
    if (size < HEAD_SIZE + TAIL_SIZE + (u64)n * ROW_SIZE)
        n = 0;
    table = size - TAIL_SIZE - (u64)n * ROW_SIZE;
    le32_put(f + HEAD_SECTIONS, n);
    le64_put(f + HEAD_TABLE, table);
    for (u32 i = 0; i < n; i++) {
        u8 *row = f + table + i * (size_t)ROW_SIZE;
        u64 at = le64_get(row + ROW_OFFSET), len = le64_get(row + ROW_LEN);
        if (!range_within(at, len, HEAD_SIZE, table - HEAD_SIZE))
            continue;
        if (!strncmp((char *)row, SAVE_INDEX, SAVE_NAME_MAX))
            fix_index(f, at, len, memory_at, memory_len);
        if (strncmp((char *)row, SAVE_MEMORY, SAVE_NAME_MAX)) {
            le32_put(row + ROW_CRC, crc32c(0, f + at, len));
        } else {
            memory_at = at;
            memory_len = len;
        }
    }
    le32_put(f + HEAD_TABLE_CRC, crc32c(0, f + table, (u64)n * ROW_SIZE));
    le32_put(f + HEAD_CRC, crc32c(0, f, HEAD_CRC));
}

static void read_chunks(const struct save_in *s)
{
    struct save_decoder *d = save_decoder_new(s);
    u8 *buf = malloc(save_chunk_size(s));

    BUG_ON(!d || !buf);
    for (u64 i = 0; i < save_chunk_count(s) && i < CHUNKS_READ; i++)
        save_chunk_read(s, d, i, buf, NULL);
    free(buf);
    save_decoder_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static u8 file[FILE_MAX];
    struct save_in *s;
    struct err e;
    char path[40];

    if (!size || size - 1 > FILE_MAX)
        return 0;
    memcpy(file, data + 1, size - 1);
    if (data[0] & 1)
        fix(file, size - 1);
    int fd = memfd_create("saved", MFD_CLOEXEC);
    BUG_ON(fd < 0 || write(fd, file, size - 1) != (ssize_t)size - 1);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (save_open(&s, path, &e)) {
        BUG_ON(!e.msg[0] || strchr(e.msg, '\n'));
    } else {
        if (save_memory_size(s))
            read_chunks(s);
        save_close(s);
    }
    close(fd);
    return 0;
}
