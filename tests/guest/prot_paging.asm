; SPDX-License-Identifier: GPL-2.0-or-later
; 32-bit paging with and without 4 MiB pages, and PAE paging.
%include "kit32.inc"

DIR     equ     0x30000
TAB     equ     0x31000
PDPTE   equ     0x32000
PAEDIR  equ     0x33000
PAETAB  equ     0x34000
PAGE    equ     0x400000 + 5 * 4096

tests:
        mov     edi, DIR
        xor     eax, eax
        mov     ecx, 0x8000 / 4
        rep stosd
        ; 0-4 MiB by a large page, 4-8 MiB by a table, 8-12 MiB a large page onto 4 MiB
        mov     dword [DIR], 0x83
        mov     dword [DIR + 4], TAB + 7
        mov     dword [DIR + 8], 0x400083
        mov     edi, TAB
        mov     eax, 0x400007
        mov     ecx, 1024
.fill:  stosd
        add     eax, 4096
        loop    .fill
        mov     eax, cr4
        or      eax, 0x10
        mov     cr4, eax
        mov     eax, DIR
        mov     cr3, eax
        mov     eax, cr0
        or      eax, 0x80010000
        mov     cr0, eax
        mov     dword [PAGE], 0xabcd
        mov     ecx, [PAGE + 0x400000]
        EQUAL   "4 MiB page", ecx, 0xabcd
        mov     ecx, [DIR + 8]
        and     ecx, 0x60
        EQUAL   "A of a 4 MiB page", ecx, 0x20
        mov     ecx, [TAB + 5 * 4]
        and     ecx, 0x60
        EQUAL   "A and D of a 4 KiB page", ecx, 0x60
        FAULT   "not present", 14, 0, mov al, [0xc00000]
        EQUAL   "cr2", [got_cr2], 0xc00000
        FAULT   "not present, write", 14, 2, mov [0xc00004], eax
        mov     dword [TAB + 5 * 4], (PAGE) + 5
        invlpg  [PAGE]
        FAULT   "read-only", 14, 3, mov [PAGE], eax
        USER    u_read
        CHECK_AT "user fetch from a supervisor page", 14, 5, u_read
        ; the image for the user as well
        mov     dword [DIR], 0x87
        mov     eax, cr3
        mov     cr3, eax
        USER    u_read
        CHECK_AT "user read", 0x81, NOERR, u_write
        USER    u_write
        CHECK_AT "user write of a read-only page", 14, 7, u_write
        mov     dword [TAB + 5 * 4], (PAGE) + 3
        invlpg  [PAGE]
        USER    u_read
        CHECK_AT "user read of a supervisor page", 14, 5, u_read
        mov     dword [DIR], 0x83
        mov     dword [DIR + 4], TAB + 5
        mov     eax, cr3
        mov     cr3, eax
        FAULT   "directory read-only", 14, 3, mov [PAGE], eax
        mov     dword [DIR + 4], TAB + 7
        ; PSE-36: bit 13 is address bit 32; there is no memory there, so it reads as ones
        mov     dword [DIR + 8], 0x402083
        mov     eax, cr3
        mov     cr3, eax
        mov     ecx, [0x900000]
        EQUAL   "PSE-36", ecx, 0xffffffff
        mov     dword [DIR + 8], 0x600083
        mov     eax, cr3
        mov     cr3, eax
        FAULT   "reserved bit 21", 14, 9, mov al, [0x900000]
        ; without PSE bit 7 means nothing
        mov     eax, cr0
        and     eax, 0x7fffffff
        mov     cr0, eax
        mov     eax, cr4
        and     eax, ~0x10
        mov     cr4, eax
        mov     edi, 0x38000
        mov     eax, 3
        mov     ecx, 1024
.ident: stosd
        add     eax, 4096
        loop    .ident
        mov     dword [DIR], 0x38000 + 3 + 0x80
        mov     eax, cr0
        or      eax, 0x80000000
        mov     cr0, eax
        mov     ecx, [gdt + 8]
        EQUAL   "PS without CR4.PSE", ecx, 0x0000ffff
        mov     eax, cr0
        and     eax, 0x7fffffff
        mov     cr0, eax
        call    test_pae
        ret

test_pae:
        mov     dword [PDPTE], PAEDIR + 1
        mov     dword [PAEDIR], 0x83
        mov     dword [PAEDIR + 8], 0x200083
        mov     dword [PAEDIR + 16], PAETAB + 7
        mov     dword [PAEDIR + 24], 0x400083
        mov     edi, PAETAB
        mov     eax, 0x400007
        mov     ecx, 512
.fill:  stosd
        mov     dword [edi], 0
        add     edi, 4
        add     eax, 4096
        loop    .fill
        mov     eax, PDPTE
        mov     cr3, eax
        mov     eax, cr4
        or      eax, 0x20
        mov     cr4, eax
        mov     ecx, 0xc0000080
        rdmsr
        or      eax, 0x800
        wrmsr
        mov     eax, cr0
        or      eax, 0x80000000
        mov     cr0, eax
        mov     dword [PAGE], 0x4321
        mov     ecx, [PAGE + 0x200000]
        EQUAL   "PAE: 2 MiB page", ecx, 0x4321
        FAULT   "PAE: directory pointer not present", 14, 0, mov al, [0x40000000]
        mov     dword [PAETAB + 5 * 8 + 4], 0x80000000
        invlpg  [PAGE]
        mov     byte [PAGE], 0xc3
        ARM     .nx
        mov     eax, PAGE
        call    eax
.nx:    CHECK_AT "PAE: NX", 14, 0x11, PAGE
        mov     dword [PAETAB + 5 * 8 + 4], 0x00100000
        invlpg  [PAGE]
        FAULT   "PAE: reserved bit 52", 14, 9, mov al, [PAGE]
        mov     dword [PAETAB + 5 * 8 + 4], 0
        invlpg  [PAGE]
        NOFAULT "PAE: mended", mov al, [PAGE]
        mov     dword [PDPTE + 8], 3            ; W is reserved in a PDPTE
        mov     eax, PDPTE
        FAULT   "PAE: reserved bit of a PDPTE", 13, 0, mov cr3, eax
        mov     dword [PDPTE + 8], 0
        mov     eax, cr0
        and     eax, 0x7fffffff
        mov     cr0, eax
        ret

u_read: mov     al, [PAGE]
        int     0x81
u_write: mov    [PAGE], al
        int     0x81
        ROM_END
