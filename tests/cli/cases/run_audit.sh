# needs: model
# A policy that claims too much: in a conversation the audit of all tokens finds it, and the answers are those of OFF.
fingerprint=$(calmoe inspect --json "$MODEL" | grep -oE '"fingerprint": *"[0-9a-f]+' | grep -oE '[0-9a-f]{16}')
cat > bad.json <<END
{"schema": "calmoe.policy.1", "version": "0.1.0", "model": {"fingerprint": "$fingerprint", "layers": 10},
 "rungs": [{"delta": 0.01, "epsilon": 0.05, "loss": "token_disagreement", "p_value": "wsr", "n": 1500, "p": 0.01,
  "exits": [{"layer": 1, "measure": "always", "threshold": 1, "schedule": "constant"}],
  "kv": "propagate", "k_tail": "none", "width": []}]}
END
talk() { printf 'Hello\nWho are you?\nTell me about rivers.\nThank you.\n' | calmoe run --chat -n 12 "$@"; }
talk > off 2> err_off || exit
talk --policy bad.json --audit 1 > on 2> err || exit
cmp off on && echo the same answers
grep 'audit' err
calmoe run -p x -n 1 --audit 0.5
echo $?
