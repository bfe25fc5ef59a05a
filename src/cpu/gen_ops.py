#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes C of the op table.

    gen_ops.py CPUID.TAB OPS.H OPS.C OPS_EXEC.C OPS_DECODE.H TABLE...

OPS.H         enum op_id, struct op_row, prototypes of the handlers
OPS.C         op_rows[], op_names[]
OPS_EXEC.C    op_exec[]: on its own, so that who decodes need not link every handler
OPS_DECODE.H  the decoder's trees, for decode.c alone

ops.tab explains the table's columns.  A row becomes one struct op_row, or several where it stands
for its VEX forms as well.  The decoder finds a row by walking a tree: from (map, opcode) through
nodes that each look at one thing (mandatory prefix, ModRM.mod, ModRM.reg, ...) to a row's number.
The tree is built here by splitting the rows of an opcode by whatever any of them asks for.
"""
import re
import sys

# What a node may look at, in the order in which they are asked, with the number of branches.
DIMS = [('MODE64', 2), ('PREFIX', 4), ('MOD', 2), ('REG', 8), ('RM', 8), ('REXB', 2), ('W', 2), ('L', 2)]
PREFIXES = ['NP', '66', 'F3', 'F2']
MAPS = ['', '0F', '0F38', '0F3A']
FLAGS = {'c': 0, 'p': 2, 'a': 4, 'z': 6, 's': 7, 'i': 9, 'd': 10, 'o': 11, 'A': 18}
ALL_FLAGS = 0x3f7fd5
CC_FLAGS = sum(1 << FLAGS[f] for f in 'oszpc')
MODES = 'ABCDEFGHIJKLMNOPQRSUVWXYZ'
SIZES = ['none', 'b', 'w', 'd', 'q', 'v', 'z', 'y', 'n', 'vw', 'dw', 'db', 'dq', 'qq', 't', 'x',
         'h', 'f', 'e', 'dd', 'p', 's', 'a', 'c', 'm', 'l', 'ss', 'sd']
FIXED = {'al': ('GPR0', 'b'), 'ax': ('GPR0', 'w'), 'rax': ('GPR0', 'v'), 'eax': ('GPR0', 'z'),
         'cl': ('GPR1', 'b'), 'dx': ('GPR2', 'w'), '1': ('ONE', 'b'), 'es': ('ES', 'w'),
         'cs': ('CS', 'w'), 'ss': ('SS', 'w'), 'ds': ('DS', 'w'), 'fs': ('FS', 'w'),
         'gs': ('GS', 'w'), 'st0': ('ST0', 't'), 'sti': ('STI', 't'), 'Di': ('DI', 'x')}
ATTRS = ['i64', 'o64', 'd64', 'f64', 'lock', 'rep', 'repz', 'cpl0', 'iopl', 'end', 'fault', 'host',
         'align', 'imp', 'cond', 'modrm', 'mod3', 'p66', 'vvvv', 'vsib', 'mem', 'cc']
UNITS = ['x87', 'mmx', 'sse', 'avx']
UNMARKED = {'al', 'unal'}
SSE = {'sse', 'sse2', 'sse3', 'ssse3', 'sse4_1', 'sse4_2'}
MODRM_MODES = set('CDEFGKMNPQRSUVW')
MEM_ONLY, REG_ONLY = set('MK'), set('NRU')


def die(where, text):
    sys.exit(f'{where}: {text}')


class Row:
    def __init__(self, where):
        self.where = where
        self.vex = False
        self.map = self.opcode = 0
        self.count = 1
        self.need = {}
        self.attr = set()
        self.unit = 'none'
        self.feature = None
        self.fn = None
        self.flags = dict.fromkeys('RWU01', 0)

    def copy(self):
        r = Row(self.where)
        r.__dict__.update(self.__dict__)
        r.need, r.attr, r.flags = dict(self.need), set(self.attr), dict(self.flags)
        r.operands = list(self.operands)
        return r


def parse_key(row, key):
    m = re.fullmatch(r'(VEX\.)?(?:(NP|66|F3|F2|NF):)?(?:(0F|0F38|0F3A)\.)?([0-9A-F]{2})'
                     r'(=[0-9A-F]{2})?(\+r|\+cc)?(/[0-7])?((?:\.[BWL][01])*)', key)
    if not m:
        die(row.where, f'bad key {key}')
    row.vex = bool(m[1])
    if m[2] == 'NF':
        row.need['PREFIX'] = (0, 1)
    elif m[2]:
        row.need['PREFIX'] = PREFIXES.index(m[2])
        if m[2] == '66':
            row.attr.add('p66')
    row.map = MAPS.index(m[3] or '')
    row.opcode = int(m[4], 16)
    if m[5]:
        modrm = int(m[5][1:], 16)
        row.need.update(MOD=1, REG=modrm >> 3 & 7)
        if not m[6]:
            row.need['RM'] = modrm & 7
        row.attr.add('modrm')
    elif m[6]: # not after a whole ModRM byte, where +r means any ModRM.rm
        row.count = 8 if m[6] == '+r' else 16
        if m[6] == '+cc':
            row.attr.add('cc')
    if m[7]:
        row.need['REG'] = int(m[7][1])
        row.attr.add('modrm')
    for dim, value in re.findall(r'\.([BWL])([01])', m[8]):
        row.need['REXB' if dim == 'B' else dim] = int(value)


def parse_operand(row, text):
    access = {'=': 'W', '+': 'RW'}.get(text[0], 'R')
    name = text.lstrip('=+')
    if name in FIXED:
        mode, size = FIXED[name]
    else:
        mode, size = name[0], name[1:]
        if mode == 'I' and size[0] == 'u':
            mode, size = 'IU', size[1:]
    if (mode[0] not in MODES and name not in FIXED) or size not in SIZES:
        die(row.where, f'bad operand {text}')
    return mode, size, access


def understand_operands(row):
    """What follows from a row's operands: ModRM, mod, what VEX.vvvv must be, alignment."""
    for mode, size, access in row.operands:
        if mode in MODRM_MODES or mode == 'STI':
            row.attr.add('modrm')
        if mode in MEM_ONLY:
            row.need['MOD'] = 0
        if mode in REG_ONLY or mode == 'STI':
            row.need['MOD'] = 1
        if mode == 'F':
            row.attr.add('mod3')
        if mode in 'BH':
            row.attr.add('vvvv')
        if mode == 'K':
            row.attr.add('vsib')
        if mode in ('E', 'K', 'M', 'O', 'Q', 'W', 'X', 'Y', 'DI') and size != 'm':
            row.attr.add('mem')
        if mode in 'WM' and 'host' in row.attr:
            if 'al' in row.attr or (not row.vex and size in ('x', 'dq') and 'unal' not in row.attr):
                row.attr.add('align')
    for a in ('i64', 'o64'):
        if a in row.attr:
            row.need['MODE64'] = int(a == 'o64')


