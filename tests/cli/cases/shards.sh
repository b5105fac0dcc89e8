# needs: model
# needs: python3
# A model in two shards, of which the second holds no tensors and 3 MB of metadata, runs like the whole file; what is
# told of a copy's size counts both.
python3 - "$MODEL" <<'PY'
import struct, sys

def text(s):
    return struct.pack("<Q", len(s)) + s

def keys(number, n_tensors, n_extra):
    """Metadata of a shard, a multiple of 32 bytes so that tensors stay aligned."""
    made = (text(b"split.no") + struct.pack("<IH", 2, number) + text(b"split.count") + struct.pack("<IH", 2, 2) +
            text(b"split.tensors.count") + struct.pack("<Ii", 5, n_tensors) + text(b"extra") + struct.pack("<I", 8))
    return made + text(b"x" * (n_extra + -(len(made) + 8 + n_extra) % 32))

whole = open(sys.argv[1], "rb").read()
magic, version, n_tensors, n_keys = struct.unpack("<4sIQQ", whole[:24])
with open("m-00001-of-00002.gguf", "wb") as first:
    first.write(struct.pack("<4sIQQ", magic, version, n_tensors, n_keys + 4) + keys(0, n_tensors, 0) + whole[24:])
with open("m-00002-of-00002.gguf", "wb") as second:
    second.write(struct.pack("<4sIQQ", magic, version, 0, 4) + keys(1, n_tensors, 3000000))
PY
for model in "$MODEL" m-00001-of-00002.gguf; do
    calmoe run -m "$model" -p 'int main(' -n 4 -t 1 --logit-hash 2> /dev/null | tail -1
done | uniq -c | cut -c 1-21
calmoe quantize m-00001-of-00002.gguf copy.gguf q8_0 2>&1 | sed -n 's/.*from //p'
rm m-00002-of-00002.gguf
calmoe run -m m-00001-of-00002.gguf -p a 2>&1
echo $?
