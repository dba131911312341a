"""The command line: a verb a stage, each of which reads files, calls a function and writes one file.

A rule of the workflow and a person at a shell call the same verbs in the same words.
"""

import os


def main() -> None:
    """Run the verbs of the command line, in a process that is warm where there is one, and end with an exit code."""
    from .handing import PLACE, hand_over

    if place := os.environ.get(PLACE):
        hand_over(place)
    from .run import main as run

    run()
