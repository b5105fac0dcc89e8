# needs: python3
try() { "$@"; echo "$?"; }
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n' > pointer.gguf
printf '\2\0\0\0\0\0\0\0{}' > model.safetensors
python3 - << 'END'
import struct
def text(t): return struct.pack('<Q', len(t)) + t.encode()
def entry(key, value): return text(key) + struct.pack('<I', 8) + text(value)
entries = [('general.type', 'mmproj'), ('general.architecture', 'clip'), ('general.name', 'eyes')]
tensor = text('v.weight') + struct.pack('<IQIQ', 1, 256, 16, 0)
head = b'GGUF' + struct.pack('<IQQ', 3, 1, len(entries)) + b''.join(entry(*e) for e in entries) + tensor
open('mmproj.gguf', 'wb').write(head + bytes(-len(head) % 32) + bytes(66))
END
for file in pointer.gguf model.safetensors mmproj.gguf; do try calmoe run -m $file -p x; done
try calmoe inspect mmproj.gguf | grep -v fingerprint
try calmoe tokenize -m mmproj.gguf text
