"""A product of a matrix and a vector as a WebAssembly module with SIMD, compiled by the LLVM that Numba brings.

    y = W x + b        W in panels of 32 rows: panel after panel, in each column after column, 32 numbers each

The object file has one function and no data, so nothing needs a linker: without its custom sections, and with a section
that exports the function, it is a module. It imports its memory as env.__linear_memory.
"""

from __future__ import annotations

PANEL = 32  # rows: 8 sums of 4 numbers, which stay in registers
SUMS = range(PANEL // 4)
HEADER = 8  # bytes: magic number and version
CUSTOM, EXPORT, CODE = 0, 7, 10  # sections
NAME = b"product"
VECTOR = "<4 x float>"


def product_module() -> bytes:
    """Return the module; it exports product(y, w, x, b, panels, columns), which takes addresses in bytes."""
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple("wasm32-unknown-unknown")
    machine = target.create_target_machine(opt=3, features="+simd128")
    module = llvm.parse_assembly(product_source())
    module.verify()
    return linked(machine.emit_object(module))


def product_source() -> str:
    """Return the function in the language of LLVM."""
    lines = [
        'target triple = "wasm32-unknown-unknown"',
        f"define void @{NAME.decode()}(ptr %y, ptr %w, ptr %x, ptr %b, i32 %panels, i32 %columns) {{",
        "entry:",
        "  br label %panel",
        "panel:",
        "  %p = phi i32 [0, %entry], [%p1, %done]",
        "  %w0 = phi ptr [%w, %entry], [%w2, %done]",
        f"  %row = mul i32 %p, {PANEL}",
        "  %bp = getelementptr float, ptr %b, i32 %row",
        "  %yp = getelementptr float, ptr %y, i32 %row",
    ]
    for k in SUMS:
        lines.append(f"  %bp{k} = getelementptr float, ptr %bp, i32 {4 * k}")
        lines.append(f"  %b{k} = load {VECTOR}, ptr %bp{k}, align 4")
    lines += [
        "  br label %column",
        "column:",
        "  %c = phi i32 [0, %panel], [%c1, %column]",
        "  %w1 = phi ptr [%w0, %panel], [%w2, %column]",
    ]
    lines += [f"  %sum{k} = phi {VECTOR} [%b{k}, %panel], [%new{k}, %column]" for k in SUMS]
    lines += [
        "  %xp = getelementptr float, ptr %x, i32 %c",
        "  %xc = load float, ptr %xp, align 4",
        f"  %one = insertelement {VECTOR} poison, float %xc, i32 0",
        f"  %all = shufflevector {VECTOR} %one, {VECTOR} poison, <4 x i32> zeroinitializer",
    ]
    for k in SUMS:
        lines.append(f"  %wp{k} = getelementptr float, ptr %w1, i32 {4 * k}")
        lines.append(f"  %w_{k} = load {VECTOR}, ptr %wp{k}, align 4")
        lines.append(f"  %m{k} = fmul {VECTOR} %w_{k}, %all")
        lines.append(f"  %new{k} = fadd {VECTOR} %sum{k}, %m{k}")
    lines += [
        f"  %w2 = getelementptr float, ptr %w1, i32 {PANEL}",
        "  %c1 = add i32 %c, 1",
        "  %more = icmp ult i32 %c1, %columns",
        "  br i1 %more, label %column, label %done",
        "done:",
    ]
    for k in SUMS:
        lines.append(f"  %yp{k} = getelementptr float, ptr %yp, i32 {4 * k}")
        lines.append(f"  store {VECTOR} %new{k}, ptr %yp{k}, align 4")
    lines += [
        "  %p1 = add i32 %p, 1",
        "  %again = icmp ult i32 %p1, %panels",
        "  br i1 %again, label %panel, label %end",
        "end:",
        "  ret void",
        "}",
    ]
    return "\n".join(lines)


def linked(data: bytes) -> bytes:
    """Return an object file as a module that exports its only function."""
    parts, position = [data[:HEADER]], HEADER
    exports = bytes([1, len(NAME)]) + NAME + bytes([0, 0])  # one export: the function with index 0
    while position < len(data):
        kind = data[position]
        size, start = leb128(data, position + 1)
        if kind == CODE:
            parts.append(bytes([EXPORT, len(exports)]) + exports)
        if kind != CUSTOM:
            parts.append(data[position : start + size])
        position = start + size
    return b"".join(parts)


def leb128(data: bytes, position: int) -> tuple[int, int]:
    """Return the unsigned number at a position, of 7 bits in a byte, and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return value, position
