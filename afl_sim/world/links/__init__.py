"""Network links: uncontended, first-in-first-out, and shared."""
