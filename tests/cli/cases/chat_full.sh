# needs: model
{ printf 'word %.0s' $(seq 200); echo; echo Yes; } | calmoe run --chat -n 4 -c 64 > answers
