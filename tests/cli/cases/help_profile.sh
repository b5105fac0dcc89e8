calmoe profile --help
