/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHDX: the log.  Source: [MS-VHDX] 2.3.
 *
 * Reading: every entry is checked as a whole (each signature, sequence number and length, then the
 * checksum) before anything is taken from it.  Entries cannot overlap by these checks, so finding
 * them takes time proportional to the log.
 *
 * Writing: an entry holds the changed pages of a flush, or as many as fit, and is its own tail.  It
 * is applied before the next one is written, behind it, so that a torn entry never leaves the log
 * without a good one.  The header refers to the log only after the first entry is on the disk: a
 * log without a valid entry would mean a damaged image.
 */
#include "disk/copy.h"
#include "disk/vhdx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Offsets in an entry's header and descriptors. */
enum {
    LE_CHECKSUM = 4,
    LE_LENGTH = 8,
    LE_TAIL = 12,
    LE_SEQUENCE = 16,
    LE_COUNT = 24,
    LE_GUID = 32,
    LE_FLUSHED = 48,
    LE_LAST = 56,
    LE_HEADER = 64,
    DESC = 32, /* bytes of a descriptor */
    DESC_TRAILING = 4,
    DESC_LEADING = 8, /* or the length, of zeros */
    DESC_OFFSET = 16,
    DESC_SEQUENCE = 24,
};

enum { LOG_WINDOW = 64 << 10 }; /* bytes; a log has whole MiB */

struct entry {
    u32 length; /* bytes; 0 = no valid entry here */
    u32 tail;
    u64 seq;
};

struct log {
    u8 *data; /* with room for as much again: an entry that wraps is put into one piece there */
    u32 length, wrapped;
    struct entry *at; /* for each page */
};

static const u8 *entry_data(const struct log *l, u32 off)
{
    return l->data + off;
}

static u32 desc_pages(u32 count)
{
    return (u32)((LE_HEADER + (u64)count * DESC + VHDX_PAGE - 1) / VHDX_PAGE);
}

/* Signatures, sequence numbers and offsets of all descriptors and data pages. */
static bool parts_ok(const u8 *p, u32 length, u64 seq, u32 count)
{
    u32 page = desc_pages(count), pages = length / VHDX_PAGE;

    for (u32 i = 0; i < count; i++) {
        const u8 *d = p + LE_HEADER + i * DESC, *data;

        if (le64_get(d + DESC_SEQUENCE) != seq || le64_get(d + DESC_OFFSET) % VHDX_PAGE)
            return false;
        if (!memcmp(d, "zero", 4)) {
            if (le64_get(d + DESC_LEADING) % VHDX_PAGE)
                return false;
            continue;
        }
        if (memcmp(d, "desc", 4) || page >= pages)
            return false;
        data = p + (u64)page++ * VHDX_PAGE;
        if (memcmp(data, "data", 4) || le32_get(data + 4) != seq >> 32 ||
            le32_get(data + VHDX_PAGE - 4) != (u32)seq)
            return false;
    }
    return page == pages;
}

/* The log's first n bytes behind its end, too. */
static void unwrap(struct log *l, u32 n)
{
    if (n <= l->wrapped)
        return;
    memcpy(l->data + l->length + l->wrapped, l->data + l->wrapped, n - l->wrapped);
    l->wrapped = n;
}

static void parse_entry(struct log *l, u32 off, const u8 *guid)
{
    const u8 *p = entry_data(l, off);
    u32 length = le32_get(p + LE_LENGTH), tail = le32_get(p + LE_TAIL), count;
    u64 seq = le64_get(p + LE_SEQUENCE);

    if (memcmp(p, "loge", 4) || memcmp(p + LE_GUID, guid, GUID_LEN) || !seq || !length ||
        length % VHDX_PAGE || length > l->length || tail % VHDX_PAGE || tail >= l->length)
        return;
    if (off + (u64)length > l->length)
        unwrap(l, off + length - l->length);
    count = le32_get(p + LE_COUNT);
    if (count > length / DESC || desc_pages(count) > length / VHDX_PAGE)
        return;
    if (!parts_ok(p, length, seq, count) ||
        le32_get(p + LE_CHECKSUM) != vhdx_checksum(p, length, LE_CHECKSUM))
        return;
    l->at[off / VHDX_PAGE] = (struct entry){length, tail, seq};
}

/* The sequence that begins at `off`: its last entry, whether that one's tail is in it, and where it
 * ends. */
