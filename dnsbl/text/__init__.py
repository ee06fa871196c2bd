"""Text as values: TOML text, text made safe to show, and a list's reason. Pure."""
