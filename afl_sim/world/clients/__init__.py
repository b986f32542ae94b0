"""The clients: their devices, their state, and how the server picks among them."""
