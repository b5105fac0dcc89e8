"""Import first: sets what the C library and OpenMP read at start-up, by starting the program once more."""
import os, sys

SET = {
    # Keep freed memory: returning large blocks to the system after every operation would halve the speed.
    "MALLOC_MMAP_THRESHOLD_": "8000000000", "MALLOC_TRIM_THRESHOLD_": "16000000000", "MALLOC_TOP_PAD_": "67108864",
    # Group sizes vary, and the matrix library keeps a compiled kernel per shape.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16384",
    # Do not spin at barriers: the cores may be shared.
    "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0",
}
if any(k not in os.environ for k in SET):
    os.execve(sys.executable, [sys.executable, *sys.argv], {**SET, **os.environ})
