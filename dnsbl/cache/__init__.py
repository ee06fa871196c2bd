"""What the zones said and until when it holds: one entry, all of them, and the file they are kept in."""
