/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VirtualBox's machines: version 6 has the controllers beside the hardware, version 7 in it; the
 * current state of a machine with snapshots.
 */
#include "kit.h"

#define REGISTRY                                                                                   \
    "<MediaRegistry><HardDisks>"                                                                   \
    "<HardDisk uuid=\"{11111111-0000-4000-8000-000000000001}\" location=\"box.vdi\" "              \
    "format=\"VDI\""                                                                               \
    " type=\"Normal\">"                                                                            \
    "<HardDisk uuid=\"{11111111-0000-4000-8000-000000000002}\""                                    \
    " location=\"Snapshots/{11111111-0000-4000-8000-000000000002}.vdi\" format=\"VDI\"/>"          \
    "</HardDisk>"                                                                                  \
    "<HardDisk uuid=\"{11111111-0000-4000-8000-000000000003}\""                                    \
    " location=\"/home/joe/VirtualBox VMs/box/data.vmdk\" format=\"VMDK\" type=\"Normal\"/>"       \
    "</HardDisks><DVDImages>"                                                                      \
    "<Image uuid=\"{22222222-0000-4000-8000-000000000001}\" location=\"tools.iso\"/>"              \
    "</DVDImages></MediaRegistry>"

#define CONTROLLERS                                                                                \
    "<StorageControllers>"                                                                         \
    "<StorageController name=\"SATA\" type=\"AHCI\" PortCount=\"3\" Bootable=\"true\">"            \
    "<AttachedDevice type=\"HardDisk\" hotpluggable=\"false\" port=\"0\" device=\"0\">"            \
    "<Image uuid=\"{11111111-0000-4000-8000-000000000002}\"/></AttachedDevice>"                    \
    "<AttachedDevice type=\"HardDisk\" port=\"1\" device=\"0\">"                                   \
    "<Image uuid=\"{11111111-0000-4000-8000-000000000003}\"/></AttachedDevice>"                    \
    "</StorageController>"                                                                         \
    "<StorageController name=\"IDE\" type=\"PIIX4\" PortCount=\"2\" Bootable=\"true\">"            \
    "<AttachedDevice passthrough=\"false\" type=\"DVD\" port=\"1\" device=\"0\">"                  \
    "<Image uuid=\"{22222222-0000-4000-8000-000000000001}\"/></AttachedDevice>"                    \
    "</StorageController></StorageControllers>"

#define HARDWARE(inner)                                                                            \
    "<Hardware><CPU count=\"2\"><PAE enabled=\"true\"/></CPU><Memory RAMSize=\"1024\"/>"           \
    "<Boot><Order position=\"1\" device=\"Floppy\"/><Order position=\"2\" device=\"DVD\"/>"        \
    "<Order position=\"3\" device=\"HardDisk\"/><Order position=\"4\" device=\"None\"/></Boot>"    \
    "<HID Pointing=\"USBTablet\"/><RTC localOrUTC=\"UTC\"/><Network>"                              \
    "<Adapter slot=\"0\" enabled=\"true\" MACAddress=\"0800271A2B3C\" type=\"82540EM\"><NAT/>"     \
    "</Adapter><Adapter slot=\"1\" enabled=\"false\" type=\"82540EM\"/>"                           \
    "<Adapter slot=\"2\" enabled=\"true\" MACAddress=\"0800271A2B3D\" type=\"Am79C973\">"          \
    "<DisabledModes><NAT/></DisabledModes><BridgedInterface name=\"eth0\"/></Adapter>"             \
    "<Adapter slot=\"3\" enabled=\"true\" MACAddress=\"0800271A2B3E\" type=\"virtio\"><NAT/>"      \
    "</Adapter></Network>"                                                                         \
    "<UART><Port slot=\"0\" enabled=\"true\" IOBase=\"0x3f8\" IRQ=\"4\"/></UART>"                  \
    "<AudioAdapter driver=\"ALSA\" enabled=\"true\"/>" inner "</Hardware>"

/* A snapshot has hardware of its own, which is not the current state's. */
#define SNAPSHOT                                                                                   \
    "<Snapshot uuid=\"{33333333-0000-4000-8000-000000000001}\" name=\"one\"><Hardware>"            \
    "<Memory RAMSize=\"99\"/></Hardware><StorageControllers><StorageController name=\"X\""         \
    " type=\"AHCI\"><AttachedDevice type=\"HardDisk\" port=\"0\" device=\"0\">"                    \
    "<Image "                                                                                      \
    "uuid=\"{11111111-0000-4000-8000-000000000001}\"/></AttachedDevice></StorageController>"       \
    "</StorageControllers></Snapshot>"

