# needs: model
# The embedded model's ladder is made for it; a bound that it does not hold leaves nothing out.
calmoe run --quality 5% --show-exits -n 16 -p 'The function' > bounded
calmoe run --quality 0.01% -n 16 -p 'The function' > off
calmoe run -n 16 -p 'The function' 2> /dev/null | cmp - off
