# needs: model
calmoe inspect "$MODEL"
