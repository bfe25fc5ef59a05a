# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines of other hypervisors, as they are: a boot sector that counts its runs on its disk, described
in each of the ways that appliances come; and a whole Debian in an OVA.  Descriptions are written here
as those programs write them, disks by qemu-img."""
import hashlib, io, os, shutil, subprocess, tarfile

from .machine import CACHE, TOP, WIRT, Failed, Machine, Scratch, tool

MIB = 1 << 20
PARALLELS_DISK = "{5fbaabe3-6958-40ff-92a7-860e329aab41}"


def count_disk(d):
    """A raw disk of 4 MiB that boots by BIOS."""
    out = os.path.join(d, "count.img")
    tool("nasm", "-f", "bin", os.path.join(TOP, "tests/boot/guest/count.asm"), "-o", out)
    os.truncate(out, 4 * MIB)
    return out


def convert(disk, fmt, out, *options):
    tool("qemu-img", "convert", "-f", "raw", "-O", fmt, *options, disk, out)
    return out


def write(path, text, encoding="utf-8"):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding=encoding) as f:
        f.write(text)
    return path


def digest(path, algorithm="sha256"):
    return hashlib.new(algorithm, open(path, "rb").read()).hexdigest()


# ------------------------------------------------------------------------- descriptions

OVF = """<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
<References><File ovf:href="box-disk1.vmdk" ovf:id="file1" ovf:size="%d"/></References>
<DiskSection><Info>Disks</Info><Disk ovf:capacity="4" ovf:capacityAllocationUnits="byte * 2^20"
 ovf:diskId="vmdisk1" ovf:fileRef="file1"
 ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/></DiskSection>
<VirtualSystem ovf:id="box"><Info>A machine</Info><Name>box</Name><VirtualHardwareSection><Info/>
<Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType>
<rasd:VirtualQuantity>1</rasd:VirtualQuantity></Item>
<Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:InstanceID>2</rasd:InstanceID>
<rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>%d</rasd:VirtualQuantity></Item>
<Item><rasd:Address>0</rasd:Address><rasd:InstanceID>3</rasd:InstanceID>
<rasd:ResourceSubType>lsilogic</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType></Item>
<Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:ElementName>Hard disk 1</rasd:ElementName>
<rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource><rasd:InstanceID>7</rasd:InstanceID>
<rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
<Item><rasd:Connection>VM Network</rasd:Connection><rasd:ElementName>Ethernet 1</rasd:ElementName>
<rasd:InstanceID>8</rasd:InstanceID><rasd:ResourceSubType>E1000</rasd:ResourceSubType>
<rasd:ResourceType>10</rasd:ResourceType></Item>
</VirtualHardwareSection></VirtualSystem></Envelope>
"""


def ovf(disk, d, memory=64):
    """The files of a package, in the order of its archive."""
    vmdk = convert(disk, "vmdk", os.path.join(d, "box-disk1.vmdk"), "-o", "subformat=streamOptimized")
    text = write(os.path.join(d, "box.ovf"), OVF % (os.path.getsize(vmdk), memory))
    mf = write(os.path.join(d, "box.mf"), "".join("SHA256(%s)= %s\n" % (os.path.basename(f), digest(f)) for f in (text, vmdk)))
    return [text, mf, vmdk]


def ova(disk, d, memory=64):
    out, parts = os.path.join(d, "box.ova"), os.path.join(d, "parts")
    os.mkdir(parts)
    with tarfile.open(out, "w", format=tarfile.USTAR_FORMAT) as t:
        for f in ovf(disk, parts, memory):
            t.add(f, os.path.basename(f))
    shutil.rmtree(parts)
    return out


def vmx(disk, d):
    convert(disk, "vmdk", os.path.join(d, "box.vmdk"))
    return write(os.path.join(d, "box.vmx"), """#!/usr/bin/vmware
.encoding = "UTF-8"
config.version = "8"
virtualHW.version = "19"
displayName = "box"
guestOS = "other"
memsize = "64"
scsi0.present = "TRUE"
scsi0.virtualDev = "lsilogic"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "box.vmdk"
ethernet0.present = "TRUE"
ethernet0.virtualDev = "vmxnet3"
ethernet0.connectionType = "nat"
ethernet0.addressType = "generated"
ethernet0.generatedAddress = "00:0c:29:01:02:03"
""")


def vbox(disk, d):
    """The current state is a snapshot's difference in a folder of its own."""
    base = convert(disk, "vdi", os.path.join(d, "box.vdi"))
    uuid = "11111111-2222-4333-8444-555555555555"
    os.mkdir(os.path.join(d, "Snapshots"))
    made = os.path.join(d, "diff.vdi") # an overlay names a file of its own directory
    tool(WIRT, "disk", "create", "-f", "vdi", "-b", "box.vdi", made)
    os.rename(made, os.path.join(d, "Snapshots", "{%s}.vdi" % uuid))
    return write(os.path.join(d, "box.vbox"), """<?xml version="1.0"?>
<VirtualBox xmlns="http://www.virtualbox.org/" version="1.19-linux">
<Machine uuid="{%s}" name="box" OSType="Other" snapshotFolder="Snapshots"><MediaRegistry><HardDisks>
<HardDisk uuid="{11111111-2222-4333-8444-000000000000}" location="box.vdi" format="VDI" type="Normal">
<HardDisk uuid="{%s}" location="Snapshots/{%s}.vdi" format="VDI"/></HardDisk></HardDisks></MediaRegistry>
<Hardware><CPU count="1"/><Memory RAMSize="64"/>
<Network><Adapter slot="0" enabled="true" MACAddress="080027010203" type="82540EM"><NAT/></Adapter></Network>
<StorageControllers><StorageController name="SATA" type="AHCI" PortCount="1"><AttachedDevice type="HardDisk" port="0"
 device="0"><Image uuid="{%s}"/></AttachedDevice></StorageController></StorageControllers></Hardware></Machine></VirtualBox>
""" % (uuid, uuid, uuid, uuid))


