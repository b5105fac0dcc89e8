calmoe serve --help
