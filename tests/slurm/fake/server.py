"""`python server.py FOLDER [SETTINGS]`: the fake cluster as a process, until `fakeslurm stop`; clients reach it through FOLDER/socket."""

import json
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from cluster import Cluster, Settings
from commands import COMMANDS

TICK = 0.02


def main(folder: Path, settings: Settings) -> None:
    cluster = Cluster(folder, settings)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket.new"))
        listening.listen(64)
        (folder / "socket.new").rename(folder / "socket")
        try:
            going = True
            while going:
                if select.select([listening], [], [], TICK)[0]:
                    # A client may be killed while it asks: in a job, by the cluster itself.
                    with suppress(OSError, ValueError):
                        going = _serve(cluster, listening.accept()[0])
                cluster.tick()
        finally:
            cluster.clear()


def _serve(cluster: Cluster, connection: socket.socket) -> bool:
    with connection, connection.makefile("rw", encoding="utf-8") as stream:
        request = json.loads(stream.readline())
        name, argv = request["name"], request["argv"]
        if name not in ("fakeslurm", "step"):
            cluster.calls.append(" ".join([name, *argv]))
            if not cluster.answering:
                answer = (1, "", f"{name}: error: Unable to contact slurm controller (connect failure)\n")
                stream.write(json.dumps(answer) + "\n")
                return True
            if time.time() < cluster.mute_until:
                # It never answers; the client waits until it is given up on.
                stream.write(json.dumps([None, "", ""]) + "\n")
                return True
        try:
            answer = COMMANDS[name](cluster, argv, request["cwd"], request["environment"])
        except Exception as error:
            answer = (2, "", f"{name}: error: the fake does not know this: {error!r}\n")
        stream.write(json.dumps(answer) + "\n")
    return [name, *argv[:1]] != ["fakeslurm", "stop"]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Settings(**json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}))
