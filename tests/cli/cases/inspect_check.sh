# needs: model
# needs: python3
try() { "$@"; echo "$?"; }
try calmoe inspect --check | tail -2
# The first scale of the first tensor of q8_0 becomes a NaN: 32 weights.
python3 - "$MODEL" << 'END'
import struct, sys
data = bytearray(open(sys.argv[1], 'rb').read())
at, alignment = 24, 32
n_tensors, n_entries = struct.unpack_from('<QQ', data, 8)
def text():
    global at
    n, = struct.unpack_from('<Q', data, at)
    at += 8 + n
    return data[at - n:at].decode('utf-8', 'replace')
sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
def value(kind):
    global at
    if kind == 8: text()
    elif kind == 9:
        kind, n = struct.unpack_from('<IQ', data, at)
        at += 12
        for _ in range(n): value(kind)
    else: at += sizes[kind]
for _ in range(n_entries):
    text()
    kind, = struct.unpack_from('<I', data, at)
    at += 4
    value(kind)
tensors = []
for _ in range(n_tensors):
    name = text()
    n_dims, = struct.unpack_from('<I', data, at)
    at += 4 + 8 * n_dims
    tensors.append((name, *struct.unpack_from('<IQ', data, at)))
    at += 12
begin = (at + alignment - 1) // alignment * alignment
offset = next(offset for name, kind, offset in tensors if name == 'blk.3.ffn_up_exps.weight')
data[begin + offset + 34 * 9:begin + offset + 34 * 9 + 2] = b'\0\x7e'
open('bad.gguf', 'wb').write(data)
END
try calmoe inspect bad.gguf --check | tail -3
try calmoe inspect bad.gguf --check --json | grep -A 4 bad_tensors
try calmoe quantize bad.gguf out.gguf q4_0 --requantize
ls
