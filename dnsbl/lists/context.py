"""What the readers share while one file is read: where they are, and what was wrong so far."""

from __future__ import annotations

from dnsbl.errors import InputError
from dnsbl.lists.builder import MAX_PROBLEMS, Group, ListData, Problem


class ListError(InputError):
    """A list file that cannot be used as a whole."""


class Reading:
    """The state of one file that is being read. `line` is the number of the present line, from 1."""

    def __init__(self, format: str, now: float) -> None:
        self.format = format
        self.now = now
        self.survey = False
        self.line = 0
        self.lines = 0
        self.bad = 0
        self.groups: list[Group] = []
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.expires: float | None = None

    def group(self) -> Group:
        """A new group of entries."""
        self.groups.append(Group())
        return self.groups[-1]

    def refuse(self, message: str) -> None:
        """Count the present line as bad."""
        self.bad += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(self.line, message))

    def warn(self, message: str, line: int | None = None) -> None:
        """Tell of something, and go on."""
        if len(self.warnings) < MAX_PROBLEMS:
            self.warnings.append(Problem(self.line if line is None else line, message))

    def expire(self, when: float) -> None:
        """The file says that it is out of date from then on; the earliest such time holds."""
        self.expires = when if self.expires is None else min(when, self.expires)

    def done(self) -> ListData:
        """The finished list."""
        return ListData(
            self.format,
            self.groups,
            lines=self.lines,
            bad=self.bad,
            problems=tuple(self.problems),
            warnings=tuple(self.warnings),
            expires=self.expires,
            survey=self.survey,
        )
