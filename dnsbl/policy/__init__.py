"""The Postfix policy daemon: what a mail server asks, what it is told, and how the two travel.

`protocol` turns bytes into requests and an action into a reply; `rules` turns a request and a verdict
into an action. Neither does any I/O. `server` speaks to Postfix with them, `spawn` does the same for one
connection on stdin and stdout.
"""
