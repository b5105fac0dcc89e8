# needs: model
try() { "$@"; echo "$?"; }
try calmoe run -p x --isa no-such-level
try calmoe run -p x --plan no-such.json
printf '{"schema": "calmoe.plan.2", "version": "0.1' > cut.json
try calmoe run -p x --plan cut.json
printf '{"schema": "calmoe.plan.1", "version": "0", "model": {"fingerprint": "0123456789abcdef"}, "nodes": 1, "layers": [[0]]}' > other.json
try calmoe run -p x --plan other.json
calmoe place --topology "numa:7 core:1 pu:1" --policy one_node -o seven.json > plan.txt
try calmoe run -p x --plan seven.json
try calmoe-bench -p 8 -n 0 -r 1 --plan seven.json
printf '{"schema": "calmoe.policy.1", "version": "0", "model": {"fingerprint": "0123456789abcdef", "layers": 10}, "rungs": []}' > policy.json
try calmoe run -p x --policy policy.json
try calmoe run -p x --policy cut.json
