/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OVF as VMware's and VirtualBox's programs write it, in a folder and in a tar; manifests; and
 * packages that are wrong.
 */
#include "kit.h"

#include <nettle/sha1.h>
#include <nettle/sha2.h>

/* In the manner of ovftool and ESXi: one namespace a prefix, items in the order of the schema. */
static const char vmware[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\""
    " xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\""
    " xmlns:rasd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
    "CIM_ResourceAllocationSettingData\" xmlns:vmw=\"http://www.vmware.com/schema/ovf\">\n"
    "<References><File ovf:href=\"web-disk1.vmdk\" ovf:id=\"file1\" ovf:size=\"4096\"/>"
    "<File ovf:href=\"web-file1.iso\" ovf:id=\"file2\"/></References>\n"
    "<DiskSection><Info>Disks</Info>"
    "<Disk ovf:capacity=\"20\" ovf:capacityAllocationUnits=\"byte * 2^30\" ovf:diskId=\"vmdisk1\""
    " ovf:fileRef=\"file1\" ovf:format=\"http://www.vmware.com/interfaces/specifications/vmdk.html"
    "#streamOptimized\"/>"
    "<Disk ovf:capacity=\"8\" ovf:capacityAllocationUnits=\"byte * 2^30\" ovf:diskId=\"vmdisk2\"/>"
    "</DiskSection>\n"
    "<VirtualSystem ovf:id=\"web\"><Info>A machine</Info><Name>web server</Name>\n"
    "<OperatingSystemSection ovf:id=\"112\" vmw:osType=\"windows9Server64Guest\"><Info/>"
    "<Description>Microsoft Windows Server 2016 (64-bit)</Description></OperatingSystemSection>\n"
    "<VirtualHardwareSection><Info/>\n"
    "<Item><rasd:AllocationUnits>hertz * 10^6</rasd:AllocationUnits>"
    "<rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType>"
    "<rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>\n"
    "<Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>"
    "<rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType>"
    "<rasd:VirtualQuantity>2048</rasd:VirtualQuantity></Item>\n"
    "<Item><rasd:Address>0</rasd:Address><rasd:InstanceID>3</rasd:InstanceID>"
    "<rasd:ResourceSubType>VirtualSCSI</rasd:ResourceSubType>"
    "<rasd:ResourceType>6</rasd:ResourceType></Item>\n"
    "<Item><rasd:Address>0</rasd:Address><rasd:InstanceID>4</rasd:InstanceID>"
    "<rasd:ResourceType>5</rasd:ResourceType></Item>\n"
    "<Item ovf:required=\"false\"><rasd:AddressOnParent>0</rasd:AddressOnParent>"
    "<rasd:ElementName>CD/DVD drive 1</rasd:ElementName>"
    "<rasd:HostResource>ovf:/file/file2</rasd:HostResource><rasd:InstanceID>5</rasd:InstanceID>"
    "<rasd:Parent>4</rasd:Parent><rasd:ResourceSubType>vmware.cdrom.iso</rasd:ResourceSubType>"
    "<rasd:ResourceType>15</rasd:ResourceType></Item>\n"
    "<Item><rasd:AddressOnParent>1</rasd:AddressOnParent>"
    "<rasd:ElementName>Hard disk 2</rasd:ElementName>"
    "<rasd:HostResource>ovf:/disk/vmdisk2</rasd:HostResource><rasd:InstanceID>7</rasd:InstanceID>"
    "<rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>\n"
    "<Item><rasd:AddressOnParent>0</rasd:AddressOnParent>"
    "<rasd:ElementName>Hard disk 1</rasd:ElementName>"
    "<rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource><rasd:InstanceID>6</rasd:InstanceID>"
    "<rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>\n"
    "<Item><rasd:AutomaticAllocation>true</rasd:AutomaticAllocation>"
    "<rasd:Connection>VM Network</rasd:Connection>"
    "<rasd:ElementName>Ethernet 1</rasd:ElementName><rasd:InstanceID>8</rasd:InstanceID>"
    "<rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType>"
    "<rasd:ResourceType>10</rasd:ResourceType></Item>\n"
    "<Item><rasd:Connection>VM Network</rasd:Connection><rasd:Address>00:50:56:01:02:03"
    "</rasd:Address><rasd:ElementName>Ethernet 2</rasd:ElementName>"
    "<rasd:InstanceID>9</rasd:InstanceID><rasd:ResourceSubType>PCNet32 E1000"
    "</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType></Item>\n"
    "<vmw:Config ovf:required=\"false\" vmw:key=\"firmware\" vmw:value=\"efi\"/>\n"
    "</VirtualHardwareSection></VirtualSystem></Envelope>\n";

static void check_vmware(struct kit *k)
{
    assert_string_equal(k->m.name, "web server");
    assert_true(k->run.have_name);
    assert_int_equal(k->m.memory, 2048 * MIB);
    assert_int_equal(k->m.cpus, 2);
    assert_int_equal(k->m.rtc, RTC_LOCALTIME);
    assert_string_equal(k->m.firmware, FIRMWARE_EFI);
    assert_int_equal(k->m.ndisks, 2);
    assert_int_equal(k->m.disk[0].bus, DISK_BUS_IDE);
    assert_string_equal(k->m.disk[1].path, "");
    assert_int_equal(k->m.ncdroms, 1);
    assert_non_null(k->m.cdrom[0]);
    assert_int_equal(k->m.nnics, 2);
    assert_string_equal(k->m.nic[0].model, "e1000");
    assert_int_equal(k->m.nic[1].mac[5], 3);
    kit_said(k, "there is no SCSI here");
    kit_said(k, "there is no VmxNet3 here");
    assert_null(strstr(k->said, "PCNet32"));
}

static void test_folder(void **state)
{
    static struct kit k;

    kit_open(&k);
    kit_file(&k, "web.ovf", vmware);
    kit_disk(&k, "web-disk1.vmdk");
    kit_disk(&k, "web-file1.iso");
    kit_good(&k, "web.ovf");
    check_vmware(&k);
    kit_is(&k, 0, "web-disk1.vmdk");

    /* where writes go */
    assert_int_equal(appliance_prepare(k.a, &k.m, false, NULL, NULL, &k.e), 0);
    assert_non_null(strstr(k.m.disk[0].clone, "/web.ovf.wirt/disk1.qcow2"));
    assert_non_null(strstr(k.m.disk[1].path, "/web.ovf.wirt/disk2.qcow2"));
    assert_int_equal(access(k.m.disk[1].path, R_OK), 0);
    assert_non_null(strstr(k.m.efi_vars, "/web.ovf.wirt/efi-vars"));

    kit_good(&k, "."); /* the folder has one description */
    assert_int_equal(appliance_prepare(k.a, &k.m, true, NULL, NULL, &k.e), 0);
    assert_true(k.m.disk[0].snapshot);
    assert_null(k.m.disk[0].clone);
    assert_string_equal(k.m.disk[1].format, "raw");

    k.o.virtio = true;
    kit_good(&k, "web.ovf");
    assert_int_equal(k.m.disk[0].bus, DISK_BUS_VIRTIO);
    k.o.virtio = false;
    unlink(kit_path(&k, "web-disk1.vmdk"));
    assert_int_equal(kit_read(&k, "web.ovf"), -ENOENT);
    assert_non_null(strstr(k.e.msg, "web-disk1.vmdk"));
    kit_close(&k);
}

static void hex(char *out, const u8 *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        sprintf(out + 2 * i, "%02x", p[i]);
}

static void test_archive(void **state)
{
    static struct kit k;
    static const char disk[4096] = "a disk";
    struct kit_tar t = {0};
    struct sha256_ctx s256;
    struct sha1_ctx s1;
    char mf[600], a[65], b[41];
    u8 d[32];

    kit_open(&k);
    sha256_init(&s256);
    sha256_update(&s256, sizeof(disk), (const u8 *)disk);
    sha256_digest(&s256, 32, d);
    hex(a, d, 32);
    sha1_init(&s1);
    sha1_update(&s1, sizeof(vmware) - 1, (const u8 *)vmware);
    sha1_digest(&s1, 20, d);
    hex(b, d, 20);
    for (unsigned wrong = 0; wrong < 2; wrong++) {
        if (wrong)
            a[3] = a[3] == '0' ? '1' : '0';
        snprintf(mf, sizeof(mf), "SHA1(web.ovf)= %s\r\nSHA256(web-disk1.vmdk)=%s\n", b, a);
        kit_tar_add(&t, "web.ovf", '0', vmware, sizeof(vmware) - 1);
        kit_tar_add(&t, "web.mf", '0', mf, strlen(mf));
        kit_tar_add(&t, "web.cert", '0', "x", 1);
        kit_tar_add(&t, "web-disk1.vmdk", '0', disk, sizeof(disk));
        kit_tar_add(&t, "web-file1.iso", '0', disk, sizeof(disk));
        kit_tar_end(&k, &t, "a box.ova");
        kit_good(&k, "a box.ova");
        check_vmware(&k);
        kit_said(&k, ".cert");
        kit_said(&k, "web-file1.iso is not in the manifest");
        assert_non_null(strstr(k.m.disk[0].path, "tar:///"));
        assert_non_null(strstr(k.m.disk[0].path, "/a box.ova#web-disk1.vmdk"));
        int r = appliance_prepare(k.a, &k.m, false, NULL, NULL, &k.e);
        if (!wrong) {
            assert_int_equal(r, 0);
            assert_non_null(strstr(k.m.disk[0].clone, "/a box.ova.wirt/disk1.qcow2"));
        } else {
            assert_int_equal(r, -EINVAL);
            assert_non_null(strstr(k.e.msg, "web.mf:2: web-disk1.vmdk is damaged"));
            k.o.no_verify = true;
            kit_good(&k, "a box.ova");
            assert_int_equal(appliance_prepare(k.a, &k.m, false, NULL, NULL, &k.e), 0);
        }
    }
    kit_close(&k);
}

/* Once found right, digests are not looked at again until the archive is another. */
static bool count(void *opaque, u64 done, u64 total)
{
    assert_true(done <= total);
    ++*(unsigned *)opaque;
    return true;
}

static void test_stamp(void **state)
{
    static struct kit k;
    unsigned n = 0;

    kit_open(&k);
    kit_file(&k, "web.ovf", vmware);
    kit_disk(&k, "web-disk1.vmdk");
    kit_disk(&k, "web-file1.iso");
    kit_file(&k, "web.mf", "SHA1(web-disk1.vmdk)= 1b6fd2c9ba1e5c4b1a5ee4d7ae0e5d5d2e7a3c11\n");
    kit_good(&k, "web.ovf");
    assert_int_equal(appliance_prepare(k.a, &k.m, false, count, &n, &k.e), -EINVAL);
    char right[41], line[100];
    struct sha1_ctx s1;
    static const char disk[4096] = "a disk";
    u8 d[20];
    sha1_init(&s1);
    sha1_update(&s1, sizeof(disk), (const u8 *)disk);
    sha1_digest(&s1, 20, d);
    hex(right, d, 20);
    snprintf(line, sizeof(line), "SHA1(web-disk1.vmdk)= %s\n", right);
    kit_file(&k, "web.mf", line);
    for (unsigned i = 0; i < 3; i++) {
        n = 0;
        kit_good(&k, "web.ovf");
        assert_int_equal(appliance_prepare(k.a, &k.m, false, count, &n, &k.e), 0);
        assert_int_equal(n > 0, i == 0);
    }
    kit_file(&k, "web-disk1.vmdk", "another");
    assert_int_not_equal(kit_read(&k, "web.ovf"), 0); /* by its size already */
    kit_close(&k);
}

/* In the manner of VirtualBox: its own hardware description behind the standard one. */
static const char vbox[] =
    "<?xml version=\"1.0\"?>\n"
    "<Envelope ovf:version=\"1.0\" xml:lang=\"en-US\""
    " xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\""
    " xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\""
    " xmlns:rasd=\"r\" xmlns:vbox=\"http://www.virtualbox.org/ovf/machine\">\n"
    "<References><File ovf:id=\"file1\" ovf:href=\"my%20box-disk001.vmdk\"/></References>\n"
    "<DiskSection><Disk ovf:capacity=\"10737418240\" ovf:diskId=\"vmdisk1\" ovf:fileRef=\"file1\""
    " vbox:uuid=\"0f0ebad5-0000-4000-8000-000000000001\"/></DiskSection>\n"
    "<VirtualSystem ovf:id=\"../my/box\">\n"
    "<OperatingSystemSection ovf:id=\"94\"><Description>Ubuntu_64</Description>"
    "<vbox:OSType ovf:required=\"false\">Ubuntu_64</vbox:OSType></OperatingSystemSection>\n"
    "<VirtualHardwareSection>\n"
    "<Item><rasd:Caption>4 virtual CPU</rasd:Caption><rasd:InstanceID>1</rasd:InstanceID>"
    "<rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>4</rasd:VirtualQuantity>"
    "</Item>\n"
    "<Item><rasd:AllocationUnits>MegaBytes</rasd:AllocationUnits>"
    "<rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType>"
    "<rasd:VirtualQuantity>1024</rasd:VirtualQuantity></Item>\n"
    "<Item><rasd:Address>0</rasd:Address><rasd:InstanceID>3</rasd:InstanceID>"
    "<rasd:ResourceSubType>PIIX4</rasd:ResourceSubType><rasd:ResourceType>5</rasd:ResourceType>"
    "</Item>\n"
    "<Item><rasd:Address>0</rasd:Address><rasd:InstanceID>5</rasd:InstanceID>"
    "<rasd:ResourceSubType>AHCI</rasd:ResourceSubType><rasd:ResourceType>20</rasd:ResourceType>"
    "</Item>\n"
    "<Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:Caption>disk1</rasd:Caption>"
    "<rasd:HostResource>/disk/vmdisk1</rasd:HostResource><rasd:InstanceID>8</rasd:InstanceID>"
    "<rasd:Parent>5</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>\n"
    "<Item><rasd:Caption>sound</rasd:Caption><rasd:InstanceID>9</rasd:InstanceID>"
    "<rasd:ResourceSubType>ensoniq1371</rasd:ResourceSubType>"
    "<rasd:ResourceType>35</rasd:ResourceType></Item>\n"
    "<Item><rasd:Caption>Ethernet adapter on 'NAT'</rasd:Caption>"
    "<rasd:Connection>NAT</rasd:Connection><rasd:InstanceID>10</rasd:InstanceID>"
    "<rasd:ResourceSubType>E1000</rasd:ResourceSubType>"
    "<rasd:ResourceType>10</rasd:ResourceType></Item>\n"
    "</VirtualHardwareSection>\n"
    "<vbox:Machine ovf:required=\"false\" version=\"1.16-linux\"><Hardware>"
    "<Firmware type=\"BIOS\"/></Hardware></vbox:Machine>\n"
    "</VirtualSystem></Envelope>\n";

static void test_virtualbox(void **state)
{
    static struct kit k;

    kit_open(&k);
    kit_file(&k, "b.ovf", vbox);
    kit_disk(&k, "my box-disk001.vmdk");
    kit_good(&k, "b.ovf");
    assert_string_equal(k.m.name, "-.-my-box"); /* a name that is no path */
    assert_int_equal(k.m.cpus, 4);
    assert_int_equal(k.m.memory, GIB);
    assert_null(k.m.firmware);
    assert_int_equal(k.m.rtc, RTC_UTC);
    kit_is(&k, 0, "my box-disk001.vmdk");
    kit_said(&k, "there is no SATA here");
    kit_said(&k, "sound: there is nothing like it here");
    assert_null(strstr(k.said, "e1000"));
    kit_close(&k);
}

#define HEAD                                                                                       \
    "<Envelope xmlns:r='r' xmlns:o='o'><References><File o:id='f' o:href='%s'%s/></References>"    \
    "<DiskSection><Disk o:diskId='d' o:capacity='%s' %s/></DiskSection>"                           \
    "<VirtualSystem o:id='s'><VirtualHardwareSection>"
#define TAIL                                                                                       \
    "<Item><r:InstanceID>6</r:InstanceID><r:ResourceType>17</r:ResourceType>"                      \
    "<r:HostResource>%s</r:HostResource></Item>"                                                   \
    "</VirtualHardwareSection></VirtualSystem></Envelope>"

/* Percent signs that begin no byte are what they are, the last characters of a name too. */
static void test_percent(void **state)
{
    static const char *const names[] = {"d%4", "d%", "d%1", "d%4g", "%2", "d%zz"};
    static struct kit k;
    char text[2000];

    kit_open(&k);
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(text, sizeof(text), HEAD TAIL, names[i], "", "1", "o:fileRef='f'", "ovf:/disk/d");
        kit_file(&k, "p.ovf", text);
        kit_disk(&k, names[i]);
        kit_good(&k, "p.ovf");
        kit_is(&k, 0, names[i]);
    }
    kit_close(&k);
}

