/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMware's machines, as Workstation and ESXi write them, and lines that are wrong.
 */
#include "kit.h"

static const char workstation[] =
    "#!/usr/bin/vmware\n"
    ".encoding = \"UTF-8\"\n"
    "config.version = \"8\"\n"
    "virtualHW.version = \"19\"\n"
    "displayName = \"Windows 10 |22x64|22\"\n"
    "guestOS = \"windows9-64\"\n"
    "memsize = \"4096\"\n"
    "numvcpus = \"2\"\n"
    "firmware = \"efi\"\n"
    "uuid.bios = \"56 4d 01 02 03 04 05 06-07 08 09 0a 0b 0c 0d 0e\"\n"
    "scsi0.virtualDev = \"lsisas1068\"\n"
    "scsi0.present = \"TRUE\"\n"
    "scsi0:0.present = \"TRUE\"\n"
    "scsi0:0.fileName = \"box-000002.vmdk\"\n"
    "SCSI0:1.Present = \"true\"\n"
    "scsi0:1.fileName = \"data/data.vmdk\"\n"
    "scsi0:1.mode = \"independent-nonpersistent\"\n"
    "scsi0:2.present = \"FALSE\"\n"
    "scsi0:2.fileName = \"gone.vmdk\"\n"
    "sata0:1.present = \"TRUE\"\n"
    "sata0:1.deviceType = \"cdrom-raw\"\n"
    "sata0:1.fileName = \"auto detect\"\n"
    "ide1:0.present = \"TRUE\"\n"
    "ide1:0.deviceType = \"cdrom-image\"\n"
    "ide1:0.fileName = \"/usr/lib/vmware/isoimages/windows.iso\"\n"
    "floppy0.present = \"FALSE\"\n"
    "ethernet0.present = \"TRUE\"\n"
    "ethernet0.connectionType = \"nat\"\n"
    "ethernet0.virtualDev = \"e1000e\"\n"
    "ethernet0.addressType = \"generated\"\n"
    "ethernet0.generatedAddress = \"00:0c:29:aa:bb:cc\"\n"
    "ethernet1.present = \"TRUE\"\n"
    "ethernet1.addressType = \"static\"\n"
    "ethernet1.address = \"00:50:56:11:22:33\"\n"
    "ethernet1.virtualDev = \"e1000\"\n"
    "serial1.present = \"TRUE\"\n"
    "serial1.fileType = \"file\"\n"
    "serial1.fileName = \"/home/x/.bashrc\"\n"
    "sound.present = \"TRUE\"\n"
    "bios.bootOrder = \"cdrom, hdd,ethernet0\"\n"
    "svga.vramSize = \"134217728\"\n"
    "usb.present = \"TRUE\"\n"
    "tools.syncTime = \"FALSE\"\n";

static void test_workstation(void **state)
{
    static struct kit k;

    kit_open(&k);
    kit_file(&k, "box.vmx", workstation);
    kit_disk(&k, "box-000002.vmdk");
    kit_disk(&k, "data/data.vmdk");
    kit_good(&k, "box.vmx");
    assert_string_equal(k.m.name, "Windows 10 \"x64\"");
    assert_int_equal(k.m.memory, 4 * GIB);
    assert_int_equal(k.m.cpus, 2);
    assert_int_equal(k.m.rtc, RTC_LOCALTIME);
    assert_string_equal(k.m.firmware, FIRMWARE_EFI);
    assert_int_equal(k.m.uuid[0], 0x56);
    assert_int_equal(k.m.uuid[15], 0x0e);
    assert_int_equal(k.m.ndisks, 2);
    kit_is(&k, 0, "box-000002.vmdk");
    kit_is(&k, 1, "data/data.vmdk");
    assert_false(k.m.disk[0].snapshot || k.m.disk[0].readonly);
    assert_true(k.m.disk[1].snapshot);
    assert_int_equal(k.m.ncdroms, 2);
    assert_null(k.m.cdrom[0]);
    assert_null(k.m.cdrom[1]);
    assert_int_equal(k.m.nnics, 2);
    assert_int_equal(k.m.nic[0].mac[3], 0xaa);
    assert_int_equal(k.m.nic[1].mac[1], 0x50);
    assert_int_equal(k.m.nserials, 2);
    assert_string_equal(k.m.boot, "dcn");
    kit_said(&k, "scsi0:0 (lsisas1068): there is no SCSI here");
    kit_said(&k, "ide1:0: the drive is empty");
    kit_said(&k, "there is no e1000e here");
    kit_said(&k, "ethernet1: on bridged there");
    kit_said(&k, "there is no sound card here");
    assert_null(strstr(k.said, "bashrc"));
    kit_close(&k);
}

