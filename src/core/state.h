/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device state as a table of fields: one list for save, load, dump, range check and fuzzing alike.
 *
 *     static const struct field i8254_fields[] = {
 *         FIELD(struct i8254, ch[0].count),
 *         FIELD_MAX(struct i8254, ch[0].mode, 5),
 *         FIELD_BYTES(struct i8254, latch_buf),
 *     };
 *     const struct state_desc i8254_state = STATE_DESC("i8254", 1, i8254_fields);
 */
#ifndef WIRT_CORE_STATE_H
#define WIRT_CORE_STATE_H

#include "base/err.h"
#include "base/types.h"

#include <stdio.h>

struct field {
    const char *name;
    u32 offset;
    u16 width; /* of one element: 1, 2, 4 or 8; little-endian on the wire */
    u32 count; /* elements */
    u64 max;   /* largest value that load accepts */
    u64 clear; /* bits that load does not accept */
};

#define FIELD_MAX(type, member, maximum)                                                           \
    {                                                                                              \
#member, offsetof(type, member), sizeof(((type *)0)->member), 1, maximum                   \
    }
/* A register: only these bits are ever set. */
#define FIELD_BITS(type, member, bits)                                                             \
    {                                                                                              \
#member, offsetof(type, member), sizeof(((type *)0)->member), 1, bits, ~(u64)(bits)        \
    }
#define FIELD(type, member) FIELD_MAX(type, member, UINT64_MAX)
/* An array of scalars. */
#define FIELD_ARRAY(type, member)                                                                  \
    {                                                                                              \
#member, offsetof(type, member), sizeof(((type *)0)->member[0]),                           \
            ARRAY_SIZE(((type *)0)->member), UINT64_MAX                                            \
    }
/* Anything without pointers or padding, byte by byte. */
#define FIELD_BYTES(type, member)                                                                  \
    {                                                                                              \
#member, offsetof(type, member), 1, sizeof(((type *)0)->member), UINT64_MAX                \
    }

struct state_desc {
    const char *name;
    u32 version;
    const struct field *fields;
    u32 nfields;
    /* After load: recompute what is derived, refuse what the ranges cannot say; -EINVAL. */
    int (*loaded)(void *obj, struct err *e);
};

#define STATE_DESC(n, ver, f)                                                                      \
    {                                                                                              \
        .name = n, .version = ver, .fields = f, .nfields = ARRAY_SIZE(f)                           \
    }

/* Bytes that save writes and load needs. */
size_t state_size(const struct state_desc *d);
void state_save(const struct state_desc *d, const void *obj, u8 *buf);
/* All or nothing: a bad value leaves *obj as it was and names the field. */
int state_load(const struct state_desc *d, void *obj, const u8 *buf, size_t len, struct err *e);
/* "name.field = value" lines. */
void state_dump(const struct state_desc *d, const void *obj, FILE *f);

#endif
