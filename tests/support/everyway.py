"""One lookup in every way there is: blocking, in asyncio, as a stream, and by the command; all must agree."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dnsbl import Resolver, SubjectError, Verdict
from dnsbl.cli import main
from dnsbl.config.file import Config, parse
from dnsbl.testing import DnsblServer


class Ended(NamedTuple):
    """What every way of asking came to. verdict: its JSON, without the times. code: the command's exit code.
    asked: the names that one way asked for, without repetitions."""

    verdict: dict[str, Any]
    code: int
    asked: list[str]

    @property
    def outcomes(self) -> list[str]:
        return [answer["outcome"] for answer in self.verdict["answers"]]

    @property
    def codes(self) -> list[list[str]]:
        return [answer["codes"] for answer in self.verdict["answers"]]


def existence_questions(zones: Iterable[str]) -> set[str]:
    """What `dnsbl check` asks besides, where a zone that the catalogue does not know says "not listed"."""
    return {before + zone for zone in zones for before in ("", "2.0.0.127.", "test.")}


class EveryWay:
    """Looks up by the configuration in `zones`, at the loopback server."""

    def __init__(self, server: DnsblServer, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.server = server
        self._path = folder / "dnsbl.toml"
        self._capsys = capsys

    def look_up(self, zones: str, subject: str, deadline_s: float = 2.0) -> Ended:
        """zones: the [[zone]] tables, or names of zones with a space between them."""
        config = self._configure(zones, deadline_s)
        verdicts: list[dict[str, Any]] = []
        asked: list[list[str]] = []
        for way in (_blocking, _async, _stream):
            self.server.clear()
            found = way(config, subject)
            assert isinstance(found, Verdict)
            verdicts.append(without_times(found.to_dict()))
            asked.append(list(dict.fromkeys(query.name for query in self.server.queries)))
        self.server.clear()
        code = main(["check", f"--config={self._path}", "--json", subject])
        out = self._capsys.readouterr().out
        verdicts.append(without_times(json.loads(out)))
        existence = existence_questions(zone.name for zone in config.zones)
        names = dict.fromkeys(query.name for query in self.server.queries)
        asked.append([name for name in names if name in asked[0] or name not in existence])
        assert all(verdict == verdicts[0] for verdict in verdicts)
        assert all(sorted(names) == sorted(asked[0]) for names in asked)
        return Ended(verdicts[0], code, asked[0])

    def refuse(self, zones: str, subject: str) -> SubjectError:
        """The error that every way gives for `subject`; nothing is asked."""
        config = self._configure(zones, 2.0)
        errors: list[SubjectError] = []
        for way in (_blocking, _async):
            with pytest.raises(SubjectError) as caught:
                way(config, subject)
            errors.append(caught.value)
        streamed = _stream(config, subject)
        assert isinstance(streamed, SubjectError)
        assert main(["check", f"--config={self._path}", "--", subject]) == 2
        out, err = self._capsys.readouterr()
        assert out == ""
        assert err.startswith("dnsbl: ")
        assert err.count("\n") == 1
        assert len({str(error) for error in (*errors, streamed)}) == 1
        assert isinstance(errors[0], ValueError)
        assert errors[0].text == subject
        assert self.server.queries == []
        return errors[0]

    def _configure(self, zones: str, deadline_s: float) -> Config:
        if "[[zone]]" not in zones:
            zones = "\n".join(f'[[zone]]\nname = "{name}"' for name in zones.split())
        settings = f'nameservers = ["{self.server.nameserver}"]\ndeadline_s = {deadline_s}'
        self._path.write_text(f"[resolver]\n{settings}\n{zones}\n")
        return parse(self._path.read_text())


def without_times(verdict: dict[str, Any]) -> dict[str, Any]:
    """A verdict's JSON without what differs from one lookup to the next."""
    answers = [{name: answer[name] for name in answer if name != "ttl_s"} for answer in verdict["answers"]]
    return verdict | {"answers": answers, "elapsed_s": None, "ttl_s": None}


def _blocking(config: Config, subject: str) -> Verdict:
    with Resolver(config=config) as resolver:
        return resolver.check(subject)


def _async(config: Config, subject: str) -> Verdict:
    async def look_up() -> Verdict:
        async with Resolver(config=config) as resolver:
            return await resolver.check_async(subject)

    return asyncio.run(look_up())


def _stream(config: Config, subject: str) -> Verdict | SubjectError:
    with Resolver(config=config) as resolver:
        (found,) = resolver.check_many([subject])
        return found
