calmoe inspect --help
