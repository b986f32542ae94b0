"""What a run uses and costs: an account that follows the rows of the event log."""
