/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The web console: its option, its token, and which requests are let in.
 */
#include "ui/web.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static int parse_option(void *opaque, const char *text, struct err *e)
{
    struct web_config *c = opaque;
    int r = listen_file_option(c->token_file, text, "token-file", e);

    if (!r)
        return err_set(e, EINVAL, "\"%s\" is neither token-file=FILE nor public", text);
    return min(r, 0);
}

int web_parse(struct web_config *c, const char *spec, struct err *e)
{
    static const struct listen_form form = {
        .places = "ADDRESS:PORT", .number = "port", .number_min = 1, .option = parse_option};

    memset(c, 0, sizeof(*c));
    return listen_parse(&c->at, spec, &form, c, e);
}

static int random_token(char token[WEB_TOKEN_LEN + 1], struct err *e)
{
    u8 raw[WEB_TOKEN_LEN / 2];
    if (getrandom(raw, sizeof(raw), 0) != sizeof(raw))
        return err_set(e, errno, "random numbers: %s", strerror(errno));
    for (unsigned i = 0; i < sizeof(raw); i++)
        sprintf(token + 2 * i, "%02x", raw[i]);
    return 0;
}

static int read_token(char token[WEB_TOKEN_LEN + 1], int fd, const char *path, struct err *e)
{
    char text[WEB_TOKEN_LEN + 2] = "";
    struct stat st;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    if (n < 0 || fstat(fd, &st))
        return err_set(e, errno, "%s: %s", path, strerror(errno));
    if (st.st_mode & 077)
        return err_set(e, EPERM, "%s: others may read it: chmod 600", path);
    bool ok = n >= WEB_TOKEN_LEN && (!text[WEB_TOKEN_LEN] || text[WEB_TOKEN_LEN] == '\n');
    for (unsigned i = 0; ok && i < WEB_TOKEN_LEN; i++)
        ok = isalnum((unsigned char)text[i]);
    if (!ok)
        return err_set(e, EINVAL, "%s: a token is %d letters and digits", path, WEB_TOKEN_LEN);
    memcpy(token, text, WEB_TOKEN_LEN);
    token[WEB_TOKEN_LEN] = 0;
    return 0;
}

int web_token(char token[WEB_TOKEN_LEN + 1], const char *path, struct err *e)
{
    if (!*path)
        return random_token(token, e);
    int fd = open(path, O_RDONLY | O_CLOEXEC), r;
    if (fd >= 0) {
        r = read_token(token, fd, path, e);
        close(fd);
        return r;
    }
    r = errno == ENOENT ? random_token(token, e)
                        : err_set(e, errno, "%s: %s", path, strerror(errno));
    if (r)
        return r;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || dprintf(fd, "%s\n", token) != WEB_TOKEN_LEN + 1)
        r = err_set(e, errno, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return r;
}

const char *web_path(const char *path, const char *token)
{
    u8 differs = 0;
    if (strlen(path) < WEB_TOKEN_LEN + 2 || path[0] != '/' || path[WEB_TOKEN_LEN + 1] != '/')
        return NULL;
    /* In the same time whatever differs. */
    for (unsigned i = 0; i < WEB_TOKEN_LEN; i++)
        differs |= (u8)(path[i + 1] ^ token[i]);
    return differs ? NULL : path + WEB_TOKEN_LEN + 2;
}

/* "127.0.0.1:8006", "[::1]:8006", "localhost". */
static bool is_number_or_localhost(const char *host)
{
    char text[64];
    struct in6_addr a;
    const char *end = *host == '[' ? strchr(host, ']') : strchr(host, ':');
    size_t n = end ? (size_t)(end - host) : strlen(host);
    if (n >= sizeof(text))
        return false;
    memcpy(text, host, n);
    text[n] = 0;
    if (*host == '[')
        return end && inet_pton(AF_INET6, text + 1, &a) == 1;
    return !strcasecmp(text, "localhost") || inet_pton(AF_INET, text, &a) == 1;
}

bool web_origin_ok(const char *host, const char *origin)
{
    if (!is_number_or_localhost(host))
        return false;
    return !*origin || (!strncmp(origin, "http://", 7) && !strcasecmp(origin + 7, host));
}
