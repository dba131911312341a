"""The training loop, for whoever trains: a family of networks says what and by which losses, the loop does the rest."""