/* A description without an ending, in a folder with a dot; its manifest beside it. */
static void test_no_ending(void **state)
{
    static struct kit k;
    char text[2000];

    kit_open(&k);
    snprintf(text, sizeof(text), HEAD TAIL, "d", "", "1", "o:fileRef='f'", "ovf:/disk/d");
    kit_file(&k, "a.folder/description", text);
    kit_disk(&k, "a.folder/d");
    kit_good(&k, "a.folder/description");
    kit_file(&k, "a.folder/description.mf", "CRC(d)= 0\n");
    kit_bad(&k, "a.folder/description", text, "a.folder/description.mf:1: digests of \"CRC\"");
    kit_close(&k);
}

/* Names are cut between letters. */
static void test_long_name(void **state)
{
    static const struct {
        unsigned letters;
        const char *last;
        size_t kept;
    } rows[] = {{61, "\xc3\xa9", 63},
                {62, "\xc3\xa9", 62},
                {61, "\xe4\xb8\x80", 61},
                {60, "\xe4\xb8\x80", 63},
                {63, "\xc3\xa9", 63}};
    static struct kit k;
    char text[2000];

    kit_open(&k);
    kit_disk(&k, "d");
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        char name[80] = "";

        memset(name, 'n', rows[i].letters);
        strcat(name, rows[i].last);
        snprintf(text, sizeof(text), HEAD TAIL, "d", "", "1", "o:fileRef='f'", "ovf:/disk/d");
        char *at = strstr(text, "o:id='s'>");
        char rest[2000];
        strcpy(rest, at + 9);
        sprintf(at, "o:id='s'><Name>%s</Name>%s", name, rest);
        kit_file(&k, "n.ovf", text);
        kit_good(&k, "n.ovf");
        assert_int_equal(strlen(k.m.name), rows[i].kept);
        assert_memory_equal(k.m.name, name, rows[i].kept);
    }
    kit_close(&k);
}

