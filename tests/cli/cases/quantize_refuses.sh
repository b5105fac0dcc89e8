# needs: model
try() { "$@"; echo "$?"; }
cp "$MODEL" in.gguf
ln in.gguf link.gguf
try calmoe quantize in.gguf in.gguf q8_0
try calmoe quantize in.gguf ./link.gguf q8_0
try calmoe quantize in.gguf out.gguf q99
try calmoe quantize in.gguf no-such-folder/out.gguf q8_0
try calmoe quantize in.gguf /dev/null q8_0
try calmoe quantize in.gguf out.gguf q4_0
try calmoe quantize in.gguf out.gguf q4_0 --requantize --keep-quantized
cmp in.gguf "$MODEL"
ls
