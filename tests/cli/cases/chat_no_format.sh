# needs: model
# needs: python3
# A file whose template is not understood: the format has to be named, before anything is computed.
python3 - "$MODEL" << 'END'
import sys
data = open(sys.argv[1], "rb").read()
at = data.index(b"{% for message in messages %}")
open("other.gguf", "wb").write(data[:at] + b"{% for message in massages %}" + data[at + 29:])
END
printf 'hi\n' | calmoe run -m other.gguf --chat -n 1
echo "$?"
calmoe inspect other.gguf | grep '^chat'
printf 'hi\n' | calmoe run -m other.gguf --chat --chat-format chatml -n 4 2> /dev/null > named
printf 'hi\n' | calmoe run --chat -n 4 2> /dev/null | cmp - named && echo same
