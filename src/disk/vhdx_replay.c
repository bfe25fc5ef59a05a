/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHDX: reading and replaying the log.  Source: [MS-VHDX] 2.3.
 *
 * A log may have nearly 4 GiB, and somebody hostile may have filled it: it is read through windows,
 * and what stays in memory is where entries are.  Every entry is checked as a whole (each
 * signature, sequence number and length, then the checksum) before anything is taken from it.
 * Entries cannot overlap by these checks, and all sequences that end in the same entry have the
 * same tail, so finding the active one takes time proportional to the log.
 */
#include "base/crc32c.h"
#include "disk/copy.h"
#include "disk/vhdx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOG_WINDOW = 64 << 10, /* bytes; a log has whole MiB */
    REPLAY_MAX = 64 << 20, /* bytes that are replayed in memory, for an image that is only read */
};

struct entry {
    u32 length; /* bytes; 0 = no valid entry here */
    u32 tail;
    u64 seq;
};

struct window {
    bool valid;
    u64 at;
    u8 data[LOG_WINDOW];
};

struct log {
    struct file *file;
    u64 offset; /* in the file */
    u32 length;
    struct window heads, pages;
    struct entry *at; /* for each page */
};

/* The page at pos, which may be behind the log's end: it goes on at its beginning.  Good until the
 * next one through the same window. */
static int page_at(struct log *l, struct window *w, u64 pos, const u8 **p)
{
    u64 at = pos % l->length, start = align_down(at, LOG_WINDOW);

    if (!w->valid || w->at != start) {
        int r = file_read(l->file, l->offset + start, w->data, LOG_WINDOW);

        w->valid = !r;
        w->at = start;
        if (r)
            return r;
    }
    *p = w->data + (at - start);
    return 0;
}

static u32 desc_pages(u32 count)
{
    return (u32)((LE_HEADER + (u64)count * DESC + VHDX_PAGE - 1) / VHDX_PAGE);
}

/* The descriptors in page i of an entry; how many of them have a data page is added to *data. */
static bool descs_ok(const u8 *p, u32 i, u32 count, u64 seq, u32 *data)
{
    const u32 a_page = VHDX_PAGE / DESC, before = LE_HEADER / DESC;
    u64 first = i ? (u64)i * a_page - before : 0, end = ((u64)i + 1) * a_page - before;

    for (u64 k = first; k < min(end, (u64)count); k++) {
        const u8 *d = p + (k + before) * DESC % VHDX_PAGE;

        if (le64_get(d + DESC_SEQUENCE) != seq || le64_get(d + DESC_OFFSET) % VHDX_PAGE)
            return false;
        if (memcmp(d, "zero", 4) ? memcmp(d, "desc", 4) != 0
                                 : le64_get(d + DESC_LEADING) % VHDX_PAGE != 0)
            return false;
        *data += *d == 'd';
    }
    return true;
}

static bool data_ok(const u8 *p, u64 seq)
{
    return !memcmp(p, "data", 4) && le32_get(p + 4) == seq >> 32 &&
           le32_get(p + VHDX_PAGE - 4) == (u32)seq;
}

/* Is an entry at `off`?  Then l->at knows it. */
static int look_at_entry(struct log *l, u32 off, const u8 *guid)
{
    const u8 *p;
    int r = page_at(l, &l->heads, off, &p);

    if (r || memcmp(p, "loge", 4) || memcmp(p + LE_GUID, guid, GUID_LEN))
        return r;
    u32 length = le32_get(p + LE_LENGTH), tail = le32_get(p + LE_TAIL);
    u32 count = le32_get(p + LE_COUNT), sum = le32_get(p + LE_CHECKSUM), pages, descs;
    u32 crc = vhdx_checksum(p, VHDX_PAGE, LE_CHECKSUM), data = 0;
    u64 seq = le64_get(p + LE_SEQUENCE);
    if (!seq || !length || length % VHDX_PAGE || length > l->length || tail % VHDX_PAGE ||
        tail >= l->length || count > length / DESC)
        return 0;
    pages = length / VHDX_PAGE;
    descs = desc_pages(count);
    if (descs > pages || !descs_ok(p, 0, count, seq, &data))
        return 0;
    for (u32 i = 1; i < pages; i++) {
        r = page_at(l, &l->pages, off + (u64)i * VHDX_PAGE, &p);
        if (r)
            return r;
        if (i < descs ? !descs_ok(p, i, count, seq, &data) : !data_ok(p, seq))
            return 0;
        crc = crc32c(crc, p, VHDX_PAGE);
    }
    if (data == pages - descs && crc == sum)
        l->at[off / VHDX_PAGE] = (struct entry){length, tail, seq};
    return 0;
}

