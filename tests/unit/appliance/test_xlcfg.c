/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Xen's domain configuration: both disk syntaxes, what is said about what is not known, and files
 * that are wrong.
 */
#include "appliance/xlcfg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct read {
    struct machine_config m;
    struct appliance_run run;
    struct xlcfg *x;
    struct err e;
    char said[4000];
};

static void say(void *opaque, const char *line)
{
    struct read *r = opaque;
    size_t n = strlen(r->said);

    snprintf(r->said + n, sizeof(r->said) - n, "%s\n", line);
}

static int parse(struct read *r, const char *text)
{
    memset(r, 0, sizeof(*r));
    machine_config_init(&r->m);
    return xlcfg_parse(&r->x, "g.cfg", text, strlen(text), &r->m, &r->run, say, r, &r->e);
}

static void done(struct read *r)
{
    for (unsigned i = 0; i < r->m.ndisks; i++)
        free((char *)r->m.disk[i].path);
    xlcfg_free(r->x);
}

/* What is said has the path in front, however long that is. */
static void test_long_path(void **state)
{
    static struct read r;
    static const char text[] = "name = 'x'\nkernel = '/k'\ncolour = 1\n";
    char path[3000];

    memset(path, 'p', sizeof(path));
    path[sizeof(path) - 1] = 0;
    memset(&r, 0, sizeof(r));
    machine_config_init(&r.m);
    assert_int_equal(xlcfg_parse(&r.x, path, text, strlen(text), &r.m, &r.run, say, &r, &r.e), 0);
    assert_int_equal(strlen(r.said), 400);
    done(&r);
}

static void test_whole(void **state)
{
    static struct read r;

    assert_int_equal(
        parse(&r, "# a domain\n"
                  "name = \"web\"; type = 'pvh'\n"
                  "uuid = \"11223344-5566-7788-99aa-bbccddeeff00\"\n"
                  "kernel = \"/boot/vmlinuz\"\n"
                  "ramdisk=\"/boot/initrd\"\n"
                  "root = \"/dev/xvda ro\"\n"
                  "extra = \"console=hvc0 say=\\\"hi\\\"\"   # the rest\n"
                  "memory = 1024\n"
                  "vcpus = 4\n"
                  "disk = [ 'phy:/dev/vg/web,xvda,w',\n"
                  "         'file:/srv/data.img,xvdc,r',  # with a gap\n"
                  "         '/srv/a.iso,raw,hdc,ro,cdrom',\n"
                  "         'format=qcow2, vdev=xvdb, access=rw, target=/srv/a, b.qcow2', ]\n"
                  "vif = [ 'mac=00:16:3e:01:02:03,bridge=xenbr0', '' ]\n"
                  "on_reboot = 'destroy'\n"),
        0);
    assert_string_equal(r.m.name, "web");
    assert_true(r.run.have_name && r.run.have_uuid && r.run.no_reboot);
    assert_int_equal(r.m.uuid[15], 0);
    assert_int_equal(r.m.uuid[0], 0x11);
    assert_int_equal(r.m.xen, XEN_PVH);
    assert_string_equal(r.m.kernel, "/boot/vmlinuz");
    assert_string_equal(r.m.initrd, "/boot/initrd");
    assert_string_equal(r.m.append, "root=/dev/xvda ro console=hvc0 say=\"hi\"");
    assert_int_equal(r.m.memory, 1024 * MIB);
    assert_int_equal(r.m.cpus, 4);
    assert_int_equal(r.m.ndisks, 3);
    assert_string_equal(r.m.disk[0].path, "/dev/vg/web");
    assert_int_equal(r.m.disk[0].xvd, 1);
    assert_false(r.m.disk[0].readonly);
    assert_string_equal(r.m.disk[1].path, "/srv/data.img");
    assert_int_equal(r.m.disk[1].xvd, 3);
    assert_true(r.m.disk[1].readonly);
    assert_string_equal(r.m.disk[2].path, "/srv/a, b.qcow2");
    assert_int_equal(r.m.ncdroms, 1);
    assert_string_equal(r.m.cdrom[0], "/srv/a.iso");
    assert_int_equal(r.m.nnics, 2);
    assert_int_equal(r.m.nic[0].mac[5], 3);
    assert_non_null(strstr(r.said, "g.cfg:14: vif: \"bridge=xenbr0\""));
    done(&r);
}

