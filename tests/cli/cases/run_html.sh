# needs: model
# needs: python3
# Nothing is loaded from elsewhere, a text that looks like markup stays a text, and every token stands in the page.
prompt='</script><b onclick="x">&amp; bold</b> The river'
calmoe run -p "$prompt" -n 24 --ignore-eos --exit softmax:0.5@3,7 --html page.html --json 2> err > out || exit
grep -c 'http' page.html
grep -c '</script>' page.html
grep -c '<b onclick' page.html
grep '^<script type="application/json"' page.html | sed 's/^[^>]*>//; s/<.script>$//' > data
python3 - <<'END'
import json
data, out = json.load(open('data')), json.load(open('out'))
print(''.join(t[0] for t in data['tokens']) == out['text'], len(data['tokens']) == len(out['tokens']) == 24)
print({t[1] for t in data['tokens']} <= {3, 7, 10}, all(t[2] == 4 * t[1] and 0 <= t[3] <= 1000 for t in data['tokens']))
print(data['prompt'])
END
calmoe run -p "The river" -n 8 --show-exits --html page2.html > text 2> err || exit
grep -c 'A policy\|All layers and all experts: no policy' page2.html
calmoe run -p x -n 1 --html /nowhere/page.html > text 2> err
echo $?
grep nowhere err
calmoe run --chat --html page.html 2>&1 < /dev/null
