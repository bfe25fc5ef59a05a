#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns a file into a C array: bin2h.py NAME IN OUT."""
import sys

name, src, dst = sys.argv[1:4]
data = open(src, 'rb').read()
with open(dst, 'w') as f:
    f.write('static const unsigned char %s[%d] = {\n' % (name, len(data)))
    for i in range(0, len(data), 16):
        f.write('    %s,\n' % ', '.join('0x%02x' % b for b in data[i:i + 16]))
    f.write('};\n')
