"""What all floors share: randomness, distances, sets of rows, and the ways in which things fail. No I/O, no torch."""
