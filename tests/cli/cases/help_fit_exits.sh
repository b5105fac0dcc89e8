calmoe fit-exits --help
