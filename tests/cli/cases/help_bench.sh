calmoe-bench -h
