"""The engine: DNS questions asked together in one C thread.

It knows names, addresses and statuses only; what an answer means is not decided here.
"""
