calmoe --version
calmoe run --version
calmoe-bench --version