static int find_entries(struct log *l, const u8 *guid)
{
    int r = 0;

    for (u64 off = 0; off < l->length && !r; off += VHDX_PAGE) {
        u64 end, hole = 0;

        if (off % LOG_WINDOW == 0 && l->file->ops->hole)
            hole = l->file->ops->hole(l->file, l->offset + off, &end);
        if (hole >= 2 * VHDX_PAGE) /* most of a log is empty */
            off += align_down(min(hole, l->length - off), VHDX_PAGE) - VHDX_PAGE;
        else
            r = look_at_entry(l, (u32)off, guid);
    }
    return r;
}

static const struct entry *entry_at(const struct log *l, u32 at)
{
    return &l->at[at / VHDX_PAGE];
}

static u32 behind(const struct log *l, u32 at)
{
    return (u32)(((u64)at + entry_at(l, at)->length) % l->length);
}

/* The sequence that begins at `off`: its last entry, and whether that one's tail is in it.  False:
 * there is none, or no valid one; *end is `off`, or where it ends. */
static bool find_sequence(const struct log *l, u32 off, u32 *head, u32 *end)
{
    u32 at = off;

    *end = off;
    if (!entry_at(l, off)->length)
        return false;
    do {
        *head = at;
        at = behind(l, at);
    } while (entry_at(l, at)->length && entry_at(l, at)->seq == entry_at(l, *head)->seq + 1);
    *end = at;
    /* Is the tail one of its entries?  Once more from the beginning. */
    for (at = off; at != entry_at(l, *head)->tail; at = behind(l, at))
        if (at == *head)
            return false;
    return true;
}

/* 2.3.3, steps 1 to 7, but for sequences that are the end of one without its tail: they lack it,
 * too. */
static bool find_active(const struct log *l, u32 *active)
{
    bool found = false;
    u64 best = 0;

    for (u64 off = 0; off < l->length;) {
        u32 head, end;

        if (find_sequence(l, (u32)off, &head, &end) && entry_at(l, head)->seq > best) {
            best = entry_at(l, head)->seq;
            *active = head;
            found = true;
        }
        if (end < off || (end == off && entry_at(l, end)->length))
            break; /* it wrapped: everything was looked at */
        off = end > off ? end : off + VHDX_PAGE;
    }
    return found;
}

/* -------------------------------------------------------------------- replay -- */

static int replay_page(struct img *im, u64 off, const u8 *desc, const u8 *data)
{
    struct vhdx *s = im->s;
    u8 *page;
    int r = tcache_get(s->pages, off, false, &page);

    if (r)
        return r;
    if (data) {
        memcpy(page, data, VHDX_PAGE);
        memcpy(page, desc + DESC_LEADING, 8);
        memcpy(page + VHDX_PAGE - 4, desc + DESC_TRAILING, 4);
    } else {
        memset(page, 0, VHDX_PAGE);
    }
    /* Dirty, so that it stays; an image that is only read is never written back. */
    tcache_dirty(s->pages, page, 0);
    return 0;
}

/* One descriptor: to the pages for an image that is only read, else to the file. */
static int replay_one(struct img *im, const u8 *d, const u8 *data, u64 *budget, struct err *e)
{
    struct vhdx *s = im->s;
    u64 off = le64_get(d + DESC_OFFSET), len = data ? VHDX_PAGE : le64_get(d + DESC_LEADING);
    u8 page[VHDX_PAGE];
    int r = 0;

    if (off < VHDX_REGIONS_1 || !range_within(off, len, 0, s->last) ||
        (off < s->log_offset + s->log_length && s->log_offset < off + len))
        return err_set(e, EINVAL, "the log writes to %llu + %llu, which is no place for metadata",
                       (unsigned long long)off, (unsigned long long)len);
    if (im->b.readonly) {
        if (len > *budget)
            return err_set(e, EROFS,
                           "has a log too long to be replayed in memory: open it to "
                           "write once");
        *budget -= len;
        for (u64 k = 0; k < len && !r; k += VHDX_PAGE)
            r = replay_page(im, off + k, d, data);
    } else if (data) {
        memcpy(page, data, VHDX_PAGE);
        memcpy(page, d + DESC_LEADING, 8);
        memcpy(page + VHDX_PAGE - 4, d + DESC_TRAILING, 4);
        r = file_write(im->file, off, page, VHDX_PAGE);
    } else {
        r = file_zero(im->file, off, len);
    }
    return r ? err_set(e, -r, "cannot replay the log: %s", strerror(-r)) : 0;
}

