"""What all floors share: sets of rows, and the ways in which a training ends. No I/O, no torch."""
