calmoe run --help
