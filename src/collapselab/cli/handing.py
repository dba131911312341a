"""A job's own process where a warm one does the work (``cli.warm``): light, since it imports next to nothing."""

import json
import os
import signal
import socket
import sys

PLACE = "COLLAPSELAB_WARM"  # the socket at which a warm process listens
NOTHING = "off"  # what a user says in its place who wants none
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
LENGTH = 8  # bytes in which the length of what is asked comes first
TAKEN, REFUSED = b"y", b"n"


def hand_over(place: str) -> None:
    """Have this process's work done by a warm one, and end with its exit code; return where nobody takes it.

    It gets the words, the folder, the environment and the standard files of this process, and its signals as they come.
    When this process is killed, the one that works for it is, too.
    """
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(place)
        asked = {"words": sys.argv, "folder": os.getcwd(), "environment": dict(os.environ), "mask": _mask()}
        content = json.dumps(asked).encode()
        socket.send_fds(connection, [len(content).to_bytes(LENGTH, "big")], [0, 1, 2])
        connection.sendall(content)
        if connection.recv(1) != TAKEN:
            connection.close()
            return
    except OSError:  # whoever was there is gone
        connection.close()
        return
    for number in PASSED_ON:
        signal.signal(number, lambda number, frame: connection.send(bytes([number])))
    code = connection.recv(1)
    if not code:
        said = f"the process that worked for this one is gone; with {PLACE}={NOTHING} each works for itself"
        print(f"collapselab: {said}", file=sys.stderr, flush=True)
    os._exit(code[0] if code else 1)


def _mask() -> int:
    """Which rights new files do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