static void test_wrong(void **state)
{
    static const struct {
        const char *href, *file, *capacity, *disk, *items, *host, *why;
    } bad[] = {
        {"d.img", "", "1", "o:fileRef='f'", "", "ovf:/disk/e", "no Disk is called \"e\""},
        {"d.img", "", "1", "o:fileRef='g'", "", "ovf:/disk/d", "no File is called \"g\""},
        {"d.img", "", "1", "o:fileRef='f'", "", "/tape/d", "neither a disk nor a file"},
        {"d.img", "", "many", "", "", "ovf:/disk/d", "its capacity is no size"},
        {"d.img", "", "9", "o:capacityAllocationUnits='byte * 2^63'", "", "ovf:/disk/d",
         "its capacity is no size"},
        {"d.img", " o:compression='gzip'", "1", "o:fileRef='f'", "", "ovf:/disk/d", "is packed"},
        {"d.img", " o:chunkSize='1000'", "1", "o:fileRef='f'", "", "ovf:/disk/d", "into chunks"},
        {"d.img", " o:size='7'", "1", "o:fileRef='f'", "", "ovf:/disk/d",
         "has 4096 bytes and not 7"},
        {"d.img", "", "1", "o:fileRef='f' o:parentRef='e'", "", "ovf:/disk/d", "a delta"},
        {"/etc/passwd", "", "1", "o:fileRef='f'", "", "ovf:/disk/d", "outside the appliance's own"},
        {"../x/../../etc/passwd", "", "1", "o:fileRef='f'", "", "ovf:/disk/d", ""},
        {"link.img", "", "1", "o:fileRef='f'", "", "ovf:/disk/d", "outside the appliance's own"},
        {"https://example.com/d.img", "", "1", "o:fileRef='f'", "", "ovf:/disk/d",
         "must be fetched"},
        {"d.img", "", "1", "o:fileRef='f'",
         "<Item><r:ResourceType>4</r:ResourceType><r:VirtualQuantity>1</r:VirtualQuantity>"
         "<r:AllocationUnits>bushels</r:AllocationUnits></Item>",
         "ovf:/disk/d", "in units \"bushels\""},
        {"d.img", "", "1", "o:fileRef='f'",
         "<Item><r:ResourceType>4</r:ResourceType><r:VirtualQuantity>1</r:VirtualQuantity></Item>",
         "ovf:/disk/d", "2 MiB to 1 TiB"},
        {"d.img", "", "1", "o:fileRef='f'",
         "<Item><r:ResourceType>3</r:ResourceType><r:VirtualQuantity>-1</r:VirtualQuantity></Item>",
         "ovf:/disk/d", "of processors"},
        {"d.img", "", "1", "o:fileRef='f'",
         "<Item><r:ResourceType>10</r:ResourceType><r:Address>nowhere</r:Address></Item>",
         "ovf:/disk/d", "no address of a network card"},
    };
    static struct kit k;
    char text[4000];

    kit_open(&k);
    kit_disk(&k, "d.img");
    assert_int_equal(symlink("/etc/passwd", kit_path(&k, "link.img")), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        snprintf(text, sizeof(text), HEAD "%s" TAIL, bad[i].href, bad[i].file, bad[i].capacity,
                 bad[i].disk, bad[i].items, bad[i].host);
        kit_bad(&k, "b.ovf", text, bad[i].why);
    }
    kit_bad(&k, "b.ovf", "<Envelope/>", "describes no machine");
    kit_bad(&k, "b.ovf", "<Envelope>", "b.ovf: line 1: no element found");
    kit_bad(&k, "b.ovf", "<!DOCTYPE x [<!ENTITY a 'b'>]><Envelope>&a;</Envelope>",
            "no description");
    kit_bad(&k, "b.ovf",
            "<Envelope><VirtualSystemCollection><VirtualSystem id='a'/>"
            "<VirtualSystem id='b'><Name>c</Name></VirtualSystem></VirtualSystemCollection>"
            "</Envelope>",
            "chooses one of a, c");
    k.o.system = "c";
    kit_bad(&k, "b.ovf",
            "<Envelope><VirtualSystem id='a'/><VirtualSystem id='b'><Name>c</Name></VirtualSystem>"
            "</Envelope>",
            "describes no hardware");
    k.o.system = NULL;
    strcpy(text, "<Envelope>");
    for (unsigned i = 0; i < 100; i++)
        strcat(text, "<a>");
    kit_bad(&k, "b.ovf", text, "nested too deeply");
    kit_bad(&k, "b.ova", "\x1f\x8b\x08 packed", "is packed by gzip");
    kit_close(&k);
}

