"""The engine that draws charts, which ends the process where it finds no room."""

import resource

RESERVES_BYTES = 72 * 2**30  # of addresses, of which it uses a fraction; found are 68


def require_room() -> None:
    """Nothing. Raises MemoryError where this process may not have as many addresses as the engine sets aside.

    That is no use of memory: a limit on memory itself, as batch systems and containers have, is met.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < RESERVES_BYTES:
        found = f"ulimit -v allows {limit / 2**30:.3g} GiB of addresses"
        needed = f"the chart engine sets {RESERVES_BYTES / 2**30:.0f} GiB aside, and uses few of them"
        raise MemoryError(f"{found}; {needed}: say ulimit -v unlimited, and limit memory itself")
