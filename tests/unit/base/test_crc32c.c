/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* RFC 3720, appendix B.4. */
static void known_sums(void **state)
{
    u8 buf[32] = {0};

    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, buf, sizeof(buf)), 0x8a9136aa);
    memset(buf, 0xff, sizeof(buf));
    assert_int_equal(crc32c(0, buf, sizeof(buf)), 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++)
        buf[i] = (u8)i;
    assert_int_equal(crc32c(0, buf, sizeof(buf)), 0x46dd794e);
}

static void it_goes_on(void **state)
{
    assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
    assert_int_equal(crc32c(7, "", 0), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_sums), cmocka_unit_test(it_goes_on)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
