calmoe tokenize --help
