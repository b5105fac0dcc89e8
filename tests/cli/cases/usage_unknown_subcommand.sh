try() { "$@"; echo "$?"; }
try calmoe walk
try calmoe --walk
