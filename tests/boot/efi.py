# SPDX-License-Identifier: GPL-2.0-or-later
"""UEFI: OVMF starts GRUB from a disk, and keeps variables in their file."""
import glob, os, shutil, subprocess

from .machine import CACHE, Machine, Scratch, guest, initrd_with
from .media import need

GUID = "7a1f0a54-27f4-4f0c-9d53-5f5b4b1e6c11"
VAR = "/sys/firmware/efi/efivars/Wirt-" + GUID

GRUB = """search --no-floppy --file --set=root /vmlinuz
linux /vmlinuz console=ttyS0 panic=-1 quiet
initrd /initrd.gz
boot
"""


def run(*cmd, cwd=None, stdin=None):
    subprocess.run(cmd, cwd=cwd, check=True, input=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)


def make_disk(d):
    """A disk with an EFI system partition alone: GRUB at the place for media that come from elsewhere."""
    need("/usr/lib/grub/x86_64-efi/moddep.lst", "grub-efi-amd64-bin")
    kernel, initrd = guest("cloud")
    module = glob.glob(os.path.join(CACHE, "guests/cloud/lib/modules/*/kernel/fs/efivarfs/efivarfs.ko"))[0]
    initrd = initrd_with(initrd, d, {"m/efivarfs.ko": module})
    with open(os.path.join(d, "grub.cfg"), "w") as f:
        f.write(GRUB)
    run("grub-mkstandalone", "-O", "x86_64-efi", "-o", "bootx64.efi", "--modules=part_gpt fat search linux",
        "--install-modules=part_gpt fat search linux normal", "--locales=", "--themes=", "--fonts=",
        "boot/grub/grub.cfg=grub.cfg", cwd=d)
    disk, esp = os.path.join(d, "disk.img"), os.path.join(d, "esp.img")
    run("truncate", "-s", "126M", esp)
    run("mkfs.vfat", "-F", "32", esp)
    run("mmd", "-i", esp, "::EFI", "::EFI/BOOT")
    for source, name in (("bootx64.efi", "EFI/BOOT/BOOTX64.EFI"), (kernel, "vmlinuz"), (initrd, "initrd.gz")):
        run("mcopy", "-i", esp, os.path.join(d, source), "::" + name)
    run("truncate", "-s", "128M", disk)
    run("sfdisk", "-q", disk, stdin=b"label: gpt\nstart=2048, size=%d, type=U\n" % (126 << 11))
    with open(disk, "r+b") as f, open(esp, "rb") as e:
        f.seek(1 << 20)
        shutil.copyfileobj(e, f)
    return disk


def boot(disk, variables, bus):
    return Machine("--firmware", "efi", "--efi-vars", variables, "--disk", disk + ",bus=" + bus, "--memory", "512M",
                   "--net", "none")


def ovmf():
    need("/usr/share/OVMF/OVMF_CODE_4M.fd", "ovmf")
    with Scratch() as d:
        disk, variables = make_disk(d), os.path.join(d, "vars.fd")
        for turn, bus in enumerate(("virtio", "ide", "virtio")):
            with boot(disk, variables, bus) as m:
                m.expect(r"Linux \S+ on Wirt: 1 CPU", 240)
                m.expect(r"[#$] $", 60)
                m.run("[ $(cat /sys/firmware/efi/fw_platform_size) = 64 ] && insmod /m/efivarfs.ko && "
                      "mount -t efivarfs none /sys/firmware/efi/efivars && ls /sys/firmware/efi/efivars | grep BootOrder")
                if turn == 0:
                    # Attributes (non-volatile, for boot and run time), then the value.
                    m.run(r"printf '\007\000\000\000of the inn' > %s" % VAR)
                    m.p.kill()  # written is written
                else:
                    m.run("tail -c +5 %s | grep -x 'of the inn'" % VAR)
                    m.send("reboot -f" if turn == 1 else "exit")
                    if turn == 1:
                        m.expect(r"Linux \S+ on Wirt: 1 CPU", 240)
                        m.expect(r"[#$] $", 60)
                        m.send("exit")
                    m.finish(0, 60)


TESTS = [
    ("UEFI: OVMF, GRUB, Linux, and variables that stay", ovmf, False),
]
