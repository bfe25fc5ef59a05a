/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `wirt disk`: the choice among its commands, and their options.
 */
#include "cli/disk/disk.h"
#include "cli/cli.h"
#include "cli/parse.h"
#include "disk/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum disk_opt {
    DOPT_FORMAT,
    DOPT_FORMAT2,
    DOPT_TARGET_FORMAT,
    DOPT_OPTIONS,
    DOPT_BACKING,
    DOPT_BACKING_FORMAT,
    DOPT_INTERNAL,
    DOPT_COMPRESS,
    DOPT_SPARSE,
    DOPT_NO_CREATE,
    DOPT_FORCE,
    DOPT_CACHE,
    DOPT_SOURCE_CACHE,
    DOPT_JOBS,
    DOPT_PROGRESS,
    DOPT_REPAIR,
    DOPT_SHRINK,
    DOPT_STRICT,
    DOPT_START,
    DOPT_LENGTH,
    DOPT_CHAIN,
    DOPT_VHD_SIZE,
    DOPT_OUTPUT,
    DOPT_SHARE,
    DOPT_EXTERNAL,
    DOPT_QUIET,
    DOPT_ARGUMENT,
};

static const struct opt_desc disk_table[] = {
#define FILES   "FILES"
#define FORMATS "FORMATS"
#define NOTHING ""
#define DOPT(id, letter, name, arg, complete, verbs, help, more)                                   \
    {NULL, DOPT_##id, letter, name, arg, complete, help, more, verbs},
#include "cli/disk/options.tab"
#undef DOPT
};
const struct opt_set disk_options_set = {disk_table, ARRAY_SIZE(disk_table), "wirt disk", NULL,
                                         DOPT_ARGUMENT};

const struct disk_verb disk_verbs[] = {
#define VERB(name, failed, args, least, most, help, more, status)                                  \
    {#name, disk_verb_##name, failed, args, least, most, help, more, status},
#include "cli/disk/verbs.tab"
#undef VERB
    {0},
};

/* -------------------------------------------------------------------- options -- */

static int add_options(struct disk_args *a, const char *arg, struct err *e)
{
    char *all = NULL;
    if (!strcmp(arg, "help") || !strcmp(arg, "?")) {
        a->list_options = true;
        return 0;
    }
    if (!*arg)
        return 0;
    if (asprintf(&all, "%s%s%s", a->options ? a->options : "", a->options ? "," : "", arg) < 0)
        return err_set(e, ENOMEM, "out of memory");
    free(a->options);
    a->options = all;
    return 0;
}

static int take_format(const char **format, const char *arg, struct err *e)
{
    char all[200] = "";
    *format = arg;
    if (format_find(arg))
        return 0;
    for (unsigned i = 0; disk_formats[i]; i++) {
        strncat(all, i ? ", " : "", sizeof(all) - strlen(all) - 1);
        strncat(all, disk_formats[i]->name, sizeof(all) - strlen(all) - 1);
    }
    return err_set(e, EINVAL, "\"%s\" is none of %s", arg, all);
}

static int take_word(const char *arg, const char *yes, const char *no, bool *v, struct err *e)
{
    *v = !strcmp(arg, yes);
    return *v || !strcmp(arg, no) ? 0
                                  : err_set(e, EINVAL, "\"%s\" is neither %s nor %s", arg, yes, no);
}

static int take_sparse(struct disk_args *a, const char *arg, struct err *e)
{
    int r = parse_size(&a->sparse, arg, 1, e);
    if (!r && a->sparse && (!is_pow2(a->sparse) || a->sparse < 512 || a->sparse > MIB))
        r = err_set(e, EINVAL, "\"%s\" is neither 0 nor a power of two from 512 to 1M", arg);
    return r;
}

static int take_value(struct disk_args *a, int id, const char *arg, struct err *e)
{
    u64 n = 0;
    bool chs;
    int r;
    switch (id) {
    case DOPT_FORMAT:
        return take_format(&a->format, arg, e);
    case DOPT_FORMAT2:
        return take_format(&a->format2, arg, e);
    case DOPT_TARGET_FORMAT:
        return take_format(&a->target_format, arg, e);
    case DOPT_BACKING_FORMAT:
        return take_format(&a->backing_format, arg, e);
    case DOPT_OPTIONS:
        return add_options(a, arg, e);
    case DOPT_BACKING:
        a->backing = arg;
        return 0;
    case DOPT_INTERNAL:
        a->internal = arg;
        return 0;
    case DOPT_SPARSE:
        return take_sparse(a, arg, e);
    case DOPT_CACHE:
        return disk_cache_parse(&a->cache, arg, e);
    case DOPT_SOURCE_CACHE:
        return disk_cache_parse(&a->source_cache, arg, e);
    case DOPT_JOBS:
        r = parse_number(&n, arg, 1, WALK_JOBS_MAX, e);
        a->jobs = (unsigned)n;
        return r;
    case DOPT_REPAIR:
        a->repair_leaks = true;
        return take_word(arg, "all", "leaks", &a->repair_all, e);
    case DOPT_START:
        return parse_size(&a->start, arg, 1, e);
    case DOPT_LENGTH:
        a->have_length = true;
        return parse_size(&a->length, arg, 1, e);
    case DOPT_VHD_SIZE:
        a->vhd_size = arg;
        return take_word(arg, "chs", "current", &chs, e);
    case DOPT_OUTPUT:
        return take_word(arg, "json", "human", &a->json, e);
    default:
        return -ENOENT;
    }
}

static int take(void *opaque, int id, const char *arg, struct err *e)
{
    struct disk_args *a = opaque;
    bool *const flag[] = {
        [DOPT_COMPRESS] = &a->compress, [DOPT_NO_CREATE] = &a->no_create,
        [DOPT_FORCE] = &a->force,       [DOPT_PROGRESS] = &a->progress,
        [DOPT_SHRINK] = &a->shrink,     [DOPT_STRICT] = &a->strict,
        [DOPT_CHAIN] = &a->chain,       [DOPT_SHARE] = &a->share,
        [DOPT_EXTERNAL] = &a->external, [DOPT_QUIET] = &a->quiet,
    };
    int r;
    if (id == OPT_HELP) {
        a->help = true;
        return -ECANCELED;
    }
    if (id == DOPT_ARGUMENT) {
        if (a->nargs == ARRAY_SIZE(a->arg))
            return err_set(e, E2BIG, "%s: one argument too many", arg);
        a->arg[a->nargs++] = arg;
        return 0;
    }
    r = take_value(a, id, arg, e);
    if (r != -ENOENT)
        return r;
    BUG_ON((unsigned)id >= ARRAY_SIZE(flag) || !flag[id]); /* a row that nobody takes */
    *flag[id] = true;
    return 0;
}

/* -------------------------------------------------------------- for the commands -- */

struct disk_options disk_args_open(const struct disk_args *a, const char *format, bool write)
{
    return (struct disk_options){.readonly = !write,
                                 .format = format,
                                 .cache = write ? DISK_WRITEBACK : a->source_cache,
                                 .allow_external = a->external,
                                 .vhd_size = a->vhd_size,
                                 .no_lock = a->share && !write};
}

const char *disk_format_of(const char *path)
{
    static const struct {
        const char *suffix, *format;
    } list[] = {{"qcow2", "qcow2"}, {"vmdk", "vmdk"}, {"vdi", "vdi"},       {"vhd", "vpc"},
                {"vpc", "vpc"},     {"vhdx", "vhdx"}, {"hdd", "parallels"}, {"hds", "parallels"}};
    const char *dot = strrchr(path, '.');
    for (unsigned i = 0; dot && !strchr(dot, '/') && i < ARRAY_SIZE(list); i++)
        if (!strcasecmp(dot + 1, list[i].suffix) && format_find(list[i].format))
            return list[i].format;
    return "raw";
}

const char *disk_human(char out[32], u64 bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)bytes;
    unsigned i = 0;
    while (v >= 1000 && i + 1 < ARRAY_SIZE(units)) {
        v /= 1024;
        i++;
    }
    snprintf(out, 32, "%.3g %s", v, units[i]);
    return out;
}

void disk_print_json(json_t *j)
{
    json_dumpf(j, stdout, JSON_INDENT(4));
    putchar('\n');
    json_decref(j);
}

json_t *disk_json_text(const char *s)
{
    json_t *v = json_string(s);
    char *copy = v ? NULL : strdup(s);
    for (char *p = copy; p && *p; p++)
        *p = *p & 0x80 ? '?' : *p;
    if (copy)
        v = json_string(copy);
    free(copy);
    return v;
}

/* ------------------------------------------------------------------------ choice -- */

static const struct disk_verb *find_verb(const char *word, struct err *e)
{
    const char *names[ARRAY_SIZE(disk_verbs)];
    unsigned i = 0;
    for (; disk_verbs[i].name; i++) {
        names[i] = disk_verbs[i].name;
        if (!strcmp(word, names[i]))
            return &disk_verbs[i];
    }
    names[i] = NULL;
    const char *meant = nearest(word, names);
    if (meant)
        err_set(e, EINVAL, "disk: unknown command \"%s\"; did you mean \"%s\"?", word, meant);
    else
        err_set(e, EINVAL, "disk: unknown command \"%s\"; \"wirt disk --help\" lists them", word);
    return NULL;
}

static int run_verb(const struct disk_verb *v, int argc, char **argv, struct err *e)
{
    struct disk_args a = {.sparse = 4096, .cache = DISK_UNSAFE};
    struct opt_set set = disk_options_set;
    char command[40];
    int r;
    snprintf(command, sizeof(command), "wirt disk %s", v->name);
    set.command = command;
    set.verb = v->name;
    r = opts_parse(&set, argc, argv, take, &a, e);
    if (a.help) {
        disk_help(stdout, v->name);
        r = 0;
    } else if (!r && a.list_options) {
        const char *name = a.target_format                          ? a.target_format
                           : a.format && strcmp(v->name, "convert") ? a.format
                           : a.nargs ? disk_format_of(a.arg[a.nargs - 1])
                                     : "raw";
        disk_help_options(stdout, format_find(name));
    } else if (!r && (a.nargs < v->least || a.nargs > v->most)) {
        r = err_set(e, EINVAL, "usage: wirt disk %s %s", v->name, v->args);
    } else if (!r) {
        r = v->fn(&a, e);
    }
    free(a.options);
    return r;
}

int cli_disk(int argc, char **argv)
{
    struct err e = {0};
    const char *word = argc > 1 ? argv[1] : "";
    if (!*word || !strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help")) {
        disk_help(*word ? stdout : stderr, argc > 2 ? argv[2] : NULL);
        return *word ? CLI_OK : CLI_ERROR;
    }
    const struct disk_verb *v = find_verb(word, &e);
    int r = v ? run_verb(v, argc - 1, argv + 1, &e) : -e.code;
    if (r >= 0)
        return r;
    fprintf(stderr, "wirt: %s\n", e.msg);
    return v ? v->failed : CLI_ERROR;
}
