; SPDX-License-Identifier: GPL-2.0-or-later
; Long mode paging: rights, NX, WP, SMEP, SMAP, UMIP, reserved bits, A and D bits, INVLPG, large
; pages, accesses that cross pages.
%include "kit64.inc"

PTE     equ     pt + 8 * 16             ; of PAGE
PAGE0   equ     TESTMEM + 15 * 4096
PAGE    equ     TESTMEM + 16 * 4096

%macro SETPTE 1                         ; value, with A and D clear or not
        mov     rax, %1
        mov     [PTE], rax
        invlpg  [PAGE]
%endmacro
%macro GETPTE 0
        mov     rax, [PTE]
        and     eax, 0x60
%endmacro

tests:
        ; rights of supervisor code
        SETPTE  PAGE
        FAULT   "not present, read", 14, 0, mov al, [PAGE]
        FAULT   "not present, write", 14, 2, mov [PAGE], al
        ARM     .np
        mov     rax, PAGE
        call    rax
.np:    mov     rax, PAGE
        mov     ecx, 14
        mov     edx, 0x10
        NAME    "not present, fetch"
        call    check_fault
        SETPTE  PAGE + 1
        NOFAULT "read-only, read", mov al, [PAGE]
        GETPTE
        EQUAL   "A set by a read", rax, 0x20
        FAULT   "read-only, write with WP", 14, 3, mov [PAGE], al
        GETPTE
        EQUAL   "D not set by a write that faulted", rax, 0x20
        mov     rax, cr0
        btr     rax, 16
        mov     cr0, rax
        NOFAULT "read-only, write without WP", mov [PAGE], al
        GETPTE
        EQUAL   "A and D set by a write", rax, 0x60
        mov     rax, cr0
        bts     rax, 16
        mov     cr0, rax
        FAULT   "read-only again", 14, 3, mov [PAGE], al
        SETPTE  PAGE + 3
        NOFAULT "read before write", mov al, [PAGE]
        NOFAULT "write after read", mov [PAGE], al
        GETPTE
        EQUAL   "D set by the write after a read", rax, 0x60
        SETPTE  PAGE + 3
        NOFAULT "lock add", lock add dword [PAGE], 0
        GETPTE
        EQUAL   "A and D set by lock add", rax, 0x60
        SETPTE  PAGE + 1
        FAULT   "read-only, add of zero", 14, 3, add dword [PAGE], 0
        xor     eax, eax
        FAULT   "read-only, cmpxchg that fails", 14, 3, cmpxchg [PAGE], ecx
        ; reserved bits
        SETPTE  PAGE + 3 + (1 << 51)
        FAULT   "reserved address bit", 14, 9, mov al, [PAGE]
        mov     rax, [PDPT]
        ; NX
        mov     rax, PAGE + 3 + (1 << 63)
        mov     [PTE], rax
        invlpg  [PAGE]
        mov     byte [PAGE], 0xc3
        ARM     .nx
        mov     rax, PAGE
        call    rax
.nx:    mov     rax, PAGE
        mov     ecx, 14
        mov     edx, 0x11
        NAME    "fetch from an NX page"
        call    check_fault
        SETPTE  PAGE + 3
        NOFAULT "fetch from a page that is not NX", call to_page
        mov     ecx, 0xc0000080
        rdmsr
        btr     eax, 11
        wrmsr
        mov     rax, PAGE + 3 + (1 << 63)
        mov     [PTE], rax
        invlpg  [PAGE]
        FAULT   "NX is reserved without EFER.NXE", 14, 9, mov al, [PAGE]
        mov     ecx, 0xc0000080
        rdmsr
        bts     eax, 11
        wrmsr
        call    test_smep
        call    test_cross
        call    test_invlpg
        call    test_levels
        call    test_umip
        call    test_user
        ret

to_page:
        mov     rax, PAGE
        jmp     rax

test_smep:
        mov     rax, cr4
        bts     rax, 20
        mov     cr4, rax
        SETPTE  PAGE + 7
        ARM     .smep
        mov     rax, PAGE
        call    rax
