"""Own addresses, host names and domains, watched: who lists them, since when, and whom to tell.

`entry` and the modules that only decide (`judge`, `pace`, `notice`, `nagios`, `grid`, `settings`, `watch`) do no
I/O; `state` keeps what is known in a file, `rounds` asks, `sinks` tells, `daemon` goes on doing both.
"""
