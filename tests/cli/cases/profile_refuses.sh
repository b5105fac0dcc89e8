# needs: model
try() { "$@"; echo "$?"; }
: > empty
printf 'A day.' > day
try calmoe profile
try calmoe profile --domain day
try calmoe profile --domain a=day day
try calmoe profile --merge
try calmoe profile --merge -f day
try calmoe profile -f empty
try calmoe profile -f nothing
try calmoe profile --merge day
try calmoe profile --merge day --exit always:1@2
try calmoe profile -f day --trace t --width fixed:2
try calmoe profile -f day --exit sure:1@2
try calmoe profile -f day --topology 'core:x'
try calmoe profile -f day -o no/such/folder/p.json
try calmoe profile -f day --html no/such/folder/p.html
try calmoe profile -f day --trace no/such/folder/t
try calmoe profile -f day -m nothing.gguf
