"""Limits of time and memory for a command that reads what others may have made.

DuckDB looks at its clock and counts its memory between steps, and a single function may run for minutes in one step, on
memory that nobody counts. So the system holds the process to its memory, and the process that watches it to its time.
"""

import math
import os
import sys

from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.watched_process import hold_to_time, is_watched

READING_MEMORY = 0.8  # of the machine's, for a command of ours
QUERY_MEMORY = 0.5  # of the machine's, for SQL that was typed in

DATABASE_SHARE = 0.7  # of what is left, for DuckDB: Python, Arrow and threads need the rest
LEAST_DATABASE_MEMORY = 16 << 20

FEW_FILES = 64  # open at a time: libraries that run short of them fail in words of their own


class _Allowed:
    """Whether `limit_command` holds anything: not in a command that works on what it made itself."""

    now = True


def lift_limits() -> None:
    """Have `limit_command` hold nothing from here on."""
    _Allowed.now = False


def limit_command(timeout_s: float | None, memory_bytes: int | None = None) -> None:
    """Hold what follows in this command to a time and to a memory, from its start to the end of the process.

    A process that nobody watches holds to nothing but what DuckDB holds to itself.

    Args:
        timeout_s: seconds; None for no limit.
        memory_bytes: memory beyond what the process has now, bytes; None for READING_MEMORY of the machine's.

    Raises:
        StudyError: `timeout_s` is no finite number above 0.
    """
    if timeout_s is not None and not 0 < timeout_s < math.inf:
        raise StudyError(f"a limit of {timeout_s:g} s: expected a finite number of seconds, such as 60")
    if is_watched() and _Allowed.now:
        lift_limits()  # what a command calls next is a part of it
        hold_to_time(timeout_s)
        _limit_memory(memory_bytes or int(READING_MEMORY * machine_memory()))


def scarcity() -> str | None:
    """What the shell holds this process to, in words, where that may be too little for its libraries; else None."""
    if os.name != "posix":
        return None
    import resource

    memory, files = resource.getrlimit(resource.RLIMIT_AS)[0], resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if memory != resource.RLIM_INFINITY:
        return f"this process is held to {memory / 1e9:,.3g} GB of memory (ulimit -v)"
    if files != resource.RLIM_INFINITY and files <= FEW_FILES:
        return f"this process may open no more than {files} files (ulimit -n)"
    return None


def machine_memory() -> int:
    """Memory of this machine, or of the container that holds this process where that is less, bytes."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return 8 << 30
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            return min(machine, int(file.read()))
    except (OSError, ValueError):  # no container, or "max"
        return machine


def query_memory(memory_gb: float | None) -> int:
    """Memory that SQL which was typed in may take, bytes: what is asked for, or QUERY_MEMORY of the machine's."""
    if memory_gb is not None and not 0 < memory_gb < math.inf:
        raise StudyError(f"a limit of {memory_gb:g} GB: expected a finite number of gigabytes, such as 4")
    return int(QUERY_MEMORY * machine_memory() if memory_gb is None else memory_gb * 1e9)


def database_memory() -> int | None:
    """Memory that DuckDB may count on where the system holds this process to less than it has, bytes; else None.

    Then DuckDB's own default holds, 80 % of the machine's or the container's. A process that is refused memory may fail
    anywhere; DuckDB, which knows its limit, says what it lacks.
    """
    if not sys.platform.startswith("linux"):
        return None
    import resource

    held = (("VmData:", resource.RLIMIT_DATA), ("VmSize:", resource.RLIMIT_AS))
    limits = [(field, resource.getrlimit(kind)[0]) for field, kind in held]
    left = [limit - _status_bytes(field) for field, limit in limits if limit != resource.RLIM_INFINITY]
    return max(int(DATABASE_SHARE * min(left)), LEAST_DATABASE_MEMORY) if left else None


def _limit_memory(more_bytes: int) -> None:
    """Hold this process to what it has now and `more_bytes`; Linux alone counts what is written to, not reserved."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _status_bytes("VmData:") + more_bytes
    known = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([wanted, *known]), hard))


def _status_bytes(field: str) -> int:
    """What Linux counts for this process, such as VmData, bytes."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field)) * 1024
