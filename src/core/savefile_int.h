/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What lies where in the file of a saved machine, for its writer and its reader.  All numbers are
 * little-endian.
 *
 *     header      64 bytes
 *     sections    one behind the other, no gaps
 *     table       a row of 64 bytes for each section, in their order
 *     tail        16 bytes
 *
 * The section "memory" has its checks in "memory.index": a head of 16 bytes, then a row of 12 bytes
 * for each chunk; the chunks' stored bytes lie one behind the other.
 */
#ifndef WIRT_CORE_SAVEFILE_INT_H
#define WIRT_CORE_SAVEFILE_INT_H

#include "base/types.h"

/* Header. */
enum {
    HEAD_MAGIC = 0,      /* "WIRTSAVE" */
    HEAD_VERSION = 8,    /* u32 */
    HEAD_LEN = 12,       /* u32: 64 */
    HEAD_FILE_SIZE = 16, /* u64 */
    HEAD_TABLE = 24,     /* u64: where the table is */
    HEAD_SECTIONS = 32,  /* u32: its rows */
    HEAD_TABLE_CRC = 36, /* u32 */
    HEAD_ID = 40,        /* 16 bytes */
    HEAD_RESERVED = 56,  /* u32: 0 */
    HEAD_CRC = 60,       /* u32: of what is before it */
    HEAD_SIZE = 64,
};
#define HEAD_MAGIC_TEXT "WIRTSAVE"

/* A row of the table. */
enum {
    ROW_NAME = 0,     /* 40 bytes, zeros behind the name */
    ROW_VERSION = 40, /* u32 */
    ROW_CRC = 44,     /* u32; "memory": 0 */
    ROW_OFFSET = 48,  /* u64 */
    ROW_LEN = 56,     /* u64 */
    ROW_SIZE = 64,
};

enum { TAIL_MAGIC = 0, TAIL_FILE_SIZE = 8, TAIL_SIZE = 16 };
#define TAIL_MAGIC_TEXT "WIRTDONE"

/* memory.index */
enum {
    INDEX_MEMORY = 0,    /* u64: bytes of memory */
    INDEX_CHUNK = 8,     /* u32: bytes of a chunk, a power of two */
    INDEX_RESERVED = 12, /* u32: 0 */
    INDEX_HEAD = 16,

    CHUNK_STORED = 0, /* u32: bytes stored; 0 = all zeros; the chunk's own = as it is; else zstd */
    CHUNK_CRC = 4,    /* u32: of the stored bytes */
    CHUNK_PLAIN = 8,  /* u32: of the chunk's */
    CHUNK_ROW = 12,
};

/* Chunks are so large that there are at most CHUNKS_MAX. */
enum { CHUNK_MIN = 64 << 10, CHUNK_MAX = 16 << 20, CHUNKS_MAX = 1 << 20 };

#define SAVE_MEMORY "memory"
#define SAVE_INDEX  "memory.index"

#endif