static void test_notes(void **state)
{
    static struct read r;

    assert_int_equal(parse(&r, "kernel = 'k'\nbuilder = 'generic'\ncolour = 'blue'\n"
                               "vfb = [ 'vnc=1' ]\nmaxmem = 4096\non_crash='preserve'\n"
                               "cmdline='a'\nextra='b'\n"),
                     0);
    assert_int_equal(r.m.xen, XEN_PV);
    assert_non_null(strstr(r.said, "g.cfg:3: the key \"colour\" is not known"));
    assert_non_null(strstr(r.said, "vfb: the guest has a screen"));
    assert_non_null(strstr(r.said, "maxmem"));
    assert_non_null(strstr(r.said, "on_crash"));
    assert_non_null(strstr(r.said, "beside cmdline"));
    assert_string_equal(r.m.append, "a");
    assert_int_equal(r.m.nic[0].mode, NET_NONE);
    done(&r);
}

static void test_viridian(void **state)
{
    static struct read r;

    assert_int_equal(parse(&r, "viridian = 1"), 0);
    assert_true(r.m.hyperv);
    assert_string_equal(r.said, "");
    done(&r);
    assert_int_equal(parse(&r, "viridian = [ 'defaults', '!crash_ctl' ]"), 0);
    assert_true(r.m.hyperv);
    assert_non_null(strstr(r.said, "\"!crash_ctl\" has no effect"));
    done(&r);
    assert_int_equal(parse(&r, "viridian = 0"), 0);
    assert_false(r.m.hyperv);
    done(&r);
    assert_int_equal(parse(&r, "viridian = 1\ntype = 'pvh'\nkernel = 'k'"), 0);
    assert_false(r.m.hyperv);
    assert_non_null(strstr(r.said, "viridian has no effect"));
    done(&r);
}

static void test_errors(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"memory = 1024\nvcpus 4\n", "g.cfg:2: \"vcpus\" without \"=\""},
        {"memory = \"a lot\"", "is no number"},
        {"memory =", "a value is missing"},
        {"memory = 0", "is no number"},
        {"vcpus = 65", "is no number"},
        {"name = \"x", "closing quote"},
        {"name = 'a/b'", "without \"/\""},
        {"disk = [ 'a'", "closing bracket"},
        {"disk = 'a'", "takes a list"},
        {"kernel = [ 'a' ]", "takes one value"},
        {"disk = [ '/a' ]", "no device name"},
        {"disk = [ '/a,raw,xvda,x' ]", "no access"},
        {"disk = [ '/a,tape,xvda,r' ]", "no format"},
        {"disk = [ '/a,raw,xvda1,r' ]", "no device name"},
        {"disk = [ '/a,raw,xvda,r', '/b,raw,hda,r' ]", "there twice"},
        {"disk = [ ',raw,xvda,r' ]", "names no file"},
        {"disk = [ '/a,raw,xvda,r,more,words' ]", "too many"},
        {"vif = [ 'mac=00:16' ]", "no address"},
        {"vif = [ 'mac=01:16:3e:00:00:01' ]", "no address"},
        {"type = 'vm'", "none of pv, pvh, hvm"},
        {"type = 'pvh'", "names no kernel"},
        {"= 4", "neither a key"},
        {"a = 1 2", "something behind"},
        {"uuid = '1234'", "is none"},
        {"uuid = '11223344-5566-7788-99aa-bbccddeeff00x'", "is none"},
        {"vif = [ 'mac=00:16:3e:00:00:-1' ]", "no address"},
        {"boot = 'cc'", "no order"},
        {"viridian = 'yes'", "is no number"},
    };
    static struct read r;

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_not_equal(parse(&r, bad[i].text), 0);
        if (!strstr(r.e.msg, bad[i].why))
            fail_msg("%s: %s", bad[i].text, r.e.msg);
        done(&r);
    }
}

static void test_defaults(void **state)
{
    static struct read r;

    assert_int_equal(parse(&r, ""), 0); /* no kernel: a PC with its firmware */
    assert_int_equal(r.m.xen, XEN_HVM);
    done(&r);
    assert_int_equal(parse(&r, "kernel='k'"), 0);
    assert_int_equal(r.m.xen, XEN_PVH);
    assert_null(r.m.append);
    done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_path), cmocka_unit_test(test_whole),
        cmocka_unit_test(test_notes),     cmocka_unit_test(test_viridian),
        cmocka_unit_test(test_errors),    cmocka_unit_test(test_defaults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