def flag_set(row, text):
    if text == '*':
        return ALL_FLAGS
    if text == 'cc':
        return CC_FLAGS
    if any(f not in FLAGS for f in text):
        die(row.where, f'bad flags {text}')
    return sum(1 << FLAGS[f] for f in text)


def vex_forms(row, form):
    """The VEX rows that v2, v3, vd on a legacy row stand for."""
    kind, length = form[1], form[2:]
    r = row.copy()
    r.vex = True
    r.mnemonic = 'v' + row.mnemonic
    r.fn = row.fn or (None if 'host' in row.attr else row.mnemonic)
    r.unit = 'avx'
    r.attr -= {'unal'}
    if r.feature in SSE:
        r.feature = 'avx'
    ops = [(m, s, 'W' if a == 'RW' and i == 0 and m != 'DI' else a)
           for i, (m, s, a) in enumerate(row.operands)]
    if kind == '3':
        ops.insert(1, ('H', 'dq' if ops[0][1] != 'x' else 'x', 'R'))
    elif kind == 'd':
        ops[0] = (ops[0][0], ops[0][1], 'R')
        ops.insert(0, ('H', 'x', 'W'))
    r.operands = ops
    if length == '0':
        r.need['L'] = 0
    elif length == 'i':
        wide = r.copy()
        wide.feature = 'avx2'
        r.need['L'], wide.need['L'] = 0, 1
        return [r, wide]
    return [r]


