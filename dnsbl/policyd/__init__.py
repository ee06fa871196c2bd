"""The policy daemon: sockets, connections, logs, metrics, and the one-connection form for spawn(8)."""
