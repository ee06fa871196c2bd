"""Names as the DNS has them: reversal and joining (in C), and nameservers as text. Pure."""
