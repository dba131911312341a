"""What a training set is made of: the protocol that says how many rows of what (``regimes``), and which (``rows``)."""
