# needs: model
# needs: python3
# A template with no turns that can be appended (the fifth message would be written otherwise), but which writes whole
# conversations: answers are those of the plain format. One turn from a pipe, with its line ends, is one turn, too.
python3 - "$MODEL" << 'END'
import sys
data = open(sys.argv[1], "rb").read()
begin = data.index(b"{% for message in messages %}")
end = data.index(b"{% endfor %}", begin)
body = b"{% for m in messages %}{{'<|im_start|>'+m.role+('!'*(loop.index//5))+'\n'+m.content+'<|im_end|>\n'"
assert len(body) + 2 <= end - begin
open("other.gguf", "wb").write(data[:begin] + body + b" " * (end - begin - len(body) - 2) + b"}}" + data[end:])
END
calmoe inspect other.gguf | grep '^chat'
printf 'What is a file?\nAnd a folder?\n/reset\nHello' > turns
calmoe run -m other.gguf --chat -n 8 < turns > whole 2> said
echo "$?"
calmoe run --chat -n 8 < turns 2> /dev/null | cmp - whole && echo same
printf 'One.\n\nTwo.\n' | calmoe run -m other.gguf --chat --system 'Be brief.' -f - -n 8 2> /dev/null > whole
printf 'One.\n\nTwo.\n' | calmoe run --chat --system 'Be brief.' -f - -n 8 2> /dev/null | cmp - whole && echo same
grep -c 'conversation begins anew' said
