# needs: model
# The answer has the form that is asked for, and ends where it is complete.
cat > schema.json <<'END'
{"type": "object", "properties": {"name": {"type": "string", "pattern": "^[a-z]{3,8}$"}, "size": {"type": "integer",
 "minimum": 10, "maximum": 99}}, "required": ["name", "size"]}
END
for seed in 1 2 3; do
    calmoe run -p 'The file' --json-schema schema.json --temp 2 --seed $seed -n 200 2> /dev/null | tr -d '\n\t ' |
        grep -cE '^\{"name":"[a-z]{3,8}","size":[1-9][0-9]\}$'
done
calmoe run -p 'The file' --pattern '(yes|no), [0-9]{3}\.' --temp 2 -n 99 2> /dev/null | grep -cE '^(yes|no), [0-9]{3}\.$'
calmoe run -p 'The file' --json-object --temp 2 --seed 5 -n 9 2> /dev/null | head -c 1; echo
calmoe run -p 'The file' --pattern 'x{3}' --after 'e' -n 99 2> /dev/null | tr -d '\n\t ' | grep -cE 'exxx$'
try() { "$@"; echo "$?"; }
echo '{"type": "array", "uniqueItems": true}' > schema.json
try calmoe run -p x --json-schema schema.json
try calmoe run -p x --json-schema none.json
try calmoe run -p x --pattern 'a(?=b)'
try calmoe run -p x --pattern a --json-object
try calmoe run -p x --after a
