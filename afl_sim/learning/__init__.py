"""The numeric half on the client's side: data, their partition, models, and local training."""
