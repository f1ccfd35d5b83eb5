"""HTTP/1.1 on the wire: what the application gets and what the client gets, byte by byte, through the real programs."""
