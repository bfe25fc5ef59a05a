/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Microsoft's machines: Virtual PC's .vmc in UTF-16, Hyper-V's XML, its WMI export, and VMCX, made
 * here from the same tree as the XML.
 */
#include "kit.h"

#include "base/endian.h"
#include "disk/winpath.h"

static const char vmc[] =
    "<?xml version=\"1.0\" encoding=\"UTF-16\"?>\r\n"
    "<!-- Microsoft Virtual Machine Options and Settings -->\r\n"
    "<preferences><version type=\"string\">2.0</version><hardware>"
    "<memory><ram_size type=\"integer\">512</ram_size></memory><pci_bus>"
    "<ethernet_adapter><controller_count type=\"integer\">1</controller_count>"
    "<ethernet_controller id=\"0\"><ethernet_card_address type=\"bytes\">0003FF112233"
    "</ethernet_card_address></ethernet_controller></ethernet_adapter>"
    "<ide_adapter><ide_controller id=\"1\"><location id=\"0\"><drive_type type=\"integer\">2"
    "</drive_type><pathname><absolute type=\"string\"/><relative type=\"string\"/></pathname>"
    "</location></ide_controller><ide_controller id=\"0\"><location id=\"0\">"
    "<drive_type type=\"integer\">1</drive_type><pathname>"
    "<absolute type=\"string\">C:\\Users\\joe\\VMs\\xp.vhd</absolute>"
    "<relative type=\"string\">.\\xp.vhd</relative></pathname></location></ide_controller>"
    "</ide_adapter></pci_bus></hardware></preferences>\r\n";

static void test_vmc(void **state)
{
    static struct kit k;
    static u8 wide[2 * sizeof(vmc) + 2];

    kit_open(&k);
    wide[0] = 0xff;
    wide[1] = 0xfe;
    size_t n = utf16_put(vmc, false, wide + 2, sizeof(wide) - 2);
    kit_bytes(&k, "Windows XP.vmc", wide, n + 2);
    kit_disk(&k, "xp.vhd");
    kit_good(&k, "Windows XP.vmc");
    assert_string_equal(k.m.name, "Windows XP");
    assert_int_equal(k.m.memory, 512 * MIB);
    assert_int_equal(k.m.rtc, RTC_LOCALTIME);
    kit_is(&k, 0, "xp.vhd");
    assert_int_equal(k.m.ncdroms, 1);
    assert_int_equal(k.m.nic[0].mac[2], 0xff);
    kit_said(&k, "there is no DEC 21140 here");
    kit_bad(&k, "b.vmc", "<preferences/>", "no hardware");
    kit_bad(&k, "b.vmc",
            "<preferences><hardware><memory><ram_size>x</ram_size></memory></hardware>"
            "</preferences>",
            "ram_size \"x\"");
    kit_close(&k);
}

/* ---- Hyper-V: one machine, told three ways ---- */

#define IDE "_83f8638b-8dca-4152-9eda-2ca8b33039b4_"

