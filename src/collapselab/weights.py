"""Published weights: where they lie, whether they are the right ones, and how to get them."""
