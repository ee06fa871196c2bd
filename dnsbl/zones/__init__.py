"""What a list is and how its answers read: zones, reply filters, code tables, the catalogue.

Values in, values out. Nothing here asks the DNS; only `catalogue.load` reads a file.
"""
