"""rbldnsd's data sets: ip4set, ip4tset, ip4trie, ip6trie, ip6tset, dnset, and combined.

Read as rbldnsd(8) says and as the program does. Where these disagree:

- ip4set `127.0.0.1-255` is .1 to .255, as in the program; the manual shows it as the whole /24.
- ip4set, exclusions and nested entries: the octet level decides, not the prefix length, as in the program:
  192.0.2.5 and !192.0.2.0/25 both stand for single addresses, and the exclusion wins. In the tries the
  longest prefix wins.
- ip6: text that only begins as an address (`1::2::3`, a colon at the end) is bad; the program takes the rest
  as a value.
- A carriage return at the end of a line is dropped; the program makes it part of the text.
- A file whose $TIMESTAMP has expired is used and warned of; the program stops answering from it. One from the
  future is refused, as there.

`dnhash` and `aclkey` of rbldnsd 1.0.2 are not read, nor are `generic` and `acl`, which hold no listings:
inside a combined set they are warned of and left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from dnsbl.lists.builder import Group
from dnsbl.lists.context import ListError, Reading
from dnsbl.lists.forms import parse_a, parse_prefix6, parse_range4
from dnsbl.lists.ranges import NOT_LISTED
from dnsbl.lists.record import DEFAULT_ADDRESS, MAX_TEMPLATE
from dnsbl.lists.special import Specials

DATA_SETS: Final = ("ip4set", "ip4tset", "ip4trie", "ip6trie", "ip6tset", "dnset")
NOT_READ: Final = ("generic", "acl", "dnhash", "aclkey")
_SPACE: Final = " \t"
_COMMENTS: Final = ("#", ";")


class _BadLine(Exception):
    """Why a line cannot be used."""


class Section:
    """One data set while it is read: its kind, its group, and the default that holds at present."""

    def __init__(self, kind: str, group: Group, reading: Reading, specials: Specials) -> None:
        self.kind, self.group, self.reading, self.specials = kind, group, reading, specials
        self.default = DEFAULT_ADDRESS, ""
        self.default_given = False
        self._number: int | None = None
        # Not bound to this object: the circle would keep all entries until Python next looks for circles.
        self._take: Callable[[Section, str], None] = getattr(type(self), f"_take_{kind}")

    @property
    def number(self) -> int:
        """The default as the number of a value."""
        if self._number is None:
            self._number = self.group.value(*self.default)
        return self._number

    def take(self, line: str) -> None:
        """Read one line that is neither empty nor a comment nor a special entry."""
        try:
            if line[0] == ":":
                self._set_default(line)
                return
            self.reading.lines += 1
            self._take(self, line)
        except _BadLine as error:
            self.reading.refuse(str(error))

    def _set_default(self, line: str) -> None:
        trivial = self.kind in ("ip4tset", "ip6tset")  # there one default holds for all entries: the first
        if trivial and self.default_given:
            return
        try:
            self.default = self._a_txt(line, (DEFAULT_ADDRESS, ""))
        except _BadLine:
            self.reading.lines += 1
            raise
        self.default_given, self._number = True, None

    def finish(self) -> None:
        """Give the entries of the trivial sets their value, which may have come after them."""
        for entries in (self.group.ip4, self.group.ip6):
            if self.kind in ("ip4tset", "ip6tset"):
                entries[:] = [(a, b, rank, value and self.number) for a, b, rank, value in entries]

    # ---- entries ----

    def _take_ip4set(self, line: str) -> None:
        line, excluded = _exclusion(line)
        first, last, _, value = self._range4(line, excluded, allow_all=False)
        # Each level at once, as one range of whole blocks: what of it fits no block of 256 is a level below.
        for level, low, high in octet_levels(first, last):
            self.group.ip4.append((low, high, level, value))

    def _take_ip4trie(self, line: str) -> None:
        line, excluded = _exclusion(line)
        if "-" in line.split(None, 1)[0].split(":")[0]:
            raise _BadLine(f"{line[:60]!r}: an ip4trie takes CIDRs, not ranges: use ip4set")
        first, last, bits, value = self._range4(line, excluded, allow_all=True)
        if self._is_new(first, bits):
            self.group.ip4.append((first, last, bits, value))

    def _take_ip4tset(self, line: str) -> None:
        found = parse_range4(line)
        if found is None or found[0] != found[1] or "/" in line[: found[3]] or "-" in line[: found[3]]:
            raise _BadLine(f"{line[:60]!r}: an ip4tset takes single addresses such as 192.0.2.1")
        self.group.ip4.append((found[0], found[0], 32, 1))

    def _take_ip6trie(self, line: str) -> None:
        line, excluded = _exclusion(line)
        found = parse_prefix6(line)
        if found is None:
            raise _BadLine(f"{line[:60]!r} is not a valid IPv6 prefix: use 2001:db8::/32")
        number, bits, end = found
        hosts = (1 << (128 - bits)) - 1
        if number & hosts:
            raise _BadLine(f"{line[:end]} has host bits set")
        value = NOT_LISTED if excluded else self._value(line[end:])
        if self._is_new(number, bits):
            self.group.ip6.append((number, number | hosts, bits, value))

    def _take_ip6tset(self, line: str) -> None:
        line, excluded = _exclusion(line)
        found, wanted = parse_prefix6(line), 128 if excluded else 64
        if found is None or found[1] != wanted or "/" in line[: found[2]]:
            form = "whole addresses as exclusions" if excluded else "four words, as 2001:db8:0:1, for a /64"
            raise _BadLine(f"{line[:60]!r}: an ip6tset takes {form}")
        last = found[0] | (1 << (128 - wanted)) - 1
        self.group.ip6.append((found[0], last, wanted, 0 if excluded else 1))

    def _take_dnset(self, line: str) -> None:
        line, excluded = _exclusion(line)
        wild, plain = False, True
        if line.startswith("."):
            wild, line = True, line[1:]
        elif line.startswith("*."):
            wild, plain, line = True, False, line[2:]
        parts = line.split(None, 1)
        name = domain_name(parts[0]) if parts else None
        if name is None or line[:1] in _SPACE:
            raise _BadLine(
                f"{line[:60]!r} is not a valid domain: use example.com, .example.com or *.example.com"
            )
        value = NOT_LISTED if excluded else self._value(parts[1] if len(parts) > 1 else "")
        if plain:
            self.group.add_name(self.group.exact, name, value)
        if wild:
            self.group.add_name(self.group.below, name, value)

    # ---- parts of entries ----

    def _range4(self, line: str, excluded: bool, *, allow_all: bool) -> tuple[int, int, int, int]:
        found = parse_range4(line)
        if found is None or (found[2] == 0 and not allow_all):
            raise _BadLine(f"{line[:60]!r} is not a valid address: use 192.0.2.1, 192.0.2 or 192.0.2.0/24")
        first, last, bits, end = found
        if first & (0xFFFFFFFF >> bits):
            raise _BadLine(f"{line[:end]} has host bits set")
        size, limit = last - first + 1, self.specials.max_range4
        if limit and size > limit:
            raise _BadLine(f"{line[:end]}: {size} addresses, and $MAXRANGE4 allows {limit}")
        return first, last, bits, NOT_LISTED if excluded else self._value(line[end:])

    def _value(self, text: str) -> int:
        text = text.lstrip(_SPACE)
        if not text or text[0] in _COMMENTS:
            return self.number
        return self.group.value(*self._a_txt(text, self.default))

    def _a_txt(self, text: str, default: tuple[int, str]) -> tuple[int, str]:
        """`:A:TXT`, `:A`, or TXT alone; what is left out comes from `default`."""
        if not text.startswith(":"):
            return default[0], self._template(text)
        found = parse_a(text[1:])
        if found is None:
            raise _BadLine(f"{text[:60]!r}: not a valid A value: use :2: or :127.0.0.2:")
        rest = text[1 + found[1] :].lstrip(_SPACE)
        if rest.startswith(":"):
            return found[0], self._template(rest[1:].lstrip(_SPACE))
        if rest:
            raise _BadLine(f"{text[:60]!r}: a second colon is needed before the text, as in :2:text")
        return found[0], default[1]

    def _template(self, text: str) -> str:
        if len(text) > MAX_TEMPLATE // 4 and len(text.encode("utf-8", "surrogateescape")) > MAX_TEMPLATE:
            self.reading.warn(f"the text is cut after {MAX_TEMPLATE} bytes")
        return text

    def _is_new(self, number: int, bits: int) -> bool:
        seen = self.group.prefixes
        if seen is None:
            seen = self.group.prefixes = set()
        if (number, bits) in seen:
            self.reading.warn("given before, and that entry holds")
            return False
        seen.add((number, bits))
        return True


def _exclusion(line: str) -> tuple[str, bool]:
    return (line[1:].lstrip(_SPACE), True) if line[0] == "!" else (line, False)


def octet_levels(first: int, last: int) -> list[tuple[int, int, int]]:
    """A range as rbldnsd's ip4set keeps it: (32, 24, 16 or 8; first; last), each of whole such blocks.

    >>> octet_levels(0xC0000200, 0xC00002FF) == [(24, 0xC0000200, 0xC00002FF)]
    True
    """
    found = []
    for level in (32, 24, 16):
        block = 1 << (40 - level)  # one block of the level above
        up, down = -(-first // block) * block, (last + 1) // block * block
        if up >= down:
            found.append((level, first, last))
            return found
        if first < up:
            found.append((level, first, up - 1))
        if down <= last:
            found.append((level, down, last))
        first, last = up, down - 1
    found.append((8, first, last))
    return found


def domain_name(text: str) -> str | None:
    """A name as it is looked up: lower case, empty labels left out; None if it is none.

    Escapes (`\\046`) are refused: no domain that is looked up here has such a character.
    """
    if "\\" in text:
        return None
    if len(text) < 64 and text[:1] != "." and text[-1:] != "." and ".." not in text:  # nearly all
        return text.lower() or None
    labels = [label for label in text.lower().split(".") if label]
    name = ".".join(labels)
    if not labels or len(name) > 253 or any(len(label) > 63 for label in labels):
        return None
    return name


def read_rbldnsd(reading: Reading, lines: Iterable[str], kind: str, subzone: str) -> None:
    """Read one data set; of a `combined` one the data sets of `subzone` (`@`: the zone itself)."""
    specials = Specials(reading)
    section: Section | None = None
    if kind != "combined":
        section = Section(kind, reading.group(), reading, specials)
        specials.substitutions = section.group.substitutions
    sections = [section] if section else []
    ignoring = False
    for number, line in enumerate(lines, 1):
        text = line.strip(" \t\r")
        if not text:
            continue
        if text[0] == "$" or (text[0] in "#;:" and text[1:2] == "$"):
            reading.line = number
            rest = text.lstrip("#;:")[1:] if text[0] != "$" else text[1:]
            if kind == "combined" and rest[:7].lower() == "dataset" and rest[7:8] in (" ", "\t"):
                section = _new_section(reading, specials, rest[8:], subzone)
                sections += [section] if section else []
                ignoring = True
            elif not specials.take(rest):
                reading.warn("a special entry that is not known, or not as it should be; left out")
        elif text[0] not in _COMMENTS:
            reading.line = number
            if section is not None:
                section.take(text)
            elif not ignoring:
                raise ListError(f"line {number}: an entry before the first $DATASET line", text[:60])
    for each in sections:
        each.finish()


def _new_section(reading: Reading, specials: Specials, text: str, subzone: str) -> Section | None:
    """The data set that a $DATASET line starts; None for one that is not of this subzone, or not read."""
    words: list[str] = []
    for word in text.split():
        if word[0] in _COMMENTS:
            break
        words.append(word)
    kind = words[0].partition(":")[0] if words else ""
    specials.enter()
    if kind in NOT_READ:
        reading.warn(f"data set type {kind} is not read; its lines are left out")
        return None
    if kind not in DATA_SETS:
        raise ListError(f"line {reading.line}: unknown data set type {kind[:40]!r}", kind[:40])
    if len(words) == 1:
        reading.warn("a data set without a subzone is left out")
    if subzone.lower() not in [(domain_name(word) or word).lower() for word in words[1:]]:
        return None
    section = Section(kind, reading.group(), reading, specials)
    section.group.substitutions.update(specials.common)
    specials.substitutions = section.group.substitutions
    return section
