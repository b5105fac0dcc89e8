calmoe template --help
