/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The texts of `wirt disk`, from its tables.
 */
#include "cli/disk/disk.h"

#include <string.h>

static void print_verb(FILE *f, const struct disk_verb *v)
{
    struct opt_set set = disk_options_set;
    set.verb = v->name;
    fprintf(f, "usage: wirt disk %s %s\n\n%s.%s%s\n\n", v->name, v->args, v->help,
            *v->more ? "\n" : "", v->more);
    for (const struct opt_desc *o = set.row; o < set.row + set.rows; o++)
        if (opt_belongs(&set, o))
            opt_help(f, o);
    fprintf(f, "\nExit status: %s.\n", v->status);
}

static void print_formats(FILE *f, const char *title, unsigned caps)
{
    fprintf(f, "%s", title);
    for (unsigned i = 0; disk_formats[i]; i++)
        if ((disk_formats[i]->caps & caps) == caps)
            fprintf(f, " %s", disk_formats[i]->name);
    fputc('\n', f);
}

void disk_help(FILE *f, const char *verb)
{
    for (const struct disk_verb *v = disk_verbs; v->name; v++) {
        if (verb && !strcmp(v->name, verb)) {
            print_verb(f, v);
            return;
        }
    }
    for (const struct disk_verb *v = disk_verbs; v->name; v++) {
        char left[100];
        snprintf(left, sizeof(left), "wirt disk %s %s", v->name, v->args);
        fprintf(f, "%s %-46s %s%s\n", v == disk_verbs ? "usage:" : "      ", left,
                strlen(left) > 46 ? "\n                                                      " : "",
                v->help);
    }
    fputs("\n\"wirt disk COMMAND --help\" lists a command's options.\n\n", f);
    print_formats(f, "Formats that are read:   ", 0);
    print_formats(f, "Formats that are written:", DISK_CAN_WRITE);
    print_formats(f, "Formats that are made:   ", DISK_CAN_CREATE);
}

void disk_help_options(FILE *f, const struct format *format)
{
    const struct create_option *o = format->options;
    fprintf(f, "Options of %s images:\n", format->title);
    if (!o || !o->name)
        fputs("  none\n", f);
    for (; o && o->name; o++)
        fprintf(f, "  %-22s %s\n", o->name, o->help);
}

void disk_man(FILE *f)
{
    fputs(".SH DISK IMAGES\n", f);
    for (const struct disk_verb *v = disk_verbs; v->name; v++) {
        struct opt_set set = disk_options_set;
        set.verb = v->name;
        fprintf(f, ".SS \"wirt disk %s ", v->name);
        troff(f, v->args);
        fputs("\"\n", f);
        troff(f, v->help);
        fputs(".\n", f);
        if (*v->more) {
            troff(f, v->more);
            fputc('\n', f);
        }
        for (const struct opt_desc *o = set.row; o < set.row + set.rows; o++)
            if (opt_belongs(&set, o))
                opt_man(f, o);
        fputs(".PP\nExit status: ", f);
        troff(f, v->status);
        fputs(".\n", f);
    }
    fputs(".SS \"Options of new images\"\n", f);
    for (unsigned i = 0; disk_formats[i]; i++) {
        if (!disk_formats[i]->create)
            continue;
        fprintf(f, ".TP\n.B %s\n", disk_formats[i]->name);
        for (const struct create_option *o = disk_formats[i]->options; o && o->name; o++) {
            fprintf(f, "%s\\fI", o == disk_formats[i]->options ? "" : ";\n");
            troff(f, o->name);
            fputs("\\fR: ", f);
            troff(f, o->help);
        }
        fputs(".\n", f);
    }
}

static void bash_words(FILE *f, const char *complete)
{
    if (!strcmp(complete, "FILES")) {
        fputs("COMPREPLY=($(compgen -f -- \"$cur\"))", f);
        return;
    }
    fputs("COMPREPLY=($(compgen -W '", f);
    if (!strcmp(complete, "FORMATS"))
        for (unsigned i = 0; disk_formats[i]; i++)
            fprintf(f, "%s%s", i ? " " : "", disk_formats[i]->name);
    else
        fputs(complete, f);
    fputs("' -- \"$cur\"))", f);
}

/* What stands in the function _wirt for the word "disk". */
void disk_bash(FILE *f)
{
    fputs("    disk)\n        if ((COMP_CWORD == 2)); then\n            COMPREPLY=($(compgen -W '",
          f);
    for (const struct disk_verb *v = disk_verbs; v->name; v++)
        fprintf(f, "%s%s", v == disk_verbs ? "" : " ", v->name);
    fputs("' -- \"$cur\"))\n            return\n        fi\n        case ${COMP_WORDS[2]} in\n", f);
    for (const struct disk_verb *v = disk_verbs; v->name; v++) {
        struct opt_set set = disk_options_set;
        set.verb = v->name;
        fprintf(f, "        %s)\n            case $prev in\n", v->name);
        for (const struct opt_desc *o = set.row; o < set.row + set.rows; o++) {
            if (!opt_belongs(&set, o) || !o->arg)
                continue;
            fprintf(f, "            --%s", o->name);
            if (o->letter)
                fprintf(f, "|-%c", o->letter);
            fputs(") ", f);
            if (*o->complete)
                bash_words(f, o->complete);
            fputs(*o->complete ? "; return ;;\n" : "return ;;\n", f);
        }
        fputs("            esac\n            [[ $cur == -* ]] && COMPREPLY=($(compgen -W '", f);
        for (const struct opt_desc *o = set.row; o < set.row + set.rows; o++)
            if (opt_belongs(&set, o))
                fprintf(f, "--%s ", o->name);
        fputs("' -- \"$cur\")) && return\n", f);
        if (!strcmp(v->name, "snapshot"))
            fputs("            if ((COMP_CWORD == 3)); then COMPREPLY=($(compgen -W "
                  "'list create apply delete' -- \"$cur\")); return; fi\n",
                  f);
        fputs("            ;;\n", f);
    }
    fputs("        esac\n        COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", f);
}