static const char esxi[] = ".encoding = \"windows-1252\"\r\n"
                           "displayName = \"M\xfcller\"\r\n"
                           "guestOS = \"debian11-64\"\r\n"
                           "memSize = \"1024\"\r\n"
                           "nvme0.present = \"TRUE\"\r\n"
                           "nvme0:0.present = \"TRUE\"\r\n"
                           "nvme0:0.fileName = \"/vmfs/volumes/5f0e-1/web/web.vmdk\"\r\n"
                           "ethernet0.present = \"TRUE\"\r\n"
                           "ethernet0.virtualDev = \"vmxnet3\"\r\n"
                           "ethernet0.networkName = \"VM Network\"\r\n"
                           "ethernet0.addressType = \"vpx\"\r\n"
                           "floppy0.present = \"TRUE\"\r\n"
                           "floppy0.fileType = \"file\"\r\n"
                           "floppy0.fileName = \"boot.flp\"\r\n";

static void test_esxi(void **state)
{
    static struct kit k;

    kit_open(&k);
    kit_file(&k, "web.vmx", esxi);
    kit_disk(&k, "web.vmdk"); /* moved from a datastore to here */
    kit_disk(&k, "boot.flp");
    kit_good(&k, "web.vmx");
    assert_string_equal(k.m.name, "M\xc3\xbcller");
    kit_is(&k, 0, "web.vmdk");
    kit_said(&k, "web.vmdk is taken from beside the description");
    kit_said(&k, "there is no NVMe here");
    kit_said(&k, "on VM Network there");
    assert_int_equal(k.m.nfloppies, 1);
    assert_non_null(k.m.floppy[0]);
    assert_int_equal(k.m.rtc, RTC_UTC);
    kit_close(&k);
}

static void test_wrong(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"memsize = \"lots\"", "box.vmx:2: memsize \"lots\" is no number of MiB"},
        {"memsize = \"1\"", "2 MiB to 1 TiB"},
        {"numvcpus = \"none\"", "is no number"},
        {"no equals sign", "box.vmx:2: is no key = \"value\""},
        {"a = \"b", "closing quote"},
        {"encryption.keySafe = \"vmware:key/list\"", "is encrypted"},
        {"scsi0:0.present = \"TRUE\"", "a disk without fileName"},
        {"scsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"none.vmdk\"", "none.vmdk: No such"},
        {"scsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"/etc/passwd\"", "outside the appliance"},
        {"scsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"../../../../../../../etc/passwd\"",
         "outside the appliance"},
        {"scsi0:0.present = \"TRUE\"\nscsi0:0.deviceType = \"rawDisk\"", "a device of its host"},
        {"ethernet0.present = \"TRUE\"\nethernet0.address = \"01:00:00:00:00:00\"", "no address"},
        {"uuid.bios = \"56\"", "is no UUID"},
    };
    static struct kit k;
    char text[400];

    kit_open(&k);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        snprintf(text, sizeof(text), "config.version = \"8\"\n%s\n", bad[i].text);
        kit_bad(&k, "box.vmx", text, bad[i].why);
    }
    /* a disk's descriptor is no machine */
    kit_file(&k, "d.vmdk", "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\n");
    assert_int_equal(kit_read(&k, "d.vmdk"), -ENOENT);
    k.o.allow_external = true;
    kit_file(
        &k, "box.vmx",
        "config.version = \"8\"\nide0:0.present = \"TRUE\"\nide0:0.fileName = \"/etc/passwd\"\n");
    kit_good(&k, "box.vmx");
    assert_true(k.m.disk[0].allow_external);
    kit_close(&k);
}

/* IDE has four places; a disc in a drive has one of them for sure. */
static void test_places(void **state)
{
    static struct kit k;
    char text[4000] = "memsize = \"64\"\n";

    kit_open(&k);
    kit_disk(&k, "d.img");
    kit_disk(&k, "c.iso");
    for (unsigned i = 0; i < 6; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text),
                 "scsi0:%u.present = \"TRUE\"\nscsi0:%u.fileName = \"d.img\"\n", 5 - i, 5 - i);
    strcat(text, "ide0:0.present = \"TRUE\"\nide0:0.fileName = \"c.iso\"\n"
                 "ide0:1.present = \"TRUE\"\nide0:1.deviceType = \"cdrom-raw\"\n");
    kit_file(&k, "box.vmx", text);
    kit_good(&k, "box.vmx");
    assert_int_equal(k.m.ndisks, 6);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(k.m.disk[i].bus, i < 3 ? DISK_BUS_IDE : DISK_BUS_VIRTIO);
    assert_int_equal(k.m.ncdroms, 1);
    assert_non_null(k.m.cdrom[0]);
    kit_said(&k, "scsi0:3: IDE is full");
    kit_said(&k, "ide0:1: there is no place left");
    kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_workstation),
                                       cmocka_unit_test(test_esxi), cmocka_unit_test(test_wrong),
                                       cmocka_unit_test(test_places)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