#define MACHINE(inner)                                                                             \
    "<?xml version=\"1.0\"?>\n<!-- written by VirtualBox -->\n"                                    \
    "<VirtualBox xmlns=\"http://www.virtualbox.org/\" version=\"1.19-linux\">\n"                   \
    "<Machine uuid=\"{44444444-5555-4666-8777-888888888888}\" name=\"box\" OSType=\"Debian_64\""   \
    " currentSnapshot=\"{33333333-0000-4000-8000-000000000001}\" "                                 \
    "snapshotFolder=\"Snapshots\">\n" inner "</Machine></VirtualBox>"

static void put_disks(struct kit *k)
{
    kit_disk(k, "box.vdi");
    kit_disk(k, "data.vmdk");
    kit_disk(k, "tools.iso");
    kit_disk(k, "Snapshots/{11111111-0000-4000-8000-000000000002}.vdi");
}

static void test_versions(void **state)
{
    static const char *const text[] = {
        MACHINE(REGISTRY SNAPSHOT HARDWARE("") CONTROLLERS), /* 6 */
        MACHINE(REGISTRY SNAPSHOT HARDWARE(CONTROLLERS)),    /* 7 */
    };
    static struct kit k;

    kit_open(&k);
    put_disks(&k);
    for (unsigned i = 0; i < ARRAY_SIZE(text); i++) {
        kit_file(&k, "box.vbox", text[i]);
        kit_good(&k, i ? "box.vbox" : ".");
        assert_string_equal(k.m.name, "box");
        assert_int_equal(k.m.memory, GIB);
        assert_int_equal(k.m.cpus, 2);
        assert_int_equal(k.m.uuid[4], 0x55);
        assert_int_equal(k.m.rtc, RTC_UTC);
        assert_string_equal(k.m.boot, "adc");
        assert_true(k.m.usb.on && k.m.usb.tablet);
        assert_int_equal(k.m.ndisks, 2);
        kit_is(&k, 0, "Snapshots/{11111111-0000-4000-8000-000000000002}.vdi");
        kit_is(&k, 1, "data.vmdk");
        assert_non_null(k.m.disk[0].root);
        assert_int_equal(k.m.ncdroms, 1);
        assert_non_null(k.m.cdrom[0]);
        assert_int_equal(k.m.nnics, 3);
        assert_int_equal(k.m.nic[0].mac[5], 0x3c);
        assert_string_equal(k.m.nic[1].model, "e1000");
        assert_string_equal(k.m.nic[2].model, "virtio");
        assert_int_equal(k.m.nserials, 1);
        kit_said(&k, "SATA (AHCI) port 0: there is no SATA here");
        kit_said(&k, "there is no Am79C973 here");
        kit_said(&k, "network adapter 2: on BridgedInterface there");
        kit_said(&k, "no sound card");
        assert_null(strstr(k.said, "82540EM"));
    }
    kit_close(&k);
}

static void test_wrong(void **state)
{
    static struct kit k;

    kit_open(&k);
    kit_bad(&k, "b.vbox", "<VirtualBox><MachineEncrypted uuid='{}'/></VirtualBox>", "is encrypted");
    kit_bad(&k, "b.vbox", "<VirtualBox><Machine/></VirtualBox>", "describes no machine");
    kit_bad(&k, "b.vbox", MACHINE(HARDWARE(CONTROLLERS)), "is not in this file's registry");
    kit_bad(&k, "b.vbox", MACHINE(REGISTRY HARDWARE(CONTROLLERS)), "No such file");
    put_disks(&k);
    kit_bad(&k, "b.vbox",
            MACHINE("<MediaRegistry><HardDisks><HardDisk uuid="
                    "\"{11111111-0000-4000-8000-000000000002}\" location=\"box.vdi\">"
                    "<Property name=\"CRYPT/KeyStore\" value=\"x\"/></HardDisk></HardDisks>"
                    "</MediaRegistry>" HARDWARE(CONTROLLERS)),
            "the disk is encrypted");
    kit_bad(&k, "b.vbox", MACHINE("<Hardware><Memory RAMSize='x'/></Hardware>"),
            "RAMSize \"x\" is no number of MiB");
    kit_bad(&k, "b.vbox", MACHINE("<Hardware>\n<CPU count='0'/></Hardware>"), "b.vbox:6: CPU");
    kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_versions),
                                       cmocka_unit_test(test_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
