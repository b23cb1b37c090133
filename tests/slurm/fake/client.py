"""`python client.py COMMAND ARGUMENT…`: a command of the fake Slurm."""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path


def ask(name, argv):
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(os.environ["FAKE_SLURM"] + "/socket")
        except OSError:
            return 1, "", name + ": error: Unable to contact slurm controller (connect failure)\n"
        with connection.makefile("rw", encoding="utf-8") as stream:
            stream.write(json.dumps({"name": name, "argv": argv, "cwd": str(Path.cwd()), "environment": dict(os.environ)}) + "\n")
            stream.flush()
            answer = json.loads(stream.readline())
    if answer[0] is None:
        time.sleep(3600)
    return answer


def srun(argv):
    """Runs the command as a step: signals come to it from the cluster, not through this process."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda *_: None)
    files = {"--output": None, "--error": None, "--open-mode": "truncate"}
    while argv[0].startswith("-"):
        word = argv.pop(0)
        name, given, value = word.partition("=")
        if name in files:
            files[name] = value if given else argv.pop(0)
    restarts = os.environ.get("SLURM_RESTART_COUNT", "0")
    patterns = [files["--output"] or "%j.out", files["--error"] or files["--output"] or "%j.out"]

    # The step is known to the cluster before it is the command, and starts with no signal handled.
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        paths = json.loads(os.fdopen(reading).read())
        if files["--output"]:
            mode = os.O_APPEND if files["--open-mode"] == "append" else os.O_TRUNC
            for descriptor, path in ((1, paths[0]), (2, paths[1])):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | mode, 0o644), descriptor)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_DFL)
        os.environ["SLURM_STEP_ID"] = "0"
        try:
            os.execvp(argv[0], argv)
        except OSError as error:
            sys.stderr.write(f"srun: error: {error}\n")
            sys.stderr.flush()
            os._exit(2)
    os.close(reading)
    answer = ask("step", [os.environ["SLURM_JOB_ID"], str(child), restarts, *patterns])
    os.write(writing, answer[1].encode())
    os.close(writing)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        sys.stderr.write("srun: error: task 0: " + (f"Exited with exit code {code}\n" if code > 0 else "Killed\n"))
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    name, arguments = sys.argv[1], sys.argv[2:]
    if name == "srun":
        sys.exit(srun(arguments))
    code, out, error = ask(name, arguments)
    sys.stdout.write(out)
    sys.stderr.write(error)
    sys.exit(code)
