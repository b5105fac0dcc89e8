# needs: model
calmoe run -p "The file" -n 0