static const char xml[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\r\n<configuration>"
    "<" IDE "><VDEVVersion type=\"integer\">1280</VDEVVersion>"
    "<controller0><drive0><pathname type=\"string\">D:\\VMs\\web.vhdx</pathname>"
    "<type type=\"string\">VHD</type></drive0><drive1><pathname type=\"string\"/>"
    "<type type=\"string\">NONE</type></drive1></controller0>"
    "<controller1><drive0><pathname type=\"string\"/><type type=\"string\">ISO</type></drive0>"
    "</controller1></" IDE ">"
    "<_d422512d-2bf2-4752-809d-7b82b5fcb1b4_><controller0><drive0>"
    "<pathname type=\"string\">D:\\VMs\\Virtual Hard Disks\\data.vhdx</pathname>"
    "<type type=\"string\">VHD</type></drive0></controller0>"
    "</_d422512d-2bf2-4752-809d-7b82b5fcb1b4_>"
    "<_7d80d3db-61ee-4879-8879-5609f1100ad0_><MacAddress type=\"string\">00-15-5D-01-02-03"
    "</MacAddress></_7d80d3db-61ee-4879-8879-5609f1100ad0_>"
    "<_ac6b8dc1-3257-4a70-b1b2-a9c9215659ad_><bios_guid type=\"string\">"
    "{7FFEE066-9755-4950-9A16-4C94AC67AD00}</bios_guid><boot>"
    "<device0 type=\"string\">Optical</device0><device1 type=\"string\">HardDrive</device1></boot>"
    "</_ac6b8dc1-3257-4a70-b1b2-a9c9215659ad_>"
    "<properties><name type=\"string\">web</name><subtype type=\"integer\">0</subtype></properties>"
    "<settings><memory><bank><size type=\"integer\">2048</size></bank></memory>"
    "<processors><count type=\"integer\">2</count></processors></settings></configuration>";

static void check(struct kit *k)
{
    assert_string_equal(k->m.name, "web");
    assert_int_equal(k->m.memory, 2 * GIB);
    assert_int_equal(k->m.cpus, 2);
    assert_int_equal(k->m.ndisks, 2);
    kit_is(k, 0, "Virtual Hard Disks/web.vhdx");
    kit_is(k, 1, "Virtual Hard Disks/data.vhdx");
    assert_int_equal(k->m.nic[0].mac[1], 0x15);
    assert_string_equal(k->m.nic[0].model, "e1000");
    assert_null(k->m.firmware);
    kit_said(k, "SCSI (Hyper-V)");
}

static void put_disks(struct kit *k)
{
    kit_disk(k, "Virtual Hard Disks/web.vhdx");
    kit_disk(k, "Virtual Hard Disks/data.vhdx");
}

static void test_xml(void **state)
{
    static struct kit k;

    kit_open(&k);
    put_disks(&k);
    kit_file(&k, "Virtual Machines/1.xml", xml);
    kit_good(&k, "Virtual Machines/1.xml");
    check(&k);
    assert_string_equal(k.m.boot, "dc");
    assert_int_equal(k.m.uuid[0], 0x7f);
    assert_int_equal(k.m.ncdroms, 1);
    kit_bad(&k, "b.xml", "<configuration/>", "no properties");
    kit_bad(&k, "b.xml",
            "<configuration><properties/><settings><memory><bank><size>x</size></bank></memory>"
            "</settings></configuration>",
            "memory/bank/size \"x\"");
    kit_bad(&k, "b.xml",
            "<configuration><properties/><_a_><controller0><drive0><pathname>\\\\.\\PHYSICALDRIVE1"
            "</pathname><type>PHY</type></drive0></controller0></_a_></configuration>",
            "a disk of the type \"PHY\"");
    kit_close(&k);
}

#define PROPERTY(name, value)                                                                      \
    "<PROPERTY NAME='" name "' TYPE='string'><VALUE>" value "</VALUE></PROPERTY>"
#define ARRAY(name, value)                                                                         \
    "<PROPERTY.ARRAY NAME='" name "' TYPE='string'><VALUE.ARRAY><VALUE>" value                     \
    "</VALUE></VALUE.ARRAY></PROPERTY.ARRAY>"
#define INSTANCE(class, inner)                                                                     \
    "<VALUE.OBJECT><INSTANCE CLASSNAME='" class "'>" inner "</INSTANCE></VALUE.OBJECT>"

static void test_wmi(void **state)
{
    static struct kit k;

    kit_open(&k);
    put_disks(&k);
    kit_file(
        &k, "Virtual Machines/1.exp",
        "<DECLARATIONS><DECLGROUP>" INSTANCE("Msvm_VirtualSystemGlobalSettingData",
                                             PROPERTY("ElementName", "web"))
            INSTANCE("Msvm_MemorySettingData", PROPERTY("VirtualQuantity", "2048"))
                INSTANCE("Msvm_ProcessorSettingData", PROPERTY("VirtualQuantity", "2"))
                    INSTANCE("Msvm_ResourceAllocationSettingData",
                             PROPERTY("ResourceSubType", "Microsoft Virtual Hard Disk")
                                 PROPERTY("Parent", "x\\83F8638B-8DCA-4152-9EDA-2CA8B33039B4\\0\\0")
                                     ARRAY("Connection", "D:\\VMs\\web.vhdx"))
                        INSTANCE("Msvm_ResourceAllocationSettingData",
                                 PROPERTY("ResourceSubType", "Microsoft Virtual Hard Disk")
                                     ARRAY("Connection", "D:\\x\\data.vhdx"))
                            INSTANCE("Msvm_SyntheticEthernetPortSettingData",
                                     PROPERTY("Address", "00155D010203")) "</DECLGROUP>"
                                                                          "</DECLARATIONS>");
    kit_good(&k, "Virtual Machines/1.exp");
    check(&k);
    kit_bad(&k, "b.exp", "<DECLARATIONS/>", "no INSTANCE");
    kit_close(&k);
}

/* ---- VMCX ---- */

struct store {
    u8 p[32 << 10];
    u32 at; /* in the key table, which is at 0x3000 */
};

enum { KEYS = 0x3000, TYPE_INT = 3, TYPE_STRING = 6, TYPE_NODE = 9 };

static u32 put(struct store *s, u32 parent, const char *key, u16 type, const char *text, u64 value)
{
    u8 *e = s->p + KEYS + s->at;
    size_t k = strlen(key) + 1;
    u8 *data = e + 21 + k;
    u32 was = s->at, n = 12;

    le16_put(e, type);
    le16_put(e + 6, parent ? 1 : 0);
    le32_put(e + 8, parent);
    e[20] = (u8)k;
    memcpy(e + 21, key, k);
    if (type == TYPE_STRING) {
        n = (u32)utf16_put(text, false, data + 4, 1000);
        le32_put(data, n);
        n += 4;
    } else {
        le64_put(data, value);
    }
    le32_put(e + 2, (u32)(21 + k + n));
    s->at += (u32)(21 + k + n);
    return was;
}

static void begin(struct store *s)
{
    memset(s, 0, sizeof(*s));
    for (unsigned i = 0; i < 2; i++) {
        u8 *h = s->p + i * 0x1000;
        le32_put(h, 0x01282014);
        le16_put(h + 8, (u16)(i + 1));
        le32_put(h + 10, 0x400);
    }
    le32_put(s->p + 0x2000, 0x01110001);
    le32_put(s->p + 0x2004, 1);
    s->p[0x2008] = 2;
    le64_put(s->p + 0x2008 + 5, KEYS);
    le32_put(s->p + 0x2008 + 13, 16 << 10);
    s->p[0x2008 + 17] = 1;
    le16_put(s->p + KEYS, 2);
    le16_put(s->p + KEYS + 2, 1);
    s->at = 10;
}

static void drive(struct store *s, u32 section, const char *path)
{
    u32 c = put(s, section, "controller0", TYPE_NODE, NULL, 0);
    u32 d = put(s, c, "drive0", TYPE_NODE, NULL, 0);

    put(s, d, "pathname", TYPE_STRING, path, 0);
    put(s, d, "type", TYPE_STRING, "VHD", 0);
}

static void test_vmcx(void **state)
{
    static struct kit k;
    static struct store s;

    kit_open(&k);
    put_disks(&k);
    begin(&s);
    u32 c = put(&s, 0, "configuration", TYPE_NODE, NULL, 0), n;
    drive(&s, put(&s, c, IDE, TYPE_NODE, NULL, 0), "D:\\VMs\\web.vhdx");
    drive(&s, put(&s, c, "_d422512d-2bf2-4752-809d-7b82b5fcb1b4_", TYPE_NODE, NULL, 0),
          "D:\\VMs\\data.vhdx");
    n = put(&s, c, "_7d_", TYPE_NODE, NULL, 0);
    put(&s, n, "MacAddress", TYPE_STRING, "00-15-5D-01-02-03", 0);
    n = put(&s, c, "properties", TYPE_NODE, NULL, 0);
    put(&s, n, "name", TYPE_STRING, "web", 0);
    put(&s, n, "subtype", TYPE_INT, NULL, 0);
    n = put(&s, c, "settings", TYPE_NODE, NULL, 0);
    put(&s, put(&s, put(&s, n, "memory", TYPE_NODE, NULL, 0), "bank", TYPE_NODE, NULL, 0), "size",
        TYPE_INT, NULL, 2048);
    put(&s, put(&s, n, "processors", TYPE_NODE, NULL, 0), "count", TYPE_INT, NULL, 2);
    kit_bytes(&k, "Virtual Machines/1.vmcx", s.p, sizeof(s.p));
    kit_good(&k, "Virtual Machines/1.vmcx");
    check(&k);

    /* changes in its log */
    le64_put(s.p + 0x1000 + 26, 0x7000);
    le32_put(s.p + 0x7000, 0x01110003);
    le32_put(s.p + 0x7008, 3);
    kit_bytes(&k, "Virtual Machines/1.vmcx", s.p, sizeof(s.p));
    kit_good(&k, "Virtual Machines/1.vmcx");
    kit_said(&k, "its last changes are not looked at");

    /* what is wrong */
    le32_put(s.p + 0x1000 + 10, 0x500);
    kit_bytes(&k, "1.vmcx", s.p, sizeof(s.p));
    assert_int_not_equal(kit_read(&k, "1.vmcx"), 0);
    assert_non_null(strstr(k.e.msg, "VMCX of version 0x500"));
    le32_put(s.p + 0x1000 + 10, 0x400);
    le32_put(s.p + 0x2004, 0x10000000);
    kit_bytes(&k, "1.vmcx", s.p, sizeof(s.p));
    assert_int_not_equal(kit_read(&k, "1.vmcx"), 0);
    assert_non_null(strstr(k.e.msg, "longer than the file"));
    le32_put(s.p + 0x2004, 1);
    le32_put(s.p + KEYS + 10 + 2, 5);
    kit_bytes(&k, "1.vmcx", s.p, sizeof(s.p));
    assert_int_not_equal(kit_read(&k, "1.vmcx"), 0);
    assert_non_null(strstr(k.e.msg, "an entry of 5 bytes"));
    kit_close(&k);
}

/* Tables that lie in each other have more entries than the file has room for. */
static void test_vmcx_overlap(void **state)
{
    static struct kit k;
    static struct store s;
    u32 at = 10;

    kit_open(&k);
    begin(&s);
    le32_put(s.p + 0x2004, 4);
    for (unsigned i = 1; i < 4; i++) { /* the next table begins inside of an entry of this one */
        u8 *o = s.p + 0x2008 + 18 * i, *e = s.p + KEYS + at;

        le16_put(e, 1);
        le32_put(e + 2, 31);
        le16_put(e + 21, 2);
        le16_put(e + 23, (u16)(i + 1));
        o[0] = 2;
        le64_put(o + 5, KEYS + at + 21);
        le32_put(o + 13, (16 << 10) - at - 21);
        o[17] = 1;
        at += 31;
    }
    for (; at + 21 <= 16 << 10; at += 21) {
        le16_put(s.p + KEYS + at, 1);
        le32_put(s.p + KEYS + at + 2, 21);
    }
    kit_bytes(&k, "1.vmcx", s.p, sizeof(s.p));
    assert_int_not_equal(kit_read(&k, "1.vmcx"), 0);
    assert_non_null(strstr(k.e.msg, "tables that overlap"));
    kit_close(&k);
}

/* A long text that hundreds of keys have. */
static void test_vmcx_texts(void **state)
{
    static struct kit k;
    static struct {
        struct store s;
        u8 text[64 << 10];
    } f;

    kit_open(&k);
    begin(&f.s);
    u32 c = put(&f.s, 0, "configuration", TYPE_NODE, NULL, 0);
    for (size_t i = 0; i < sizeof(f.text); i += 2)
        le16_put(f.text + i, 0x4e00);
    while (f.s.at + 64 < 16 << 10) {
        u8 *e = f.s.p + KEYS + put(&f.s, c, "x", TYPE_NODE, NULL, 0);

        le16_put(e, TYPE_STRING | 0x100);
        le32_put(e + 23, sizeof(f.text));
        le64_put(e + 27, (u64)(f.text - f.s.p));
    }
    kit_bytes(&k, "1.vmcx", f.s.p, (size_t)(f.text - f.s.p) + sizeof(f.text));
    assert_int_not_equal(kit_read(&k, "1.vmcx"), 0);
    assert_non_null(strstr(k.e.msg, "texts of more than"));
    kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vmc),          cmocka_unit_test(test_xml),
        cmocka_unit_test(test_wmi),          cmocka_unit_test(test_vmcx),
        cmocka_unit_test(test_vmcx_overlap), cmocka_unit_test(test_vmcx_texts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
