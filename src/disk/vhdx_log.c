/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHDX: writing through the log.  Source: [MS-VHDX] 2.3.
 *
 * An entry holds the changed pages of a flush, or as many as fit, and is its own tail.  It is
 * applied before the next one is written, behind it, so that a torn entry never leaves the log
 * without a good one.  The header refers to the log only after the first entry is on the disk: a
 * log without a valid entry would mean a damaged image.
 */
#include "disk/vhdx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
