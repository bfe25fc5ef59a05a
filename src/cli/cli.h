/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program's subcommands.  Each takes its own name as argv[0] and returns the exit status.
 */
#ifndef WIRT_CLI_CLI_H
#define WIRT_CLI_CLI_H

#include <stdio.h>

/* Exit statuses are even, so that those of --debug-exit, which are odd, stay apart. */
enum { CLI_OK = 0, CLI_ERROR = 2, CLI_QUIT = 4, CLI_RESET = 6, CLI_FAILED = 8 };

struct exit_meaning {
    int status;
    const char *text; /* NULL = end of the list */
};
extern const struct exit_meaning exit_meanings[];

int cli_main(int argc, char **argv);

/* What follows a subcommand, for shell completion. */
enum cli_completion { CLI_NOTHING, CLI_OPTIONS, CLI_FILES, CLI_MACHINES, CLI_DISK };

struct cli_command {
    const char *name;
    int (*fn)(int argc, char **argv);
    const char *args;
    enum cli_completion complete;
    const char *help, *more;
};
extern const struct cli_command cli_commands[]; /* commands.tab; a NULL name ends it */

#define COMMAND(name, fn, args, complete, help, more) int fn(int argc, char **argv);
#include "cli/commands.tab"
#undef COMMAND

void cli_usage(FILE *f);

#endif
