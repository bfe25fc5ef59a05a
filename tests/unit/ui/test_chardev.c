/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Serial back ends: a file, a unix socket with clients that come and go, input that is taken in
 * pieces, a reader that is slow.
 */
#include "ui/chardev.h"
#include "ui/outq.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop *loop;
static char dir[] = "/tmp/wirt-ui-XXXXXX", path[100];
static u8 got[100];
static size_t got_len, room;

static int set_up(void **state)
{
    loop = loop_new(NULL);
    strcpy(dir + sizeof(dir) - 7, "XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/serial", dir);
    got_len = 0;
    room = sizeof(got);
    return 0;
}

static int tear_down(void **state)
{
    loop_free(loop);
    unlink(path);
    rmdir(dir);
    return 0;
}

static size_t take(void *opaque, const u8 *buf, size_t len)
{
    if (len > room)
        len = room;
    memcpy(got + got_len, buf, len);
    got_len += len;
    room -= len;
    return len;
}

static void turns(void)
{
    for (unsigned i = 0; i < 5; i++)
        loop_turn(loop, 5);
}

static int client(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    strcpy(a.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    turns();
    return fd;
}

static void test_unix(void **state)
{
    struct chardev *c, *other;
    struct err e;
    char buf[100];
    assert_int_equal(chardev_unix_open(&c, loop, path, NULL), 0);
    c->input = take;
    c->ops->write(c, (const u8 *)"nobody", 6);
    assert_int_equal(chardev_unix_open(&other, loop, path, &e), -EADDRINUSE);
    for (unsigned i = 0; i < 3; i++) {
        int fd = client();
        c->ops->write(c, (const u8 *)"hello", 5);
        assert_int_equal(read(fd, buf, sizeof(buf)), 5);
        assert_memory_equal(buf, "hello", 5);
        room = 2;
        got_len = 0;
        assert_int_equal(write(fd, "guest", 5), 5);
        turns();
        assert_int_equal(got_len, 2);
        room = 10;
        c->ops->ready(c);
        turns();
        assert_int_equal(got_len, 5);
        assert_memory_equal(got, "guest", 5);
        close(fd);
        turns();
    }
    c->ops->close(c);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_dead_socket(void **state)
{
    struct chardev *c;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    strcpy(a.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    close(fd); /* the file stays */
    assert_int_equal(chardev_unix_open(&c, loop, path, NULL), 0);
    c->ops->close(c);
    fd = open(path, O_CREAT | O_WRONLY, 0600); /* not a socket: left alone */
    close(fd);
    assert_true(chardev_unix_open(&c, loop, path, NULL) < 0);
    assert_int_equal(access(path, F_OK), 0);
}

static void test_file(void **state)
{
    struct chardev *c;
    struct err e;
    char buf[100], spec[120];
    snprintf(spec, sizeof(spec), "file:%s", path);
    assert_int_equal(chardev_open(&c, spec, loop, NULL, NULL), 0);
    c->ops->write(c, (const u8 *)"to the file", 11);
    c->ops->close(c);
    FILE *f = fopen(path, "r");
    assert_int_equal(fread(buf, 1, sizeof(buf), f), 11);
    fclose(f);
    assert_int_equal(chardev_open(&c, "none", loop, NULL, NULL), 0);
    assert_null(c);
    assert_int_equal(chardev_open(&c, "file:", loop, NULL, &e), -EINVAL);
    assert_int_equal(chardev_open(&c, "file:/no/such/dir/x", loop, NULL, &e), -ENOENT);
}

/* More than a pipe holds: kept, and delivered in order when the reader comes. */
static void test_slow_reader(void **state)
{
    struct outq *q = malloc(sizeof(*q));
    enum { N = 200 << 10 };
    u8 *all = malloc(N), *back = malloc(N);
    int p[2];
    size_t have = 0;
    for (unsigned i = 0; i < N; i++)
        all[i] = (u8)(i * 7 + (i >> 8));
    assert_int_equal(pipe(p), 0);
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    outq_init(q, loop);
    outq_set_fd(q, p[1]);
    outq_write(q, all, 1000);
    outq_write(q, all + 1000, N - 1000);
    while (have < N) {
        ssize_t n = read(p[0], back + have, N - have);
        if (n > 0)
            have += (size_t)n;
        loop_turn(loop, 1);
    }
    assert_memory_equal(all, back, N);
    assert_int_equal(q->dropped, 0);
    outq_destroy(q);
    close(p[0]);
    close(p[1]);
    free(q);
    free(all);
    free(back);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {T(test_unix), T(test_dead_socket), T(test_file),
                                       T(test_slow_reader)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
