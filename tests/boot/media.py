# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot media of Debian's packages: GRUB's rescue floppy and CD, memtest86+."""
import os, re

from .machine import Failed, Machine, Skip


def need(path, package):
    if not os.path.exists(path):
        raise Skip("%s is missing (package %s)" % (path, package))
    return path


def screen_until(args, pattern, timeout):
    """What --display text drew until the pattern was on the screen."""
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
    # One pass, most of it the bit fade test, which waits for its time and not for the processor.
    text = screen_until(("--kernel", image, "--memory", "24M", "--net", "none"), r"Pass: +1\b", 600)
    if not re.search(r"Memory  : +24MB", text):
        raise Failed("memtest86+ does not find 24 MB:\n" + text[-2000:])
    if set(re.findall(r"Errors: +(\d+)", text)) != {"0"}:
        raise Failed("memtest86+ does not say 'Errors: 0':\n" + text[-2000:])


TESTS = [
    ("grub rescue floppy", lambda: grub("floppy"), False),
    ("grub rescue cd", lambda: grub("cd"), False),
    ("memtest86+", memtest, True),
]