.smep:  mov     rax, PAGE
        mov     ecx, 14
        mov     edx, 0x11
        NAME    "SMEP"
        call    check_fault
        mov     rax, cr4
        btr     rax, 20
        bts     rax, 21
        mov     cr4, rax
        FAULT   "SMAP, read", 14, 1, mov al, [PAGE]
        FAULT   "SMAP, write", 14, 3, mov [PAGE], al
        stac
        NOFAULT "SMAP with AC, read", mov al, [PAGE]
        NOFAULT "SMAP with AC, write", mov [PAGE], al
        clac
        FAULT   "SMAP after CLAC", 14, 1, mov al, [PAGE]
        mov     rax, cr4
        btr     rax, 21
        mov     cr4, rax
        NOFAULT "without SMAP", mov al, [PAGE]
        ret

test_cross:
        SETPTE  PAGE
        mov     byte [PAGE0 + 4095], 0x11
        FAULT   "read across into a page not present", 14, 0, mov eax, [PAGE - 2]
        EQUAL   "cr2 is the second page", [got_cr2], PAGE
        mov     dword [PAGE - 4], 0x12345678
        FAULT   "write across into a page not present", 14, 2, mov [PAGE - 2], eax
        mov     eax, [PAGE - 4]
        EQUAL   "and nothing was written", rax, 0x12345678
        SETPTE  PAGE + 3
        mov     qword [PAGE], 0
        mov     rax, 0x1122334455667788
        mov     [PAGE - 3], rax
        mov     rbx, [PAGE - 3]
        EQUAL   "write and read across pages", rbx, 0x1122334455667788
        mov     ebx, [PAGE]
        EQUAL   "the second page's part", rbx, 0x22334455
        lock add qword [PAGE - 3], 1
        mov     rbx, [PAGE - 3]
        EQUAL   "lock add across pages", rbx, 0x1122334455667789
        ; an instruction across pages
        mov     byte [PAGE - 1], 0xb8           ; mov eax, 0x0badf00d; ret
        mov     dword [PAGE], 0x0badf00d
        mov     byte [PAGE + 4], 0xc3
        mov     rbx, PAGE - 1
        call    rbx
        mov     ebx, eax
        EQUAL   "instruction across pages", rbx, 0x0badf00d
        mov     dword [PAGE], 0x600dcafe
        mov     rbx, PAGE - 1
        call    rbx
        mov     ebx, eax
        EQUAL   "and changed", rbx, 0x600dcafe
        SETPTE  PAGE
        ARM     .x
        mov     rbx, PAGE - 1
        call    rbx
.x:     mov     rax, PAGE - 1
        mov     ecx, 14
        mov     edx, 0x10
        NAME    "instruction across into a page not present"
        call    check_fault
        EQUAL   "cr2 of the fetch", [got_cr2], PAGE
        ret

test_invlpg:
        SETPTE  PAGE + 3
        mov     dword [PAGE], 0x1111
        mov     dword [PAGE + 4096], 0x2222
        mov     eax, [PAGE]
        SETPTE  PAGE + 4096 + 3
        mov     ebx, [PAGE]
        EQUAL   "INVLPG", rbx, 0x2222
        mov     rax, PAGE + 3
        mov     [PTE], rax
        mov     rax, cr3
        mov     cr3, rax
        mov     ebx, [PAGE]
        EQUAL   "CR3 load", rbx, 0x1111
        ; global pages stay; that they do is not architectural, that CR4.PGE drops them is
        mov     rax, cr4
        bts     rax, 7
        mov     cr4, rax
        SETPTE  PAGE + 0x103
        mov     ebx, [PAGE]
        mov     rax, PAGE + 4096 + 3
        mov     [PTE], rax
        mov     rax, cr4
        btr     rax, 7
        mov     cr4, rax
        mov     ebx, [PAGE]
        EQUAL   "CR4.PGE off", rbx, 0x2222
        ; INVLPG of any address in a large page
        mov     dword [PD + 3 * 8], 0x400083
        mov     ebx, [PAGE]
        mov     ecx, [0x600000 + 16 * 4096]
        mov     dword [PD + 3 * 8], 0x600083
        invlpg  [0x7ff000]
        mov     dword [0x600000 + 16 * 4096], 0x3333
        mov     ebx, [0x600000 + 16 * 4096]
        EQUAL   "INVLPG of a large page", rbx, 0x3333
        mov     rbx, [PD + 3 * 8]
        and     ebx, 0x60
        EQUAL   "A and D of a large page", rbx, 0x60
        SETPTE  PAGE + 3
        ret

