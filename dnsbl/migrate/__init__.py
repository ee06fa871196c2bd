"""Other programs' lists and codes read as zones: Postfix, Exim, SpamAssassin, rspamd; Postfix is written too.

Text in, values out; nothing here reads a file.
"""
