# needs: model
# needs: chromium
# The page's script runs to its end in a browser.
calmoe run -p "The river" -n 8 --ignore-eos --exit always:1@5 --html page.html > text 2> err || exit
chromium --headless --no-sandbox --disable-gpu --user-data-dir="$PWD/browser" --dump-dom "file://$PWD/page.html" 2> /dev/null > dom
grep -o '<h1 id="title">[^<]*' dom
grep -o 'data-i="[0-9]"' dom | wc -l
grep -o 'Tokens by the layers[^<]*; mean [0-9][^<]*' dom
grep -o '<rect x="[0-9]' dom | wc -l
