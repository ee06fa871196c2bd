"""The command `dnsbl`, and `python -m dnsbl`: what may go wrong before the command line is read.

Where a package is missing or broken, Python would end with 1, which means "listed".
"""

import sys

EXIT_SOFTWARE = 70  # as in dnsbl.cli, which may be what cannot be imported


def main() -> int:
    """Run the command and return its exit code."""
    try:
        from dnsbl.cli import main as run
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        print(f"dnsbl: cannot start: {ascii(what)[1:-1]}; is it installed whole?", file=sys.stderr)
        return EXIT_SOFTWARE
    return run()


if __name__ == "__main__":
    sys.exit(main())
