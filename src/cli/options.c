/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The option parser.  getopt_long() would do most of it, but takes abbreviations, which break
 * scripts when an option is added, and cannot say what was probably meant.
 */
#include "cli/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct opt_desc run_table[] = {
#define FILES          "FILES"
#define DIRS           "DIRS"
#define NOTHING        ""
#define SECTION(title) {.section = title},
#define OPT(id, letter, name, arg, complete, help, more)                                           \
    {NULL, OPT_##id, letter, name, arg, complete, help, more, NULL},
#include "cli/options.tab"
#undef OPT
#undef SECTION
};
const struct opt_set run_options = {run_table, ARRAY_SIZE(run_table), "wirt run", NULL, OPT_COUNT};

bool opt_belongs(const struct opt_set *set, const struct opt_desc *o)
{
    size_t n = set->verb ? strlen(set->verb) : 0;
    if (o->section || !n || !o->verbs)
        return !o->section;
    for (const char *p = o->verbs; (p = strstr(p, set->verb)); p += n)
        if ((p == o->verbs || p[-1] == ' ') && (!p[n] || p[n] == ' '))
            return true;
    return false;
}

static const struct opt_desc *find_name(const struct opt_set *set, const char *name, size_t n)
{
    for (const struct opt_desc *o = set->row; o < set->row + set->rows; o++)
        if (opt_belongs(set, o) && strlen(o->name) == n && !memcmp(o->name, name, n))
            return o;
    return NULL;
}

static const struct opt_desc *find_letter(const struct opt_set *set, char c)
{
    for (const struct opt_desc *o = set->row; o < set->row + set->rows; o++)
        if (opt_belongs(set, o) && o->letter == c)
            return o;
    return NULL;
}

const char *opt_name(enum opt_id id)
{
    for (unsigned i = 0; i < ARRAY_SIZE(run_table); i++)
        if (!run_table[i].section && run_table[i].id == (int)id)
            return run_table[i].name;
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

enum { NAMES_MAX = 100 };

static int unknown(const struct opt_set *set, const char *opt, size_t n, struct err *e)
{
    const char *names[NAMES_MAX + 1];
    char word[64];
    unsigned k = 0;
    for (const struct opt_desc *o = set->row; o < set->row + set->rows && k < NAMES_MAX; o++)
        if (opt_belongs(set, o))
            names[k++] = o->name;
    names[k] = NULL;
    snprintf(word, sizeof(word), "%.*s", (int)n, opt);
    const char *meant = nearest(word, names);
    if (meant)
        return err_set(e, EINVAL, "unknown option --%s; did you mean --%s?", word, meant);
    return err_set(e, EINVAL, "unknown option --%s; \"%s --help\" lists them", word, set->command);
}

/* What is being parsed. */
struct parser {
    const struct opt_set *set;
    int argc, i;
    char **argv;
    opt_fn *fn;
    void *opaque;
    struct err *e;
};

static int give(struct parser *p, const struct opt_desc *o, const char *arg)
{
    int r = p->fn(p->opaque, o->id, arg, p->e);
    return r && r != -ECANCELED && arg ? err_prefix(p->e, "--%s", o->name) : r;
}

static int parse_long(struct parser *p)
{
    const char *name = p->argv[p->i] + 2, *eq = strchr(name, '=');
    size_t n = eq ? (size_t)(eq - name) : strlen(name);
    const struct opt_desc *o = find_name(p->set, name, n);
    if (n == 4 && !memcmp(name, "help", 4))
        return p->fn(p->opaque, OPT_HELP, NULL, p->e);
    if (!o)
        return unknown(p->set, name, n, p->e);
    if (!o->arg)
        return eq ? err_set(p->e, EINVAL, "--%s takes no argument", o->name) : give(p, o, NULL);
    const char *arg = eq ? eq + 1 : p->i + 1 < p->argc ? p->argv[++p->i] : NULL;
    if (!arg)
        return err_set(p->e, EINVAL, "--%s needs an argument: %s", o->name, o->arg);
    return give(p, o, arg);
}

static int parse_short(struct parser *p)
{
    for (const char *c = p->argv[p->i] + 1; *c; c++) {
        const struct opt_desc *o = find_letter(p->set, *c);
        int r;
        if (!o && *c == 'h')
            return p->fn(p->opaque, OPT_HELP, NULL, p->e);
        if (!o)
            return err_set(p->e, EINVAL, "unknown option -%c; \"%s --help\" lists them", *c,
                           p->set->command);
        if (o->arg) {
            const char *arg = c[1] ? c + 1 : p->i + 1 < p->argc ? p->argv[++p->i] : NULL;
            if (!arg)
                return err_set(p->e, EINVAL, "-%c needs an argument: %s", *c, o->arg);
            return give(p, o, arg);
        }
        r = give(p, o, NULL);
        if (r)
            return r;
    }
    return 0;
}

int opts_parse(const struct opt_set *set, int argc, char **argv, opt_fn *fn, void *opaque,
               struct err *e)
{
    struct parser p = {set, argc, 1, argv, fn, opaque, e};
    bool plain = false;
    int r = 0;
    for (; !r && p.i < argc; p.i++) {
        const char *a = argv[p.i];
        if (!plain && !strcmp(a, "--"))
            plain = true;
        else if (!plain && a[0] == '-' && a[1] == '-')
            r = parse_long(&p);
        else if (!plain && a[0] == '-' && a[1] && !isdigit((unsigned char)a[1]))
            r = parse_short(&p);
        else
            r = fn(opaque, set->argument, a, e);
    }
    return r;
}
