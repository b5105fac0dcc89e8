# needs: model
# Nothing is loaded from elsewhere, and a text that looks like markup stays a text.
printf '</script><b onclick="x">&amp; bold</b>' > '<i>.txt'
calmoe profile -f '<i>.txt' --html page.html > /dev/null
grep -c 'http' page.html
grep -c '</script>' page.html
grep -c '<b onclick\|<i>' page.html
grep -o '"name":"[^"]*.txt"' page.html
