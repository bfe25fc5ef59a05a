/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of a saved machine: pairs of name and argument, a zero behind each.  The name of a disk
 * that was given without an option is empty; "identity" is what addresses and UUID derive from.
 */
#include "cli/saved_options.h"

#include "board/config.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the command line may do with an option that the saved machine has; those that are not named
 * are FIXED. */
enum change { FIXED, /* it is the machine */ PLACE, /* one of several: by place */ ONE };

static const struct kind {
    enum opt_id id;
    enum change change;
    bool file; /* the argument begins with the name of a file */
} kinds[] = {
    {OPT_NAME, ONE, false},    {OPT_DISK, PLACE, true},     {OPT_COUNT, PLACE, true},
    {OPT_CDROM, PLACE, true},  {OPT_FLOPPY, PLACE, true},   {OPT_SNAPSHOT, ONE, false},
    {OPT_NET, PLACE, false},   {OPT_SERIAL, PLACE, false},  {OPT_CONSOLE, PLACE, false},
    {OPT_FIRMWARE, ONE, true}, {OPT_KERNEL, ONE, true},     {OPT_INITRD, ONE, true},
    {OPT_EFI_VARS, ONE, true}, {OPT_NO_REBOOT, ONE, false}, {OPT_DEBUGCON, ONE, false},
    {OPT_USB, PLACE, false},
};

static const struct kind *kind_of(enum opt_id id)
{
    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++)
        if (kinds[i].id == id)
            return &kinds[i];
    static const struct kind fixed = {.change = FIXED};
    return &fixed;
}

static bool is_disk(enum opt_id id)
{
    return id == OPT_DISK || id == OPT_COUNT;
}

/* Bytes before the options; a comma of the name itself is written twice, and such a name is left
 * as it is. */
static size_t path_len(const char *arg)
{
    size_t n = strcspn(arg, ",");

    return arg[n] && arg[n + 1] == ',' ? PATH_MAX : n;
}

/* Is it a word where others have a file's name? */
static bool is_word(const struct kind *k, const char *arg)
{
    return k->id == OPT_FIRMWARE && !strcmp(arg, FIRMWARE_EFI);
}

/* A copy with the file's name made absolute, if there is such a file, or it will be made. */
static char *absolute(const struct kind *k, const char *arg)
{
    size_t n = k->id == OPT_DISK ? path_len(arg) : strlen(arg);
    char cwd[PATH_MAX], name[PATH_MAX], *out = NULL;

    if (k->file && *arg != '/' && n < sizeof(name) && !is_word(k, arg)) {
        memcpy(name, arg, n);
        name[n] = 0;
        if ((k->id == OPT_EFI_VARS || !access(name, F_OK)) && getcwd(cwd, sizeof(cwd)))
            return asprintf(&out, "%s/%s", cwd, arg) < 0 ? NULL : out;
    }
    return strdup(arg);
}

int saved_add(struct saved_options *s, enum opt_id id, const char *arg, struct err *e)
{
    if (s->n == SAVED_OPTIONS_MAX)
        return err_set(e, E2BIG, "more than %d options", SAVED_OPTIONS_MAX);
    struct saved_option *o = &s->o[s->n];
    *o = (struct saved_option){.id = id, .arg = arg ? absolute(kind_of(id), arg) : NULL};
    if (arg && !o->arg)
        return err_set(e, ENOMEM, "out of memory");
    s->n++;
    return 0;
}

/* A disk that is only given another file keeps its options. */
static char *new_arg(const struct saved_option *o, enum opt_id id, const char *arg)
{
    const char *options = o->id == OPT_DISK && o->arg ? strchr(o->arg, ',') : NULL;
    char *name = absolute(kind_of(id), arg), *out = name;

    if (name && is_disk(id) && options && !strchr(arg, ',')) {
        if (asprintf(&out, "%s%s", name, options) < 0)
            out = NULL;
        free(name);
    }
    return out;
}

int saved_replace(struct saved_options *s, unsigned given[OPT_COUNT + 1], enum opt_id id,
                  const char *arg, struct err *e)
{
    const struct kind *k = kind_of(id);
    enum opt_id count = is_disk(id) ? OPT_DISK : id;
    unsigned n = k->change == PLACE ? given[count]++ : 0;

    if (k->change == FIXED)
        return err_set(e, EINVAL, "this comes from the saved machine");
    for (unsigned i = 0; i < s->n; i++) {
        struct saved_option *o = &s->o[i];
        if (o->id != id && !(is_disk(id) && is_disk(o->id)))
            continue;
        if (n--)
            continue;
        char *fresh = arg ? new_arg(o, id, arg) : NULL;
        if (arg && !fresh)
            return err_set(e, ENOMEM, "out of memory");
        free(o->arg);
        o->arg = fresh;
        o->anew = true;
        if (is_disk(id) && strchr(fresh, ','))
            o->id = OPT_DISK;
        return 0;
    }
    if (k->change == PLACE && id != OPT_SERIAL && id != OPT_NET)
        return err_set(e, EINVAL, "the saved machine has %u of these", given[count] - 1);
    int r = saved_add(s, id, arg, e);
    if (!r)
        s->o[s->n - 1].anew = true;
    return r;
}

/* ------------------------------------------------------------------- text -- */

static const char identity_name[] = "identity";

char *saved_text(const struct saved_options *s, const char *identity, u64 *len)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);

    if (!f)
        return NULL;
    fprintf(f, "%s%c%s%c", identity_name, 0, identity, 0);
    for (unsigned i = 0; i < s->n; i++)
        fprintf(f, "%s%c%s%c", opt_name(s->o[i].id), 0, s->o[i].arg ? s->o[i].arg : "", 0);
    if (fclose(f)) {
        free(text);
        return NULL;
    }
    *len = n;
    return text;
}

static int parse_one(struct saved_options *s, const char *name, const char *arg, struct err *e)
{
    int id = 0;

    while (id < OPT_COUNT && (strcmp(opt_name(id), name) || !*name))
        id++;
    if (id == OPT_COUNT && *name) /* that of an argument alone is empty */
        return err_set(e, EINVAL, "machine: unknown option \"%.40s\"", name);
    if (s->n == SAVED_OPTIONS_MAX)
        return err_set(e, E2BIG, "machine: more than %d options", SAVED_OPTIONS_MAX);
    struct saved_option *o = &s->o[s->n];
    *o = (struct saved_option){.id = id, .arg = strdup(arg)};
    if (!o->arg)
        return err_set(e, ENOMEM, "out of memory");
    s->n++;
    return 0;
}

int saved_parse(struct saved_options *s, const char *text, u64 len, const char **identity,
                struct err *e)
{
    const char *p = text, *end = text + len;
    int r = 0;

    if (len && end[-1])
        return err_set(e, EINVAL, "machine: impossible");
    while (p < end && !r) {
        const char *name = p, *arg = p + strlen(p) + 1;
        if (arg >= end)
            return err_set(e, EINVAL, "machine: impossible");
        p = arg + strlen(arg) + 1;
        if (!strcmp(name, identity_name))
            *identity = arg;
        else
            r = parse_one(s, name, arg, e);
    }
    return r;
}

void saved_free(struct saved_options *s)
{
    for (unsigned i = 0; i < s->n; i++)
        free(s->o[i].arg);
    s->n = 0;
}
