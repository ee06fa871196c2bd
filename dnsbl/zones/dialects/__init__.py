"""Other programs' ways of naming lists and codes, read as zones: Exim, SpamAssassin, rspamd.

Each reader takes text and gives an `Imported`; `write` makes a dnsbl.toml of it. Postfix, which is also
written back, is in dnsbl/zones/postfix.py. Nothing here reads a file.
"""
