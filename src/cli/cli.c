/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The choice among subcommands.
 */
#include "cli/cli.h"
#include "cli/options.h"

#include <stdio.h>
#include <string.h>

const struct cli_command cli_commands[] = {
#define COMMAND(name, fn, args, complete, help, more) {name, fn, args, CLI_##complete, help, more},
#include "cli/commands.tab"
#undef COMMAND
    {NULL, NULL, NULL, CLI_NOTHING, NULL, NULL},
};

int cli_version(int argc, char **argv)
{
    puts("wirt " WIRT_VERSION);
    return CLI_OK;
}

int cli_main(int argc, char **argv)
{
    const char *names[ARRAY_SIZE(cli_commands)];
    if (argc < 2) {
        cli_usage(stderr);
        return CLI_ERROR;
    }
    const char *word = argv[1];
    if (!strcmp(word, "--help") || !strcmp(word, "-h"))
        word = "help";
    if (!strcmp(word, "--version"))
        word = "version";
    for (unsigned i = 0; i < ARRAY_SIZE(cli_commands); i++) {
        names[i] = cli_commands[i].name;
        if (names[i] && !strcmp(word, names[i]))
            return cli_commands[i].fn(argc - 1, argv + 1);
    }
    const char *meant = nearest(word, names);
    fprintf(stderr, "wirt: unknown command \"%s\"", word);
    if (meant)
        fprintf(stderr, "; did you mean \"wirt %s\"?\n", meant);
    else
        fprintf(stderr, "; \"wirt help\" lists them\n");
    return CLI_ERROR;
}
