"""HTTP: lookups, the lists' state and one page over them. Needs the packages of the extra `web`."""