def parse_line(where, words, common):
    row = Row(where)
    parse_key(row, words[0])
    row.mnemonic = words[1]
    row.operands = [parse_operand(row, o) for o in words[2].split(',')] if words[2] != '-' else []
    form = None
    own_feature = any(w[0] == '@' for w in words[3:])
    for w in words[3:] + [c for c in common if not (own_feature and c[0] == '@')]:
        if w[0] == '@':
            row.feature = w[1:]
        elif w[1:2] == '=':
            row.flags[w[0]] |= flag_set(row, w[2:])
        elif w.startswith('fn='):
            row.fn = w[3:]
        elif re.fullmatch(r'v[23d][il0]?', w):
            form = w
        elif w in UNITS:
            row.unit = w
        elif w in ATTRS or w in UNMARKED:
            row.attr.add(w)
        else:
            die(where, f'unknown attribute {w}')
    if row.fn:
        row.attr.discard('host')
        if row.unit in ('sse', 'avx', 'mmx') and 'unal' not in row.attr:
            row.attr.add('unal')
    rows = [row] + (vex_forms(row, form) if form else [])
    for r in rows:
        understand_operands(r)
        if len(r.operands) > 4:
            die(where, 'too many operands')
    return rows


def parse(files, features):
    rows = []
    for name in files:
        common = []
        with open(name, encoding='ascii') as f:
            for number, line in enumerate(f, 1):
                where = f'{name}:{number}'
                words = line.split('#')[0].split()
                if not words:
                    continue
                if words[0] == '.with':
                    common = words[1:]
                    continue
                if len(words) < 3:
                    die(where, 'too few columns')
                rows += parse_line(where, words, common)
    for r in rows:
        if r.feature and r.feature not in features:
            die(r.where, f'feature {r.feature} is not in cpuid.tab')
    return rows


def allows(row, dim, value):
    need = row.need.get(dim, value)
    return value in need if isinstance(need, tuple) else value == need


class Trees:
    """All trees in one array of 16-bit numbers: [dimension, branch, branch, ...]."""
    LEAF, MODRM = 0x8000, 0x4000

    def __init__(self, rows):
        self.rows = rows
        self.words = []
        self.seen = {}

    def build(self, numbers, known=frozenset()):
        for dim, n in DIMS:
            if dim in known or not any(dim in self.rows[i].need for i in numbers):
                continue
            branches = [self.build([i for i in numbers if allows(self.rows[i], dim, v)],
                                   known | {dim}) for v in range(n)]
            if len(set(branches)) == 1:
                return branches[0]
            node = (dim, *branches)
            if node not in self.seen:
                self.seen[node] = len(self.words)
                self.words += ['DIM_' + dim] + branches
            return self.seen[node]
        if not numbers:
            return self.LEAF
        rank = lambda i: ('PREFIX' in self.rows[i].need, len(self.rows[i].need))
        best = sorted(numbers, key=rank, reverse=True)
        if len(best) > 1 and rank(best[0]) == rank(best[1]):
            die(self.rows[best[1]].where, f'the same key as {self.rows[best[0]].where}')
        return self.LEAF | (best[0] + 1)

    def root(self, vex, omap, opcode):
        numbers = [i for i, r in enumerate(self.rows) if r.vex == vex and r.map == omap
                   and r.opcode <= opcode < r.opcode + r.count]
        modrm = any('modrm' in self.rows[i].attr for i in numbers)
        for i in numbers:
            if modrm:
                self.rows[i].attr.add('modrm')
        return self.build(numbers) | (self.MODRM if modrm else 0)


HEAD = '/* Made by gen_ops.py from the op table.  Do not edit. */\n'


