/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of saved machines: there and back, and what the command line may change.
 */
#include "cli/saved_options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct saved_options s;
static unsigned given[OPT_COUNT + 1];
static struct err e;

static void make(void)
{
    saved_free(&s);
    memset(given, 0, sizeof(given));
    assert_int_equal(saved_add(&s, OPT_MEMORY, "1G", &e), 0);
    assert_int_equal(saved_add(&s, OPT_DISK, "/a.img,bus=virtio,cache=none", &e), 0);
    assert_int_equal(saved_add(&s, OPT_COUNT, "/b.img", &e), 0);
    assert_int_equal(saved_add(&s, OPT_NET, "user", &e), 0);
    assert_int_equal(saved_add(&s, OPT_NO_VGA, NULL, &e), 0);
}

static void there_and_back(void **state)
{
    struct saved_options t = {.n = 0};
    const char *identity = NULL;
    u64 len;

    make();
    char *text = saved_text(&s, "box", &len);
    assert_non_null(text);
    assert_int_equal(saved_parse(&t, text, len, &identity, &e), 0);
    assert_string_equal(identity, "box");
    assert_int_equal(t.n, s.n);
    for (unsigned i = 0; i < s.n; i++) {
        assert_int_equal(t.o[i].id, s.o[i].id);
        assert_string_equal(t.o[i].arg, s.o[i].arg ? s.o[i].arg : "");
    }
    saved_free(&t);
    /* cut anywhere, it is refused or shorter, and nothing is read behind its end */
    for (u64 n = 0; n < len; n++) {
        char *part = malloc(n + 1);
        memcpy(part, text, n);
        int r = saved_parse(&t, part, n, &identity, &e);
        assert_true(r == 0 || r == -EINVAL);
        saved_free(&t);
        free(part);
    }
    assert_int_equal(saved_parse(&t, "nonsense\0x", 11, &identity, &e), -EINVAL);
    assert_string_equal(e.msg, "machine: unknown option \"nonsense\"");
    saved_free(&t);
    free(text);
}

static void files_may_change(void **state)
{
    make();
    assert_int_equal(saved_replace(&s, given, OPT_DISK, "/c.img", &e), 0);
    assert_string_equal(s.o[1].arg, "/c.img,bus=virtio,cache=none");
    assert_true(s.o[1].anew && !s.o[2].anew);
    assert_int_equal(saved_replace(&s, given, OPT_DISK, "/d.img,readonly", &e), 0);
    assert_string_equal(s.o[2].arg, "/d.img,readonly");
    assert_int_equal(s.o[2].id, OPT_DISK);
    assert_int_equal(saved_replace(&s, given, OPT_COUNT, "/e.img", &e), -EINVAL);
    assert_string_equal(e.msg, "the saved machine has 2 of these");
    assert_int_equal(saved_replace(&s, given, OPT_NET, "none", &e), 0);
    assert_string_equal(s.o[3].arg, "none");
}

static void the_machine_may_not(void **state)
{
    make();
    assert_int_equal(saved_replace(&s, given, OPT_MEMORY, "2G", &e), -EINVAL);
    assert_string_equal(e.msg, "this comes from the saved machine");
    assert_int_equal(saved_replace(&s, given, OPT_NO_VGA, NULL, &e), -EINVAL);
    assert_int_equal(saved_replace(&s, given, OPT_CPUS, "2", &e), -EINVAL);
    assert_string_equal(s.o[0].arg, "1G");
}

/* The folder may be another one when it is loaded. */
static void names_become_absolute(void **state)
{
    char folder[] = "/tmp/wirt-options-XXXXXX", want[80];

    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    FILE *f = fopen("here.img", "w");
    assert_non_null(f);
    fclose(f);
    saved_free(&s);
    assert_int_equal(saved_add(&s, OPT_DISK, "here.img,bus=virtio", &e), 0);
    assert_int_equal(saved_add(&s, OPT_DISK, "nowhere.img", &e), 0);
    assert_int_equal(saved_add(&s, OPT_CDROM, "none", &e), 0);
    snprintf(want, sizeof(want), "%s/here.img,bus=virtio", folder);
    assert_string_equal(s.o[0].arg, want);
    assert_string_equal(s.o[1].arg, "nowhere.img");
    assert_string_equal(s.o[2].arg, "none");
    unlink("here.img");
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(rmdir(folder), 0);
    saved_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(files_may_change),
        cmocka_unit_test(the_machine_may_not),
        cmocka_unit_test(names_become_absolute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
