"""What makes blocklists misfire on this machine, found before mail does."""
