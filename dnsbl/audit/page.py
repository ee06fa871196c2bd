"""An audit's report as one HTML page: no script, nothing from elsewhere, for a screen, a phone and paper.

Everything that comes from the log or the DNS is escaped. Colours follow the reader's light or dark setting,
and no fact is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Final

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5b6b7c; --line: #d5dde5; --back: #fff;
  --card: #f5f7f9; --blue: 31 98 173; --accent: rgb(var(--blue)); --red: #b3372b; --green: #23794a }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e9ef; --soft: #9fb0c0; --line: #34414e; --back:
  #141a20;
  --card: #1d252d; --blue: 100 168 240; --red: #f0877c; --green: #6cc795 } }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); margin: 0 auto;
  max-width: 66rem; padding: 1rem }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem } h2 { font-size: 1.15rem; margin: 2rem 0
  .5rem }
p { margin: .4rem 0; max-width: 46rem; overflow-wrap: anywhere } .soft { color: var(--soft) }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: .5rem; margin:
  1rem 0 }
.facts div { background: var(--card); border-radius: .4rem; padding: .5rem .75rem }
.facts b { display: block; font-size: 1.3rem } .facts span { color: var(--soft); font-size: .85rem }
.answer { border-left: .3rem solid var(--accent); background: var(--card); padding: .6rem .9rem; margin:
  1rem 0 }
.wide { overflow-x: auto; max-width: 100% }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
td.text { white-space: normal; overflow-wrap: anywhere; min-width: 8.5rem } td.text:first-child,
  td.text:nth-child(2) { min-width: 12rem }
th { font-weight: 600; color: var(--soft); white-space: normal }
th:first-child, td:first-child, .text { text-align: left }
.heat td, .heat th { text-align: center; border: 1px solid var(--back) } .heat th:first-child { text-align:
  left; overflow-wrap: anywhere; min-width: 9rem; position: sticky; left: 0; background: var(--back) }
.bad { color: var(--red); font-weight: 600 }
svg { display: block; width: 100%; height: auto; max-width: 46rem } svg text { fill: var(--soft);
  font-size: 13px }
pre { background: var(--card); padding: .75rem; border-radius: .4rem; overflow-x: auto; font-size: .85rem }
@media (max-width: 40rem) { body { padding: .75rem; font-size: 15px } th, td { padding: .3rem .4rem }
  svg text { font-size: 20px }
  .cards, .cards tbody, .cards tr, .cards td { display: block } .cards thead { display: none }
  .cards tr { background: var(--card); border-radius: .4rem; margin: .5rem 0; padding: .4rem .6rem }
  .cards td { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: .1rem 0;
    text-align: right; white-space: normal; overflow-wrap: anywhere; min-width: 0 }
  .cards td::before { content: attr(data-label); color: var(--soft); white-space: nowrap; text-align: left }
  .cards td:first-child { font-weight: 600; white-space: normal }
  .heat td, .heat th { padding: .2rem; font-size: .8rem }
  .heat th:first-child { min-width: 4.5rem; max-width: 6rem } }
@media print { :root { --ink: #000; --soft: #444; --line: #bbb; --back: #fff; --card: #fff; --blue: 31 98 173;
  --red: #a00; --green: #060 } body { max-width: none; padding: 0; font-size: 10pt } .wide { overflow:
  visible }
  table { font-size: 8pt } th, td { padding: .15rem .3rem } td.text, td.text:first-child { min-width: 6.5rem }
  svg { max-width: 30rem } .heat th:first-child { position: static }
  pre { white-space: pre-wrap; overflow: visible; overflow-wrap: anywhere; border: 1px solid #bbb }
  h2, .answer, svg, tr, pre { break-inside: avoid } h2, h2 + p { break-after: avoid }
  .heat td, .facts div { print-color-adjust: exact; -webkit-print-color-adjust: exact } }
"""
_HEADS: Final = (
    ("Zone", "zone"), ("Hits", "hits"), ("Only here", "unique_hits"), ("Accepted", "accepted_hits"),
    ("Logged in", "authenticated_hits"), ("Well-known", "well_known_hits"), ("Errors", "errors"),
)  # fmt: skip
MAX_ROWS: Final = 25
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 260, 62, 34, 14


