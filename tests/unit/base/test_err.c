/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What a file says of itself cannot break the line, nor move a terminal's cursor. */
static void a_message_is_one_line(void **state)
{
    struct err e = {0};

    assert_int_equal(err_set(&e, EINVAL, "%s: no such thing: %s", "a\nb", "\x1b[2J\x7f\xc3\xa4"),
                     -EINVAL);
    assert_string_equal(e.msg, "a?b: no such thing: ?[2J?\xc3\xa4");
    assert_int_equal(err_prefix(&e, "c\rd"), -EINVAL);
    assert_string_equal(e.msg, "c?d: a?b: no such thing: ?[2J?\xc3\xa4");
    /* What 8-bit terminals take for ESC [, and letters beside it. */
    err_set(&e, EINVAL,
            "\xc2\x9b"
            "2J \xc2\xa0\xc3\x9b\xc2");
    assert_string_equal(e.msg, "??2J \xc2\xa0\xc3\x9b\xc2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_message_is_one_line)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
