"""What is looked up: an IP address or a domain, in whatever form it comes. No I/O."""