static bool find_sequence(const struct log *l, u32 off, u32 *head, u32 *end)
{
    u64 total = 0, seq = 0;
    u32 at = off;
    bool any = false;

    for (;;) {
        const struct entry *n = &l->at[at / VHDX_PAGE];

        if (!n->length || (any && n->seq != seq + 1) || total + n->length > l->length)
            break;
        *head = at;
        seq = n->seq;
        any = true;
        total += n->length;
        at = (at + n->length) % l->length;
    }
    *end = at;
    if (!any)
        return false;
    /* Is the tail one of its entries?  Once more from the beginning. */
    for (at = off;; at = (at + l->at[at / VHDX_PAGE].length) % l->length) {
        if (at == l->at[*head / VHDX_PAGE].tail)
            return true;
        if (at == *head)
            return false;
    }
}

/* 2.3.3, steps 1 to 7. */
static bool find_active(const struct log *l, u32 *active)
{
    bool found = false;
    u64 best = 0;

    for (u32 off = 0; off < l->length;) {
        u32 head, end;
        bool valid = find_sequence(l, off, &head, &end);

        if (valid && l->at[head / VHDX_PAGE].seq > best) {
            best = l->at[head / VHDX_PAGE].seq;
            *active = head;
            found = true;
        }
        if (valid && end <= off)
            break; /* it wrapped: everything was looked at */
        off = valid ? end : off + VHDX_PAGE;
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

static int replay_entry(struct img *im, const struct log *l, u32 at, u64 *budget, struct err *e)
{
    const u8 *p = entry_data(l, at);
    u32 count = le32_get(p + LE_COUNT), page = desc_pages(count);
    int r = 0;

    for (u32 i = 0; i < count && !r; i++) {
        const u8 *d = p + LE_HEADER + i * DESC, *data = NULL;

        if (!memcmp(d, "desc", 4))
            data = p + (u64)page++ * VHDX_PAGE;
        r = replay_one(im, d, data, budget, e);
    }
    return r;
}

static int replay(struct img *im, const struct log *l, u32 head, struct err *e)
{
    struct vhdx *s = im->s;
    u64 budget = VHDX_LOG_MAX, flushed = le64_get(entry_data(l, head) + LE_FLUSHED);
    u64 last = le64_get(entry_data(l, head) + LE_LAST);
    int r = 0;

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
    for (u32 at = l->at[head / VHDX_PAGE].tail;;
         at = (at + l->at[at / VHDX_PAGE].length) % l->length) {
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

/* Most of a log is empty: that takes no memory. */
static int read_log(struct img *im, struct log *l)
{
    struct vhdx *s = im->s;
    u8 *window = malloc(LOG_WINDOW);
    int r = window ? 0 : -ENOMEM;

    for (u32 at = 0; at < l->length && !r; at += LOG_WINDOW) {
        r = file_read(im->file, s->log_offset + at, window, LOG_WINDOW);
        if (!r && !mem_is_zero(window, LOG_WINDOW))
            memcpy(l->data + at, window, LOG_WINDOW);
    }
    free(window);
    return r;
}

int vhdx_log_open(struct img *im, struct err *e)
{
    struct vhdx *s = im->s;
    struct log l = {.length = s->log_length};
    u32 head;
    int r;

    if (guid_is(s->header + XH_LOG_GUID, "00000000-0000-0000-0000-000000000000"))
        return 0;
    if (le16_get(s->header + XH_LOG_VERSION))
        return err_set(e, EINVAL, "log version %u", le16_get(s->header + XH_LOG_VERSION));
    if (!l.length)
        return err_set(e, EINVAL, "a log GUID, but no log");
    if (!range_within(s->log_offset, l.length, 0, im->file->size))
        return err_set(e, EINVAL, "the log lies behind the file's end");
    l.data = calloc(2, l.length);
    l.at = calloc(l.length / VHDX_PAGE, sizeof(*l.at));
    r = l.data && l.at ? read_log(im, &l) : -ENOMEM;
    if (r) {
        err_set(e, -r, "cannot read the log: %s", strerror(-r));
    } else {
        for (u32 off = 0; off < l.length; off += VHDX_PAGE)
            parse_entry(&l, off, s->header + XH_LOG_GUID);
        if (find_active(&l, &head))
            r = replay(im, &l, head, e);
        else
            r = err_set(e, EINVAL, "its log has no valid sequence of entries");
    }
    free(l.data);
    free(l.at);
    return r;
}

int vhdx_log_close(struct img *im)
{
    struct vhdx *s = im->s;
    u8 old[GUID_LEN];
    int r;

    memcpy(old, s->header + XH_LOG_GUID, GUID_LEN);
    memset(s->header + XH_LOG_GUID, 0, GUID_LEN);
    r = vhdx_write_header(im, true);
    if (r) {
        memcpy(s->header + XH_LOG_GUID, old, GUID_LEN);
        return r;
    }
    s->log_set = false;
    s->log_seq = 0;
    s->log_at = 0;
    return 0;
}

/* ------------------------------------------------------------------- writing -- */

/* Pages of an entry: three of the longest must fit into the log, so that a new one never reaches
 * the one before it. */
static unsigned batch_max(const struct vhdx *s)
{
    return min((unsigned)VHDX_BATCH, s->log_length / VHDX_PAGE / 3 - 1);
}

static int write_entry(struct img *im)
{
    struct vhdx *s = im->s;
    u32 length = (1 + s->batch_len) * VHDX_PAGE;
    u64 size = file_size(im->file), seq = s->log_seq + 1;
    u8 *p = calloc(1, length);
    int r;

    if (!p)
        return -ENOMEM;
    if (s->log_at + length > s->log_length)
        s->log_at = 0;
    memcpy(p, "loge", 4);
    le32_put(p + LE_LENGTH, length);
    le32_put(p + LE_TAIL, s->log_at);
    le64_put(p + LE_SEQUENCE, seq);
    le32_put(p + LE_COUNT, s->batch_len);
    memcpy(p + LE_GUID, s->header + XH_LOG_GUID, GUID_LEN);
    le64_put(p + LE_FLUSHED, align_down(size, VHDX_MB));
    le64_put(p + LE_LAST, align_up(size, VHDX_MB));
    for (unsigned i = 0; i < s->batch_len; i++) {
        u8 *d = p + LE_HEADER + i * DESC, *to = p + (1 + i) * VHDX_PAGE;
        const u8 *page = s->batch + (size_t)i * VHDX_PAGE;

        memcpy(d, "desc", 4);
        memcpy(d + DESC_TRAILING, page + VHDX_PAGE - 4, 4);
        memcpy(d + DESC_LEADING, page, 8);
        le64_put(d + DESC_OFFSET, s->batch_off[i]);
        le64_put(d + DESC_SEQUENCE, seq);
        memcpy(to, page, VHDX_PAGE);
        memcpy(to, "data", 4);
        le32_put(to + 4, (u32)(seq >> 32));
        le32_put(to + VHDX_PAGE - 4, (u32)seq);
    }
    le32_put(p + LE_CHECKSUM, vhdx_checksum(p, length, LE_CHECKSUM));
    r = file_write(im->file, s->log_offset + s->log_at, p, length);
    free(p);
    if (r)
        return r;
    s->log_seq = seq;
    s->log_at += length;
    return 0;
}

static int log_batch(struct img *im)
{
    struct vhdx *s = im->s;

    if (!s->batch)
        s->batch = malloc((size_t)VHDX_BATCH * VHDX_PAGE);
    if (!s->batch)
        return -ENOMEM;
    s->batch_len = 0;
    while (s->batch_len < batch_max(s) && tcache_take(s->pages, 0, &s->batch_off[s->batch_len],
                                                      s->batch + (size_t)s->batch_len * VHDX_PAGE))
        s->batch_len++;
    /* Kept until the log is closed: a header that failed to be written may be there all the same.
     */
    if (!s->log_seq)
        guid_random(s->header + XH_LOG_GUID);
    return write_entry(im);
}

static int apply_batch(struct img *im)
{
    struct vhdx *s = im->s;
    int r = 0;

    if (!s->log_set) {
        r = vhdx_write_header(im, true);
        s->log_set = !r;
    }
    for (unsigned i = 0; i < s->batch_len && !r; i++)
        r = file_write(im->file, s->batch_off[i], s->batch + (size_t)i * VHDX_PAGE, VHDX_PAGE);
    return r;
}

/* Stage 0: the guest's data; then in turn an entry in the log, and the pages in their places. */
int vhdx_write_back(struct img *im, unsigned stage)
{
    struct vhdx *s = im->s;
    int r;

    if (stage % 2) {
        r = log_batch(im);
        return r ? r : 1;
    }
    r = stage ? apply_batch(im) : 0;
    return r ? r : tcache_any(s->pages, 0);
}

void vhdx_write_back_done(struct img *im, bool ok)
{
    struct vhdx *s = im->s;

    tcache_done(s->pages, ok);
    im->dirty = !ok;
    im->full = tcache_full(s->pages);
}

int vhdx_commit(struct img *im)
{
    int r = 1;

    for (unsigned stage = 0; r == 1; stage++) {
        r = vhdx_write_back(im, stage);
        if (r >= 0) {
            int k = file_flush(im->file);

            r = k ? k : r;
        }
    }
    vhdx_write_back_done(im, !r);
    return r;
}
