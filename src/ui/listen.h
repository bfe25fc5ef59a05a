/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets that somebody else connects to, and how the command line says where they are.
 */
#ifndef WIRT_UI_LISTEN_H
#define WIRT_UI_LISTEN_H

#include "base/err.h"

/* ---- places, as options say them ---- */

enum { LISTEN_ADDRESS_MAX = 108, LISTEN_FILE_MAX = 256 };

struct listen_place {
    char address[LISTEN_ADDRESS_MAX]; /* numeric, or a Unix socket's path */
    unsigned port;                    /* 0: a Unix socket */
    bool is_public;                   /* may be another address than loopback */
};

/* What an option that names a place takes. */
struct listen_form {
    const char *places;  /* "ADDRESS:DISPLAY or unix:PATH", for messages */
    const char *number;  /* what the number is: "port" */
    unsigned number_min; /* the largest number is that of port 65535 */
    unsigned port_0;     /* the port that number 0 stands for */
    bool takes_unix;     /* unix:PATH */
    bool takes_port;     /* NUMBER alone, and "tcp:" in front, as in other programs */
    /* What stands behind the place, between commas, "public" aside.  -EINVAL with one line. */
    int (*option)(void *opaque, const char *text, struct err *e);
};

/* "ADDRESS:NUMBER", ":NUMBER" (127.0.0.1), "[ADDRESS]:NUMBER", "localhost:NUMBER", "unix:PATH",
 * behind it ",OPTION"...  Names are not looked up.  -EINVAL with one line; -ENAMETOOLONG. */
int listen_parse(struct listen_place *p, const char *spec, const struct listen_form *f,
                 void *opaque, struct err *e);
/* Is the option text KEY=FILE?  1 and the file's name, 0: another option, -EINVAL with one line:
 * there is no name, or too long a one. */
int listen_file_option(char file[LISTEN_FILE_MAX], const char *text, const char *key,
                       struct err *e);

/* ---- sockets ---- */

/* Listens at path, mode 0600, non-blocking and close-on-exec; gives the descriptor or -errno:
 * -EADDRINUSE when somebody serves it.  A socket file that nobody serves is replaced; any other
 * file is the user's and stays. */
int unix_listen(const char *path, int backlog, struct err *e);
/* The same at a place, which for TCP is refused with -EPERM when it is neither loopback nor
 * public. */
int listen_open(const struct listen_place *p, int backlog, struct err *e);
/* Connects; gives a blocking descriptor or -errno. */
int unix_connect(const char *path, struct err *e);

#endif
