/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The manifest of an OVF package (DSP0243 5.1): a line a file, `SHA256(name)= digits`.  What was
 * found right is not read again: a stamp of names, sizes and times is kept with what the machine
 * writes.
 */
#include "appliance/appliance_int.h"
#include "disk/tar.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <nettle/sha1.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { FILES_MAX = 256, DIGEST_MAX = 64, PIECE = 1 << 20 };

static const struct algorithm {
    const char *name;
    unsigned digits;
} algorithms[] = {{"SHA1", 40}, {"SHA256", 64}, {"SHA512", 128}};

struct entry {
    const struct algorithm *algorithm;
    const char *name, *digits;
    const char *path; /* NULL = the package has no such file, as far as is known */
    unsigned line;
};

struct ap_manifest {
    const char *label;
    struct entry entry[FILES_MAX];
    unsigned n;
};

void ap_manifest_free(struct ap_manifest *m)
{
    free(m);
}

static int bad_line(const char *label, unsigned line, struct err *e)
{
    return err_set(e, EINVAL, "%s:%u: is no \"SHA256(FILE)= DIGEST\"", label, line);
}

static int take_line(struct appliance *a, const char *s, size_t n, unsigned line, struct err *e)
{
    struct ap_manifest *m = a->manifest;
    const char *open = memchr(s, '(', n), *close = NULL, *p;

    for (p = s; p < s + n; p++)
        if (*p == ')')
            close = p;
    if (!open || !close || close < open)
        return bad_line(m->label, line, e);
    struct entry x = {.line = line};
    for (unsigned i = 0; i < ARRAY_SIZE(algorithms); i++)
        if (strlen(algorithms[i].name) == (size_t)(open - s) &&
            !strncasecmp(algorithms[i].name, s, (size_t)(open - s)))
            x.algorithm = &algorithms[i];
    if (!x.algorithm)
        return err_set(e, EINVAL,
                       "%s:%u: digests of \"%.*s\" are not known, but SHA1, SHA256 and "
                       "SHA512 are",
                       m->label, line, (int)min(open - s, (ptrdiff_t)20), s);
    p = close + 1;
    while (p < s + n && (*p == ' ' || *p == '=' || *p == '\t'))
        p++;
    unsigned digits = 0;
    while (p + digits < s + n && isxdigit((unsigned char)p[digits]))
        digits++;
    if (digits != x.algorithm->digits)
        return bad_line(m->label, line, e);
    if (m->n == FILES_MAX)
        return err_set(e, E2BIG, "%s: more than %d files", m->label, FILES_MAX);
    x.name = ap_keep(a, open + 1, (size_t)(close - open - 1));
    x.digits = ap_keep(a, p, digits);
    if (!x.name || !x.digits)
        return ap_nomem(a, e);
    m->entry[m->n++] = x;
    return 0;
}

int ap_manifest_parse(struct appliance *a, const char *label, const char *text, size_t len,
                      struct err *e)
{
    unsigned line = 1;
    int r = 0;

    a->manifest = calloc(1, sizeof(*a->manifest));
    if (!a->manifest || !label || !(a->manifest->label = ap_keep(a, label, strlen(label))))
        return ap_nomem(a, e);
    for (const char *p = text, *end = text + len; !r && p < end; line++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((stop ? stop : end) - p), k = n;
        while (k && isspace((unsigned char)p[k - 1]))
            k--;
        if (k)
            r = take_line(a, p, k, line, e);
        p += n + 1;
    }
    return r;
}

void ap_manifest_file(struct appliance *a, const char *name, const char *path)
{
    struct ap_manifest *m = a->manifest;
    bool found = false;

    for (unsigned i = 0; m && i < m->n; i++)
        if (!strcmp(m->entry[i].name, name)) {
            m->entry[i].path = path;
            found = true;
        }
    if (m && !found)
        ap_note(a, "%s is not in the manifest", name);
}

/* ----------------------------------------------------------------- checking -- */

union context {
    struct sha1_ctx sha1;
    struct sha256_ctx sha256;
    struct sha512_ctx sha512;
};

struct check {
    appliance_tick *tick;
    void *opaque;
    u64 done, total;
};

static void update(union context *c, const struct algorithm *al, size_t n, const u8 *p)
{
    if (al->digits == 40)
        sha1_update(&c->sha1, n, p);
    else if (al->digits == 64)
        sha256_update(&c->sha256, n, p);
    else
        sha512_update(&c->sha512, n, p);
}

static void init(union context *c, const struct algorithm *al)
{
    if (al->digits == 40)
        sha1_init(&c->sha1);
    else if (al->digits == 64)
        sha256_init(&c->sha256);
    else
        sha512_init(&c->sha512);
}

