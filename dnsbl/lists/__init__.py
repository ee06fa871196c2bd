"""Lists that are files: plain addresses, Spamhaus DROP, rbldnsd's data sets. Text in, a searchable list out.

`read` is the way in; it does no I/O. `loader` reads and watches files, `fetch` gets them by HTTP.
"""

from typing import Final

BAD_SHARE: Final = 0.05
"""A file with a greater share of bad entries is refused whole, unless its zone says another share."""
