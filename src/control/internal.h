/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the files of src/control.
 */
#ifndef WIRT_CONTROL_INTERNAL_H
#define WIRT_CONTROL_INTERNAL_H

#include "control/control.h"
#include "control/place.h"
#include "control/qmp.h"

enum { CONTROL_TABLES_MAX = 16, CONTROL_SOCKETS_MAX = 4, CONTROL_CLIENTS_MAX = 16 };

struct control_client;
struct typing;

struct control_socket {
    struct control *control;
    struct loop_fd watch; /* watch.fd 0 = none */
    char path[PLACE_PATH_MAX];
};

struct control {
    struct control_machine m;
    struct vm_watcher watcher;
    struct {
        const struct control_command *rows;
        unsigned n;
    } table[CONTROL_TABLES_MAX];
    unsigned ntables;
    struct control_socket socket[CONTROL_SOCKETS_MAX];
    unsigned nsockets;
    struct place place; /* the name's */
    struct control_client *clients;
    unsigned nclients;
    struct qmp *sessions; /* also those whose client has gone and whose command goes on */

    bool wants_reset, wants_quit; /* by a client: what RESET and SHUTDOWN then say */

    struct typing *typing, **typing_tail; /* keys that wait to be pressed, in order */
    struct timer typing_timer;
};

extern const struct control_command control_commands[]; /* commands.c */
extern const unsigned control_command_count;
extern const struct control_command control_input_commands[]; /* input.c */
extern const unsigned control_input_command_count;
extern const struct control_command control_save_commands[]; /* save.c */
extern const unsigned control_save_command_count;

const struct control_command *control_find(const struct control *c, const char *name);
/* Checks the arguments against the row: 0 or -EINVAL. */
int control_check_args(const struct control_command *cmd, const json_t *args, struct err *e);

/* input.c: typing stands still with the machine: its commands end with an error. */
void control_input_open(struct control *c);
void control_input_paused(struct control *c);
void control_input_close(struct control *c);

#endif
