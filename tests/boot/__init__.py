# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole guests: each test boots a real system on Wirt and looks at what it printed or drew."""
from .machine import Failed, Machine, Skip
from . import appliance, control, debugger, desktop, direct, efi, hyperv, installer, kvm, linux, disk, media, net, save, screen, stand, time, xen, xen_debian, xen_nested, xen_save, xen_screen


class Test:
    def __init__(self, name, fn, slow):
        self.name, self.run, self.slow = name, fn, slow


def tests(everything, match=None):
    """Those of `make test`, or of `make test-all` too; or those with `match` in their names."""
    out = []
    for mod in (linux, direct, kvm, time, net, media, efi, disk, appliance, save, stand, hyperv, xen, xen_debian, xen_nested, xen_save, xen_screen, control, debugger, screen, installer, desktop):
        for name, fn, slow in mod.TESTS:
            if match in name if match else everything or not slow:
                out.append(Test(name, fn, slow))
    return out
