/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt's domains, as virt-install makes them for QEMU, and a dump of one on Xen.
 */
#include "kit.h"

static const char qemu[] =
    "<domain type=\"kvm\" id=\"7\" xmlns:qemu=\"http://libvirt.org/schemas/domain/qemu/1.0\">\n"
    "  <name>web</name>\n"
    "  <uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>\n"
    "  <memory unit=\"KiB\">2097152</memory>\n"
    "  <currentMemory unit=\"KiB\">1048576</currentMemory>\n"
    "  <vcpu placement=\"static\" current=\"2\">4</vcpu>\n"
    "  <os firmware=\"efi\"><type arch=\"x86_64\" machine=\"pc-q35-7.2\">hvm</type>"
    "<boot dev=\"hd\"/><boot dev=\"cdrom\"/></os>\n"
    "  <clock offset=\"utc\"/><on_reboot>destroy</on_reboot>\n"
    "  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>\n"
    "    <disk type=\"file\" device=\"disk\"><driver name=\"qemu\" type=\"raw\"/>"
    "<source file=\"data.img\"/><target dev=\"vdb\" bus=\"virtio\"/></disk>\n"
    "    <disk type=\"file\" device=\"disk\"><driver name=\"qemu\" type=\"qcow2\"/>"
    "<source file=\"/var/lib/libvirt/images/no/such/web.qcow2\"/>"
    "<target dev=\"vda\" bus=\"virtio\"/><boot order=\"1\"/></disk>\n"
    "    <disk type=\"file\" device=\"disk\"><source file=\"sata.img\"/>"
    "<target dev=\"sda\" bus=\"sata\"/><readonly/><transient/></disk>\n"
    "    <disk type=\"file\" device=\"cdrom\"><target dev=\"sdb\" "
    "bus=\"sata\"/><readonly/></disk>\n"
    "    <interface type=\"network\"><mac address=\"52:54:00:12:34:56\"/>"
    "<source network=\"default\"/><model type=\"virtio\"/></interface>\n"
    "    <interface type=\"bridge\"><source bridge=\"br0\"/></interface>\n"
    "    <serial type=\"pty\"><target port=\"0\"/></serial>\n"
    "    <input type=\"tablet\" bus=\"usb\"/><graphics type=\"vnc\" port=\"-1\"/>\n"
    "    <video><model type=\"virtio\" heads=\"1\"/></video>\n"
    "    <sound model=\"ich9\"/><hostdev mode=\"subsystem\"/></devices>\n"
    "</domain>\n";

static void test_qemu(void **state)
{
    static struct kit k;

    kit_open(&k);
    kit_file(&k, "web.xml", qemu);
    kit_disk(&k, "web.qcow2");
    kit_disk(&k, "data.img");
    kit_disk(&k, "sata.img");
    kit_good(&k, "web.xml");
    assert_string_equal(k.m.name, "web");
    assert_int_equal(k.m.uuid[0], 0x4d);
    assert_int_equal(k.m.memory, 2 * GIB);
    assert_int_equal(k.m.cpus, 2);
    assert_int_equal(k.m.ndisks, 3);
    kit_is(&k, 0, "sata.img"); /* the only one on IDE */
    assert_true(k.m.disk[0].readonly && k.m.disk[0].snapshot);
    kit_is(&k, 1, "web.qcow2"); /* by boot order */
    assert_int_equal(k.m.disk[1].bus, DISK_BUS_VIRTIO);
    kit_is(&k, 2, "data.img");
    assert_string_equal(k.m.disk[2].format, "raw");
    assert_int_equal(k.m.ncdroms, 1);
    assert_string_equal(k.m.boot, "cd");
    assert_string_equal(k.m.firmware, FIRMWARE_EFI);
    assert_true(k.run.no_reboot && k.run.have_uuid);
    assert_int_equal(k.m.vga, VIDEO_VIRTIO);
    assert_true(k.m.usb.tablet);
    assert_string_equal(k.m.nic[0].model, "virtio");
    assert_string_equal(k.m.nic[1].model, "e1000");
    kit_said(&k, "interface 1: on br0 there");
    kit_said(&k, "there is no rtl8139 here");
    kit_said(&k, "<sound>: there is no sound card");
    kit_said(&k, "<hostdev>");
    kit_close(&k);
}

static void test_xen(void **state)
{
    static struct kit k;

    kit_open(&k);
    kit_disk(&k, "vmlinuz");
    kit_disk(&k, "root.img");
    kit_file(&k, "d.xml",
             "<domain type='xen'><name>d</name><memory>65536</memory><os><type>linux</type>"
             "<kernel>vmlinuz</kernel><cmdline>root=/dev/xvdb</cmdline></os><devices>"
             "<disk type='file' device='disk'><source file='root.img'/><target dev='xvdb'"
             " bus='xen'/></disk><interface type='bridge'><mac address='00:16:3e:01:02:03'/>"
             "<source bridge='xenbr0'/></interface></devices></domain>");
    kit_good(&k, "d.xml");
    assert_int_equal(k.m.xen, XEN_PV);
    assert_int_equal(k.m.memory, 64 * MIB);
    assert_int_equal(k.m.disk[0].xvd, 2);
    assert_string_equal(k.m.append, "root=/dev/xvdb");
    assert_string_equal(k.m.nic[0].model, "");
    kit_close(&k);
}

