"""dnsbl.toml: which file is read, its tables and lines, and the limits and defaults of each key."""
