# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole Debian 12 on a disk image: SeaBIOS, GRUB, ext4, systemd; from IDE and from virtio, and in
every format that is written."""
import hashlib, os, re, subprocess

from .machine import CACHE, TOP, WIRT, Failed, Machine, Scratch, tool


# Those that wirt disk makes, with options that make them hard.
FORMATS = ["qcow2", "qcow2 cluster_size=4k,extended_l2=off,lazy_refcounts=on", "vmdk", "vmdk subformat=twoGbMaxExtentSparse",
           "vdi", "vpc", "vhdx", "parallels"]


def disk(*args):
    return tool(WIRT, "disk", *args)


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while chunk := f.read(1 << 22):
            h.update(chunk)
    return h.digest()


def formats():
    """Each of them boots, is written, reboots and is sound afterwards; and so is a clone."""
    made = re.search(r"are made: *(.*)", disk("--help")).group(1).split()
    for f in FORMATS:
        name, _, options = f.partition(" ")
        if name in made:
            debian("virtio", name, options)
    debian("virtio", "clone")


def debian(bus, fmt="raw", options=""):
    base = os.path.join(CACHE, "debian12.img")
    tool("tools/make-debian-disk", base)
    with Scratch() as d:
        image = os.path.join(d, "disk." + fmt)
        more = ""
        if fmt == "clone":
            base_copy = os.path.join(d, "base.vdi")
            disk("convert", "-O", "vdi", base, base_copy)
            before = digest(base_copy)
            image, more = base_copy, ",clone=" + image
        else:
            disk("convert", "-O", fmt, *(["-o", options] if options else []), base, image)
        args = ("--disk", "%s,bus=%s%s" % (image, bus, more), "--memory", "1G", "--net", "user,model=virtio")
        with Machine(*args) as m:
            m.login()
            if "10.0.2.15" not in m.run("for i in $(seq 30); do ip -4 -o addr | grep -q 10.0.2 && break; sleep 1; done; ip -4 -o addr", 90):
                m.fail("no address by DHCP")
            state = m.run("systemctl is-system-running --wait || true", 300).split()
            if not {"running", "degraded"} & set(state):
                m.fail("systemd says %r" % state)
            m.write_file()
            m.send("reboot")
            m.login()
            m.check_file()
            m.send("poweroff")
            m.finish(0, 300)
        if fmt == "clone":
            if digest(image) != before:
                raise Failed("the image under a clone was changed")
            image = os.path.join(d, "disk.clone")
        if fmt != "raw":
            disk("check", image)
            disk("convert", "--allow-external", image, os.path.join(d, "after.img"))
            image = os.path.join(d, "after.img")
        fsck(image, d)


def fsck(image, d):
    """The first partition's ext4 must be clean, with nothing for e2fsck to mend."""
    start, size = 2048 * 512, os.path.getsize(image) - 2048 * 512
    part = os.path.join(d, "part.img")
    with open(image, "rb") as f, open(part, "wb") as g:
        f.seek(start)
        while True:
            chunk = f.read(1 << 20)
            if not chunk:
                break
            if chunk.count(0) == len(chunk):
                g.seek(len(chunk), 1)
            else:
                g.write(chunk)
        g.truncate(size)
    r = subprocess.run(["/sbin/e2fsck", "-fn", part], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    state = subprocess.run(["/sbin/dumpe2fs", "-h", part], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    if r.returncode or not re.search(r"Filesystem state:\s+clean", state) or "needs_recovery" in state:
        raise Failed("the file system is not clean after power-off:\n%s" % r.stdout[-1500:])


TESTS = [
    ("debian 12 disk on virtio", lambda: debian("virtio"), False),
    ("debian 12 disk on ide", lambda: debian("ide"), True),
    ("debian 12 disk in each format, and cloned", formats, True),
]
