/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who the web console lets in, and the tap on a serial port.
 */
#include "ui/web.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void test_parse(void **state)
{
    static const char *const wrong[] = {
        "",        "8006", "127.0.0.1", "127.0.0.1:", "a:0",
        "a:65536", "a:1x", ",public",   "a:1,foo",    "a:1,token-file="};
    struct web_config c;
    struct err e;
    for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_int_equal(web_parse(&c, wrong[i], &e), -EINVAL);
    assert_int_equal(web_parse(&c, ":8006", &e), 0);
    assert_string_equal(c.at.address, "127.0.0.1");
    assert_int_equal(c.at.port, 8006);
    assert_int_equal(web_parse(&c, "[::]:80,token-file=/t,public", &e), 0);
    assert_string_equal(c.at.address, "::");
    assert_string_equal(c.token_file, "/t");
    assert_true(c.at.is_public);
}

static void test_token(void **state)
{
    char file[] = "/tmp/wirt-token-XXXXXX", a[WEB_TOKEN_LEN + 1], b[WEB_TOKEN_LEN + 1];
    struct stat st;
    struct err e;
    assert_int_equal(web_token(a, "", &e), 0);
    assert_int_equal(web_token(b, "", &e), 0);
    assert_int_equal(strlen(a), WEB_TOKEN_LEN);
    assert_string_not_equal(a, b);
    int fd = mkstemp(file);
    assert_int_equal(web_token(a, file, &e), -EINVAL); /* empty */
    assert_int_equal(write(fd, "0123456789012345678901234567890/", 32), 32);
    assert_int_equal(web_token(a, file, &e), -EINVAL);
    close(fd);
    unlink(file);
    assert_int_equal(web_token(a, file, &e), 0); /* made */
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(web_token(b, file, &e), 0); /* and read again */
    assert_string_equal(a, b);
    chmod(file, 0644);
    assert_int_equal(web_token(a, file, &e), -EPERM);
    unlink(file);
    assert_true(web_token(a, "/no/such/folder/t", &e) < 0);
}

static void test_path(void **state)
{
    static const char token[] = "0123456789abcdef0123456789abcdef";
    assert_string_equal(web_path("/0123456789abcdef0123456789abcdef/", token), "");
    assert_string_equal(web_path("/0123456789abcdef0123456789abcdef/a/b", token), "a/b");
    assert_null(web_path("/0123456789abcdef0123456789abcdef", token));
    assert_null(web_path("/0123456789abcdef0123456789abcdeF/", token));
    assert_null(web_path("/1123456789abcdef0123456789abcdef/", token));
    assert_null(web_path("/0123456789abcdef0123456789abcdef0/", token));
    assert_null(web_path("//", token));
    assert_null(web_path("/", token));
    assert_null(web_path("", token));
}

static void test_origin(void **state)
{
    static const struct {
        const char *host, *origin;
        bool ok;
    } t[] = {
        {"127.0.0.1:8006", "", true},
        {"127.0.0.1:8006", "http://127.0.0.1:8006", true},
        {"localhost:9000", "http://localhost:9000", true},
        {"[::1]:8006", "http://[::1]:8006", true},
        {"192.168.1.2", "http://192.168.1.2", true},
        {"127.0.0.1:8006", "http://127.0.0.1:8007", false}, /* another port is another origin */
        {"127.0.0.1:8006", "https://127.0.0.1:8006", false},
        {"127.0.0.1:8006", "http://evil.example", false},
        {"127.0.0.1:8006", "http://127.0.0.1:8006.evil.example", false},
        {"127.0.0.1:8006", "null", false},
        {"127.0.0.1:8006", "?", false},
        {"evil.example:8006", "http://evil.example:8006", false}, /* DNS rebinding */
        {"evil.example:8006", "", false},
        {"localhost.evil.example:8006", "", false},
        {"127.0.0.1.evil.example", "", false},
        {"[::1", "", false},
        {"", "", false},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
        if (web_origin_ok(t[i].host, t[i].origin) != t[i].ok)
            fail_msg("host \"%s\" origin \"%s\"", t[i].host, t[i].origin);
}

static char heard[100];
static unsigned notified;

static size_t on_input(void *opaque, const u8 *buf, size_t len)
{
    len = min(len, (size_t)3); /* a slow guest */
    strncat(heard, (const char *)buf, len);
    return len;
}

static void on_output(void *opaque)
{
    notified++;
}

static void test_tap(void **state)
{
    struct loop *l = loop_new(NULL);
    struct tap *t;
    static u8 big[TAP_KEPT + 100], buf[TAP_KEPT + 100];
    u64 pos = 0, other = 0;
    assert_int_equal(tap_open(&t, l, NULL, NULL), 0);
    struct chardev *c = tap_chardev(t);
    c->input = on_input;
    tap_listen(t, on_output, NULL);
    c->ops->write(c, (const u8 *)"hello", 5);
    assert_int_equal(notified, 1);
    assert_int_equal(tap_read(t, &pos, buf, 3), 3);
    assert_int_equal(tap_read(t, &pos, buf + 3, 100), 2);
    assert_memory_equal(buf, "hello", 5);
    assert_int_equal(tap_read(t, &pos, buf, 100), 0);
    for (unsigned i = 0; i < sizeof(big); i++)
        big[i] = (u8)(i * 7);
    c->ops->write(c, big, sizeof(big));
    assert_int_equal(tap_read(t, &other, buf, sizeof(buf)), TAP_KEPT); /* the last of it */
    assert_memory_equal(buf, big + 100, TAP_KEPT);
    tap_type(t, (const u8 *)"abcdef", 6);
    loop_turn(l, 0);
    assert_string_equal(heard, "abc");
    c->ops->ready(c);
    loop_turn(l, 0);
    assert_string_equal(heard, "abcdef");
    c->ops->close(c);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),  cmocka_unit_test(test_token), cmocka_unit_test(test_path),
        cmocka_unit_test(test_origin), cmocka_unit_test(test_tap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
