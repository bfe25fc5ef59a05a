/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The option parser.  getopt_long() would do most of it, but takes abbreviations, which break
 * scripts when an option is added, and cannot say what was probably meant.
 */
#include "cli/options.h"
#include "cli/options_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct opt_desc opt_table[] = {
#define FILES          "FILES"
#define DIRS           "DIRS"
#define NOTHING        ""
#define SECTION(title) {.section = title},
#define OPT(id, letter, name, arg, complete, help, more)                                           \
    {NULL, OPT_##id, letter, name, arg, complete, help, more},
#include "cli/options.tab"
#undef OPT
#undef SECTION
};
const unsigned opt_table_size = ARRAY_SIZE(opt_table);

static const struct opt_desc *find_name(const char *name, size_t n)
{
    for (unsigned i = 0; i < opt_table_size; i++)
        if (!opt_table[i].section && strlen(opt_table[i].name) == n &&
            !memcmp(opt_table[i].name, name, n))
            return &opt_table[i];
    return NULL;
}

static const struct opt_desc *find_letter(char c)
{
    for (unsigned i = 0; i < opt_table_size; i++)
        if (!opt_table[i].section && opt_table[i].letter == c)
            return &opt_table[i];
    return NULL;
}

const char *opt_name(enum opt_id id)
{
    for (unsigned i = 0; i < opt_table_size; i++)
        if (!opt_table[i].section && opt_table[i].id == id)
            return opt_table[i].name;
    return "";
}

/* Levenshtein distance, cut off at words of 31 characters. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[32], la = (unsigned)strlen(a), lb = (unsigned)strlen(b);
    if (la > 31 || lb > 31)
        return 99;
    for (unsigned j = 0; j <= lb; j++)
        row[j] = j;
    for (unsigned i = 1; i <= la; i++) {
        unsigned diag = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= lb; j++) {
            unsigned up = row[j], best = diag + (a[i - 1] != b[j - 1]);
            best = min(best, up + 1);
            row[j] = min(best, row[j - 1] + 1);
            diag = up;
        }
    }
    return row[lb];
}

const char *nearest(const char *word, const char *const *list)
{
    const char *best = NULL;
    unsigned least = (unsigned)strlen(word) / 3 + 2;
    for (; *list; list++) {
        unsigned d = distance(word, *list);
        if (!strncmp(word, *list, strlen(word)) && strlen(word) >= 2)
            d = 1;
        if (d < least) {
            least = d;
            best = *list;
        }
    }
    return best;
}

static int unknown(const char *opt, size_t n, struct err *e)
{
    const char *names[ARRAY_SIZE(opt_table) + 1];
    char word[64];
    unsigned k = 0;
    for (unsigned i = 0; i < opt_table_size; i++)
        if (!opt_table[i].section)
            names[k++] = opt_table[i].name;
    names[k] = NULL;
    snprintf(word, sizeof(word), "%.*s", (int)n, opt);
    const char *meant = nearest(word, names);
    if (meant)
        return err_set(e, EINVAL, "unknown option --%s; did you mean --%s?", word, meant);
    return err_set(e, EINVAL, "unknown option --%s; \"wirt run --help\" lists them", word);
}

static int parse_long(char **argv, int *i, int argc, opt_fn *fn, void *opaque, struct err *e)
{
    const char *name = argv[*i] + 2, *eq = strchr(name, '=');
    size_t n = eq ? (size_t)(eq - name) : strlen(name);
    const struct opt_desc *o = find_name(name, n);
    if (n == 4 && !memcmp(name, "help", 4))
        return fn(opaque, OPT_HELP, NULL, e);
    if (!o)
        return unknown(name, n, e);
    if (!o->arg)
        return eq ? err_set(e, EINVAL, "--%s takes no argument", o->name)
                  : fn(opaque, o->id, NULL, e);
    const char *arg = eq ? eq + 1 : *i + 1 < argc ? argv[++*i] : NULL;
    if (!arg)
        return err_set(e, EINVAL, "--%s needs an argument: %s", o->name, o->arg);
    int r = fn(opaque, o->id, arg, e);
    return r && r != -ECANCELED ? err_prefix(e, "--%s", o->name) : r;
}

static int parse_short(char **argv, int *i, int argc, opt_fn *fn, void *opaque, struct err *e)
{
    char c = argv[*i][1];
    const char *rest = argv[*i] + 2;
    const struct opt_desc *o = find_letter(c);
    if (c == 'h' && !*rest)
        return fn(opaque, OPT_HELP, NULL, e);
    if (!o)
        return err_set(e, EINVAL, "unknown option -%c; \"wirt run --help\" lists them", c);
    const char *arg = *rest ? rest : *i + 1 < argc ? argv[++*i] : NULL;
    if (!arg)
        return err_set(e, EINVAL, "-%c needs an argument: %s", c, o->arg);
    int r = fn(opaque, o->id, arg, e);
    return r && r != -ECANCELED ? err_prefix(e, "--%s", o->name) : r;
}

int opts_parse(int argc, char **argv, opt_fn *fn, void *opaque, struct err *e)
{
    bool plain = false;
    int r = 0;
    for (int i = 1; !r && i < argc; i++) {
        const char *a = argv[i];
        if (!plain && !strcmp(a, "--"))
            plain = true;
        else if (!plain && a[0] == '-' && a[1] == '-')
            r = parse_long(argv, &i, argc, fn, opaque, e);
        else if (!plain && a[0] == '-' && a[1])
            r = parse_short(argv, &i, argc, fn, opaque, e);
        else
            r = fn(opaque, OPT_COUNT, a, e);
    }
    return r;
}
