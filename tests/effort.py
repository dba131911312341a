"""How much work a function does, as a number that no other process changes: no test is timed."""

import sys


def calls(function, *given):
    """What a function gives, and how many calls of functions it takes, Python's and C's."""
    count = 0

    def seen(frame, event, about):
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        found = function(*given)
    finally:
        sys.setprofile(before)
    return found, count
