"""Which guide, and how strong: a search for what no other choice beats in all that is asked for."""