static void finish(union context *c, const struct algorithm *al, char out[2 * DIGEST_MAX + 1])
{
    u8 digest[DIGEST_MAX];

    if (al->digits == 40)
        sha1_digest(&c->sha1, SHA1_DIGEST_SIZE, digest);
    else if (al->digits == 64)
        sha256_digest(&c->sha256, SHA256_DIGEST_SIZE, digest);
    else
        sha512_digest(&c->sha512, SHA512_DIGEST_SIZE, digest);
    for (unsigned i = 0; i < al->digits / 2; i++)
        sprintf(out + 2 * i, "%02x", digest[i]);
}

static int open_entry(const struct entry *x, struct file **f, struct err *e)
{
    struct disk_options o = {.readonly = true, .no_lock = true, .no_uring = true};

    return file_open(f, x->path, FILE_EMPTY_OK, &o, e) ? err_prefix(e, "%s", x->path) : 0;
}

static int check_entry(const struct ap_manifest *m, const struct entry *x, struct check *c, u8 *buf,
                       struct err *e)
{
    char digits[2 * DIGEST_MAX + 1];
    union context ctx;
    struct file *f;
    int r = open_entry(x, &f, e);

    if (r)
        return r;
    init(&ctx, x->algorithm);
    for (u64 at = 0; !r && at < f->size;) {
        u64 n = min(f->size - at, (u64)PIECE);
        r = file_read(f, at, buf, n);
        if (r) {
            err_set(e, -r, "%s: %s", x->name, strerror(-r));
            break;
        }
        update(&ctx, x->algorithm, n, buf);
        at += n;
        c->done += n;
        if (c->tick && !c->tick(c->opaque, c->done, c->total))
            r = err_set(e, ECANCELED, "%s: not checked", x->name);
    }
    file_close(f);
    if (r)
        return r;
    finish(&ctx, x->algorithm, digits);
    if (!strcasecmp(digits, x->digits))
        return 0;
    return err_set(e, EINVAL, "%s:%u: %s is damaged: its %s is %.16s... and not %.16s...", m->label,
                   x->line, x->name, x->algorithm->name, digits, x->digits);
}

/* What was checked; malloc'ed, NULL = no memory. */
static char *stamp_text(const struct ap_manifest *m)
{
    char archive[PATH_MAX], member[TAR_NAME_MAX], *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);

    if (!f)
        return NULL;
    for (unsigned i = 0; i < m->n; i++) {
        const struct entry *x = &m->entry[i];
        struct stat st;
        u64 none;
        if (!x->path)
            continue;
        bool in = tar_is_url(x->path) && !tar_url_parse(x->path, archive, member, &none, NULL);
        if (!stat(in ? archive : x->path, &st))
            fprintf(f, "%s %s %llu %lld.%09ld\n", x->name, x->digits,
                    (unsigned long long)st.st_size, (long long)st.st_mtim.tv_sec,
                    st.st_mtim.tv_nsec);
    }
    return fclose(f) ? NULL : text;
}

static bool same_stamp(const char *path, const char *text)
{
    size_t n = strlen(text);
    char *there = calloc(1, n + 2);
    FILE *f = there ? fopen(path, "re") : NULL;
    bool same = f && fread(there, 1, n + 1, f) == n && !memcmp(there, text, n);

    if (f)
        fclose(f);
    free(there);
    return same;
}

static int sizes(const struct ap_manifest *m, struct check *c, struct err *e)
{
    for (unsigned i = 0; i < m->n; i++) {
        struct file *f;
        int r = m->entry[i].path ? open_entry(&m->entry[i], &f, e) : 0;
        if (r)
            return r;
        if (m->entry[i].path) {
            c->total += f->size;
            file_close(f);
        }
    }
    return 0;
}

int ap_manifest_check(struct appliance *a, const char *stamp, appliance_tick *tick, void *opaque,
                      struct err *e)
{
    const struct ap_manifest *m = a->manifest;
    struct check c = {.tick = tick, .opaque = opaque};
    char *text = stamp_text(m);
    u8 *buf = malloc(PIECE);
    int r = text && buf ? 0 : ap_nomem(a, e);

    if (!r && !same_stamp(stamp, text)) {
        r = sizes(m, &c, e);
        for (unsigned i = 0; !r && i < m->n; i++)
            if (m->entry[i].path)
                r = check_entry(m, &m->entry[i], &c, buf, e);
        FILE *f = r ? NULL : fopen(stamp, "we"); /* no folder: none is wanted */
        if (f) {
            fputs(text, f);
            fclose(f);
        }
    }
    free(text);
    free(buf);
    return r;
}
