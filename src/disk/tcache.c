/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pieces of tables in memory: a hash over slots, evicted by the clock algorithm.  See tcache.h.
 */
#include "disk/tcache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { STAGES = 4, NO_SLOT = -1 };

struct slot {
    u64 off;
    u8 *data; /* NULL = not in use */
    int next; /* in the hash chain */
    bool used, dirty, written;
    u8 stage;
};

struct tcache {
    struct file *f;
    u32 size;
    unsigned most, slots, buckets, hand;
    unsigned dirty[STAGES], all_dirty;
    struct slot *slot;
    int *bucket;
    struct slot *last;
};

struct tcache *tcache_new(struct file *f, u32 size, unsigned most)
{
    struct tcache *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->f = f;
    c->size = size;
    c->most = max(most, 16u);
    c->buckets = 16;
    while (c->buckets < c->most)
        c->buckets *= 2;
    c->bucket = malloc(c->buckets * sizeof(*c->bucket));
    if (!c->bucket) {
        free(c);
        return NULL;
    }
    memset(c->bucket, 0xff, c->buckets * sizeof(*c->bucket));
    return c;
}

void tcache_free(struct tcache *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < c->slots; i++)
        free(c->slot[i].data);
    free(c->slot);
    free(c->bucket);
    free(c);
}

static int *bucket_of(struct tcache *c, u64 off)
{
    u64 h = off / c->size * 0x9e3779b97f4a7c15ull;

    return &c->bucket[h >> 32 & (c->buckets - 1)];
}

static struct slot *find(struct tcache *c, u64 off)
{
    int i = *bucket_of(c, off);

    while (i != NO_SLOT && c->slot[i].off != off)
        i = c->slot[i].next;
    return i == NO_SLOT ? NULL : &c->slot[i];
}

static void unhash(struct tcache *c, struct slot *s)
{
    int *p = bucket_of(c, s->off), me = (int)(s - c->slot);

    while (*p != me)
        p = &c->slot[*p].next;
    *p = s->next;
    s->off = UINT64_MAX;
}

static void hash(struct tcache *c, struct slot *s, u64 off)
{
    int *p = bucket_of(c, off);

    s->off = off;
    s->next = *p;
    *p = (int)(s - c->slot);
}

/* A slot that is in no chain. */
static struct slot *take(struct tcache *c)
{
    if (c->slots >= c->most) {
        for (unsigned turns = 0; turns < 2 * c->slots; turns++) {
            struct slot *s = &c->slot[c->hand];

            c->hand = (c->hand + 1) % c->slots;
            if (s->dirty || s->written)
                continue;
            if (s->used) {
                s->used = false;
                continue;
            }
            if (s->off != UINT64_MAX)
                unhash(c, s);
            return s;
        }
    }
    if (!(c->slots & (c->slots - 1)) || !c->slot) { /* grows by doubling */
        struct slot *more = realloc(c->slot, max(2 * c->slots, 16u) * sizeof(*more));

        if (!more)
            return NULL;
        c->slot = more;
    }
    struct slot *s = &c->slot[c->slots];

    *s = (struct slot){.data = malloc(c->size), .off = UINT64_MAX, .next = NO_SLOT};
    if (!s->data)
        return NULL;
    c->slots++;
    return s;
}

int tcache_get(struct tcache *c, u64 off, bool nowait, u8 **p)
{
    struct slot *s = c->last;

    if (!s || s->off != off)
        s = find(c, off);
    if (!s) {
        int r;

        if (nowait)
            return -EAGAIN;
        c->last = NULL;
        s = take(c);
        if (!s)
            return -ENOMEM;
        r = file_read(c->f, off, s->data, c->size);
        if (r)
            return r;
        hash(c, s, off);
    }
    s->used = true;
    c->last = s;
    *p = s->data;
    return 0;
}

static void set_dirty(struct tcache *c, struct slot *s, unsigned stage)
{
    if (s->dirty)
        return;
    s->dirty = true;
    s->stage = (u8)stage;
    c->dirty[stage]++;
    c->all_dirty++;
}

static void set_clean(struct tcache *c, struct slot *s)
{
    if (!s->dirty)
        return;
    s->dirty = false;
    c->dirty[s->stage]--;
    c->all_dirty--;
}

int tcache_make(struct tcache *c, u64 off, unsigned stage, u8 **p)
{
    struct slot *s = find(c, off);

    c->last = NULL;
    if (!s) {
        s = take(c);
        if (!s)
            return -ENOMEM;
        hash(c, s, off);
    }
    memset(s->data, 0, c->size);
    set_dirty(c, s, stage);
    s->used = true;
    c->last = s;
    *p = s->data;
    return 0;
}

void tcache_dirty(struct tcache *c, u8 *p, unsigned stage)
{
    BUG_ON(!c->last || c->last->data != p);
    set_dirty(c, c->last, stage);
}

bool tcache_any(const struct tcache *c, unsigned stage)
{
    return c->dirty[stage];
}

bool tcache_full(const struct tcache *c)
{
    return c->all_dirty > c->most / 2;
}

int tcache_write(struct tcache *c, unsigned stage)
{
    for (unsigned i = 0; i < c->slots && c->dirty[stage]; i++) {
        struct slot *s = &c->slot[i];
        int r;

        if (!s->dirty || s->stage != stage)
            continue;
        r = file_write(c->f, s->off, s->data, c->size);
        if (r)
            return r;
        set_clean(c, s);
        s->written = true;
    }
    return 0;
}

bool tcache_take(struct tcache *c, unsigned stage, u64 *off, u8 *copy)
{
    for (unsigned i = 0; i < c->slots && c->dirty[stage]; i++) {
        struct slot *s = &c->slot[i];

        if (!s->dirty || s->stage != stage)
            continue;
        *off = s->off;
        memcpy(copy, s->data, c->size);
        set_clean(c, s);
        s->written = true;
        return true;
    }
    return false;
}

void tcache_done(struct tcache *c, bool ok)
{
    for (unsigned i = 0; i < c->slots; i++) {
        struct slot *s = &c->slot[i];

        if (!s->written)
            continue;
        s->written = false;
        if (!ok)
            set_dirty(c, s, s->stage);
    }
}

static void drop(struct tcache *c, struct slot *s)
{
    set_clean(c, s);
    s->written = false;
    unhash(c, s);
}

void tcache_drop(struct tcache *c, u64 off, u64 len)
{
    c->last = NULL;
    if (len / c->size > c->slots) {
        for (unsigned i = 0; i < c->slots; i++)
            if (c->slot[i].off != UINT64_MAX && range_within(c->slot[i].off, 1, off, len))
                drop(c, &c->slot[i]);
        return;
    }
    for (u64 at = align_down(off, c->size); at < off + len; at += c->size) {
        struct slot *s = find(c, at);

        if (s)
            drop(c, s);
    }
}
