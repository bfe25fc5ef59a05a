/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct thing {
    u8 mode;
    void *not_saved;
    u32 regs[3];
    struct {
        u16 count;
    } ch[2];
    u8 bits;
};

static const struct field fields[] = {
    FIELD_MAX(struct thing, mode, 5),
    FIELD_ARRAY(struct thing, regs),
    FIELD(struct thing, ch[1].count),
    FIELD_BITS(struct thing, bits, 0x1e),
};

static int loaded(void *obj, struct err *e)
{
    struct thing *t = obj;

    return t->regs[2] == 13 ? err_set(e, EINVAL, "thing: thirteen") : 0;
}

static void saved_state_comes_back_or_nothing_changes(void **state)
{
    struct state_desc d = STATE_DESC("thing", 1, fields);
    struct thing a = {.mode = 4, .regs = {1, 2, 3}, .ch = {{7}, {8}}}, b = {.ch = {{9}, {9}}};
    struct err e = {0};
    u8 buf[64];

    d.loaded = loaded;
    assert_int_equal(state_size(&d), 1 + 12 + 2 + 1);
    state_save(&d, &a, buf);
    assert_int_equal(state_load(&d, &b, buf, 16, &e), 0);
    assert_int_equal(b.mode, 4);
    assert_int_equal(b.regs[2], 3);
    assert_int_equal(b.ch[0].count, 9);
    assert_int_equal(b.ch[1].count, 8);

    assert_int_equal(state_load(&d, &b, buf, 15, &e), -EINVAL);
    buf[1] = 77;
    buf[0] = 6;
    assert_int_equal(state_load(&d, &b, buf, 16, &e), -EINVAL);
    assert_string_equal(e.msg, "thing.mode: value 0x6 is out of range");
    buf[0] = 5;
    buf[15] = 0x0d;
    assert_int_equal(state_load(&d, &b, buf, 16, &e), -EINVAL);
    assert_string_equal(e.msg, "thing.bits: value 0xd is out of range");
    buf[15] = 0x0c;
    buf[9] = 13;
    assert_int_equal(state_load(&d, &b, buf, 16, &e), -EINVAL);
    assert_string_equal(e.msg, "thing: thirteen");
    assert_int_equal(b.mode, 4);
    assert_int_equal(b.regs[0], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saved_state_comes_back_or_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
