# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot media of Debian's packages: GRUB's rescue floppy and CD, memtest86+."""
import os, re, time

from .machine import Failed, Machine, Scratch, Skip


def need(path, package):
    if not os.path.exists(path):
        raise Skip("%s is missing (package %s)" % (path, package))
    return path


def screen_until(args, pattern, timeout):
    """Runs a machine again and again a little longer?  No: once, with --display text, whose output
    is the screen as the guest draws it."""
    m = Machine(*args, "--display", "text", "--serial", "none")
    with m:
        m.expect(pattern, timeout)
        status = m.stop()
    if status < 0:
        raise Failed("wirt died of signal %d" % -status)
    return m.text()


def grub(medium):
    if medium == "floppy":
        args = ("--floppy", need("/usr/lib/grub-rescue/grub-rescue-floppy.img", "grub-rescue-pc"))
    else:
        args = ("--cdrom", need("/usr/lib/grub-rescue/grub-rescue-cdrom.iso", "grub-rescue-pc"))
    screen_until(args + ("--net", "none"), r"GNU GRUB|grub>|rescue>", 240)


def memtest():
    image = need("/boot/memtest86+x64.bin", "memtest86+")
    text = screen_until(("--kernel", image, "--memory", "24M", "--net", "none"), r"(?s)Memtest86\+.*Pass\s*1.*|Pass:\s*1", 600)
    if not re.search(r"Errors:?\s*0", text):
        raise Failed("memtest86+ does not say 'Errors: 0':\n" + text[-2000:])


TESTS = [
    ("grub rescue floppy", lambda: grub("floppy"), False),
    ("grub rescue cd", lambda: grub("cd"), False),
    ("memtest86+", memtest, True),
]
