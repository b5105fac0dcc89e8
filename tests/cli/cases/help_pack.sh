calmoe pack --help