/* A configuration's items, and bounds that are none. */
static void test_configurations(void **state)
{
    static struct kit k;
#define MEM(attr, n)                                                                               \
    "<Item " attr "><r:ResourceType>4</r:ResourceType><r:AllocationUnits>byte * 2^20"              \
    "</r:AllocationUnits><r:VirtualQuantity>" n "</r:VirtualQuantity></Item>"

    kit_open(&k);
    kit_file(&k, "b.ovf",
             "<Envelope xmlns:r='r'><DeploymentOptionSection><Configuration id='small'/>"
             "<Configuration id='big' default='true'/></DeploymentOptionSection>"
             "<VirtualSystem id='s'><VirtualHardwareSection>" MEM("configuration='small'", "100")
                 MEM("configuration='mid big'", "200") MEM("bound='max'", "300")
                     MEM("configuration='bigger'",
                         "400") "</VirtualHardwareSection></VirtualSystem></Envelope>");
    kit_good(&k, "b.ovf");
    assert_int_equal(k.m.memory, 200 * MIB);
    assert_int_equal(k.m.nic[0].mode, NET_NONE);
    kit_said(&k, "\"big\" is taken");
    kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folder),        cmocka_unit_test(test_archive),
        cmocka_unit_test(test_stamp),         cmocka_unit_test(test_virtualbox),
        cmocka_unit_test(test_percent),       cmocka_unit_test(test_no_ending),
        cmocka_unit_test(test_long_name),     cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_configurations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
