"""The `dnsbl` command: which subcommands there are, and how every one of them ends.

One module per subcommand; each defines `command` and is imported only when it is asked for, so that
`dnsbl check` in a shell script starts quickly. No subcommand's work is done here.

How it ends: 0, or what the subcommand says; 2 for bad usage and bad input; 70 for a fault of this
program (1 would read as "listed"); 130 after Ctrl-C and 141 when the reader of stdout went away, both
without a word. Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from io import TextIOWrapper
from typing import Final

import click

from dnsbl.errors import DnsblError
from dnsbl.text.printable import printable

COMMANDS = (
    "check", "bulk", "audit", "message", "filter", "zones", "config", "policyd", "monitor", "serve", "doctor",
    "demo",
)  # fmt: skip

COMPLETE = "_DNSBL_COMPLETE"
"""The variable by which a shell asks for completion: `eval "$(_DNSBL_COMPLETE=bash_source dnsbl)"`."""

EXIT_USAGE = 2
EXIT_SOFTWARE = 70  # EX_SOFTWARE of sysexits.h
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE


class LazyGroup(click.Group):
    """A group whose subcommand `x` is `command` in `dnsbl/cli/x.py`, imported when it is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in COMMANDS if find_spec(f"dnsbl.cli.{name}")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command = import_module(f"dnsbl.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="dnsbl-resolver", prog_name="dnsbl")
@click.pass_context
def group(ctx: click.Context) -> None:
    """Ask DNS blocklists about addresses and domains."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


CLOSED: Final[set[str]] = set()
"""Of stdin, stdout and stderr those that the caller had closed."""


def main(args: Sequence[str] | None = None) -> int:
    """Run `dnsbl ARGS...` (default: the process's own) and return its exit code; never raises."""
    _open_closed_streams()
    _write_any_character()
    try:
        try:
            if COMPLETE in os.environ:
                return _complete(os.environ[COMPLETE])
            return _run(list(sys.argv[1:] if args is None else args))
        finally:
            _flush()
    except BrokenPipeError:
        return EXIT_BROKEN_PIPE
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except click.UsageError as error:
        text = " ".join(error.format_message().split())
        stop = "" if text.endswith((".", "?", "!")) else "."
        complain(text + (f"{stop} Try '{error.ctx.command_path} --help'." if error.ctx else ""))
        return EXIT_USAGE
    except click.ClickException as error:
        complain(error.format_message())
        return EXIT_USAGE
    except DnsblError as error:
        complain(str(error))
        return EXIT_USAGE
    except OSError as error:
        name = "''" if error.filename == "" else error.filename
        complain(f"{name}: {error.strerror}" if name else error.strerror or str(error))
        return EXIT_USAGE
    except ImportError as error:
        complain(str(error))
        return EXIT_SOFTWARE
    except Exception:
        import traceback

        traceback.print_exc()
        return EXIT_SOFTWARE


def complain(message: str) -> None:
    """Write `dnsbl: MESSAGE` as one line to stderr, control characters escaped."""
    click.echo(f"dnsbl: {printable(message)}", err=True)


def _run(args: list[str]) -> int:
    """Parse and run, without click's own ending: it would end a broken pipe with 1, which means listed."""
    try:
        with group.make_context("dnsbl", args) as ctx:
            code = group.invoke(ctx)
    except click.exceptions.Exit as end:
        return end.exit_code
    return code if isinstance(code, int) else 0


def _complete(instruction: str) -> int:
    """What a shell's completion asks for: `bash_source` its script, `bash_complete` the words that fit."""
    from click.shell_completion import shell_complete

    if code := shell_complete(group, {}, "dnsbl", COMPLETE, instruction):
        complain(f"{COMPLETE}={instruction} is not known: use bash_source, zsh_source or fish_source")
        return EXIT_USAGE
    return code


def _open_closed_streams() -> None:
    """What the caller has closed (`2>&-`) goes nowhere.

    Else the next socket would get that descriptor, and a log line would be a message on it.
    """
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            CLOSED.add(name)
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, mode, closefd=False))  # noqa: SIM115  # as long as the process


def _write_any_character() -> None:
    """Where stdout is not UTF-8, what a list writes in its reason must not end the command: escape it."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _flush() -> None:
    """Write the results out. What cannot be written is dropped, or the interpreter would end with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
