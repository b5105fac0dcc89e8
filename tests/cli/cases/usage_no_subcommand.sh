calmoe
