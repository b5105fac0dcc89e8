calmoe calibrate --help
