"""Messages about mistakes in a scenario: where, what was found, and what was expected."""