test_levels:
        ; write rights are those of all levels
        mov     dword [PD + 16], pt + 5
        mov     rax, cr3
        mov     cr3, rax
        FAULT   "write where the directory is read-only", 14, 3, mov [PAGE], al
        mov     dword [PD + 16], pt + 7
        mov     qword [PML4 + 8], PDPT + 7 + 0x80
        mov     rax, cr3
        mov     cr3, rax
        mov     rbx, 0x8000000000
        FAULT   "PS in a PML4 entry", 14, 9, mov al, [rbx]
        mov     qword [PML4 + 8], PDPT + 7
        NOFAULT "the same without PS", mov al, [rbx]
        mov     qword [PML4 + 8], 0
        mov     qword [PDPT + 8], 0x83          ; 1 GiB page at 1 GiB -> 0
        mov     rax, cr3
        mov     cr3, rax
        mov     dword [0x400000 + 0x1000], 0xabcd
        mov     ebx, [0x40400000 + 0x1000]
        EQUAL   "1 GiB page", rbx, 0xabcd
        mov     qword [PDPT + 8], 0x2083
        mov     rax, cr3
        mov     cr3, rax
        FAULT   "reserved bit of a 1 GiB page", 14, 9, mov al, [0x40401000]
        mov     qword [PDPT + 8], 0
        mov     qword [PD + 3 * 8], 0x602083
        mov     rax, cr3
        mov     cr3, rax
        FAULT   "reserved bit of a 2 MiB page", 14, 9, mov al, [0x601000]
        mov     qword [PD + 3 * 8], 0x600083
        mov     rax, cr3
        mov     cr3, rax
        ret

u_sgdt: sgdt    [rsp - 16]
u_sldt: sldt    eax
u_smsw: smsw    eax
u_umip_ok: int  0x81
u_read: mov     al, [PAGE]
        int     0x81
u_write: mov    [PAGE], al
        int     0x81
u_uend:

test_umip:
        mov     byte [idt + 0x81 * 16 + 5], 0xee
        USER    u_sgdt, u_uend
        cmp     dword [got_vec], 0x81
        CHECK   "SGDT in ring 3 without UMIP", e
        mov     rax, cr4
        bts     rax, 11
        mov     cr4, rax
        USER    u_sgdt, u_uend
        CHECK_USER "SGDT with UMIP", 13, 0, 0
        USER    u_sldt, u_uend
        CHECK_USER "SLDT with UMIP", 13, 0, 0
        USER    u_smsw, u_uend
        CHECK_USER "SMSW with UMIP", 13, 0, 0
        mov     rax, cr4
        btr     rax, 11
        mov     cr4, rax
        ret

test_user:
        SETPTE  PAGE + 3
        USER    u_read, u_uend
        CHECK_USER "user read of a supervisor page", 14, 5, 0
        SETPTE  PAGE + 5
        USER    u_read, u_uend
        CHECK_USER "user read", 0x81, NOERR, u_write - u_read
        USER    u_write, u_uend
        CHECK_USER "user write of a read-only page", 14, 7, 0
        SETPTE  PAGE
        USER    u_read, u_uend
        CHECK_USER "user read of a page not present", 14, 4, 0
        USER    u_write, u_uend
        CHECK_USER "user write of a page not present", 14, 6, 0
        mov     rax, cr0
        btr     rax, 16
        mov     cr0, rax
        SETPTE  PAGE + 5
        USER    u_write, u_uend
        CHECK_USER "user write of a read-only page without WP", 14, 7, 0
        mov     rax, cr0
        bts     rax, 16
        mov     cr0, rax
        SETPTE  PAGE + 7
        USER    u_write, u_uend
        CHECK_USER "user write", 0x81, NOERR, u_uend - u_write
        ret
        ROM_END
