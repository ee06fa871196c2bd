"""`dnsbl zones`: what is printed, where, and how it ends."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.ended import Ended

from dnsbl.cli import main
from dnsbl.config.file import parse
from dnsbl.zones.catalogue import load
from dnsbl.zones.row import Row

KEY = "abcdefghij0123456789abcdef"


Zones = Callable[..., Ended]


@pytest.fixture
def zones(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zones:
    """`dnsbl zones ARGS...`; `config` is the text of the configuration, a Path or bytes argument a file."""
    monkeypatch.delenv("DNSBL_CONFIG", raising=False)

    def run(*args: str | bytes, config: str | None = None, stdin: bytes = b"") -> Ended:
        words = []
        for arg in args:
            if isinstance(arg, bytes):
                path = tmp_path / "input"
                path.write_bytes(arg)
                arg = str(path)
            words.append(arg)
        if config is not None:
            (tmp_path / "dnsbl.toml").write_text(config)
            words += ["--config", str(tmp_path / "dnsbl.toml")]
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(["zones", *words])
        return Ended(code, *capsys.readouterr())

    return run


class TestList:
    @pytest.mark.parametrize("args", [(), ("list",)])
    def test_every_zone_on_a_line_the_defaults_first(self, zones: Zones, args: tuple[str, ...]) -> None:
        ended = zones(*args)
        assert (ended.code, ended.err) == (0, "")
        title, header, *lines = ended.out.splitlines()
        rows = list(load())
        assert title.startswith(f"{len(rows)} zones; ")
        assert header.split() == ["zone", "use", "takes", "what", "terms"]
        assert {line.split()[0] for line in lines} == {row.name for row in rows}
        defaults = {zone.name for zone in load().default()}
        assert {line.split()[0] for line in lines[: len(defaults)]} == defaults
        assert all(line.split()[1] == "default" for line in lines[: len(defaults)])

    def test_what_terms_and_retirement_are_shown(self, zones: Zones) -> None:
        lines = {line.split()[0]: line for line in zones("list").out.splitlines()[2:]}
        assert "100,000" in lines["list.dnswl.org"]
        assert " key " in lines["zen.dq.spamhaus.net"]
        assert "retired 2024-06-05" in lines["dnsbl.sorbs.net"]
        assert "use zen.spamhaus.org" in lines["dnsbl.sorbs.net"]

    def test_json(self, zones: Zones) -> None:
        facts = [json.loads(line) for line in zones("list", "--json").out.splitlines()]
        assert [fact["name"] for fact in facts if fact["default"]] == [z.name for z in load().default()]
        assert len(facts) == len(list(load()))

    @pytest.mark.parametrize(
        ("option", "fits"),
        [
            ("--default", lambda row: row.default),
            ("--takes=domain", lambda row: "domain" in row.zone.subjects),
            ("--retired", lambda row: row.status == "retired"),
        ],
    )
    def test_filters(self, zones: Zones, option: str, fits: Callable[[Row], bool]) -> None:
        """L12."""
        shown = {json.loads(line)["name"] for line in zones("list", option, "--json").out.splitlines()}
        assert shown == {row.name for row in load() if fits(row)} != set()

    @pytest.mark.parametrize("columns", [40, 80, 200])
    def test_a_terminal_gets_a_line_a_zone(self, columns: int) -> None:
        """L12."""
        import pty

        leader, follower = pty.openpty()
        environment = os.environ | {"COLUMNS": str(columns), "PYTHONUTF8": "1"}
        with subprocess.Popen(
            [sys.executable, "-m", "dnsbl", "zones", "list"], stdout=follower, env=environment
        ) as process:
            os.close(follower)
            out = b""
            try:
                while part := os.read(leader, 65536):
                    out += part
            except OSError:  # how Linux says that the other end is closed
                pass
            assert process.wait(20) == 0
        os.close(leader)
        lines = out.decode().replace("\r", "").splitlines()
        assert len(lines) == 2 + len(list(load()))
        assert max(map(len, lines)) <= columns

    def test_a_newer_catalogue_file_counts(self, zones: Zones, tmp_path: Path) -> None:
        newer = tmp_path / "catalogue.toml"
        newer.write_text(
            "date = 2999-01-01\n"
            "[[list]]\nname = 'zen.spamhaus.org'\nstatus = 'retired'\nsince = '2999'\nwhy = 'x'\n"
        )
        config = f"[resolver]\ncatalogue = '{newer}'\n"
        assert "retired 2999" in zones("list", config=config).out


class TestShow:
    def test_codes_terms_delist_url_source_and_date(self, zones: Zones) -> None:
        ended = zones("show", "ZEN.spamhaus.org")
        assert ended.code == 0
        row = load().row("zen.spamhaus.org")
        assert row is not None
        for text in (row.holds, row.terms, row.zone.delist_url, row.date.isoformat(), *row.sources):
            assert str(text) in ended.out
        for code in row.zone.codes:
            assert any(str(code) in line and code.meaning in line for line in ended.out.splitlines())

    def test_a_name_with_its_key_is_found_and_the_key_not_shown(self, zones: Zones) -> None:
        ended = zones("show", f"{KEY}.zen.dq.spamhaus.net")
        assert ended.code == 0
        assert ended.out.startswith("zen.dq.spamhaus.net: ")
        assert KEY not in ended.out

    def test_a_retired_zone_says_what_to_use_instead(self, zones: Zones) -> None:
        assert "use instead: zen.spamhaus.org" in zones("show", "dnsbl.sorbs.net").out

    def test_its_test_entries_are_shown(self, zones: Zones) -> None:
        out = zones("show", "zen.spamhaus.org").out
        assert "test entries, listed: 127.0.0.2, ::ffff:127.0.0.2\n" in out
        assert "test entries, unlisted: 127.0.0.1, ::ffff:127.0.0.1\n" in out
        facts = json.loads(zones("show", "dbl.spamhaus.org", "--json").out)
        assert {"kind": "domain", "subject": "dbltest.com", "listed": True} in facts["tests"]
        assert "test entries" not in zones("show", "dnsbl.sorbs.net").out

    def test_json(self, zones: Zones) -> None:
        facts = json.loads(zones("show", "multi.surbl.org", "--json").out)
        assert "domain" in facts["subjects"]
        assert {"mask 8", "mask 64"} <= {code["code"] for code in facts["codes"]}

    @pytest.mark.parametrize(
        ("zone", "message"),
        [
            ("zen.spamhaus.or", "zen.spamhaus.or is not in the catalogue; did you mean zen.spamhaus.org?"),
            ("qqqqqqqqqq", "qqqqqqqqqq is not in the catalogue; see `dnsbl zones list`"),
            ("a..b", "zone name: two dots in a row leave an empty label: a.>>>.b"),
        ],
    )
    def test_an_unknown_zone(self, zones: Zones, zone: str, message: str) -> None:
        assert zones("show", zone) == (2, "", f"dnsbl: {message}\n")


class TestImport:
    def test_several_files_are_one_text_and_notes_name_theirs(self, zones: Zones, tmp_path: Path) -> None:
        """L14: mailcow has main.cf and its lists apart; SpamAssassin and rspamd their scores."""
        (tmp_path / "main.cf").write_text("postscreen_dnsbl_sites = $lists\npostscreen_dnsbl_ttl = 1h\n")
        (tmp_path / "lists.cf").write_text("lists = bl.example.com*2\n x.example.com*nine\n")
        ended = zones("import", str(tmp_path / "main.cf"), str(tmp_path / "lists.cf"))
        assert ended.code == 1
        assert [zone.name for zone in parse(ended.out).zones] == ["bl.example.com"]
        assert f"{tmp_path}/main.cf:2: postscreen_dnsbl_ttl" in ended.err

    def test_scores_apart(self, zones: Zones, tmp_path: Path) -> None:
        (tmp_path / "rules.cf").write_text("header X eval:check_rbl('x', 'bl.example.com.', '127.0.0.2')\n")
        (tmp_path / "scores.cf").write_text("score X 3\n")
        ended = zones("import", str(tmp_path / "rules.cf"), str(tmp_path / "scores.cf"))
        (zone,) = parse(ended.out).zones
        assert zone.filters[0].weight == 3

    @pytest.mark.parametrize(
        ("text", "origin"),
        [
            (b"bl.example.com\nzen.spamhaus.org\n", "a list of zones"),
            (b"postscreen_dnsbl_sites = bl.example.com\n", "main.cf"),
            (b"a:\n deny dnslists = bl.example.com\n", "Exim's configuration"),
        ],
    )
    def test_the_form_is_recognised(self, zones: Zones, text: bytes, origin: str) -> None:
        ended = zones("import", text)
        assert ended.code == 0
        assert ended.out.startswith(f"# Made from {origin} by")

    def test_a_form_that_is_not_known_is_one_line(self, zones: Zones) -> None:
        ended = zones("import", b"nothing\n" * 500)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.count("\n") == 1
        assert "say which with --from" in ended.err

    def test_a_wrong_from_is_a_few_lines(self, zones: Zones) -> None:
        """L11."""
        ended = zones("import", "--from=plain", b"is not a zone\n" * 500)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.count("\n") == 4

    def test_main_cf_that_has_a_counterpart_in_all(self, zones: Zones) -> None:
        sites = b"postscreen_dnsbl_sites = zen.spamhaus.org=127.0.0.[2..11]*3\n"
        ended = zones("import", b"postscreen_dnsbl_action = drop\n" + sites)
        assert (ended.code, ended.err) == (0, "")
        (zone,) = parse(ended.out).zones
        assert [(str(entry.reply), entry.weight) for entry in zone.filters] == [("127.0.0.[2..11]", 3)]

    def test_what_is_lost_is_named_on_stderr_with_file_and_line(self, zones: Zones, tmp_path: Path) -> None:
        text = b"postscreen_dnsbl_action = drop\npostscreen_dnsbl_sites = a.example*2\n b.example*x\n"
        ended = zones("import", text)
        assert ended.code == 1
        assert ended.err.startswith(f"dnsbl: {tmp_path / 'input'}:3: b.example*x: left out: a weight is")
        assert "b.example" not in ended.out

    def test_stdin(self, zones: Zones) -> None:
        ended = zones("import", "-", stdin=b"smtpd_client_restrictions = reject_rbl_client a.example\r\n")
        assert ended.code == 0
        assert [zone.name for zone in parse(ended.out).zones] == ["a.example"]

    @pytest.mark.parametrize(
        ("dialect", "text"),
        [
            ("postfix", b"postscreen_dnsbl_sites = bl.example.com=127.0.0.2"),
            ("exim", b"deny dnslists = bl.example.com=127.0.0.2"),
            ("spamassassin", b"header X eval:check_rbl('x-lastexternal', 'bl.example.com.', '127.0.0.2')"),
            ("rspamd", b'rbls { x { rbl = "bl.example.com"; returncodes { X = "127.0.0.2"; } } }'),
        ],
    )
    def test_each_dialect(self, zones: Zones, dialect: str, text: bytes) -> None:
        ended = zones("import", "--from", dialect, text)
        (zone,) = parse(ended.out).zones
        assert (zone.name, [str(entry.reply) for entry in zone.filters]) == ("bl.example.com", ["127.0.0.2"])

    def test_a_key_is_not_printed(self, zones: Zones) -> None:
        sites = f"{KEY}.zen.dq.spamhaus.net*x {KEY}.dbl.dq.spamhaus.net"
        ended = zones("import", f"postscreen_dnsbl_sites = {sites}".encode())
        assert KEY not in ended.out + ended.err
        assert "set the environment variable DNSBL_KEY_SPAMHAUS" in ended.err
        assert 'key_env = "DNSBL_KEY_SPAMHAUS"' in ended.out

    def test_only_dead_zones(self, zones: Zones) -> None:
        ended = zones("import", b"postscreen_dnsbl_sites = dnsbl.sorbs.net")
        assert ended.code == 1
        assert "use zen.spamhaus.org instead" in ended.err
        assert "no list can be used" in ended.err
        assert parse(ended.out).tables == ()

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (("import", b"myhostname = x\n"), "names no list; is it main.cf? See --from"),
            (("import", "--from", "rspamd", b"rbls { x {"), "line 1: not UCL: } is missing"),
            (("import", "/nowhere/main.cf"), "No such file"),
            (("import", b"#" * (1 << 20) + b"\n"), "longer than 1048576 bytes"),
            (("import", "--from", "sendmail", b""), "Invalid value for '--from'"),
            (("import",), "Missing argument 'FILE...'"),
            (("export",), "Missing argument"),
            (("export", "sendmail"), "Invalid value"),
        ],
    )
    def test_bad_input_ends_with_2_and_one_line(
        self, zones: Zones, args: tuple[str | bytes, ...], message: str
    ) -> None:
        ended = zones(*args)
        assert (ended.code, ended.out) == (2, "")
        assert message in ended.err
        assert ended.err.count("\n") == 1

    def test_bytes_of_any_kind_end_in_an_ordinary_way(self, zones: Zones) -> None:
        ended = zones("import", b"# caf\xe9\npostscreen_dnsbl_sites = a.ex\xffample b.example\n")
        assert ended.code == 1
        assert [zone.name for zone in parse(ended.out).zones] == ["b.example"]


class TestExport:
    def test_the_way_back(self, zones: Zones) -> None:
        text = (
            "postscreen_dnsbl_threshold = 3\n"
            "postscreen_dnsbl_sites =\n    a.example=127.0.0.2*3\n    b.example*-2\n\n"
            "dnsbl_smtpd_client_restrictions =\n    reject_rhsbl_helo c.example\n"
        )
        config = zones("import", text.encode()).out
        ended = zones("export", "postfix", config=config)
        assert ended.code == 0
        assert ended.out == text
        assert "add $dnsbl_smtpd_client_restrictions to smtpd_client_restrictions" in ended.err

    def test_what_postfix_cannot_say_ends_with_1(self, zones: Zones) -> None:
        ended = zones("export", "postfix", config="[[zone]]\nname = 'a.example'\non_error = 'listed'\n")
        assert ended.code == 1
        assert "dnsbl: no counterpart in main.cf: a.example: on_error\n" in ended.err

    def test_no_key_is_needed_and_its_variable_stands_in_its_place(self, zones: Zones) -> None:
        config = "[[zone]]\nname = 'zen.dq.spamhaus.net'\nreply = '127.0.0.[2..11]'\nkey_env = 'DQS'\n"
        ended = zones("export", "postfix", config=config)
        assert ended.code == 0
        assert "    ${DQS}.zen.dq.spamhaus.net=127.0.0.[2..11]\n" in ended.out
        assert "set DQS to the key in main.cf" in ended.err

    def test_a_configuration_that_is_wrong(self, zones: Zones) -> None:
        ended = zones("export", "postfix", config="[[zone]]\nname = 'a.example'\nwieght = 1\n")
        assert (ended.code, ended.out) == (2, "")
        assert "dnsbl.toml:3: unknown key 'wieght'" in ended.err


def test_rich_is_imported_for_a_terminal_alone() -> None:
    code = (
        "import sys; from dnsbl.cli import main; main(['zones', 'show', 'zen.spamhaus.org']); "
        "print('rich' in sys.modules, 'pycares' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stderr == "False False\n"
