calmoe place --help