def libvirt(disk, d):
    image = convert(disk, "qcow2", os.path.join(d, "box.qcow2"))
    return write(os.path.join(d, "box.xml"), """<domain type='kvm'><name>box</name><memory unit='KiB'>65536</memory>
<vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='%s'/><target dev='vda' bus='virtio'/></disk>
<interface type='network'><source network='default'/><model type='virtio'/></interface></devices></domain>
""" % image)


def pvm(disk, d):
    bundle = os.path.join(d, "box.pvm")
    hdd = os.path.join(bundle, "harddisk.hdd")
    os.makedirs(hdd)
    name = "harddisk.hdd.0.%s.hds" % PARALLELS_DISK
    tool(WIRT, "disk", "convert", "-O", "parallels", disk, os.path.join(d, "made.hds"))
    os.rename(os.path.join(d, "made.hds"), os.path.join(hdd, name))
    write(os.path.join(hdd, "DiskDescriptor.xml"), """<?xml version='1.0' encoding='UTF-8'?>
<Parallels_disk_image Version="1.0"><Disk_Parameters><Disk_size>%d</Disk_size><Cylinders>16</Cylinders><Heads>16</Heads>
<Sectors>32</Sectors><Padding>0</Padding></Disk_Parameters><StorageData><Storage><Start>0</Start><End>%d</End>
<Blocksize>2048</Blocksize><Image><GUID>%s</GUID><Type>Compressed</Type><File>%s</File></Image></Storage></StorageData>
<Snapshots><Shot><GUID>%s</GUID><ParentGUID>{00000000-0000-0000-0000-000000000000}</ParentGUID></Shot></Snapshots>
</Parallels_disk_image>
""" % (4 * MIB // 512, 4 * MIB // 512, PARALLELS_DISK, name, PARALLELS_DISK))
    write(os.path.join(bundle, "config.pvs"), """<?xml version="1.0" encoding="UTF-8"?>
<ParallelsVirtualMachine schemaVersion="1.0"><Identification><VmName>box</VmName></Identification><Settings/>
<Hardware><Cpu><Number>1</Number></Cpu><Memory><RAM>64</RAM></Memory><Hdd id="0"><Index>0</Index><Enabled>1</Enabled>
<EmulatedType>1</EmulatedType><SystemName>harddisk.hdd</SystemName><InterfaceType>2</InterfaceType>
<StackIndex>0</StackIndex></Hdd></Hardware></ParallelsVirtualMachine>
""")
    return bundle


def vmc(disk, d):
    convert(disk, "vpc", os.path.join(d, "box.vhd"))
    return write(os.path.join(d, "box.vmc"), """<?xml version="1.0" encoding="UTF-16"?>
<!-- Microsoft Virtual Machine Options and Settings -->
<preferences><version type="string">2.0</version><hardware><memory><ram_size type="integer">64</ram_size></memory><pci_bus>
<ide_adapter><ide_controller id="0"><location id="0"><drive_type type="integer">1</drive_type><pathname>
<absolute type="string">C:\\VMs\\box.vhd</absolute><relative type="string">.\\box.vhd</relative></pathname></location>
</ide_controller></ide_adapter></pci_bus></hardware></preferences>
""", "utf-16")


def hyperv(disk, d):
    os.mkdir(os.path.join(d, "Virtual Hard Disks"))
    convert(disk, "vhdx", os.path.join(d, "Virtual Hard Disks", "box.vhdx"))
    return write(os.path.join(d, "Virtual Machines", "1.xml"), """<?xml version="1.0" encoding="UTF-16" standalone="yes"?>
<configuration><_83f8638b-8dca-4152-9eda-2ca8b33039b4_><controller0><drive0>
<pathname type="string">D:\\Hyper-V\\box.vhdx</pathname><type type="string">VHD</type></drive0></controller0>
</_83f8638b-8dca-4152-9eda-2ca8b33039b4_><properties><name type="string">box</name></properties>
<settings><memory><bank><size type="integer">64</size></bank></memory></settings></configuration>
""", "utf-16")


def xva(disk, d):
    def member(name, value):
        return "<member><name>%s</name><value>%s</value></member>" % (name, value)

    def object(kind, ref, *members):
        return "<value><struct>%s</struct></value>" % (member("class", kind) + member("id", ref) +
                                                       member("snapshot", "<struct>%s</struct>" % "".join(members)))

    objects = (object("VM", "Ref:0", member("name_label", "box"), member("memory_static_max", 64 * MIB), member("VCPUs_max", 1),
                      member("HVM_boot_policy", "BIOS order"), member("HVM_boot_params", "<struct>%s</struct>" % member("order", "c"))) +
               object("VBD", "Ref:1", member("VM", "Ref:0"), member("VDI", "Ref:2"), member("userdevice", "0"), member("type", "Disk")) +
               object("VDI", "Ref:2", member("virtual_size", 4 * MIB)))
    text = "<?xml version='1.0'?><value><struct>%s</struct></value>" % member("objects", "<array><data>%s</data></array>" % objects)
    out = os.path.join(d, "box.xva")
    data = open(disk, "rb").read()
    with tarfile.open(out, "w", format=tarfile.USTAR_FORMAT) as t:
        def add(name, content):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            t.addfile(info, io.BytesIO(content))
        add("ova.xml", text.encode())
        for n in (0, 3): # the first and the last; what lies between is zeros
            block = data[n * MIB:(n + 1) * MIB]
            add("Ref:2/%08d" % n, block)
            add("Ref:2/%08d.checksum" % n, hashlib.sha1(block).hexdigest().encode())
    return out


# -------------------------------------------------------------------------------- tests

def says(args, what, status):
    with Machine(*args, "--debug-exit", "--net", "none", engine="soft") as m:
        m.expect(what, 60)
        m.finish(status, 30)


def two_runs(make, kept, *options):
    with Scratch() as d:
        box = make(count_disk(d), d)
        before = digest(box) if os.path.isfile(box) else None
        os.unlink(os.path.join(d, "count.img"))
        says((box, "--snapshot") + options, "this is run 1", 1)
        says((box,) + options, "this is run 1", 1)
        moved = os.path.join(d, "moved 50%#")
        if kept: # the appliance and its folder together
            os.mkdir(moved)
            for name in os.listdir(d):
                if name.startswith("box"):
                    os.rename(os.path.join(d, name), os.path.join(moved, name))
            box = os.path.join(moved, os.path.basename(box))
        says((box,) + options, "this is run 2", 1)
        if before and digest(box) != before:
            raise Failed("%s was written to" % box)
        if os.path.isdir(box + ".wirt") != kept:
            raise Failed("%s.wirt %s there" % (box, "is not" if kept else "is"))


def all_kinds():
    for make, kept in ((ova, True), (xva, True), (vmx, False), (vbox, False), (libvirt, False), (pvm, False), (vmc, False),
                       (hyperv, False)):
        try:
            two_runs(make, kept)
        except Failed as f:
            raise Failed("%s: %s" % (make.__name__, f))
    two_runs(lambda disk, d: ovf(disk, d)[0], True) # beside its disks
    two_runs(ova, True, "--appliance", "bus=virtio")


def refused():
    """Nothing runs of a package that is damaged, or that names what is not its own."""
    with Scratch() as d:
        files = ovf(count_disk(d), d)
        with open(files[2], "r+b") as f:
            f.seek(-700, os.SEEK_END)
            f.write(b"x")
        for args, why in (((), "is damaged: its SHA256 is"), (("--snapshot",), "is damaged"),
                          (("--appliance", "no-verify", "--snapshot"), None)):
            r = subprocess.run([WIRT, "run", files[0], "--debug-exit", "--net", "none", *args], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
            if why and (r.returncode != 2 or why not in r.stdout) or not why and "damaged" in r.stdout:
                raise Failed("status %d: %s" % (r.returncode, r.stdout))
    with Scratch() as d:
        box = vmx(count_disk(d), d)
        os.mkdir(os.path.join(d, "elsewhere"))
        os.rename(box, os.path.join(d, "elsewhere", "box.vmx"))
        box = os.path.join(d, "elsewhere", "box.vmx")
        write(box, open(box).read().replace('"box.vmdk"', '"../box.vmdk"'))
        r = subprocess.run([WIRT, "run", box], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        if r.returncode != 2 or "outside the appliance's own directory" not in r.stdout:
            raise Failed("status %d: %s" % (r.returncode, r.stdout))
        says((box, "--appliance", "allow-external"), "this is run 1", 1)


def debian():
    """GRUB, ext4 and systemd from a streamOptimized VMDK in an OVA; what is written is there again."""
    image = os.path.join(CACHE, "debian12.img")
    tool("tools/make-debian-disk", image)
    with Scratch() as d:
        box = ova(image, d, 1024)
        for run in range(2):
            with Machine(box) as m:
                m.login()
                if run:
                    m.check_file()
                m.write_file()
                m.send("poweroff")
                m.finish(0, 300)


TESTS = [
    ("appliances of all kinds", all_kinds, False),
    ("appliances that are refused", refused, False),
    ("debian 12 in an ova", debian, True),
]
