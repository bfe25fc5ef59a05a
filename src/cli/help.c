/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Texts made from the option table: --help, the man page, bash completion.
 */
#include "cli/cli.h"
#include "cli/disk/disk.h"
#include "cli/options.h"

#include <string.h>

const struct exit_meaning exit_meanings[] = {
    {CLI_OK, "the guest powered itself off"},
    {CLI_ERROR, "wrong usage, or something on the host failed"},
    {CLI_QUIT, "the user ended the machine (Ctrl-A x, SIGTERM, SIGINT, SIGHUP)"},
    {CLI_RESET, "the guest reset itself and --no-reboot was given"},
    {CLI_FAILED, "the engine failed, or --check found a difference"},
    {-1, NULL},
};

void cli_usage(FILE *f)
{
    for (const struct cli_command *c = cli_commands; c->name; c++) {
        char left[80];
        snprintf(left, sizeof(left), "wirt %s %s", c->name, c->args);
        fprintf(f, "%s %-31s %s\n", c == cli_commands ? "usage:" : "      ", left, c->help);
    }
}

void opt_help(FILE *f, const struct opt_desc *o)
{
    char left[80];
    int n = o->letter ? snprintf(left, sizeof(left), "  -%c, --%s", o->letter, o->name)
                      : snprintf(left, sizeof(left), "      --%s", o->name);
    if (o->arg)
        n += snprintf(left + n, sizeof(left) - (size_t)n, " %s", o->arg);
    if (n > 30)
        fprintf(f, "%s\n%30s  %s\n", left, "", o->help);
    else
        fprintf(f, "%-30s  %s\n", left, o->help);
}

void opts_help(FILE *f)
{
    fputs("usage: wirt run [OPTION...] [DISK|APPLIANCE]\n\n"
          "  wirt run disk.img\n"
          "  wirt run --cdrom install.iso --disk disk.img --memory 2G\n"
          "  wirt run box.ova\n"
          "  wirt run --kernel vmlinuz --initrd initrd.img --append console=ttyS0\n",
          f);
    for (const struct opt_desc *o = run_options.row; o < run_options.row + run_options.rows; o++) {
        if (o->section)
            fprintf(f, "\n%s:\n", o->section);
        else
            opt_help(f, o);
    }
    fputs("\nExit status:\n", f);
    for (const struct exit_meaning *x = exit_meanings; x->text; x++)
        fprintf(f, "  %d  %s\n", x->status, x->text);
    fputs("  odd: value * 2 + 1 that the guest wrote to port 0xf4 (--debug-exit)\n", f);
}

/* Text into troff: a hyphen is a minus, a leading dot is no request. */
void troff(FILE *f, const char *s)
{
    if (*s == '.' || *s == '\'')
        fputs("\\&", f);
    for (; *s; s++) {
        if (*s == '-')
            fputs("\\-", f);
        else if (*s == '\\')
            fputs("\\e", f);
        else
            fputc(*s, f);
    }
}

void opt_man(FILE *f, const struct opt_desc *o)
{
    fputs(".TP\n", f);
    if (o->letter)
        fprintf(f, "\\fB\\-%c\\fR, ", o->letter);
    fputs("\\fB\\-\\-", f);
    troff(f, o->name);
    fputs("\\fR", f);
    if (o->arg) {
        fputs(" \\fI", f);
        troff(f, o->arg);
        fputs("\\fR", f);
    }
    fputc('\n', f);
    troff(f, o->help);
    fputs(".\n", f);
    if (*o->more) {
        troff(f, o->more);
        fputc('\n', f);
    }
}

