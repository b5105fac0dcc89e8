# needs: python3
# needs: model
# A progress bar fits into one line of the terminal, however narrow that is.
python3 - <<'PY'
import fcntl, os, pty, struct, sys, termios

def longest(columns):
    """Columns of the longest line that is drawn while a model is loaded."""
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.execvp("calmoe", ["calmoe", "run", "-t", "1", "-n", "0", "-p", "a"])
    shown = b""
    try:
        while part := os.read(terminal, 4096):
            shown += part
    except OSError: # Linux says the end of a terminal so
        pass
    os.waitpid(child, 0)
    bars = [part for part in shown.split(b"\r") if b"%" in part]
    return max(map(len, bars)) if bars else 0

for columns in 80, 30, 12, 5:
    found = longest(columns)
    print(columns, "fits" if 0 < found < columns else f"{found} columns are drawn")
PY
