"""Whether a list can be believed: its failures in a row, its free queries, its counters, its test entries."""
