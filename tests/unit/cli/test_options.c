/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line: what it gives, and the one line for each way to get it wrong.
 */
#include "cli/options.h"
#include "cli/parse.h"
#include "cli/run_config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ARGS_MAX = 40 };

static struct run_config c;
static struct err e;

/* Splits line at blanks; "run" comes in front. */
static int parse(const char *line)
{
    static char buf[1024];
    char *argv[ARGS_MAX] = {"run"}, *save;
    int argc = 1;
    run_config_free(&c);
    memset(&e, 0, sizeof(e));
    strcpy(buf, line);
    for (char *p = strtok_r(buf, " ", &save); p; p = strtok_r(NULL, " ", &save))
        argv[argc++] = p;
    return run_config_parse(&c, argc, argv, &e);
}

static void refused(const char *line, const char *why)
{
    assert_true(parse(line) < 0);
    if (!strstr(e.msg, why))
        fail_msg("%s: \"%s\" is not in \"%s\"", line, why, e.msg);
    assert_null(strchr(e.msg, '\n'));
}

static void test_defaults(void **state)
{
    assert_int_equal(parse(""), 0);
    assert_int_equal(c.m.cpus, 1);
    assert_int_equal(c.m.memory, 512 * MIB);
    assert_int_equal(c.m.nnics, 1);
    assert_int_equal(c.m.nic[0].mode, NET_USER);
    assert_int_equal(c.m.nserials, 1);
    assert_string_equal(c.serial[0], "stdio");
    assert_string_equal(c.engine, "auto");
    assert_int_equal(c.m.ndisks, 0);
}

static void test_machine(void **state)
{
    assert_int_equal(
        parse("-c4 -m 2G --disk a.img,bus=virtio,readonly,cache=none --disk=b,,c.img,snapshot "
              "x/d.img --cdrom none --cdrom y.iso --floppy f --net none --boot dc "
              "--serial none --serial file:out --debug-exit --no-reboot "
              "--uuid 00112233-4455-6677-8899-aabbccddeeff"),
        0);
    assert_int_equal(c.m.cpus, 4);
    assert_int_equal(c.m.memory, 2 * GIB);
    assert_int_equal(c.m.ndisks, 3);
    assert_string_equal(c.m.disk[0].path, "a.img");
    assert_int_equal(c.m.disk[0].bus, DISK_BUS_VIRTIO);
    assert_true(c.m.disk[0].readonly);
    assert_int_equal(c.m.disk[0].cache, DISK_DIRECT);
    assert_string_equal(c.m.disk[1].path, "b,c.img");
    assert_true(c.m.disk[1].snapshot);
    assert_string_equal(c.m.disk[2].path, "x/d.img");
    assert_int_equal(c.m.disk[2].bus, DISK_BUS_IDE);
    assert_int_equal(c.m.ncdroms, 2);
    assert_null(c.m.cdrom[0]);
    assert_string_equal(c.m.cdrom[1], "y.iso");
    assert_int_equal(c.m.nnics, 0);
    assert_int_equal(c.m.nserials, 2);
    assert_string_equal(c.serial[1], "file:out");
    assert_string_equal(c.m.name, "a.img");
    assert_string_equal(c.m.boot, "dc");
    assert_int_equal(c.m.uuid[1], 0x11);
    assert_true(c.m.debug_exit && c.no_reboot);
    assert_int_equal(parse("--snapshot a b"), 0);
    assert_true(c.m.disk[0].snapshot && c.m.disk[1].snapshot);
    assert_int_equal(parse("-- --odd-name"), 0);
    assert_string_equal(c.m.disk[0].path, "--odd-name");
    assert_int_equal(parse("--display text"), 0);
    assert_string_equal(c.serial[0], "none");
    assert_int_equal(parse("--net user,model=e1000,hostfwd=tcp:2222-:22"), 0);
    assert_string_equal(c.m.nic[0].model, "e1000");
    assert_int_equal(c.m.nic[0].fwd[0].guest_port, 22);
    assert_int_equal(parse("--vga virtio --input virtio --qmp unix:/tmp/q --trace cpu"), 0);
    assert_true(c.m.virtio_input);
    assert_int_equal(parse("--help --nonsense"), 0);
    assert_true(c.help);
}

static void test_wrong(void **state)
{
    refused("--memroy 1G", "did you mean --memory?");
    refused("--xyzzyplugh", "unknown option --xyzzyplugh");
    refused("-q", "unknown option -q");
    refused("--memory", "needs an argument");
    refused("--debug-exit=1", "takes no argument");
    refused("--memory 1X", "no size");
    refused("--memory 1M", "too little");
    refused("--memory 2000000000G", "too much");
    refused("--memory 2T", "too much");
    refused("--memory 2.3M", "multiple of 1 MiB");
    refused("--cpus 0", "1 to 64");
    refused("--cpus 65", "1 to 64");
    refused("--cpus 4x", "1 to 64");
    refused("--cpus 99999999999999999999", "1 to 64");
    refused("--disk a,bus=scsi", "none of bus=ide");
    refused("--disk a,cache=big", "not one of writeback");
    refused("--disk ,readonly", "names no file");
    refused("--net usr", "--net: ");
    refused("--boot cx", "no order");
    refused("--boot cc", "no order");
    refused("--engine sfot", "did you mean soft?");
    refused("--initrd x", "--initrd needs --kernel");
    refused("--append x", "--append needs --kernel");
    refused("--kernel k --firmware f", "without firmware");
    refused("--serial stdio --serial stdio", "only once");
    refused("--serial stdio --display text", "only once");
    refused("--uuid 0011", "no UUID");
    refused("--rtc yesterday", "none of utc");
    refused("--display text --no-vga", "video card");
}

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        u64 value;
    } good[] = {
        {"512", 512 * MIB}, {"512M", 512 * MIB}, {"1k", 1024},         {"1.5G", 1536 * MIB},
        {"2GiB", 2 * GIB},  {"1T", 1024 * GIB},  {"0.25g", 256 * MIB},
    };
    static const char *const bad[] = {
        "", "-1", "M", "1MM", "1 M", "0x10", "99999999999999999999", "1.M.", "infinity"};
    u64 v;
    for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(parse_size(&v, good[i].text, MIB, NULL), 0);
        assert_int_equal(v, good[i].value);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(parse_size(&v, bad[i], MIB, NULL), -EINVAL);
}

static void test_rtc(void **state)
{
    assert_int_equal(parse("--rtc 2000-01-01T00:00:10"), 0);
    assert_true(c.m.have_rtc_start);
    assert_int_equal(c.m.rtc_start, 946684810);
    assert_int_equal(parse("--rtc localtime"), 0);
    assert_int_equal(c.m.rtc, RTC_LOCALTIME);
}

/* Every option is in each of the texts. */
static void test_texts(void **state)
{
    void (*const make[])(FILE *) = {opts_help, opts_man, opts_bash};
    for (unsigned i = 0; i < ARRAY_SIZE(make); i++) {
        char *buf = NULL;
        size_t n = 0;
        FILE *f = open_memstream(&buf, &n);
        make[i](f);
        fclose(f);
        for (int id = 0; id < OPT_COUNT; id++) {
            char name[64], *out = name;
            for (const char *p = opt_name((enum opt_id)id); *p; p++) {
                if (*p == '-' && make[i] == opts_man)
                    *out++ = '\\';
                *out++ = *p;
            }
            *out = 0;
            assert_non_null(strstr(buf, name));
        }
        free(buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_machine),
        cmocka_unit_test(test_wrong),    cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_rtc),      cmocka_unit_test(test_texts),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    run_config_free(&c);
    return r;
}