void opts_man(FILE *f)
{
    fputs(".TH WIRT 1 \"\" \"Wirt " WIRT_VERSION "\" \"User Commands\"\n"
          ".SH NAME\nwirt \\- run whole PCs\n"
          ".SH SYNOPSIS\n",
          f);
    for (const struct cli_command *c = cli_commands; c->name; c++) {
        fprintf(f, ".B wirt %s\n", c->name);
        if (*c->args) {
            troff(f, c->args);
            fputc('\n', f);
        }
        if (c[1].name)
            fputs(".br\n", f);
    }
    fputs(".SH DESCRIPTION\n"
          "Wirt runs unmodified operating systems on a virtual PC, with or without hardware "
          "support for it. On a terminal the guest's first serial port is on standard input and "
          "output; Ctrl\\-A x ends the machine and Ctrl\\-A h lists the other keys.\n"
          ".SH COMMANDS\n",
          f);
    for (const struct cli_command *c = cli_commands; c->name; c++) {
        fprintf(f, ".TP\n\\fBwirt %s\\fR%s", c->name, *c->args ? " " : "");
        troff(f, c->args);
        fputc('\n', f);
        troff(f, c->help);
        fputs(".\n", f);
        if (*c->more) {
            troff(f, c->more);
            fputc('\n', f);
        }
    }
    fputs(".SH OPTIONS OF RUN\n", f);
    for (const struct opt_desc *o = run_options.row; o < run_options.row + run_options.rows; o++) {
        if (o->section)
            fprintf(f, ".SS \"%s\"\n", o->section);
        else
            opt_man(f, o);
    }
    disk_man(f);
    fputs(".SH EXIT STATUS\n", f);
    for (const struct exit_meaning *x = exit_meanings; x->text; x++) {
        fprintf(f, ".TP\n.B %d\n", x->status);
        troff(f, x->text);
        fputs(".\n", f);
    }
    fputs(".TP\n.B odd\nThe guest wrote a value to port 0xf4 under \\fB\\-\\-debug\\-exit\\fR; the "
          "status is value * 2 + 1.\n",
          f);
}

void opts_bash(FILE *f)
{
    fputs("# bash completion for wirt; made from its tables\n"
          "_wirt() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
          "    if ((COMP_CWORD == 1)); then\n"
          "        COMPREPLY=($(compgen -W '",
          f);
    for (const struct cli_command *c = cli_commands; c->name; c++)
        fprintf(f, "%s%s", c == cli_commands ? "" : " ", c->name);
    fputs("' -- \"$cur\"))\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n", f);
    for (const struct cli_command *c = cli_commands; c->name; c++)
        if (c->complete == CLI_FILES)
            fprintf(f, "    %s) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", c->name);
        else if (c->complete == CLI_MACHINES)
            fprintf(f,
                    "    %s) COMPREPLY=($(compgen -W \"$(wirt list --names 2>/dev/null)\" -- "
                    "\"$cur\")); return ;;\n",
                    c->name);
        else if (c->complete == CLI_DISK)
            disk_bash(f);
        else if (c->complete == CLI_NOTHING)
            fprintf(f, "    %s) return ;;\n", c->name);
    fputs("    esac\n    case $prev in\n", f);
    for (const struct opt_desc *o = run_options.row; o < run_options.row + run_options.rows; o++) {
        if (o->section || !o->arg)
            continue;
        fprintf(f, "    --%s%s%c) ", o->name, o->letter ? "|-" : "", o->letter ? o->letter : ' ');
        if (!strcmp(o->complete, "FILES"))
            fputs("COMPREPLY=($(compgen -f -- \"$cur\"))", f);
        else if (*o->complete)
            fprintf(f, "COMPREPLY=($(compgen -W '%s' -- \"$cur\"))", o->complete);
        fputs(*o->complete ? "; return ;;\n" : "return ;;\n", f);
    }
    fputs("    esac\n    if [[ $cur == -* ]]; then\n        COMPREPLY=($(compgen -W '", f);
    for (const struct opt_desc *o = run_options.row; o < run_options.row + run_options.rows; o++)
        if (!o->section)
            fprintf(f, "--%s ", o->name);
    fputs("' -- \"$cur\"))\n    else\n        COMPREPLY=($(compgen -f -- \"$cur\"))\n    fi\n}\n"
          "complete -o filenames -F _wirt wirt\n",
          f);
}

int cli_help(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "run"))
        opts_help(stdout);
    else if (!strcmp(what, "disk"))
        disk_help(stdout, argc > 2 ? argv[2] : NULL);
    else if (!strcmp(what, "--man"))
        opts_man(stdout);
    else if (!strcmp(what, "--bash"))
        opts_bash(stdout);
    else
        cli_usage(stdout);
    return CLI_OK;
}
