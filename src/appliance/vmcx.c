/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMCX, the configuration of Hyper-V machines since Windows Server 2016: a store of keys and values
 * whose tree has the names of the XML before it.  Microsoft has not published the layout; what is
 * here was found by others (dissect.hypervisor's notes), for version 4.0:
 *
 *     two headers, of which the one with the higher sequence number counts
 *     object table   type, offset and size of each object; key tables are objects
 *     key table      entries, one behind the other: type, parent (table, offset), name, value
 *     file object    a value of 2 KiB and more
 *
 * Left out: the log of changes that were under way when the file was copied, which is said.
 */
#include "appliance/appliance_int.h"
#include "base/endian.h"
#include "disk/winpath.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_SIGNATURE 0x01282014u
#define TABLE_SIGNATURE  0x01110001u
#define LOG_SIGNATURE    0x01110003u

enum {
    HEADER_2 = 0x1000,
    H_SEQUENCE = 8,
    H_VERSION = 10,
    H_LOG = 26,
    HEADER_SIZE = 46,
    VERSION = 0x400,

    LOG_ENTRIES = 8,

    OBJECTS = 0x2000,
    OBJECT_SIZE = 18,
    O_TYPE = 0,
    O_OFFSET = 5,
    O_SIZE = 13,
    O_ALLOCATED = 17,
    OBJECT_KEYS = 2,

    KEYS_SIGNATURE = 2,
    K_INDEX = 2,
    K_SEQUENCE = 4,
    KEYS_SIZE = 10,

    E_TYPE = 0,
    E_SIZE = 2,
    E_PARENT_TABLE = 6,
    E_PARENT_OFFSET = 8,
    E_DATA = 20,
    ENTRY_SIZE = 21,
    E_IN_FILE = 0x100, /* of the type: the value is in a file object */

    TABLES_MAX = 1024,
    ENTRIES_MAX = 100000,
    VALUE_MAX = 64 << 10,
};

enum value_type { V_FREE = 1, V_INT = 3, V_UINT = 4, V_STRING = 6, V_BOOL = 8, V_NODE = 9 };

struct table {
    u64 offset, size;
    u16 index, sequence;
    unsigned first, n; /* entries */
};

struct entry {
    u32 offset; /* in its table */
    const u8 *p;
    u64 size;
    struct xml x;
};

struct vmcx {
    struct appliance *a;
    const u8 *p;
    u64 size;
    struct table table[TABLES_MAX];
    unsigned tables;
    struct entry *entry;
    unsigned n, room;
    u64 text; /* bytes of all values that are strings */
    struct xml root;
};

static int vmcx_probe(const struct ap_probe *p, struct err *e)
{
    return p->len > HEADER_SIZE && le32_get(p->head) == HEADER_SIGNATURE;
}

/* ---------------------------------------------------------------------- tables -- */

static int add_table(struct vmcx *v, u64 offset, u64 size, struct err *e)
{
    const u8 *p = v->p + offset;
    struct table t = {.offset = offset, .size = size};

    if (size < KEYS_SIZE || le16_get(p) != KEYS_SIGNATURE)
        return ap_bad(v->a, e, "a key table that is none");
    t.index = le16_get(p + K_INDEX);
    t.sequence = le16_get(p + K_SEQUENCE);
    for (unsigned i = 0; i < v->tables; i++)
        if (v->table[i].index == t.index) {
            if (v->table[i].sequence < t.sequence)
                v->table[i] = t;
            return 0;
        }
    if (v->tables == TABLES_MAX)
        return ap_bad(v->a, e, "more than %d key tables", TABLES_MAX);
    v->table[v->tables++] = t;
    return 0;
}

static int find_tables(struct vmcx *v, struct err *e)
{
    const u8 *p = v->p + OBJECTS;
    u32 n;

    if (v->size < OBJECTS + 8 || le32_get(p) != TABLE_SIGNATURE)
        return ap_bad(v->a, e, "has no object table");
    n = le32_get(p + 4);
    if (n > (v->size - OBJECTS - 8) / OBJECT_SIZE)
        return ap_bad(v->a, e, "its object table is longer than the file");
    for (u32 i = 0; i < n; i++) {
        const u8 *o = p + 8 + i * OBJECT_SIZE;
        u64 offset = le64_get(o + O_OFFSET), size = le32_get(o + O_SIZE);
        if (o[O_TYPE] != OBJECT_KEYS || !o[O_ALLOCATED])
            continue;
        if (!range_within(offset, size, 0, v->size))
            return ap_bad(v->a, e, "a key table lies outside the file");
        int r = add_table(v, offset, size, e);
        if (r)
            return r;
    }
    return v->tables ? 0 : ap_bad(v->a, e, "holds no keys");
}

static int find_entries(struct vmcx *v, struct table *t, struct err *e)
{
    t->first = v->n;
    for (u64 at = KEYS_SIZE; at + ENTRY_SIZE <= t->size;) {
        const u8 *p = v->p + t->offset + at;
        u64 size = le32_get(p + E_SIZE);
        if (!size)
            break;
        if (size < ENTRY_SIZE || size > t->size - at)
            return ap_bad(v->a, e, "an entry of %llu bytes", (unsigned long long)size);
        if (v->n == v->room)
            return ap_bad(v->a, e, "more than %u entries, or tables that overlap", v->room);
        v->entry[v->n++] = (struct entry){.offset = (u32)at, .p = p, .size = size};
        at += size;
    }
    t->n = v->n - t->first;
    return 0;
}

/* ------------------------------------------------------------------------ tree -- */

static struct entry *at(struct vmcx *v, u16 index, u32 offset)
{
    struct table *t = NULL;

    for (unsigned i = 0; i < v->tables; i++)
        if (v->table[i].index == index)
            t = &v->table[i];
    unsigned lo = t ? t->first : 0, hi = t ? t->first + t->n : 0;
    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;
        if (v->entry[mid].offset == offset)
            return &v->entry[mid];
        if (v->entry[mid].offset < offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

/* A string's text; "" for what is none. */
static const char *string_of(struct vmcx *v, const u8 *data, u64 room, bool in_file)
{
    const u8 *p = data + 4;
    u64 len, offset;

    if (room < (in_file ? 12 : 4))
        return "";
    len = le32_get(data);
    if (in_file) {
        offset = le64_get(data + 4);
        if (!range_within(offset, len, 0, v->size))
            return "";
        p = v->p + offset;
    } else if (len > room - 4) {
        return "";
    }
    char *out = len <= VALUE_MAX ? malloc(2 * len + 4) : NULL;
    const char *kept = "";
    if (out && len && v->text <= AP_TEXT_MAX && utf16_get(p, len, false, out, 2 * len + 4)) {
        kept = ap_keep(v->a, out, strlen(out));
        v->text += strlen(out);
    }
    free(out);
    return kept ? kept : "";
}

static void take_value(struct vmcx *v, struct entry *n)
{
    u16 type = le16_get(n->p + E_TYPE);
    u64 name = n->p[E_DATA], room = n->size - ENTRY_SIZE;
    const u8 *data = n->p + ENTRY_SIZE + name;
    char text[24] = "";

    n->x.text = n->x.name = "";
    if (!name || name > room)
        return;
    const char *key = ap_keep(v->a, (const char *)n->p + ENTRY_SIZE, name - 1);
    if (key)
        n->x.name = key;
    room -= name;
    switch (type & 0xff) {
    case V_INT:
    case V_UINT:
        if (room >= 8)
            snprintf(text, sizeof(text), (type & 0xff) == V_INT ? "%lld" : "%llu",
                     (long long)le64_get(data));
        break;
    case V_BOOL:
        if (room >= 4)
            strcpy(text, le32_get(data) ? "True" : "False");
        break;
    case V_STRING:
        n->x.text = string_of(v, data, room, type & E_IN_FILE);
        return;
    default:
        return;
    }
    const char *kept = ap_keep(v->a, text, strlen(text));
    n->x.text = kept ? kept : "";
}

/* From the last to the first, so that children come to stand in their order. */
static void link_all(struct vmcx *v)
{
    for (unsigned i = 0; i < v->n; i++)
        take_value(v, &v->entry[i]);
    for (unsigned i = v->n; i-- > 0;) {
        struct entry *n = &v->entry[i];
        u16 table = le16_get(n->p + E_PARENT_TABLE);
        struct entry *up = table ? at(v, table, le32_get(n->p + E_PARENT_OFFSET)) : NULL;
        struct xml *parent = table ? up ? &up->x : NULL : &v->root;
        if ((le16_get(n->p + E_TYPE) & 0xff) == V_FREE || !parent || up == n)
            continue;
        n->x.parent = parent;
        n->x.next = parent->child;
        parent->child = &n->x;
    }
}

/* -------------------------------------------------------------------- the file -- */

static int check_header(struct vmcx *v, struct err *e)
{
    const u8 *h = v->p;
    u64 log;

    if (v->size < HEADER_2 + HEADER_SIZE)
        return ap_bad(v->a, e, "is cut short");
    if (le32_get(h + HEADER_2) == HEADER_SIGNATURE &&
        le16_get(h + HEADER_2 + H_SEQUENCE) > le16_get(h + H_SEQUENCE))
        h += HEADER_2;
    if (le32_get(h + H_VERSION) != VERSION)
        return ap_bad(v->a, e,
                      "is a VMCX of version %#x, which Wirt does not read: run its disk, a VHDX, "
                      "itself",
                      le32_get(h + H_VERSION));
    log = le64_get(h + H_LOG);
    if (range_within(log, LOG_ENTRIES + 4, 0, v->size) && le32_get(v->p + log) == LOG_SIGNATURE &&
        le32_get(v->p + log + LOG_ENTRIES))
        ap_note(v->a, "was copied while it was written to: its last changes are not looked at");
    return 0;
}

static int take(struct vmcx *v, struct err *e)
{
    int r = check_header(v, e);

    if (!r)
        r = find_tables(v, e);
    if (r)
        return r;
    v->room = (unsigned)min(v->size / ENTRY_SIZE + 1, (u64)ENTRIES_MAX);
    v->entry = calloc(v->room, sizeof(*v->entry));
    if (!v->entry)
        return ap_nomem(v->a, e);
    for (unsigned i = 0; i < v->tables && !r; i++)
        r = find_entries(v, &v->table[i], e);
    if (r)
        return r;
    v->root = (struct xml){.name = "", .text = ""};
    link_all(v);
    if (v->text > AP_TEXT_MAX) /* many values may be one object */
        return ap_bad(v->a, e, "texts of more than %d bytes", AP_TEXT_MAX);
    const struct xml *c = xml_child(&v->root, "configuration");
    if (!c)
        return ap_bad(v->a, e, "describes no machine (no configuration)");
    return ap_hyperv(v->a, c, e);
}

static int vmcx_read(struct appliance *a, struct err *e)
{
    struct vmcx *v = calloc(1, sizeof(*v));
    char *text = NULL;
    size_t len = 0;
    int r = v ? ap_slurp(a, a->path, &text, &len, e) : ap_nomem(a, e);

    if (!r)
        r = ap_hyperv_folder(a, e);
    if (!r) {
        v->a = a;
        v->p = (const u8 *)text;
        v->size = len;
        r = take(v, e);
    }
    if (v)
        free(v->entry);
    free(text);
    free(v);
    return r;
}

const struct appliance_format appliance_vmcx = {
    .title = "Hyper-V machine (VMCX)", .probe = vmcx_probe, .read = vmcx_read};