def write_header(path, rows, ops, handlers):
    with open(path, 'w', encoding='ascii') as f:
        p = lambda *a: print(*a, file=f)
        p(HEAD + '#ifndef WIRT_CPU_OPS_H\n#define WIRT_CPU_OPS_H\n\n#include "cpu/cpu.h"\n')
        p('/* Mnemonics. */\nenum op_id {\n    OP_none,')
        for op in ops:
            p(f'    OP_{op},')
        p('    OP_COUNT,\n};\n')
        p('/* Where an operand is and how large: the letters of ops.tab. */\nenum {')
        names = ['none', *MODES, 'IU'] + sorted({m for m, _ in FIXED.values()})
        p('\n'.join(f'    AM_{n},' for n in names), '\n};\nenum {')
        p('\n'.join(f'    SZ_{n},' for n in SIZES), '\n};\n')
        p('/* op_row.attr */')
        for i, a in enumerate(ATTRS):
            p(f'#define OPA_{a.upper():8} (1u << {i})')
        p('\nenum { UNIT_none, ' + ', '.join('UNIT_' + u for u in UNITS) + ' };')
        p('enum { ' + ', '.join(f'OPP_{x}' for x in PREFIXES) + ', OPP_ANY };')
        p('enum { OPN_R = 1, OPN_W = 2 }; /* op_row.access */')
        p('#define OP_ANY_CPU 0xffff /* op_row.feature: no CPUID bit */\n')
        p('''struct op_row {
    u16 op;        /* enum op_id */
    u16 feature;   /* enum feature or OP_ANY_CPU */
    u32 attr;      /* OPA_* */
    u8 nops;
    u8 mode[4];    /* AM_* */
    u8 size[4];    /* SZ_* */
    u8 access[4];  /* OPN_* */
    u8 unit;       /* UNIT_* */
    /* The key: what it takes to encode this row. */
    u8 vex, map, opcode;
    u8 count;      /* opcodes */
    u8 prefix;     /* OPP_* */
    s8 mod;        /* 0 memory, 1 register, -1 either */
    s8 reg, rm, w, l; /* -1: any */
    /* Flags as in RFLAGS; written takes in undefined, cleared and set. */
    u32 flags_read, flags_written, flags_undefined, flags_cleared, flags_set;
};

enum { OP_ROWS = %d };
extern const struct op_row op_rows[OP_ROWS]; /* [0]: no instruction */
extern const char *const op_names[OP_COUNT];
extern insn_fn *const op_exec[OP_COUNT];
''' % (len(rows) + 1))
        for h in handlers:
            p(f'insn_fn exec_{h};')
        p('\n#endif')


def c_row(r, handlers):
    n = r.need.get
    ops = (r.operands + [('none', 'none', '')] * 4)[:4]
    access = {'': '0', 'R': 'OPN_R', 'W': 'OPN_W', 'RW': 'OPN_R | OPN_W'}
    attrs = ' | '.join(f'OPA_{a.upper()}' for a in ATTRS if a in r.attr) or '0'
    fl = r.flags
    written = fl['W'] | fl['U'] | fl['0'] | fl['1']
    return (f'    {{OP_{r.mnemonic}, {"FEAT_" + r.feature if r.feature else "OP_ANY_CPU"},\n'
            f'     {attrs},\n     {len(r.operands)}, '
            + '{' + ', '.join('AM_' + o[0] for o in ops) + '}, {'
            + ', '.join('SZ_' + o[1] for o in ops) + '}, {'
            + ', '.join(access[o[2]] for o in ops) + '},\n'
            + f'     UNIT_{r.unit}, {int(r.vex)}, {r.map}, 0x{r.opcode:02x}, {r.count}, '
            + ('OPP_' + PREFIXES[n('PREFIX')] if isinstance(n('PREFIX'), int) else 'OPP_ANY')
            + f', {n("MOD", -1)}, {n("REG", -1)}, {n("RM", -1)}, {n("W", -1)}, {n("L", -1)},\n'
            + f'     0x{fl["R"]:x}, 0x{written:x}, 0x{fl["U"]:x}, 0x{fl["0"]:x}, 0x{fl["1"]:x}}},')


def write_source(path, rows, ops, handlers):
    with open(path, 'w', encoding='ascii') as f:
        p = lambda *a: print(*a, file=f)
        p(HEAD + '#include "cpu/ops.h"\n')
        p('const struct op_row op_rows[OP_ROWS] = {\n    {OP_none, OP_ANY_CPU},')
        for r in rows:
            p(c_row(r, handlers))
        p('};\n\nconst char *const op_names[OP_COUNT] = {\n    "(bad)",')
        for op in ops:
            p(f'    "{op}",')
        p('};')


