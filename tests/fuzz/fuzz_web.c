/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What comes in on a connection of the web console: any bytes, with 0x01 standing for the token
 * (else next to no input would have it).  The machine behind it has a screen and a serial port.
 * After each the server must still answer.  Without the web console in this build only who is let
 * in is looked at.
 */
#include "ui/web.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IN_MAX = 4096, ANSWER_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct web *web;
static char token[WEB_TOKEN_LEN + 1];
static unsigned port;

static void *run(void *opaque)
{
    loop_run(opaque);
    return NULL;
}

static void press(void *opaque, unsigned buttons)
{
    BUG_ON(!buttons || buttons > (WEB_POWER | WEB_RESET));
}

static void start(void)
{
    static struct display display;
    static struct input input;
    static const struct input_sink sink;
    char path[] = "/tmp/wirt-fuzz-web-XXXXXX", url[WEB_URL_MAX];
    static struct web_machine m;
    struct web_config c = {.at.address = "127.0.0.1"};
    pthread_t thread;
    int fd = mkstemp(path);
    m = (struct web_machine){.loop = loop_new(NULL), .display = &display, .press = press};
    signal(SIGPIPE, SIG_IGN);
    close(fd);
    unlink(path);
    snprintf(c.token_file, sizeof(c.token_file), "%s", path);
    display_init(&display, NULL);
    input_init(&input, &sink);
    BUG_ON(vnc_open(&m.vnc, m.loop, &display, &input, "fuzz", NULL));
    BUG_ON(tap_open(&m.serial, m.loop, NULL, NULL));
    BUG_ON(web_token(token, path, NULL));
    for (c.at.port = 20000 + (unsigned)getpid() % 20000; c.at.port < 65000 && !web; c.at.port++) {
        port = c.at.port;
        if (web_open(&web, &m, &c, url, NULL) == -ENOTSUP)
            break;
    }
    unlink(path);
    BUG_ON(pthread_create(&thread, NULL, run, m.loop));
}

static int dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((u16)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    BUG_ON(fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)));
    return fd;
}

/* Bytes, or 0 at the end or after ms without any. */
static ssize_t hear(int fd, char *buf, size_t n, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int r;
    while ((r = poll(&p, 1, ms)) < 0 && errno == EINTR)
        ; /* libFuzzer's alarm */
    return r > 0 ? max(recv(fd, buf, n, 0), (ssize_t)0) : 0;
}

static void still_answers(void)
{
    static const char ask[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    char buf[64] = "";
    int fd = dial();
    BUG_ON(send(fd, ask, sizeof(ask) - 1, 0) != sizeof(ask) - 1);
    BUG_ON(hear(fd, buf, sizeof(buf) - 1, 20000) < 12 || strncmp(buf, "HTTP/1.1 403", 12));
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char in[IN_MAX * (WEB_TOKEN_LEN + 1)], out[4096];
    static unsigned runs;
    size_t n = 0, got = 0;
    if (!port)
        start();
    for (size_t i = 0; i < size && i < IN_MAX; i++) {
        if (data[i] == 1)
            memcpy(in + n, token, WEB_TOKEN_LEN);
        else
            in[n] = (char)data[i];
        n += data[i] == 1 ? WEB_TOKEN_LEN : 1;
    }
    in[n] = 0;
    web_origin_ok(in, in + n / 2);
    BUG_ON(web_path(in, token) && memcmp(in + 1, token, WEB_TOKEN_LEN));
    if (!web)
        return 0;
    int fd = dial();
    send(fd, in, n, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    for (ssize_t r; got < ANSWER_MAX && (r = hear(fd, out, sizeof(out), 5)) > 0;)
        got += (size_t)r;
    close(fd);
    if (!(runs++ % 64))
        still_answers();
    return 0;
}
