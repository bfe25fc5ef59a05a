/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XenServer's exports: an HVM and a paravirtual machine, and what is wrong with others.
 */
#include "kit.h"

#define MEMBER(name, value) "<member><name>" name "</name><value>" value "</value></member>"
#define STRUCT(inner)       "<struct>" inner "</struct>"
#define OBJECT(class, id, inner)                                                                   \
    "<value>" STRUCT(MEMBER("class", class) MEMBER("id", id)                                       \
                         MEMBER("snapshot", STRUCT(inner))) "</value>"
#define OVA(objects)                                                                               \
    "<value>" STRUCT(MEMBER("version", STRUCT(MEMBER("hostname", "h")))                            \
                         MEMBER("objects", "<array><data>" objects "</data></array>")) "</value>"
#define VM(more)                                                                                   \
    OBJECT("VM", "Ref:0",                                                                          \
           MEMBER("uuid", "11111111-2222-4333-8444-555555555555") MEMBER("name_label", "web")      \
               MEMBER("memory_static_max", "1073741824") MEMBER("VCPUs_max", "2")                  \
                   MEMBER("is_a_snapshot", "<boolean>0</boolean>") more)
#define HVM                                                                                        \
    MEMBER("HVM_boot_policy", "BIOS order")                                                        \
    MEMBER("HVM_boot_params", STRUCT(MEMBER("order", "dc") MEMBER("firmware", "bios")))
#define DEVICES                                                                                    \
    OBJECT("VBD", "Ref:1",                                                                         \
           MEMBER("VM", "Ref:0") MEMBER("VDI", "Ref:4") MEMBER("userdevice", "0")                  \
               MEMBER("mode", "RW") MEMBER("type", "Disk"))                                        \
    OBJECT("VBD", "Ref:2",                                                                         \
           MEMBER("VM", "Ref:0") MEMBER("VDI", "OpaqueRef:NULL") MEMBER("userdevice", "3")         \
               MEMBER("mode", "RO") MEMBER("type", "CD"))                                          \
    OBJECT("VIF", "Ref:3",                                                                         \
           MEMBER("VM", "Ref:0") MEMBER("device", "0") MEMBER("MAC", "b6:00:00:01:02:03"))         \
    OBJECT("VBD", "Ref:9", MEMBER("VM", "Ref:8") MEMBER("VDI", "Ref:7"))
#define VDI(size) OBJECT("VDI", "Ref:4", MEMBER("virtual_size", size))

static void put(struct kit *k, const char *ova)
{
    struct kit_tar t = {0};
    static const u8 block[MIB];

    kit_tar_add(&t, "ova.xml", '0', ova, strlen(ova));
    kit_tar_add(&t, "Ref:4/00000000", '0', block, sizeof(block));
    kit_tar_end(k, &t, "web.xva");
}

static void test_hvm(void **state)
{
    static struct kit k;

    kit_open(&k);
    put(&k, OVA(VM(HVM) DEVICES VDI("8388608")));
    kit_good(&k, "web.xva");
    assert_int_equal(k.m.xen, XEN_HVM);
    assert_string_equal(k.m.name, "web");
    assert_int_equal(k.m.memory, GIB);
    assert_int_equal(k.m.cpus, 2);
    assert_int_equal(k.m.uuid[0], 0x11);
    assert_string_equal(k.m.boot, "dc");
    assert_int_equal(k.m.ndisks, 1);
    assert_non_null(strstr(k.m.disk[0].path, "/web.xva#Ref:4/@8388608"));
    assert_string_equal(k.m.disk[0].format, "xva");
    assert_int_equal(k.m.disk[0].xvd, 1);
    assert_int_equal(k.m.ncdroms, 1);
    assert_int_equal(k.m.nic[0].mac[0], 0xb6);
    assert_int_equal(appliance_prepare(k.a, &k.m, false, NULL, NULL, &k.e), 0);
    assert_non_null(strstr(k.m.disk[0].clone, "/web.xva.wirt/disk1.qcow2"));
    kit_close(&k);
}

static void test_pv(void **state)
{
    static struct kit k;

    kit_open(&k);
    put(&k, OVA(VM(MEMBER("HVM_boot_policy", "") MEMBER("PV_bootloader", "pygrub")
                       MEMBER("PV_args", "root=/dev/xvda1")) DEVICES VDI("8388608")));
    kit_good(&k, "web.xva");
    assert_int_equal(k.m.xen, XEN_PV);
    kit_said(&k, "--kernel and --initrd must name");
    kit_said(&k, "root=/dev/xvda1");
    kit_close(&k);
}

static void test_wrong(void **state)
{
    static const struct {
        const char *ova, *why;
    } bad[] = {
        {"<appliance version='0.1'/>", "no export of XenServer 4.1"},
        {OVA(""), "describes no machine"},
        {OVA(VM(HVM) VM(HVM)), "holds 2 machines"},
        {OVA(VM(HVM) DEVICES), "its VDI Ref:4 is not in the export"},
        {OVA(VM(HVM) DEVICES VDI("much")), "is no size"},
        {OVA(VM(HVM) DEVICES VDI("0")), "is no size"},
        {"<value>", "line 1: no element found"},
    };
    static struct kit k;

    kit_open(&k);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        put(&k, bad[i].ova);
        assert_int_not_equal(kit_read(&k, "web.xva"), 0);
        if (!strstr(k.e.msg, bad[i].why))
            fail_msg("wanted \"%s\": %s", bad[i].why, k.e.msg);
    }
    kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hvm), cmocka_unit_test(test_pv),
                                       cmocka_unit_test(test_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
