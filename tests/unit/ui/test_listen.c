/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Places to listen at, as options say them, and sockets there.
 */
#include "ui/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct seen {
    char options[64];
    char file[LISTEN_FILE_MAX];
};

static int option(void *opaque, const char *text, struct err *e)
{
    struct seen *s = opaque;
    int r = listen_file_option(s->file, text, "file", e);

    if (r)
        return min(r, 0);
    if (strcmp(text, "red") && strcmp(text, "blue"))
        return err_set(e, EINVAL, "\"%s\" is neither red nor blue", text);
    strcat(strcat(s->options, text), ";");
    return 0;
}

static const struct listen_form ports = {
    .places = "ADDRESS:PORT", .number = "port", .number_min = 1, .option = option};
static const struct listen_form displays = {.places = "ADDRESS:DISPLAY or unix:PATH",
                                            .number = "display",
                                            .port_0 = 5900,
                                            .takes_unix = true,
                                            .option = option};
static const struct listen_form both = {.places = "PORT, ADDRESS:PORT or unix:PATH",
                                        .number = "port",
                                        .number_min = 1,
                                        .takes_unix = true,
                                        .takes_port = true,
                                        .option = option};

static void is(const struct listen_form *f, const char *spec, const char *address, unsigned port)
{
    struct listen_place p;
    struct seen s = {0};

    assert_int_equal(listen_parse(&p, spec, f, &s, NULL), 0);
    assert_string_equal(p.address, address);
    assert_int_equal(p.port, port);
    assert_false(p.is_public);
}

static void wrong(const struct listen_form *f, const char *spec, const char *message)
{
    struct listen_place p;
    struct seen s = {0};
    struct err e = {0};

    assert_int_equal(listen_parse(&p, spec, f, &s, &e), -EINVAL);
    assert_string_equal(e.msg, message);
}

static void test_addresses(void **state)
{
    is(&ports, "127.0.0.1:80", "127.0.0.1", 80);
    is(&ports, ":80", "127.0.0.1", 80);
    is(&ports, "localhost:65535", "127.0.0.1", 65535);
    is(&ports, "[::1]:1", "::1", 1);
    is(&ports, "::1:1", "::1", 1);
    is(&displays, ":0", "127.0.0.1", 5900);
    is(&displays, "192.0.2.1:59635", "192.0.2.1", 65535);
    is(&displays, "unix:/a/b:1", "/a/b:1", 0);
    is(&both, "1234", "127.0.0.1", 1234);
    is(&both, "tcp::1234", "127.0.0.1", 1234);
    is(&both, "tcp:1234", "127.0.0.1", 1234);
    is(&both, "tcp:[::1]:1234", "::1", 1234);
    is(&both, "unix:tcp:1", "tcp:1", 0);
}

static void test_wrong(void **state)
{
    char much[1100], message[1200];
    struct listen_place p;
    struct err e;

    wrong(&ports, "", "says no place: ADDRESS:PORT");
    wrong(&ports, ",red", "says no place: ADDRESS:PORT");
    wrong(&ports, "80", "\"80\" is not ADDRESS:PORT");
    wrong(&ports, "a:", "\"a:\" is not ADDRESS:PORT");
    wrong(&ports, "a:1x", "\"a:1x\" is not ADDRESS:PORT");
    wrong(&ports, "a:-1", "\"a:-1\" is not ADDRESS:PORT");
    wrong(&ports, "a: 1", "\"a: 1\" is not ADDRESS:PORT");
    wrong(&ports, "unix:/a", "\"unix:/a\" is not ADDRESS:PORT");
    wrong(&ports, "a:0", "port 0: only 1 to 65535");
    wrong(&ports, "a:65536", "port 65536: only 1 to 65535");
    wrong(&ports, "a:99999999999999999999", "port 99999999999999999999: only 1 to 65535");
    wrong(&displays, ":59636", "display 59636: only 0 to 59635");
    wrong(&displays, "5", "\"5\" is not ADDRESS:DISPLAY or unix:PATH");
    wrong(&displays, "unix:", "\"unix:\" names no path");
    wrong(&both, "0", "port 0: only 1 to 65535");
    wrong(&both, "tcp:", "\"tcp:\" is not PORT, ADDRESS:PORT or unix:PATH");
    memset(much, 'a', sizeof(much));
    much[1024] = 0;
    wrong(&both, much, "more than 1023 characters");
    strcpy(much + 200, ":1");
    snprintf(message, sizeof(message), "\"%.200s\" is no address", much);
    wrong(&both, much, message);
    memcpy(much, "unix:", 5);
    assert_int_equal(listen_parse(&p, much, &both, NULL, &e), -ENAMETOOLONG);
}

static void test_options(void **state)
{
    struct listen_place p;
    struct seen s = {0};
    char much[LISTEN_FILE_MAX + 20];
    struct err e;

    assert_int_equal(listen_parse(&p, ":1,red,public,file=/f,blue", &ports, &s, NULL), 0);
    assert_true(p.is_public);
    assert_string_equal(s.options, "red;blue;");
    assert_string_equal(s.file, "/f");
    wrong(&ports, ":1,green", "\"green\" is neither red nor blue");
    wrong(&ports, ":1,filer=x", "\"filer=x\" is neither red nor blue");
    wrong(&ports, ":1,", "\":1,\": nothing behind a comma");
    wrong(&ports, ":1,,red", "\":1,,red\": nothing behind a comma");
    wrong(&ports, ":1,file=", "file=: too short for a file's name");
    memset(much, 'f', sizeof(much));
    memcpy(much, ":1,file=", 8);
    much[8 + LISTEN_FILE_MAX] = 0;
    assert_int_equal(listen_parse(&p, much, &ports, &s, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "too long"));
    much[8 + LISTEN_FILE_MAX - 1] = 0;
    assert_int_equal(listen_parse(&p, much, &ports, &s, &e), 0);
}

static void test_open(void **state)
{
    struct listen_place p = {.address = "192.0.2.1", .port = 1};
    char folder[] = "/tmp/wirt-listen-XXXXXX";
    struct sockaddr_in a;
    socklen_t n = sizeof(a);
    struct stat st;
    struct err e;

    assert_int_equal(listen_open(&p, 1, &e), -EPERM);
    assert_non_null(strstr(e.msg, "public"));
    strcpy(p.address, "name.example");
    assert_int_equal(listen_open(&p, 1, &e), -EINVAL);

    strcpy(p.address, "127.0.0.1");
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* a port that is free */
    a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    p.port = ntohs(a.sin_port);
    assert_int_equal(listen_open(&p, 1, &e), -EADDRINUSE);
    close(fd);
    fd = listen_open(&p, 1, &e);
    assert_true(fd >= 0);
    close(fd);

    assert_non_null(mkdtemp(folder));
    p.port = 0;
    snprintf(p.address, sizeof(p.address), "%s/s", folder);
    fd = listen_open(&p, 1, &e);
    assert_true(fd >= 0);
    assert_int_equal(listen_open(&p, 1, &e), -EADDRINUSE);
    assert_int_equal(lstat(p.address, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);
    close(fd);
    fd = listen_open(&p, 1, &e); /* left over */
    assert_true(fd >= 0);
    close(fd);
    unlink(p.address);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