#define DOMAIN(inner) "<domain type='kvm'><name>d</name>" inner "</domain>"
#define DISK(inner)   DOMAIN("<devices><disk " inner "</disk></devices>")

static void test_wrong(void **state)
{
    static struct kit k;

    kit_open(&k);
    kit_bad(&k, "d.xml", DOMAIN("<memory unit='bushel'>1</memory>"), "memory of \"1\" is no size");
    kit_bad(&k, "d.xml", DOMAIN("<memory unit='TiB'>16777216</memory>"), "is no size");
    kit_bad(&k, "d.xml", DOMAIN("<memory unit=' '>1</memory>"), "is no size");
    kit_bad(&k, "d.xml", DOMAIN("<vcpu>many</vcpu>"), "vcpu \"many\"");
    kit_bad(&k, "d.xml", DOMAIN("<uuid>7</uuid>"), "is no UUID");
    kit_bad(&k, "d.xml", DOMAIN("<os><type arch='aarch64'>hvm</type></os>"),
            "architecture aarch64");
    kit_bad(&k, "d.xml", DISK("type='volume'><source pool='p' volume='v'/>"), "storage pool \"p\"");
    kit_bad(&k, "d.xml", DISK("type='network'><source protocol='rbd' name='x'/>"), "by \"rbd\"");
    kit_bad(&k, "d.xml", DISK("type='network'><source protocol='nbd'><host name='h'/></source>"),
            "allow-external");
    kit_bad(&k, "d.xml", DISK("type='file'><source file='/etc/passwd'/>"), "outside the appliance");
    kit_bad(&k, "d.xml", DISK("type='block'><source dev='/dev/null'/>"), "outside the appliance");
    kit_bad(&k, "d.xml", DISK("type='file' device='disk'>"), "a disk without a file");
    kit_bad(&k, "d.xml", DOMAIN("<os><kernel>/etc/passwd</kernel></os>"), "outside the appliance");
    kit_close(&k);
}

/* A C1 control is one for a terminal too; a letter of UTF-8 is none. */
static void test_report(void **state)
{
    struct kit k;
    char *text = NULL;
    size_t len;

    kit_open(&k);
    kit_file(&k, "box.xml",
             "<domain type='kvm'><name>a\xc2\x9b"
             "2Jb\xc3\xbc</name><memory>65536</memory>"
             "<devices><interface type='network'><model type='odd\xc2\x9bm'/></interface>"
             "</devices></domain>");
    kit_good(&k, "box.xml");
    FILE *f = open_memstream(&text, &len);
    assert_non_null(f);
    appliance_print(k.a, &k.m, f);
    fclose(f);
    assert_non_null(strstr(text, "a??2Jb\xc3\xbc"));
    assert_null(strstr(text, "\xc2\x9b"));
    assert_null(strstr(k.said, "\xc2\x9b"));
    free(text);
    /* Sizes that a person reads. */
    kit_file(&k, "box.xml", "<domain type='kvm'><memory unit='TiB'>1</memory></domain>");
    kit_good(&k, "box.xml");
    f = open_memstream(&text, &len);
    assert_non_null(f);
    appliance_print(k.a, &k.m, f);
    fclose(f);
    assert_non_null(strstr(text, " 1.0 TiB\n"));
    free(text);
    kit_close(&k);
}

/* A description that is all notes does not fill the memory. */
static void test_many_notes(void **state)
{
    struct kit k;
    char *text = NULL;
    size_t len;
    unsigned lines = 0;

    kit_open(&k);
    FILE *f = open_memstream(&text, &len);
    assert_non_null(f);
    fputs("<domain type='kvm'><devices>", f);
    for (unsigned i = 0; i < 3000; i++)
        fputs("<interface type='user'/>", f);
    fputs("</devices></domain>", f);
    fclose(f);
    kit_file(&k, "many.xml", text);
    free(text);
    kit_good(&k, "many.xml");
    f = open_memstream(&text, &len);
    assert_non_null(f);
    appliance_print(k.a, &k.m, f);
    fclose(f);
    for (const char *p = strstr(text, "done in another way"); p && *p; p++)
        lines += *p == '\n';
    assert_int_equal(lines, 1 + 1000 + 1);
    assert_non_null(strstr(text, "  and more, which is not said\n"));
    free(text);
    kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_qemu), cmocka_unit_test(test_xen),
                                       cmocka_unit_test(test_wrong), cmocka_unit_test(test_report),
                                       cmocka_unit_test(test_many_notes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
