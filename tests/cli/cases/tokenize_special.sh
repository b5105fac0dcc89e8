# needs: model
calmoe tokenize --special '<|im_start|>' > one
calmoe tokenize '<|im_start|>' > several
wc -w < one
[ "$(wc -w < several)" -gt 1 ] && echo several
calmoe tokenize --decode $(cat one)
calmoe tokenize --decode --special $(cat one)
echo
calmoe tokenize --decode $(cat several)