static int replay_entry(struct img *im, struct log *l, u32 at, u64 *budget, struct err *e)
{
    u32 pages = entry_at(l, at)->length / VHDX_PAGE, page, count;
    const u8 *p, *data;
    u8 d[DESC];
    int r = page_at(l, &l->heads, at, &p);

    if (r)
        return err_set(e, -r, "cannot read the log: %s", strerror(-r));
    count = le32_get(p + LE_COUNT);
    page = desc_pages(count);
    for (u32 i = 0; i < count; i++) {
        u64 in = LE_HEADER + (u64)i * DESC;

        r = page_at(l, &l->heads, at + align_down(in, VHDX_PAGE), &p);
        if (r)
            return err_set(e, -r, "cannot read the log: %s", strerror(-r));
        memcpy(d, p + in % VHDX_PAGE, DESC);
        data = NULL;
        if (!memcmp(d, "desc", 4)) {
            /* It was right when it was looked at. */
            if (page >= pages)
                return err_set(e, EIO, "the log changes while it is read");
            r = page_at(l, &l->pages, at + (u64)page++ * VHDX_PAGE, &data);
        }
        r = r ? err_set(e, -r, "cannot read the log: %s", strerror(-r))
              : replay_one(im, d, data, budget, e);
        if (r)
            return r;
    }
    return 0;
}

static int replay(struct img *im, struct log *l, u32 head, struct err *e)
{
    struct vhdx *s = im->s;
    u64 budget = REPLAY_MAX, flushed, last;
    const u8 *p;
    int r = page_at(l, &l->heads, head, &p);

    if (r)
        return err_set(e, -r, "cannot read the log: %s", strerror(-r));
    flushed = le64_get(p + LE_FLUSHED);
    last = le64_get(p + LE_LAST);

    if (im->file->size < flushed)
        return err_set(e, EINVAL, "is cut off: %llu bytes, and its log knows of %llu",
                       (unsigned long long)im->file->size, (unsigned long long)flushed);
    if (last > VHDX_FILE_MAX)
        return err_set(e, EINVAL, "LastFileOffset %llu", (unsigned long long)last);
    s->last = max(s->last, last);
    if (!im->b.readonly)
        r = vhdx_begin(im, false);
    if (r)
        return err_set(e, -r, "cannot replay the log: %s", strerror(-r));
    for (u32 at = entry_at(l, head)->tail;; at = behind(l, at)) {
        r = replay_entry(im, l, at, &budget, e);
        if (r)
            return r;
        if (at == head)
            break;
    }
    if (im->b.readonly)
        return 0;
    if (file_size(im->file) < last && !im->file->is_device)
        r = file_truncate(im->file, last);
    if (!r)
        r = file_flush(im->file);
    if (!r)
        r = vhdx_log_close(im);
    return r ? err_set(e, -r, "cannot replay the log: %s", strerror(-r)) : 0;
}

int vhdx_log_open(struct img *im, struct err *e)
{
    struct vhdx *s = im->s;
    struct log *l;
    u32 head = 0;
    int r;

    if (guid_is(s->header + XH_LOG_GUID, "00000000-0000-0000-0000-000000000000"))
        return 0;
    if (le16_get(s->header + XH_LOG_VERSION))
        return err_set(e, EINVAL, "log version %u", le16_get(s->header + XH_LOG_VERSION));
    if (!s->log_length)
        return err_set(e, EINVAL, "a log GUID, but no log");
    if (!range_within(s->log_offset, s->log_length, 0, im->file->size))
        return err_set(e, EINVAL, "the log lies behind the file's end");
    l = calloc(1, sizeof(*l));
    if (l) {
        l->file = im->file;
        l->offset = s->log_offset;
        l->length = s->log_length;
        l->at = calloc(l->length / VHDX_PAGE, sizeof(*l->at));
    }
    r = l && l->at ? find_entries(l, s->header + XH_LOG_GUID) : -ENOMEM;
    if (r)
        err_set(e, -r, "cannot read the log: %s", strerror(-r));
    else if (find_active(l, &head))
        r = replay(im, l, head, e);
    else
        r = err_set(e, EINVAL, "its log has no valid sequence of entries");
    if (l)
        free(l->at);
    free(l);
    return r;
}
