/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the readers of descriptions share: strings, notes, messages, files that a description names;
 * and one description, from opening it to freeing it.
 */
#include "appliance/appliance_int.h"
#include "appliance/xlcfg.h"
#include "disk/file.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* -------------------------------------------------------------- strings, lines -- */

char *ap_keep(struct appliance *a, const char *s, size_t len)
{
    return kept_add(&a->strings, s, len);
}

char *ap_print(struct appliance *a, const char *fmt, ...)
{
    char line[2 * PATH_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    return ap_keep(a, line, strlen(line));
}

int ap_nomem(struct appliance *a, struct err *e)
{
    return err_set(e, ENOMEM, "%s: out of memory", a->label);
}

void ap_note(struct appliance *a, const char *fmt, ...)
{
    char line[500];
    va_list ap;
    int n = a->line ? snprintf(line, sizeof(line), "%s:%u: ", a->label, a->line)
                    : snprintf(line, sizeof(line), "%s: ", a->label);

    va_start(ap, fmt);
    if (n < (int)sizeof(line))
        vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
    va_end(ap);
    ap_note_line(a, err_plain(line));
}

void ap_note_line(struct appliance *a, const char *line)
{
    if (a->nnotes == AP_NOTES_MAX)
        line = "and more, which is not said";
    if (a->nnotes++ > AP_NOTES_MAX)
        return;
    size_t n = strlen(line);
    char *more = realloc(a->notes, a->notes_len + n + 2);

    if (a->o.say)
        a->o.say(a->o.opaque, line);
    if (!more)
        return;
    a->notes = more;
    memcpy(more + a->notes_len, line, n);
    memcpy(more + a->notes_len + n, "\n", 2);
    a->notes_len += n + 1;
}

int ap_bad(struct appliance *a, struct err *e, const char *fmt, ...)
{
    char why[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    if (a->line)
        return err_set(e, EINVAL, "%s:%u: %s", a->label, a->line, why);
    return err_set(e, EINVAL, "%s: %s", a->label, why);
}

bool ap_number(const char *s, u64 *v)
{
    char *end;

    if (!s || !isdigit((unsigned char)*s))
        return false;
    errno = 0;
    *v = strtoull(s, &end, 10);
    return !*end && !errno;
}

bool ap_hex(const char *s, const char *between, u8 *out, unsigned len)
{
    unsigned n = 0;

    memset(out, 0, len);
    for (; *s; s++) {
        if (strchr(between, *s))
            continue;
        if (!isxdigit((unsigned char)*s) || n == 2 * len)
            return false;
        int digit = isdigit((unsigned char)*s) ? *s - '0' : (*s | 0x20) - 'a' + 10;
        out[n / 2] |= (u8)(digit << (n % 2 ? 0 : 4));
        n++;
    }
    return n == 2 * len;
}

bool ap_same(const char *a, const char *b)
{
    return a && b && !strcasecmp(a, b);
}

bool ap_true(const char *s)
{
    return ap_same(s, "true") || ap_same(s, "yes") || ap_same(s, "on") || ap_same(s, "1");
}

/* ----------------------------------------------------------------------- files -- */

int ap_slurp(struct appliance *a, const char *path, char **text, size_t *len, struct err *e)
{
    struct disk_options o = {.readonly = true, .no_lock = true, .no_uring = true};
    struct file *f;
    int r = file_open(&f, path, FILE_EMPTY_OK, &o, e);

    *text = NULL;
    if (r)
        return err_prefix(e, "%s", path);
    if (f->size > AP_TEXT_MAX) {
        r = err_set(e, EFBIG, "%s: %llu bytes are too much for a description", path,
                    (unsigned long long)f->size);
    } else {
        *len = f->size;
        *text = malloc(f->size + 1);
        r = *text ? file_read(f, 0, *text, f->size) : -ENOMEM;
        if (r)
            err_set(e, -r, "%s: %s", path, strerror(-r));
        else
            (*text)[f->size] = 0;
    }
    file_close(f);
    if (r) {
        free(*text);
        *text = NULL;
    }
    return r;
}

int ap_xml(struct appliance *a, ap_take *take, struct err *e)
{
    struct xml_doc *doc = NULL;
    char *text;
    size_t len;
    int r = ap_slurp(a, a->path, &text, &len, e);

    if (!r && xml_parse(&doc, text, len, NULL, e))
        r = err_prefix(e, "%s", a->label);
    free(text);
    if (!r)
        r = take(a, xml_root(doc), e);
    xml_free(doc);
    return r;
}

const char *ap_stem(struct appliance *a)
{
    const char *slash = strrchr(a->path, '/'), *name = slash ? slash + 1 : a->path;
    const char *dot = strrchr(name, '.');

    return ap_keep(a, name, dot && dot != name ? (size_t)(dot - name) : strlen(name));
}

/* 1 = there and allowed, 0 = not there, -errno. */
static int try_file(struct appliance *a, const char *path, char real[PATH_MAX], struct err *e)
{
    struct err own = {0};
    int r = 0;

    if (a->o.allow_external)
        r = realpath(path, real) ? 0 : -errno;
    else
        r = disk_path_inside(a->folder, path, real, &own);
    if (!r)
        return 1;
    if (r == -ENOENT || r == -ENOTDIR)
        return 0;
    return err_set(e, -r, "%s",
                   r == -EPERM ? "lies outside the appliance's own directory "
                                 "(--appliance allow-external allows that)"
                               : strerror(-r));
}

/* A foreign name's last part, or its last two, in the description's folder. */
static bool beside(struct appliance *a, const char *host, char real[PATH_MAX])
{
    const char *slash = strrchr(host, '/');
    char joined[PATH_MAX];

    for (unsigned parts = 1; slash && parts <= 2; parts++) {
        if (slash[1] && strcmp(slash, "/..") &&
            snprintf(joined, sizeof(joined), "%s%s", a->folder, slash) < (int)sizeof(joined) &&
            try_file(a, joined, real, NULL) == 1)
            return true;
        slash = slash > host ? memrchr(host, '/', (size_t)(slash - host)) : NULL;
    }
    return false;
}

/* C:\\box\\disk.vhd as /box/disk.vhd: nothing is there, but it has the same last parts. */
static void from_windows(char *out, const char *name)
{
    if (isalpha((unsigned char)name[0]) && name[1] == ':')
        name += 2;
    else if (!strchr(name, '\\') || *name == '/') {
        strcpy(out, name);
        return;
    }
    for (; *name; name++)
        *out++ = *name == '\\' ? '/' : *name;
    *out = 0;
}

int ap_look(struct appliance *a, const char *name, const char **path, struct err *e)
{
    char joined[PATH_MAX], real[PATH_MAX], host[PATH_MAX];
    int r, n;

    if (!strncasecmp(name, "file://", 7))
        name += 7;
    if (!*name || strlen(name) >= sizeof(host) || strstr(name, "://"))
        return err_set(e, EINVAL, "\"%.200s\" is no name of a file", name);
    from_windows(host, name);
    n = *host == '/' ? snprintf(joined, sizeof(joined), "%s", host)
                     : snprintf(joined, sizeof(joined), "%s/%s", a->folder, host);
    if (n >= (int)sizeof(joined))
        return err_set(e, ENAMETOOLONG, "%.80s...: the name is too long", name);
    r = try_file(a, joined, real, e);
    if (r != 1 && beside(a, host, real)) {
        ap_note(a, "%.200s is taken from beside the description", strrchr(real, '/') + 1);
        r = 1;
    }
    if (!r)
        r = err_set(e, ENOENT, "%s", strerror(ENOENT));
    if (r < 0)
        return err_prefix(e, "%.200s", name);
    *path = ap_keep(a, real, strlen(real));
    return *path ? 0 : ap_nomem(a, e);
}

int ap_file(struct appliance *a, const char *name, const char **path, struct err *e)
{
    if (!ap_look(a, name, path, e))
        return 0;
    return a->line ? err_prefix(e, "%s:%u", a->label, a->line) : err_prefix(e, "%s", a->label);
}

/* --------------------------------------------------------------------- reading -- */

static int open_at(struct appliance *a, const char *path, struct err *e)
{
    char inner[PATH_MAX];
    struct stat st;

    if (!stat(path, &st) && S_ISDIR(st.st_mode)) {
        if (!ap_in_folder(path, inner))
            return err_set(e, ENOENT, "%s: holds no description", path);
        path = inner;
    }
    a->path = ap_keep(a, path, strlen(path));
    a->label = strdup(path);
    const char *slash = strrchr(path, '/');
    a->folder = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
    return a->path && a->label && a->folder ? 0 : err_set(e, ENOMEM, "out of memory");
}

int appliance_read(struct appliance **out, const struct appliance_format *f, const char *path,
                   const struct appliance_options *o, struct machine_config *m,
                   struct appliance_run *run, struct err *e)
{
    struct appliance *a = *out = calloc(1, sizeof(*a));

    if (!a)
        return err_set(e, ENOMEM, "out of memory");
    a->format = f;
    a->m = m;
    a->run = run;
    a->o = *o;
    for (unsigned i = 0; i < AP_DRIVES_MAX; i++)
        a->fresh_fd[i] = -1;
    int r = open_at(a, path, e);
    if (!r)
        r = f->read(a, e);
    a->line = 0;
    if (!r)
        r = ap_finish(a, e);
    return r;
}

void appliance_free(struct appliance *a)
{
    if (!a)
        return;
    for (unsigned i = 0; i < AP_DRIVES_MAX; i++)
        if (a->fresh_fd[i] >= 0)
            close(a->fresh_fd[i]);
    kept_free(a->strings);
    ap_manifest_free(a->manifest);
    xlcfg_free(a->xl);
    free(a->notes);
    free(a->label);
    free(a->folder);
    free(a);
}
