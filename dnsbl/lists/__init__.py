"""Lists that are files: plain addresses, Spamhaus DROP, rbldnsd's data sets. Text in, a searchable list out.

`read` is the way in; it does no I/O. `loader` reads and watches files, `fetch` gets them by HTTP.
"""
