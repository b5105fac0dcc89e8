# needs: model
# needs: python3
# On a terminal, Ctrl-C while a long turn is read takes that turn back; the conversation goes on as if it had not been.
cat > talk.py <<'PY'
import os, pty, select, sys, time

def worked(pid):
    """Seconds that processors have worked for a process."""
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

def talk(long_turn):
    """A conversation on a terminal; what it shows after the last turn was typed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp("calmoe", ["calmoe", "run", "--chat", "-n", "8", "--ignore-eos", "-c", "400000", "-t", "1"])
    seen = ""
    def see_until(text):
        nonlocal seen
        until = time.time() + 300
        while text not in seen:
            if time.time() > until:
                sys.exit("no '%s' in:\n%s" % (text, seen[-1000:]))
            if select.select([terminal], [], [], 1)[0]:
                try:
                    seen += os.read(terminal, 65536).decode(errors="replace")
                except OSError:
                    break
        before, _, seen = seen.partition(text)
        return before
    def type_in(line):
        os.write(terminal, line.encode() + b"\n")
    see_until("> ")
    type_in("Hello")
    see_until("tokens; -n allows more")
    see_until("> ")
    if long_turn:
        for i in range(80):
            type_in("hello world " * 300 + "\\")
            see_until(". ")
        before, until = worked(pid), time.time() + 300
        type_in("end")
        while worked(pid) < before + 0.2 and time.time() < until: # so much work is a small part of the turn
            time.sleep(0.01)
        os.write(terminal, b"\x03")
        see_until("the turn was interrupted before its answer began, and is taken back")
        see_until("> ")
    type_in("And you?")
    see_until("And you?")
    answer = see_until("tokens; -n allows more")
    see_until("> ")
    type_in("/quit")
    _, status = os.waitpid(pid, 0)
    return answer, status

plain, interrupted = talk(False), talk(True)
print("the same" if plain == interrupted else "%r\n%r" % (plain, interrupted), interrupted[1])
PY
python3 talk.py
