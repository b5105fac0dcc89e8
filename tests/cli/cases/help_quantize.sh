calmoe quantize --help
