# needs: model
calmoe run -p "The file" -n 4 --kv f32
