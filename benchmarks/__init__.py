"""Claims about speed, as programs that measure them again beside a peer; see README.md."""
