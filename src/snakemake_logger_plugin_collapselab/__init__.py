"""Snakemake's logger plugin ``collapselab``: a line for each job that ends, a block for one that fails.

Snakemake finds it by its name, and the profiles ask for it. Its log file below ``.snakemake/log`` keeps the whole
account. What is said, and of what, is in :mod:`collapselab.study.following`; that is imported only where the plugin is
used, since Snakemake imports every plugin whenever it starts.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

CHATTER = (
    *(
        "Assuming unrestricted",
        "Using shell:",
        "Select jobs to execute",
        "Group jobs: inactive",
        "Removing output files",
    ),
    *("Conda environments: ignored", "Singularity containers: ignored", "Exiting because a job execution failed"),
)
"""How messages begin that tell a person nothing, or what has been told."""
TARGETS = frozenset({"all", "measured", "real"})  # rules that do nothing, and only ask for others
OF_COMMAND = re.compile(r"CalledProcessError.*(?:returned non-zero exit status (\d+)|died with .*?(\d+)>)", re.DOTALL)
IN_SHORT = "At least one job did not complete successfully"


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    show: str = field(
        default="lines",
        metadata={"help": "lines: one for each job; all: Snakemake's own account.", "type": str},
    )
    channel: int = field(
        default=0,
        metadata={"help": "File descriptor on which a program is told how far the run is, as JSON; 0: nobody is."},
    )


class LogHandler(LogHandlerBase):
    """Snakemake's events, told in lines."""

    needs_rulegraph: ClassVar[bool] = False
    writes_to_stream: ClassVar[bool] = True
    writes_to_file: ClassVar[bool] = False
    has_filter: ClassVar[bool] = False  # Snakemake's own, which knows --quiet
    has_formatter: ClassVar[bool] = False

    def __post_init__(self) -> None:
        from snakemake.logging import ColorizingTextHandler

        from collapselab.study import following

        common = self.common_settings
        self._stream = sys.stdout if common.stdout else sys.stderr
        self._theirs = ColorizingTextHandler(nocolor=common.nocolor, stream=self._stream)
        asks_for_all = self.settings is not None and self.settings.show == "all"
        self._is_whole = asks_for_all or common.verbose or common.printshellcmds or common.debug_dag
        self._channel = self.settings.channel if self.settings is not None else 0
        if self._channel:
            os.set_inheritable(self._channel, False)  # jobs have nothing to say on it
        self._following, self._run, self._status = following, following.Following(), 0

    def setFormatter(self, fmt: logging.Formatter | None) -> None:
        super().setFormatter(fmt)
        self._theirs.setFormatter(fmt)

    def emit(self, record: logging.LogRecord) -> None:
        """Tell of an event, or pass it over."""
        try:
            lines = None if self._is_whole else self._lines(record)
            if lines is None:
                self._theirs.emit(record)
            for line in lines or ():
                print(line, file=self._stream)
            self._stream.flush()
        except (OSError, ValueError):  # who read it has gone; the run goes on
            pass
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """What has failed once more, together, at the end."""
        with suppress(OSError, ValueError):
            for line in () if self._is_whole else self._following.shortfall(self._run):
                print(line, file=self._stream, flush=True)
        self._run = self._following.Following()  # it is closed more than once
        super().close()

    # -- events --------------------------------------------------------------------------------------------------------

    def _lines(self, record: logging.LogRecord) -> list[str] | None:
        """What is printed of an event; None where it is told as Snakemake tells it."""
        event = getattr(record, "event", None)
        if event in EVENTS:
            told = EVENTS[event](self, record)
            return None if told is None else list(told)
        message = record.getMessage()
        if event == LogEvent.ERROR and (status := OF_COMMAND.search(message)):
            self._status = int(status[1]) if status[1] else 128 + int(status[2])  # of the job that is told of next
            return []
        told = self._run.failed and IN_SHORT in message
        return [] if told or message.startswith(CHATTER) else None

    def _planned(self, record: logging.LogRecord) -> list[str] | None:
        """How many jobs there are, of which kinds."""
        counts = {verb: count for verb, count in record.stats.items() if verb != "total"}
        self._run = self._following.Following(counts)
        if self.common_settings.dryrun:
            return None
        self._send(record.created)
        return [f"{self._run.total} jobs: {', '.join(f'{count} {verb}' for verb, count in counts.items())}"]

    def _begun(self, record: logging.LogRecord) -> list[str]:
        """In a dry run why the job would run."""
        outputs = [file for file in record.output if not file.endswith(".sha256")]
        job = self._following.Job(record.rule_name, record.wildcards or {}, outputs, record.created)
        if self.common_settings.dryrun:
            return [f"{job.name}: {self._following.why(record.reason)}"]
        self._run.begin(record.jobid, job)
        self._send(record.created)
        return []

    def _ended(self, record: logging.LogRecord) -> list[str]:
        ended = self._run.end(record.job_id, record.created)
        self._send(record.created)
        if ended is None or ended[0].verb in TARGETS:
            return []
        job, seconds = ended
        study = self._following.followed()
        found = self._following.found_by(study, job.outputs) if study else ""
        lasted = f"{seconds:.1f} s" if seconds < 10 else self._following.duration(seconds)
        return [f"{self._so_far(record.created)}{job.name}, {lasted}{f': {found}' if found else ''}"]

    def _failed(self, record: logging.LogRecord) -> list[str]:
        """A job that failed by itself; of a group it is told as a whole."""
        if record.indent:
            return []
        job = self._run.at_work.get(record.jobid)
        name = job.name if job else record.rule_name
        return self._block({record.jobid: name}, name, record.log, record.rule_msg or "")

    def _group_failed(self, record: logging.LogRecord) -> list[str]:
        names = {one["jobid"]: one["rule_name"] for one in record.job_error_info}
        names |= {number: self._run.at_work[number].name for number in names if number in self._run.at_work}
        logs = [log for one in record.job_error_info for log in one["log"]]
        return self._block(names, "; ".join(names.values()), [*record.aux_logs, *logs])

    def _block(self, names: Mapping[int, str], what: str, logs: list[str], told: str = "") -> list[str]:
        logs = list(dict.fromkeys(map(str, logs)))
        for number, name in names.items():
            self._run.fail(number, f"{name}: {logs[-1] if logs else 'no log'}")
        status, self._status = self._status, 0
        return self._following.failure(what, logs, status, told)

    # -- how far it is -------------------------------------------------------------------------------------------------

    def _so_far(self, now: float) -> str:
        """``[12/388, about 5 min left] `` before a line, where no bar says so."""
        if self._channel:
            return ""
        left = self._run.left(now).words
        return f"[{self._run.done}/{self._run.total}{f', {left}' if left else ''}] "

    def _send(self, now: float) -> None:
        """Tell whoever draws a bar."""
        if not self._channel:
            return
        names = [job.name for job in self._run.at_work.values()]
        said = {"done": self._run.done, "total": self._run.total, "left": self._run.left(now).words, "at_work": names}
        with suppress(OSError):
            os.write(self._channel, (json.dumps(said | {"failed": len(self._run.failed)}) + "\n").encode())


def _nothing(handler: LogHandler, record: logging.LogRecord) -> list[str]:
    return []


EVENTS: Mapping[LogEvent, Callable[[LogHandler, Any], Any]] = {
    LogEvent.WORKFLOW_STARTED: _nothing,
    LogEvent.RESOURCES_INFO: _nothing,
    LogEvent.RULEGRAPH: _nothing,
    LogEvent.JOB_STARTED: _nothing,
    LogEvent.PROGRESS: _nothing,
    LogEvent.SHELLCMD: _nothing,
    LogEvent.GROUP_INFO: _nothing,
    LogEvent.RUN_INFO: LogHandler._planned,
    LogEvent.JOB_INFO: LogHandler._begun,
    LogEvent.JOB_FINISHED: LogHandler._ended,
    LogEvent.JOB_ERROR: LogHandler._failed,
    LogEvent.GROUP_ERROR: LogHandler._group_failed,
}
"""event -> what is printed of it; of every other one what Snakemake says."""
