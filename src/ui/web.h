/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine in a browser: noVNC for the screen, xterm.js for the first serial port, buttons.  By
 * libwebsockets, on a thread of its own.
 */
#ifndef WIRT_UI_WEB_H
#define WIRT_UI_WEB_H

#include "base/err.h"
#include "base/loop.h"
#include "core/display.h"
#include "ui/chardev_tap.h"
#include "ui/listen.h"
#include "ui/vnc.h"

struct web;

/* Is it built in? */
bool web_available(void);

/* What --web says: "127.0.0.1:8006[,token-file=FILE][,public]". */
struct web_config {
    struct listen_place at;
    char token_file[LISTEN_FILE_MAX]; /* "" = a random token */
};

/* As listen_parse(). */
int web_parse(struct web_config *c, const char *spec, struct err *e);

/* The buttons; bits of what web_machine.press() gets. */
enum { WEB_POWER = 1, WEB_RESET = 2 };

struct web_machine {
    struct loop *loop;
    struct display *display;
    struct vnc *vnc;
    struct tap *serial;                            /* NULL = none */
    void (*press)(void *opaque, unsigned buttons); /* on the loop's thread */
    void *opaque;
};

enum { WEB_URL_MAX = 256 };

/* Serves; url is what to open.  -ENOTSUP when the web console is not built in. */
int web_open(struct web **out, const struct web_machine *m, const struct web_config *c,
             char url[WEB_URL_MAX], struct err *e);
void web_close(struct web *w); /* NULL does nothing; before the VNC server and the tap go */

/* ---- web_check.c: who is let in ---- */

enum { WEB_TOKEN_LEN = 32 };

/* From the file, which others must not be able to read, or made and written to it; or, path "",
 * random. */
int web_token(char token[WEB_TOKEN_LEN + 1], const char *path, struct err *e);
/* What is behind "/TOKEN/" in a request's path; NULL when the token is wrong. */
const char *web_path(const char *path, const char *token);
/*
 * A request's Host and Origin, each "" when there is none.  The host must be a number or localhost:
 * names can be made to point here by others (DNS rebinding).  The origin must be this host's own,
 * or missing: browsers send it with whatever another page may start.
 */
bool web_origin_ok(const char *host, const char *origin);

#endif
