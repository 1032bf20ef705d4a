"""Media files: how they are opened, which of their tracks is meant, and one clock for all of them."""
