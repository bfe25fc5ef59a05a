/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parallels' machines: a bundle as Parallels Desktop makes it.
 */
#include "kit.h"

static const char pvs[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<ParallelsVirtualMachine dyn_lists=\"VirtualAppliance 0\" schemaVersion=\"1.0\">\n"
    "<Identification><VmUuid>{c9b6ee4c-1a2b-4c3d-8e4f-5a6b7c8d9e0f}</VmUuid>"
    "<VmName>Ubuntu Linux</VmName></Identification>\n"
    "<Settings><General><OsType>9</OsType></General><Startup><BootingOrder>"
    "<BootDevice id=\"0\"><Type>6</Type><BootingNumber>1</BootingNumber><InUse>1</InUse>"
    "</BootDevice><BootDevice id=\"1\"><Type>7</Type><BootingNumber>0</BootingNumber>"
    "<InUse>1</InUse></BootDevice><BootDevice id=\"2\"><Type>8</Type>"
    "<BootingNumber>2</BootingNumber><InUse>0</InUse></BootDevice></BootingOrder>"
    "<Bios><EfiEnabled>0</EfiEnabled></Bios></Startup></Settings>\n"
    "<Hardware dyn_lists=\"Fdd 0 CdRom 1 Hdd 2\"><Cpu><Number>2</Number></Cpu>"
    "<Memory><RAM>1024</RAM></Memory>\n"
    "<CdRom id=\"0\"><Index>0</Index><Enabled>1</Enabled><Connected>1</Connected>"
    "<EmulatedType>0</EmulatedType><SystemName>/dev/cdrom</SystemName>"
    "<InterfaceType>2</InterfaceType><StackIndex>1</StackIndex></CdRom>\n"
    "<Hdd id=\"1\"><Index>1</Index><Enabled>1</Enabled><EmulatedType>1</EmulatedType>"
    "<SystemName>/Users/joe/Parallels/u.pvm/data.hdd</SystemName>"
    "<InterfaceType>2</InterfaceType><StackIndex>2</StackIndex></Hdd>\n"
    "<Hdd id=\"0\"><Index>0</Index><Enabled>1</Enabled><EmulatedType>1</EmulatedType>"
    "<SystemName>harddisk.hdd</SystemName><InterfaceType>2</InterfaceType>"
    "<StackIndex>0</StackIndex></Hdd>\n"
    "<Hdd id=\"2\"><Index>2</Index><Enabled>0</Enabled><SystemName>off.hdd</SystemName></Hdd>\n"
    "<NetworkAdapter id=\"0\"><Index>0</Index><Enabled>1</Enabled><EmulatedType>1</EmulatedType>"
    "<MAC>001C42F11C90</MAC><AdapterType>3</AdapterType></NetworkAdapter>\n"
    "<NetworkAdapter id=\"1\"><Index>1</Index><Enabled>1</Enabled><EmulatedType>2</EmulatedType>"
    "<MAC>001C42F11C91</MAC><AdapterType>1</AdapterType></NetworkAdapter>\n"
    "<Sound id=\"0\"><Enabled>1</Enabled></Sound></Hardware></ParallelsVirtualMachine>\n";

static void test_bundle(void **state)
{
    static struct kit k;

    kit_open(&k);
    kit_file(&k, "config.pvs", pvs);
    kit_disk(&k, "harddisk.hdd"); /* a folder in truth: what counts here is the name */
    kit_disk(&k, "data.hdd");
    kit_good(&k, "."); /* the bundle itself */
    assert_string_equal(k.m.name, "Ubuntu Linux");
    assert_int_equal(k.m.uuid[0], 0xc9);
    assert_int_equal(k.m.memory, GIB);
    assert_int_equal(k.m.cpus, 2);
    assert_int_equal(k.m.ndisks, 2);
    kit_is(&k, 0, "harddisk.hdd");
    kit_is(&k, 1, "data.hdd");
    assert_int_equal(k.m.ncdroms, 1);
    assert_null(k.m.cdrom[0]);
    assert_string_equal(k.m.boot, "dc");
    assert_null(k.m.firmware);
    assert_string_equal(k.m.nic[0].model, "virtio");
    assert_int_equal(k.m.nic[0].mac[5], 0x90);
    assert_string_equal(k.m.nic[1].model, "e1000");
    kit_said(&k, "there is no SATA here");
    kit_said(&k, "there is no RTL8029 here");
    kit_said(&k, "on a bridged network there");
    kit_said(&k, "data.hdd is taken from beside");
    kit_said(&k, "no sound card");
    kit_close(&k);
}

#define MACHINE(inner)  "<ParallelsVirtualMachine>" inner "</ParallelsVirtualMachine>"
#define HARDWARE(inner) MACHINE("<Hardware>" inner "</Hardware>")

static void test_wrong(void **state)
{
    static struct kit k;

    kit_open(&k);
    kit_bad(&k, "config.pvs", MACHINE(""), "no Hardware");
    kit_bad(&k, "config.pvs", HARDWARE("<Memory><RAM>x</RAM></Memory>"), "RAM \"x\"");
    kit_bad(&k, "config.pvs", HARDWARE("<Cpu><Number>0</Number></Cpu>"), "of processors");
    kit_bad(&k, "config.pvs", HARDWARE("<Hdd/>"), "without SystemName");
    kit_bad(&k, "config.pvs", HARDWARE("<Hdd><EmulatedType>0</EmulatedType></Hdd>"),
            "a disk of its host");
    kit_bad(&k, "config.pvs", HARDWARE("<Hdd><SystemName>../../etc/passwd</SystemName></Hdd>"), "");
    kit_bad(&k, "config.pvs", HARDWARE("<Hdd><SystemName>/etc/passwd</SystemName></Hdd>"),
            "outside the appliance");
    kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bundle), cmocka_unit_test(test_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
