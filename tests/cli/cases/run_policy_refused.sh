# needs: model
try() { calmoe run -p x -n 1 "$@"; echo "$?"; }
try --exit luck:0.5@5
try --exit softmax:0.5@10
try --width some:0.5
try --policy missing.json
echo '{"schema": "calmoe.policy.1", "version": "0.1.0", "model": {"fingerprint": "0123456789abcdef", "layers": 10}, "rungs": []}' > other.json
try --policy other.json
echo '{"schema": "calmoe.plan.1"}' > plan.json
try --policy plan.json
