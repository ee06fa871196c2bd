"""Many subjects at once: files of them, mail logs, Arrow tables, and several machines.

What a caller asks of one address is the Resolver's; everything here goes through its public methods.
"""
