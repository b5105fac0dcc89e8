calmoe --help
