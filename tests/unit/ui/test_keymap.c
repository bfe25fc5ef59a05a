/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a terminal sends, as keys.
 */
#include "ui/keymap.h"

#include <linux/input-event-codes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void key(const char *s, size_t used, unsigned code, bool shift, bool ctrl, bool alt)
{
    struct key_press k;
    assert_int_equal(keymap_take(&k, (const u8 *)s, strlen(s)), used);
    assert_int_equal(k.code, code);
    assert_int_equal(k.shift, shift);
    assert_int_equal(k.ctrl, ctrl);
    assert_int_equal(k.alt, alt);
}

static void test_keys(void **state)
{
    key("a", 1, KEY_A, false, false, false);
    key("Zb", 1, KEY_Z, true, false, false);
    key("\003", 1, KEY_C, false, true, false);
    key("\r", 1, KEY_ENTER, false, false, false);
    key("\177", 1, KEY_BACKSPACE, false, false, false);
    key("\033", 1, KEY_ESC, false, false, false);
    key("\033x", 2, KEY_X, false, false, true);
    key("\033[A", 3, KEY_UP, false, false, false);
    key("\033[15~q", 5, KEY_F5, false, false, false);
    key("\033OP", 3, KEY_F1, false, false, false);
    key("\033[1;5A", 6, 0, false, false, false);
    key("?", 1, KEY_SLASH, true, false, false);
    key("\\", 1, KEY_BACKSLASH, false, false, false);
    key("\303\244", 1, 0, false, false, false); /* not on this keyboard */
}

/* Every printable character has its key. */
static void test_ascii(void **state)
{
    for (u8 c = 0x20; c < 0x7f; c++) {
        struct key_press k;
        assert_int_equal(keymap_take(&k, &c, 1), 1);
        assert_int_not_equal(k.code, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_keys), cmocka_unit_test(test_ascii)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
