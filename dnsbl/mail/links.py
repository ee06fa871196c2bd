"""Links in text and HTML, as the reader's mail program would follow them.

What it does: finds them and undoes what hides them: entities and odd markup (by libxml2's HTML parser),
soft hyphens and zero-width characters, backslashes, user info, ports, percent-encoding, trailing
punctuation, addresses written as one number. What it does not: no I/O, no redirect is followed, and a
look-alike letter of another alphabet stays what it is, for it is another domain.

The HTML parser: libxml2 by lxml, its events alone and no tree. Measured on 1 MiB: elements nested 200,000
deep take over 20 s in one tree builder (lexbor, as in selectolax 1.0), another drops all that is deeper than
2,048 (libxml2's tree), and events take 0.3 s and find every link; a page of links takes 0.07 s. `html.parser`
of the standard library is quadratic on hostile input (CVE-2026-15308).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

MAX_URL: Final = 2048
"""Characters of one link that are read: the host is at its beginning."""

LINK, IMAGE = "link", "image"

INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
"""Characters that are not seen and that IDNA drops or forbids (Unicode's Default_Ignorable_Code_Point)."""

_COLON: Final = re.compile(r":")
_WWW_ENDS: Final = tuple(letter + dot for letter in "wW" for dot in ".\u3002\uff0e")
# Rare characters are looked for, and the scheme behind them then: ten times as quick on usual text as a
# pattern that asks at each letter whether a link begins.
_SLASHES: Final = ("/", "\\", "\uff0f")
_SCHEME_BEFORE: Final = re.compile(r"(?:https?|ftp|mailto)\Z", re.IGNORECASE)
_LINK_TEXT: Final = re.compile(r"[^\s<>\"`{}|\u201c\u201d\u00ab\u00bb]{1,2048}")
_NAME: Final = re.compile(r"[\w.+~-]{1,64}")
_DOMAIN_AFTER: Final = re.compile(r"[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_TRAILING: Final = ".,;:!?'\")]}>*_~\u2026\u3002"
_CSS_URL: Final = re.compile(r"url\(\s{0,8}[\"']?([^\"'()\s]{1,2048})", re.IGNORECASE)
_REFRESH_URL: Final = re.compile(r"url\s{0,8}=\s{0,8}[\"']?([^\"'\s]{1,2048})", re.IGNORECASE)
_CLEARED: Final = re.compile(r"[\t\r\n]")  # the URL standard drops them anywhere (section 4.4)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31}):")
_WEB: Final = ("http", "https", "ftp", "ws", "wss")

_LINK_ATTRIBUTES: Final = ("href", "action", "formaction", "cite", "longdesc", "data")
_IMAGE_ATTRIBUTES: Final = ("src", "background", "poster", "lowsrc", "dynsrc")


class Link(NamedTuple):
    """kind: LINK or IMAGE. url: `http://host/...` cleaned, or an e-mail address where `email` is true."""

    kind: str
    url: str
    email: bool = False


def visible(text: str) -> str:
    """Text without characters that are not seen."""
    return text if text.isascii() else INVISIBLE.sub("", text)


def links_in_text(text: str) -> Iterator[Link]:
    """Every URL (with a scheme, or from `www.` on), `mailto:` and bare e-mail address in plain text."""
    text = visible(text).replace("\uff1a", ":")
    outside: list[str] = []  # an @ inside a link is user info, or of its path
    end = 0
    for start in _starts(text):
        if text[start] == ":":
            scheme = _SCHEME_BEFORE.search(text, max(end, start - 6), start)
            if scheme is None or (text[start + 1 : start + 2] not in _SLASHES and len(scheme[0]) < 6):
                continue
            start = scheme.start()
        if start < end or not (written := _LINK_TEXT.match(text, start)):
            continue
        outside.append(text[end:start])
        end = written.end()
        if link := clean_link(_without_tail(written.group())):
            yield link
    text = " ".join([*outside, text[end:]])
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN_AFTER.match(text, at + 1)
        # Backwards: a search would try each start.
        name = _NAME.match(text[max(0, at - 64) : at][::-1]) if domain else None
        if name and domain:
            yield Link(LINK, f"{name.group()[::-1]}@{domain.group().rstrip('-_')}", True)
        at = text.find("@", domain.end() if domain else at + 1)


def _starts(text: str) -> list[int]:
    """Where a link may begin: at each colon, for the scheme before it, and at each `www.`."""
    found = [colon.start() for colon in _COLON.finditer(text)]
    for end in _WWW_ENDS:
        at = text.find(end, 2)
        while at >= 0:
            if text[at - 2 : at].lower() == "ww":
                found.append(at - 2)
            at = text.find(end, at + 1)
    return sorted(found)


def _without_tail(text: str) -> str:
    """Text without the punctuation of the sentence behind it; a closing parenthesis that was opened stays."""
    end = len(text)
    while end and text[end - 1] in _TRAILING:
        if text[end - 1] == ")" and text.count("(", 0, end) >= text.count(")", 0, end):
            break
        end -= 1
    return text[:end]


def clean_link(text: str, kind: str = LINK) -> Link | None:
    """A link's text as `scheme://...`, as browsers read it; None where it leads to no host.

    >>> clean_link(" ht\\ntp:\\\\\\\\user@evil.example:8080\\\\x ").url
    'http://user@evil.example:8080/x'
    """
    text = _CLEARED.sub("", visible(text[: 2 * MAX_URL])).strip("\x00\x01\x02 \u00a0\u3000")[:MAX_URL]
    if text[:2] in ("//", "\\\\", "/\\", "\\/"):
        scheme, rest = "http", text[2:]
    elif found := _SCHEME.match(text.replace("\uff1a", ":", 1)):
        scheme, rest = found[1].lower(), text[found.end() :]
    elif text[:4].lower() in ("www.", "www\u3002", "www\uff0e"):
        scheme, rest = "http", text
    else:
        return None
    if scheme == "mailto":
        return _mailto(rest, kind)
    if scheme not in _WEB:
        return None
    # After a web scheme browsers take any number of slashes, either way round (URL standard, section 4.4).
    rest = rest.replace("\uff0f", "/").lstrip("/\\")
    head, mark, tail = re.split(r"([?#])", rest, maxsplit=1) if re.search(r"[?#]", rest) else (rest, "", "")
    return Link(kind, f"{scheme}://{head.replace(chr(92), '/')}{mark}{tail}") if head else None


def _mailto(rest: str, kind: str) -> Link | None:
    from urllib.parse import unquote

    address = unquote(rest.partition("?")[0]).partition(",")[0].strip()
    return Link(kind, address, True) if "@" in address[1:] else None


class HtmlLinks:
    """lxml's parser target: collects links, and the text that the reader sees.

    links: in the order of the page. text: pieces of it, to be joined. full: more than `most` were there.
    """

    def __init__(self, most: int) -> None:
        self.links: list[Link] = []
        self.text: list[str] = []
        self.full = False
        self._most = most
        self._style = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        if tag == "style":
            self._style += 1
        if not attributes:
            if tag in _BREAKING:
                self.text.append(" ")
            return
        for name in _LINK_ATTRIBUTES:
            if value := attributes.get(name):
                self._add(value, LINK)
        for name in _IMAGE_ATTRIBUTES:
            if value := attributes.get(name):
                self._add(value, IMAGE)
        if value := attributes.get("srcset"):
            for candidate in value[:MAX_URL].split(","):
                self._add(candidate.strip().partition(" ")[0], IMAGE)
        if (value := attributes.get("style")) and "url" in value.lower():
            self._add_css(value)
        if tag == "meta" and (found := _REFRESH_URL.search(attributes.get("content", "")[:MAX_URL])):
            self._add(found[1], LINK)
        if tag in _BREAKING:
            self.text.append(" ")

    def data(self, text: str) -> None:
        """Text between tags, entities undone."""
        if self._style:
            self._add_css(text)
        else:
            self.text.append(text)

    def end(self, tag: str) -> None:
        """An element ends."""
        if tag == "style" and self._style:
            self._style -= 1
        if tag in _BREAKING:
            self.text.append(" ")

    def close(self) -> None:
        """The page ends."""

    def _add_css(self, text: str) -> None:
        for found in _CSS_URL.finditer(text[:65536]):
            self._add(found[1], IMAGE)

    def _add(self, value: str, kind: str) -> None:
        if len(self.links) >= self._most:
            self.full = True
        elif link := clean_link(value, kind):
            self.links.append(link)


_BREAKING: Final = frozenset(
    """
    address article blockquote br center dd div dl dt footer form h1 h2 h3 h4 h5 h6 header hr li
    main ol p pre section table td th title tr ul
    """.split()  # noqa: SIM905
)
"""Elements that part words; inside others (`ev<b>il</b>.example`) the reader sees one word."""


def links_in_html(text: str, most: int) -> tuple[list[Link], bool]:
    """Links and images in HTML, then those in its text; True where more than `most` were there.

    Broken HTML is read as far as it goes. Text that looks like a link is one, as mail programs make it one.
    """
    from lxml import etree

    target = HtmlLinks(most)
    parser = etree.HTMLParser(target=target, huge_tree=True, no_network=True, encoding="utf-8")
    try:
        parser.feed(text.encode("utf-8", "replace").replace(b"\x00", b""))
        parser.close()
    except etree.LxmlError:
        target.full = True  # never seen to happen; what was read so far counts
    links = target.links
    for link in links_in_text("".join(target.text)):
        if len(links) >= most:
            return links, True
        links.append(link)
    return links, target.full