def make_page(report: dict[str, Any]) -> str:
    """The whole page, as text to be written in UTF-8. report: what `make_report` gives."""
    parts = [
        _facts(report),
        _answer(report),
        _section("Zone by zone", _zones(report), _ZONES_NOTE),
        _section("Coverage by number of zones", _coverage(report), _COVERAGE_NOTE),
        _section("Overlap", _overlap(report), _OVERLAP_NOTE),
        _section("Timeline", _timeline(report), "Times are those of the log."),
        _section("Listed, but perhaps good", _suspects(report), _SUSPECTS_NOTE),
        _section("Why mail was rejected", _reasons(report), "Number of rejections, by reason."),
        _section("dnsbl.toml", _lines(report["dnsbl_toml"]), ""),
        _section("main.cf", _lines(report["postscreen_dnsbl_sites"]), ""),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>Which blocklists are worth asking</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_ZONES_NOTE: Final = (
    "A hit is a client that the zone lists. Only here: no other zone lists it. Accepted, logged in, "
    "well-known: hits on clients that are likely good ones, so fewer are better. Queries a day: the clients "
    "of the busiest day, each asked once."
)
_SUSPECTS_NOTE: Final = "Clients that a zone lists, but whose mail was accepted, or whose name is well known."
_COVERAGE_NOTE: Final = (
    "Clients listed by the first zone, the first two, and so on; each adds the most it can."
)
_OVERLAP_NOTE: Final = (
    "Of the clients that the zone of a row lists, the share that the zone of a column does."
)


def _facts(report: dict[str, Any]) -> str:
    names = ("clients", "accepted", "rejected", "authenticated", "listed", "lines", "unparsed")
    labels = {"lines": "log lines", "unparsed": "lines not readable"}
    boxes = "".join(
        f"<div><b>{report[name]:,}</b><span>{labels.get(name, name)}</span></div>" for name in names
    )
    span = (
        f"{report['first_hour']}:00 to {report['last_hour']}:59" if report["first_hour"] else "no time known"
    )
    shown = " Addresses are shown as networks." if report["masked"] else ""
    return (
        f"<h1>Which blocklists are worth asking here</h1><p class=soft>Clients of this mail server, {span}."
        f'{shown}</p><div class="facts">{boxes}</div>'
    )


def _answer(report: dict[str, Any]) -> str:
    chosen = report["smallest_set"]
    if not chosen:
        text = "No zone lists any of these clients: none is worth asking here."
    else:
        names = ", ".join(f"<strong>{escape(zone)}</strong>" for zone in chosen)
        what = "this zone is" if len(chosen) == 1 else f"these {len(chosen)} zones are"
        text = f"{names}: {what} enough for {report['share']:.0%} of the {_listed(report)}."
    return f'<p class="answer">{text}</p>'


def _listed(report: dict[str, Any]) -> str:
    zones, clients = (
        len(report["zones"]),
        f"{report['listed']:,} clients" if report["listed"] != 1 else "one client",
    )
    return f"{clients} that " + (f"any of the {zones} zones lists" if zones > 1 else "it lists")


def _name(zone: str) -> str:
    """A name that may be broken at its dots, where there is no room for it."""
    return escape(zone).replace(".", ".<wbr>")


def _section(title: str, body: str, note: str) -> str:
    if not body:
        return ""
    return f"<h2>{title}</h2>" + (f"<p class=soft>{note}</p>" if note else "") + body


def _lines(text: str) -> str:
    """Lines to paste; nothing where no zone is worth asking."""
    return f"<pre>{escape(text)}</pre>" if text.strip() else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, text: int = 1) -> str:
    """A table of cells that are HTML already; the first `text` columns are text, the others numbers."""
    kind = [' class="text"' if at < text else "" for at in range(len(heads))]
    label = [f' data-label="{name}"' for name in heads]  # shown where a phone has no room for columns
    head = "".join(f"<th{kind[at]}>{name}</th>" for at, name in enumerate(heads))
    body = "".join(
        "<tr>"
        + "".join(f"<td{kind[at]}{label[at]}><span>{cell}</span></td>" for at, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    table = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="wide"><table class="cards">{table}</table></div>'


def _zones(report: dict[str, Any]) -> str:
    rows = []
    for zone in report["zones"]:
        latency = zone["latency_ms"] or {}
        limit = "no limit known" if zone["daily_limit"] is None else f"{zone['daily_limit']:,}"
        if zone["over_limit"]:
            limit = f'<span class="bad">{limit}: exceeded</span>'
        middle = latency.get("p50")
        rows.append([
            _name(zone["zone"]) + (" (allowlist)" if zone["allowlist"] else ""),
            *(f"{zone[key]:,}" for _, key in _HEADS[1:]),
            "-" if middle is None else f"{middle:.1f} ms",
            f"{zone['queries_per_day']:,}",
            limit,
        ])  # fmt: skip
    return _table([*(head for head, _ in _HEADS), "Latency", "Queries a day", "Free a day"], rows)


def _suspects(report: dict[str, Any]) -> str:
    found = report["likely_false_positives"]
    rows = [
        [escape(each["client"]), escape(each["name"] or "-"), each["kind"], ", ".join(map(_name, each["zones"])),
         f"{each['accepted']:,}"]
        for each in found[:MAX_ROWS]
    ]  # fmt: skip
    if not rows:
        return "<p>None.</p>"
    every = report["likely_false_positives_in_all"]
    more = f"<p class=soft>The first {MAX_ROWS} of {every:,}.</p>" if every > MAX_ROWS else ""
    return _table(["Client", "Host name", "Why", "Listed by", "Messages accepted"], rows, text=4) + more


def _reasons(report: dict[str, Any]) -> str:
    rows = [[escape(why), f"{count:,}"] for why, count in report["reject_reasons"].items()]
    return _table(["Reason", "Rejections"], rows) if rows else ""


def _overlap(report: dict[str, Any]) -> str:
    zones = [zone["zone"] for zone in report["zones"] if report["overlap"][zone["zone"]][zone["zone"]]]
    if len(zones) < 2:
        return ""
    head = "".join(f"<th>{number}</th>" for number in range(1, len(zones) + 1))
    rows = []
    for number, one in enumerate(zones, 1):
        own = report["overlap"][one][one]
        cells = "".join(_heat(report["overlap"][one][other] / own, one == other) for other in zones)
        rows.append(f"<tr><th>{number} {_name(one)}</th>{cells}<td>{own:,}</td></tr>")
    return (
        f'<div class="wide"><table class="heat"><thead><tr><th></th>{head}<th>clients</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _heat(share: float, itself: bool) -> str:
    if itself:
        return "<td class=soft>-</td>"
    return f'<td style="background: rgb(var(--blue) / {share * 0.45:.2f})">{share:.0%}</td>'


def _coverage(report: dict[str, Any]) -> str:
    rows = report["coverage"]
    if not rows:
        return ""
    points = [(0, 0.0), *((number, row["share"]) for number, row in enumerate(rows, 1))]
    inner, high = WIDTH - LEFT - 20, HEIGHT - BOTTOM - TOP
    x = [LEFT + inner * number / len(rows) for number, _ in points]
    y = [TOP + high * (1 - share) for _, share in points]
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="var(--accent)"/>'
                   for a, b in zip(x[1:], y[1:], strict=True))  # fmt: skip
    every = max(1, len(rows) // 10)
    marks = "".join(
        f'<text x="{x[number]:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{number}</text>'
        for number in range(every, len(rows) + 1, every)
    )
    wanted = TOP + high * (1 - report["share"])
    line = (
        f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{wanted:.1f}" y2="{wanted:.1f}" stroke="var(--green)" '
        'stroke-dasharray="6 4"/>'
    )
    grid = "".join(_grid(TOP + high * (1 - share), f"{share:.0%}") for share in (0, 0.5, 1.0))
    chart = _svg(
        f"Share of the listed clients by number of zones; {report['share']:.0%} is marked",
        f'{grid}{line}<polyline points="{path}" fill="none" stroke="var(--accent)" stroke-width="2.5"/>'
        f"{dots}{marks}",
    )
    cells = [
        [f"{number} {_name(row['zone'])}", f"{row['covered']:,}", f"{row['share']:.1%}"]
        for number, row in enumerate(rows, 1)
    ]
    return chart + _table(["With", "Clients", "Share"], cells)


def _timeline(report: dict[str, Any]) -> str:
    rows = report["timeline"]
    if not rows:
        return ""
    top = max(max(row["accepted"] + row["rejected"] for row in rows), 1)
    step, high = (WIDTH - LEFT - 20) / len(rows), HEIGHT - BOTTOM - TOP
    bars = []
    for number, row in enumerate(rows):
        x, width = LEFT + step * number, min(max(step * 0.85, 0.5), 40)
        good, bad = (high * row[name] / top for name in ("accepted", "rejected"))
        base = TOP + high
        bars.append(
            f"<g><title>{escape(row['time'])}: {row['accepted']:,} accepted, "
            f"{row['rejected']:,} rejected</title>"
            f'<rect x="{x:.1f}" y="{base - good:.1f}" width="{width:.1f}" height="{good:.1f}" '
            'fill="var(--green)"/>'
            f'<rect x="{x:.1f}" y="{base - good - bad:.1f}" width="{width:.1f}" height="{bad:.1f}" '
            'fill="none" stroke="var(--red)"/></g>'
        )
    ends = (
        f'<text x="{LEFT}" y="{HEIGHT - 8}">{escape(rows[0]["time"])}</text>'
        f'<text x="{WIDTH - 20}" y="{HEIGHT - 8}" text-anchor="end">{escape(rows[-1]["time"])}</text>'
    )
    grid = _grid(TOP + high, "0") + _grid(TOP, f"{top:,}")
    key = "<p class=soft>Messages accepted (filled) and attempts rejected (outlined, on top).</p>"
    title = "Accepted and rejected over time"
    return _svg(title, grid + "".join(bars) + (ends if len(rows) > 1 else "")) + key


def _grid(y: float, label: str) -> str:
    return (
        f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--line)"/>'
        f'<text x="{LEFT - 8}" y="{y + 5:.1f}" text-anchor="end">{label}</text>'
    )


def _svg(title: str, body: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{body}</svg>'