def write_exec(path, ops, handler_of):
    with open(path, 'w', encoding='ascii') as f:
        p = lambda *a: print(*a, file=f)
        p(HEAD + '#include "cpu/ops.h"\n')
        p('static void exec_none(struct cpu *c, const struct insn *i)\n{\n    cpu_ud(c);\n}\n')
        p('insn_fn *const op_exec[OP_COUNT] = {\n    exec_none,')
        for op in ops:
            p(f'    exec_{handler_of[op]},')
        p('};')


def operand_size(size, opsize, wide, is64, l, mem):
    """Bytes of an operand of size letter `size`; wide: W counts."""
    y = 8 if wide else 4
    return {'none': 0, 'b': 1, 'w': 2, 'd': 4, 'q': 8, 'v': opsize, 'z': min(opsize, 4), 'y': y,
            'n': 8 if is64 else 4, 'vw': 2 if mem else opsize, 'dw': 2 if mem else 4,
            'db': 1 if mem else 4, 'dq': 16, 'qq': 32, 't': 10, 'x': 16 << l, 'h': 8 << l,
            'f': 4 << l, 'e': 2 << l, 'dd': 32 if l else 8, 'p': opsize + 2,
            's': 10 if is64 else 6, 'a': 2 * opsize, 'c': 2 * y, 'm': 0, 'l': 255, 'ss': 4,
            'sd': 8}[size]


def write_sizes(p):
    p('\n/* Operand sizes: [operand size 2, 4, 8][W counts][64-bit mode][VEX.L][memory][SZ_*]. */')
    p(f'static const u8 op_sizes[3][2][2][2][2][{len(SIZES)}] = {{')
    for opsize in (2, 4, 8):
        p('    {')
        for wide in (0, 1):
            p('        {')
            for is64 in (0, 1):
                p('            {')
                for l in (0, 1):
                    p('                {' + ', '.join('{' + ', '.join(
                        str(operand_size(z, opsize, wide, is64, l, mem)) for z in SIZES) + '}'
                        for mem in (0, 1)) + '},')
                p('            },')
            p('        },')
        p('    },')
    p('};')


def write_trees(path, rows):
    t = Trees(rows)
    roots = [[t.root(v, m, o) for o in range(256)]
             for v, m in [(False, 0), (False, 1), (False, 2), (False, 3),
                          (True, 1), (True, 2), (True, 3)]]
    with open(path, 'w', encoding='ascii') as f:
        p = lambda *a: print(*a, file=f)
        p(HEAD)
        p('/* A number with TREE_LEAF is a row, else a place in op_tree[]: a dimension, then what\n'
          ' * each of its values leads to.  In a root TREE_MODRM says that a ModRM byte follows. */')
        p(f'enum {{ TREE_LEAF = {t.LEAF:#x}, TREE_MODRM = {t.MODRM:#x} }};')
        p('enum { ' + ', '.join('DIM_' + d for d, _ in DIMS) + ' };\n')
        p('/* One byte, 0F, 0F38, 0F3A; VEX 0F, 0F38, 0F3A. */')
        p('static const u16 op_root[7][256] = {')
        for r in roots:
            p('    {' + ', '.join(f'{x:#x}' for x in r) + '},')
        p('};\n\nstatic const u16 op_tree[] = {\n    ' + ', '.join(map(str, t.words)) + '};')
        write_sizes(p)


def main():
    cpuid, header, source, table, trees, *tables = sys.argv[1:]
    with open(cpuid, encoding='ascii') as f:
        features = set(re.findall(r'^FEATURE\((\w+),', f.read(), re.M))
    rows = parse(tables, features)
    handler_of = {}
    for r in rows:
        h = r.fn or ('hostrun' if 'host' in r.attr else r.mnemonic)
        if handler_of.setdefault(r.mnemonic, h) != h:
            die(r.where, f'{r.mnemonic} has another handler elsewhere')
    ops, handlers = sorted(handler_of), sorted(set(handler_of.values()))
    write_trees(trees, rows)
    write_header(header, rows, ops, handlers)
    write_source(source, rows, ops, handlers)
    write_exec(table, ops, handler_of)


main()
