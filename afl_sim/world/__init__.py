"""Virtual time: the server, its clients and the network as processes of a simulated clock."""
