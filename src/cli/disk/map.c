/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `wirt disk map`: a table of what is stored, or JSON of everything as qemu-img has it.
 */
#include "cli/cli.h"
#include "cli/disk/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct row {
    u64 start, len, offset;
    unsigned depth;
    bool present, zero, data, compressed, have_offset;
    const char *file;
};

/* What is at off, no longer than len. */
static int look(struct img *im, u64 off, u64 len, struct row *row, struct err *e)
{
    struct extent x;
    struct img *last = im;
    for (;; im = im->parent) {
        pthread_mutex_lock(&im->lock);
        int r = im->fmt->map(im, off, len, false, &x);
        pthread_mutex_unlock(&im->lock);
        if (r)
            return err_set(e, -r, "%s: cannot find out about offset %llu: %s", im->path,
                           (unsigned long long)off, strerror(-r));
        len = min(len, x.len);
        last = im;
        if (x.kind != EXTENT_HOLE || !im->parent)
            break;
        if (off >= im->parent->b.size)
            break;
        len = min(len, im->parent->b.size - off);
    }
    *row = (struct row){.start = off,
                        .len = len,
                        .depth = last->depth,
                        .present = x.kind != EXTENT_HOLE,
                        .zero = x.kind == EXTENT_HOLE || x.kind == EXTENT_ZERO,
                        .data = x.kind == EXTENT_DATA || x.kind == EXTENT_COMPRESSED,
                        .compressed = x.kind == EXTENT_COMPRESSED};
    if (x.kind == EXTENT_DATA) {
        u64 end = 0, hole = x.file->ops->hole ? x.file->ops->hole(x.file, x.offset, &end) : 0;
        row->file = x.file->path;
        row->offset = x.offset;
        row->have_offset = true;
        if (hole) {
            row->len = min(row->len, hole);
            row->zero = true;
            row->data = false;
        } else if (end > x.offset) {
            row->len = min(row->len, end - x.offset);
        }
    }
    return 0;
}

static bool follows(const struct row *a, const struct row *b)
{
    return a->depth == b->depth && a->present == b->present && a->zero == b->zero &&
           a->data == b->data && a->compressed == b->compressed &&
           a->have_offset == b->have_offset &&
           (!a->have_offset || (a->file == b->file && a->offset + a->len == b->offset));
}

static void print_json(const struct row *r, bool first)
{
    static const char *const words[] = {"false", "true"};
    printf("%s{ \"start\": %llu, \"length\": %llu, \"depth\": %u, \"present\": %s, \"zero\": %s, "
           "\"data\": %s, \"compressed\": %s",
           first ? "[" : ",\n", (unsigned long long)r->start, (unsigned long long)r->len, r->depth,
           words[r->present], words[r->zero], words[r->data], words[r->compressed]);
    if (r->have_offset)
        printf(", \"offset\": %llu", (unsigned long long)r->offset);
    putchar('}');
}

static void print_row(const struct row *r)
{
    if (!r->data)
        return;
    printf("%#-16llx %#-16llx ", (unsigned long long)r->start, (unsigned long long)r->len);
    char *file = r->have_offset ? strdup(r->file) : NULL;
    if (r->have_offset)
        printf("%#-16llx %s\n", (unsigned long long)r->offset, file ? err_plain(file) : "?");
    else
        printf("%-16s\n", "compressed");
    free(file);
}

int disk_verb_map(struct disk_args *a, struct err *e)
{
    struct disk_options o = disk_args_open(a, a->format, false);
    struct row row = {0}, next;
    bool first = true;
    struct img *im;
    u64 end;
    int r;
    o.internal = a->internal;
    r = img_open(&im, a->arg[0], &o, e);
    if (r)
        return r;
    if (a->start > im->b.size) {
        r = err_set(e, EINVAL, "--start-offset: %s has only %llu bytes", a->arg[0],
                    (unsigned long long)im->b.size);
        end = 0;
    } else {
        end = a->have_length ? a->start + min(a->length, im->b.size - a->start) : im->b.size;
    }
    if (!r && !a->json)
        printf("%-16s %-16s %-16s %s\n", "Offset", "Length", "Mapped to", "File");
    for (u64 off = a->start; off < end && !r; off += next.len) {
        r = look(im, off, end - off, &next, e);
        if (r)
            break;
        if (row.len && follows(&row, &next)) {
            row.len += next.len;
            continue;
        }
        if (row.len) {
            a->json ? print_json(&row, first) : print_row(&row);
            first = false;
        }
        row = next;
    }
    if (!r && a->json) {
        if (row.len)
            print_json(&row, first);
        puts(row.len ? "]" : "[]");
    } else if (!r && row.len) {
        print_row(&row);
    }
    img_close(im);
    return r ? r : CLI_OK;
}
